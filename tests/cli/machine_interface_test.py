"""The program's machine interface, as docs/program.md has it: every command, its options and the shape of its output."""

import json
import os
import subprocess
import unittest

import numpy

from program import DATA, Gguf, PROGRAM, ProgramTest, TINY, run

VOCABULARY = DATA / "golden/tokenizer/bpe.gguf"  # holds no tensors
TEMPLATE = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"


class Logits(ProgramTest):
    def logits(self, tokens, *options, **more):
        out = self.folder / "logits.npy"
        self.assertEqual(self.good("logits", TINY, "--tokens", tokens, "--output", out, *options, **more), "")
        self.assertEqual([p.name for p in self.folder.iterdir()], ["logits.npy"])
        return numpy.load(out)

    def test_shape_and_type(self):
        for n in (1, 2, 33, 64):
            array = self.logits(",".join(str(i % 61) for i in range(n)))
            self.assertEqual((array.dtype, array.shape), (numpy.float32, (n, 61)))
            self.assertTrue(numpy.isfinite(array).all())

    def test_they_are_the_reference(self):
        golden = json.loads((DATA / "golden/archs/llama.json").read_text())
        expected = numpy.fromfile(DATA / "golden/archs/llama.f32", numpy.float32).reshape(-1, 61)
        ids = golden["tokens"] if "tokens" in golden else golden["ids"]
        found = self.logits(",".join(map(str, ids)), environment={"ELVER_FORCE_ISA": "reference"})
        numpy.testing.assert_allclose(found, expected[: len(found)], rtol=0, atol=1e-3)

    def test_bits_do_not_depend_on_threads_and_batch(self):
        tokens = ",".join(str(i * 7 % 61) for i in range(40))
        expected = self.logits(tokens)
        for options in (["--threads", 1], ["--threads", 3], ["--batch", 1], ["--batch", 7], ["--batch", 512, "--threads", 2]):
            self.assertEqual(self.logits(tokens, *options).tobytes(), expected.tobytes(), options)

    def test_errors(self):
        out = self.folder / "x.npy"
        self.bad(1, ["token 1", "0 to 60", "found 61"], "logits", TINY, "--tokens", "1,61", "--output", out)
        self.bad(1, ["--tokens", '"x"'], "logits", TINY, "--tokens", "1,x", "--output", out)
        self.bad(1, ["--tokens", '"99999999999"'], "logits", TINY, "--tokens", "99999999999", "--output", out)
        self.bad(1, ["--tokens"], "logits", TINY, "--tokens", "1,,2", "--output", out)
        self.bad(1, ["/no/such/folder/x.npy"], "logits", TINY, "--tokens", "1", "--output", "/no/such/folder/x.npy")
        self.bad(1, ["there is no room for 65"], "logits", TINY, "--tokens", ",".join("1" * 65), "--output", out, "--context", 64)
        self.assertEqual(list(self.folder.iterdir()), [])


class Tokens(ProgramTest):
    def test_text_file(self):
        text = self.file("t.txt", "Hello, world! ÄÖ 你好 🎉\n\n  end")
        ids = json.loads(self.good("tokenize", VOCABULARY, "--text-file", text, "--json"))["ids"]
        self.assertTrue(ids and all(isinstance(i, int) for i in ids))
        lines = self.good("tokenize", VOCABULARY, "--text-file", text).splitlines()
        self.assertEqual([int(line.split("\t")[0]) for line in lines], ids)

    def test_lines_there_and_back(self):
        for vocabulary in sorted((DATA / "golden/tokenizer").glob("*.gguf")):
            texts = ["", "the cat", "  two  spaces", "line\nbreak\ttab", "quote \" \\ back", "é ü 你好"]
            lines = self.file("texts.jsonl", "".join(json.dumps(t) + "\n" for t in texts))
            ids = [json.loads(line) for line in self.good("tokenize", vocabulary, "--jsonl", lines).splitlines()]
            self.assertEqual(len(ids), len(texts), vocabulary)
            back = self.file("ids.jsonl", "".join(json.dumps(i) + "\n" for i in ids))
            found = [json.loads(line) for line in self.good("detokenize", vocabulary, "--jsonl", back).splitlines()]
            self.assertEqual(len(found), len(texts))
            if vocabulary.stem in ("bpe", "rwkv"):  # those that keep every byte
                self.assertEqual(found, texts, vocabulary)

    def test_special(self):
        text = self.file("t.txt", "a<|endoftext|>b")
        of = lambda *options: json.loads(self.good("tokenize", TINY, "--text-file", text, "--json", *options))["ids"]
        plain, special = of(), of("--special")
        self.assertLess(len(special), len(plain))
        self.assertIn(0, special)
        ids = self.file("ids.jsonl", json.dumps(special))
        self.assertEqual(json.loads(self.good("detokenize", TINY, "--jsonl", ids)), "ab")
        self.assertEqual(json.loads(self.good("detokenize", TINY, "--jsonl", ids, "--special")), "a<|endoftext|>b")

    def test_invalid_utf8_in_a_text_file_is_read_as_replacement(self):
        text = self.file("t.txt", b"a\xff\xfeb")
        self.assertTrue(json.loads(self.good("tokenize", VOCABULARY, "--text-file", text, "--json"))["ids"])

    def test_errors_name_file_and_line(self):
        for content, names in {"1\n": ["line 1", "a JSON string"], '"a"\nx\n': ["line 2", "not valid JSON"], '"a"\n\n': ["line 2"],
                               b'"\xff"\n': ["line 1"]}.items():
            path = self.file("x.jsonl", content)
            done = run("tokenize", VOCABULARY, "--jsonl", path)
            self.assertEqual(done.returncode, 1)
            for name in [path, *names]:
                self.assertIn(str(name), done.stderr.decode())
        for content, names in {"[1,-1]": ["found -1"], "[18446744073709551615]": ["found 18446744073709551615"],
                               "[4294967296]": ["found 4294967296"], '["a"]': ['found "a"'], "[1.5]": ["1.5"], "7": ["found 7"],
                               "[1e3]": ["found 1000"], "{}": ["found {}"], "[61]": ["0 to 60", "found 61"]}.items():
            self.bad(1, names, "detokenize", TINY, "--jsonl", self.file("x.jsonl", content + "\n"))
        self.bad(1, ["/no/such.txt"], "tokenize", TINY, "--text-file", "/no/such.txt", "--json")


