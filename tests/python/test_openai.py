"""What elver.chat gives is what OpenAI's own client takes: its types check every answer and every piece."""

import json
import os

import elver
import pytest
from conftest import ANSWER, QUESTION

chat = pytest.importorskip("openai.types.chat")

REQUESTS = [
    {},
    {"max_tokens": 2},
    {"logprobs": True},
    {"logprobs": True, "top_logprobs": 3, "max_tokens": 4},
    {"stop": ["classic"]},
    {"max_tokens": 0},
]


@pytest.mark.parametrize("request_", REQUESTS, ids=repr)
def test_answers(session, request_):
    answer = elver.chat(session, QUESTION, temperature=0, **request_)
    theirs = chat.ChatCompletion.model_validate(answer.model_dump())
    assert chat.ChatCompletion.model_validate_json(answer.model_dump_json()) == theirs
    assert chat.ChatCompletion.model_validate(json.loads(answer.to_json())) == theirs
    assert chat.ChatCompletion.model_validate(answer.to_dict()) == theirs
    assert theirs.choices[0].message.content == answer.choices[0].message.content
    assert theirs.choices[0].finish_reason == answer.choices[0].finish_reason
    assert theirs.usage.total_tokens == answer.usage.total_tokens > 0
    assert (theirs.choices[0].logprobs is None) == ("logprobs" not in request_)
    if "logprobs" in request_:
        content = theirs.choices[0].logprobs.content
        assert "".join(token.token for token in content) == theirs.choices[0].message.content
        assert all(bytes(token.bytes).decode() == token.token for token in content)
        assert all(len(token.top_logprobs) == request_.get("top_logprobs", 0) for token in content)
        assert all(token.top_logprobs[0].token == token.token for token in content if token.top_logprobs)


@pytest.mark.parametrize("usage", [None, False, True])
@pytest.mark.parametrize("request_", REQUESTS, ids=repr)
def test_pieces(session, request_, usage):
    options = {} if usage is None else {"stream_options": {"include_usage": usage}}
    pieces = list(elver.chat(session, QUESTION, temperature=0, stream=True, **options, **request_))
    theirs = [chat.ChatCompletionChunk.model_validate(piece.model_dump()) for piece in pieces]
    if usage:
        last = theirs.pop()
        assert last.choices == [] and last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens
        assert last.usage.model_dump() | {} == elver.chat(session, QUESTION, temperature=0, **request_).usage.model_dump()
    assert all(piece.usage is None for piece in theirs)
    whole = elver.chat(session, QUESTION, temperature=0, **request_)
    choices = [piece.choices[0] for piece in theirs]
    assert "".join(choice.delta.content for choice in choices) == whole.choices[0].message.content
    assert [choice.delta.role for choice in choices] == ["assistant"] + [None] * (len(choices) - 1)
    assert [choice.finish_reason for choice in choices] == [None] * (len(choices) - 1) + [whole.choices[0].finish_reason]
    if "logprobs" in request_:
        tokens = [token.model_dump() for choice in choices for token in choice.logprobs.content]
        assert tokens == [token.model_dump() for token in whole.choices[0].logprobs.content]


def test_their_attributes_are_ours(session):
    """Whatever a program reads of their objects is there."""
    ours = elver.chat(session, QUESTION, temperature=0, max_tokens=1, logprobs=True, top_logprobs=1)
    for mine, theirs in ((ours, chat.ChatCompletion), (ours.choices[0], chat.chat_completion.Choice),
                         (ours.choices[0].message, chat.ChatCompletionMessage), (ours.choices[0].logprobs, chat.chat_completion.ChoiceLogprobs),
                         (ours.choices[0].logprobs.content[0], chat.ChatCompletionTokenLogprob)):  # fmt: skip
        assert {name for name, field in theirs.model_fields.items() if field.is_required()} <= set(mine.model_dump())
    message = ours.choices[0].message
    assert (message.tool_calls, message.refusal, message.function_call, message.audio, message.annotations) == (None,) * 5
    assert ours["choices"][0]["message"]["content"] == message["content"] == message.content
    with pytest.raises(KeyError):
        ours["model_dump"]
    assert "tool_calls" not in message.model_dump(exclude_none=True) and message.model_dump()["tool_calls"] is None


def test_their_objects_and_ours_are_messages(session):
    """A conversation goes on with what the last answer gave."""
    ours = elver.chat(session, QUESTION, temperature=0)
    assert ours.choices[0].message.content == ANSWER
    theirs = chat.ChatCompletion.model_validate(ours.model_dump())
    first, more = {"role": "user", "content": QUESTION}, {"role": "user", "content": "Say it again."}
    options = {"temperature": 0, "max_tokens": 8}
    plain = elver.chat(session, [first, {"role": "assistant", "content": ANSWER}, more], **options)
    for message in (ours.choices[0].message, theirs.choices[0].message):
        again = elver.chat(session, [first, message, more], **options)
        assert str(again) == str(plain) and again.usage == plain.usage


def test_stream_options(session):
    for options in (5, "x", [], {"include_usage": 1}, {"include_usage": True, "more": 1}):
        with pytest.raises(elver.InvalidArgumentError, match="stream_options|include_usage"):
            elver.chat(session, QUESTION, stream=True, stream_options=options)
    with pytest.raises(elver.InvalidArgumentError, match="only where stream is True"):
        elver.chat(session, QUESTION, stream_options={"include_usage": True})
    assert str(elver.chat(session, QUESTION, temperature=0, stream=False, stream_options=None)) == ANSWER
