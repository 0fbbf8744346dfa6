#!/usr/bin/env bash
# Fetches a public corpus from its publisher: download_corpus.sh clinc150|3i4k|sgd DIRECTORY
# A git commit's name is a checksum of all it holds, and git verifies it: what arrives is what was published then.
set -euo pipefail

usage() { echo "usage: download_corpus.sh clinc150|3i4k|sgd DIRECTORY" >&2; exit 2; }
[ $# = 2 ] || usage
case $1 in
    clinc150) repository=clinc/oos-eval commit=828f8093932c8fe6ca7936c3d2e52903b1c523de folder=data ;;
    3i4k) repository=warnikchow/3i4k commit=cfa90c15f808becafca2d8ef8649b8b71f6bbe71 folder=data ;;
    sgd) repository=google-research-datasets/dstc8-schema-guided-dialogue
         commit=e852981ae34990f4358979625854259302feaa78 folder=. ;;
    *) usage ;;
esac
target=$2
[ ! -e "$target" ] || { echo "download: $target exists; nothing fetched" >&2; exit 0; }

# CORPUS_MIRROR is a place with copies of these repositories, for sites without the internet.
origin="${CORPUS_MIRROR:-https://github.com}/$repository"
mkdir -p "$(dirname "$target")"
work=$(mktemp -d "$(dirname "$target")/.download-XXXXXX")
trap 'rm -rf "$work"' EXIT
git init --quiet "$work"
git -C "$work" fetch --quiet --depth 1 "$origin" "$commit" || {
    echo "download: $origin is out of reach or lacks commit $commit: pass DATA=/path/to/a/copy instead" >&2
    exit 1
}
[ "$(git -C "$work" rev-parse FETCH_HEAD)" = "$commit" ] || { echo "download: $origin sent another commit" >&2; exit 1; }
git -C "$work" -c advice.detachedHead=false checkout --quiet FETCH_HEAD
git -C "$work" fsck --no-progress --no-dangling >/dev/null
mv "$work/$folder" "$target"
echo "download: $1 is in $target, as published at commit ${commit:0:12}" >&2
