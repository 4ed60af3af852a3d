#!/usr/bin/env python3
"""Writes grids.cpp beside it: the code books that are part of the IQ formats, as PyPI `gguf` lists them.

    python3 src/quant/grids.py     # packages: tests/oracle/requirements.txt
"""

from pathlib import Path

from gguf import quants

NAMES = ["IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S"]


def entries(cls):
    cls.init_grid()
    levels = [float(v) for v in cls.grid_map]
    bits = 2 if len(levels) <= 4 else 4
    for row in cls.grid.reshape(cls.grid_shape):
        yield sum(levels.index(float(v)) << bits * i for i, v in enumerate(row))


def main():
    out = ["// The code books of the IQ formats; written by grids.py.", '#include "quant/grids.hpp"', "", "namespace elver::blocks {", ""]
    for name in NAMES:
        cls = getattr(quants, name)
        out.append(f"const uint16_t grid_{name.lower()}[{cls.grid_shape[0]}] = {{")
        words = [f"0x{e:04x}," for e in entries(cls)]
        out += ["    " + " ".join(words[i : i + 14]) for i in range(0, len(words), 14)]
        out += ["};", ""]
    # Signs need no list: the eighth makes their number even.
    assert all(s == (i | (bin(i).count("1") & 1) << 7) for i, s in enumerate(quants.IQ2_XXS.ksigns))
    out.append("}  // namespace elver::blocks")
    path = Path(__file__).with_name("grids.cpp")
    path.write_text("\n".join(out) + "\n")


main()
