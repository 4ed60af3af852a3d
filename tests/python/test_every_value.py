"""Every parameter of every public call with values of every kind: it works, or it is an elver.Error."""

import io

import elver
import elver.ops
import numpy
import pytest

VALUES = [
    None, True, False, 0, 1, -1, 1.5, float("nan"), float("inf"), 2**70, -(2**70), 10**400, "", "x", "no\0name", "half \ud83d", b"", b"abc",
    bytearray(b"abc"), [], [1.5], ["x"], [b"x"], ["\ud83d"], [None], {}, {"a": "\ud83d"}, {1: 2}, {None: 1}, {"x"}, (1, 2), object(), type, 1j,
    numpy.float32(0.5), numpy.float64("nan"), numpy.int64(1), numpy.uint8(1), numpy.bool_(True), numpy.str_("x"), numpy.array(1),
    numpy.array([1.5]), numpy.array([[1]]), numpy.array(["x"]), range(2), io.BytesIO(b"GGUF"), io.StringIO("GGUF"),
]  # fmt: skip
MESSAGES = [{"role": "user", "content": "Hi"}]
FLOATS = numpy.ones((2, 32), numpy.float32)
REQUEST = {
    "temperature": 0, "top_p": 1, "top_k": 1, "min_p": 0, "max_tokens": 1, "stop": "x", "seed": 1, "logit_bias": {}, "presence_penalty": 0,
    "frequency_penalty": 0, "repetition_penalty": 1, "logprobs": True, "top_logprobs": 1, "tools": None, "n": 1, "user": "x",
}  # fmt: skip


class Things:
    """The objects that calls are made on, opened once."""

    def __init__(self, model, small_path):
        self.model, self.path = model, small_path
        self.small = elver.Model(small_path)
        self.session = self.small.session()
        self.chatting = model.session(n_ctx=128)
        self.detokenizer = model.tokenizer.detokenizer()
        self.ops = elver.ops.Ops(n_threads=1)
        self.matrix = self.ops.pack(FLOATS, "f32", 2, 32)
        self.experts = [self.matrix, self.matrix]
        self.cache = self.ops.cache(2, 1, 8, n_ctx=8)


@pytest.fixture(scope="module")
def things(model, small_path):
    return Things(model, small_path)


