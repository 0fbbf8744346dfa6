#!/usr/bin/env bash
# Prepares .venv: interpreter, Java, compiler, pinned packages, the Horovod wheel, and Parley itself.
# setup.sh [DIRECTORY [CONSTRAINTS]] prepares another one, for example: setup.sh .venv-spark35 constraints-spark35.txt
# Running it again when nothing has changed returns at once. PYTHON names another interpreter (3.11 or 3.12).
set -euo pipefail
cd "$(dirname "$0")/.."

venv=${1:-.venv}
constraints=${2:-constraints.txt}
stamp="$venv/.ready"
say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 2; }

# What the environment was made from; a change in any of it makes it anew.
wanted() { cat "$constraints" constraints-horovod.txt pyproject.toml scripts/apt.sh scripts/setup.sh scripts/build_horovod.sh | sha256sum | cut -d' ' -f1; }

. scripts/apt.sh

serves() { "$1" -c 'import sys, ensurepip; sys.exit(sys.version_info[:2] not in {(3, 11), (3, 12)})' 2>/dev/null; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.11 python3.12 python3}; do
        if serves "$candidate"; then echo "$candidate"; return; fi
    done
    [ -z "${PYTHON:-}" ] || die "PYTHON=$PYTHON is not Python 3.11 or 3.12 with venv"
    return 1
}

java_version() { "${JAVA_HOME:+$JAVA_HOME/bin/}java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p'; }

need_java() {
    [ "$(java_version 2>/dev/null || true)" -ge 17 ] 2>/dev/null && return
    [ -z "${JAVA_HOME:-}" ] || die "JAVA_HOME=$JAVA_HOME holds Java '$(java_version)': Spark 4.0 needs 17 or newer"
    (apt_install "Java 17 or newer" openjdk-17-jre-headless) || apt_install "Java 17 or newer" openjdk-21-jre-headless
}

install_packages() {
    # The lock file's hashes are enforced; Horovod is not in it because it has no wheel and is built here.
    "$venv/bin/pip" install --disable-pip-version-check --require-hashes -r "$constraints"
    "$venv/bin/pip" install --disable-pip-version-check --no-deps "$(PYTHON="$venv/bin/python" scripts/build_horovod.sh)"
    "$venv/bin/pip" install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
}

# Java keeps Spark's classes as one small job has loaded and verified them: all later local jobs start in half the time.
# A part of such a file makes Java crash, hence the renaming; without the file it loads them as ever.
archive_classes() {
    local made settings
    made=$(mktemp -d "$venv/classes-XXXXXX")
    settings=(--config conf/local.toml --set generator.rows=2000 --set "corpus.path=$made/corpus" --set "dataset.path=$made/dataset")
    if "$venv/bin/python" -m jobs.generate "${settings[@]}" 2>/dev/null &&
        env -u HADOOP_CONF_DIR -u YARN_CONF_DIR PYSPARK_PYTHON="$venv/bin/python" "$venv/bin/spark-submit" --master 'local[2]' \
            --driver-java-options "-XX:ArchiveClassesAtExit=$made/spark.jsa" jobs/preprocess.py "${settings[@]}" 2>/dev/null &&
        mv "$made/spark.jsa" "$venv/"; then
        say "Spark's classes archived in $venv/spark.jsa"
    else
        say "Java keeps no archive of Spark's classes: local jobs take a few seconds more to start"
    fi
    rm -rf "$made"
}

if [ "$(cat "$stamp" 2>/dev/null)" = "$(wanted)" ] && "$venv/bin/python" -c '' 2>/dev/null && java_version >/dev/null 2>&1; then
    exit 0
fi
need_java
command -v g++ >/dev/null && command -v make >/dev/null || apt_install "a C++ compiler" g++ make
python=$(find_python) || { apt_install "Python 3.11 or 3.12 with venv" python3 python3-venv python3-dev; python=$(find_python); } \
    || die "no Python 3.11 or 3.12 found: install one, or name it with PYTHON=/path/to/python3.11"
say "making $venv with $("$python" --version)"
rm -f "$stamp"
"$python" -m venv --clear "$venv"
install_packages
archive_classes >/dev/null
wanted > "$stamp"
say "ready: $venv"
