"""``elver.chat``: a request and its answer shaped as those of OpenAI's client."""

import json
import os
import time
from contextlib import ExitStack
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal, Optional, Union, overload

from . import _elver
from ._errors import InvalidArgumentError, flag, is_a, shown
from ._model import Model
from ._progress import Progress, progress_function
from ._request import Messages
from ._session import Event, Finish, Logprob, Pulled, Session, Stream

FinishReason = Literal["stop", "length"]
# What answers: a path is opened for one call alone.
Given = Union[str, "os.PathLike[str]", Model, Session]


class Shaped:
    """What OpenAI's objects let one do with themselves."""

    def model_dump(self, *, mode: str = "python", exclude_none: bool = False, exclude_unset: bool = False) -> "dict[str, Any]":
        """Dicts, lists, texts and numbers. Each ``exclude`` leaves out what is None."""
        out: "dict[str, Any]" = _plain(self, exclude_none or exclude_unset)
        return out

    def model_dump_json(self, *, indent: Optional[int] = None, exclude_none: bool = False, exclude_unset: bool = False) -> str:
        """The same as JSON."""
        separators = (",", ":") if indent is None else None
        dumped = self.model_dump(exclude_none=exclude_none, exclude_unset=exclude_unset)
        return json.dumps(dumped, indent=indent, ensure_ascii=False, separators=separators)

    def to_dict(self) -> "dict[str, Any]":
        """As :meth:`model_dump`."""
        return self.model_dump()

    def to_json(self, *, indent: Optional[int] = 2) -> str:
        """As :meth:`model_dump_json`."""
        return self.model_dump_json(indent=indent)

    def __getitem__(self, key: str) -> Any:
        if key not in {field.name for field in fields(self)}:  # type: ignore[arg-type]
            raise KeyError(key)
        return getattr(self, key)


def _plain(value: Any, exclude_none: bool) -> Any:
    if is_a(value, list):
        return [_plain(item, exclude_none) for item in value]
    if is_dataclass(value):
        pairs = [(field.name, getattr(value, field.name)) for field in fields(value)]
        return {name: _plain(item, exclude_none) for name, item in pairs if not (exclude_none and item is None)}
    return value


@dataclass(frozen=True)
class Usage(Shaped):
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: None = None
    completion_tokens_details: None = None


@dataclass(frozen=True)
class TopLogprob(Shaped):
    """A token that was likely: its text, where a part of a character shows as U+FFFD, its bytes, and the natural logarithm
    of its probability at temperature 1. ``id`` is elver's own."""

    token: str
    bytes: "list[int]"
    logprob: float
    id: int


@dataclass(frozen=True)
class TokenLogprob(TopLogprob):
    """A token of the answer, and the likeliest in its place, likeliest first."""

    top_logprobs: "list[TopLogprob]"


@dataclass(frozen=True)
class ChoiceLogprobs(Shaped):
    """The tokens of an answer, or of a piece of it."""

    content: "list[TokenLogprob]"
    refusal: None = None


@dataclass(frozen=True)
class ChatMessage(Shaped):
    """What the model said. It may be a message of the next request."""

    content: str
    role: Literal["assistant"] = "assistant"
    refusal: None = None
    annotations: None = None
    audio: None = None
    function_call: None = None
    tool_calls: None = None


@dataclass(frozen=True)
class Choice(Shaped):
    """An answer."""

    finish_reason: FinishReason
    index: int
    logprobs: Optional[ChoiceLogprobs]
    message: ChatMessage


@dataclass(frozen=True)
class ChatCompletion(Shaped):
    """A whole answer: ``choices[0].message.content``."""

    id: str
    choices: "list[Choice]"
    created: int
    model: str
    object: Literal["chat.completion"]
    usage: Usage
    service_tier: None = None
    system_fingerprint: Optional[str] = None

    def __str__(self) -> str:
        return self.choices[0].message.content


