"""llama.cpp as an oracle: ids, logits and greedy text of a GGUF, by the peer that bench/peers/build_llama_cpp.sh DIR
builds.

It compiles llama_cpp_run.cpp against that build (into DIR, once) and runs it: default CPU kernels, f16 cache, 2
threads.
"""

import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).with_name("llama_cpp_run.cpp")


class LlamaCpp:
    def __init__(self, folder):
        folder = Path(folder).resolve()
        libraries = folder / "build" / "bin"
        if not (libraries / "libllama.so").exists():
            raise SystemExit(f"llama.cpp is not built in {folder}: run bench/peers/build_llama_cpp.sh {folder}")
        self.version = (folder / "VERSION").read_text().strip()
        self.program = folder / "llama_cpp_run"
        if not self.program.exists() or self.program.stat().st_mtime < SOURCE.stat().st_mtime:
            sources = folder / "llama.cpp"
            subprocess.run(
                [
                    os.environ.get("CXX", "c++"),
                    "-std=c++17",
                    "-O2",
                    f"-I{sources}/include",
                    f"-I{sources}/ggml/include",
                    str(SOURCE),
                    f"-L{libraries}",
                    f"-Wl,-rpath,{libraries}",
                    "-lllama",
                    "-lggml",
                    "-lggml-base",
                    "-o",
                    str(self.program),
                ],
                check=True,
            )

    def run(self, model, *arguments, stdin):
        command = [str(self.program), *map(str, arguments), str(model)]
        return subprocess.run(command, input=stdin, stdout=subprocess.PIPE, check=True).stdout

    def tokenize(self, model, text):
        """Ids as the file's own settings have them: BOS if it says so; special tokens in the text are text."""
        return [int(token) for token in self.run(model, "tokenize", stdin=text.encode()).split()]

    def detokenize(self, model, ids):
        return self.run(model, "detokenize", stdin=spaced(ids).encode()).decode(errors="replace")

    def logits(self, model, ids):
        """Float32 [len(ids), n_vocab]."""
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "logits.f32"
            self.run(model, "logits", out, stdin=spaced(ids).encode())
            return np.fromfile(out, dtype="<f4").reshape(len(ids), -1)

    def greedy(self, model, prompts, n_tokens):
        lines = "\n".join(spaced(prompt) for prompt in prompts) + "\n"
        printed = self.run(model, "greedy", n_tokens, stdin=lines.encode()).decode()
        return [[int(token) for token in line.split()] for line in printed.splitlines()]


def spaced(ids):
    return " ".join(map(str, ids))