class Template(ProgramTest):
    def test_lines(self):
        template = self.file("t.jinja", TEMPLATE + "{% if add_generation_prompt %}{{ bos_token }}[assistant]{% endif %}{{ extra }}")
        rows = [{"messages": [{"role": "user", "content": "hi \"you\""}], "add_generation_prompt": True, "bos_token": "<s>", "extra": 1},
                {"messages": [], "extra": "é"}, {"messages": 7}]
        lines = self.file("v.jsonl", "".join(json.dumps(r) + "\n" for r in rows) + "not json\n")
        out = [json.loads(line) for line in self.good("template", "--template-file", template, "--jsonl", lines).splitlines()]
        self.assertEqual(out[0], {"text": "[user] hi \"you\"\n<s>[assistant]1"})
        self.assertEqual(out[1], {"text": "é"})
        self.assertEqual(list(out[2]), ["error"])
        self.assertEqual(list(out[3]), ["error"])
        self.assertIn("JSON", out[3]["error"])

    def test_of_a_vocabulary_and_the_time(self):
        source = TEMPLATE + "{{ bos_token }}{{ strftime_now('%Y-%m-%d') }}"
        vocabulary = self.file("v.gguf", Gguf(VOCABULARY).set("tokenizer.chat_template", 8, source).bytes())
        lines = self.file("v.jsonl", json.dumps({"messages": [{"role": "user", "content": "x"}], "now": "2024-02-29T12:00:00"}) + "\n")
        out = json.loads(self.good("template", "--model", vocabulary, "--jsonl", lines))
        self.assertTrue(out["text"].startswith("[user] x\n"), out)
        self.assertTrue(out["text"].endswith("2024-02-29"), out)


class Complete(ProgramTest):
    def complete(self, *options):
        out = json.loads(self.good("complete", TINY, "--json", "--temperature", 0, *options))
        self.assertEqual(list(out), ["text", "ids", "finish_reason", "timings"])
        self.assertEqual(set(out["timings"]), {"prompt_tokens", "prompt_ms", "generated_tokens", "generate_ms"})
        return out

    def test_three_kinds_of_prompt(self):
        by_text = self.complete("--prompt", "the bed", "--max-tokens", 8, "--ignore-eos")
        self.assertEqual(len(by_text["ids"]), 8)
        self.assertEqual(by_text["finish_reason"], "length")
        self.assertEqual(by_text["timings"]["generated_tokens"], 8)
        path = self.file("p.txt", "the bed")
        self.assertEqual(self.complete("--prompt-file", path, "--max-tokens", 8, "--ignore-eos")["ids"], by_text["ids"])
        tokens = json.loads(self.good("tokenize", TINY, "--text-file", path, "--json"))["ids"]
        by_ids = self.complete("--tokens", ",".join(map(str, tokens)), "--max-tokens", 8, "--ignore-eos")
        self.assertEqual((by_ids["ids"], by_ids["text"]), (by_text["ids"], by_text["text"]))
        plain = self.good("complete", TINY, "--prompt", "the bed", "--max-tokens", 8, "--temperature", 0, "--ignore-eos")
        self.assertEqual(plain, by_text["text"] + "\n")

    def test_no_tokens_and_seeds(self):
        self.assertEqual(self.complete("--prompt", "the", "--max-tokens", 0)["ids"], [])
        once = lambda seed: self.good("complete", TINY, "--prompt", "the", "--max-tokens", 20, "--temperature", 1, "--seed", seed, "--ignore-eos")
        self.assertEqual(once(1), once(1))
        self.assertNotEqual(once(1), once(2))

    def test_sampling_options_reach_the_sampler(self):
        answer = lambda *options: json.loads(self.good(
            "complete", TINY, "--prompt", "the bed", "--max-tokens", 12, "--ignore-eos", "--json", *options))
        likeliest = answer()
        for only_one in (["--top-k", 1], ["--min-p", 1], ["--top-p", 0]):
            self.assertEqual(answer("--temperature", 1, "--seed", 3, *only_one)["ids"], likeliest["ids"], only_one)
        for penalty in ("--repetition-penalty", "--presence-penalty", "--frequency-penalty"):
            ids = answer(penalty, 100)["ids"]
            self.assertEqual(len(set(ids)), len(ids), penalty)
        text = likeliest["text"]
        stopped = answer("--stop", "not there", "--stop", text[3:5])
        self.assertEqual((stopped["text"], stopped["finish_reason"]), (text[:text.index(text[3:5])], "stop"))

    def test_errors(self):
        self.bad(1, ["65 tokens", "64 positions"], "complete", TINY, "--tokens", ",".join("1" * 65), "--max-tokens", 1)
        self.bad(1, ["found 61"], "complete", TINY, "--tokens", "61", "--max-tokens", 1)
        self.bad(1, ["no tokens"], "complete", TINY, "--prompt", "", "--max-tokens", 1)
        self.bad(1, ["/no/such.txt"], "complete", TINY, "--prompt-file", "/no/such.txt", "--max-tokens", 1)


