"""What a request may hold: messages, token ids and options, and how they become JSON for C."""

import json
import math
from collections.abc import Mapping as AnyMapping
from collections.abc import Sequence as AnySequence
from typing import TYPE_CHECKING, Any, Mapping, Optional, Sequence, Union

import numpy

from ._errors import InvalidArgumentError, is_a, shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

Message = Mapping[str, Any]  # {"role": "user", "content": "..."}, as in the OpenAI chat API; or that API's own objects
Messages = Union[str, Sequence[Message]]  # a text is a single message of the user
Ids = Union[Sequence[int], "NDArray[numpy.integer[Any]]"]
Input = Union[str, Ids, "NDArray[numpy.floating[Any]]"]  # a text, token ids, or rows [n, width] in place of embeddings

_DEEPEST = 200


class _Where:
    """The place of a value: its name, and the value that holds it."""

    def __init__(self, name: str, parent: "Optional[_Where]" = None) -> None:
        self.name, self.parent = name, parent
        self.depth: int = parent.depth + 1 if parent else 0

    def fail(self, expected: str, found: Any) -> InvalidArgumentError:
        parts, place = [self.name], self.parent
        while place is not None:
            parts.append(place.name)
            place = place.parent
        parts.reverse()
        # Of what lies deep, its beginning says enough.
        path = parts[0] + "".join(f"[{part}]" for part in parts[1:6])
        return InvalidArgumentError(f"{path}: expected {expected}, found {shown(found)}", parts[min(1, len(parts) - 1)].strip("'"))


def dump(value: Any, name: str = "request") -> str:
    """JSON for C. What JSON cannot say is an error which names its place."""
    try:
        return json.dumps(_plain(value, _Where(name)), ensure_ascii=False)
    except RecursionError:
        raise InvalidArgumentError(f"{name}: expected at most {_DEEPEST} levels, found more", name) from None


def _plain(value: Any, where: _Where) -> Any:
    """The value in lists, dicts and Python's own numbers. NumPy's numbers and arrays, and the objects of OpenAI's client and
    of :func:`elver.chat`, are what they stand for."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise where.fail("a text", value) from None
        return value
    if isinstance(value, int):
        if value.bit_length() > 256:
            raise where.fail("a number of 64 bits", f"one of {value.bit_length()} bits")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise where.fail("a finite number", value)
        return float(value)
    if isinstance(value, numpy.generic):
        return _plain(value.item(), where)
    if isinstance(value, numpy.ndarray):
        return _plain(value.tolist(), where)
    if where.depth > _DEEPEST:
        raise where.fail(f"at most {_DEEPEST} levels", type(value))
    if is_a(value, AnyMapping):
        return {_key(key, where): _plain(item, _Where(repr(key), where)) for key, item in value.items()}
    if is_a(value, AnySequence) and not is_a(value, bytes, bytearray, memoryview):
        return [_plain(item, _Where(str(i), where)) for i, item in enumerate(value)]
    if hasattr(value, "model_dump"):
        return _plain(value.model_dump(exclude_none=True), where)
    raise where.fail("what JSON can say", value)


def _key(key: Any, where: _Where) -> str:
    if is_a(key, int, numpy.integer) and not is_a(key, bool):
        return str(int(key))
    if not is_a(key, str):
        raise where.fail("keys that are texts", key)
    out: str = _plain(key, where)
    return out
