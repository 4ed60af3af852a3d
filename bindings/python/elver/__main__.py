"""``python -m elver`` and the command ``elver``: the program that lies in the package."""

import os
import subprocess
import sys
from pathlib import Path


def main() -> int:
    program = Path(__file__).parent / "bin" / ("elver.exe" if os.name == "nt" else "elver")
    if os.name == "nt":
        return subprocess.call([str(program), *sys.argv[1:]])
    os.execv(program, ["elver", *sys.argv[1:]])  # its exit code, signals and terminal are then the program's own


if __name__ == "__main__":
    sys.exit(main())
