#!/usr/bin/env bash
# included_test.sh SOURCE: elver as a part of another CMake project (add_subdirectory, as FetchContent does) is a library alone:
# no program, no tests, no install rules, no -Werror; and it compiles there.
set -euo pipefail
source=$1
root=$(cd "$source/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake -S "$source/included" -B "$work/build" -DELVER="$root" >/dev/null
if grep -q -e -Werror "$work/build/compile_commands.json"; then echo "the project is given -Werror"; exit 1; fi
# ctest's and install's files of elver, if any, do nothing.
cmake --install "$work/build" --prefix "$work/prefix" >/dev/null
if [ -n "$(find "$work/prefix" -type f 2>/dev/null)" ]; then echo "elver installs files of its own"; exit 1; fi
# One room and the user's own file: the rest compiles as it does elsewhere.
cmake --build "$work/build" --target elver_base >/dev/null
echo "elver is a library alone"
