"""``elver.chat``: a request and its answer shaped as those of OpenAI's client."""

import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, AsyncIterator, Iterator, Literal, Optional, Union, overload

from ._errors import InvalidArgumentError, NotPicklable
from ._model import Model
from ._progress import Progress
from ._session import Event, Finish, Logprob, Messages, Session, Stream, run_beside

# What answers: a path is opened for one call alone.
Given = Union[str, "os.PathLike[str]", Model, Session]


@dataclass(frozen=True)
class Usage:
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class TokenLogprob:
    """A token of an answer and what else was likely."""

    id: int
    logprob: float
    top_logprobs: "list[Logprob]"


@dataclass(frozen=True)
class ChatMessage:
    """What the model said."""

    content: str
    role: str = "assistant"


@dataclass(frozen=True)
class Choice:
    message: ChatMessage
    finish_reason: Finish
    logprobs: Optional["list[TokenLogprob]"] = None
    index: int = 0


@dataclass(frozen=True)
class ChatCompletion:
    """A whole answer: ``choices[0].message.content``."""

    id: str
    model: str
    created: int
    choices: "list[Choice]"
    usage: Usage
    object: str = "chat.completion"

    def __str__(self) -> str:
        return self.choices[0].message.content


@dataclass(frozen=True)
class Delta:
    content: str
    role: Optional[str] = None


@dataclass(frozen=True)
class ChunkChoice:
    delta: Delta
    finish_reason: Optional[Finish]
    logprobs: Optional["list[TokenLogprob]"] = None
    index: int = 0


@dataclass(frozen=True)
class ChatCompletionChunk:
    """A piece of an answer: ``choices[0].delta.content``."""

    id: str
    model: str
    created: int
    choices: "list[ChunkChoice]"
    object: str = "chat.completion.chunk"


class ChatStream(NotPicklable):
    """The pieces of an answer, for ``for`` and ``async for``. A model that was opened for it is closed after the last piece,
    on leaving a ``with`` block, or by :meth:`close`."""

    def __init__(self, model: Given, messages: Messages, progress: Progress, request: "dict[str, Any]") -> None:
        if not isinstance(model, (str, os.PathLike, Model, Session)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(f"model: expected a path, a Model or a Session, found {model!r}", "model")
        self._model, self._messages, self._progress, self._request = model, messages, progress, request
        self._opened = ExitStack()
        self._answer: Optional[Stream] = None
        self._head: "dict[str, Any]" = {"id": f"chatcmpl-{time.time_ns():x}", "model": _name(model), "created": int(time.time())}

    def _begin(self) -> Stream:
        """Opens what is not open yet; the answer, with its prompt read."""
        if self._answer is None:
            model = self._model
            if isinstance(model, (str, os.PathLike)):
                model = self._opened.enter_context(Model(model, progress=self._progress))
            session = self._opened.enter_context(model.session()) if isinstance(model, Model) else model
            self._answer = session.stream(self._messages, progress=self._progress, **self._request)
            self._answer.begin()
        return self._answer

    def _step(self) -> Optional[ChatCompletionChunk]:
        try:
            first = self._answer is None
            event = self._begin()._step()
        except BaseException:
            self.close()
            raise
        if event is None:
            return None
        if event.finish is not None:
            self.close()
        delta = Delta(event.text, "assistant" if first else None)
        logprobs = [_token(event)] if self._request.get("logprobs") and event.id >= 0 else None
        return ChatCompletionChunk(choices=[ChunkChoice(delta, event.finish, logprobs)], **self._head)

    def completion(self) -> ChatCompletion:
        """The whole answer, where no piece was pulled yet."""
        chunks = [chunk.choices[0] for chunk in self]
        logprobs = [token for choice in chunks for token in choice.logprobs or []]
        answer = self._begin()
        assert answer.finish is not None
        choice = Choice(
            ChatMessage("".join(choice.delta.content for choice in chunks)),
            answer.finish,
            logprobs if self._request.get("logprobs") else None,
        )
        return ChatCompletion(
            choices=[choice], usage=Usage(answer.prompt_tokens, answer.completion_tokens), **self._head
        )

    def __iter__(self) -> "Iterator[ChatCompletionChunk]":
        return self

    def __next__(self) -> ChatCompletionChunk:
        chunk = self._step()
        if chunk is None:
            raise StopIteration
        return chunk

    def __aiter__(self) -> "AsyncIterator[ChatCompletionChunk]":
        return self

    async def __anext__(self) -> ChatCompletionChunk:
        chunk = await run_beside(self._step, self._interrupt)
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    def _interrupt(self) -> None:
        if self._answer is not None:
            self._answer._session._handle.interrupt()

    def close(self) -> None:
        """Ends the answer, and closes what was opened for it."""
        self._opened.close()

    def __enter__(self) -> "ChatStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _name(model: Given) -> str:
    if isinstance(model, (str, os.PathLike)):
        return os.path.basename(os.fspath(model))
    return model._name


def _token(event: Event) -> TokenLogprob:
    return TokenLogprob(event.id, event.logprob, event.top)


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
    :meth:`Session.stream`. With ``stream=True`` the answer comes in pieces, by ``for`` or ``async for``.

    >>> answer = elver.chat(MODEL, [{"role": "user", "content": "What is 2+2?"}], temperature=0)
    >>> answer.choices[0].message.content
    'The answer to this classic math problem is 4.'
    >>> answer.usage.total_tokens
    48
    >>> for chunk in elver.chat(MODEL, "What is 2+2?", temperature=0, max_tokens=3, stream=True):
    ...     print(chunk.choices[0].delta.content, end="|")
    The| answer| to||
    """
    answer = ChatStream(model, messages, progress, request)
    return answer if stream else answer.completion()
