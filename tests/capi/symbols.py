"""What the binaries show to the linker, and that no function of the headers is forgotten.

symbols.py library LIBRARY INCLUDE   exactly the headers' functions are exported, and nothing that ends the process or prints
                                     is called by elver's own code
symbols.py size LIBRARY BYTES        the library, stripped, is no larger
symbols.py windows INCLUDE           a header marks every function for Windows as the one who includes it needs
symbols.py kernels OBJECTS...        a kernel object's only global symbol is its table (architecture.md, law 8)
symbols.py covered SOURCE            every function is called wrongly in tests/capi/arguments*.c, every enum value and struct is
                                     pinned in layout_test.cpp, and every door opens every function
"""

import pathlib
import re
import subprocess
import sys
import tempfile


def nm(*arguments):
    out = subprocess.run(["nm", *arguments], check=True, capture_output=True, text=True).stdout
    return [line.split() for line in out.splitlines() if line]


# The status of an error is what its call returned; the text of the version tells its number. Python's threads and
# Swift's tasks share passes when each pulls an answer: there one need not step through many.
LEFT_OUT = {"C++": {"elver_version", "elver_version_number", "elver_error_status"},
            "Python": {"elver_version_number", "elver_error_status", "elver_model_step"},
            "Swift": {"elver_version_number", "elver_error_status", "elver_model_step"}}
DOORS = {"C++": "include/elver/*.hpp", "Python": "bindings/python/*pp", "Swift": "bindings/swift/Elver/*.swift"}


def code_of(folder, pattern):
    text = "".join(p.read_text() for p in sorted(pathlib.Path(folder).glob(pattern)))
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.S)


def functions(include):
    """(name, whether it can fail) of each that the headers declare."""
    found = re.findall(r"ELVER_API\s+([^;(]*?)\b(elver_\w+)\s*\(([^;]*)\);", code_of(include, "*.h"))
    return {name: "elver_error** error" in arguments for returned, name, arguments in found}


def library(path, include):
    exported = {row[-1].split("@")[0] for row in nm("-D", "--defined-only", path)}
    declared = set(functions(include))
    wrong = [f"{s}: declared, not exported" for s in sorted(declared - exported)]
    wrong += [f"{s}: exported, not declared" for s in sorted(exported - declared)]
    imported = {row[-1].split("@")[0] for row in nm("-D", "--undefined-only", path)}
    forbidden = re.compile(r"^(_?exit|_Exit|quick_exit|abort|__assert_fail|raise|kill|signal|sigaction|fork|execv\w*|system|popen|"
                           r"__?v?f?printf(_chk)?|puts|putchar|perror|socket|connect|_ZSt4cout|_ZSt4cerr|_ZSt4clog)$")
    wrong += [f"{s}: imported" for s in sorted(imported) if forbidden.match(s)]
    print(f"{path}: {len(declared)} functions declared, {len(exported)} exported")
    return wrong


def size(path, most):
    with tempfile.NamedTemporaryFile() as stripped:
        subprocess.run(["strip", "-o", stripped.name, path], check=True)
        n_bytes = pathlib.Path(stripped.name).stat().st_size
    print(f"{path}: {n_bytes} bytes stripped, {int(most) - n_bytes} below the bound")
    return [f"{path}: expected at most {most} bytes, found {n_bytes}"] if n_bytes > int(most) else []


def windows(include):
    wrong = []
    declared = list(functions(include))
    source = "".join(f"#include <elver/{p.name}>\n" for p in sorted(pathlib.Path(include).glob("*.h")))
    for defined, mark in (("ELVER_BUILDING", "__declspec(dllexport)"), ("ELVER_STATIC", ""), ("NOTHING", "__declspec(dllimport)")):
        text = subprocess.run(["cc", "-E", "-P", "-D_WIN32", f"-D{defined}", f"-I{pathlib.Path(include).parent}", "-x", "c", "-"],
                              input=source, check=True, capture_output=True, text=True).stdout
        marked = re.findall(r"(?:^|;|\})\s*(__declspec\(\w+\)|)\s*(?:[\w*]+ +)+\**(elver_\w+)\(", text)
        found = {name for its_mark, name in marked if its_mark == mark}
        wrong += [f"{name}: not marked as {mark or 'nothing'} with {defined}" for name in declared if name not in found]
    print(f"{len(declared)} functions")
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


def covered(source):
    source = pathlib.Path(source)
    calls, layout, headers = (code_of(source / f, p) for f, p in (
        ("tests/capi", "arguments*.c"), ("tests/capi", "layout_test.cpp"), ("include/elver", "*.h")))
    wrong = []
    for name, can_fail in functions(source / "include/elver").items():
        if not re.search((r"INVALID\(" if can_fail else r"\b") + name + r"\(", calls):
            wrong.append(f"{name}: no row in tests/capi/arguments*.c")
        wrong += [f"{name}: missing in the door for {door}" for door, files in DOORS.items()
                  if name not in LEFT_OUT[door] and not re.search(rf"\b{name}\b", code_of(source, files))]
    for body, name in re.findall(r"typedef enum \w+ \{(.*?)\} (\w+);", headers, re.S):
        wrong += [f"{value}: its number is not pinned" for value in re.findall(r"\b(ELVER_\w+) =", body)
                  if not re.search(rf"\b{value} == \d", layout)]
    for body, name in re.findall(r"typedef struct \w+ \{(.*?)\} (\w+);", headers, re.S):
        if f"sizeof({name}) ==" not in layout:
            wrong.append(f"{name}: its size is not pinned")
        fields = re.findall(r"\(\*(\w+)\)|(\w+);", body)
        if "reserved" in body and f"RESERVED({name}," not in layout:
            wrong.append(f"{name}: nothing checks that what is reserved must be zero")
        wrong += [f"{name}.{a or b}: its offset is not pinned" for a, b in fields[1:]
                  if "reserved" not in b and not re.search(rf"AT\({name}, {a or b}, \d+\)", layout)]
    return wrong


run = {"library": lambda: library(*sys.argv[2:]), "size": lambda: size(*sys.argv[2:]), "kernels": lambda: kernels(sys.argv[2:]),
       "windows": lambda: windows(sys.argv[2]), "covered": lambda: covered(sys.argv[2])}
problems = run[sys.argv[1]]()
print("\n".join(problems))
sys.exit(bool(problems))
