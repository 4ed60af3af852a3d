#!/usr/bin/env python3
"""Makes the tiny models beside it again: NAME.gguf, NAME.json and NAME.f32.

The last holds the logits, raw little-endian float32 [n_tokens, n_vocab].

    make.py [--output FOLDER] [NAME ...]

hf_models.py needs transformers 4.44.2 on Debian's python3-torch: `python3 -m venv --system-site-packages DIR`, then
`DIR/bin/pip install -r requirements.txt`. With ELVER_PEERS set to the folder of build_llama_cpp.sh, llama.cpp
gives a second opinion on every model; a disagreement that the row does not announce is an error.
"""

import argparse
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import second_opinion  # noqa: E402
import tiny  # noqa: E402


def all_rows(only):
    """Name and builder of each model; transformers is imported only where it is needed."""
    import hybrid_models
    import numpy_models
    import rwkv_models

    names = [row.name for row in numpy_models.rows() + rwkv_models.rows() + hybrid_models.rows()]
    if not only or not set(only) <= set(names):
        import hf_models

        for row in hf_models.rows():
            yield row.name, lambda row=row: hf_models.build(row)
    for row in numpy_models.rows():
        yield row.name, lambda row=row: numpy_models.build(row)
    for row in rwkv_models.rows():
        yield row.name, lambda row=row: rwkv_models.build(row)
    for row in hybrid_models.rows():
        yield row.name, lambda row=row: hybrid_models.build(row)


def verdict(model: tiny.Tiny, record) -> str:
    """Empty, or what is wrong with the second opinion."""
    if model.peer or "llama_cpp" not in record:
        return ""
    found = record["llama_cpp"]
    if "error" in found:
        return found["error"]
    return (
        ""
        if found["max_over_std"] <= model.tolerance
        else f"differs by {found['max_over_std']} of the standard deviation"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the tiny golden models.")
    parser.add_argument("names", nargs="*", help="only these (default: all)")
    parser.add_argument("--output", type=Path, default=HERE)
    options = parser.parse_intermixed_args()
    warnings.filterwarnings("ignore")
    options.output.mkdir(parents=True, exist_ok=True)
    try:
        second_opinion.peers_folder()
        peer = second_opinion
    except second_opinion.MissingPeer as missing:
        print(missing, file=sys.stderr)
        peer = None

    bad, known = [], set()
    for name, build in all_rows(options.names):
        known.add(name)
        if options.names and name not in options.names:
            continue
        model = build()
        record = tiny.expect(model, options.output, peer)
        wrong = verdict(model, record)
        if wrong:
            bad.append(name)
        size = (options.output / f"{name}.gguf").stat().st_size
        found = record.get("llama_cpp", {})
        print(f"{name:24} {size:7} bytes  {found} {wrong and 'WRONG: ' + wrong}", flush=True)
    unknown = set(options.names) - known
    if unknown:
        print(f"no such model: {', '.join(sorted(unknown))}", file=sys.stderr)
    return 1 if bad or unknown else 0


if __name__ == "__main__":
    sys.exit(main())
