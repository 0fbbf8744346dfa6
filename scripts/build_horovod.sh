#!/usr/bin/env bash
# Prints the path of a Horovod wheel for the TensorFlow of $PYTHON, building it (about 3 minutes) unless it is cached.
# Horovod is published as source only, and has to be compiled against the TensorFlow that it will run with.
# For tensorflow[and-cuda] (the extra `gpu`) it is built with CUDA and NCCL. That takes no GPU, but a CUDA toolkit of
# TensorFlow's CUDA version in HOROVOD_CUDA_HOME (/usr/local/cuda): docs/gpu.md.
set -euo pipefail
cd "$(dirname "$0")/.."

die() { echo "horovod: $*" >&2; exit 2; }
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
case "$key" in
    tensorflow-*) gpu=1 key="$key${HOROVOD_BUILD_CUDA_CC_LIST:+-sm$HOROVOD_BUILD_CUDA_CC_LIST}" ;;
    *) gpu= ;;
esac
wheels="$cache/$release-$key"
log="$cache/$release-$key.log"

mkdir -p "$wheels"
exec 9>"$wheels/.lock"
flock 9    # a second set-up waits for the first one's wheel
if wheel=$(ls "$wheels"/horovod-*.whl 2>/dev/null); then echo "$wheel"; exit 0; fi

headers=$("$python" -c 'import tensorflow.sysconfig as s; print(s.get_include())' 2>/dev/null)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# TensorFlow moved this header; Horovod 0.28.1 includes it by its old name, in one file only (XLA operations).
mkdir -p "$work/shim/tensorflow/compiler/xla/client"
cat > "$work/shim/tensorflow/compiler/xla/client/xla_builder.h" <<'CPP'
#include "xla/hlo/builder/xla_builder.h"
#if HAVE_GPU
// Horovod's other files call this function, which TensorFlow no longer has.
#include <cuda_runtime.h>
#include "xla/stream_executor/stream.h"
namespace stream_executor::gpu {
cudaStream_t AsGpuStreamValue(Stream* stream) {
  return static_cast<cudaStream_t>(stream->platform_specific_handle().stream);
}
}  // namespace stream_executor::gpu
// XLA operations (only with HOROVOD_ENABLE_XLA_OPS=1) are written against an interface that is gone: leave them out.
#undef HAVE_GPU
#endif
CPP

set_cuda() { # the settings of a build with CUDA and NCCL; in one line, what is not there for it or does not fit
    local toolkit=${HOROVOD_CUDA_HOME:-/usr/local/cuda} wanted found nccl
    [ -x "$toolkit/bin/nvcc" ] || die "no $toolkit/bin/nvcc: set HOROVOD_CUDA_HOME to a CUDA toolkit (docs/gpu.md)," \
        "or install tensorflow-cpu instead of tensorflow"
    wanted=$("$python" -c 'import tensorflow.sysconfig as s; print(s.get_build_info().get("cuda_version"))' 2>/dev/null)
    found=$(sed -n 's/^#define CUDART_VERSION *\([0-9]*\)[0-9]\{3\}$/\1/p' "$toolkit/include/cuda_runtime_api.h") ||
        die "$toolkit/include has no cuda_runtime_api.h: set HOROVOD_CUDA_HOME to a whole CUDA toolkit"
    [ "$found" = "${wanted%%.*}" ] || die "$toolkit holds CUDA $found, TensorFlow was built for CUDA $wanted:" \
        "set HOROVOD_CUDA_HOME to a toolkit of CUDA ${wanted%%.*}"
    nccl=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/nvidia/nccl
    [ -e "$nccl/lib/libnccl.so.2" ] || die "no NCCL in $nccl: install tensorflow[and-cuda], not tensorflow alone"
    # The NCCL that TensorFlow loads, not a second one in the process. As PyPI has it, it lacks the name to link with.
    mkdir -p "$work/nccl/lib"
    ln -s "$nccl/include" "$work/nccl/include"
    ln -s "$nccl/lib/libnccl.so.2" "$work/nccl/lib/libnccl.so"
    export HOROVOD_GPU=CUDA HOROVOD_GPU_OPERATIONS=NCCL HOROVOD_CUDA_HOME="$toolkit"
    export HOROVOD_NCCL_HOME="$work/nccl" HOROVOD_NCCL_LINK=SHARED
    # Seen from horovod/tensorflow/, wherever the environment lies. CMake writes no path of its own for a directory that
    # the compiler searches anyway.
    # shellcheck disable=SC2016  # the loader replaces $ORIGIN
    export LDFLAGS='-Wl,-rpath,$ORIGIN/../../nvidia/nccl/lib' LIBRARY_PATH="$work/nccl/lib"
    PATH="$toolkit/bin:$PATH"
}
[ -z "$gpu" ] || set_cuda
export HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITHOUT_PYTORCH=1 HOROVOD_WITHOUT_MXNET=1
export HOROVOD_WITH_GLOO=1 HOROVOD_WITHOUT_MPI=1
export CPLUS_INCLUDE_PATH="$headers/external/highwayhash:$headers/external/farmhash_archive/src:$work/shim:$headers"
MAKEFLAGS="-j$(nproc)"
PATH="$(dirname "$python"):$PATH"
export MAKEFLAGS PATH

echo "horovod: building $release${gpu:+ with CUDA and NCCL} against TensorFlow (once; log in $log)" >&2
# pip keeps built wheels too, but does not ask what they were built against: not its cache.
"$python" -m pip wheel -v --no-cache-dir --disable-pip-version-check --no-build-isolation --no-deps --require-hashes \
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
