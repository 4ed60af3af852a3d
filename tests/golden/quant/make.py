#!/usr/bin/env python3
"""Writes TYPE.bin beside it: random blocks of each type, then the f32 values that PyPI `gguf` decodes from them.

    python3 tests/golden/quant/make.py     # packages: tests/oracle/requirements.txt

A file is n_blocks blocks and n_blocks * block_size little-endian floats. Half of the blocks are random bytes; the others
have their scales at the ends of f16: zero, subnormal, largest, infinity, NaN, of either sign.
"""

from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

HERE = Path(__file__).resolve().parent
EXTREME = np.array([0, 1, 0x3FF, 0x400, 0x3C00, 0x7BFF, 0x7C00, 0x7E01, 0x8000, 0x8001, 0x83FF, 0xFBFF, 0xFC00], "<u2")

# Where a block's f16 scales lie, in bytes. MXFP4's scale is a byte, IQ1_M's is spread over nibbles: random bytes reach all.
SCALES = {
    "F16": [0], "BF16": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "IQ4_NL": [0],
    "MXFP4": [], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_XS": [0],
    "IQ2_XXS": [0], "IQ2_XS": [0], "IQ2_S": [0], "IQ3_XXS": [0], "IQ3_S": [0], "IQ1_S": [0], "IQ1_M": [], "TQ1_0": [52],
    "TQ2_0": [64],
}  # fmt: skip


def blocks_of(name, scales, random):
    size, n_bytes = GGML_QUANT_SIZES[GGMLQuantizationType[name]]
    n = 2048 if size == 1 else 96 if size <= 64 else 26
    blocks = random.integers(0, 256, (n, n_bytes), np.uint8)
    for i in range(n // 2, n):
        for at in scales:
            blocks[i, at : at + 2] = np.frombuffer(random.choice(EXTREME).tobytes(), np.uint8)
    return blocks


def main():
    random = np.random.default_rng(7)
    for name, scales in SCALES.items():
        blocks = blocks_of(name, scales, random)
        if name == "F16":
            values = blocks.reshape(-1).view("<f2").astype("<f4")
        else:
            with np.errstate(all="ignore"):
                values = dequantize(blocks, GGMLQuantizationType[name])
        (HERE / f"{name}.bin").write_bytes(blocks.tobytes() + values.astype("<f4").tobytes())


main()
