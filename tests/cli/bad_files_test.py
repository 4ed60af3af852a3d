"""Every kind of bad file through the program: exit code 1 and one line that names the file and what in it is wrong."""

import io
import json
import struct
import unittest
import zipfile

from program import DATA, Gguf, PROGRAM, ProgramTest, STRING, TINY, run

U32, I32, F32, U64, ARRAY = 4, 5, 6, 10, 9


def tiny():
    return Gguf(TINY)


def tokens_of(gguf):
    return gguf.pairs["tokenizer.ggml.tokens"][1][1]


def with_tokens(change):
    """The tiny model with its list of tokens changed."""
    gguf = tiny()
    tokens = list(tokens_of(gguf))
    change(tokens)
    return gguf.set("tokenizer.ggml.tokens", ARRAY, (STRING, tokens))


def reshaped(name, dims):
    gguf = tiny()
    gguf.tensor(name)[1] = dims
    return gguf


def retyped(name, kind):
    gguf = tiny()
    gguf.tensor(name)[2] = kind
    return gguf


def without(name):
    gguf = tiny()
    gguf.tensors = [t for t in gguf.tensors if t[0] != name]
    return gguf


def zipped():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("data.pkl", b"x" * 100)
    return out.getvalue()


def safetensors():
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(8)


GOOD = tiny().bytes()
# name, bytes, what the message names
FOREIGN = [
    ("empty", b"", ["empty"]),
    ("one byte", b"G", ["GGUF"]),
    ("magic alone", b"GGUF", []),
    ("ELF", open(PROGRAM, "rb").read(4096), ["GGUF"]),
    ("zip", zipped(), ["GGUF"]),
    ("safetensors", safetensors(), ["GGUF"]),
    ("text", b"<html><body>404 Not Found</body></html>" * 20, ["GGUF"]),
    ("version 1", b"GGUF" + struct.pack("<I", 1) + GOOD[8:], ["version", "1"]),
    ("version 4", b"GGUF" + struct.pack("<I", 4) + GOOD[8:], ["version", "4"]),
    ("big-endian", b"GGUF" + struct.pack(">I", 3) + GOOD[8:], ["version"]),
]
COUNTS = [
    ("2^63 tensors", tiny().bytes(n_tensors=1 << 63), []),
    ("one tensor too many", tiny().bytes(n_tensors=len(tiny().tensors) + 1), []),
    ("2^64-1 keys", tiny().bytes(n_pairs=(1 << 64) - 1), []),
    ("a key too few", tiny().bytes(n_pairs=len(tiny().pairs) - 1), []),
    ("a key of 2^62 bytes", GOOD[:24] + struct.pack("<Q", 1 << 62) + GOOD[32:], []),
    ("offset wraps", tiny().bytes(offset=(1 << 64) - 64), ["token_embd.weight"]),
    ("offset leaves the file", tiny().bytes(offset=1 << 40), ["token_embd.weight"]),
    ("offset not aligned", tiny().bytes(offset=4), ["token_embd.weight"]),
    ("dimensions overflow", reshaped("blk.0.attn_q.weight", [1 << 33, 1 << 33]).bytes(), ["blk.0.attn_q.weight"]),
    ("a dimension of 0", reshaped("blk.0.attn_q.weight", [30, 0]).bytes(), ["blk.0.attn_q.weight"]),
    ("a negative dimension", reshaped("blk.0.attn_q.weight", [30, (1 << 64) - 30]).bytes(), ["blk.0.attn_q.weight"]),
    ("nine dimensions", reshaped("blk.0.attn_q.weight", [30, 1, 1, 1, 1, 1, 1, 1, 30]).bytes(), ["blk.0.attn_q.weight"]),
    ("unknown tensor type", retyped("blk.0.attn_q.weight", 77).bytes(), ["blk.0.attn_q.weight", "77"]),
    ("rows that are no whole blocks", retyped("blk.0.attn_q.weight", 2).bytes(), ["blk.0.attn_q.weight"]),
    ("alignment 0", tiny().set("general.alignment", U32, 0).bytes(), ["general.alignment", "0"]),
    ("alignment 3", tiny().set("general.alignment", U32, 3).bytes(), ["general.alignment", "3"]),
    ("alignment 2^31", tiny().set("general.alignment", U32, 1 << 31).bytes(), []),
    ("a tensor twice", (lambda g: (g.tensors.append(g.tensors[0]), g.bytes())[1])(tiny()), ["token_embd.weight"]),
]
SPECS = [
    ("unknown architecture", tiny().set("general.architecture", STRING, "frobnicate"), ["frobnicate"]),
    ("no architecture", tiny().drop("general.architecture"), ["general.architecture"]),
    ("architecture is a number", tiny().set("general.architecture", U32, 7), ["general.architecture"]),
    ("no layers key", tiny().drop("llama.block_count"), ["llama.block_count"]),
    ("no width", tiny().drop("llama.embedding_length"), ["llama.embedding_length"]),
    ("no heads", tiny().drop("llama.attention.head_count"), ["llama.attention.head_count"]),
    ("0 heads", tiny().set("llama.attention.head_count", U32, 0), ["head"]),
    ("2^32-1 layers", tiny().set("llama.block_count", U32, (1 << 32) - 1), ["llama.block_count"]),
    ("three layers", tiny().set("llama.block_count", U32, 3), ["blk.2."]),
    ("width is text", tiny().set("llama.embedding_length", STRING, "wide"), ["llama.embedding_length"]),
    ("width is another", tiny().set("llama.embedding_length", U32, 60), ["token_embd.weight", "[61, 30]"]),
    ("context 0", tiny().set("llama.context_length", U32, 0), ["n_ctx_train"]),
    ("7 key heads for 3", tiny().set("llama.attention.head_count_kv", U32, 7), ["head"]),
    ("epsilon is not a number", tiny().set("llama.attention.layer_norm_rms_epsilon", F32, float("nan")), ["eps"]),
    ("rope dimensions beyond the head", tiny().set("llama.rope.dimension_count", U32, 1000), ["rope"]),
    ("a tensor missing", without("blk.1.ffn_down.weight"), ["blk.1.ffn_down.weight"]),
    ("embeddings missing", without("token_embd.weight"), ["token_embd.weight"]),
    ("a shape turned round", reshaped("blk.0.ffn_down.weight", [30, 22]), ["blk.0.ffn_down.weight", "[30, 22]", "[22, 30]"]),
]
TYPES = "tokenizer.ggml.token_type"
VOCABULARIES = [
    ("no tokens", tiny().drop("tokenizer.ggml.tokens"), ["tokenizer.ggml.tokens"]),
    ("a token is no UTF-8", with_tokens(lambda t: t.__setitem__(5, b"\xff\xfe")), ["tokenizer.ggml.tokens", "5", "UTF-8"]),
    ("an empty list of tokens", tiny().set("tokenizer.ggml.tokens", ARRAY, (STRING, [])), ["tokenizer.ggml.tokens"]),
    ("tokens are numbers", tiny().set("tokenizer.ggml.tokens", ARRAY, (U32, [1, 2])), ["tokenizer.ggml.tokens"]),
    ("fewer types than tokens", tiny().set(TYPES, ARRAY, (I32, [1, 1])), [TYPES]),
    ("BOS outside", tiny().set("tokenizer.ggml.bos_token_id", U32, 61), ["tokenizer.ggml.bos_token_id", "61"]),
    ("EOS outside", tiny().set("tokenizer.ggml.eos_token_id", U32, 1 << 31), ["tokenizer.ggml.eos_token_id"]),
    ("a merge of one part", tiny().set("tokenizer.ggml.merges", ARRAY, (STRING, ["th"])), ["tokenizer.ggml.merges"]),
]


