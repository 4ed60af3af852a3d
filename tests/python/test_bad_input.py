"""Wrong values, wrong moments and closed objects: always an exception that says what was wrong, never a crash."""

import copy
import io
import pathlib
import pickle

import elver
import numpy
import pytest


@pytest.mark.parametrize("source", [None, 3, object(), "", "no\0name", b"", b"GGUF", memoryview(bytes(64))[::2], [1, 2]])
def test_a_source_that_is_none(source):
    with pytest.raises(elver.Error):
        elver.Model(source)
    with pytest.raises(elver.Error):
        elver.Tokenizer(source)


@pytest.mark.parametrize(
    "options",
    [
        {"n_threads": -1}, {"n_threads": 1 << 40}, {"n_threads": "2"}, {"n_threads": 1.5}, {"n_threads": True},
        {"budget_bytes": -1}, {"budget_bytes": 1 << 64}, {"n_ctx": -5}, {"max_batch": -1}, {"cache_type": "q9"},
        {"cache_type": 3}, {"progress": 5},
    ],
)  # fmt: skip
def test_options(small_path, options):
    with pytest.raises(elver.InvalidArgumentError):
        elver.Model(small_path, **options)
    with pytest.raises(TypeError, match="unknown"):  # as every function of Python's
        elver.Model(small_path, unknown=1)


@pytest.mark.parametrize("options", [{"n_ctx": -1}, {"max_batch": -1}, {"cache_type": ""}, {"n_ctx": "64"}])
def test_session_options(small_path, options):
    with elver.Model(small_path) as model:
        with pytest.raises(elver.InvalidArgumentError):
            model.session(**options)
        with pytest.raises(elver.InvalidArgumentError):
            model.plan(**options)


BAD_IDS = [
    None, "ids", 5, [1, "2"], [1.0], [None], [1 << 31], [-(1 << 31) - 1], [[1]], numpy.zeros((1, 1), numpy.int32),
    numpy.ones(2), numpy.array([1 << 40]), numpy.array(["1"]), numpy.zeros(2, bool), object(),
]  # fmt: skip


@pytest.mark.parametrize("ids", BAD_IDS, ids=repr)
def test_ids(session, model, ids):
    if not isinstance(ids, str):  # which a prefill takes as text
        with pytest.raises(elver.InvalidArgumentError):
            session.prefill(ids)
    with pytest.raises(elver.InvalidArgumentError):
        model.tokenizer.decode(ids)
    assert session.position == 0


@pytest.mark.parametrize("ids", [[1, 2], (1, 2), range(1, 3), numpy.array([1, 2], numpy.int32), numpy.array([1, 2], numpy.uint8),
                                 numpy.array([1, 0, 2, 0], numpy.int32)[::2], numpy.array([1, 2], ">i4"), numpy.array([1, 2])],
                         ids=repr)  # fmt: skip
def test_ids_of_every_kind_are_the_same(session, model, ids):
    session.prefill(ids)
    assert session.position == 2
    assert model.tokenizer.decode(ids, special=True) == model.tokenizer.decode([1, 2], special=True)


def test_ids_left_out(session):
    session.prefill([])
    assert session.position == 0 and session.logits is None


@pytest.mark.parametrize(
    "request_",
    [
        {"messages": None}, {"messages": 5}, {"messages": []}, {"messages": [5]}, {"messages": [{"role": 5}]},
        {"messages": "Hi", "temperature": float("nan")}, {"messages": "Hi", "temperature": "hot"},
        {"messages": "Hi", "seed": object()}, {"messages": "Hi", "stop": [1]}, {"messages": "Hi", "max_tokens": -2},
        {"messages": "Hi", "logit_bias": {"x": 1}}, {"messages": "Hi", "n": 2}, {"messages": "\ud800"},
    ],
    ids=repr,
)  # fmt: skip
def test_requests(session, request_):
    with pytest.raises(elver.InvalidArgumentError):
        session.respond(**request_)
    assert session.position == 0


def test_callbacks_that_are_none(session):
    for bad in (5, "x", [1]):
        with pytest.raises(elver.InvalidArgumentError):
            session.prefill([1], progress=bad)
        with pytest.raises(elver.InvalidArgumentError):
            session.prefill([1], on_logits=bad)


