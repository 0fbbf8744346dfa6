#!/usr/bin/env bash
# Prints the path of a Horovod wheel for the TensorFlow of $PYTHON, building it (about 3 minutes) unless it is cached.
# Horovod is published as source only, and has to be compiled against the TensorFlow that it will run with.
set -euo pipefail
cd "$(dirname "$0")/.."

python=$(realpath --no-symlinks "${PYTHON:-.venv/bin/python}")
cache="${PARLEY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/parley}"
release=$(sed -n 's/^\(horovod==[0-9.]*\).*/\1/p' constraints-horovod.txt)
key=$("$python" - <<'PY'
import platform, sys, sysconfig
from importlib.metadata import packages_distributions, version
package = packages_distributions()["tensorflow"][0]
libc = "-".join(platform.libc_ver())
print(package, version(package), sys.implementation.cache_tag, sysconfig.get_platform(), libc, sep="-")
PY
)
wheels="$cache/$release-$key"
log="$cache/$release-$key.log"

mkdir -p "$wheels"
exec 9>"$wheels/.lock"
flock 9    # a second set-up waits for the first one's wheel
if wheel=$(ls "$wheels"/horovod-*.whl 2>/dev/null); then echo "$wheel"; exit 0; fi

headers=$("$python" -c 'import tensorflow.sysconfig as s; print(s.get_include())' 2>/dev/null)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# TensorFlow moved this header; Horovod 0.28.1 includes it by its old name.
mkdir -p "$work/shim/tensorflow/compiler/xla/client"
echo '#include "xla/hlo/builder/xla_builder.h"' > "$work/shim/tensorflow/compiler/xla/client/xla_builder.h"

export HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITHOUT_PYTORCH=1 HOROVOD_WITHOUT_MXNET=1
export HOROVOD_WITH_GLOO=1 HOROVOD_WITHOUT_MPI=1
export CPLUS_INCLUDE_PATH="$headers/external/highwayhash:$headers/external/farmhash_archive/src:$work/shim:$headers"
MAKEFLAGS="-j$(nproc)"
PATH="$(dirname "$python"):$PATH"
export MAKEFLAGS PATH

echo "horovod: building $release against TensorFlow (once; log in $log)" >&2
"$python" -m pip wheel -v --disable-pip-version-check --no-build-isolation --no-deps --require-hashes \
    --wheel-dir "$work/out" -r constraints-horovod.txt > "$log" 2>&1 &
build=$!
while kill -0 "$build" 2>/dev/null; do
    sleep 5
    step=$(grep -oE '^ *\[ *[0-9]+%\] (Building|Linking).*' "$log" | tail -n 1 | sed 's/CMakeFiles[^ ]*\.dir\///' || true)
    printf 'horovod: %4ds %s\n' "$SECONDS" "$step" >&2
done
wait "$build" || { tail -n 40 "$log" >&2; echo "horovod: the build failed, the whole log is $log" >&2; exit 1; }
mv "$work"/out/horovod-*.whl "$wheels/"
ls "$wheels"/horovod-*.whl
