#!/usr/bin/env python3
"""elver's tokenizers against Hugging Face `tokenizers` and `sentencepiece`, over random texts of every script.

    tests/oracle/tokenizer.py --elver build/release/bin/elver [--vocabularies DIR] [--strings 5000] [--seed 1] [NAME…]

For each ggml-vocab-*.gguf in DIR (by default those in the llama-cpp-python sdist, fetched once with pip into
${XDG_CACHE_HOME:-~/.cache}/elver/) and for each pre-tokenizer name, it drives `elver tokenize FILE --jsonl` with and without
--special and `elver detokenize FILE --jsonl`, and compares every id. Exit status 1 and the first differences if there are any.
Needs gguf, tokenizers, sentencepiece, protobuf and (without its dependencies) rwkv from PyPI.
"""

import argparse
import ast
import functools
import json
import random
import subprocess
import tempfile
import unicodedata
from pathlib import Path

import gguf
import sdist
from tokenizer_references import CONTROL, NFC, NORMAL, PATTERN_OF, Vocabulary, pieces_as_bytes, reference
from tokenizer_strings import Strings

def vocabulary_folder():
    return sdist.fetch("vocabularies", lambda path: path.name.startswith("ggml-vocab-"))


class Elver:
    def __init__(self, program):
        self.program = program

    def run(self, command, path, lines, special):
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
            for line in lines:
                file.write(json.dumps(line) + "\n")
            file.flush()
            arguments = [self.program, command, str(path), "--jsonl", file.name] + (["--special"] if special else [])
            done = subprocess.run(arguments, capture_output=True, text=True, encoding="utf-8")
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(arguments)}: exit status {done.returncode}: {done.stderr.strip()}")
        out = [json.loads(line) for line in done.stdout.split("\n") if line]
        if len(out) != len(lines):
            raise SystemExit(f"{command} {path}: expected {len(lines)} lines, found {len(out)}")
        return out


