#!/usr/bin/env python3
"""One question, one streamed answer: chat.py MODEL QUESTION. Ctrl-C stops the answer."""

import sys

import elver


def main() -> int:
    if len(sys.argv) != 3:
        print("usage: chat.py MODEL QUESTION", file=sys.stderr)
        return 2
    try:
        with elver.Model(sys.argv[1]) as model, model.session() as session:
            for event in session.stream(sys.argv[2], temperature=0):
                print(event.text, end="", flush=True)
        print()
    except elver.Error as error:
        print(f"chat: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(" [stopped]")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
