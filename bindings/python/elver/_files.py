"""What may be read and written: paths, open files and bytes, as the extension takes them."""

import io
import os
import stat
from typing import Any, BinaryIO, Callable, Union

from ._errors import InvalidArgumentError, IoError, is_a, shown

# A path, an open binary file, which is read from its position on, or bytes, which are not copied.
Source = Union[str, "os.PathLike[str]", BinaryIO, bytes, bytearray, memoryview]
# A path, whose file appears when it is complete, or an open binary file, or another object with a method write().
Sink = Union[str, "os.PathLike[str]", BinaryIO]


def path_of(name: str, given: Any) -> bytes:
    """A path as the system takes it."""
    if not is_a(given, str, os.PathLike):
        raise InvalidArgumentError(f"{name}: expected a path, found {shown(given)}", name)
    try:
        out = os.fsencode(given)
    except UnicodeEncodeError:
        raise InvalidArgumentError(f"{name}: expected a path, found {shown(given)}, which no file can be called", name) from None
    if not out:
        raise InvalidArgumentError(f"{name}: expected a path, found an empty one", name)
    if b"\0" in out:
        raise InvalidArgumentError(f"{name}: expected a path, found {shown(given)}, which has a NUL in it", name)
    return out


def source_of(given: Any) -> "Union[bytes, tuple[int, int], memoryview]":
    """A path as bytes, an open file as its descriptor and position, or a buffer."""
    if is_a(given, str, os.PathLike):
        return path_of("source", given)
    if hasattr(given, "read"):
        return _file(given)
    try:
        view = memoryview(given)
    except TypeError:
        raise InvalidArgumentError(f"source: expected a path, a binary file or bytes, found {shown(given)}", "source") from None
    except ValueError as error:
        raise InvalidArgumentError(f"source: {error}", "source") from None
    if not view.c_contiguous:
        raise InvalidArgumentError("source: expected a contiguous buffer", "source")
    return view


def sink_of(given: Any) -> "Union[bytes, Callable[[bytes], None]]":
    """A path as bytes, or a function that takes all the bytes that it is given."""
    if is_a(given, str, os.PathLike):
        return path_of("sink", given)
    if not callable(getattr(given, "write", None)):
        raise InvalidArgumentError(f"sink: expected a path or a binary file, found {shown(given)}", "sink")
    _need_open("sink", given)

    def write(data: bytes) -> None:
        # A raw file may take a part, and tells by None that it took nothing. Of other objects None says nothing.
        raw, rest = isinstance(given, io.RawIOBase), memoryview(data)
        while rest:
            taken = given.write(rest if raw else bytes(rest))
            if taken is None and not raw:
                return
            if isinstance(taken, bool) or not (taken is None or hasattr(taken, "__index__")) or not 0 <= (taken or 0) <= len(rest):
                raise IoError(f"sink: write() of {len(rest)} bytes: expected how many it took, found {shown(taken)}", "sink")
            if not taken:
                raise IoError(f"sink: write() took none of {len(rest)} bytes", "sink")
            rest = rest[taken:]

    return write


def _file(file: Any) -> "Union[tuple[int, int], memoryview]":
    _need_open("source", file)
    # Only a plain file is read through its descriptor. Others (members of archives, pipes, compressed files) have none, or
    # one of something else.
    raw = getattr(file, "raw", file)
    if isinstance(raw, io.FileIO) and raw.readable() and stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
        file.flush()
        return raw.fileno(), file.tell()
    data = file.read()
    if not is_a(data, bytes, bytearray, memoryview):
        raise InvalidArgumentError(f"source: expected a binary file, found one whose read() gives {shown(data)}", "source")
    return memoryview(data)


def _need_open(name: str, file: Any) -> None:
    if getattr(file, "closed", False) is True:
        raise InvalidArgumentError(f"{name}: expected an open file, found a closed one", name)
    if isinstance(file, io.TextIOBase):
        raise InvalidArgumentError(f"{name}: expected a binary file, found one opened for text", name)
