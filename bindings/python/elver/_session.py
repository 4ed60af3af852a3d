"""Sessions: a text's positions in a model's cache, and the answers that continue it."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any, AsyncIterator, Callable, Generic, Iterator, Literal, NamedTuple, Optional, TypeVar, Union

from . import _elver
from ._errors import NotPicklable, choose, flag, function, whole
from ._files import Sink, Source, sink_of, source_of
from ._progress import Progress, progress_function
from ._request import Ids, Input, Messages, dump

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

T = TypeVar("T")
Finish = Literal["stop", "length", "cancelled"]
_FINISH: "tuple[Optional[Finish], ...]" = (None, "stop", "length", "cancelled")
EventKind = Literal["text", "end", "progress", "reasoning", "tool_call"]
_KINDS: "tuple[EventKind, ...]" = ("text", "end", "progress", "reasoning", "tool_call")
Pooling = Literal["mean", "first", "last"]
POOLINGS: "dict[Pooling, int]" = {"mean": 1, "first": 2, "last": 3}
Begin = Callable[[str, Any, "Optional[_elver.Stop]"], "tuple[int, int]"]


class Logprob(NamedTuple):
    """A token and the natural logarithm of its probability at temperature 1. ``bytes`` are the token's own, which may be a
    part of a character."""

    id: int
    logprob: float
    bytes: bytes


class Counts(NamedTuple):
    """Tokens of a prompt, those of it that were not computed again, those of its answer so far, those that were computed
    before it was known whether they would be chosen, and those of them that were."""

    prompt: int
    cached: int
    generated: int
    drafted: int
    accepted: int


class Timings(NamedTuple):
    """Seconds that reading a prompt took, and that writing its answer took so far; what the reader does between two events
    is not counted."""

    prompt: float
    generation: float


class Event(NamedTuple):
    """A step of an answer.

    ``kind`` is "text", and "end" for the last event. ``text`` is what became whole with the token ``id`` (-1: no token),
    whose own bytes are ``bytes``. ``finish`` is None while there is more to come, and "stop", "length" or "cancelled" in the
    last event. ``logprob`` and ``top`` are filled where the request asked for them. ``seed`` is the one in use: with it the
    same request gives the same answer.
    """

    kind: EventKind
    text: str
    id: int
    finish: Optional[Finish]
    logprob: float
    top: list[Logprob]
    bytes: bytes
    seed: int
    counts: Counts
    seconds: Timings


class Pulled(NotPicklable, Generic[T]):
    """What is pulled step by step with ``for`` or ``async for``. Nothing is computed before it is asked for."""

    _unread: Optional[T] = None

    def _step(self, stop: "Optional[_elver.Stop]" = None) -> Optional[T]:
        """The next step; None after the last."""
        raise NotImplementedError

    def __iter__(self) -> "Iterator[T]":
        return self

    def __next__(self) -> T:
        step, self._unread = self._unread, None
        if step is None:
            step = self._step()
        if step is None:
            raise StopIteration
        return step

    def __aiter__(self) -> "AsyncIterator[T]":
        return self

    async def __anext__(self) -> T:
        """A step computed in a thread beside the event loop. When the task that waits is cancelled, so is that call, and it
        has ended before the task goes on. A step that it had made already waits for the next pull."""
        import asyncio  # takes longer to import than all the rest

        stop = _elver.Stop()

        def pull() -> None:
            if self._unread is None:
                self._unread = self._step(stop)

        future = asyncio.get_running_loop().run_in_executor(None, pull)
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError:
            stop.set()
            while not future.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([future])
            if not future.cancelled():
                future.exception()  # seen
            raise
        step, self._unread = self._unread, None
        if step is None:
            raise StopAsyncIteration
        return step


class Stream(Pulled[Event]):
    """An answer, pulled event by event with ``for`` or ``async for``. Nothing is computed before it is asked for.

    A session has one answer at a time: one that is begun later ends this one, whose next event is then an error. A call
    that is refused ends nothing.

    >>> with elver.Model(MODEL) as model, model.session() as session:
    ...     stream = session.complete("The capital of France is", temperature=0, max_tokens=5)
    ...     first = next(stream)
    ...     rest = stream.read()
    >>> first.id, first.text, rest, stream.finish
    (7042, ' Paris', '.\\n\\nThe', 'length')
    """

    def __init__(self, session: "Session", begin: Begin, request: str, progress: Progress) -> None:
        self._session = session
        self._begin = begin
        self._request = request
        self._progress = progress_function(progress, "reading")
        self._answer: Optional[int] = None  # its number among the session's
        self.finish: Optional[Finish] = None
        self.prompt_tokens = 0
        self.completion_tokens = 0

    def begin(self) -> None:
        """Reads the prompt, keeping what the session holds of it already; iteration does so by itself."""
        self._begun(None)

    def _begun(self, stop: "Optional[_elver.Stop]") -> int:
        if self._answer is None:
            self._answer, self.prompt_tokens = self._begin(self._request, self._progress, stop)
        return self._answer

    def _step(self, stop: "Optional[_elver.Stop]" = None) -> Optional[Event]:
        if self.finish is not None:
            return None
        kind, text, id, finish, logprob, top, token, seed, counts, seconds = self._session._handle.next(self._begun(stop), stop)
        self.finish = _FINISH[finish]
        self.prompt_tokens, self.completion_tokens = counts[0], counts[2]
        alternatives = [Logprob(*t) for t in top] if top else []
        return Event(
            _KINDS[kind], text, id, self.finish, logprob, alternatives, token, seed, Counts(*counts), Timings(*seconds)
        )

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

    It belongs to one thread at a time: a second one gets :class:`BusyError`, and the first goes on. Only :meth:`cancel` and :meth:`close` may come
    from any thread. Ctrl-C stops a call in the main thread with KeyboardInterrupt, and leaves the session usable.
    """

    def __init__(self, handle: "_elver.Session", name: str) -> None:
        self._handle = handle
        self._name = name  # the model's

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
        request |= {"prompt": prompt} if isinstance(prompt, str) else {"ids": _elver.ids(prompt, "prompt")}
        return Stream(self, self._handle.complete, dump(request), progress)

    def prefill(
        self,
        input: Input,
        *,
        add_special: bool = True,
        parse_special: bool = False,
        on_logits: "Optional[Callable[[int, NDArray[numpy.float32]], Optional[bool]]]" = None,
        wanted: Optional[Ids] = None,
        progress: Progress = None,
    ) -> None:
        """Appends token ids, a text, or an array [n, width] of floats whose rows take the place of tokens' embeddings.

        A text becomes tokens as :meth:`Tokenizer.encode` makes them. ``on_logits`` gets (index, logits) after each token, or
        after those at the rising indices ``wanted``, and cancels with False. The array is its own to keep.

        >>> with elver.Model(MODEL) as model, model.session() as session:
        ...     best = []
        ...     session.prefill([504, 3575, 282, 4649, 314], on_logits=lambda index, logits: best.append(int(logits.argmax())))
        ...     session.position, best[-1], int(session.logits.argmax())
        (5, 7042, 7042)
        """
        add, parse = flag("add_special", add_special), flag("parse_special", parse_special)
        tell = progress_function(progress, "reading")
        self._handle.prefill(input, add, parse, function("on_logits", on_logits), wanted, tell)

    @property
    def logits(self) -> "Optional[NDArray[numpy.float32]]":
        """After the last token, an array of n_vocab that is yours to edit; None before the first and after a rewind.

        With it you choose tokens by yourself:

        >>> with elver.Model(MODEL) as model, model.session() as session:
        ...     detokenizer, text = model.tokenizer.detokenizer(follow=[504, 3575, 282, 4649, 314]), ""
        ...     session.prefill([504, 3575, 282, 4649, 314])
        ...     for _ in range(3):
        ...         logits = session.logits
        ...         logits[7042] = -numpy.inf  # anything but Paris
        ...         chosen = int(logits.argmax())
        ...         text += detokenizer.push(chosen)
        ...         session.prefill([chosen])
        ...     text + detokenizer.finish() == model.tokenizer.decode([504, 3575, 282, 4649, 314])
        False
        """
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
        self._handle.rewind(whole("position", position))

    def embed(
        self,
        input: Input,
        *,
        add_special: bool = True,
        parse_special: bool = False,
        pooling: Optional[Pooling] = None,
        progress: Progress = None,
    ) -> "NDArray[numpy.float32]":
        """The embedding of an input, as :meth:`prefill` takes it, of unit length: the cosine of two texts is the product of
        theirs. ``pooling`` is by default as the model says. The session's text is then this one, without logits.

        >>> with elver.Model(MODEL) as model, model.session() as session:
        ...     cat, kitten, tax = map(session.embed, ("A cat sleeps.", "A kitten sleeps.", "Pay the tax by May."))
        >>> cat.shape, bool(cat @ kitten > cat @ tax)
        ((576,), True)
        """
        add, parse = flag("add_special", add_special), flag("parse_special", parse_special)
        tell = progress_function(progress, "reading")
        return self._handle.embed(input, add, parse, choose("pooling", pooling, POOLINGS), tell)

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
        self._handle.save(sink_of(sink))

    def restore(self, source: Source) -> None:
        """Makes the session what was saved, to the bit; an answer under way ends. What was saved of another model, version
        or setting is a :class:`MismatchError`; after an error the session holds what it held."""
        self._handle.restore(source_of(source))

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
        """Stops the call that another thread has at work here, or the answer that has begun and not ended. Otherwise
        nothing: no later call is stopped."""
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