KEYS = numpy.ones((1, 1, 8), numpy.float32)
CALLS = {
    "Model": (lambda t: elver.Model, lambda t: {"source": t.path, "load": False, "n_threads": 1, "threads": None,
                                                "budget_bytes": None, "page_bytes": None, "pass_tokens": None, "pass_sessions": None, "prompt_gap": None, "n_ctx": 8, "max_batch": 8,
                                                "cache_type": "f16", "progress": None, "log": None}),
    "Threads": (lambda t: elver.Threads, lambda t: {"n_threads": 1}),
    "fit": (lambda t: t.small.fit, lambda t: {"budget_bytes": 2**20, "n_sessions": 1, "n_ctx": 8, "max_batch": 8, "cache_type": "f16"}),
    "Tokenizer": (lambda t: elver.Tokenizer, lambda t: {"source": t.path}),
    "load": (lambda t: t.small.load, lambda t: {"progress": None}),
    "plan": (lambda t: t.small.plan, lambda t: {"n_ctx": 8, "max_batch": 8, "cache_type": "f16"}),
    "session": (lambda t: t.small.session, lambda t: {"n_ctx": 8, "max_batch": 8, "cache_type": "f16", "priority": 0,
                                                      "context_policy": "slide", "n_keep": 1}),
    "pack": (lambda t: t.small.pack, lambda t: {"sink": io.BytesIO(), "progress": None}),
    "quantize": (lambda t: elver.quantize, lambda t: {"source": t.path, "sink": "out", "type": "F16", "n_threads": 1, "progress": None}),
    "write_synth": (lambda t: elver.write_synth, lambda t: {"name": "ant:f16", "sink": "out", "n_layers": 1, "progress": None}),
    "render_template": (lambda t: elver.render_template, lambda t: {"source": "{{ a }}", "a": 1}),
    "encode": (lambda t: t.model.tokenizer.encode, lambda t: {"text": "a", "add_special": True, "parse_special": False}),
    "decode": (lambda t: t.model.tokenizer.decode, lambda t: {"ids": [1], "special": False}),
    "render": (lambda t: t.model.tokenizer.render, lambda t: {"messages": MESSAGES, "add_generation_prompt": True, "tools": None}),
    "is_end": (lambda t: t.model.tokenizer.is_end, lambda t: {"id": 1}),
    "token": (lambda t: t.model.tokenizer.token, lambda t: {"id": 1}),
    "special": (lambda t: t.model.tokenizer.special, lambda t: {"name": "eos"}),
    "find": (lambda t: t.model.tokenizer.find, lambda t: {"text": "a"}),
    "detokenizer": (lambda t: t.model.tokenizer.detokenizer, lambda t: {"special": False, "follow": [1]}),
    "push": (lambda t: t.detokenizer.push, lambda t: {"id": 1}),
    "respond": (lambda t: t.chatting.respond, lambda t: {"messages": MESSAGES, "progress": None, **REQUEST}),
    "complete": (lambda t: lambda **request: t.chatting.complete(**request).read(),
                 lambda t: {"prompt": "Hi", "progress": None, "ignore_eos": False, **REQUEST}),
    "chat": (lambda t: elver.chat, lambda t: {"model": t.chatting, "messages": MESSAGES, "stream": False, "stream_options": None, **REQUEST}),
    "prefill": (lambda t: t.session.prefill, lambda t: {"input": [], "add_special": True, "parse_special": False, "on_logits": None, "wanted": None, "progress": None}),
    "rewind": (lambda t: t.session.rewind, lambda t: {"position": 0}),
    "embed": (lambda t: t.chatting.embed, lambda t: {"input": "Hi", "add_special": True, "parse_special": False, "pooling": "last",
                                                      "progress": None}),
    "save": (lambda t: t.session.save, lambda t: {"sink": io.BytesIO()}),
    "restore": (lambda t: t.session.restore, lambda t: {"source": b"no snapshot"}),
    "row_bytes": (lambda t: elver.ops.row_bytes, lambda t: {"dtype": "q4_0", "k": 32}),
    "route": (lambda t: elver.ops.route, lambda t: {"logits": FLOATS, "top_k": 1, "score": "softmax", "renormalise": False, "n_groups": 1,
                                                    "n_groups_used": 1, "scale": 1.0, "choice_bias": None}),
    "Ops": (lambda t: elver.ops.Ops, lambda t: {"n_threads": 1}),
    "ops.quantize": (lambda t: t.ops.quantize, lambda t: {"x": FLOATS, "dtype": "q8_0"}),
    "dequantize": (lambda t: t.ops.dequantize, lambda t: {"rows": bytes(68), "dtype": "q8_0", "n_rows": 2, "k": 32, "out": None}),
    "ops.pack": (lambda t: t.ops.pack, lambda t: {"rows": FLOATS, "dtype": "f32", "n_rows": 2, "k": 32}),
    "matmul": (lambda t: t.ops.matmul, lambda t: {"matrix": t.matrix, "x": FLOATS, "bias": None, "out": None}),
    "matmul_experts": (lambda t: t.ops.matmul_experts, lambda t: {"matrices": t.experts, "ids": numpy.zeros((2, 1), numpy.int32), "x": FLOATS,
                                                                  "weights": None, "out": None}),
    "attention": (lambda t: t.ops.attention, lambda t: {"q": KEYS, "k": KEYS, "v": KEYS, "causal": True, "window": 0, "scale": 0.0,
                                                        "soft_cap": 0.0, "alibi_slopes": None, "sinks": None, "out": None}),
    "cache": (lambda t: t.ops.cache, lambda t: {"n_heads": 2, "n_kv_heads": 1, "head_dim": 8, "n_ctx": 8, "v_head_dim": 0, "max_batch": 4,
                                                "cache_type": "f16", "window": 0, "scale": 0.0, "soft_cap": 0.0, "alibi_slopes": None,
                                                "sinks": None}),
    "append": (lambda t: t.cache.append, lambda t: {"k": KEYS, "v": KEYS}),
    "attend": (lambda t: t.cache.attend, lambda t: {"q": numpy.ones((1, 2, 8), numpy.float32), "out": None}),
    "cache.rewind": (lambda t: t.cache.rewind, lambda t: {"position": 0}),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of a log that cannot be called so
@pytest.mark.parametrize("name", CALLS)
def test_every_value(things, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    function, arguments = CALLS[name]
    wrong = []
    refused = 0
    for parameter in arguments(things):
        for value in VALUES:
            if isinstance(value, io.IOBase):
                value.seek(0)
            try:
                function(things)(**{**arguments(things), parameter: value})
            except elver.Error as error:
                refused += 1
                assert str(error) and "\n" not in str(error), (parameter, value)
                str(error).encode()
            except BaseException as error:
                wrong.append(f"{parameter}={value!r:.60}: {type(error).__name__}: {error}")
    assert not wrong, "\n".join(wrong)
    assert refused > 10


def test_numpys_numbers_are_numbers(things, session):
    options = {"temperature": numpy.float32(0.7), "top_p": numpy.float64(0.9), "top_k": numpy.int64(5), "seed": numpy.uint64(7),
               "max_tokens": numpy.int32(6), "ignore_eos": numpy.bool_(True), "logit_bias": {numpy.int64(100): numpy.float32(-100)}}  # fmt: skip
    plain = {"temperature": float(numpy.float32(0.7)), "top_p": 0.9, "top_k": 5, "seed": 7, "max_tokens": 6, "ignore_eos": True,
             "logit_bias": {"100": -100}}  # fmt: skip
    assert session.complete("Hi", **options).read() == session.complete("Hi", **plain).read()
    with things.small.session(n_ctx=numpy.int64(32), max_batch=numpy.uint16(4)) as small:
        assert small.n_ctx == 32
        small.prefill([numpy.int64(1), numpy.uint8(2)])
        small.rewind(numpy.int8(1))
        assert small.position == 1
    assert things.model.tokenizer.decode([numpy.int64(19556)]) == "Hello"
    assert things.model.tokenizer.encode("Hi", add_special=numpy.bool_(False)) == things.model.tokenizer.encode("Hi", add_special=False)
    q = numpy.ones((1, 1, 8), numpy.float32)
    assert (things.ops.attention(q, q, q, scale=numpy.float32(0.5), window=numpy.int64(1), causal=numpy.bool_(True)) == q).all()


@pytest.mark.parametrize("text", ["half \ud83d", b"The capital of France is", bytearray(b"abc"), memoryview(b"abc"), None, 5, 1.5], ids=repr)
def test_texts_are_texts(model, session, text):
    """Neither taken for token ids, nor guessed at."""
    for use in (model.tokenizer.encode, session.embed, elver.render_template, lambda text: session.complete(text, max_tokens=1).read()):
        with pytest.raises(elver.InvalidArgumentError) as caught:
            use(text)
        assert caught.value.object in ("text", "source", "prompt", "input", "request")
    assert session.position == 0


@pytest.mark.parametrize("ids", [[504.9, 3575.2], [1.0], [numpy.float32(1)], numpy.array([1.0]), [True], [numpy.bool_(True)], b"abc", {1: 2}],
                         ids=repr)  # fmt: skip
def test_ids_are_integers(model, session, ids):
    for use in (session.prefill, lambda ids: session.prefill([1, 2], wanted=ids), session.embed, model.tokenizer.decode,
                lambda ids: session.complete(ids, max_tokens=1).read()):  # fmt: skip
        with pytest.raises(elver.InvalidArgumentError, match="sequence of integers"):
            use(ids)
    assert session.position == 0


def test_an_error_names_the_place(session):
    for request, place in (({"messages": [{"role": "user", "content": "half \ud83d"}]}, r"request\['messages'\]\[0\]\['content'\]"),
                           ({"messages": "Hi", "stop": ["a", b"b"]}, r"request\['stop'\]\[1\]"),
                           ({"messages": "Hi", "stop": {"a"}}, r"request\['stop'\]"),
                           ({"messages": "Hi", "logit_bias": {None: 1}}, r"request\['logit_bias'\]"),
                           ({"messages": "Hi", "temperature": float("inf")}, r"request\['temperature'\]")):  # fmt: skip
        with pytest.raises(elver.InvalidArgumentError, match=place) as caught:
            session.respond(**request)
        assert caught.value.object == place.split("'")[1]
    deep = []
    for _ in range(10000):
        deep = [deep]
    with pytest.raises(elver.InvalidArgumentError, match="200 levels"):
        session.respond("Hi", tools=deep)
