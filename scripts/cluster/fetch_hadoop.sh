#!/usr/bin/env bash
# Prints the directory with Hadoop's jars, fetching them (about 90 MB) unless they are in the cache.
set -euo pipefail

pom="$(dirname "$0")/pom.xml"
version=$(sed -n 's|.*<hadoop.version>\(.*\)</hadoop.version>.*|\1|p' "$pom")
jars="${PARLEY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/parley}/hadoop-$version"
log="$jars.log"
wanted=$(sha256sum <"$pom")
say() { printf 'hadoop: %s\n' "$*" >&2; }
die() { say "$*"; exit 2; }
. "$(dirname "$0")/maven.sh"

mkdir -p "$jars"
exec 9>"$jars/.lock"
flock 9    # a second start waits for the first one's jars
if [ "$(cat "$jars/.complete" 2>/dev/null)" = "$wanted" ]; then echo "$jars"; exit 0; fi

need_maven
say "fetching Hadoop $version (about 90 MB, once; log in $log)"
rm -f "$jars"/*.jar
mvn -B --strict-checksums -f "$pom" dependency:copy-dependencies -DoutputDirectory="$jars" >"$log" 2>&1 9<&- &
fetch=$!
trap 'kill "$fetch" 2>/dev/null || true' EXIT
while kill -0 "$fetch" 2>/dev/null; do
    sleep 2
    say "$(printf '%4ds %4d files fetched, %3d jars in place' "$SECONDS" \
        "$(grep -c 'Downloaded from' "$log" || true)" "$(find "$jars" -name '*.jar' | wc -l)")"
done
trap - EXIT
wait "$fetch" || { grep -m 3 ERROR "$log" >&2; say "Maven could not fetch Hadoop $version: the whole log is $log"; exit 1; }
echo "$wanted" >"$jars/.complete"
echo "$jars"
