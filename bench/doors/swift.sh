#!/usr/bin/env bash
# swift.sh BUILD MODEL: what Swift adds to a token's time. C and Swift run in turns, eight times; prints both medians and their
# ratio. BUILD is a build folder, as build/release; run it on a machine that does nothing else. With `build` in place of MODEL
# it only builds.
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
for _ in 1 2 3 4 5 6 7 8; do
    echo "c $("$work/tokens" "$model")"
    echo "swift $("$work/tokens_swift" "$model")"
done | sort -k1,1 -k2,2n | awk '
    { t[$1, ++n[$1]] = $2 }
    END {
        c = (t["c", 4] + t["c", 5]) / 2; s = (t["swift", 4] + t["swift", 5]) / 2
        printf "C %.1f us a token, Swift %.1f us a token: %+.2f %%\n", c, s, 100 * (s / c - 1)
    }'
