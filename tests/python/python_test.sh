#!/usr/bin/env bash
# python_test.sh BUILD SOURCE [pytest's options]: builds the wheel, has auditwheel make a manylinux one of it, installs that in
# an environment of its own and runs the tests there.
set -euo pipefail
build=$1 source=$2
shift 2
work=$build/python
mkdir -p "$work"
[ -x "$work/venv/bin/python" ] || python3 -m venv "$work/venv"
python=$work/venv/bin/python
pip() { "$python" -m pip --quiet --disable-pip-version-check "$@"; }
cmp -s "$source/tests/python/requirements.txt" "$work/installed.txt" || {
    pip install -r "$source/tests/python/requirements.txt"
    cp "$source/tests/python/requirements.txt" "$work/installed.txt"
}
rm -rf "$work/wheel" "$work/manylinux"
# As deep as the other build folders: compiler caches see the same relative paths.
# As CMake names them when asked for nothing, for the same caches.
export CC=cc CXX=c++
pip wheel "$source" --no-deps --wheel-dir "$work/wheel" --config-settings build-dir="$source/build/wheel"
if [ "$(uname)" = Linux ]; then
    PATH=$work/venv/bin:$PATH "$python" -m auditwheel repair --wheel-dir "$work/manylinux" "$work"/wheel/*.whl 2>"$work/auditwheel.log" || {
        cat "$work/auditwheel.log"
        exit 1
    }
else
    cp -r "$work/wheel" "$work/manylinux"
fi
ELVER_TEST_WHEEL=$(echo "$work"/manylinux/*.whl)
export ELVER_TEST_WHEEL
echo "$ELVER_TEST_WHEEL, $(stat -c %s "$ELVER_TEST_WHEEL" 2>/dev/null) bytes"
pip install --force-reinstall --no-deps "$ELVER_TEST_WHEEL"
cd "$source"
"$python" -m pytest -m "not slow" -p no:cacheprovider -q "$@"
