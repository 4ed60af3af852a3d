#!/usr/bin/env python3
"""turns.py C OTHER: what a token costs through one door over what it costs through C, where a door is a program (a command line)
that answers for each line it reads and prints the microseconds a token took.

Both are open at the same time and answer in turns, so that a machine whose speed drifts drifts for both. They are started anew
some times, since how a model comes to lie in memory may favour one. Run it on a machine that does nothing else.
"""

import shlex
import statistics
import subprocess
import sys

LAUNCHES, ROUNDS = 5, 40


class Door:
    def __init__(self, command):
        self.process = subprocess.Popen(shlex.split(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.took = []
        self.answer()  # warm
        self.took = []

    def answer(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.took.append(float(self.process.stdout.readline()))

    def close(self):
        self.process.stdin.close()
        if self.process.wait() != 0:
            sys.exit(f"{self.process.args}: ended with {self.process.returncode}")


def launch(commands):
    """The microseconds of each answer, by command."""
    doors = [Door(command) for command in commands]
    for turn in range(ROUNDS):
        for door in doors if turn % 2 == 0 else reversed(doors):
            door.answer()
    for door in doors:
        door.close()
    return [door.took for door in doors]


def main():
    ratios = []
    for _ in range(LAUNCHES):
        c, other = launch(sys.argv[1:])
        pairs = [b / a for a, b in zip(c, other)]
        ratios += pairs
        print(f"C {statistics.median(c):.1f} us, other {statistics.median(other):.1f} us a token: "
              f"{statistics.median(pairs) - 1:+.2%} in the median of {ROUNDS} pairs", flush=True)
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"{middle - 1:+.2%} in the median of {len(ratios)} pairs, half of them from {low - 1:+.2%} to {high - 1:+.2%}")


if __name__ == "__main__":
    main()
