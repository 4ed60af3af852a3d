"""The scenarios of every door (tests/scenarios/README.md), through the Python package."""

import io
import json
import os

import elver
import elver.ops
import numpy
import pytest
from conftest import GOLDEN, ROOT

TABLE = json.loads((ROOT / "tests" / "scenarios" / "scenarios.json").read_text())


def file_of(row, tmp_path):
    if "file" not in row:
        return None
    source = TABLE["files"][row["file"]]
    if "environment" in source:
        path = os.environ.get(source["environment"])
        return path or pytest.skip(f"{source['environment']} names no file")
    if "golden" in source and "first_bytes" not in source:
        return str(GOLDEN / source["golden"])
    path = tmp_path / source.get("name", "cut.gguf")
    if "golden" in source:
        path.write_bytes((GOLDEN / source["golden"]).read_bytes()[: source["first_bytes"]])
    elif "content" in source:
        path.write_text(source["content"])
    return str(path)


def progress(cancel_at):
    return None if cancel_at is None else lambda fraction: fraction < cancel_at


def array(given, kind=numpy.float32):
    return numpy.array(given["values"], kind).reshape(given["shape"])


def given(ids, text, rows):
    """What a session is to read."""
    return array(rows) if rows is not None else ids if text is None else text


def counts_of(event):
    return {"counts": [event.counts.prompt, event.counts.generated], "cached": event.counts.cached}


def arrays(options):
    return {key: array(value) if isinstance(value, dict) else value for key, value in options.items()}


