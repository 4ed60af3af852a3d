#!/usr/bin/env python3
"""What each weight format's kernels lose: mean KL of elver's packed kernels and of llama.cpp from the same file in f32.

    quality.py ELVER --peers DIR [--model GGUF] [--tokens 512] [FORMAT ...]

Re-quantises the model (default: SmolLM2) to each format, most with llama.cpp's quantiser, and prints a Markdown table. The
f32 logits are elver's reference level, which a test holds to a float64 forward. A format whose kernels lose more than
llama.cpp's ends the run with 1. DIR is the folder of bench/peers/build_llama_cpp.sh; needs NumPy.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from golden_numbers import REPOSITORY, TEXT
from forward import log_softmax
from llama_cpp import LlamaCpp

FORMATS = "F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 IQ4_NL Q2_K Q3_K_M Q4_K_M Q5_K_M Q6_K IQ4_XS".split()
# By elver's quantiser: llama.cpp's gives MXFP4 to experts alone, and Q2_K to few matrices.
OWN = ("MXFP4", "Q2_K:own")


def elver_logits(program, model, ids, folder, isa=None):
    out = Path(folder) / "logits.npy"
    environment = {**os.environ, **({"ELVER_FORCE_ISA": isa} if isa else {})}
    command = [program, "logits", str(model), "--tokens", ",".join(map(str, ids)), "--output", str(out)]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return np.load(out)


def mean_kl(reference, other):
    total = 0.0
    for row, other_row in zip(reference, other):
        p, q = log_softmax(row.astype(np.float64)), log_softmax(other_row.astype(np.float64))
        total += float((np.exp(p) * (p - q)).sum())
    return total / len(reference)


def types_of(program, model):
    """The tensor types of a file, the most frequent first, vectors left out."""
    told = subprocess.run([program, "info", str(model), "--tensors"], check=True, capture_output=True, text=True).stdout
    types = [t["type"] for t in json.loads(told) if len(t["shape"]) > 1]
    return ", ".join(sorted(set(types), key=lambda t: -types.count(t)))


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare what each weight format's kernels lose.")
    parser.add_argument("elver")
    parser.add_argument("formats", nargs="*", default=[*FORMATS, *OWN])
    parser.add_argument("--peers", required=True)
    parser.add_argument("--model", help="a GGUF (default: SmolLM2)")
    parser.add_argument("--tokens", type=int, default=512)
    options = parser.parse_intermixed_args()
    peers = LlamaCpp(options.peers)
    fetch = [sys.executable, str(REPOSITORY / "cmake" / "fetch_model.py"), "smollm2-135m"]
    model = options.model or subprocess.run(fetch, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    quantize = Path(options.peers) / "build" / "bin" / "llama-quantize"
    worse = []
    print("| format | types in the file | elver | llama.cpp | ratio |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        full, file = Path(folder) / "f32.gguf", Path(folder) / "model.gguf"
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([quantize, "--allow-requantize", model, full, "F32", "2"], **quiet)
        ids = peers.tokenize(model, TEXT.read_text())[: options.tokens]
        for name in options.formats:
            if name in OWN:
                command = [options.elver, "quantize", full, file, "--type", name.split(":")[0]]
            else:
                command = [quantize, full, file, name, "2"]
            subprocess.run(command, **quiet)
            reference = elver_logits(options.elver, file, ids, folder, "reference")
            ours = mean_kl(reference, elver_logits(options.elver, file, ids, folder))
            theirs = mean_kl(reference, peers.logits(file, ids))
            if ours > theirs:
                worse.append(name)
            types = types_of(options.elver, file)
            print(f"| {name} | {types} | {ours:.2e} | {theirs:.2e} | {ours / theirs:.2f} |", flush=True)
    if worse:
        print(f"worse than llama.cpp: {', '.join(worse)}", file=sys.stderr)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
