#!/usr/bin/env python3
"""Writes NAME.gguf with PyPI `gguf` and NAME.json, what its reader finds in it.

    python3 tests/golden/gguf/make.py     # packages: tests/oracle/requirements.txt

values: every type of metadata and of array; tensors of all sorts of types and of sizes that need padding
aligned: the same tensors at multiples of 128
typed: what tests/formats/gguf_writer_test.cpp writes through the writer's own functions
metadata: no tensors
v2: `values` as version 2
big_endian: refused
"""

import json
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Q
from gguf import GGUFValueType as V

HERE = Path(__file__).resolve().parent
SCALARS = [(V.UINT8, 255), (V.INT8, -128), (V.UINT16, 65535), (V.INT16, -32768), (V.UINT32, 2**32 - 1), (V.INT32, -(2**31)),
           (V.FLOAT32, -1.5e-40), (V.BOOL, True), (V.UINT64, 2**63 - 1), (V.INT64, -(2**63)), (V.FLOAT64, 1.25e300)]  # fmt: skip


def add_values(writer):
    for kind, value in SCALARS:
        writer.add_key_value(f"scalar.{kind.name}", value, kind)
        writer.add_key_value(f"array.{kind.name}", [value, type(value)(0), value], V.ARRAY, sub_type=kind)
    writer.add_string("scalar.STRING", "héllo\n\0 wörld")
    writer.add_array("array.STRING", ["a", "", "日本語", "\x7f"])
    writer.add_bool("key with spaces é", False)


def add_tensors(writer):
    random = np.random.default_rng(3)
    writer.add_tensor("token_embd.weight", random.standard_normal((3, 5)).astype(np.float32))
    writer.add_tensor("one", np.array([7], np.int8))
    writer.add_tensor("four", np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).astype(np.int32))
    writer.add_tensor("half", random.standard_normal((1, 7)).astype(np.float16))
    for kind, rows, columns in ((Q.Q4_0, 3, 96), (Q.Q8_0, 1, 32), (Q.Q6_K, 2, 256), (Q.MXFP4, 5, 64), (Q.BF16, 2, 9),
                                (Q.IQ2_XXS, 1, 512)):  # fmt: skip
        size, n_bytes = gguf.GGML_QUANT_SIZES[kind]
        data = random.integers(0, 256, (rows, columns // size * n_bytes), np.uint8)
        writer.add_tensor(f"blk.0.{kind.name}", data, raw_dtype=kind)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def plain(value):
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def describe(path):
    reader = gguf.GGUFReader(path)
    fields = {}
    for name, field in reader.fields.items():
        if name.startswith("GGUF."):
            continue
        raw = b"".join(part.tobytes() for part in field.parts)
        raw = raw[8 + len(name.encode()) + 4 :]  # behind the key and its type
        fields[name] = {"type": field.types[0].name, "elements": field.types[-1].name, "value": plain(field.contents()),
                        "raw": raw.hex()}  # fmt: skip
    tensors = [{"name": t.name, "type": t.tensor_type.name, "shape": [int(d) for d in reversed(t.shape)],
                "offset": int(t.data_offset), "bytes": np.ascontiguousarray(t.data).tobytes().hex()}
               for t in reader.tensors]  # fmt: skip
    version = int(reader.fields["GGUF.version"].parts[-1][0])
    text = json.dumps({"version": version, "fields": fields, "tensors": tensors}, indent=1)
    path.with_suffix(".json").write_text(text + "\n")


def main():
    writer = gguf.GGUFWriter(HERE / "values.gguf", "test")
    add_values(writer)
    add_tensors(writer)
    finish(writer)

    writer = gguf.GGUFWriter(HERE / "aligned.gguf", "test")
    writer.add_custom_alignment(128)
    add_tensors(writer)
    finish(writer)

    writer = gguf.GGUFWriter(HERE / "typed.gguf", "test")
    writer.add_uint32("u32", 7)
    writer.add_int32("i32", -7)
    writer.add_uint64("u64", 1 << 40)
    writer.add_float32("f32", 0.1)
    writer.add_bool("yes", True)
    writer.add_array("strings", ["", "a b", "ü"])
    writer.add_array("f32s", [0.5, -2.0])
    writer.add_array("i32s", [1, -1, 65536])
    writer.add_tensor("matrix", np.arange(6, dtype=np.float32).reshape(2, 3))
    writer.add_tensor("blocks", np.arange(34, dtype=np.uint8).reshape(1, 34), raw_dtype=Q.Q8_0)
    finish(writer)

    writer = gguf.GGUFWriter(HERE / "metadata.gguf", "test")
    add_values(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()

    data = bytearray((HERE / "values.gguf").read_bytes())
    data[4:8] = (2).to_bytes(4, "little")
    (HERE / "v2.gguf").write_bytes(data)

    writer = gguf.GGUFWriter(HERE / "big_endian.gguf", "test", endianess=gguf.GGUFEndian.BIG)
    writer.add_uint32("u32", 7)
    finish(writer)

    for name in ("values", "aligned", "typed", "v2", "metadata"):
        describe(HERE / f"{name}.gguf")


main()
