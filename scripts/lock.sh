#!/usr/bin/env bash
# Renews constraints.txt, constraints-spark35.txt and constraints-horovod.txt from pyproject.toml, with the hash of
# every package.
# uv does the work, from an environment of its own.
set -euo pipefail
cd "$(dirname "$0")/.."

tool=$(mktemp -d)
trap 'rm -rf "$tool"' EXIT
python3 -m venv "$tool"
"$tool/bin/pip" install --quiet uv
lock() { "$tool/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header "$@"; }

lock_project() { lock pyproject.toml --extra cpu --extra s3 --extra azure --extra dev --no-emit-package horovod "$@"; }

lock_project --output-file constraints.txt
# uv keeps what the output file holds already: only Spark differs.
cp constraints.txt constraints-spark35.txt
echo 'pyspark<4' | lock_project --constraint - --output-file constraints-spark35.txt
# Horovod apart: it has no wheel, and pip would try to build it before TensorFlow is there.
grep -o 'horovod==[0-9.]*' pyproject.toml | lock - --no-deps --output-file constraints-horovod.txt
lock conf/airflow/requirements.in --output-file conf/airflow/requirements.txt
