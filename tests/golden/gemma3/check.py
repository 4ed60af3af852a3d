#!/usr/bin/env python3
"""Compares an elver program with the golden numbers of Gemma-3-270m beside it.

    check.py ELVER MODEL [--isa NAME]

MODEL: `python3 cmake/fetch_model.py gemma3-270m` prints its path. Needs NumPy, and 2 GB for the logits of a prompt of
three windows. Ends with 1 when the perplexity is more than 0.5 % from float64's, over the long text also when it is
further from it than llama.cpp's, or when greedy text leaves the reference's where that was sure.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "archs"))

from check import Elver, log_softmax  # noqa: E402


def gold(name):
    return json.loads((HERE / f"{name}.json").read_text())


class LongElver(Elver):
    """Logits stay in a file: there are gigabytes of them."""

    def rows(self, model, ids, positions, folder):
        output = Path(folder) / "logits.npy"
        command = [self.program, "logits", model, "--tokens", ",".join(map(str, ids)), "--output", output]
        subprocess.run(list(map(str, command)), check=True, env=self.environment)
        array = np.load(output, mmap_mode="r")
        return {p: np.array(array[p], dtype=np.float64) for p in positions}


def nll(elver, model, ids, folder):
    rows = elver.rows(model, ids, range(len(ids) - 1), folder)
    return float(np.mean([-log_softmax(rows[i][None])[0, ids[i + 1]] for i in range(len(ids) - 1)]))


def worst(elver, model, golden, folder):
    """The greatest difference of a known logit, and how often the likeliest token is the same."""
    rows = elver.rows(model, golden["ids"], [r["position"] for r in golden["rows"]], folder)
    differences, same = [], 0
    for row in golden["rows"]:
        found, expected = rows[row["position"]], np.array(row["logits"])
        differences.append(float(np.abs(found[row["ids"]] - expected).max()))
        same += int(found.argmax()) == row["ids"][int(expected.argmax())]
    return max(differences), same / len(golden["rows"])


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare an elver program with Gemma-3-270m's golden numbers.")
    parser.add_argument("elver")
    parser.add_argument("model")
    parser.add_argument("--isa", help="set ELVER_FORCE_ISA")
    options = parser.parse_args()
    elver, good = LongElver(options.elver, options.isa), True
    kl, tokens = gold("kl"), gold("tokens")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("logits", "long"):
            difference, same = worst(elver, options.model, gold(name), folder)
            print(f"{name}: {len(gold(name)['ids'])} tokens, greatest difference {difference:.3g}, top-1 equal {same:.2f}")
        for name in ("short", "long"):
            found = nll(elver, options.model, tokens[name], folder)
            exact, theirs = kl[name]["nll_reference"], kl[name]["nll_llama_cpp"]
            good = good and abs(found - exact) < 0.005 and (name == "short" or abs(found - exact) <= abs(theirs - exact))
            values = [f"{np.exp(v):.2f}" for v in (found, exact, theirs)]
            print("perplexity, {}: {}, float64 {}, llama.cpp {}".format(name, *values))
    for row in gold("greedy")["rows"]:
        found = elver.greedy(options.model, row["prompt_ids"], len(row["ids"]))
        first = next((i for i, (a, b) in enumerate(zip(found, row["ids"])) if a != b), None)
        margin = None if first is None else row["margins"][first]
        good = good and (margin is None or margin < 0.35)
        print(f"greedy, {row['prompt']!r}: " + ("equal" if first is None else f"token {first} differs, margin {margin}"))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
