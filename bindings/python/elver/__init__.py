"""elver runs language models on the machine in front of you: private, offline, without cost per call.

>>> import elver
>>> with elver.Model(MODEL) as model, model.session() as session:
...     for event in session.stream("What is 2+2?", temperature=0):
...         print(event.text, end="")
The answer to this classic math problem is 4.

Every failure is an :class:`Error` of the class that its status has; its message names the thing, what was expected and what
was found. Long calls release the GIL, and Ctrl-C stops them; the session stays usable.
"""

from . import ops
from ._chat import ChatCompletion, ChatCompletionChunk, ChatStream, chat
from ._elver import version as _version
from ._errors import (
    BadFileError,
    BusyError,
    CancelledError,
    ContextFullError,
    Error,
    InternalError,
    InvalidArgumentError,
    IoError,
    MismatchError,
    NotFoundError,
    OutOfMemoryError,
    OverBudgetError,
    Status,
    UnsupportedError,
)
from ._model import (
    Detokenizer,
    Fit,
    Measurement,
    Model,
    Plan,
    Tensor,
    Token,
    Tokenizer,
    machine,
    quantize,
    render_template,
    write_synth,
)
from ._session import Counts, Event, Logprob, Session, Stream, Timings
from ._threads import Threads

__version__: str = _version()

__all__ = [
    "BadFileError",
    "BusyError",
    "CancelledError",
    "ChatCompletion",
    "ChatCompletionChunk",
    "ChatStream",
    "ContextFullError",
    "Counts",
    "Detokenizer",
    "Error",
    "Event",
    "Fit",
    "InternalError",
    "InvalidArgumentError",
    "IoError",
    "Logprob",
    "Measurement",
    "MismatchError",
    "Model",
    "NotFoundError",
    "OutOfMemoryError",
    "OverBudgetError",
    "Plan",
    "Session",
    "Status",
    "Stream",
    "Tensor",
    "Threads",
    "Timings",
    "Token",
    "Tokenizer",
    "UnsupportedError",
    "chat",
    "machine",
    "ops",
    "quantize",
    "render_template",
    "write_synth",
]
