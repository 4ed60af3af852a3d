#!/usr/bin/env bash
# swift_test.sh BUILD SOURCE SWIFT: the Swift examples, built by SwiftPM over an installed elver.
set -euo pipefail
build=$1 source=$2 swift=$3
[ -x "$swift" ] || { echo "skipped: Swift is not installed"; exit 77; }
work=$build/examples_swift
rm -rf "$work/prefix"
cmake --install "$build" --prefix "$work/prefix" >/dev/null
PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name elver.pc)")
LD_LIBRARY_PATH=$(dirname "$PKG_CONFIG_PATH")
export PKG_CONFIG_PATH LD_LIBRARY_PATH
package=(--package-path "$source/examples/swift" --scratch-path "$work/scratch" --disable-sandbox -j 2)
timeout -k 5 540 "$swift" test "${package[@]}"
found=$("$("$swift" build "${package[@]}" --show-bin-path)/chat" "$ELVER_TEST_MODEL" "What is 2+2?")
[ "$found" = "The answer to this classic math problem is 4." ] || { echo "chat.swift answered: $found"; exit 1; }