def test_what_a_callback_raises_comes_out(model_path, session):
    class Own(Exception):
        pass

    def fail(*_):
        raise Own("from the callback")

    with pytest.raises(Own):
        elver.Model(model_path, progress=fail)
    with pytest.raises(Own):
        session.prefill([1, 2, 3], on_logits=fail)
    with pytest.raises(Own):
        session.respond("Hi", progress=fail, max_tokens=1)
    session.prefill([1, 2, 3], wanted=[1], on_logits=lambda index, logits: index == 1)


def test_a_callback_may_not_use_the_session(session):
    def meddle(index, logits):
        session.prefill([1])

    with pytest.raises(elver.BusyError):
        session.prefill([1, 2], on_logits=meddle)


@pytest.mark.parametrize("wanted", [[2], [-1], [1, 0], [0, 0], [0.5], "x"], ids=repr)
def test_wanted(session, wanted):
    with pytest.raises(elver.InvalidArgumentError):
        session.prefill([1, 2], wanted=wanted, on_logits=lambda index, logits: True)


@pytest.mark.parametrize("position", [-1, 1, None, "0", 1 << 40])
def test_rewind(session, position):
    with pytest.raises(elver.InvalidArgumentError):
        session.rewind(position)


def test_snapshots_that_do_not_fit(model, tmp_path):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError("no space")

    with model.session(n_ctx=64) as session, model.session(n_ctx=128) as other:
        session.prefill([1, 2, 3])
        path = tmp_path / "saved"
        session.save(path)
        saved, logits = path.read_bytes(), session.logits
        with pytest.raises(elver.MismatchError, match="64.*128|128.*64"):
            other.restore(saved)
        for bad, error in ((saved[:-1], elver.BadFileError), (b"no snapshot", elver.BadFileError), (tmp_path / "no", elver.NotFoundError),
                           (b"", elver.BadFileError), (None, elver.InvalidArgumentError), (5, elver.InvalidArgumentError)):  # fmt: skip
            with pytest.raises(error):
                session.restore(bad)
        for bad in (None, 5, b"path", [1]):
            with pytest.raises(elver.InvalidArgumentError):
                session.save(bad)
        with pytest.raises(OSError, match="no space"):
            session.save(Full())
        with pytest.raises(elver.IoError):
            session.save(tmp_path / "no" / "folder")
        assert (session.logits == logits).all()
        session.rewind(0)
        with open(path, "rb") as file:
            session.restore(file)
        with session.fork() as fork:
            session.close()
            assert (fork.logits == logits).all()


@pytest.mark.parametrize("ids, options", [([], {}), ([1 << 20], {}), ([-1], {}), (None, {}), ([1], {"pooling": "most"}), ([1], {"pooling": 2})])
def test_embed(session, ids, options):
    with pytest.raises(elver.InvalidArgumentError):
        session.embed(ids, **options)


def test_embeddings_of_texts(session, model):
    ids = model.tokenizer.encode("A cat sleeps.")
    one, same = session.embed("A cat sleeps."), session.embed(ids, pooling="last")
    assert (one == same).all() and one.shape == (model.width,) and abs(float(one @ one) - 1) < 1e-5


def test_models_are_written_anew(model, small_path, tmp_path):
    with pytest.raises(elver.InvalidArgumentError, match="Q9"):
        elver.quantize(small_path, tmp_path / "a.gguf", "Q9")
    with pytest.raises(elver.InvalidArgumentError):
        elver.quantize(small_path, None, "Q8_0")
    with pytest.raises(elver.CancelledError):
        elver.quantize(small_path, tmp_path / "a.gguf", "Q8_0", progress=lambda fraction: False)
    with pytest.raises(elver.InvalidArgumentError, match="ant"):
        elver.write_synth("ant:q8_0", tmp_path / "a.gguf")
    with pytest.raises(elver.CancelledError):
        elver.write_synth("llama-1b:q8_0", tmp_path / "a.gguf", n_layers=1, progress=lambda fraction: False)
    assert not list(tmp_path.iterdir())
    elver.quantize(small_path, tmp_path / "a.gguf", "F16")
    assert "F16" in {tensor.type for tensor in elver.Model(tmp_path / "a.gguf", load=False).tensors}
    seen = []
    model.pack(tmp_path / "packed", progress=lambda fraction: seen.append(fraction))
    assert seen[-1] > 0.99 and seen == sorted(seen)
    with elver.Model(tmp_path / "packed") as packed, packed.session(n_ctx=64) as one, model.session(n_ctx=64) as other:
        one.prefill([1, 2, 3])
        other.prefill([1, 2, 3])
        assert (one.logits == other.logits).all()


