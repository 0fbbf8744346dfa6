# shellcheck shell=bash
# Sourced by what fetches from Maven Central; it uses the say and die of the script that sources it.

. "$(dirname "${BASH_SOURCE[0]}")/../apt.sh"

cache="${PARLEY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/parley}"

need_maven() { command -v mvn >/dev/null || apt_install Maven maven; }

# fetch_jars WHAT POM DIRECTORY [OPTION...]: puts the jars of a pom's dependencies there, unless they are there already.
fetch_jars() {
    local what=$1 pom=$2 jars=$3 log=$3.log wanted fetch
    shift 3
    wanted=$(sha256sum <"$pom")
    mkdir -p "$jars"
    exec 9>"$jars/.lock"
    flock 9    # a second fetch waits for the first one's jars
    [ "$(cat "$jars/.complete" 2>/dev/null)" != "$wanted" ] || return 0
    need_maven
    say "fetching $what (once; log in $log)"
    rm -f "$jars"/*.jar
    mvn -B --strict-checksums -f "$pom" "$@" dependency:copy-dependencies -DoutputDirectory="$jars" >"$log" 2>&1 9<&- &
    fetch=$!
    # shellcheck disable=SC2064  # this very process
    trap "kill $fetch 2>/dev/null || true" EXIT
    while kill -0 "$fetch" 2>/dev/null; do
        sleep 2
        say "$(printf '%4ds %4d files fetched, %3d jars in place' "$SECONDS" \
            "$(grep -c 'Downloaded from' "$log" || true)" "$(find "$jars" -name '*.jar' | wc -l)")"
    done
    trap - EXIT
    wait "$fetch" || { grep -m 3 ERROR "$log" >&2; say "Maven could not fetch $what: the whole log is $log"; exit 1; }
    echo "$wanted" >"$jars/.complete"
}
