"""A chat at a terminal: line editing, history, Ctrl-C stops an answer and a second one leaves. Driven through a pty."""

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
        os.write(self.fd, keys.encode())

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
        t.expect("> ")
        t.type("the bed\n")
        t.expect("the bed")
        t.expect("> ")
        t.type("\n")  # an empty line asks nothing
        t.expect("> ")
        t.type("xc\x1b[D\x7fab\n")  # left, backspace: editing within the line
        t.expect("> ")
        t.type("\x1b[A")  # up: the line as it was edited
        t.expect("abc")
        t.type("\x15/what\n")
        t.expect("/new")
        t.expect("> ")
        t.type("/new\n")
        t.expect("> ")
        t.type("\x04")  # Ctrl-D
        self.assertEqual(t.exit_code(), 0)
        history = self.folder / "state/elver/history"
        self.assertEqual(stat.S_IMODE(history.stat().st_mode) & 0o077, 0, "questions are private")

        again = self.start("--max-tokens", "3")
        again.expect("> ")
        again.type("\x1b[A\x1b[A\x1b[A")  # /new, /what, abc
        again.expect("abc")
        again.type("\x15/quit\n")
        self.assertEqual(again.exit_code(), 0)

    def test_ctrl_c_stops_the_answer_and_a_second_one_leaves(self):
        t = self.start("--context", "100000")
        t.expect("> ")
        t.type("the bed\n")
        t.expect("(?s)the bed\r\n.{40}")  # in the midst of an answer
        t.type("\x03")
        t.expect(r"\[stopped\]")
        t.expect("> ")
        t.type("the cab\n")  # the conversation goes on
        t.expect("(?s)the cab\r\n.{40}")
        t.type("\x03")
        t.expect(r"\[stopped\]")
        t.expect("> ")
        t.type("\x03")
        self.assertEqual(t.exit_code(), 0)

    def test_ctrl_c_at_the_prompt_gives_a_new_line_first(self):
        t = self.start("--max-tokens", "2")
        t.expect("> ")
        t.type("half a quest")
        t.expect("quest")
        t.type("\x03")
        t.expect("Ctrl-C again leaves")
        t.expect("> ")
        t.type("the\n")  # nothing of the abandoned line is left
        t.expect("> the\r\n|the\r\n")
        t.expect("> ")
        t.type("\x03")
        t.expect("Ctrl-C again leaves")
        t.expect("> ")
        t.type("\x03")
        self.assertEqual(t.exit_code(), 0)

    def test_a_full_context_says_what_to_do(self):
        t = self.start("--context", "24")
        t.expect("> ")
        t.type("the bed\n")
        t.expect(r"\[the context is full\]")
        t.expect("> ")
        t.type("the cab\n")
        t.expect("/new begins a new conversation")
        t.expect("> ")
        t.type("/new\n")
        t.expect("> ")
        t.type("the\n")
        t.expect(r"\[the context is full\]")

    def test_a_pipe_in_place_of_a_terminal(self):
        model = self.file("model.gguf", Gguf(TINY).set("tokenizer.chat_template", STRING, TEMPLATE).bytes())
        options = ["chat", model, "--max-tokens", "3", "--temperature", "0"]
        environment = {"XDG_STATE_HOME": str(self.folder)}
        self.assertTrue(self.good(*options, "the bed").strip())
        self.good(*options, stdin=b"the bed\n", environment=environment)
        done = run(*options, stdin=b"the \xff\xfe bed\nthe\n", environment=environment)  # no UTF-8: still an answer
        self.assertEqual((done.returncode, done.stderr.count(b"elver:")), (0, 0), done.stderr)


if __name__ == "__main__":
    unittest.main()
