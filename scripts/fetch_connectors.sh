#!/usr/bin/env bash
# Prints the jars that Spark needs for a store, comma-separated, fetching them unless they are in the cache:
#   fetch_connectors.sh s3      s3a://           (530 MB, most of it the AWS SDK)
#   fetch_connectors.sh azure   abfs:// abfss:// (3 MB)
# For spark.jars, or spark-submit's --jars. A cluster that has them already does not need this.
set -euo pipefail

say() { printf 'connectors: %s\n' "$*" >&2; }
die() { say "$*"; exit 2; }

store=${1:-}
case $store in s3|azure) ;; *) die "'$store' is neither s3 nor azure" ;; esac
pom="$(dirname "$0")/connectors/pom.xml"
jars="${PARLEY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/parley}/connectors-$store"
wanted=$(sha256sum <"$pom")

mkdir -p "$jars"
exec 9>"$jars/.lock"
flock 9    # a second fetch waits for the first one's jars
if [ "$(cat "$jars/.complete" 2>/dev/null)" != "$wanted" ]; then
    command -v mvn >/dev/null || die "Maven is missing: install it (on Debian and Ubuntu: apt-get install maven), then run this again"
    say "fetching the connector for $store (once; log in $jars.log)"
    rm -f "$jars"/*.jar
    mvn -B --strict-checksums -f "$pom" -P "$store" dependency:copy-dependencies -DoutputDirectory="$jars" \
        >"$jars.log" 2>&1 9<&- \
        || { grep -m 3 ERROR "$jars.log" >&2; say "Maven could not fetch it: the whole log is $jars.log"; exit 1; }
    echo "$wanted" >"$jars/.complete"
fi
find "$jars" -name '*.jar' | sort | paste -sd ,