class Others(ProgramTest):
    def test_info(self):
        self.assertEqual(json.loads(self.good("info", TINY))["general.architecture"], "llama")
        tensors = json.loads(self.good("info", TINY, "--tensors"))
        self.assertEqual(tensors[0], {"name": "token_embd.weight", "type": "F32", "shape": [61, 30], "bytes": 7320})
        self.assertIsInstance(json.loads(self.good("info", TINY, "--spec")), dict)
        self.assertGreater(len(self.good("info", TINY, "--program").splitlines()), 10)
        model = self.file("m.gguf", Gguf(TINY).set("tokenizer.chat_template", 8, TEMPLATE).bytes())
        self.assertEqual(self.good("info", model, "--template"), TEMPLATE + "\n")

    def test_plan(self):
        sizes = {}
        for context in (16, 32):
            plan = json.loads(self.good("plan", TINY, "--context", context, "--json"))
            self.assertEqual(plan["total"], plan["weights"] + plan["kv_cache"] + plan["scratch"])
            self.assertEqual(plan["context"], context)
            sizes[context] = plan["kv_cache"]
        self.assertLessEqual(sizes[16], sizes[32])
        self.assertIn("total", self.good("plan", TINY))

    def test_bench(self):
        out = json.loads(self.good("bench", TINY, "--prompt", 16, "--generate", 4, "--threads", 2, "--repeat", 3, "--json"))
        self.assertGreater(out["prefill"]["tokens_per_s"], 0)
        self.assertGreater(out["decode"]["tokens_per_s"], 0)
        self.assertGreater(out["machine"]["read_gb_per_s"], 0)
        self.assertGreater(out["decode"]["read_share"], 0)
        self.assertIn("dot_tops", out["machine"])

    def test_usage_is_one_line_and_exit_code_2(self):
        self.bad(2, [], )
        self.bad(2, ["nonsense"], "nonsense")
        self.bad(2, ["model"], "logits", "--tokens", "1", "--output", "x")
        self.bad(2, ["--output"], "logits", TINY, "--tokens", "1")
        self.bad(2, ["--threads"], "logits", TINY, "--tokens", "1", "--output", "x", "--threads", "0")
        self.bad(2, ["--cache-type"], "plan", TINY, "--cache-type", "f8")
        self.bad(2, ["--unknown"], "plan", TINY, "--unknown")
        self.bad(2, [], "complete", TINY, "--prompt", "a", "--tokens", "1")
        self.bad(2, [], "complete", TINY)
        self.bad(2, [], "tokenize", TINY)
        self.bad(2, [], "template", "--jsonl", "x")
        for option, value in (("--temperature", "-1"), ("--top-p", "1.1"), ("--min-p", "x"), ("--top-k", "0"), ("--top-k", "1.5"), ("--seed", "-1")):
            self.bad(2, [option], "complete", TINY, "--prompt", "a", option, value)
        self.assertIn("elver", self.good("--help"))
        self.assertRegex(self.good("--version"), r"^\d+\.\d+\.\d+\n$")

    def test_a_full_disk_is_an_error(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full here")
        with open("/dev/full", "wb") as full:
            done = subprocess.run([PROGRAM, "info", str(TINY)], stdout=full, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 1)
        self.assertIn("standard output", done.stderr.decode())

    def test_an_instruction_set_that_is_not_here(self):
        self.bad(1, ["nonesuch", "reference"], "plan", TINY, environment={"ELVER_FORCE_ISA": "nonesuch"})
        reference = json.loads(self.good("plan", TINY, "--json", environment={"ELVER_FORCE_ISA": "reference"}))
        self.assertGreater(reference["total"], 0)


if __name__ == "__main__":
    unittest.main()
