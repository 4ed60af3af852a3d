#!/usr/bin/env python3
"""Writes what NumPy, PyPI `gguf` and Python itself say of things that src/base and src/tensor compute.

    python3 tests/golden/base/make.py     # packages: tests/oracle/requirements.txt

half.bin     records of f32 bits, f16 bits of it (NumPy), bf16 bits of it (gguf); then every f16 as f32 is told by a hash
base.json    that hash; byte strings and their text (Python's decoder); gguf's types
"""

import json
from pathlib import Path

import gguf
import numpy as np

HERE = Path(__file__).resolve().parent


def fnv(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def all_f16():
    values = np.arange(65536, dtype=np.uint16).view("<f2").astype("<f4")
    bits = values.view("<u4").copy()
    bits[np.isnan(values)] |= 0x00400000  # whether a NaN is quiet is the processor's affair
    return bits


def floats(random):
    """f32 bits: of any size, at the middles between two f16 and beside them, and the ends of every range."""
    anything = random.integers(0, 2**32, 4000, np.uint64).astype("<u4")
    half = random.integers(0, 0x7C00, 1500, np.uint16)
    low = half.view("<f2").astype("<f4")
    high = (half + 1).astype("<u2").view("<f2").astype("<f4")
    with np.errstate(all="ignore"):
        middle = ((low.astype("<f8") + high) / 2).astype("<f4").view("<u4")
    brain = (random.integers(0, 2**16, 1500, np.uint64) << 16).astype("<u4") + 0x8000
    ends = np.array([0, 1, 0x007FFFFF, 0x00800000, 0x33000000, 0x33000001, 0x387FC000, 0x387FDFFF, 0x387FE000, 0x38800000,
                     0x477FEFFF, 0x477FF000, 0x7F7FFFFF, 0x7F7F7FFF, 0x7F7F8000, 0x7F800000, 0x7F800001, 0x7FC00000,
                     0x7FFFFFFF], "<u4")  # fmt: skip
    sets = [anything, middle, middle - 1, middle + 1, brain, brain - 1, brain + 1, ends]
    bits = np.concatenate(sets)
    return np.concatenate([bits, ends | np.uint32(1 << 31), middle | np.uint32(1 << 31)]).astype("<u4")


def byte_strings(random):
    pieces = ["a", "é", "日", "😀", "\u0000", "\U0010ffff", "\ud7ff", "\ue000"]
    bad = [b"\x80", b"\xc0\xaf", b"\xc1", b"\xe0\x80\x80", b"\xe0\x9f", b"\xed\xa0\x80", b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80",
           b"\xf5", b"\xff", b"\xe2\x82", b"\xf0\x9f\x98", b"\xc3", b"\xe1\x80\xc3\xa9", b"\xf1\x80\x80a"]  # fmt: skip
    for _ in range(300):
        parts = [random.choice(pieces).encode() if random.random() < 0.5 else bad[random.integers(len(bad))]
                 for _ in range(random.integers(0, 6))]  # fmt: skip
        yield b"".join(parts)
    for _ in range(100):
        yield random.integers(0x70, 256, random.integers(0, 12), np.uint8).tobytes()


def main():
    random = np.random.default_rng(11)
    bits = floats(random)
    with np.errstate(all="ignore"):
        half = bits.view("<f4").astype("<f2").view("<u2")
        brain = gguf.quants.quantize(bits.view("<f4"), gguf.GGMLQuantizationType.BF16).view("<u2")
    records = np.rec.fromarrays([bits, half, brain.reshape(-1)], dtype=[("f", "<u4"), ("h", "<u2"), ("b", "<u2")])
    (HERE / "half.bin").write_bytes(records.tobytes())
    strings = [{"bytes": s.hex(), "text": s.decode("utf-8", "replace")} for s in byte_strings(random)]
    types = {t.name: [int(t), *gguf.GGML_QUANT_SIZES[t]] for t in gguf.GGMLQuantizationType}
    data = {"every_f16": str(fnv(all_f16().tobytes())), "strings": strings, "types": types}
    text = ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in data.items())
    (HERE / "base.json").write_text("{\n" + text + "\n}\n")


main()