SESSION_USES = [
    lambda s: s.prefill([1]), lambda s: s.logits, lambda s: s.position, lambda s: s.n_ctx, lambda s: s.rewind(0),
    lambda s: s.embed([1]), lambda s: s.embed("a"), lambda s: s.save(io.BytesIO()), lambda s: s.restore(b"x"), lambda s: s.fork(),
    lambda s: s.cancel(), lambda s: s.respond("Hi"), lambda s: next(s.complete("Hi")),
]  # fmt: skip
MODEL_USES = [
    lambda m: m.load(), lambda m: m.plan(), lambda m: m.session(), lambda m: m.tokenizer, lambda m: m.n_vocab,
    lambda m: m.n_ctx_train, lambda m: m.metadata, lambda m: m.tensors, lambda m: m.spec, lambda m: m.program,
    lambda m: m.chat_template, lambda m: m.machine, lambda m: m.measure(), lambda m: m.width,
    lambda m: m.pack(io.BytesIO()),
]  # fmt: skip
TOKENIZER_USES = [
    lambda t: t.encode("a"), lambda t: t.decode([1]), lambda t: t.render([]), lambda t: t.n_vocab, lambda t: len(t),
    lambda t: t.is_end(1),
]  # fmt: skip


def test_use_after_close(model_path, small_path):
    model = elver.Model(small_path)
    session, tokenizer = model.session(), elver.Tokenizer(model_path)
    for thing, uses in ((session, SESSION_USES), (tokenizer, TOKENIZER_USES), (model, MODEL_USES)):
        thing.close()
        thing.close()
        for use in uses:
            with pytest.raises(elver.InvalidArgumentError, match="closed"):
                use(thing)
        assert "closed" in repr(thing)


def test_objects_outlive_what_they_came_from(model_path):
    data = bytearray(pathlib.Path(model_path).read_bytes())
    model = elver.Model(data)
    session, tokenizer = model.session(n_ctx=64), model.tokenizer
    with pytest.raises(BufferError):
        data.clear()  # the model lies in it
    del model
    assert tokenizer.encode("Hello") == [19556]
    session.prefill([504, 3575, 282, 4649, 314])
    assert int(session.logits.argmax()) == 7042
    del session, tokenizer
    data.clear()


def test_an_open_file(model_path):
    with open(model_path, "rb") as file:
        model = elver.Model(file, load=False)
    assert model.n_vocab == 49152


def test_logits_are_the_callers(session):
    session.prefill([1, 2])
    before = session.logits
    kept = before.copy()
    session.prefill([3])
    assert (before == kept).all() and (session.logits != kept).any()


def test_pickling_is_refused_with_a_reason(model, session):
    for thing in (model, session, model.tokenizer, session.stream("Hi")):
        for refuse in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="open the model again"):
                refuse(thing)


def test_errors_can_be_pickled():
    error = pickle.loads(pickle.dumps(elver.BadFileError("x.gguf: cut", "x.gguf")))
    assert (type(error), str(error), error.object, error.status) == (elver.BadFileError, "x.gguf: cut", "x.gguf", 4)


def test_every_status_has_a_class():
    classes = {c.status for c in vars(elver).values() if isinstance(c, type) and issubclass(c, elver.Error) and c is not elver.Error}
    assert classes == set(elver.Status)


def test_a_stream_that_is_over(session):
    for replace in (lambda: session.respond("Hello", max_tokens=1), lambda: next(session.complete("Hello"))):
        first = session.stream("Hi", temperature=0, max_tokens=5)
        next(first)
        replace()
        for _ in range(2):
            with pytest.raises(elver.InvalidArgumentError, match="another was begun"):
                next(first)
    for end in (lambda: session.prefill([1]), lambda: session.rewind(0), lambda: session.embed("a")):
        first = session.stream("Hi", temperature=0, max_tokens=5)
        next(first)
        end()
        with pytest.raises(elver.InvalidArgumentError, match="no answer|has ended the answer"):
            next(first)


def test_after_a_fork_the_child_is_told(run_python, model_path):
    code = """
import os, sys, warnings
warnings.simplefilter("ignore")
import elver
model = elver.Model(sys.argv[1]); session = model.session(n_ctx=64)
child = os.fork()
if child == 0:
    try:
        session.prefill([1])
    except elver.InvalidArgumentError as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
session.prefill([1])
print(session.position)
"""
    assert run_python(code, model_path).splitlines() == ["the session was made before a fork(); open the model again in this process", "1"]
