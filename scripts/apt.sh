# shellcheck shell=bash
# Sourced by what may need a package of Debian or Ubuntu; it uses the say and die of the script that sources it.

apt_install() { # apt_install WHAT-FOR PACKAGE...
    local purpose=$1 as_root=
    shift
    command -v apt-get >/dev/null || die "$purpose is missing: install it (on Debian or Ubuntu: $*), then run this again"
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || die "$purpose is missing: run 'sudo apt-get install $*', then this again"
        as_root=sudo
    fi
    say "$purpose is missing: installing $* with apt"
    $as_root apt-get update -qq
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null \
        || die "apt-get could not install $*: install $purpose by hand, then run this again"
}
