#!/usr/bin/env bash
# doxygen_test.sh BUILD SOURCE DOXYGEN: makes the reference, and checks that it tells what the headers say.
set -euo pipefail
build=$1 source=$2 doxygen=$3
[ -x "$doxygen" ] || { echo "skipped: Doxygen is not installed"; exit 77; }
cd "$source"
rm -rf "$build/docs"
mkdir -p "$build/docs"
{ cat docs/Doxyfile; echo "OUTPUT_DIRECTORY = $build/docs"; } | "$doxygen" -
grep -q 'Begins the answer to a chat request' "$build/docs/html/elver_8h.html"
grep -rq 'drop down\|views instead of copies' "$build/docs/html"

# A parameter that is not there must be a warning, and a warning a failure.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r include docs "$work"
sed -i 's/@param source /@param sauce /' "$work/include/elver/elver.h"
cd "$work"
if { cat docs/Doxyfile; echo "OUTPUT_DIRECTORY = $work"; } | "$doxygen" - 2>"$work/log"; then
    echo "a wrong @param passed"; exit 1
fi
grep -q sauce "$work/log"
