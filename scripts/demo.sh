#!/usr/bin/env bash
# Runs the whole way of the data: demo.sh [CORPUS [DATA]].
# CORPUS is shop (generated, the default) or a file of conf/ such as clinc150; DATA is where that corpus lies, if not
# fetched by scripts/download_corpus.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

corpus=${1:-shop}
data=${2:-}
python=.venv/bin/python
config="conf/$corpus.toml"
if [ "$corpus" = shop ]; then config=conf/local.toml; fi
[ -f "$config" ] || { echo "demo: no conf/$corpus.toml; there are: shop clinc150 3i4k sgd" >&2; exit 2; }

mkdir -p "data/$corpus"
if [ -n "$data" ]; then
    [ -d "$data" ] || { echo "demo: DATA=$data is not a directory" >&2; exit 2; }
    ln -sfn "$(realpath "$data")" "data/$corpus/corpus"
elif [ "$corpus" = shop ]; then
    [ -e data/shop/corpus ] || "$python" -m jobs.generate --config "$config"
elif [ ! -e "data/$corpus/corpus" ]; then
    scripts/download_corpus.sh "$corpus" "data/$corpus/corpus"
fi
# a demo shows the training, also the second time
rm -rf "data/$corpus/run"
exec "$python" -m jobs.pipeline --config "$config"
