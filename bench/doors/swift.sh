#!/usr/bin/env bash
# swift.sh BUILD MODEL: what Swift adds to a token's time. BUILD is a build folder, as build/release. With `build` in place of
# MODEL it only builds.
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$(cd "$1" && pwd) model=$2
work=$build/doors
export PKG_CONFIG_PATH=$work/prefix/lib/pkgconfig LD_LIBRARY_PATH=$work/prefix/lib
package=(--package-path "$source/bench/doors/swift" --scratch-path "$work/scratch" --disable-sandbox -c release -j 2)
if [ "$model" = build ] || [ ! -x "$work/tokens" ]; then
    cmake --install "$build" --prefix "$work/prefix" >/dev/null
    # shellcheck disable=SC2046  # flags are words
    cc -O2 "$source/bench/doors/tokens.c" $(pkg-config --cflags --libs elver) -o "$work/tokens"
    swift build "${package[@]}"
    cp "$(swift build "${package[@]}" --show-bin-path)/tokens" "$work/tokens_swift"
    [ "$model" != build ] || exit 0
fi
python3 "$source/bench/doors/turns.py" "$work/tokens $model" "$work/tokens_swift $model"
