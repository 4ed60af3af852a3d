"""elver.chat, shaped as OpenAI's client; streams and what a request may ask for."""

import math

import elver
import pytest
from conftest import ANSWER, PROMPT_IDS, QUESTION

MESSAGES = [{"role": "user", "content": QUESTION}]


def test_a_whole_answer(model_path, model, session):
    for given in (model_path, model, session):
        answer = elver.chat(given, MESSAGES, temperature=0)
        assert answer.choices[0].message.content == ANSWER == str(answer)
        assert (answer.choices[0].message.role, answer.choices[0].finish_reason) == ("assistant", "stop")
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
        assert (answer.object, answer.model) == ("chat.completion", "SmolLM2-135M-Instruct.Q4_1.gguf")
    assert answer.usage.prompt_tokens == len(model.tokenizer.encode(model.tokenizer.render(MESSAGES), parse_special=True))
    assert answer.usage.completion_tokens == len(model.tokenizer.encode(ANSWER))


def test_pieces(model):
    with elver.chat(model, MESSAGES, temperature=0, stream=True) as stream:
        choices = [chunk.choices[0] for chunk in stream]
    assert "".join(choice.delta.content for choice in choices) == ANSWER
    assert [choice.delta.role for choice in choices] == ["assistant"] + [None] * (len(choices) - 1)


def test_leaving_a_stream_closes_what_was_opened(model_path):
    with elver.chat(model_path, MESSAGES, temperature=0, stream=True) as stream:
        next(stream)
        session = stream._answer._session
    with pytest.raises(elver.InvalidArgumentError, match="closed"):
        _ = session.position
    with pytest.raises(elver.InvalidArgumentError):
        elver.chat(model_path, MESSAGES, unknown=1)
    with pytest.raises(elver.InvalidArgumentError, match="path, a Model or a Session"):
        elver.chat(5, MESSAGES)


def test_a_conversation_keeps_its_prefix(session):
    first = session.respond(MESSAGES, temperature=0)
    read = []
    longer = MESSAGES + [{"role": "assistant", "content": first}, {"role": "user", "content": "Say it again."}]
    stream = session.stream(longer, temperature=0, max_tokens=4, progress=read.append)
    stream.begin()
    assert stream.prompt_tokens > 40 and read[-1] == 1.0
    assert stream.read() and stream.finish in ("length", "stop")


def test_logprobs(model, session):
    answer = elver.chat(session, MESSAGES, temperature=0, max_tokens=3, logprobs=True, top_logprobs=4)
    logprobs = answer.choices[0].logprobs.content
    assert "".join(token.token for token in logprobs) == answer.choices[0].message.content
    for token in logprobs:
        assert len(token.top_logprobs) == 4
        assert bytes(token.bytes).decode() == token.token == model.tokenizer.decode([token.id])
        assert token.top_logprobs[0].id == token.id
        assert token.logprob == pytest.approx(token.top_logprobs[0].logprob) and token.logprob <= 0
        assert sum(math.exp(t.logprob) for t in token.top_logprobs) <= 1.0001
    assert elver.chat(session, MESSAGES, max_tokens=1).choices[0].logprobs is None


def test_a_part_of_a_character_has_its_bytes(model, session):
    """An emoji is several tokens: each shows its own bytes, and together they are the character."""
    ids = model.tokenizer.encode("\U0001f9ff", add_special=False)
    events = list(session.complete("Hi", temperature=0, max_tokens=len(ids), ignore_eos=True, logit_bias={i: 100 for i in ids[:1]}, logprobs=True))
    first = events[0]
    assert len(ids) > 1 and first.id == ids[0] and first.text == ""
    assert "\U0001f9ff".encode().startswith(first.bytes) and len(first.bytes) < 4
    answer = elver.chat(session, MESSAGES, temperature=0, max_tokens=1, logit_bias={i: 100 for i in ids[:1]}, logprobs=True, top_logprobs=2)
    token = answer.choices[0].logprobs.content[0]
    assert bytes(token.bytes) == first.bytes and set(token.token) == {"\ufffd"}


def test_the_seed_in_use_is_told_and_repeats_the_answer(session):
    options = {"temperature": 1.5, "max_tokens": 12, "ignore_eos": True}
    first = list(session.stream(MESSAGES, **options))
    seeds = {event.seed for event in first}
    assert len(seeds) == 1
    again = list(session.stream(MESSAGES, **options, seed=seeds.pop()))
    assert [event.id for event in again] == [event.id for event in first]
    assert list(session.stream(MESSAGES, **options))[0].seed != first[0].seed


def test_a_seed_repeats_an_answer(session):
    options = {"temperature": 1.0, "seed": 7, "max_tokens": 20}
    answers = [session.respond(MESSAGES, **options) for _ in range(2)] + [session.respond(MESSAGES, **options | {"seed": 8})]
    assert answers[0] == answers[1] != answers[2]


def test_sampling_by_hand(model, session):
    """Greedy decoding over prefill and logits is what complete() does."""
    ids = []
    session.prefill(PROMPT_IDS)
    for _ in range(5):
        ids.append(int(session.logits.argmax()))
        session.prefill(ids[-1:])
    session.rewind(0)
    assert ids == [event.id for event in session.complete(PROMPT_IDS, temperature=0, max_tokens=5) if event.id >= 0]


def test_logits_callback(model, session):
    seen = {}
    session.prefill(PROMPT_IDS, on_logits=lambda index, logits: seen.update({index: logits}))
    assert list(seen) == [0, 1, 2, 3, 4] and all(logits.shape == (model.n_vocab,) for logits in seen.values())
    assert (seen[4] == session.logits).all()
    session.rewind(0)
    some = {}
    session.prefill(PROMPT_IDS, wanted=[1, 3], on_logits=lambda index, logits: some.update({index: logits}))
    assert list(some) == [1, 3] and (some[1] == seen[1]).all() and (some[3] == seen[3]).all()
    session.rewind(0)
    session.prefill(PROMPT_IDS, wanted=[], on_logits=lambda *_: pytest.fail("nothing was wanted"))
    session.rewind(0)
    with pytest.raises(elver.CancelledError):
        session.prefill(PROMPT_IDS, on_logits=lambda index, logits: index < 2)


def test_progress(model_path, session):
    fractions = []
    elver.Model(model_path, progress=fractions.append)
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    pytest.importorskip("tqdm")
    elver.Model(model_path, progress=True)
    session.respond("Hi", progress=True, max_tokens=1)
