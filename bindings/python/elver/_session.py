"""Sessions: a text's positions in a model's cache, and the answers that continue it."""

import json
import os
from typing import TYPE_CHECKING, Any, AsyncIterator, BinaryIO, Callable, Iterator, Literal, Mapping, NamedTuple, Optional, Sequence
from typing import TypeVar, Union

from . import _elver
from ._errors import InvalidArgumentError, NotPicklable, choose, whole
from ._progress import Progress, progress_function

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

T = TypeVar("T")
Finish = Literal["stop", "length", "cancelled"]
_FINISH: "tuple[Optional[Finish], ...]" = (None, "stop", "length", "cancelled")
Message = Mapping[str, Any]  # {"role": "user", "content": "..."}, as in the OpenAI chat API
Messages = Union[str, Sequence[Message]]  # a text is a single message of the user
Ids = Union[Sequence[int], "NDArray[numpy.integer[Any]]"]
# A path, an open file (read from its descriptor), or bytes, which are not copied.
Source = Union[str, "os.PathLike[str]", BinaryIO, bytes, bytearray, memoryview]
# A path, whose file appears when it is complete, or an object with a method write().
Sink = Union[str, "os.PathLike[str]", BinaryIO]
Pooling = Literal["mean", "first", "last"]
POOLINGS: "dict[Pooling, int]" = {"mean": 1, "first": 2, "last": 3}


class Logprob(NamedTuple):
    """A token and the natural logarithm of its probability at temperature 1."""

    id: int
    logprob: float


class Event(NamedTuple):
    """A step of an answer.

    ``text`` is what became whole with the token ``id`` (-1: no token). ``finish`` is None while there is more to come, and
    "stop", "length" or "cancelled" in the last event. ``logprob`` and ``top`` are filled where the request asked for them.
    """

    text: str
    id: int
    finish: Optional[Finish]
    logprob: float
    top: list[Logprob]


