"""Files of the `llama-cpp-python` source distribution that the oracles read: vocabularies and chat templates of real models, fetched
once with pip into ${XDG_CACHE_HOME:-~/.cache}/elver/. They are not in this repository: their licences are their models'.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

SDIST = "llama-cpp-python==0.3.36"


def fetch(name, wanted):
    """The folder NAME of the cache with every file of the distribution for whose path wanted(path) is true."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "elver"
    folder = cache / name
    if folder.exists():
        return folder
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "-q", "-d", scratch, SDIST]
        subprocess.run(command, check=True)
        part = folder.with_suffix(".part")
        part.mkdir(parents=True, exist_ok=True)
        with tarfile.open(next(Path(scratch).glob("*.tar.gz"))) as archive:
            for member in archive:
                if member.isfile() and wanted(Path(member.name)):
                    (part / Path(member.name).name).write_bytes(archive.extractfile(member).read())
        part.rename(folder)
    return folder
