#!/usr/bin/env bash
# Installs the build to a folder of its own, then builds and runs programs that find it there: by find_package (shared and
# static) and by pkg-config, in C and C++, and those that the documents print. Nothing installed may name the build's folders.
set -euo pipefail
build=$1 source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/prefix" >/dev/null

root=$(cd "$source/../.." && pwd)
if grep -rlF -e "$build" -e "$root" "$work/prefix"; then
    echo "these installed files name the folders of the build"
    exit 1
fi

# The first program in a document, in the language that its fence names.
program() { awk -v fence="^\`\`\`$2\$" '$0 ~ fence {on = 1; next} /^```/ {if (on) exit} on' "$root/docs/$1"; }
cp -r "$source/consumer" "$work/consumer"
program c.md c >"$work/consumer/document.c"
program cpp.md cpp >"$work/consumer/document.cpp"

cmake -S "$work/consumer" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build "$work/build" >/dev/null
model=$root/tests/golden/archs/llama.gguf
for linked in shared static; do
    "$work/build/consumer_$linked"
    "$work/build/consumer_cpp_$linked" "$model"
done
if ldd "$work/build/consumer_cpp_static" | grep -q libelver; then
    echo "the static consumer needs the shared library"
    exit 1
fi
for language in c cpp; do
    # The tiny model has no chat template: the program must say so, and with a real model answer.
    if "$work/build/document_$language" "$model" >/dev/null 2>"$work/said"; then
        echo "document_$language: expected an error"
        exit 1
    fi
    grep -q tokenizer.chat_template "$work/said"
    if [ -n "${ELVER_TEST_MODEL:-}" ]; then
        "$work/build/document_$language" "$ELVER_TEST_MODEL" >"$work/answer" 2>/dev/null
        grep -q . "$work/answer"
    fi
done

PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name elver.pc)")
export PKG_CONFIG_PATH
# shellcheck disable=SC2046  # flags are words
cc "$source/consumer/main.c" $(pkg-config --cflags --libs elver) -Wl,-rpath,"$(pkg-config --variable=libdir elver)" -o "$work/by_pkg_config"
"$work/by_pkg_config"
mkdir "$work/static"
cp "$(pkg-config --variable=libdir elver)/libelver.a" "$work/static"
# shellcheck disable=SC2046
c++ -x c "$source/consumer/main.c" -x none $(pkg-config --cflags elver) -L"$work/static" $(pkg-config --libs --static elver) -o "$work/static_by_pkg_config"
"$work/static_by_pkg_config"
"$work/prefix/bin/elver" --version
