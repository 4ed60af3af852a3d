#!/usr/bin/env python3
"""Writes the table of docs/models.md anew: each architecture, the lines that it adds, and the greatest difference of its
tiny models' logits (encoders: embeddings) from their oracles, at the reference level.

    coverage.py ELVER BROAD

BROAD is a file with what broad.py printed. Needs NumPy. The table stands behind the line <!-- coverage -->, up to the end of the page.
"""

import json
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
from check import HERE, Elver, check

ROOT = HERE.parents[2]
MARK = "<!-- coverage -->\n"


def lines_of_rows():
    """Lines of the table of architectures that belong to each name."""
    text = (ROOT / "src/models/architectures.cpp").read_text()
    return {m[1]: m[0].count("\n") + 1 for m in re.finditer(r"\{\.name = \"([^\"]+)\".*?\},(?=\s*(?://.*)?\n)", text, re.S)}


def opinions(path):
    """What broad.py found: architecture -> remarks, and its count of verdicts."""
    found = {}
    lines = path.read_text().splitlines()
    for line in lines[:-1]:
        verdict, name, remark = line.split(maxsplit=2)
        if verdict in ("agrees", "differs"):
            found.setdefault(name.rsplit("-", 1)[0], []).append(remark.removeprefix("nmse "))
    return found, lines[-1]


def embedding_difference(elver, path):
    golden = json.loads(path.read_text())
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out.npy"
        ids = ",".join(map(str, golden["tokens"]))
        elver.run("embed", path.with_suffix(".gguf"), "--tokens", ids, "--output", output)
        return float(np.abs(np.load(output) - np.array(golden["embedding"])).max())


def main() -> int:
    elver = Elver(sys.argv[1], "reference")
    second, counts = opinions(Path(sys.argv[2]))
    models, worst = {}, {}
    for path in sorted(HERE.glob("*.json")):
        golden = json.loads(path.read_text())
        if golden["dtype"] != "F32":
            continue
        verdict, remark, numbers = check(elver, path, False)
        if verdict == "fails":
            print(f"{path.stem}: {remark}", file=sys.stderr)
            return 1
        if verdict == "ok":
            models.setdefault(golden["architecture"], []).append(path.stem)
            worst[golden["architecture"]] = max(worst.get(golden["architecture"], 0), numbers["max"])
    for path in sorted((HERE.parent / "encoders").glob("*.json")):
        if path.with_suffix(".gguf").exists():
            models[path.stem], worst[path.stem] = [path.stem], embedding_difference(elver, path)
    lines = lines_of_rows()
    table = [
        "| architecture | lines | tiny models with an oracle | greatest difference | llama.cpp's tiny models |",
        "|---|---|---|---|---|",
    ]
    for name in sorted(lines):
        found = f"{worst[name]:.1e}" if name in worst else ""
        theirs = ", ".join(second.get(name, []))
        table.append(f"| {name} | {lines[name]} | {', '.join(models.get(name, []))} | {found} | {theirs} |")
    page = ROOT / "docs/models.md"
    median = int(np.median(list(lines.values())))
    head = (
        f"{len(lines)} architectures; the median adds {median} line to the table of architectures. Differences are those "
        "of the reference level from Hugging\nFace transformers or a float64 forward, in standard deviations of the "
        "logits (of an encoder: in the embedding of unit\nlength). The last column is the normalised mean squared error "
        "beside llama.cpp on its own tiny models\n(`broad.py`), up to 1e-6 where they agree. Of those models: "
        f"{counts}.\n\n"
    )
    page.write_text(page.read_text().split(MARK)[0] + MARK + head + "\n".join(table) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