class BadFiles(ProgramTest):
    def check(self, name, data, names, commands):
        path = self.file("model.gguf", data if isinstance(data, bytes) else data.bytes())
        for command in commands:
            with self.subTest(name, command=command[0]):
                self.bad(1, [path, *names], command[0], path, *command[1:])

    def every(self, rows, commands):
        for name, data, names in rows:
            self.check(name, data, names, commands)

    opening = [("info",), ("plan", "--json"), ("complete", "--tokens", "1", "--max-tokens", "1", "--json")]

    def tokenizing(self):
        return [("tokenize", "--text-file", self.file("t.txt", "the"), "--json")]

    def test_the_files_are_made_well(self):
        """The unchanged copy works: a row fails for its own reason."""
        path = self.file("model.gguf", GOOD)
        self.assertEqual(self.good("plan", path, "--json"), self.good("plan", TINY, "--json"))

    def test_foreign(self):
        self.every(FOREIGN, [*self.opening, *self.tokenizing()])

    def test_counts(self):
        self.every(COUNTS, [("info",), *self.tokenizing()])

    def test_specs(self):
        self.every(SPECS, self.opening)

    def test_vocabularies(self):
        self.every(VOCABULARIES, [*self.tokenizing(), ("info",)])

    def test_missing_and_strange(self):
        for path in ["/no/such/model.gguf", "/", "/dev/null", ""]:
            for command in [*self.opening, *self.tokenizing()]:
                self.bad(1, [path], command[0], path, *command[1:])

    def test_truncated(self):
        for n in [*range(1, 200, 23), *range(200, len(GOOD), 2711), len(GOOD) - 40]:
            with self.subTest(n):
                self.bad(1, [], "info", self.file("model.gguf", GOOD[:n]))

    def test_any_changed_byte_of_the_directory_is_survived(self):
        for at in range(0, 3200, 29):
            data = bytearray(GOOD)
            data[at] ^= 0xFF
            done = run("complete", self.file("model.gguf", bytes(data)), "--tokens", "1", "--max-tokens", "1", "--json")
            self.assertIn(done.returncode, (0, 1), f"byte {at}: {done.stderr}")
            if done.returncode == 1:
                self.assertEqual(done.stderr.count(b"\n"), 1)

    def test_a_vocabulary_alone_is_no_model(self):
        path = DATA / "golden/tokenizer/bpe.gguf"
        self.bad(1, [path], "complete", path, "--prompt", "x", "--max-tokens", "1")
        self.good("tokenize", path, *self.tokenizing()[0][1:])

    def test_a_bad_template(self):
        bad = self.file("t.jinja", "a\nb {% frob %}")
        lines = self.file("v.jsonl", "{}\n")
        out = json.loads(self.good("template", "--template-file", bad, "--jsonl", lines))
        self.assertIn("line 2", out["error"])
        model = self.file("m.gguf", tiny().set("tokenizer.chat_template", STRING, "{% frob %}").bytes())
        self.bad(1, [model, "frob"], "chat", model, "hello")
        self.bad(1, ["tokenizer.chat_template"], "chat", TINY, "hello")


if __name__ == "__main__":
    unittest.main()
