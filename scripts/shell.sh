#!/usr/bin/env bash
# A PySpark shell with the jobs imported and a configuration loaded: shell.sh [--config FILE] [--set section.key=value ...]
#
# PARLEY_MASTER       local (the default) or yarn, in client mode; HADOOP_CONF_DIR then names the cluster
# PARLEY_ENVIRONMENT  on YARN, URI of the archive that scripts/pack_environment.sh made; without it PYSPARK_PYTHON names
#                     an interpreter that has Parley on every node (the default: this checkout's .venv)
# SPARK_OPTIONS       further words for pyspark, for example "--executor-memory 4g --queue nightly"
# Without --config it is conf/local.toml, on YARN conf/yarn.toml. docs/shell.md has examples.
set -euo pipefail

die() { printf 'shell: %s\n' "$*" >&2; exit 2; }

home=$(cd "$(dirname "$0")/.." && pwd)
python=${PYSPARK_PYTHON:-$home/.venv/bin/python}
[ -x "$python" ] || command -v "$python" >/dev/null || die "no interpreter $python: run make setup, or set PYSPARK_PYTHON"
case " $* " in *" -h "*|*" --help "*) exec "$python" -m jobs.shell local --help ;; esac
master=${PARLEY_MASTER:-local}
case " $* " in *" --config"[\ =]*) ;; *) set -- --config "$home/conf/$master.toml" "$@" ;; esac
options=()
case $master in
    local) ;;
    yarn)
        [ -n "${HADOOP_CONF_DIR:-}" ] || die 'HADOOP_CONF_DIR is not set: point it to the cluster, or run eval "$(scripts/cluster.sh start)"'
        . "$home/scripts/yarn_options.sh"
        options+=(--master yarn --deploy-mode client)
        add_driver "$python"
        add_settings "$home/conf/spark/train.conf" ;;  # training is the most demanding of the jobs
    *) die "PARLEY_MASTER=$master: expected local or yarn" ;;
esac
settings=$("$python" -m jobs.shell "$master" "$@") || exit $?
[ -z "$settings" ] || mapfile -t -O "${#options[@]}" options <<< "$settings"

spark=$("$python" -c 'import os, pyspark; print(os.path.dirname(pyspark.__file__))')
export SPARK_HOME=${SPARK_HOME:-$spark} PYSPARK_PYTHON=$python PYSPARK_DRIVER_PYTHON=$python
if [ "$master" = yarn ]; then
    add_environment "$python"
    add_jars "$spark"
fi
export PARLEY_PYTHONSTARTUP=${PYTHONSTARTUP:-} PYTHONSTARTUP=$home/scripts/shell_startup.py
export PARLEY_SHELL_ARGUMENTS=${*@Q}
# shellcheck disable=SC2206  # words, on purpose
options+=(${SPARK_OPTIONS:-})
exec "$SPARK_HOME/bin/pyspark" "${options[@]}"
