#!/bin/sh
# Builds the peer that elver is measured against: llama.cpp, from the sources inside the PyPI sdist of llama-cpp-python, for this very
# machine (GGML_NATIVE), with its benchmark, perplexity tool and architecture test. It leaves runs to compare.py and tests/oracle.
#
#     build_llama_cpp.sh DIR        JOBS=2 and LLAMA_CPP_PYTHON=0.3.36 in the environment are the defaults
#
# Afterwards: DIR/llama.cpp the sources, DIR/build/bin the programs and libllama.so, DIR/VERSION what was built. A second run updates.
set -eu

version=${LLAMA_CPP_PYTHON:-0.3.36}
jobs=${JOBS:-2}
[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
for tool in python3 cmake ninja c++; do
    command -v "$tool" >/dev/null || { echo "$0: needs $tool" >&2; exit 1; }
done
mkdir -p "$1"
dir=$(cd "$1" && pwd)
package=llama_cpp_python-$version

if [ ! -d "$dir/$package/vendor/llama.cpp" ]; then
    [ -f "$dir/$package.tar.gz" ] ||
        python3 -m pip download --quiet --no-deps --no-binary=:all: --dest "$dir" "llama-cpp-python==$version"
    tar -x -z -f "$dir/$package.tar.gz" -C "$dir"
fi
ln -sfn "$package/vendor/llama.cpp" "$dir/llama.cpp"

nice -n 10 cmake -S "$dir/$package/vendor/llama.cpp" -B "$dir/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON \
    -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TESTS=ON
nice -n 10 cmake --build "$dir/build" -j "$jobs" --target llama llama-bench llama-perplexity llama-quantize test-llama-archs
echo "llama.cpp of llama-cpp-python $version" >"$dir/VERSION"
ls "$dir/build/bin/llama-bench" "$dir/build/bin/llama-perplexity" "$dir/build/bin/llama-quantize" "$dir/build/bin/test-llama-archs"
