#!/usr/bin/env python3
"""Makes scenarios.json beside it: what every door of elver must answer. README.md tells how a row is read.

Ids come from Hugging Face `tokenizers`, prompts from jinja2, text and logits from a float64 forward in NumPy, cache sizes
from the file's metadata, operations from operations.py: nothing here knows elver. Errors are written by hand. Packages: tests/oracle/requirements.txt.

    make.py MODEL       MODEL being the SmolLM2 file of cmake/fetch_model.py
"""

import argparse
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden"
sys.path.insert(0, str(HERE.parent / "oracle"))

import gguf  # noqa: E402
import numpy as np  # noqa: E402
from forward import greedy  # noqa: E402
from llama_forward import LlamaForward  # noqa: E402
from operations import operation_rows  # noqa: E402
from steps import step  # noqa: E402
from template_reference import Reference  # noqa: E402
from tokenizer_references import Vocabulary, reference  # noqa: E402
from tokenizers.decoders import ByteLevel  # noqa: E402

# A greedy text is only taken as far as its least certain token is this much better than the next, so that quantised
# activations cannot change it.
MARGIN = 0.5
PAGE = 64  # positions of a cache page
CACHE_BYTES = {"f32": 4, "f16": 2, "q8_0": 34 / 32, "q4_0": 18 / 32}  # of a value

FILES = {
    "smollm2": {"environment": "ELVER_TEST_MODEL"},
    "gemma3": {"golden": "archs/gemma3.gguf"},
    "bpe": {"golden": "tokenizer/bpe.gguf"},
    "missing": {"name": "nothing-here.gguf"},
    "cut_head": {"golden": "archs/gemma3.gguf", "first_bytes": 100},
    "cut_data": {"golden": "archs/gemma3.gguf", "first_bytes": 60000},
    "text": {"name": "text.gguf", "content": "no model, only words\n"},
}


class EightBits(LlamaForward):
    """Activations rounded to 8 bits in blocks of 32 before each product, as every engine over such weights does."""

    def product(self, x, w):
        blocks = x.reshape(*x.shape[:-1], -1, 32)
        steps = np.abs(blocks).max(-1, keepdims=True) / 127
        return (np.round(blocks / np.where(steps == 0, 1, steps)) * steps).reshape(x.shape) @ w.T


class Oracle:
    def __init__(self, path):
        self.path = path
        self.fields = gguf.GGUFReader(path).fields
        vocabulary = Vocabulary(path)
        self.tokens = vocabulary.tokens
        self.encoders = {special: reference(vocabulary, special) for special in (False, True)}
        self.bytes = ByteLevel()  # SmolLM2's tokens are spelled in it
        # GPT-2's table: bytes that print are themselves, the others count on from 256.
        prints = [*range(33, 127), *range(161, 173), *range(174, 256)]
        others = [b for b in range(256) if b not in prints]
        self.byte_of = {chr(b): b for b in prints} | {chr(256 + i): b for i, b in enumerate(others)}
        self.template = Reference(self.key("tokenizer.chat_template"))
        self.model, self.rounded = LlamaForward(path), EightBits(path)

    def key(self, name):
        return self.fields[name].contents()

    def encode(self, text, special=False):
        return self.encoders[special].encode(text)

    def render(self, messages, generation=True):
        variables = {"messages": messages, "add_generation_prompt": generation}
        names = {f"{name}_token": self.tokens[self.key(f"tokenizer.ggml.{name}_token_id")] for name in ("bos", "eos")}
        return self.template.render(names | variables)["text"]

    def decode(self, ids):
        return self.bytes.decode([self.tokens[i] for i in ids])

    def raw_bytes(self, id):
        """Of a token that is spelled in GPT-2's bytes as characters."""
        return bytes(self.byte_of[c] for c in self.tokens[id])

    def continuation(self, prompt, n):
        """n greedy ids after the prompt; refuses those that another rounding could change."""
        ids, margins = greedy(self.model, prompt, n)
        assert min(margins) >= MARGIN, f"{self.decode(prompt)!r}: margins {margins}"
        return ids

    def answer(self, messages, limit):
        """(text, ids, finish) of a greedy answer of at most `limit` tokens; the token that ends it is not among them."""
        prompt = self.encode(self.render(messages), special=True)
        ids = self.until_end(prompt, limit)
        finish = "stop" if ids[-1] == self.key("tokenizer.ggml.eos_token_id") else "length"
        ids = ids[:-1] if finish == "stop" else ids
        return self.decode(ids), ids, finish

    def until_end(self, prompt, limit):
        ids, margins = greedy(self.model, prompt, limit)
        end = self.key("tokenizer.ggml.eos_token_id")
        n = ids.index(end) + 1 if end in ids else limit
        assert min(margins[:n]) >= MARGIN, f"{self.decode(prompt)!r}: margins {margins[:n]}"
        return ids[:n]

    def logits(self, ids, n):
        """(the n best, how far off they may be): as far as 8-bit activations move any logit of that row in NumPy."""
        row, rounded = (model.forward(ids, model.new_cache())[-1] for model in (self.model, self.rounded))
        best = np.argsort(-row)[:n]
        return {str(i): round(float(row[i]), 3) for i in best}, round(float(np.abs(row - rounded).max()), 2)

    def embedding(self, ids, pool, n):
        """(the first n values of the pooled hidden states at unit length, how far off they may be)"""
        rows = []
        for model in (self.model, self.rounded):
            row = pool(model.hidden(ids, model.new_cache()))
            rows.append(row / np.linalg.norm(row))
        return {str(i): round(float(rows[0][i]), 5) for i in range(n)}, round(float(np.abs(rows[0] - rows[1]).max()), 4)


