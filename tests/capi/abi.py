"""Compares the ABI that the headers declare with the dump in capi/abi. New functions are welcome; what is there may not
change. The compiler holds the library to its headers, and symbols.py its exports.

abi.py check | update    update: writes the dump anew, for additions at a release and for a break that is meant
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
DUMP = ROOT / "capi/abi/elver.abi"
HEADERS = ["elver/elver.h", "elver/elver_experimental.h", "elver/elver_ops.h"]
FLAGS = ["--no-corpus-path", "--no-comp-dir-path", "--no-show-locs", "--type-id-style", "hash"]


def stubs():
    """C source with an empty function for each that is declared: abidiff reads types from its debugging information."""
    out = [f"#include <{h}>" for h in HEADERS]
    for header in HEADERS:
        text = re.sub(r"/\*.*?\*/", "", (ROOT / "include" / header).read_text(), flags=re.S)
        for returned, name, arguments in re.findall(r"ELVER_API\s+([^;()]*?)\b(elver_\w+)\(([^;]*)\);", text):
            end = "" if returned.strip() == "void" else f"return ({returned.strip()})0;"
            out.append(f"{returned}{name}({arguments}) {{ {end} }}")
    return "\n".join(out) + "\n"


if not shutil.which("abidiff"):
    print("skipped: abidiff is missing (Debian's package abigail-tools)")
    sys.exit(77)
with tempfile.TemporaryDirectory() as folder:
    source, library = pathlib.Path(folder, "elver.c"), pathlib.Path(folder, "libelver.so")
    source.write_text(stubs())
    subprocess.run(["cc", "-std=c99", "-g", "-O0", "-w", "-shared", "-fPIC", f"-I{ROOT}/include", source, "-o", library], check=True)
    if sys.argv[1] == "update":
        DUMP.write_text(subprocess.run(["abidw", *FLAGS, library], check=True, capture_output=True, text=True).stdout)
        print(f"{DUMP}: {DUMP.stat().st_size} bytes")
        sys.exit()
    status = subprocess.run(["abidiff", "--no-added-syms", DUMP, library]).returncode
if status:
    print(f"The ABI has changed. If that is meant: python3 {pathlib.Path(__file__).relative_to(ROOT)} update")
sys.exit(bool(status))
