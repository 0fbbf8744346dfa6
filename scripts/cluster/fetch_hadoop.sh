#!/usr/bin/env bash
# Prints the directory with Hadoop's jars, fetching them (about 90 MB) unless they are in the cache.
set -euo pipefail

say() { printf 'hadoop: %s\n' "$*" >&2; }
die() { say "$*"; exit 2; }
. "$(dirname "$0")/maven.sh"

pom="$(dirname "$0")/pom.xml"
version=$(sed -n 's|.*<hadoop.version>\(.*\)</hadoop.version>.*|\1|p' "$pom")
fetch_jars "Hadoop $version, about 90 MB" "$pom" "$cache/hadoop-$version"
echo "$cache/hadoop-$version"
