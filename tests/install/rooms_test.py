"""rooms_test.py BUILD: no room can include a header of a room to its right, nor the public headers.

For each room and each room that it may not see, the compiler, called as for the room's own files, must not find a header of
the other.
"""

import json
import pathlib
import shlex
import subprocess
import sys

# What each may see, itself aside: the plan of the house.
BASE = {"base"}
SEES = {
    "base": set(),
    "tensor": BASE,
    "quant": BASE | {"tensor"},
    "kernels": BASE | {"tensor", "quant"},
    "formats": BASE | {"tensor", "quant"},
    "tokenizer": BASE,
    "jinja": BASE,
    "chat": BASE | {"jinja"},
    "weights": BASE | {"tensor", "quant", "kernels", "formats"},
    "graph": BASE | {"tensor", "quant", "kernels", "formats", "weights"},
    "cache": BASE | {"tensor", "quant", "kernels"},
    "cpu": BASE | {"tensor", "quant", "kernels", "formats", "weights", "graph", "cache"},
    "ops": BASE | {"tensor", "quant", "kernels", "formats", "weights", "graph", "cache", "cpu"},
    "models": BASE | {"tensor", "quant", "kernels", "formats", "tokenizer", "jinja", "chat", "weights", "graph", "cache"},
    "engine": BASE | {"tensor", "quant", "kernels", "formats", "tokenizer", "jinja", "chat", "weights", "graph", "cache", "cpu", "models"},
    "answer": BASE | {"tensor", "quant", "kernels", "formats", "tokenizer", "jinja", "chat", "weights", "graph", "cache", "cpu", "models", "engine"},
    "tools": BASE | {"tensor", "quant", "kernels", "formats", "tokenizer", "jinja", "chat", "weights", "graph", "cache", "cpu", "models", "engine"},
}

build = pathlib.Path(sys.argv[1])
root = pathlib.Path(__file__).resolve().parents[2]
commands = {}
for entry in json.loads((build / "compile_commands.json").read_text()):
    path = pathlib.Path(entry["file"])
    if path.is_relative_to(root / "src"):
        commands.setdefault(path.relative_to(root / "src").parts[0], shlex.split(entry["command"]))


def finds(room, header):
    """Whether a file of the room that includes the header gets through the preprocessor."""
    command = commands[room]
    flags = [c for c in command[1:] if c.startswith(("-I", "-isystem", "-std", "-D"))]
    compiler = next(c for c in command if "ccache" not in c)
    done = subprocess.run([compiler, *flags, "-x", "c++", "-E", "-o", "/dev/null", "-"], input=f'#include "{header}"\n', text=True,
                          capture_output=True, cwd=build)
    return done.returncode == 0


problems = [f"room {room} is not in the plan" for room in commands if room not in SEES]
n = 0
for room in commands:
    for other in commands:
        header = str(sorted((root / "src" / other).glob("*.hpp"))[0].relative_to(root / "src"))
        allowed = other == room or other in SEES.get(room, ())
        if not allowed and finds(room, header):
            problems.append(f"{room} finds {header}")
        n += not allowed
    if not finds(room, str(sorted((root / "src" / room).glob("*.hpp"))[0].relative_to(root / "src"))):
        problems.append(f"{room} does not find its own header: the check itself is wrong")
    if finds(room, "elver/elver.h"):
        problems.append(f"{room} finds elver/elver.h")
print(f"{len(commands)} rooms, {n} directions that are closed")
print("\n".join(problems))
sys.exit(bool(problems) or n < 50)
