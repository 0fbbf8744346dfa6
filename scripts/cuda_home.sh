#!/usr/bin/env bash
# Puts a CUDA toolkit for building Horovod into a new directory, from PyPI, on a machine that has none:
#   scripts/cuda_home.sh /tmp/cuda && HOROVOD_CUDA_HOME=/tmp/cuda scripts/setup.sh .venv-gpu constraints-gpu.txt
#
# PyPI's CUDA 12 has no nvcc. The compiler is CUDA 13's, with the headers and the runtime of the CUDA 12 that TensorFlow
# has. Its kernels want a driver that knows CUDA 13 (580 or newer) and a GPU not older than Turing.
set -euo pipefail

die() { printf 'cuda_home: %s\n' "$*" >&2; exit 2; }
home=${1:-}
[ -n "$home" ] || die "usage: cuda_home.sh DIRECTORY"
[ ! -e "$home" ] || die "$home exists: name a new directory"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/packages" <<'PIP'
nvidia-cuda-nvcc==13.0.88 --hash=sha256:56fe502eb77625a12f25172caa3cdddb4e4c8ba2c8c17dba44b164761b380f03
nvidia-nvvm==13.0.88 --hash=sha256:c5f41ffeb6466944a026dfa5317d7d85355c119bbec279205d22f1869d1054e0
nvidia-cuda-crt==13.0.88 --hash=sha256:2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4
nvidia-cuda-runtime-cu12==12.9.79 --hash=sha256:25bba2dfb01d48a9b59ca474a1ac43c6ebf7011f1b0b8cc44f54eb6ac48a96c3
nvidia-cuda-cccl-cu12==12.9.27 --hash=sha256:37869e17ce2e1ecec6eddf1927cca0f8c34e64fd848d40453df559091e2d7117
PIP
"${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
    --target "$work/target" -r "$work/packages"
from="$work/target/nvidia"
mkdir -p "$home/include" "$home/lib64"
cp -R "$from/cu13/bin" "$from/cu13/nvvm" "$home/"
cp -R "$from/cuda_runtime/include/." "$from/cuda_cccl/include/." "$home/include/"
cp -R "$from/cu13/include/crt" "$from/cu13/include/fatbinary_section.h" "$home/include/"    # of the compiler
cp -R "$from/cuda_runtime/lib/." "$home/lib64/"
ln -s libcudart.so.12 "$home/lib64/libcudart.so"
printf 'cuda_home: made %s with %s\n' "$home" "$("$home/bin/nvcc" --version | grep -o 'V[0-9.]*$')" >&2
