"""The second opinion on the tiny models: llama.cpp in full float32.

It must have been built by bench/peers/build_llama_cpp.sh, into the folder that $ELVER_PEERS names.
Compiles llama_cpp_logits.cpp on first use; the program goes to that folder.
"""

import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).with_name("llama_cpp_logits.cpp")


class MissingPeer(RuntimeError):
    """There is no llama.cpp build to ask."""


def peers_folder() -> Path:
    """The folder given to build_llama_cpp.sh: it holds build/ and llama_cpp_python-VERSION/."""
    text = os.environ.get("ELVER_PEERS", "")
    if not text or not (Path(text) / "build" / "bin").is_dir():
        raise MissingPeer("no llama.cpp: run bench/peers/build_llama_cpp.sh DIR, then set ELVER_PEERS=DIR")
    return Path(text)


def version() -> str:
    """The release of llama-cpp-python whose sdist holds the llama.cpp that was built."""
    return sorted(peers_folder().glob("llama_cpp_python-*/"))[-1].name.replace("llama_cpp_python-", "llama-cpp-python ")


def program() -> Path:
    """The compiled llama_cpp_logits."""
    peers = peers_folder()
    target = peers / "llama_cpp_logits"
    if not target.exists() or target.stat().st_mtime < SOURCE.stat().st_mtime:
        sources = sorted(peers.glob("llama_cpp_python-*/vendor/llama.cpp"))[-1]
        libraries = peers / "build" / "bin"
        subprocess.run(
            [
                os.environ.get("CXX", "c++"),
                "-std=c++17",
                "-O1",
                f"-I{sources}/include",
                f"-I{sources}/ggml/include",
                str(SOURCE),
            ]
            + ["-o", str(target), f"-L{libraries}", "-lllama", "-lggml", "-lggml-base", f"-Wl,-rpath,{libraries}"],
            check=True,
        )
    return target


def run(model, tokens, what: str, cache: str = "f32", n_threads: int = 1) -> np.ndarray:
    """float32 [n_tokens, ...]; RuntimeError with llama.cpp's words where it refuses the model."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out"
        command = [str(program()), str(model), str(output), str(n_threads), cache, what]
        done = subprocess.run(command + [str(int(t)) for t in tokens], stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"llama.cpp: {done.stderr.strip() or f'exit status {done.returncode}'}")
        return np.fromfile(output, dtype="<f4").reshape(len(tokens), -1)


def logits(model, tokens, **options) -> np.ndarray:
    """Logits of every position, [n_tokens, n_vocab]."""
    return run(model, tokens, "logits", **options)


def hidden(model, tokens, **options) -> np.ndarray:
    """Hidden states after the last layer, [n_tokens, width]."""
    return run(model, tokens, "hidden", **options)
