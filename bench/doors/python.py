#!/usr/bin/env python3
"""The cost of a token through Python and through C, in turn: python.py PREFIX MODEL, in an environment with elver installed.

PREFIX is where elver is installed with its headers; the package must be of the same code.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import elver

ROUNDS = 7


def microseconds(session):
    """A token through Python, as tokens.c measures it: best of 5 answers of 128 tokens each."""
    best = float("inf")
    for _ in range(5):
        stream = session.complete("Once upon a time", temperature=0, max_tokens=128, ignore_eos=True)
        next(stream)
        start = time.perf_counter_ns()
        for _event in stream:
            pass
        best = min(best, (time.perf_counter_ns() - start) / 127e3)
    return best


def main():
    prefix, model = sys.argv[1:]
    library = next(Path(prefix).glob("**/libelver.so")).parent
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "tokens"
        subprocess.run(["cc", "-O2", "-std=c99", f"-I{prefix}/include", Path(__file__).with_name("tokens.c"), f"-L{library}", "-lelver",
                        f"-Wl,-rpath,{library.resolve()}", "-o", program], check=True)
        pairs = []
        for _ in range(ROUNDS):
            c = float(subprocess.run([program, model], check=True, capture_output=True, text=True).stdout)
            with elver.Model(model) as loaded, loaded.session() as session:
                pairs.append((c, microseconds(session)))
            print(f"C {c:.1f} us, Python {pairs[-1][1]:.1f} us a token", flush=True)
    print(f"median of ratios {statistics.median(p / c for c, p in pairs):.4f}, of the best {min(p for _, p in pairs) / min(c for c, _ in pairs):.4f}")


if __name__ == "__main__":
    main()
