#!/usr/bin/env bash
# Runs a job on YARN: submit.sh JOB --config FILE [--set section.key=value ...] [--dry-run]
#
# JOB is a file in jobs/; Spark's settings for it are in conf/spark/JOB.conf, and what a configuration NAME.toml wants
# otherwise is in conf/spark/NAME/JOB.conf.
# PARLEY_DEPLOY_MODE  client (the default: the driver runs here) or cluster
# PARLEY_ENVIRONMENT  URI of the archive that scripts/pack_environment.sh made; without it PYSPARK_PYTHON names an
#                     interpreter that has Parley on every node (the default: this checkout's .venv)
# SPARK_OPTIONS       further words for spark-submit, for example "--queue nightly --principal me --keytab me.keytab"
# The exit code is the job's: 0 done, 2 the caller's mistake, 1 a failure; in cluster mode too.
set -euo pipefail

die() { printf 'submit: %s\n' "$*" >&2; exit 2; }

home=$(cd "$(dirname "$0")/.." && pwd)
job=${1:-}
settings="$home/conf/spark/$job.conf"
[ -n "$job" ] && [ -f "$settings" ] || die "unknown job '$job': there are $(cd "$home/conf/spark" && echo ./*.conf | sed 's|\./||g; s|\.conf||g')"
shift
[ -n "${HADOOP_CONF_DIR:-}" ] || die 'HADOOP_CONF_DIR is not set: point it to the cluster, or run eval "$(scripts/cluster.sh start)"'

python=${PYSPARK_PYTHON:-$home/.venv/bin/python}
mode=${PARLEY_DEPLOY_MODE:-client}
spark=$("$home/.venv/bin/python" -c 'import os, pyspark; print(os.path.dirname(pyspark.__file__))' 2>/dev/null || true)
own=$home/.venv/bin/python
[ -x "$own" ] || own=$python
[ "$mode" = cluster ] || command -v "$python" >/dev/null || die "no Python at $python: run make setup, or correct PYSPARK_PYTHON"
if [ -n "${SPARK_HOME:-}" ]; then submit=$SPARK_HOME/bin/spark-submit; else submit=$(command -v spark-submit || true); fi
if [ -z "$submit" ] && [ -n "$spark" ]; then export SPARK_HOME=$spark; submit=$spark/bin/spark-submit; fi
[ -x "$submit" ] || die "no spark-submit: run make setup, or set SPARK_HOME"

options=(--master yarn --deploy-mode "$mode" --name "parley $job")
. "$home/scripts/yarn_options.sh"
add_settings "$settings"
add_environment "$python"
add_jars "$spark"
if [ "$mode" = client ]; then
    add_driver "$python"
    # The pages of the driver's web interface may start in the moment when YARN's filter is put before them, and then the
    # job ends (Spark 4.0.5). SPARK_OPTIONS="--conf spark.ui.enabled=true" has them all the same.
    options+=(--conf spark.ui.enabled=false)
fi

arguments=()
while [ $# -gt 0 ]; do
    case $1 in
        --config)
            [ -f "${2:-}" ] || die "--config ${2:-}: no such file"
            more="$home/conf/spark/$(basename "$2" .toml)/$job.conf"
            if [ -f "$more" ]; then add_settings "$more"; fi
            if [ "$mode" = cluster ]; then options+=(--files "$2"); set -- "$1" "$(basename "$2")" "${@:3}"; fi
            arguments+=("$1" "$2"); shift 2 ;;
        *) arguments+=("$1"); shift ;;
    esac
done

# shellcheck disable=SC2206  # words, on purpose
options+=(${SPARK_OPTIONS:-})
result=()
if [ "$mode" = cluster ]; then  # spark-submit then says 1 for every failure: the job leaves its end on storage
    result=("hdfs:///tmp/parley-$(id -un)-$(date +%s)-$$.json")
    options+=(--conf "spark.yarn.appMasterEnv.PARLEY_RESULT=${result[0]}")
fi
said=$(mktemp -d)
trap 'rm -rf "$said"' EXIT
mkfifo "$said/out" "$said/err"
tee "$said/out.log" < "$said/out" &
tee "$said/err.log" < "$said/err" >&2 &
"$submit" "${options[@]}" "$home/jobs/$job.py" "${arguments[@]}" > "$said/out" 2> "$said/err" &
child=$!
# A scheduler that ends this ends the job: the driver here, or the application, which else goes on without spark-submit.
ended=
end_job() { # end_job SIGNAL
    ended=$1
    kill -TERM "$child" 2>/dev/null || true
    local application
    application=$(sed -n 's/.*Submitted application \(application_[0-9_]*\).*/\1/p' "$said/err.log" | head -n 1)
    if [ "$mode" = cluster ] && [ -n "$application" ]; then
        "${submit%submit}class" org.apache.hadoop.yarn.client.cli.ApplicationCLI application -kill "$application" >&2 || true
    fi
}
trap 'end_job INT' INT
trap 'end_job TERM' TERM
status=0
wait "$child" || status=$?
wait || true
if [ -n "$ended" ]; then
    printf 'parley: ended by SIG%s; the same command begins again, training from its last checkpoint\n' "$ended" >&2
    exit 1
fi
cat "$said/out.log" "$said/err.log" > "$said/all.log"
# Who submits with a keytab may have no ticket here: reading the result logs in by itself.
if [[ " ${SPARK_OPTIONS:-}" =~ \ --keytab[=\ ]+([^ ]+) ]]; then export KRB5_CLIENT_KTNAME=${BASH_REMATCH[1]} KRB5CCNAME=MEMORY:parley; fi
"$own" -m jobs.submission "$status" "$said/all.log" "${result[@]}"
