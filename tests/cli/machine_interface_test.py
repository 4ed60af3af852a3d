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
        self.assertEqual(list(out), ["text", "ids", "finish_reason", "seed", "timings"])
        self.assertEqual(set(out["timings"]), {"prompt_tokens", "cached_tokens", "prompt_ms", "generated_tokens",
                                               "drafted_tokens", "accepted_tokens", "generate_ms"})
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

    def test_what_is_no_finite_number_is_refused(self):
        for option in ("--temperature", "--top-p", "--min-p", "--repetition-penalty", "--presence-penalty", "--frequency-penalty"):
            for value in ("nan", "-nan", "NaN", "inf", "-inf", "1e999", "nan(1)", " ", "0x"):
                self.bad(2, [option, f'"{value}"'], "complete", TINY, "--prompt", "a", f"{option}={value}")
            self.bad(2, [option, "expected a value"], "complete", TINY, "--prompt", "a", option)
        self.good("complete", TINY, "--prompt", "the", "--max-tokens", 2, "--temperature", "1e-50")

    def test_numbers_that_stand_for_everything(self):
        model = self.file("m.gguf", Gguf(TINY).set("llama.context_length", 4, 20).bytes())
        plain = self.complete("--prompt", "the bed", "--ignore-eos")
        of = lambda *options: json.loads(self.good("complete", model, "--json", "--ignore-eos", "--prompt", "the bed", *options))
        self.assertEqual(of("--max-tokens", -1)["ids"], of()["ids"])
        self.assertEqual(of("--max-tokens", -1)["finish_reason"], "length")
        self.assertEqual(of("--context", 0, "--batch", 0, "--threads", 0)["ids"], plain["ids"][: len(of()["ids"])])
        drawn = of("--temperature", 1, "--seed", 5)["ids"]
        for k in (0, -1):
            self.assertEqual(of("--temperature", 1, "--seed", 5, "--top-k", k)["ids"], drawn)

    def test_no_seed_is_another_each_time_and_told(self):
        of = lambda *options: json.loads(self.good(
            "complete", TINY, "--prompt", "the", "--max-tokens", 30, "--temperature", 1, "--ignore-eos", "--json", *options))
        first, second = of(), of("--seed", -1)
        self.assertNotEqual(first["seed"], second["seed"])
        self.assertNotEqual(first["ids"], second["ids"])
        self.assertEqual(of("--seed", first["seed"])["ids"], first["ids"])
        self.assertEqual(of("--seed", 7)["seed"], 7)
        self.assertEqual(of("--seed", 2**64 - 1)["seed"], 2**64 - 1)

    def test_control_tokens_in_a_prompt_are_text_unless_asked(self):
        prompt = "a<|endoftext|>b"
        text = self.file("t.txt", prompt)
        for options in ((), ("--special",)):
            ids = json.loads(self.good("tokenize", TINY, "--text-file", text, "--json", *options))["ids"]
            of = self.complete("--prompt", prompt, "--max-tokens", 8, "--ignore-eos", *options)
            self.assertEqual(of["timings"]["prompt_tokens"], len(ids))
            self.assertEqual(of["ids"], self.complete("--tokens", str(ids), "--max-tokens", 8, "--ignore-eos")["ids"])

    def test_standard_input_in_place_of_a_file(self):
        expected = self.complete("--prompt", "the bed", "--max-tokens", 4)["ids"]
        of = lambda *options, stdin: json.loads(self.good("complete", TINY, "--json", "--max-tokens", 4, *options, stdin=stdin))["ids"]
        self.assertEqual(of("--prompt-file", "-", stdin=b"the bed"), expected)
        listed = self.good("tokenize", TINY, "--text-file", "-", "--json", stdin=b"the bed")
        ids = json.loads(listed)["ids"]
        for text in (json.dumps(ids), ",".join(map(str, ids)), " ,\n".join(map(str, ids)), "\n".join(map(str, ids)) + "\n"):
            self.assertEqual(of("--tokens-file", "-", stdin=text.encode()), expected)
        self.assertEqual(json.loads(self.good("tokenize", TINY, "--jsonl", "-", stdin=b'"the bed"\n')), ids)
        self.assertEqual(json.loads(self.good("detokenize", TINY, "--jsonl", "-", stdin=f"{ids}\n".encode())), "the bed")
        template = self.file("t.jinja", "{{ x }}")
        self.assertEqual(json.loads(self.good("template", "--template-file", template, "--jsonl", "-", stdin=b'{"x": "\xc3\xa9"}'))["text"], "é")
        lines = self.file("v.jsonl", '{"x": 1}')
        self.assertEqual(json.loads(self.good("template", "--template-file", "-", "--jsonl", lines, stdin=b"{{ x }}"))["text"], "1")
        self.good("embed", TINY, "--text-file", "-", "--output", self.folder / "e.npy", stdin=b"the bed")

    def test_stop_takes_one_text(self):
        text = self.complete("--prompt", "the bed", "--max-tokens", 12, "--ignore-eos")["text"]
        out = json.loads(self.good("complete", "--prompt", "the bed", "--max-tokens", 12, "--ignore-eos", "--json", "--stop", text[3:5], TINY))
        self.assertEqual(out["text"], text[: text.index(text[3:5])])

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
        for options in (["complete", TINY, "--prompt-file", self.folder], ["tokenize", TINY, "--text-file", self.folder],
                        ["complete", TINY, "--tokens-file", self.folder]):
            self.bad(1, [self.folder, "is a directory"], *options)
        for ids in ("1,2,", "1,,2", ",", "1 2 x", "[1,2", "99999999999", "1.5", "+1"):
            self.bad(1, ["--tokens", "expected ids like 1,2,3"], "complete", TINY, f"--tokens={ids}")
        self.bad(1, ["no tokens"], "complete", TINY, "--tokens", "")
        self.bad(1, ["found -1"], "complete", TINY, "--tokens=-1")


