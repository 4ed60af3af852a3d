"""A chat at a terminal, driven through a pty, and over a pipe: what is typed reaches the model, line editing, history, Ctrl-C
stops an answer and a second one leaves."""

import json
import os
import pty
import re
import select
import signal
import stat
import time
import unittest

from program import Gguf, PROGRAM, ProgramTest, STRING, TINY, run

# Answers go on to the end of the context, of which there is much.
TEMPLATE = "{% for m in messages %}{{ m['role'] }} {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}a {% endif %}"

# A new prompt, not one that is drawn again after a key.
PROMPT = r"\x1b\[\?2004h\r\x1b\[J> "

# Tells what reached it, and how many characters that is.
ECHO = "{{ raise_exception('heard ' ~ messages[-1]['content'] | length ~ ' <' ~ messages[-1]['content'] ~ '>') }}"

LOCALES = [{"LC_ALL": "C", "LANG": "C"}, {"LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"}, {"LC_ALL": "POSIX", "LANG": "POSIX"},
           {"LC_ALL": "xx_YY.UTF-8", "LANG": "xx_YY.UTF-8"}, {"LC_ALL": "", "LANG": ""}]
QUESTIONS = ["Le café coûte 5 €", "你好，请介绍一下北京", "Привет", "ok 🙂 then", "שלום עולם", "مرحبا بالعالم", "family 👨\u200d👩\u200d👧\u200d👦!",
             "e\u0301 n\u0303 decomposed", "हिन्दी में", "🇩🇪🇫🇷", "ÿ\u00a0þ"]

BROKEN = [b"a\xff\xc3b", b"\xe4\xbdc\xed\xa0\x80d", b"\xf0\x9f\x99 the \x80\xc0\xaf", b"cut \xe2\x82"]


class Terminal:
    def __init__(self, arguments, environment):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(environment)
            os.execv(PROGRAM, [PROGRAM, *map(str, arguments)])
        self.text = ""

    def read(self, seconds=0.1):
        """What there is; False when the program has left."""
        if select.select([self.fd], [], [], seconds)[0]:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                return False
            self.text += data.decode(errors="replace")
            return bool(data)
        return True

    def expect(self, pattern, seconds=30):
        """Waits for the pattern behind what was expected before; answers the text up to its end."""
        until = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.text)
            if found:
                seen, self.text = self.text[: found.end()], self.text[found.end() :]
                return seen
            if time.monotonic() > until or not self.read(0.05) and not re.search(pattern, self.text):
                raise AssertionError(f"expected {pattern!r}, found {self.text[:400]!r}")

    def type(self, keys):
        os.write(self.fd, keys if isinstance(keys, bytes) else keys.encode())

    def exit_code(self, seconds=60):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.read(0.02)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
        raise AssertionError(f"still running; said {self.text!r}")

    def close(self):
        os.close(self.fd)
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def endless_model():
    """Talks at random, to the end of its context: no token ends an answer."""
    model = Gguf(TINY).set("tokenizer.chat_template", STRING, TEMPLATE).set("llama.context_length", 4, 1 << 20)
    model.pairs["tokenizer.ggml.tokens"][1][1][0] = b"zz"
    model.pairs["tokenizer.ggml.token_type"][1][1][0] = 1
    return model.drop("tokenizer.ggml.eos_token_id").drop("tokenizer.ggml.bos_token_id").bytes()


