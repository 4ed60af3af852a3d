#!/usr/bin/env python3
"""elver's chat templates against Python's jinja2 in transformers' settings.

    tests/oracle/template.py --elver build/release/bin/elver [--templates DIR] [--conversations 200] [--programs 2000] [--seed 1] [NAME…]

It renders each *.jinja of DIR (by default those of real models in the llama-cpp-python sdist, fetched once) over random conversations,
then random small templates that mix every construct, and compares texts byte for byte. A case is right if both give the same text, both
raise the template's own exception with the same words, or both fail. Exit status 1 and the first differences if there are any.
Needs jinja2 from PyPI.
"""

import argparse
import itertools
import json
import re
import subprocess
import tempfile
from pathlib import Path

import sdist
from template_conversations import Conversations
from template_programs import Programs
from template_reference import NOW, Reference


class Elver:
    def __init__(self, program):
        self.program = program

    def render(self, source, lines):
        """What `elver template` says of each line."""
        with tempfile.TemporaryDirectory() as folder:
            template, jsonl = Path(folder) / "t.jinja", Path(folder) / "v.jsonl"
            template.write_bytes(source.encode())
            jsonl.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
            command = [self.program, "template", "--template-file", str(template), "--jsonl", str(jsonl)]
            done = subprocess.run(command, capture_output=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)}: exit status {done.returncode}: {done.stderr.decode()}")
        out = [json.loads(line) for line in done.stdout.split(b"\n") if line]
        if len(out) != len(lines):
            raise SystemExit(f"elver template: expected {len(lines)} lines, found {len(out)}")
        return out


def agrees(got, expected):
    if "text" in expected:
        if " at 0x" in expected["text"].lower() or "<bound method" in expected["text"]:
            return True  # a thing without a text of its own
        return got.get("text") == expected["text"]
    if "raised" in expected:
        return got.get("error") == expected["raised"]
    return "error" in got


def refuses(got):
    """Whether elver names something it does not have. Random templates may use it; those of real models must run."""
    return "is not supported" in got.get("error", "") or "does not read" in got.get("error", "")


def plain(source, variables):
    """The conversation without what elver changes or refuses before it renders (chat/messages.hpp); its own tests show that."""
    v = json.loads(json.dumps(variables))
    for key in ("tools", "documents"):
        if not v.get(key) or not re.search(rf"\b{key}\b", source):
            v.pop(key, None)
    for m in v["messages"]:
        parts = m.get("content") or ""
        m["content"] = parts if isinstance(parts, str) else "".join(p.get("text", "") for p in parts if isinstance(p, dict))
        if m["role"] == "developer" and "developer" not in source:
            m["role"] = "system"
        if not m.get("tool_calls", True) or "tool_calls" not in source:
            m.pop("tool_calls", None)
    return v


def forms(variables):
    """The forms of tool calls between which elver chooses: arguments as a mapping or as JSON text, no content as a text or as none."""
    for as_text, none in itertools.product((False, True), (False, True)):
        v = json.loads(json.dumps(variables))
        for m in v["messages"]:
            for call in m.get("tool_calls", []):
                function = call.get("function", call)
                given = function["arguments"]
                if as_text and not isinstance(given, str):
                    function["arguments"] = json.dumps(given, ensure_ascii=False, separators=(",", ":"))
                if not as_text and isinstance(given, str):
                    function["arguments"] = json.loads(given)
            if none and m.get("tool_calls") and not m["content"]:
                m["content"] = None
        yield v


class Comparison:
    def __init__(self, elver, show):
        self.elver, self.show = elver, show
        self.n = self.n_texts = self.n_raised = self.n_refused = self.n_wrong = 0

    def template(self, title, source, variables, real):
        variables = [plain(source, v) for v in variables]
        lines = [{**v, "now": NOW} for v in variables]
        reference = Reference(source, optimized=real)
        got = self.elver.render(source, lines)
        expected = []
        for v, text in zip(variables, got):
            rendered = [reference.render(form) for form in forms(v)]
            expected.append(next((r for r in rendered if agrees(text, r)), rendered[0]))
        refused = [] if real else [i for i in range(len(lines)) if refuses(got[i])]
        wrong = [i for i in range(len(lines)) if i not in refused and not agrees(got[i], expected[i])]
        texts, raised = sum("text" in e for e in expected), sum("raised" in e for e in expected)
        if real or wrong:
            print(f"{'FAIL' if wrong else 'ok  '} {title}: {len(lines)} compared ({texts} texts, {raised} raised, "
                  f"{len(lines) - texts - raised} errors), {len(wrong)} differ", flush=True)
        for i in wrong[: self.show]:
            if not real:
                print("     " + repr(source))
            a, b = json.dumps(got[i], ensure_ascii=False), json.dumps(expected[i], ensure_ascii=False)
            at = next((k for k, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
            near = slice(max(0, at - 120), at + 160)
            print(f"     {json.dumps(variables[i], ensure_ascii=False)[:600]}\n       elver  …{a[near]}\n       jinja2 …{b[near]}")
        self.n += len(lines)
        self.n_texts += texts
        self.n_raised += raised
        self.n_refused += len(refused)
        self.n_wrong += len(wrong)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="of templates, without .jinja; or programs; all by default")
    parser.add_argument("--elver", required=True, help="the program")
    parser.add_argument("--templates", type=Path, help="a folder with *.jinja")
    parser.add_argument("--conversations", type=int, default=200, help="for each template")
    parser.add_argument("--programs", type=int, default=2000, help="random templates")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=2, help="differences to print of each template")
    a = parser.parse_args()
    folder = a.templates or sdist.fetch("templates", lambda path: path.suffix == ".jinja" and path.parent.name == "templates")
    files = sorted(folder.glob("*.jinja"))
    if not files:
        raise SystemExit(f"{folder}: no *.jinja")
    comparison = Comparison(Elver(a.elver), a.show)
    for path in files:
        if not a.names or path.stem in a.names:
            conversations = Conversations(f"{a.seed} {path.stem}")
            source = path.read_bytes().decode()
            comparison.template(path.stem, source, [conversations.variables() for _ in range(a.conversations)], True)
    if not a.names or "programs" in a.names:
        for i in range(a.programs):
            programs = Programs(f"{a.seed} {i}")
            comparison.template(f"program {i}", programs.template(), [programs.variables() for _ in range(3)], False)
    print(f"{comparison.n} compared: {comparison.n_texts} texts, {comparison.n_raised} raised by the template, "
          f"{comparison.n - comparison.n_texts - comparison.n_raised} errors; {comparison.n_refused} use what elver says it lacks; "
          f"{comparison.n_wrong} differ")
    if comparison.n_wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
