"""What ``progress=`` may be: nothing, True for a bar, or a function."""

from importlib import import_module
from typing import Any, Callable, Optional, Union

from ._errors import InvalidArgumentError, shown

Progress = Union[None, bool, Callable[[float], Optional[bool]]]


class _Bar:
    """A tqdm bar in percent; closed when the work is done."""

    def __init__(self, tqdm: Any, label: str) -> None:
        self.bar = tqdm(total=100, desc=label, unit="%", leave=False, bar_format="{desc}: {percentage:3.0f} %|{bar}| {elapsed}")

    def __call__(self, fraction: float) -> None:
        self.bar.update(int(fraction * 100) - self.bar.n)
        if fraction >= 1:
            self.bar.close()


def progress_function(progress: Progress, label: str) -> Optional[Callable[[float], Optional[bool]]]:
    """The function that C is to call. True draws a tqdm bar where tqdm is installed, else nothing."""
    if progress is None or progress is False:
        return None
    if progress is True:
        try:
            return _Bar(import_module("tqdm.auto").tqdm, label)
        except ImportError:
            return None
    if callable(progress):
        return progress
    raise InvalidArgumentError(f"progress: expected True, False or a function, found {shown(progress)}", "progress")