class Door:
    """A method for each word of `do`: its arguments are `with`, its answer is compared with `gives`."""

    def __init__(self, path):
        self.path = path

    def open(self, shared_threads=None, **options):
        threads = None if shared_threads is None else elver.Threads(shared_threads)
        self.model = elver.Model(self.path, load=False, threads=threads, **options)
        return {"n_vocab": self.model.n_vocab, "n_ctx_train": self.model.n_ctx_train}

    def plan(self, **options):
        plan = self.model.plan(**options)
        assert plan.total == plan.weights + plan.kv_cache + plan.scratch
        return plan._asdict()

    def fit(self, budget_of, more=0, **options):
        return self.model.fit(self.model.plan(**budget_of).total + more, **options)._asdict()

    def load(self, cancel_at=None):
        self.model.load(progress=progress(cancel_at))

    def session(self, **options):
        self.held = self.model.session(**options)
        return self.position() | {"n_ctx": self.held.n_ctx}

    def encode(self, text, **options):
        return {"ids": self.model.tokenizer.encode(text, **options)}

    def decode(self, ids, special):
        return {"text": self.model.tokenizer.decode(ids, special=special)}

    def render(self, variables):
        return {"text": self.model.tokenizer.render(**({"add_generation_prompt": False} | variables))}

    def token(self, id):
        token = self.model.tokenizer.token(id)
        return token._asdict() | {"bytes": list(token.bytes)}

    def special(self, name):
        return {"id": self.model.tokenizer.special(name)}

    def find(self, text):
        return {"id": self.model.tokenizer.find(text)}

    def detokenizer(self, **options):
        self.stream = self.model.tokenizer.detokenizer(**options)

    def push(self, id):
        return {"text": self.stream.push(id)}

    def finish(self):
        return {"text": self.stream.finish()}

    def prefill(self, ids=None, text=None, rows=None, **options):
        self.held.prefill(given(ids, text, rows), **options)
        return self.position()

    def best(self, forbid=()):
        logits = self.held.logits
        logits[list(forbid)] = -numpy.inf
        return {"id": int(logits.argmax())}

    def logits(self):
        return {"logits": self.held.logits}

    def rewind(self, position):
        self.held.rewind(position)
        return self.position()

    def position(self):
        return {"position": self.held.position}

    def chat(self, request, cancel_at=None):
        self.answered = self.held.stream(**({"messages": None} | request), progress=progress(cancel_at))
        self.answered.begin()

    def complete(self, request):
        prompt = request.get("prompt", request.get("ids"))
        options = {key: value for key, value in request.items() if key not in ("prompt", "ids")}
        self.answered = self.held.complete(prompt, **options)
        self.answered.begin()

    def next(self):
        if not hasattr(self, "answered"):  # a stream is an answer that was begun: only what lies below can be asked
            return self.held._handle.next(0, None)
        event = next(self.answered)
        return event._asdict() | {"finish": event.finish or "none"} | counts_of(event)

    def answer(self):
        events = list(self.answered)
        ids = [event.id for event in events if event.id >= 0]
        text, last = "".join(event.text for event in events), events[-1]
        return {"text": text, "ids": ids, "finish": last.finish} | counts_of(last)

    def cancel(self):
        self.held.cancel()

    def embed(self, ids=None, text=None, rows=None, **options):
        return {"embedding": self.held.embed(given(ids, text, rows), **options)}

    def save(self):
        self.saved = io.BytesIO()
        self.held.save(self.saved)

    def restore(self):
        self.held.restore(self.saved.getvalue())
        return self.position()

    def fork(self):
        self.held = self.held.fork()
        return self.position()

    def row_bytes(self, dtype, k):
        if isinstance(dtype, int):  # no name: only what lies below can be asked
            return elver._elver.row_bytes(dtype, k)
        return {"n_bytes": elver.ops.row_bytes(dtype, k)}

    def ops(self, **options):
        self.ops = elver.ops.Ops(**options)
        self.matrices = []

    def quantize(self, dtype, x):
        return {"rows": self.ops.quantize(array(x), dtype)}

    def dequantize(self, dtype, rows, k):
        return {"x": self.ops.dequantize(array(rows, numpy.uint8), dtype, rows["shape"][0], k)}

    def pack(self, dtype, rows, k):
        self.matrices.append(self.ops.pack(array(rows, numpy.uint8), dtype, rows["shape"][0], k))
        n_rows, k = self.matrices[-1].shape
        return {"n_rows": n_rows, "k": k}

    def matmul(self, x, bias=None):
        return {"y": self.ops.matmul(self.matrices[-1], array(x), bias=None if bias is None else array(bias))}

    def matmul_experts(self, ids, x, weights=None):
        weights = None if weights is None else array(weights)
        return {"y": self.ops.matmul_experts(self.matrices, array(ids, numpy.int32), array(x), weights=weights)}

    def attention(self, q, k, v, n_heads, n_kv_heads, head_dim, v_head_dim=0, **options):  # the shapes say the layer
        return {"out": self.ops.attention(array(q), array(k), array(v), **arrays(options))}

    def cache(self, n_heads, n_kv_heads, head_dim, **options):
        self.kept = self.ops.cache(n_heads, n_kv_heads, head_dim, **options)

    def append(self, k, v):
        self.kept.append(array(k), array(v))
        return {"position": self.kept.position}

    def attend(self, q):
        return {"out": self.kept.attend(array(q))}

    def cache_rewind(self, position):
        self.kept.rewind(position)
        return {"position": self.kept.position}

    def route(self, logits, top_k, **options):
        ids, weights = elver.ops.route(array(logits), top_k, **arrays(options))
        return {"ids": ids, "weights": weights}


def same(found, expected, within):
    if isinstance(expected, dict) and "values" in expected:
        wanted = array(expected, float)
        return found.shape == wanted.shape and bool((abs(found - wanted) <= (within or 0)).all())
    if isinstance(expected, dict):  # logits
        return all(abs(float(found[int(id)]) - value) <= within for id, value in expected.items())
    return found is None if expected is None else found == expected


@pytest.mark.parametrize("row", TABLE["scenarios"], ids=lambda row: row["name"])
def test_scenario(row, tmp_path):
    door = Door(file_of(row, tmp_path))
    for number, step in enumerate(row["steps"]):
        where = f"step {number}, {step['do']}"
        call = lambda: getattr(door, step["do"])(**step.get("with", {}))  # noqa: B023
        if "fails" in step:
            fails = json.loads(json.dumps(step["fails"]).replace("{file}", door.path or ""))
            with pytest.raises(elver.Error) as caught:
                call()
            error = caught.value
            assert error.status.name.lower() == fails["status"], where
            assert fails["object"] in (None, error.object), where
            for words in fails["says"]:
                assert words in str(error), where
            continue
        found = call()
        for key, expected in step.get("gives", {}).items():
            assert same(found[key], expected, step.get("within")), f"{where}: {key}: {found[key]!r}, not {expected!r}"
