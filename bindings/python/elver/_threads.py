"""Threads that models and operations share."""

from typing import Optional

from . import _elver
from ._errors import InvalidArgumentError, NotPicklable, is_a, option, shown


class Threads(NotPicklable):
    """Threads for several models to share: one of them makes a pass at a time, each in turn.

    >>> threads = elver.Threads(2)
    >>> threads
    <elver.Threads: 2>
    >>> models = [elver.Model(MODEL, threads=threads) for _ in range(2)]
    """

    def __init__(self, n_threads: Optional[int] = None) -> None:
        self._handle = _elver.Threads(option("n_threads", n_threads))

    def __len__(self) -> int:
        return self._handle.count()

    def close(self) -> None:
        """Lets go of them; models that share them keep them. To close twice is allowed."""
        self._handle.close()

    def __enter__(self) -> "Threads":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return "<elver.Threads, closed>" if self._handle.closed() else f"<elver.Threads: {len(self)}>"


def threads_of(given: Optional[Threads]) -> "Optional[_elver.Threads]":
    """As the extension takes them."""
    if given is None:
        return None
    if not is_a(given, Threads):
        raise InvalidArgumentError(f"threads: expected elver.Threads, found {shown(given)}", "threads")
    return given._handle
