#!/usr/bin/env bash
# examples_test.sh BUILD SOURCE: the C and C++ examples, built by find_package and by pkg-config from an install tree, must
# answer what is known; the window is driven on a virtual display where the tools for it are installed.
set -euo pipefail
build=$1 source=$2
model=${ELVER_TEST_MODEL:?expected the path of the test model; ./dev test sets it}
work=$build/examples
answer="The answer to this classic math problem is 4."
rm -rf "$work"
cmake --install "$build" --prefix "$work/prefix" >/dev/null

expect() { # what, wanted, found
    [ "$2" = "$3" ] || { printf '%s: expected "%s", found "%s"\n' "$1" "$2" "$3"; exit 1; }
}

cmake -S "$source/examples" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build "$work/build" >/dev/null
expect chat.c "$answer" "$("$work/build/chat_c" "$model" "What is 2+2?")"
printf 'What is 2+2?\nSay it again, "please".\n' | "$work/build/chat_cpp" "$model" >"$work/chat_cpp.txt" 2>/dev/null
expect chat.cpp "$answer" "$(head -1 "$work/chat_cpp.txt")"
expect "lines of chat.cpp" 2 "$(grep -c . "$work/chat_cpp.txt")"
expect "chat.c without a file" "chat: nothing.gguf: " "$("$work/build/chat_c" nothing.gguf "Hello" 2>&1 | head -c 20)"

PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name elver.pc)")
export PKG_CONFIG_PATH
# shellcheck disable=SC2046  # flags are words
cc -std=c99 -pedantic -Wall -Wextra -Werror "$source/examples/chat.c" $(pkg-config --cflags --libs elver) \
    -Wl,-rpath,"$(pkg-config --variable=libdir elver)" -o "$work/chat_by_pkg_config"
expect "chat.c by pkg-config" "$answer" "$("$work/chat_by_pkg_config" "$model" "What is 2+2?")"

for tool in fltk-config Xvfb xdotool xclip; do
    command -v $tool >/dev/null || { echo "the window is not tested: $tool is not installed"; exit 0; }
done
python3 "$source/tests/examples/window_test.py" "$work/build/window" "$model" "$work/window.ppm"