class Others(ProgramTest):
    def test_info(self):
        self.assertEqual(json.loads(self.good("info", TINY))["general.architecture"], "llama")
        tensors = json.loads(self.good("info", TINY, "--tensors"))
        self.assertEqual(tensors[0], {"name": "token_embd.weight", "type": "F32", "shape": [61, 30], "bytes": 7320})
        self.assertIsInstance(json.loads(self.good("info", TINY, "--spec")), dict)
        self.assertGreater(len(self.good("info", TINY, "--program").splitlines()), 10)
        model = self.file("m.gguf", Gguf(TINY).set("tokenizer.chat_template", 8, TEMPLATE).bytes())
        self.assertEqual(self.good("info", model, "--template"), TEMPLATE + "\n")

    def test_sampling_defaults_are_the_users_then_the_files_then_the_model_cards(self):
        def sampling(**keys):
            gguf = Gguf(TINY)
            for key, value in keys.items():
                gguf.set("general." + key.replace("__", "."), {str: 8, float: 6, int: 5}[type(value)], value)
            out = json.loads(self.good("info", self.file("m.gguf", gguf.bytes()), "--sampling"))
            return out.pop("source"), {k: round(v, 6) for k, v in out.items()}

        self.assertEqual(sampling(), ("elver", {"temperature": 0.7}))
        smollm2 = {"temperature": 0.2, "top_p": 0.9}
        page, values = sampling(name="Smollm2 135M 8k Lc100K Mix1 Ep2", basename="smollm2")
        self.assertIn("SmolLM2", page)
        self.assertEqual(values, smollm2)
        self.assertEqual(sampling(name="SmolLM2-1.7B-Instruct")[1], smollm2)
        self.assertEqual(sampling(name="Llama 3.2 1B Instruct")[1], {"temperature": 0.6, "top_p": 0.9})
        self.assertEqual(sampling(name="LLaMA 30B")[0], "elver")
        self.assertEqual(sampling(name="SmolLM2", sampling__temp=0.25, sampling__top_k=7),
                         ("file", {"temperature": 0.25, "top_k": 7}))
        for name, architecture, values in (("Qwen2.5 0.5B Instruct", "qwen2", {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.1}),
                                           ("Qwen2.5 7B Instruct", "qwen2", {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.05})):
            qwen = Gguf(DATA / f"golden/archs/{architecture}.gguf").set("general.name", 8, name).bytes()
            out = json.loads(self.good("info", self.file("q.gguf", qwen), "--sampling"))
            self.assertIn("Qwen2.5", out.pop("source"))
            self.assertEqual(out, values)

    def test_sampling_defaults_reach_the_sampler(self):
        gguf = Gguf(TINY).set("tokenizer.chat_template", 8, TEMPLATE).set("general.sampling.top_k", 5, 1).set("general.sampling.temp", 6, 1.0)
        model = self.file("m.gguf", gguf.bytes())
        of = lambda *options: self.good("chat", model, "the bed", "--max-tokens", 20, *options)
        likeliest = of("--temperature", 0)
        self.assertEqual(of(), likeliest)
        self.assertNotEqual(of("--top-k", 0), likeliest)
        # complete draws nothing unless asked, and then as the model wants it
        of = lambda *options: self.good("complete", model, "--prompt", "the bed", "--max-tokens", 20, "--ignore-eos", *options)
        self.assertEqual(of("--temperature", 1), of())
        self.assertNotEqual(of("--temperature", 1, "--top-k", 0), of())

    def test_plan(self):
        sizes = {}
        for context in (16, 32):
            plan = json.loads(self.good("plan", TINY, "--context", context, "--json"))
            self.assertEqual(plan["total"], plan["weights"] + plan["kv_cache"] + plan["scratch"])
            self.assertEqual(plan["context"], context)
            sizes[context] = plan["kv_cache"]
        self.assertLessEqual(sizes[16], sizes[32])
        self.assertIn("total", self.good("plan", TINY))

    def test_plan_with_a_budget(self):
        plan = lambda *options: json.loads(self.good("plan", TINY, *options, "--json"))
        total, more = (plan("--context", n)["total"] for n in (32, 64))
        self.assertEqual(plan("--budget", more, "--sessions", 1)["context"], 64)
        self.assertLess(plan("--budget", more - 1)["context"], 64)
        self.assertEqual(plan("--budget", total, "--context", 32), {"context": 32, "sessions": 1, "total": total, "least": total})
        self.assertEqual(plan("--budget", total - 1, "--context", 32),
                         {"context": 0, "sessions": 0, "total": total, "least": total})
        self.assertEqual(plan("--budget", "1g", "--context", 32, "--sessions", 9)["sessions"], 9)
        self.assertIn("64 positions, 1 session:", self.good("plan", TINY, "--budget", "1G"))
        self.assertIn(f"at least {total} bytes", self.good("plan", TINY, "--budget", "1k", "--context", 32))

    def test_verbose(self):
        quiet = run("complete", TINY, "--tokens", "1", "--max-tokens", "1")
        self.assertEqual((quiet.returncode, quiet.stderr), (0, b""))
        told = run("complete", TINY, "--tokens", "1", "--max-tokens", "1", "--threads", 1, "--verbose")
        self.assertEqual((told.returncode, told.stdout), (0, quiet.stdout))
        lines = told.stderr.decode().splitlines()
        self.assertTrue(any(line.endswith("kernels, 1 threads") for line in lines), lines)
        self.assertTrue(all(line.startswith("elver: ") for line in lines), lines)

    def test_bench(self):
        out = json.loads(self.good("bench", TINY, "--prompt", 16, "--generate", 4, "--threads", 2, "--repeat", 3, "--json"))
        self.assertGreater(out["prefill"]["tokens_per_s"], 0)
        self.assertGreater(out["decode"]["tokens_per_s"], 0)
        self.assertGreater(out["machine"]["read_gb_per_s"], 0)
        self.assertGreater(out["decode"]["read_share"], 0)
        self.assertEqual((out["sampled"]["tokens"], out["sampled"]["temperature"]), (4, 1))
        self.assertGreater(out["sampled"]["tokens_per_s"], 0)
        self.assertIn("dot_tops", out["machine"])

    def test_usage_is_one_line_and_exit_code_2(self):
        self.bad(2, [], )
        self.bad(2, ["nonsense"], "nonsense")
        self.bad(2, ["model"], "logits", "--tokens", "1", "--output", "x")
        self.bad(2, ["--output"], "logits", TINY, "--tokens", "1")
        self.bad(2, ["--threads", "0 to 1024", '"-1"'], "logits", TINY, "--tokens", "1", "--output", "x", "--threads", "-1")
        self.bad(2, ["--cache-type"], "plan", TINY, "--cache-type", "f8")
        self.bad(2, ["--unknown"], "plan", TINY, "--unknown")
        self.bad(2, [], "complete", TINY, "--prompt", "a", "--tokens", "1")
        self.bad(2, [], "complete", TINY)
        self.bad(2, [], "tokenize", TINY)
        self.bad(2, [], "template", "--jsonl", "x")
        for option, value, bounds in (("--temperature", "-1", "0 to 100"), ("--temperature", "0,7", "0 to 100"), ("--top-p", "1.1", "0 to 1"),
                                      ("--min-p", "x", "0 to 1"), ("--repetition-penalty", "0.001", "0.01 to 100"), ("--top-k", "-2", "-1 to"),
                                      ("--top-k", "1.5", "-1 to"), ("--seed", "-2", "-1 to"), ("--seed", "18446744073709551616", "-1 to"),
                                      ("--max-tokens", "-2", "-1 to 2147483647"), ("--max-tokens", "99999999999", "-1 to 2147483647"),
                                      ("--context", "-1", "0 to")):
            self.bad(2, [option, bounds, f'"{value}"'], "complete", TINY, "--prompt", "a", option, value)
        self.bad(2, ["--prompt", "more than once"], "complete", TINY, "--prompt", "a", "--prompt", "b")
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
