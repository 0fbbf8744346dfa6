#!/usr/bin/env bash
# Airflow with the DAGs of conf/airflow, to try them out: airflow.sh standalone, airflow.sh dags test parley_nightly 2026-11-01
#
# It runs in an environment of its own, made once from conf/airflow/requirements.txt and kept in ~/.cache/parley.
# AIRFLOW_HOME is its database and logs (the default: data/airflow). PYTHON names the interpreter (3.11 or 3.12).
set -euo pipefail

home=$(cd "$(dirname "$0")/.." && pwd)
lock="$home/conf/airflow/requirements.txt"
python=${PYTHON:-$home/.venv/bin/python}
command -v "$python" >/dev/null || python=python3
key=$({ cat "$lock"; "$python" -c 'import sys; print(sys.version_info[:2])'; } | sha256sum | cut -c1-12)
environment="${PARLEY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/parley}/airflow-$key"
say() { printf 'airflow: %s\n' "$*" >&2; }

mkdir -p "$environment"
exec 9>"$environment.lock"
flock 9    # a second one waits for the first one's environment
if [ ! -f "$environment/.complete" ]; then
    say "making its environment (300 MB, once; about a minute; log in $environment.log)"
    rm -rf "$environment"
    { "$python" -m venv "$environment" && "$environment/bin/pip" install --require-hashes -r "$lock"; } \
        >"$environment.log" 2>&1 9<&- || { tail -3 "$environment.log" >&2; say "pip failed: the whole log is $environment.log"; exit 1; }
    touch "$environment/.complete"
fi
exec 9<&-

export AIRFLOW_HOME=${AIRFLOW_HOME:-$home/data/airflow}
export AIRFLOW__CORE__DAGS_FOLDER=${AIRFLOW__CORE__DAGS_FOLDER:-$home/conf/airflow}
export AIRFLOW__CORE__LOAD_EXAMPLES=${AIRFLOW__CORE__LOAD_EXAMPLES:-False}
export AIRFLOW_VAR_PARLEY_HOME=${AIRFLOW_VAR_PARLEY_HOME:-$home}
exec "$environment/bin/airflow" "$@"