class Comparison:
    def __init__(self, elver, show):
        self.elver, self.show, self.n_failed = elver, show, 0

    def report(self, title, inputs, got, expected):
        wrong = [i for i in range(len(inputs)) if got[i] != expected[i]]
        print(f"{'ok  ' if not wrong else 'FAIL'} {title}: {len(inputs)} compared, {len(wrong)} differ", flush=True)
        for i in wrong[: self.show]:
            print(f"     {inputs[i]!r}\n       elver     {got[i]}\n       reference {expected[i]}")
        self.n_failed += bool(wrong)

    def encode(self, title, path, v, texts, special):
        """elver adds BOS and its like, or not: what it says of the empty text tells, and must be the family's frame."""
        got = self.elver.run("tokenize", path, [""] + texts, special)
        before, behind = v.frame()
        frame = got.pop(0)
        if frame and frame != before + behind:
            print(f"FAIL {title}: the empty text is {frame}, expected {before + behind}")
            self.n_failed += 1
        if not frame:
            before, behind = [], []
        oracle = reference(v, special)
        self.report(title, texts, got, [before + oracle.encode(t) + behind for t in texts])
        return got

    def decode(self, title, path, v, id_lists):
        pieces = pieces_as_bytes(v)
        expected = []
        strip = v.model in ("bert",) or (v.model in ("llama", "t5") and v.get("add_space_prefix") is not False)
        for ids in id_lists:
            text = b"".join(pieces[i] or b"" for i in ids)
            if strip and text[:1] == b" ":
                text = text[1:]
            expected.append(text.decode("utf-8", "replace"))
        self.report(title, id_lists, self.elver.run("detokenize", path, id_lists, False), expected)

    def file(self, path, n, seed):
        name = path.stem.removeprefix("ggml-vocab-")
        v = Vocabulary(path)
        plain = [p.decode() for p in pieces_as_bytes(v) if p and is_utf8(p)]
        # Placeholders stand for no token; a newline in a special token would be two lines of a failure's report.
        special = [t for t in v.special + v.user if not t.startswith("[PAD") and "\n" not in t][:200]
        strings = Strings(seed, plain, special, functools.lru_cache(None)(reference(v, False).knows))
        texts = ["", " ", "\n", "a"] + [strings.text() for _ in range(n)]
        ids = self.encode(f"{name}, plain", path, v, texts, False)
        self.encode(f"{name}, special", path, v, [strings.special_text() for _ in range(n // 2)], True)
        dice = random.Random(seed)
        mixed = [[dice.randrange(len(v.tokens)) for _ in range(dice.randint(1, 12))] for _ in range(n // 4)]
        self.decode(f"{name}, back", path, v, ids[: n // 2] + mixed)
        self.given(name, path, v)

    def given(self, name, path, v):
        """The ids that lie beside the file, made by the models' own tokenizers."""
        inputs, outputs = Path(f"{path}.inp"), Path(f"{path}.out")
        if not inputs.exists():
            return
        texts = inputs.read_text(encoding="utf-8").split("\n__ggml_vocab_test__\n")
        expected = [[int(i) for i in line.split()] for line in outputs.read_text().split("\n")]
        got = self.elver.run("tokenize", path, [""] + texts, False)
        before, behind = v.frame() if got[0] else ([], [])
        # Where a family normalises and a text is not normal, these files hold what an unnormalised tokenizer says.
        keep = [i for i, t in enumerate(texts) if v.rule() not in NFC or unicodedata.normalize("NFC", t) == t]
        self.report(f"{name}, given", [texts[i] for i in keep], [got[i + 1] for i in keep],
                    [before + expected[i] + behind for i in keep])

    def pre_tokenizers(self, base, n, seed):
        """Every pre-tokenizer name, over one vocabulary."""
        with tempfile.TemporaryDirectory() as scratch:
            for k, pre in enumerate(sorted(PATTERN_OF)):
                path = Path(scratch) / f"{pre}.gguf"
                with_pre(base, path, pre)
                v = Vocabulary(path)
                strings = Strings(seed + k, knows=reference(v, False).knows)
                self.encode(f"pre-tokenizer {pre}", path, v, [strings.text() for _ in range(n)], False)
                path.unlink()


    def rwkv(self, n, seed):
        """RWKV World, from the list of tokens inside the `rwkv` package, spelled as converters to GGUF spell it."""
        import rwkv.rwkv_tokenizer

        lines = Path(rwkv.rwkv_tokenizer.__file__).with_name("rwkv_vocab_v20230424.txt").read_text(encoding="utf-8").splitlines()
        tokens, types = ["<s>"], [CONTROL]
        for line in lines:
            token = ast.literal_eval(line[line.index(" ") + 1 : line.rindex(" ")])
            tokens.append(repr(token.encode() if isinstance(token, str) else token)[2:-1])
            types.append(NORMAL)
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "ggml-vocab-rwkv.gguf"
            writer = gguf.GGUFWriter(path, "rwkv6")
            writer.add_tokenizer_model("rwkv")
            writer.add_token_list(tokens)
            writer.add_token_types(types)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.close()
            self.file(path, n, seed)


def is_utf8(text):
    try:
        text.decode()
        return True
    except UnicodeDecodeError:
        return False


def with_pre(base, path, pre):
    """A copy of a vocabulary under another pre-tokenizer's name."""
    v = Vocabulary(base)
    writer = gguf.GGUFWriter(path, v.architecture)
    writer.add_tokenizer_model(v.model)
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(v.tokens)
    writer.add_token_types(v.types)
    writer.add_token_merges(v.merges)
    for key in ("bos", "eos"):
        writer.add_uint32(f"tokenizer.ggml.{key}_token_id", v.id_of(key))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="of vocabularies, as llama-bpe; pre for the pre-tokenizers, or rwkv; all by default")
    parser.add_argument("--elver", required=True, help="the program")
    parser.add_argument("--vocabularies", type=Path, help="a folder with ggml-vocab-*.gguf")
    parser.add_argument("--more", type=Path, nargs="*", default=[], help="further GGUF files")
    parser.add_argument("--strings", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=3, help="differences to print of each comparison")
    arguments = parser.parse_args()
    folder = arguments.vocabularies or vocabulary_folder()
    files = sorted(folder.glob("ggml-vocab-*.gguf")) + arguments.more
    if not files:
        raise SystemExit(f"{folder}: no ggml-vocab-*.gguf")
    comparison = Comparison(Elver(arguments.elver), arguments.show)
    for path in files:
        if not arguments.names or path.stem.removeprefix("ggml-vocab-") in arguments.names:
            comparison.file(path, arguments.strings, arguments.seed)
    if not arguments.names or "pre" in arguments.names:
        base = next(p for p in files if p.stem == "ggml-vocab-gpt-2")
        comparison.pre_tokenizers(base, arguments.strings, arguments.seed)
    if not arguments.names or "rwkv" in arguments.names:
        comparison.rwkv(arguments.strings, arguments.seed)
    if comparison.n_failed:
        raise SystemExit(f"{comparison.n_failed} comparisons failed")


if __name__ == "__main__":
    main()
