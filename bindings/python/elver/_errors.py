"""One exception class for each status of the C ABI, and the words for the wrong use of an object."""

import enum
from numbers import Real
from operator import index
from typing import Any, Mapping, NoReturn

import numpy


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


def is_a(value: Any, *kinds: Any) -> bool:
    """isinstance() of what comes from outside: a type checker learns nothing of it."""
    return isinstance(value, kinds)


def shown(value: Any) -> str:
    """A value in a message: one line, not too long."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # an integer of very many digits
        return f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:60]}..."


def choose(name: str, value: Any, choices: "Mapping[Any, int]") -> int:
    """The number of a named choice; None is 0."""
    if value is None:
        return 0
    if isinstance(value, str) and value in choices:
        return choices[value]
    raise InvalidArgumentError(f"{name}: expected one of {', '.join(choices)}, found {shown(value)}", name)


def option(name: str, value: Any) -> int:
    """An option that C can take; None is 0, the default of every option."""
    return 0 if value is None else whole(name, value)


def whole(name: str, value: Any, low: int = -(2**31), high: int = 2**31 - 1) -> int:
    """An integer that C can take, of Python or of NumPy."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = index(value)
    except TypeError:
        raise InvalidArgumentError(f"{name}: expected an integer, found {shown(value)}", name) from None
    if not low <= number <= high:
        raise InvalidArgumentError(f"{name}: expected an integer from {low} to {high}, found {shown(number)}", name)
    return number


def number(name: str, value: Any) -> float:
    """A number that C can take, of Python or of NumPy."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InvalidArgumentError(f"{name}: expected a number, found {shown(value)}", name)
    try:
        return float(value)
    except OverflowError:
        raise InvalidArgumentError(f"{name}: expected a number of 64 bits, found a larger one", name) from None


def flag(name: str, value: Any) -> bool:
    """A truth value, of Python or of NumPy."""
    if not is_a(value, bool, numpy.bool_):
        raise InvalidArgumentError(f"{name}: expected True or False, found {shown(value)}", name)
    return bool(value)


def function(name: str, value: Any) -> Any:
    """Something to call, or None."""
    if value is not None and not callable(value):
        raise InvalidArgumentError(f"{name}: expected a function, found {shown(value)}", name)
    return value
