#!/usr/bin/env python3
"""A broad second oracle: llama.cpp's own tiny random models of all its architectures, elver's logits beside its.

    ELVER_PEERS=DIR broad.py ELVER [--folder FOLDER] [--isa NAME] [NAME ...]

DIR is the folder of bench/peers/build_llama_cpp.sh; its test-llama-archs writes the models (900 MB) to FOLDER, once.
A model agrees when the normalised mean squared error is at most 1e-6. GELU models can miss that: llama.cpp's GELU is a
table of half-precision numbers. Ends with 1 when elver crashed or hung on a model, whatever it supports.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import gguf
import numpy as np
import second_opinion
from check import Elver

AGREES = 1e-6
IDS = [int(i) for i in np.random.default_rng(1).integers(1, 100, 32)]


# llama.cpp loads these where a file has them, and its graphs then leave them out; no real file has them. Its generator
# fills them all the same.
BIASES = r"attn_output.bias|ffn_(gate|up|down).bias"
DENSE = r"ffn_(gate|up|down)\.weight"  # beside experts
UNREAD = {
    "cogvlm": r"rope_freqs",
    "dream": r"output\.bias",
    "ernie4_5": r"attn_output.bias",
    "ernie4_5-moe": r"attn_output.bias",
    "falcon-h1": r"rope_freqs|attn_output.bias",
    "hy_v3": DENSE,
    "llada": r"rope_freqs|" + BIASES,
    "mpt": r"ffn\.act\.scales",  # llama.cpp reads them: they go with AWQ weights, which these models do not have
    "mimo2": r"attn_[qkv].bias|" + DENSE,
    "paddleocr": r"attn_output.bias",
    "pangu-embedded": r"rope_freqs",
    "qwen2vl": r"output\.bias",
    "qwen3next": r"ssm_in",  # beside attn_qkv, which holds the same
    "refact": r"rope_freqs|" + BIASES,
}


def make_models(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.glob("*.gguf")):
        return
    program = second_opinion.peers_folder() / "build" / "bin" / "test-llama-archs"
    subprocess.run([str(program), "-o", str(folder)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for path in sorted(folder.glob("*.gguf")):
        without_unread(path)


def without_unread(path: Path) -> None:
    """The generator fills every tensor that may be there. Those called scale and input_scale go with NVFP4 weights,
    which these models do not have; random ones make a model of nothing that exists, so they are taken out, and so is
    what llama.cpp does not read itself."""
    source = gguf.GGUFReader(path)
    target = path.with_suffix(".new")
    architecture = source.fields["general.architecture"].contents()
    unread = re.compile(rf"^(blk\.\d+\.)?({UNREAD[architecture]})" if architecture in UNREAD else r"(?!)")
    out = gguf.GGUFWriter(target, architecture)
    for field in source.fields.values():
        if not field.name.startswith("GGUF.") and field.name != "general.architecture" and field.contents() != []:
            kind = field.types[0]
            out.add_key_value(field.name, field.contents(), kind, field.types[-1] if len(field.types) > 1 else None)
    for tensor in source.tensors:
        if not tensor.name.endswith((".scale", ".input_scale")) and not unread.match(tensor.name):
            out.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    os.replace(target, path)


def compare(elver: Elver, path: Path):
    """One of agrees, differs, unsupported, crashed, no oracle; and a remark."""
    try:
        theirs = second_opinion.logits(path, IDS)
    except RuntimeError as error:
        return "no oracle", str(error).splitlines()[0]
    try:
        ours = elver.logits(path, IDS)
    except RuntimeError as error:
        return ("crashed" if "crashed" in str(error) else "unsupported"), str(error)
    if ours.shape != theirs.shape:
        return "differs", f"shape {ours.shape}, llama.cpp {theirs.shape}"
    if not np.isfinite(theirs).all():
        return "no oracle", "llama.cpp's logits are not finite"
    nmse = float(((ours.astype(np.float64) - theirs) ** 2).sum() / (theirs.astype(np.float64) ** 2).sum())
    return ("agrees" if nmse <= AGREES else "differs"), f"nmse {nmse:.2g}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare elver with llama.cpp on llama.cpp's own tiny models.")
    parser.add_argument("elver")
    parser.add_argument("names", nargs="*", help="only these, as llama-dense (default: all)")
    parser.add_argument("--folder", type=Path, help="where the models are or shall be (default: a temporary folder)")
    parser.add_argument("--isa", help="set ELVER_FORCE_ISA")
    options = parser.parse_intermixed_args()
    elver = Elver(options.elver, options.isa)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        try:
            make_models(folder)
        except (second_opinion.MissingPeer, FileNotFoundError) as error:
            print(error, file=sys.stderr)
            return 2
        counts = Counter()
        for path in sorted(folder.glob("*.gguf")):
            if options.names and path.stem not in options.names:
                continue
            verdict, remark = compare(elver, path)
            counts[verdict] += 1
            print(f"{verdict:12} {path.stem:24} {remark}", flush=True)
    print(", ".join(f"{n} {verdict}" for verdict, n in counts.most_common()))
    return 1 if counts["crashed"] else 0


if __name__ == "__main__":
    sys.exit(main())
