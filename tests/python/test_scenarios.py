"""The scenarios of every door (tests/scenarios/README.md), through the Python package."""

import json
import os

import elver
import pytest
from conftest import GOLDEN, ROOT

TABLE = json.loads((ROOT / "tests" / "scenarios" / "scenarios.json").read_text())


def file_of(row, tmp_path):
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


class Door:
    """A method for each word of `do`: its arguments are `with`, its answer is compared with `gives`."""

    def __init__(self, path):
        self.path = path

    def open(self, **options):
        self.model = elver.Model(self.path, load=False, **options)
        return {"n_vocab": self.model.n_vocab, "n_ctx_train": self.model.n_ctx_train}

    def plan(self, **options):
        plan = self.model.plan(**options)
        assert plan.total == plan.weights + plan.kv_cache + plan.scratch
        return plan._asdict()

    def load(self, cancel_at=None):
        self.model.load(progress=progress(cancel_at))

    def session(self, **options):
        self.session = self.model.session(**options)
        return self.position() | {"n_ctx": self.session.n_ctx}

    def encode(self, text, **options):
        return {"ids": self.model.tokenizer.encode(text, **options)}

    def decode(self, ids, special):
        return {"text": self.model.tokenizer.decode(ids, special=special)}

    def render(self, variables):
        return {"text": self.model.tokenizer.render(**({"add_generation_prompt": False} | variables))}

    def prefill(self, ids):
        self.session.prefill(ids)
        return self.position()

    def logits(self):
        return {"logits": self.session.logits}

    def rewind(self, position):
        self.session.rewind(position)
        return self.position()

    def position(self):
        return {"position": self.session.position}

    def chat(self, request, cancel_at=None):
        self.answered = self.session.stream(**({"messages": None} | request), progress=progress(cancel_at))
        self.answered.begin()

    def complete(self, request):
        prompt = request.get("prompt", request.get("ids"))
        options = {key: value for key, value in request.items() if key not in ("prompt", "ids")}
        self.answered = self.session.complete(prompt, **options)
        self.answered.begin()

    def next(self):
        if not hasattr(self, "answered"):  # a stream is an answer that was begun: only what lies below can be asked
            return self.session._handle.next()
        event = next(self.answered)
        return event._asdict() | {"finish": event.finish or "none"}

    def answer(self):
        events = list(self.answered)
        ids = [event.id for event in events if event.id >= 0]
        return {"text": "".join(event.text for event in events), "ids": ids, "finish": events[-1].finish}

    def cancel(self):
        self.session.cancel()


def same(found, expected, within):
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
            fails = json.loads(json.dumps(step["fails"]).replace("{file}", door.path))
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
