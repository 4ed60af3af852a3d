"""One exception class for each status of the C ABI, and the words for the wrong use of an object."""

import enum
from typing import Any, Mapping, NoReturn, Union


class Status(enum.IntEnum):
    """How a call ended; the numbers are those of ``elver_status``."""

    INVALID_ARGUMENT = 1
    NOT_FOUND = 2
    IO = 3
    BAD_FILE = 4
    UNSUPPORTED = 5
    OVER_BUDGET = 6
    OUT_OF_MEMORY = 7
    CANCELLED = 8
    CONTEXT_FULL = 9
    MISMATCH = 10
    BUSY = 11
    INTERNAL = 12


class Error(Exception):
    """What went wrong, in one line.

    ``status`` is its :class:`Status`, ``object`` the file, tensor, key or argument that it speaks of ("" if none).

    >>> try:
    ...     elver.Model("nothing.gguf")
    ... except elver.Error as error:
    ...     print(error.status.name, "|", error.object, "|", error)
    NOT_FOUND | nothing.gguf | nothing.gguf: cannot open: No such file or directory
    """

    status: Status = Status.INTERNAL

    def __init__(self, message: str, object: str = "") -> None:
        super().__init__(message)
        self.object = object

    def __reduce__(self) -> "tuple[Any, ...]":
        return type(self), (str(self), self.object)


class InvalidArgumentError(Error, ValueError):
    """The caller's value is wrong."""

    status = Status.INVALID_ARGUMENT


class NotFoundError(Error, LookupError):
    """A file, key, tensor or token that is not there."""

    status = Status.NOT_FOUND


class IoError(Error):
    """The system refused a read, write or map."""

    status = Status.IO


class BadFileError(Error, ValueError):
    """The bytes are not what their format says."""

    status = Status.BAD_FILE


class UnsupportedError(Error):
    """Well-formed, but not something elver can run."""

    status = Status.UNSUPPORTED


class OverBudgetError(Error, MemoryError):
    """Does not fit in the memory allowed; the message says the least that is needed."""

    status = Status.OVER_BUDGET


class OutOfMemoryError(Error, MemoryError):
    """The system refused memory or a thread."""

    status = Status.OUT_OF_MEMORY


class CancelledError(Error):
    """The caller asked to stop. The session stays usable."""

    status = Status.CANCELLED


class ContextFullError(Error):
    """No room for more positions."""

    status = Status.CONTEXT_FULL


class MismatchError(Error, ValueError):
    """Made for another model, version or setting."""

    status = Status.MISMATCH


class BusyError(Error, RuntimeError):
    """Used by another thread now."""

    status = Status.BUSY


class InternalError(Error, RuntimeError):
    """A defect in elver."""

    status = Status.INTERNAL


_CLASSES = {
    c.status: c
    for c in (
        InvalidArgumentError,
        NotFoundError,
        IoError,
        BadFileError,
        UnsupportedError,
        OverBudgetError,
        OutOfMemoryError,
        CancelledError,
        ContextFullError,
        MismatchError,
        BusyError,
        InternalError,
    )
}


def make(status: int, message: str, object: str) -> Error:
    """The exception of a C error; called by the extension."""
    return _CLASSES.get(status, InternalError)(message, object)  # type: ignore[call-overload, no-any-return]


class NotPicklable:
    """What lives in this process alone."""

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(
            f"cannot pickle {type(self).__name__!r} object: it is memory and threads of this process; "
            "open the model again where it is needed"
        )


def choose(name: str, value: Any, choices: "Mapping[Any, int]") -> int:
    """The number of a named choice; None is 0."""
    if value is None:
        return 0
    if isinstance(value, str) and value in choices:
        return choices[value]
    raise InvalidArgumentError(f"{name}: expected one of {', '.join(choices)}, found {value!r}", name)


def option(name: str, value: Union[int, None]) -> int:
    """An option that C can take; None is 0, the default of every option."""
    return 0 if value is None else whole(name, value)


def whole(name: str, value: int) -> int:
    """An integer that C can take."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise InvalidArgumentError(f"{name}: expected an integer, found {value!r}", name)
    number = value.__index__()
    if not -(2**31) <= number < 2**31:
        raise InvalidArgumentError(f"{name}: expected an integer of 32 bits, found {number}", name)
    return number
