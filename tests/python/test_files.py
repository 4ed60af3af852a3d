"""Where models and snapshots come from and go to: files at a position, members of archives, pipes, raw files that take a part."""

import gzip
import io
import os
import tempfile
import threading
import zipfile

import elver
import pytest

IDS = [1, 2, 3]


@pytest.fixture(scope="module")
def small(small_path):
    with elver.Model(small_path) as model:
        yield model


@pytest.fixture(scope="module")
def saved(small):
    """A snapshot, and the logits in it."""
    with small.session() as session:
        session.prefill(IDS)
        out = io.BytesIO()
        session.save(out)
        return out.getvalue(), session.logits


def restored(small, source):
    with small.session() as session:
        session.restore(source)
        return session.logits


def test_an_open_file_is_read_from_its_position(small_path, tmp_path, small, saved):
    data = small_path.read_bytes()
    for content, opened in ((data, lambda file: elver.Model(file, load=False).n_vocab == small.n_vocab),
                            (saved[0], lambda file: (restored(small, file) == saved[1]).all())):  # fmt: skip
        path = tmp_path / "behind"
        path.write_bytes(b"something else." + content)
        for buffering in (-1, 0):
            with open(path, "rb", buffering=buffering) as file:
                file.seek(15)
                assert opened(file)
                file.seek(0)
                with pytest.raises(elver.BadFileError):
                    opened(file)
        with open(path, "w+b") as file:  # what was written and not flushed is read too
            file.write(b"head" + content)
            file.seek(4)
            assert opened(file)
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.seek(0)
            assert opened(file)


def test_files_without_a_descriptor_of_their_own(small_path, tmp_path, small, saved):
    data = small_path.read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.gguf", data)
        archive.writestr("snapshot", saved[0])
    with zipfile.ZipFile(tmp_path / "a.zip") as archive, archive.open("model.gguf") as member, archive.open("snapshot") as snapshot:
        assert elver.Model(member, load=False).n_vocab == small.n_vocab
        assert (restored(small, snapshot) == saved[1]).all()
    with gzip.open(tmp_path / "a.gz", "wb") as file:
        file.write(data)
    with gzip.open(tmp_path / "a.gz", "rb") as file:
        assert elver.Model(file, load=False).n_vocab == small.n_vocab
    behind = io.BytesIO(b"head" + data)
    behind.seek(4)
    assert elver.Model(behind, load=False).n_vocab == small.n_vocab
    with tempfile.SpooledTemporaryFile() as file:
        file.write(data)
        file.seek(0)
        assert elver.Model(file, load=False).n_vocab == small.n_vocab


def test_a_pipe(small_path, small):
    reading, writing = os.pipe()

    def write():
        with open(writing, "wb") as file:
            file.write(small_path.read_bytes())

    thread = threading.Thread(target=write)
    thread.start()
    with open(reading, "rb") as file:
        assert elver.Model(file, load=False).n_vocab == small.n_vocab
    thread.join()


def test_files_that_cannot_be_read(small_path, tmp_path):
    closed = open(small_path, "rb")
    closed.close()
    with open(small_path, encoding="latin-1") as text, open(tmp_path / "new", "wb") as written:
        for bad, says in ((closed, "closed"), (text, "opened for text"), (io.StringIO("GGUF"), "opened for text")):
            for use in (elver.Model, elver.Tokenizer):
                with pytest.raises(elver.InvalidArgumentError, match=says):
                    use(bad)
        with pytest.raises((elver.Error, OSError)):
            elver.Model(written)

    class Failing(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        elver.Model(Failing())


class Part(io.RawIOBase):
    """A raw file that takes at most so many bytes a call."""

    def __init__(self, most):
        self.most, self.data = most, bytearray()

    def writable(self):
        return True

    def write(self, data):
        part = bytes(data[: self.most])
        self.data += part
        return len(part) if self.most is not None else None


class Collected:
    """Not a file of the io module: its write() gives nothing, or what it is told."""

    def __init__(self, answer=None):
        self.answer, self.data = answer, bytearray()

    def write(self, data):
        self.data += data
        return self.answer(data) if callable(self.answer) else self.answer


def test_writers_that_take_a_part(small, saved):
    with small.session() as session:
        session.prefill(IDS)
        for sink in (Part(1000), Part(len(saved[0])), Collected(), Collected(len)):
            session.save(sink)
            assert bytes(sink.data) == saved[0]
        for sink in (Part(0), Part(None), Collected(0), Collected(-1), Collected("all"), Collected(True), Collected(1.0), Collected(1 << 40)):
            with pytest.raises(elver.IoError, match="write"):
                session.save(sink)
        assert (session.logits == saved[1]).all()


def test_a_pipe_takes_what_it_can(small, saved):
    """A pipe holds 64 KiB: a raw write of more takes a part."""
    reading, writing = os.pipe()
    read = []

    def drain():
        with open(reading, "rb") as file:
            read.append(file.read())

    thread = threading.Thread(target=drain)
    thread.start()
    with open(writing, "wb", buffering=0) as file, small.session() as session:
        session.prefill(IDS)
        session.save(file)
    thread.join()
    assert read == [saved[0]]


def test_an_open_file_is_written_at_its_position(small, saved, tmp_path):
    path = tmp_path / "two"
    with small.session() as session:
        session.prefill(IDS)
        path.write_bytes(bytes(len(saved[0]) + 20))
        for buffering in (-1, 0):
            with open(path, "r+b", buffering=buffering) as file:
                file.seek(10)
                session.save(file)
                assert file.tell() == 10 + len(saved[0])
            assert path.read_bytes() == bytes(10) + saved[0] + bytes(10)
        with open(path, "ab") as file:
            session.save(file)
        assert path.read_bytes() == bytes(10) + saved[0] + bytes(10) + saved[0]


def test_sinks_that_cannot_be_written(small, tmp_path):
    closed = open(tmp_path / "closed", "wb")
    closed.close()
    with small.session() as session, open(tmp_path / "text", "w") as text, open(tmp_path / "closed", "rb") as read:
        session.prefill(IDS)
        for bad, says in ((closed, "closed"), (text, "opened for text"), (io.StringIO(), "opened for text"), (5, "path or a binary file"),
                          ("half \ud83d", "path"), ("no\0name", "NUL"), (b"path", "path or a binary file")):  # fmt: skip
            with pytest.raises(elver.InvalidArgumentError, match=says):
                session.save(bad)
        with pytest.raises(OSError):  # what a file of yours raises comes out
            session.save(read)
    for bad in ("half \ud83d", "no\0name"):
        for use in (elver.Model, elver.Tokenizer, lambda path: elver.quantize(path, tmp_path / "a", "F16")):
            with pytest.raises(elver.InvalidArgumentError):
                use(bad)
