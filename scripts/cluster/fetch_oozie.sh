#!/usr/bin/env bash
# Prints the directory with the schemas of Oozie's files, fetched from Maven Central unless they are in the cache.
set -euo pipefail

version=5.2.1    # the last one
say() { printf 'oozie: %s\n' "$*" >&2; }
die() { say "$*"; exit 2; }
. "$(dirname "$0")/maven.sh"
schemas="$cache/oozie-$version"

if [ ! -d "$schemas" ]; then
    need_maven
    mkdir -p "$cache"
    temporary=$(mktemp -d "$schemas.XXXXXX")
    trap 'rm -rf "$temporary"' EXIT
    (   # there, since this leaves a directory '${project.basedir}' where it runs
        cd "$temporary"
        mvn -B -q --strict-checksums org.apache.maven.plugins:maven-dependency-plugin:3.8.1:unpack \
            -Dartifact="org.apache.oozie:oozie-client:$version" -Dmdep.unpack.includes='*.xsd' -DoutputDirectory="$temporary/schemas"
    ) >&2 || die "Maven could not fetch oozie-client $version"
    mv -T "$temporary/schemas" "$schemas" 2>/dev/null || [ -d "$schemas" ]
fi
echo "$schemas"