@dataclass(frozen=True)
class Delta(Shaped):
    """What is new of a message."""

    content: str
    role: Optional[Literal["assistant"]] = None
    refusal: None = None
    function_call: None = None
    tool_calls: None = None


@dataclass(frozen=True)
class ChunkChoice(Shaped):
    """A piece of an answer."""

    delta: Delta
    finish_reason: Optional[FinishReason]
    index: int
    logprobs: Optional[ChoiceLogprobs]


@dataclass(frozen=True)
class ChatCompletionChunk(Shaped):
    """A piece of an answer: ``choices[0].delta.content``. The last, where the request asked for it, has no choices but the
    ``usage``."""

    id: str
    choices: "list[ChunkChoice]"
    created: int
    model: str
    object: Literal["chat.completion.chunk"]
    usage: Optional[Usage] = None
    service_tier: None = None
    system_fingerprint: Optional[str] = None


class ChatStream(Pulled[ChatCompletionChunk]):
    """The pieces of an answer, for ``for`` and ``async for``. A model that was opened for it is closed after the last piece,
    on leaving a ``with`` block, or by :meth:`close`."""

    def __init__(
        self, model: Given, messages: Messages, progress: Progress, request: "dict[str, Any]", usage: bool = False
    ) -> None:
        if not isinstance(model, (str, os.PathLike, Model, Session)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(f"model: expected a path, a Model or a Session, found {shown(model)}", "model")
        self._model, self._messages, self._progress, self._request = model, messages, progress, request
        self._opened = ExitStack()
        self._answer: Optional[Stream] = None
        self._first = True
        self._owes_usage = usage
        self._head: "dict[str, Any]" = {
            "id": f"chatcmpl-{time.time_ns():x}", "created": int(time.time()), "model": _name(model),
            "system_fingerprint": f"elver-{_elver.version()}",
        }  # fmt: skip

    def _stream(self, stop: "Optional[_elver.Stop]") -> Stream:
        """The answer, of a session that is opened where none was given."""
        if self._answer is None:
            model = self._model
            if isinstance(model, (str, os.PathLike)):
                model = self._opened.enter_context(Model(model, progress=_stoppable(self._progress, stop)))
            session = self._opened.enter_context(model.session()) if isinstance(model, Model) else model
            self._answer = session.stream(self._messages, progress=self._progress, **self._request)
        return self._answer

    def _step(self, stop: "Optional[_elver.Stop]" = None) -> Optional[ChatCompletionChunk]:
        try:
            answer = self._stream(stop)
            event = answer._step(stop)
        except BaseException:
            self.close()
            raise
        if event is None:
            if not self._owes_usage:
                return None
            self._owes_usage = False
            return self._chunk([], _usage(answer))
        if event.finish is not None:
            self.close()
        delta = Delta(event.text, "assistant" if self._first else None)
        self._first = False
        reason = None if event.finish is None else _reason(event.finish)
        return self._chunk([ChunkChoice(delta, reason, 0, self._logprobs([event] if event.id >= 0 else []))])

    def _chunk(self, choices: "list[ChunkChoice]", usage: Optional[Usage] = None) -> ChatCompletionChunk:
        return ChatCompletionChunk(choices=choices, object="chat.completion.chunk", usage=usage, **self._head)

    def _logprobs(self, events: "list[Event]") -> Optional[ChoiceLogprobs]:
        if not self._request.get("logprobs"):
            return None
        return ChoiceLogprobs([_token(event) for event in events])

    def completion(self) -> ChatCompletion:
        """The whole answer, where no piece was pulled yet."""
        pieces = [choice for chunk in self for choice in chunk.choices]
        answer = self._stream(None)
        assert answer.finish is not None
        tokens = [token for piece in pieces if piece.logprobs for token in piece.logprobs.content]
        logprobs = ChoiceLogprobs(tokens) if self._request.get("logprobs") else None
        message = ChatMessage("".join(piece.delta.content for piece in pieces))
        choice = Choice(_reason(answer.finish), 0, logprobs, message)
        return ChatCompletion(choices=[choice], object="chat.completion", usage=_usage(answer), **self._head)

    def close(self) -> None:
        """Ends the answer, and closes what was opened for it."""
        self._opened.close()

    def __enter__(self) -> "ChatStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _stoppable(progress: Progress, stop: "Optional[_elver.Stop]") -> Progress:
    """A progress that also says no when the stop is set."""
    if stop is None:
        return progress
    tell = progress_function(progress, "loading")
    return lambda fraction: not stop.is_set() and (tell is None or tell(fraction) is not False)


def _reason(finish: Finish) -> FinishReason:
    """What the API calls it: it has no word for an answer that was cancelled."""
    return "length" if finish == "length" else "stop"


def _usage(answer: Stream) -> Usage:
    return Usage(answer.prompt_tokens, answer.completion_tokens, answer.prompt_tokens + answer.completion_tokens)


def _name(model: Given) -> str:
    if isinstance(model, (str, os.PathLike)):
        return os.path.basename(os.fspath(model))
    return model._name


def _likely(token: Logprob) -> TopLogprob:
    return TopLogprob(_text(token.bytes), list(token.bytes), token.logprob, token.id)


def _token(event: Event) -> TokenLogprob:
    top = [_likely(token) for token in event.top]
    return TokenLogprob(_text(event.bytes), list(event.bytes), event.logprob, event.id, top)


def _text(token: bytes) -> str:
    return token.decode("utf-8", "replace")


def _wants_usage(options: Any) -> bool:
    """What ``stream_options`` asks for."""
    if not is_a(options, dict) or set(options) - {"include_usage"}:
        raise InvalidArgumentError(f'stream_options: expected {{"include_usage": True}}, found {shown(options)}', "stream_options")
    wanted = options.get("include_usage")
    return wanted is not None and flag("include_usage", wanted)


@overload
def chat(
    model: Given, messages: Messages, *, stream: Literal[False] = False, progress: Progress = None, **request: Any
) -> ChatCompletion: ...


@overload
def chat(model: Given, messages: Messages, *, stream: Literal[True], progress: Progress = None, **request: Any) -> ChatStream: ...


def chat(
    model: Given, messages: Messages, *, stream: bool = False, progress: Progress = None, **request: Any
) -> Union[ChatCompletion, ChatStream]:
    """Answers a conversation, shaped as OpenAI's ``client.chat.completions.create``.

    ``model`` is a path, which is opened for this call alone, a :class:`Model`, or a :class:`Session`, which keeps what it
    has read for the next call. ``messages`` is a list of messages, or the text of one. Keywords are the API's, as in
    :meth:`Session.stream`. With ``stream=True`` the answer comes in pieces, by ``for`` or ``async for``; with
    ``stream_options={"include_usage": True}`` a last piece has the ``usage``. ``logprobs=True`` and ``top_logprobs`` give
    ``choices[0].logprobs.content``. Answers have ``model_dump()``, ``model_dump_json()`` and ``["choices"]`` as the client's,
    and a message of an answer may be a message of the next request. An answer that was cancelled has the
    finish reason "stop": the API has no other for it.

    >>> answer = elver.chat(MODEL, [{"role": "user", "content": "What is 2+2?"}], temperature=0)
    >>> answer.choices[0].message.content
    'The answer to this classic math problem is 4.'
    >>> answer.usage.total_tokens
    48
    >>> for chunk in elver.chat(MODEL, "What is 2+2?", temperature=0, max_tokens=3, stream=True):
    ...     print(chunk.choices[0].delta.content, end="|")
    The| answer| to||
    """
    options = request.pop("stream_options", None)
    if options is not None and not flag("stream", stream):
        raise InvalidArgumentError("stream_options: expected only where stream is True", "stream_options")
    answer = ChatStream(model, messages, progress, request, options is not None and _wants_usage(options))
    return answer if flag("stream", stream) else answer.completion()
