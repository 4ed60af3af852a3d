"""Runs the program, and makes model files byte by byte, without elver's own reader or writer."""

import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import unittest

PROGRAM = os.environ["ELVER_PROGRAM"]
DATA = pathlib.Path(os.environ["ELVER_TEST_DATA"])
TINY = DATA / "golden/archs/llama.gguf"

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9


def run(*arguments, stdin=None, environment=None, timeout=120):
    return subprocess.run([PROGRAM, *map(str, arguments)], input=stdin, capture_output=True, timeout=timeout,
                          env={**os.environ, **(environment or {})})


class ProgramTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def file(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def good(self, *arguments, **options):
        done = run(*arguments, **options)
        self.assertEqual(done.returncode, 0, done.stderr.decode(errors="replace"))
        return done.stdout.decode()

    def bad(self, code, names, *arguments, **options):
        """The call must exit with the code and say one line on stderr that holds every one of the names."""
        done = run(*arguments, **options)
        message = done.stderr.decode()
        self.assertEqual(done.returncode, code, f"{arguments}: {message or done.stdout[:200]}")
        self.assertEqual(message.count("\n"), 1, message)
        self.assertTrue(message.startswith("elver: "), message)
        self.assertEqual(done.stdout, b"")
        for name in names:
            self.assertIn(str(name), message)
        return message


def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def value_bytes(kind, value):
    if kind == STRING:
        return string(value)
    if kind == ARRAY:
        element, items = value
        return struct.pack("<IQ", element, len(items)) + b"".join(value_bytes(element, i) for i in items)
    return struct.pack("<" + SCALARS[kind], value)


class Gguf:
    """A GGUF file as Python values: change them, then bytes() it. Dimensions are the file's: innermost first."""

    def __init__(self, path=None):
        self.version, self.pairs, self.tensors, self.alignment = 3, {}, [], 32
        if path is not None:
            self.read(pathlib.Path(path).read_bytes())

    def read(self, data):
        at = 0

        def take(form):
            nonlocal at
            out = struct.unpack_from("<" + form, data, at)
            at += struct.calcsize("<" + form)
            return out[0] if len(out) == 1 else out

        def text():
            nonlocal at
            n = take("Q")
            at += n
            return data[at - n : at]

        def value(kind):
            if kind == STRING:
                return text()
            if kind == ARRAY:
                element, n = take("I"), take("Q")
                return element, [value(element) for _ in range(n)]
            return take(SCALARS[kind])

        magic, self.version, n_tensors, n_pairs = take("4s"), take("I"), take("Q"), take("Q")
        assert magic == b"GGUF"
        for _ in range(n_pairs):
            key = text().decode()
            kind = take("I")
            self.pairs[key] = (kind, value(kind))
        entries = []
        for _ in range(n_tensors):
            name = text().decode()
            dims = [take("Q") for _ in range(take("I"))]
            entries.append((name, dims, take("I"), take("Q")))
        start = (at + 31) // 32 * 32
        ends = sorted(e[3] for e in entries)[1:] + [len(data) - start]
        by_offset = {e[3]: end for e, end in zip(sorted(entries, key=lambda e: e[3]), ends)}
        self.tensors = [[n, d, t, data[start + o : start + by_offset[o]]] for n, d, t, o in entries]

    def set(self, key, kind, value):
        self.pairs[key] = (kind, value)
        return self

    def drop(self, key):
        del self.pairs[key]
        return self

    def tensor(self, name):
        return next(t for t in self.tensors if t[0] == name)

    def bytes(self, magic=b"GGUF", n_tensors=None, n_pairs=None, offset=None):
        """offset: of the first tensor, in place of the right one."""
        out = magic + struct.pack("<IQQ", self.version, len(self.tensors) if n_tensors is None else n_tensors,
                                  len(self.pairs) if n_pairs is None else n_pairs)
        for key, (kind, value) in self.pairs.items():
            out += string(key) + struct.pack("<I", kind) + value_bytes(kind, value)
        at, body = 0, b""
        for i, (name, dims, kind, data) in enumerate(self.tensors):
            place = offset if i == 0 and offset is not None else at
            out += string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, place)
            data += b"\0" * (-len(data) % self.alignment)
            body += data
            at += len(data)
        return out + b"\0" * (-len(out) % self.alignment) + body
