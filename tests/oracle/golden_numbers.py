"""Golden numbers of a real model: ids, compact logits, greedy text and KL, by a float64 forward with llama.cpp beside
it.

The make.py of each folder in tests/golden that holds a real model's numbers is a few lines over this file, which
leaves the forward pass to llama_forward.py and gemma3_forward.py and the second program to llama_cpp.py.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from forward import greedy, log_softmax
from llama_cpp import LlamaCpp

REPOSITORY = Path(__file__).resolve().parents[2]
TEXT = REPOSITORY / "tests" / "golden" / "text.txt"
TOP = 32
N_SHORT, N_LONG, N_GREEDY = 64, 512, 64
PROMPTS = (
    "The capital of France is",
    "Once upon a time, in a small village by the sea, there lived",
    "def fibonacci(n):\n    ",
    "Water boils at a lower temperature on a mountain because",
    "Q: Which planet is the largest in the solar system?\nA:",
)


def write(path, record):
    """JSON with a line for each list of plain numbers, so that a change shows as few lines."""

    def lines(value, indent):
        inner = " " * (indent + 1)
        if isinstance(value, dict):
            items = (f"{inner}{json.dumps(key)}: {lines(item, indent + 1)}" for key, item in value.items())
            return "{\n" + ",\n".join(items) + "\n" + " " * indent + "}"
        if isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
            return "[\n" + ",\n".join(inner + lines(item, indent + 1) for item in value) + "\n" + " " * indent + "]"
        return json.dumps(value)

    path.write_text(lines(record, 0) + "\n")
    print(f"wrote {path.relative_to(REPOSITORY)} ({path.stat().st_size} bytes)", flush=True)


def compact(logits, positions):
    """The greatest logits of each position and the logarithm of the sum of all exponentials: enough to check the
    whole row."""
    rows = []
    for position, row in zip(positions, logits):
        ids = np.argsort(-row, kind="stable")[:TOP]
        total = row.max() + np.log(np.exp(row - row.max()).sum())
        rows.append(
            {
                "position": position,
                "logsumexp": round(float(total), 6),
                "ids": ids.tolist(),
                "logits": np.round(row[ids], 5).tolist(),
            }
        )
    return rows


def compare(reference, other, ids):
    """Mean KL(reference || other) in nats, the share of equal first choices, and the mean negative log-likelihood of
    the text."""
    kl, nll, other_nll, same = 0.0, 0.0, 0.0, 0
    for n, (row, other_row) in enumerate(zip(reference, other)):
        p, q = log_softmax(row), log_softmax(other_row.astype(np.float64))
        kl += float((np.exp(p) * (p - q)).sum())
        same += int(row.argmax() == other_row.argmax())
        if n + 1 < len(ids):
            nll -= float(p[ids[n + 1]])
            other_nll -= float(q[ids[n + 1]])
    n = len(ids)
    return {
        "mean_kl": float(f"{kl / n:.4g}"),
        "top1_equal": round(same / n, 4),
        "nll_reference": round(nll / (n - 1), 6),
        "nll_llama_cpp": round(other_nll / (n - 1), 6),
    }


def make(model_class, name, folder, long_repeat=0):
    """`long_repeat`: also compact logits of the last positions of the text repeated up to so many tokens."""
    parser = argparse.ArgumentParser(
        description=f"Make the golden numbers of {name} again; needs {name} and llama.cpp."
    )
    parser.add_argument("--peers", required=True, help="the folder of bench/peers/build_llama_cpp.sh")
    peers = LlamaCpp(parser.parse_args().peers)
    fetch = [sys.executable, str(REPOSITORY / "cmake" / "fetch_model.py"), name]
    path = subprocess.run(fetch, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    made_by = {
        "model": Path(path).name,
        "reference": f"{model_class.__name__}, float64, NumPy {np.__version__}",
        "llama_cpp": peers.version,
    }

    text = TEXT.read_text()
    short_text = text.split("\n\n")[1]
    short = peers.tokenize(path, short_text)[:N_SHORT]
    long = peers.tokenize(path, text)[:N_LONG]
    assert len(short) == N_SHORT and len(long) == N_LONG
    write(folder / "tokens.json", {"tokenizer": peers.version, "text": "../text.txt", "short": short, "long": long})

    model = model_class(path)
    reference = model.forward(short, model.new_cache())
    write(
        folder / "logits.json",
        {**made_by, "ids": short, "n_vocab": model.n_vocab, "rows": compact(reference, range(N_SHORT))},
    )
    kl = {**made_by, "short": compare(reference, peers.logits(path, short), short)}
    reference = model.forward(long, model.new_cache())
    kl["long"] = compare(reference, peers.logits(path, long), long)
    write(folder / "kl.json", kl)
    del reference

    prompts = [peers.tokenize(path, prompt) for prompt in PROMPTS]
    theirs = peers.greedy(path, prompts, N_GREEDY)
    rows = []
    for prompt, prompt_ids, other in zip(PROMPTS, prompts, theirs):
        ids, margins = greedy(model, prompt_ids, N_GREEDY)
        agree = next((n for n, (a, b) in enumerate(zip(ids, other)) if a != b), N_GREEDY)
        rows.append(
            {
                "prompt": prompt,
                "prompt_ids": prompt_ids,
                "ids": ids,
                "margins": np.round(margins, 4).tolist(),
                "text": peers.detokenize(path, ids),
                "llama_cpp_ids": other,
                "llama_cpp_agrees_for": agree,
            }
        )
    write(folder / "greedy.json", {**made_by, "rows": rows})

    if long_repeat:
        ids = (peers.tokenize(path, text) * (long_repeat // N_LONG))[:long_repeat]
        assert len(ids) == long_repeat
        cache = model.new_cache()
        step = 256
        for start in range(0, long_repeat, step):
            last = model.forward(ids[start : start + step], cache)
        shown = list(range(long_repeat - 16, long_repeat))
        write(folder / "long.json", {**made_by, "ids": ids, "rows": compact(last[-16:], shown)})
