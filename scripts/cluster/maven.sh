# Sourced by what fetches from Maven Central; it uses the say and die of the script that sources it.

need_maven() {
    local as_root=
    command -v mvn >/dev/null && return
    command -v apt-get >/dev/null || die "Maven is missing: install it, then run this again"
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || die "Maven is missing: run 'sudo apt-get install maven', then this again"
        as_root=sudo
    fi
    say "Maven is missing: installing it with apt"
    $as_root apt-get update -qq
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends maven >/dev/null \
        || die "apt-get could not install maven: install Maven by hand, then run this again"
}
