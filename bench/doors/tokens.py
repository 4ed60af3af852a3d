"""tokens.py MODEL: for each line read, an answer of 128 tokens through Python; prints the microseconds a token took."""

import sys
import time

import elver


def answer(session):
    """The time from the first token to the end."""
    stream = session.complete("Once upon a time", temperature=0, max_tokens=128, ignore_eos=True)
    next(stream)
    begun = time.perf_counter_ns()
    for _event in stream:
        pass
    return (time.perf_counter_ns() - begun) / 127e3


with elver.Model(sys.argv[1]) as model, model.session() as session:
    for _line in sys.stdin:
        print(f"{answer(session):.2f}", flush=True)