def kv_bytes(path, n_ctx, cache_type):
    """Keys and values of whole pages, every layer."""
    fields = gguf.GGUFReader(path).fields
    arch = fields["general.architecture"].contents()
    get = lambda name: fields[f"{arch}.{name}"].contents()
    head_dim = get("attention.key_length") if f"{arch}.attention.key_length" in fields else (
        get("embedding_length") // get("attention.head_count"))
    values = 2 * get("block_count") * get("attention.head_count_kv") * head_dim * -(-n_ctx // PAGE) * PAGE
    return int(values * CACHE_BYTES[cache_type])


def user(*turns):
    """A conversation of user and assistant in turn."""
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(turns)]


def tokenise_rows(o):
    texts = ("Hello, world!", "", " leading and trailing ", "naïve café, 東京, 🦉🦉", "<|im_start|>user\nHi<|im_end|>",
             "tabs\tand\r\nlines\n\n\n", "1234567890 0x1F 3.14e-10", "e\u0301 \u200b\u00a0", "don't I'LL we've")
    rows = []
    for parse_special in (False, True):
        for text in texts:
            ids = o.encode(text, parse_special)
            kind = "control tokens become tokens" if parse_special else "as plain text"
            rows.append({"name": f"tokenise {json.dumps(text)[:24]} {kind}", "file": "smollm2", "steps": [
                step("open"),
                step("encode", {"ids": ids}, text=text, add_special=False, parse_special=parse_special),
                step("decode", {"text": text}, ids=ids, special=True)]})
    n_vocab = len(o.tokens)
    rows.append({"name": "detokenise an id beyond the vocabulary", "file": "smollm2", "steps": [
        step("open"),
        step("decode", fails=("invalid_argument", "ids", [str(n_vocab - 1), str(n_vocab)]), ids=[1, n_vocab], special=False)]})
    golden = json.loads((GOLDEN / "smollm2" / "tokens.json").read_text())
    rows.append({"name": "detokenise and tokenise again a page of text", "file": "smollm2", "steps": [
        step("open"),
        step("decode", {"text": o.decode(golden["long"][:100])}, ids=golden["long"][:100], special=False)]})
    return rows


def template_rows(o):
    messages = [{"role": "system", "content": "Be brief."}] + user("Hi", "Hello!", "Why?")
    return [
        {"name": "the chat template", "file": "smollm2", "steps": [
            step("open"),
            step("render", {"text": o.render(messages)}, variables={"messages": messages, "add_generation_prompt": True}),
            step("render", {"text": o.render(user("Hi"), False)}, variables={"messages": user("Hi")})]},
    ]


def plan_rows(o):
    rows = []
    for n_ctx, max_batch, cache_type in ((4096, 512, "f16"), (100, 7, "q8_0"), (64, 64, "f32"), (65, 1, "q4_0")):
        rows.append({"name": f"plan {n_ctx} positions of {cache_type}", "file": "smollm2", "steps": [
            step("open", {"n_vocab": len(o.tokens), "n_ctx_train": o.key("llama.context_length")}),
            step("plan", {"kv_cache": kv_bytes(o.path, n_ctx, cache_type), "n_ctx": n_ctx, "max_batch": max_batch,
                          "cache_type": cache_type}, n_ctx=n_ctx, max_batch=max_batch, cache_type=cache_type)]})
    rows.append({"name": "plan with defaults", "file": "smollm2", "steps": [
        step("open"),
        step("plan", {"kv_cache": kv_bytes(o.path, 4096, "f16"), "n_ctx": 4096, "max_batch": 512, "cache_type": "f16"})]})
    rows.append({"name": "a cache type that is not one", "file": "smollm2", "steps": [
        step("open"),
        step("plan", fails=("invalid_argument", "cache_type", ["cache_type", "77"]), cache_type=77)]})
    one = kv_bytes(o.path, 128, "f16") + 4 * len(o.tokens)  # pages, and the logits after the last token
    rows.append({"name": "what a budget has room for", "file": "smollm2", "steps": [
        step("open"),
        step("fit", {"n_ctx": 2048, "n_sessions": 1}, budget_of={"n_ctx": 2048}),
        step("fit", {"n_ctx": o.key("llama.context_length"), "n_sessions": 3}, budget_of={"n_ctx": 4096}, more=2**40, n_sessions=3),
        step("fit", {"n_ctx": 128, "n_sessions": 4}, budget_of={"n_ctx": 128}, more=3 * one, n_ctx=128),
        step("fit", {"n_ctx": 128, "n_sessions": 3}, budget_of={"n_ctx": 128}, more=3 * one - 1, n_ctx=128),
        step("fit", {"n_ctx": 0, "n_sessions": 0}, budget_of={"n_ctx": 128}, more=3 * one - 1, n_ctx=128, n_sessions=4),
        step("fit", {"n_ctx": 0, "n_sessions": 0}, budget_of={"n_ctx": 1, "max_batch": 1}, more=-1)]})
    rows.append({"name": "a number of threads beside those that are shared", "file": "smollm2", "steps": [
        step("open", fails=("invalid_argument", "n_threads", ["expected 0", "2"]), n_threads=2, shared_threads=2)]})
    rows.append({"name": "a budget that cannot be met", "file": "smollm2", "steps": [
        step("open", fails=("over_budget", None, ["1000000"]), budget_bytes=1000000)]})
    return rows


def load_rows():
    rows = [{"name": name, "file": file, "steps": [step("open", fails=fails)]} for name, file, fails in (
        ("a file that is not there", "missing", ("not_found", "{file}", ["nothing-here.gguf"])),
        ("a file cut in its head", "cut_head", ("bad_file", None, ["{file}"])),
        ("a file cut in its data", "cut_data", ("bad_file", None, ["{file}"])),
        ("a file that is no model", "text", ("bad_file", None, ["GGUF", "no m"])))]
    rows.append({"name": "a negative number of threads", "file": "gemma3", "steps": [
        step("open", fails=("invalid_argument", "n_threads", ["-1"]), n_threads=-1)]})
    rows.append({"name": "load", "file": "smollm2", "steps": [step("open"), step("load"), step("session", {"position": 0})]})
    rows.append({"name": "loading cancelled, then done", "file": "smollm2", "steps": [
        step("open"),
        step("load", fails=("cancelled", "{file}", ["cancelled"]), cancel_at=0.0),
        step("load", fails=("cancelled", "{file}", ["cancelled"]), cancel_at=0.3),
        step("load"),
        step("session", {"position": 0, "n_ctx": 128}, n_ctx=128)]})
    rows.append({"name": "a session before loading", "file": "gemma3", "steps": [
        step("open"),
        step("session", fails=("invalid_argument", None, ["load"]))]})
    return rows


def ready(**session):
    return [step("open"), step("load"), step("session", **session)]


def chat_rows(o):
    question = "What is 2+2?"
    text, ids, finish = o.answer(user(question), 40)
    assert finish == "stop"
    request = {"messages": user(question), "temperature": 0, "max_tokens": 40}
    prompt = o.encode(o.render(user(question)), special=True)
    n = len(prompt) + len(ids)
    short, _, _ = o.answer(user(question), 4)
    stop = text.split()[3]
    rows = [
        {"name": "chat", "file": "smollm2", "steps": ready() + [
            step("chat", request=request),
            step("answer", {"text": text, "finish": "stop", "ids": ids})]},
        {"name": "chat again in the same session", "file": "smollm2", "steps": ready() + [
            step("chat", request=request), step("answer", {"text": text, "finish": "stop", "cached": 0}),
            step("chat", request=request), step("answer", {"text": text, "finish": "stop", "cached": len(prompt) - 1})]},
        {"name": "chat of at most four tokens", "file": "smollm2", "steps": ready() + [
            step("chat", request=request | {"max_tokens": 4}),
            step("answer", {"text": short, "finish": "length", "ids": ids[:4]})]},
        {"name": "chat up to a stop text", "file": "smollm2", "steps": ready() + [
            step("chat", request=request | {"stop": [stop]}),
            step("answer", {"text": text[: text.index(stop)], "finish": "stop"})]},
        {"name": "stream token by token", "file": "smollm2", "steps": ready() + [
            step("chat", request=request),
            *[step("next", {"kind": "text", "text": o.decode([i]), "id": i, "finish": "none", "counts": [len(prompt), k + 1]})
              for k, i in enumerate(ids[:5])],
            step("answer", {"text": o.decode(ids[5:]), "finish": "stop"}),
            step("position", {"position": n})]},
        {"name": "next without an answer", "file": "smollm2", "steps": ready(n_ctx=64) + [
            step("next", fails=("invalid_argument", "session", ["no answer"]))]},
    ]
    for name, bad, key, says in (
            ("a key that is not known", {"messages": user("Hi"), "temprature": 0}, "temprature", ["temprature"]),
            ("no messages", {"temperature": 0}, "messages", ["messages"]),
            ("a temperature that is a word", {"messages": user("Hi"), "temperature": "hot"}, "temperature", ["temperature", "hot"]),
            ("a message without a role", {"messages": [{"content": "Hi"}]}, "messages", ["role"])):
        rows.append({"name": f"a chat request with {name}", "file": "smollm2", "steps": ready(n_ctx=64) + [
            step("chat", fails=("invalid_argument", key, says), request=bad),
            step("position", {"position": 0})]})
    rows.append({"name": "chat longer than the context", "file": "smollm2", "steps": ready(n_ctx=32) + [
        step("chat", fails=("context_full", None, ["32"]), request=request)]})
    return rows


def complete_rows(o):
    prompt = "The capital of France is"
    ids = o.continuation(o.encode(prompt), 5)
    first = {"prompt": prompt, "temperature": 0, "max_tokens": 5}
    endless = {"prompt": prompt, "temperature": 0, "max_tokens": 80, "ignore_eos": True}
    n_prompt = len(o.encode(prompt))
    return [
        {"name": "complete a text", "file": "smollm2", "steps": ready() + [
            step("complete", request=first),
            step("answer", {"text": o.decode(ids), "ids": ids, "finish": "length", "counts": [len(o.encode(prompt)), len(ids)]})]},
        {"name": "complete ids", "file": "smollm2", "steps": ready() + [
            step("complete", request={"ids": o.encode(prompt), "temperature": 0, "max_tokens": 5}),
            step("answer", {"text": o.decode(ids), "ids": ids, "finish": "length"})]},
        {"name": "a full context ends an answer", "file": "smollm2", "steps": ready(n_ctx=32) + [
            step("complete", request=endless), step("answer", {"finish": "length", "counts": [n_prompt, 32 - n_prompt + 1]}),
            step("position", {"position": 32})]},
        {"name": "a full context slides", "file": "smollm2", "steps": ready(n_ctx=32, context_policy="slide", n_keep=4) + [
            step("complete", request=endless), step("answer", {"finish": "length", "counts": [n_prompt, 80]}),
            step("session", fails=("invalid_argument", "n_keep", ["31", "30"]), n_ctx=32, context_policy="slide", n_keep=31),
            step("session", fails=("invalid_argument", "n_keep", ["-1"]), n_ctx=32, n_keep=-1)]},
        {"name": "complete an id beyond the vocabulary", "file": "smollm2", "steps": ready(n_ctx=64) + [
            step("complete", fails=("invalid_argument", None, [str(len(o.tokens))]), request={"ids": [len(o.tokens)]}),
            step("position", {"position": 0})]},
    ]


def cancel_rows(o):
    question = "What is 2+2?"
    text, ids, _ = o.answer(user(question), 40)
    request = {"messages": user(question), "temperature": 0, "max_tokens": 40}
    answered = [step("chat", request=request), step("answer", {"text": text, "finish": "stop"})]
    return [
        {"name": "cancel an answer; the session stays usable", "file": "smollm2", "steps": ready() + [
            step("chat", request=request),
            step("next", {"id": ids[0]}),
            step("next", {"id": ids[1]}),
            step("cancel"),
            step("answer", {"text": "", "finish": "cancelled", "ids": []})] + answered},
        {"name": "a cancel where nothing runs stops no later request", "file": "smollm2", "steps": ready() + [
            step("cancel"),
            step("prefill", {"position": 4}, ids=ids[:4]),
            step("cancel")] + answered + [
            step("cancel")] + answered},
        {"name": "a cancelled answer that another takes the place of", "file": "smollm2", "steps": ready() + [
            step("chat", request=request),
            step("next", {"id": ids[0]}),
            step("cancel")] + answered},
        {"name": "a progress that says no", "file": "smollm2", "steps": ready(max_batch=8) + [
            step("chat", fails=("cancelled", None, ["cancelled"]), request=request, cancel_at=0.0)] + answered},
    ]


def logits_rows(o):
    prompt = o.encode("The capital of France is")
    other = prompt[:3] + o.encode(" Germany is")
    (best, within), (best_other, within_other) = o.logits(prompt, 5), o.logits(other, 5)
    return [
        {"name": "logits after a prefill", "file": "smollm2", "steps": ready() + [
            step("prefill", {"position": len(prompt)}, ids=prompt),
            step("logits", {"logits": best}, within=within)]},
        {"name": "rewind, and go on with another text", "file": "smollm2", "steps": ready() + [
            step("prefill", {"position": len(prompt)}, ids=prompt),
            step("rewind", {"position": 3}, position=3),
            step("prefill", {"position": len(other)}, ids=other[3:]),
            step("logits", {"logits": best_other}, within=within_other),
            step("rewind", {"position": 0}, position=0),
            step("prefill", {"position": len(prompt)}, ids=prompt),
            step("logits", {"logits": best}, within=within)]},
        {"name": "no logits before the first token and after a rewind", "file": "smollm2", "steps": ready(n_ctx=64) + [
            step("logits", {"logits": None}),
            step("prefill", ids=prompt),
            step("rewind", {"position": 2}, position=2),
            step("logits", {"logits": None})]},
        {"name": "rewind beyond the end and before the beginning", "file": "smollm2", "steps": ready(n_ctx=64) + [
            step("prefill", {"position": len(prompt)}, ids=prompt),
            step("rewind", fails=("invalid_argument", None, ["6"]), position=6),
            step("rewind", fails=("invalid_argument", None, ["-1"]), position=-1),
            step("position", {"position": len(prompt)})]},
        {"name": "an id beyond the vocabulary", "file": "smollm2", "steps": ready(n_ctx=64) + [
            step("prefill", fails=("invalid_argument", None, [str(len(o.tokens))]), ids=[1, len(o.tokens)]),
            step("prefill", fails=("invalid_argument", None, ["-3"]), ids=[-3]),
            step("position", {"position": 0})]},
        {"name": "more tokens than the context", "file": "smollm2", "steps": ready(n_ctx=64) + [
            step("prefill", fails=("context_full", None, ["64"]), ids=(prompt * 13)[:65]),
            step("position", {"position": 0}),
            step("prefill", {"position": 64}, ids=(prompt * 13)[:64]),
            step("prefill", fails=("context_full", None, ["64"]), ids=[1])]},
    ]


def snapshot_rows(o):
    prompt = o.encode("The capital of France is")
    best, within = o.logits(prompt, 5)
    ready_64 = ready(n_ctx=64) + [step("prefill", {"position": len(prompt)}, ids=prompt)]
    after = [step("logits", {"logits": best}, within=within)]
    return [
        {"name": "save, go on, restore", "file": "smollm2", "steps": ready_64 + [
            step("save"), step("prefill", {"position": len(prompt) + 2}, ids=prompt[:2]),
            step("restore", {"position": len(prompt)})] + after},
        {"name": "restore into another context", "file": "smollm2", "steps": ready_64 + [
            step("save"), step("session", {"position": 0}, n_ctx=128),
            step("restore", fails=("mismatch", None, ["64", "128"])), step("position", {"position": 0})]},
        {"name": "fork, and go on in the fork", "file": "smollm2", "steps": ready_64 + [
            step("fork", {"position": len(prompt)})] + after + [
            step("rewind", {"position": 2}, position=2),
            step("prefill", {"position": len(prompt)}, ids=prompt[2:])] + after},
    ]


def vocabulary_rows(o):
    fields = {key.rsplit(".", 1)[1]: o.key(key) for key in o.fields if key.endswith("_token_id")}
    special = lambda name: step("special", {"id": fields.get(f"{name}_token_id")}, name=name)
    kinds = {1: "normal", 3: "control"}
    types = o.key("tokenizer.ggml.token_type")
    end = o.key("tokenizer.ggml.eos_token_id")

    def token(id):
        control = types[id] == 3
        spelled = o.tokens[id].encode() if control else o.raw_bytes(id)
        return step("token", {"bytes": list(spelled), "kind": kinds[types[id]], "is_control": control, "is_end": id == end}, id=id)

    owl = o.encode("🦉 東京")
    assert len(owl) > 4, "characters of several tokens are wanted"
    pieces, waiting = [], b""
    for id in owl:
        waiting += o.raw_bytes(id)
        text, waiting = whole(waiting)
        pieces.append(step("push", {"text": text}, id=id))
    n = len(o.tokens)
    return [
        {"name": "tokens by their ids and ids by their tokens", "file": "smollm2", "steps": [
            step("open"), *[token(id) for id in (end, *o.encode("Hello, 🦉"))],
            step("token", fails=("invalid_argument", "ids", [str(n)]), id=n),
            step("token", fails=("invalid_argument", "ids", ["-1"]), id=-1),
            special("bos"), special("eos"), special("fim_mid"),
            step("find", {"id": end}, text=o.tokens[end]), step("find", {"id": None}, text="no token is spelled so")]},
        {"name": "tokens become text as they come", "file": "smollm2", "steps": [
            step("open"), step("detokenizer"), *pieces, step("finish", {"text": ""}),
            step("push", {"text": ""}, id=owl[0]), step("finish", {"text": "\ufffd"}), *pieces,
            step("push", {"text": ""}, id=end), step("push", fails=("invalid_argument", "ids", [str(n)]), id=n),
            step("detokenizer", special=True, follow=owl), step("push", {"text": o.tokens[end]}, id=end),
            step("detokenizer", fails=("invalid_argument", "ids", ["-5"]), follow=[-5])]},
    ]


def whole(data):
    """(the characters that are complete, the rest)"""
    for n in range(len(data), -1, -1):
        try:
            return data[:n].decode(), data[n:]
        except UnicodeDecodeError:
            pass
    raise AssertionError


def own_sampler_rows(o):
    prompt = o.encode("The capital of France is")
    ids = o.continuation(prompt, 4)
    row = o.model.forward(prompt, o.model.new_cache())[-1]
    best = [int(i) for i in np.argsort(-row)[:4]]
    assert best[0] == ids[0]
    other = next(n for n in range(1, 3) if row[best[n]] - row[best[n + 1]] >= MARGIN)
    steps = [step("prefill", ids=prompt), step("detokenizer", follow=prompt)]
    text = o.decode(prompt)
    for i, id in enumerate(ids):
        steps += [step("best", {"id": id}), step("push", {"text": o.decode(prompt + ids[: i + 1])[len(text):]}, id=id),
                  step("prefill", {"position": len(prompt) + i + 1}, ids=[id])]
        text = o.decode(prompt + ids[: i + 1])
    return [
        {"name": "a host chooses the tokens", "file": "smollm2", "steps": ready() + steps + [step("finish", {"text": ""})]},
        {"name": "a host edits the logits", "file": "smollm2", "steps": ready() + [
            step("prefill", ids=prompt), step("best", {"id": best[other]}, forbid=best[:other]),
            step("rewind", position=3), step("prefill", ids=prompt[3:]), step("best", {"id": best[0]})]},
    ]


def input_rows(o):
    text = "The capital of France is"
    prompt = o.encode(text)
    best, within = o.logits(prompt, 5)
    after = [step("logits", {"logits": best}, within=within)]
    n = len(prompt)
    table = o.model.embedding[prompt]
    rows = lambda first, last: {"shape": [last - first, table.shape[1]], "values": [float(x) for x in table[first:last].ravel()]}
    wrong = {"shape": [1, 3], "values": [0.0, 0.0, 0.0]}
    embedding, embedding_within = o.embedding(prompt, lambda h: h[-1], 8)
    return [
        {"name": "a text is prefilled as its ids are", "file": "smollm2", "steps": ready(n_ctx=64) + [
            step("prefill", {"position": n}, text=text)] + after + [
            step("rewind", position=0), step("prefill", {"position": 1}, text="<|im_end|>", parse_special=True),
            step("rewind", position=0), step("prefill", {"position": len(o.encode("<|im_end|>"))}, text="<|im_end|>")]},
        {"name": "rows in place of embeddings are prefilled as their ids are", "file": "smollm2", "steps": ready(n_ctx=64) + [
            step("prefill", {"position": n - 2}, ids=prompt[:-2]), step("prefill", {"position": n - 1}, rows=rows(n - 2, n - 1)),
            step("prefill", {"position": n}, ids=prompt[-1:])] + after + [
            step("save"), step("rewind", position=n - 1), step("prefill", {"position": n}, ids=prompt[-1:])] + after + [
            step("session", {"position": 0}, n_ctx=64), step("restore", {"position": n})] + after + [
            step("prefill", fails=("invalid_argument", "width", ["576", "3"]), rows=wrong)]},
        {"name": "an embedding of a text", "file": "smollm2", "steps": ready(n_ctx=64) + [
            step("embed", {"embedding": embedding}, within=embedding_within, text=text, pooling="last")]},
    ]


def embed_rows(o):
    ids = o.encode("The capital of France is")
    rows = []
    for pooling, pool in (("mean", lambda h: h.mean(0)), ("first", lambda h: h[0]), ("last", lambda h: h[-1])):
        embedding, within = o.embedding(ids, pool, 8)
        rows.append({"name": f"an embedding, {pooling}", "file": "smollm2", "steps": ready(n_ctx=64) + [
            step("embed", {"embedding": embedding}, within=within, ids=ids, pooling=pooling),
            step("logits", {"logits": None})]})
    rows.append({"name": "an embedding of nothing, and of an id beyond the vocabulary", "file": "smollm2", "steps": ready(n_ctx=64) + [
        step("embed", fails=("invalid_argument", None, ["input"]), ids=[]),
        step("embed", fails=("invalid_argument", None, [str(len(o.tokens))]), ids=[1, len(o.tokens)])]})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    o = Oracle(parser.parse_args().model)
    rows = load_rows() + plan_rows(o) + tokenise_rows(o) + template_rows(o) + chat_rows(o) + complete_rows(o)
    rows += vocabulary_rows(o) + own_sampler_rows(o) + input_rows(o) + cancel_rows(o) + logits_rows(o) + snapshot_rows(o) + embed_rows(o) + operation_rows()
    names = [row["name"] for row in rows]
    assert len(set(names)) == len(names), "names must differ"
    lines = ",\n".join(
        json.dumps({k: v for k, v in row.items() if k != "steps"}, ensure_ascii=False)[:-1]
        + ', "steps": [\n  ' + ",\n  ".join(json.dumps(s, ensure_ascii=False) for s in row["steps"]) + "]}"
        for row in rows)
    files = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in FILES.items())
    (HERE / "scenarios.json").write_text('{"files": {\n' + files + '},\n"scenarios": [\n' + lines + "]}\n")
    print(f"{len(rows)} scenarios")


if __name__ == "__main__":
    main()
