"""What the binaries show to the linker.

symbols.py library LIBRARY INCLUDE   exactly the headers' functions are exported, and nothing that ends the process or prints
                                     is called by elver's own code
symbols.py kernels OBJECTS...        a kernel object's only global symbol is its table (architecture.md, law 8)
"""

import pathlib
import re
import subprocess
import sys


def nm(*arguments):
    out = subprocess.run(["nm", *arguments], check=True, capture_output=True, text=True).stdout
    return [line.split() for line in out.splitlines() if line]


def library(path, include):
    exported = {row[-1].split("@")[0] for row in nm("-D", "--defined-only", path)}
    text = "".join(p.read_text() for p in sorted(pathlib.Path(include).glob("*.h")))
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    declared = set(re.findall(r"ELVER_API\s[^;(]*?\b(elver_\w+)\s*\(", text))
    wrong = [f"{s}: declared, not exported" for s in sorted(declared - exported)]
    wrong += [f"{s}: exported, not declared" for s in sorted(exported - declared)]
    imported = {row[-1].split("@")[0] for row in nm("-D", "--undefined-only", path)}
    forbidden = re.compile(r"^(_?exit|_Exit|quick_exit|abort|__assert_fail|raise|kill|signal|sigaction|fork|execv\w*|system|popen|"
                           r"__?v?f?printf(_chk)?|puts|putchar|perror|socket|connect|_ZSt4cout|_ZSt4cerr|_ZSt4clog)$")
    wrong += [f"{s}: imported" for s in sorted(imported) if forbidden.match(s)]
    print(f"{path}: {len(declared)} functions declared, {len(exported)} exported")
    return wrong


def kernels(objects):
    wrong, seen = [], 0
    for path in objects:
        level = re.fullmatch(r"(\w+)\.cpp\.o", pathlib.Path(path).name).group(1)
        if level == "select":
            continue
        seen += 1
        for row in nm("--defined-only", "--extern-only", "--demangle", path):
            kind, name = row[1], " ".join(row[2:])
            # xsimd's names carry the instruction set in their template arguments.
            if name == f"elver::table_{level}" or (kind in "WVu" and "xsimd::" in name) or level == "reference" and kind in "WVu":
                continue
            wrong.append(f"{path}: {kind} {name}: expected elver::table_{level} alone")
    print(f"{seen} kernel objects")
    return wrong if seen else ["no kernel objects given"]


problems = library(*sys.argv[2:]) if sys.argv[1] == "library" else kernels(sys.argv[2:])
print("\n".join(problems))
sys.exit(bool(problems))