class Chat(ProgramTest):
    def start(self, *options):
        model = self.file("model.gguf", endless_model())
        terminal = Terminal(["chat", model, "--temperature", "1", "--seed", "1", *options],
                            {"XDG_STATE_HOME": str(self.folder / "state"), "TERM": "xterm"})
        self.addCleanup(terminal.close)
        return terminal

    def test_questions_history_and_leaving(self):
        t = self.start("--max-tokens", "3")
        t.expect("Ctrl-C stops an answer")
        t.expect(PROMPT)
        t.type("the bed\n")
        t.expect("the bed")
        t.expect(PROMPT)
        t.type("\n")  # an empty line asks nothing
        t.expect(PROMPT)
        t.type("xc\x1b[D\x7fab\n")  # left, backspace: editing within the line
        t.expect(PROMPT)
        t.type("\x1b[A")  # up: the line as it was edited
        t.expect("abc")
        t.type("\x15/what\n")
        t.expect("/new")
        t.expect(PROMPT)
        t.type("/new\n")
        t.expect(PROMPT)
        t.type("\x04")  # Ctrl-D
        self.assertEqual(t.exit_code(), 0)
        history = self.folder / "state/elver/history"
        self.assertEqual(stat.S_IMODE(history.stat().st_mode) & 0o077, 0, "questions are private")

        again = self.start("--max-tokens", "3")
        again.expect(PROMPT)
        again.type("\x1b[A\x1b[A\x1b[A")  # /new, /what, abc
        again.expect("abc")
        again.type("\x15/quit\n")
        self.assertEqual(again.exit_code(), 0)

    def test_ctrl_c_stops_the_answer_and_a_second_one_leaves(self):
        t = self.start("--context", "100000")
        t.expect(PROMPT)
        t.type("the bed\n")
        t.expect("(?s)the bed\r\n.{40}")  # in the midst of an answer
        t.type("\x03")
        t.expect(r"\[stopped\]")
        t.expect(PROMPT)
        t.type("the cab\n")  # the conversation goes on
        t.expect("(?s)the cab\r\n.{40}")
        t.type("\x03")
        t.expect(r"\[stopped\]")
        t.expect(PROMPT)
        t.type("\x03")
        self.assertEqual(t.exit_code(), 0)

    def test_ctrl_c_at_the_prompt_gives_a_new_line_first(self):
        t = self.start("--max-tokens", "2")
        t.expect(PROMPT)
        t.type("half a quest")
        t.expect("quest")
        t.type("\x03")
        t.expect("Ctrl-C again leaves")
        t.expect(PROMPT)
        t.type("the\n")  # nothing of the abandoned line is left
        t.expect("> the\r\n|the\r\n")
        t.expect(PROMPT)
        t.type("\x03")
        t.expect("Ctrl-C again leaves")
        t.expect(PROMPT)
        t.type("\x03")
        self.assertEqual(t.exit_code(), 0)

    def test_a_full_context_says_what_to_do(self):
        t = self.start("--context", "24")
        t.expect(PROMPT)
        t.type("the bed\n")
        t.expect(r"\[the context is full\]")
        t.expect(PROMPT)
        t.type("the cab\n")
        t.expect("/new begins a new conversation")
        t.expect(PROMPT)
        t.type("/new\n")
        t.expect(PROMPT)
        t.type("the\n")
        t.expect(r"\[the context is full\]")

    def echo_model(self):
        return self.file("echo.gguf", Gguf(TINY).set("tokenizer.chat_template", STRING, ECHO).bytes())

    def echo(self, environment=None):
        """A chat at a terminal that tells what it heard."""
        terminal = Terminal(["chat", self.echo_model()],
                            {"XDG_STATE_HOME": str(self.folder / "state"), "TERM": "xterm", **(environment or {})})
        self.addCleanup(terminal.close)
        terminal.expect(PROMPT)
        return terminal

    def heard(self, terminal, keys, question):
        terminal.type(keys)
        terminal.expect(re.escape(f"heard {len(question)} <{question}>".replace("\n", "\r\n")))
        terminal.expect(PROMPT)

    def test_what_is_typed_reaches_the_model_in_every_locale(self):
        for locale in LOCALES:
            with self.subTest(locale):
                terminal = self.echo(locale)
                for question in QUESTIONS:
                    self.heard(terminal, question + "\r", question)

    def test_keys_move_by_characters(self):
        left, right, home, delete, back = "\x1b[D", "\x1b[C", "\x1b[H", "\x1b[3~", "\x7f"
        rows = [("cafe\u0301" + back, "caf"), ("👨\u200d👩\u200d👧b" + left + back, "b"), ("你好" + left + back, "好"), ("🇩🇪🇫🇷" + back, "🇩🇪"),
                ("שלום" + left + back, "שלם"), ("né" + left + left + delete, "é"), ("👍🏽x" + home + right + "y", "👍🏽yx"),
                ("一二三" + "\x01" + "\x06" + "\x0b", "一"), ("un deux trois" + "\x17", "un deux "), ("привет мир" + "\x1bb" + "\x0b", "привет "),
                ("не то\x15то", "то"), ("a\x17b\x19", "ba"), ("é" * 200 + home + "x", "x" + "é" * 200), ("a\x1b[1;5Db", "ba"), ("x\x1b[15~\x1bOHy", "yx")]
        terminal = self.echo({"LC_ALL": "C"})
        for keys, question in rows:
            with self.subTest(keys):
                self.heard(terminal, keys + "\r", question)

    def test_typed_bytes_that_are_no_text(self):
        terminal = self.echo({"LC_ALL": "C"})
        for text in BROKEN:
            self.heard(terminal, text + b"\r", text.decode(errors="replace"))

    def test_a_pasted_text_is_one_question(self):
        terminal = self.echo()
        self.heard(terminal, "\x1b[200~def f():\r\tpass\r\n€\x1b[201~\r", "def f():\n\tpass\n€")
        self.heard(terminal, "\x1b[A\r", "def f():\n\tpass\n€")

    def test_history_is_text_and_comes_back(self):
        terminal = self.echo()
        for question in QUESTIONS[:3]:
            self.heard(terminal, question + "\r", question)
        lines = (self.folder / "state/elver/history").read_text("utf-8").splitlines()
        self.assertEqual(lines[1:], [f'"{question}"' for question in QUESTIONS[:3]])
        again = self.echo({"LC_ALL": "C"})
        self.heard(again, "\x1b[A\x1b[A\x1b[A\r", QUESTIONS[0])

    def test_what_is_piped_reaches_the_model(self):
        rows = [("\n".join(QUESTIONS) + "\n", QUESTIONS), ("é\r\n€\r\n", ["é", "€"]), ("one\n\n  \ntwo", ["one", "two"]), ("\ufeffü\n", ["ü"]),
                (b"\n".join(BROKEN), [text.decode(errors="replace") for text in BROKEN]), ("x" * (1 << 20) + "é\nshort\n", ["x" * (1 << 20) + "é", "short"])]
        model = self.echo_model()
        for locale in LOCALES:
            for text, questions in rows:
                done = run("chat", model, stdin=text if isinstance(text, bytes) else text.encode(),
                           environment={**locale, "XDG_STATE_HOME": str(self.folder)})
                self.assertEqual((done.returncode, done.stdout), (1, b""))
                self.assertEqual(done.stderr.decode(), "".join(f"elver: heard {len(q)} <{q}>\n" for q in questions), locale)
        self.assertIn("你好", (self.folder / "elver/history").read_text("utf-8"))

    def test_a_piped_nul_is_a_character(self):
        done = run("chat", self.echo_model(), stdin=b"a\0b\n", environment={"XDG_STATE_HOME": str(self.folder)})
        self.assertIn(b"heard 3 ", done.stderr)

    def test_a_pipe_in_place_of_a_terminal(self):
        model = self.file("model.gguf", Gguf(TINY).set("tokenizer.chat_template", STRING, TEMPLATE).bytes())
        options = ["chat", model, "--max-tokens", "3", "--temperature", "0"]
        environment = {"XDG_STATE_HOME": str(self.folder)}
        once = self.good(*options, "the bed")
        self.assertTrue(once.strip())
        self.assertEqual(self.good(*options, stdin=b"the bed\n", environment=environment), once)
        self.assertEqual(self.good(*options, stdin=b"the bed\n/new\nthe bed", environment=environment), once * 2)
        out = [json.loads(line) for line in self.good(*options, "--json", stdin=b"the bed\n", environment=environment).splitlines()]
        self.assertEqual([a["text"] + "\n" for a in out], [once])

    def test_a_question_must_hold_something(self):
        for question in ("", "  "):
            self.bad(1, ["question"], "chat", self.echo_model(), question, stdin=b"")
        self.bad(2, ['"there"', "quotes"], "chat", self.echo_model(), "hello", "there")


if __name__ == "__main__":
    unittest.main()
