#!/usr/bin/env python3
"""Writes rmse.json: the error that llama.cpp's quantiser makes on random rows and on rows of real weights.

    python3 tests/golden/quant/rmse.py --peers DIR --model SMOLLM2.gguf

DIR is the folder of bench/peers/build_llama_cpp.sh; packages: tests/oracle/requirements.txt. Beside it go the random rows,
normal.f32 and laplace.f32; the real ones are named by tensor and row, and the test reads them from the model.
"""

import argparse
import ctypes
import json
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Q

HERE = Path(__file__).resolve().parent
TYPES = ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "MXFP4"]
REAL = [("blk.0.ffn_down.weight", 40), ("blk.7.ffn_down.weight", 8), ("blk.29.ffn_down.weight", 8)]
COLUMNS = 512


class Peer:
    def __init__(self, folder):
        self.ggml = ctypes.CDLL(str(folder / "build" / "bin" / "libggml-base.so"))
        self.ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
        self.version = (folder / "VERSION").read_text().strip()

    def quantize(self, name, rows):
        size, n_bytes = gguf.GGML_QUANT_SIZES[Q[name]]
        out = np.zeros((rows.shape[0], rows.shape[1] // size * n_bytes), np.uint8)
        rows = np.ascontiguousarray(rows, np.float32)
        written = self.ggml.ggml_quantize_chunk(
            ctypes.c_int(int(Q[name])), rows.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_int64(0), ctypes.c_int64(rows.shape[0]), ctypes.c_int64(rows.shape[1]), None)  # fmt: skip
        assert written == out.nbytes
        return out


def rmse(peer, name, rows):
    decoded = gguf.quants.dequantize(peer.quantize(name, rows), Q[name]).astype(np.float64)
    return float(np.sqrt(np.mean((decoded.reshape(rows.shape) - rows) ** 2)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    options = parser.parse_args()
    peer = Peer(options.peers.resolve())
    random = np.random.default_rng(5)
    rows = {
        "normal": random.standard_normal((16, COLUMNS)).astype(np.float32),
        "laplace": random.laplace(size=(16, COLUMNS)).astype(np.float32),
    }
    for name, values in rows.items():
        (HERE / f"{name}.f32").write_bytes(values.tobytes())
    tensors = {t.name: t for t in gguf.GGUFReader(options.model).tensors}
    for name, n in REAL:
        t = tensors[name]
        values = gguf.quants.dequantize(t.data[:n], t.tensor_type)
        assert values.shape[1] % 256 == 0, values.shape
        rows[name] = values
    data = {"by": peer.version, "rows": {k: len(v) for k, v in rows.items()},
            "rmse": {k: {t: rmse(peer, t, v) for t in TYPES} for k, v in rows.items()}}  # fmt: skip
    (HERE / "rmse.json").write_text(json.dumps(data, indent=1) + "\n")


main()
