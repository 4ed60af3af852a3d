#!/usr/bin/env bash
# swift_test.sh BUILD SOURCE SWIFT: installs the build to a folder of its own, then builds and tests the package there.
set -euo pipefail
build=$1 source=$2 swift=$3
[ -x "$swift" ] || { echo "skipped: Swift is not installed"; exit 77; }
work=$build/swift
rm -rf "$work/prefix"
cmake --install "$build" --prefix "$work/prefix" >/dev/null
PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name elver.pc)")
LD_LIBRARY_PATH=$(dirname "$PKG_CONFIG_PATH")
export PKG_CONFIG_PATH LD_LIBRARY_PATH
timeout -k 5 540 "$swift" test --package-path "$source" --scratch-path "$work/scratch" --disable-sandbox -j 2 \
    -Xswiftc -warnings-as-errors
