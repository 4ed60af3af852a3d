#!/usr/bin/env bash
# python.sh PREFIX MODEL: what Python adds to a token's time. PREFIX is where elver is installed with its headers; the python3 of
# PATH has the package, of the same code.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
prefix=$(cd "$1" && pwd) model=$2
library=$(dirname "$(find "$prefix" -name libelver.so | head -n 1)")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cc -O2 -std=c99 -I"$prefix/include" "$here/tokens.c" -L"$library" -lelver -Wl,-rpath,"$library" -o "$work/tokens"
python3 "$here/turns.py" "$work/tokens $model" "python3 $here/tokens.py $model"
