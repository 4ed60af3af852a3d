#!/usr/bin/env python3
"""Converts all-MiniLM-L6-v2 (safetensors) to GGUF and compares `ELVER embed` with the embeddings of minilm.json, from ids
and from texts.

    minilm.py ELVER [--keep FILE.gguf]

Needs NumPy and gguf; `python3 cmake/fetch_model.py minilm-l6-v2` fetches the model. Ends with 1 when a cosine between an
embedding and the golden one is below 1 - 1e-5, or one of two texts differs by 1e-4.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from gguf import GGUFWriter, TokenType

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "archs"))

from check import Elver  # noqa: E402
from names import NAMES  # noqa: E402


def tensors(path: Path):
    """Name and float32 values of each tensor: a header of JSON behind its length, then the bytes."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    for name, entry in json.loads(data[8 : 8 + size]).items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            first, last = entry["data_offsets"]
            yield name, np.frombuffer(data[8 + size + first : 8 + size + last], "<f4").reshape(entry["shape"])


def target(name: str):
    stem, kind = name.rsplit(".", 1)
    layer = re.fullmatch(r"encoder\.layer\.(\d+)\.(.*)", stem)
    known = NAMES.get(layer[2] if layer else stem)
    return known and f"{f'blk.{layer[1]}.' if layer else ''}{known}.{kind}"


def vocabulary(folder: Path, out: GGUFWriter) -> None:
    words = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    out.add_tokenizer_model("bert")
    out.add_tokenizer_pre("default")
    out.add_token_list([w if w in special else w[2:] if w.startswith("##") else "\u2581" + w for w in words])
    out.add_token_types([int(TokenType.CONTROL if w in special else TokenType.NORMAL) for w in words])
    out.add_token_type_count(2)
    for key, word in zip(("padding", "unknown", "cls", "seperator", "mask"), special):
        out.add_uint32(f"tokenizer.ggml.{key}_token_id", words.index(word))


def convert(folder: Path, path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    out = GGUFWriter(path, "bert")
    for key, value in {
        "block_count": config["num_hidden_layers"],
        "context_length": config["max_position_embeddings"],
        "embedding_length": config["hidden_size"],
        "feed_forward_length": config["intermediate_size"],
        "attention.head_count": config["num_attention_heads"],
        "pooling_type": 1,
    }.items():
        out.add_uint32(f"bert.{key}", value)
    out.add_float32("bert.attention.layer_norm_epsilon", config["layer_norm_eps"])
    out.add_bool("bert.attention.causal", False)
    vocabulary(folder, out)
    for name, array in tensors(folder / "model.safetensors"):
        if target(name):
            out.add_tensor(target(name), np.ascontiguousarray(array))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare elver with all-MiniLM-L6-v2's embeddings.")
    parser.add_argument("elver")
    parser.add_argument("--keep", type=Path, help="keep the converted model there")
    options = parser.parse_args()
    elver, golden = Elver(options.elver, None), json.loads((HERE / "minilm.json").read_text())
    fetch = [sys.executable, str(HERE.parents[2] / "cmake" / "fetch_model.py"), "minilm-l6-v2"]
    folder = Path(subprocess.run(fetch, check=True, stdout=subprocess.PIPE, text=True).stdout.strip())
    with tempfile.TemporaryDirectory() as scratch:
        model, output = options.keep or Path(scratch) / "minilm.gguf", Path(scratch) / "out.npy"
        convert(folder, model)

        def embed(*what):
            elver.run("embed", model, *what, "--output", output)
            return np.load(output).astype(np.float64)

        by_ids = np.array([embed("--tokens", ",".join(map(str, row["ids"]))) for row in golden["rows"]])
        by_text = np.array([embed("--text", row["text"]) for row in golden["rows"]])
    expected = np.array([row["embedding"] for row in golden["rows"]])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    cosines = (by_ids * expected).sum(1)
    between = float(np.abs(by_ids @ by_ids.T - np.array(golden["cosines"])).max())
    print(f"cosine with the golden embeddings: least 1 - {1 - cosines.min():.2g}")
    print(f"cosines of the texts with one another: greatest difference {between:.2g}")
    print(f"from texts: greatest difference from ids {np.abs(by_text - by_ids).max():.2g}")
    return 0 if cosines.min() > 1 - 1e-5 and between < 1e-4 and np.array_equal(by_text, by_ids) else 1


if __name__ == "__main__":
    sys.exit(main())
