#!/usr/bin/env python3
"""Runs an elver program over the tiny models beside it and prints, per model, how far its logits are from the oracle's.

    check.py ELVER [--isa NAME] [--half-cache] [--markdown FILE] [NAME ...]

Uses `ELVER logits` and `ELVER complete`, and needs NumPy only. A model passes when its logits lie within 1e-4 of the
standard deviation (models with quantised weights: within twice llama.cpp's KL), and greedy text is equal up to a near
tie. With --half-cache it may differ by as much again as rounding keys and values to half precision does, twice.
Ends with 1 when a model fails; an architecture that elver says it does not support is counted apart.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
EXACT = {"F32": 1e-4, "F16": 1e-4, "BF16": 1e-4}
NEAR_TIE = 1e-3  # of the logits' standard deviation


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


class Elver:
    def __init__(self, program, isa):
        self.program = program
        self.environment = {**os.environ, **({"ELVER_FORCE_ISA": isa} if isa else {})}

    def run(self, *arguments):
        """Standard output; RuntimeError with the program's last line where it fails."""
        command = [self.program, *map(str, arguments)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, env=self.environment, timeout=120)
        except subprocess.TimeoutExpired as error:
            raise RuntimeError("crashed: no answer within 120 s") from error
        if done.returncode < 0:
            raise RuntimeError(f"crashed with signal {-done.returncode}")
        if done.returncode != 0:
            raise RuntimeError((done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1])
        return done.stdout

    def logits(self, model, ids, batch=0):
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "logits.npy"
            options = ["--batch", batch] if batch else []
            self.run("logits", model, "--tokens", ",".join(map(str, ids)), "--output", output, "--threads", 1, *options)
            return np.load(output)

    def greedy(self, model, ids, n_tokens):
        # As long as the text: a long context may choose another rotary table.
        options = ["--max-tokens", n_tokens, "--context", len(ids) + n_tokens, "--temperature", 0]
        options += ["--ignore-eos", "--json"]
        return json.loads(self.run("complete", model, "--tokens", ",".join(map(str, ids)), *options))["ids"]


def compare(golden, expected, found, half_cache):
    """What is wrong with the logits, or nothing, and the numbers of the table."""
    if found.shape != expected.shape:
        return f"shape {found.shape}, expected {expected.shape}", {}
    if not np.isfinite(found).all():
        return "logits are not finite", {}
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    log_p, log_q = log_softmax(expected), log_softmax(found)
    numbers = {
        "max": float(np.abs(found - expected).max() / expected.std()),
        "kl": max(float((np.exp(log_p) * (log_p - log_q)).sum(-1).mean()), 0.0),
        "top1": float((found.argmax(1) == expected.argmax(1)).mean()),
    }
    if golden["dtype"] in EXACT:
        limit = EXACT[golden["dtype"]] + (2 * golden.get("half_cache", {}).get("max_over_std", 0) if half_cache else 0)
        return (
            "" if numbers["max"] <= limit else f"logits differ by {numbers['max']:.2g} of the standard deviation"
        ), numbers
    limit = 2 * golden["llama_cpp"]["kl"]
    return ("" if numbers["kl"] <= limit else f"KL {numbers['kl']:.2g} is above {limit:.2g}"), numbers


def wrong_greedy(golden, found):
    for i, (want, got, margin) in enumerate(zip(golden["greedy"], found, golden["greedy_margins"])):
        if want != got:
            quantised = golden["dtype"] not in EXACT
            near = margin < (0.2 if quantised else NEAR_TIE) * golden["logit_std"]
            return "" if near else f"greedy token {i} is {got}, expected {want} (margin {margin})"
    return (
        "" if len(found) == len(golden["greedy"]) else f"{len(found)} greedy tokens, expected {len(golden['greedy'])}"
    )


def check(elver, path, half_cache):
    """Verdict (ok, fails, unsupported), a remark, the numbers."""
    golden = json.loads(path.read_text())
    model = path.with_suffix(".gguf")
    expected = np.fromfile(path.with_suffix(".f32"), dtype="<f4").reshape(-1, golden["n_vocab"])
    try:
        whole = elver.logits(model, golden["tokens"])
        wrong, numbers = compare(golden, expected, whole, half_cache)
        if not wrong and not np.array_equal(whole, elver.logits(model, golden["tokens"], batch=5)):
            wrong = "logits depend on the batch"
        if not wrong:
            wrong = wrong_greedy(golden, elver.greedy(model, golden["tokens"], len(golden["greedy"])))
        return ("fails" if wrong else "ok"), wrong, numbers
    except RuntimeError as error:
        return ("unsupported" if "support" in str(error) else "fails"), str(error), {}


def main() -> int:
    parser = argparse.ArgumentParser(description="Check an elver program against the tiny golden models.")
    parser.add_argument("elver")
    parser.add_argument("names", nargs="*", help="only these (default: all)")
    parser.add_argument("--isa", help="set ELVER_FORCE_ISA")
    parser.add_argument(
        "--half-cache", action="store_true", help="the cache holds half-precision numbers: allow for it"
    )
    parser.add_argument("--markdown", type=Path, help="write the table there too")
    options = parser.parse_intermixed_args()
    elver = Elver(options.elver, options.isa)
    lines, counts = [], {"ok": 0, "fails": 0, "unsupported": 0}
    paths = [p for p in sorted(HERE.glob("*.json")) if not options.names or p.stem in options.names]
    if not paths or set(options.names) - {p.stem for p in paths}:
        print(f"no such model: {', '.join(set(options.names) - {p.stem for p in paths})}", file=sys.stderr)
        return 2
    for path in paths:
        golden = json.loads(path.read_text())
        verdict, remark, numbers = check(elver, path, options.half_cache)
        counts[verdict] += 1
        shown = " ".join(f"{key} {value:.2g}" for key, value in numbers.items())
        print(f"{verdict:11} {path.stem:22} {shown:36} {remark}".rstrip(), flush=True)
        cells = [f"{numbers[k]:.1e}" if k in numbers else "" for k in ("max", "kl")]
        lines.append(
            f"| {path.stem} | {golden['architecture']} | {golden['about']} | {verdict} | {' | '.join(cells)} |"
        )
    if options.markdown:
        titles = ["model", "architecture", "what it has", "elver", "greatest difference / std", "mean KL"]
        head = f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}\n"
        options.markdown.write_text(head + "\n".join(lines) + "\n")
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    return 1 if counts["fails"] else 0


if __name__ == "__main__":
    sys.exit(main())