def dump(value: Any) -> str:
    """JSON for C. What JSON cannot say is an error."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"request: {error}", "request") from None


async def run_beside(function: "Callable[[], T]", interrupt: "Callable[[], None]") -> T:
    """Runs a call in a thread beside the event loop. When the task that waits is cancelled, so is the call, and it has
    ended before the task goes on: what it worked on is free again."""
    import asyncio

    future = asyncio.get_running_loop().run_in_executor(None, function)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            interrupt()
            await asyncio.wait([future], timeout=0.02)
        future.exception()  # seen
        raise


class Stream(NotPicklable):
    """An answer, pulled event by event with ``for`` or ``async for``. Nothing is computed before it is asked for.

    A session has one answer at a time: another call in it ends this one.

    >>> with elver.Model(MODEL) as model, model.session() as session:
    ...     stream = session.complete("The capital of France is", temperature=0, max_tokens=5)
    ...     first = next(stream)
    ...     rest = stream.read()
    >>> first.id, first.text, rest, stream.finish
    (7042, ' Paris', '.\\n\\nThe', 'length')
    """

    def __init__(self, session: "Session", begin: "Callable[[str, Any], None]", request: str, progress: Progress) -> None:
        self._session = session
        self._begin: Optional[Callable[[str, Any], None]] = begin
        self._request = request
        self._progress = progress_function(progress, "reading")
        self.finish: Optional[Finish] = None
        self.prompt_tokens = 0
        self.completion_tokens = 0

    def begin(self) -> None:
        """Reads the prompt, keeping what the session holds of it already; iteration does so by itself."""
        if self._begin is not None:
            begin, self._begin = self._begin, None
            self._session._answer = self
            begin(self._request, self._progress)
            self.prompt_tokens = self._session.position

    def _step(self) -> Optional[Event]:
        """The next event; None after the last."""
        if self.finish is not None:
            return None
        self.begin()
        if self._session._answer is not self:
            raise InvalidArgumentError("the answer is over: the session has begun something else", "session")
        text, id, finish, logprob, top = self._session._handle.next()
        self.finish = _FINISH[finish]
        self.completion_tokens += id >= 0
        return Event(text, id, self.finish, logprob, [Logprob(*t) for t in top] if top else [])

    def __iter__(self) -> "Iterator[Event]":
        return self

    def __next__(self) -> Event:
        event = self._step()
        if event is None:
            raise StopIteration
        return event

    def __aiter__(self) -> "AsyncIterator[Event]":
        return self

    async def __anext__(self) -> Event:
        event = await run_beside(self._step, self._session._handle.interrupt)
        if event is None:
            raise StopAsyncIteration
        return event

    def read(self) -> str:
        """The text of the rest of the answer."""
        return "".join(event.text for event in self)

    async def aread(self) -> str:
        """The text of the rest of the answer, without blocking the event loop."""
        return "".join([event.text async for event in self])

    def __repr__(self) -> str:
        return f"<elver.Stream: {self.completion_tokens} tokens, {self.finish or 'more to come'}>"


class Session(NotPicklable):
    """A text's positions in the cache of a model, made by :meth:`Model.session`.

    It belongs to one thread at a time: a second one gets :class:`BusyError`. Only :meth:`cancel` and :meth:`close` may come
    from any thread. Ctrl-C stops a call in the main thread with KeyboardInterrupt, and leaves the session usable.
    """

    def __init__(self, handle: "_elver.Session", name: str) -> None:
        self._handle = handle
        self._name = name  # the model's
        self._answer: Optional[Stream] = None

    def stream(self, messages: Messages, *, progress: Progress = None, **request: Any) -> Stream:
        """The answer to a conversation: a list of messages as in the OpenAI chat API, or a text.

        Keywords are the API's: temperature (0: always the likeliest token), top_p, top_k, min_p, max_tokens, stop, seed,
        logit_bias, presence_penalty, frequency_penalty, repetition_penalty, logprobs, top_logprobs, tools. An unknown one
        is an error. ``progress`` tells how much of the prompt was read.
        """
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        return Stream(self, self._handle.chat, dump({"messages": messages, **request}), progress)

    def respond(self, messages: Messages, *, progress: Progress = None, **request: Any) -> str:
        """As :meth:`stream`, but the whole text.

        >>> with elver.Model(MODEL) as model, model.session() as session:
        ...     session.respond("What is 2+2?", temperature=0)
        'The answer to this classic math problem is 4.'
        """
        return self.stream(messages, progress=progress, **request).read()

    def complete(self, prompt: "Union[str, Ids]", *, progress: Progress = None, **request: Any) -> Stream:
        """The continuation of a text or of token ids, without a chat template; keywords as :meth:`stream`'s, and
        ignore_eos."""
        given = {"prompt": prompt} if isinstance(prompt, str) else {"ids": [int(id) for id in prompt]}
        return Stream(self, self._handle.complete, dump({**given, **request}), progress)

    def prefill(
        self,
        ids: Ids,
        *,
        on_logits: "Optional[Callable[[int, NDArray[numpy.float32]], Optional[bool]]]" = None,
        wanted: Optional[Ids] = None,
        progress: Progress = None,
    ) -> None:
        """Appends tokens. ``on_logits`` gets (index, logits) after each of them, or after those at the rising indices
        ``wanted``, and cancels with False. The array is its own to keep.

        >>> with elver.Model(MODEL) as model, model.session() as session:
        ...     best = []
        ...     session.prefill([504, 3575, 282, 4649, 314], on_logits=lambda index, logits: best.append(int(logits.argmax())))
        ...     session.position, best[-1], int(session.logits.argmax())
        (5, 7042, 7042)
        """
        self._answer = None
        self._handle.prefill(ids, on_logits, wanted, progress_function(progress, "reading"))

    @property
    def logits(self) -> "Optional[NDArray[numpy.float32]]":
        """After the last token, an array of n_vocab that is yours; None before the first and after a rewind."""
        return self._handle.logits()

    @property
    def position(self) -> int:
        """Positions filled."""
        return self._handle.position()

    @property
    def n_ctx(self) -> int:
        """The most positions that there can be."""
        return self._handle.n_ctx()

    def rewind(self, position: int) -> None:
        """Goes back to a position, forgetting what came after."""
        self._answer = None
        self._handle.rewind(whole("position", position))

    def embed(self, text: "Union[str, Ids]", *, pooling: Optional[Pooling] = None) -> "NDArray[numpy.float32]":
        """The embedding of a text or of token ids, of unit length: the cosine of two texts is the product of theirs.
        ``pooling`` is by default as the model says. The session's text is then this one, without logits.

        >>> with elver.Model(MODEL) as model, model.session() as session:
        ...     cat, kitten, tax = map(session.embed, ("A cat sleeps.", "A kitten sleeps.", "Pay the tax by May."))
        >>> cat.shape, bool(cat @ kitten > cat @ tax)
        ((576,), True)
        """
        self._answer = None
        ids = self._handle.tokenizer().encode(text, True, False) if isinstance(text, str) else text
        return self._handle.embed(ids, choose("pooling", pooling, POOLINGS))

    def save(self, sink: Sink) -> None:
        """Writes the session's tokens, logits and cache. An answer that is under way is not part of it.

        >>> import io
        >>> saved = io.BytesIO()
        >>> with elver.Model(MODEL) as model, model.session(n_ctx=64) as session, model.session(n_ctx=64) as other:
        ...     session.prefill([504, 3575, 282, 4649, 314])
        ...     session.save(saved)
        ...     other.restore(saved.getvalue())
        ...     other.position, bool((other.logits == session.logits).all())
        (5, True)
        """
        self._handle.save(sink)

    def restore(self, source: Source) -> None:
        """Makes the session what was saved, to the bit; an answer under way ends. What was saved of another model, version
        or setting is a :class:`MismatchError`; after an error the session holds what it held."""
        self._handle.restore(source)
        self._answer = None

    def fork(self) -> "Session":
        """A session that holds the same, in memory of its own.

        >>> with elver.Model(MODEL) as model, model.session(n_ctx=64) as session:
        ...     session.prefill([504, 3575, 282, 4649, 314])
        ...     with session.fork() as other:
        ...         other.prefill([7042])
        ...         session.position, other.position
        (5, 6)
        """
        return Session(self._handle.fork(), self._name)

    def cancel(self) -> None:
        """Stops the call that another thread has at work here, or else the next one."""
        self._handle.cancel()

    def close(self) -> None:
        """Stops what is at work here and lets go of the memory. To close twice is allowed."""
        self._handle.close()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._handle.closed():
            return "<elver.Session, closed>"
        return f"<elver.Session: {self.position} of {self.n_ctx} positions>"
