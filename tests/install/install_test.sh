#!/usr/bin/env bash
# Installs the build to a folder of its own, then builds and runs a program that finds it there: by find_package, and by
# pkg-config.
set -euo pipefail
build=$1 source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/prefix" >/dev/null
cmake -S "$source/consumer" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build "$work/build" >/dev/null
"$work/build/consumer"
PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name elver.pc)")
export PKG_CONFIG_PATH
# shellcheck disable=SC2046  # flags are words
cc "$source/consumer/main.c" $(pkg-config --cflags --libs elver) -Wl,-rpath,"$(pkg-config --variable=libdir elver)" -o "$work/by_pkg_config"
"$work/by_pkg_config"
"$work/prefix/bin/elver" --version
