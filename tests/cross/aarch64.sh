#!/usr/bin/env bash
# Builds the kernel tests for 64-bit Arm in the folder given and runs them under qemu-user as three processors: one with
# the matrix product of bytes, one with the dot product only, one with neither. Each must find exactly its levels.
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$1

cmake -S "$source/kernels" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DELVER_WERROR=ON \
    -DCMAKE_TOOLCHAIN_FILE="$source/../../cmake/toolchains/aarch64-linux-gnu.cmake"
cmake --build "$build" -j 2

run() { # processor, its levels
    local cpu=$1 found; shift
    local emulate=(qemu-aarch64 -cpu "$cpu" -L /usr/aarch64-linux-gnu)
    found=$("${emulate[@]}" "$build/bin/levels" | tr '\n' ' ')
    echo "$cpu: $found"
    [ "$found" = "$* " ] || { echo "$cpu: expected the levels $*" >&2; exit 1; }
    "${emulate[@]}" "$build/bin/test_kernels"
}
run max neon_i8mm neon_dotprod reference
run neoverse-n1 neon_dotprod reference
run cortex-a57 reference
