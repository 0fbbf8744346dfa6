#!/usr/bin/env bash
# Renews constraints.txt, its variants for Spark 3.5 and for GPUs, and constraints-horovod.txt from pyproject.toml, with
# the hash of every package.
# uv does the work, from an environment of its own.
set -euo pipefail
cd "$(dirname "$0")/.."

tool=$(mktemp -d)
trap 'rm -rf "$tool"' EXIT
python3 -m venv "$tool"
"$tool/bin/pip" install --quiet uv
lock() { "$tool/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header "$@"; }

lock_project() { lock pyproject.toml --extra s3 --extra azure --extra tracking --extra dev --no-emit-package horovod "$@"; }

lock_project --extra cpu --output-file constraints.txt
# uv keeps what the output file holds already: only Spark differs, or TensorFlow.
cp constraints.txt constraints-spark35.txt
echo 'pyspark<4' | lock_project --extra cpu --constraint - --output-file constraints-spark35.txt
cp constraints.txt constraints-gpu.txt
lock_project --extra gpu --output-file constraints-gpu.txt
# Horovod apart: it has no wheel, and pip would try to build it before TensorFlow is there.
grep -o 'horovod==[0-9.]*' pyproject.toml | lock - --no-deps --output-file constraints-horovod.txt
lock conf/airflow/requirements.in --output-file conf/airflow/requirements.txt
