"""What the program writes and reads by path: pipes, devices, links, kills, full disks, models in parts, numbers that overflow."""

import json
import os
import pathlib
import signal
import stat
import struct
import subprocess
import threading
import time
import unittest

import numpy

from program import PROGRAM, Gguf, ProgramTest, TINY, run

U16, I32, F32, F16 = 2, 5, 0, 1  # of values, of tensors

# Every command that writes a file, without its output.
WRITERS = [["embed", TINY, "--text", "ab", "--output"], ["logits", TINY, "--tokens", "1,2,3", "--output"],
           ["pack", TINY], ["quantize", "--type", "Q8_0", TINY]]


class Outputs(ProgramTest):
    def names(self):
        return sorted(p.name for p in self.folder.iterdir())

    def test_links_are_followed_and_stay(self):
        for command in WRITERS:
            plain, target, link, dangling = (self.folder / n for n in ("plain", "target", "link", "dangling"))
            self.good(*command, plain)
            target.write_text("old")
            target.chmod(0o604)
            link.symlink_to("target")
            dangling.symlink_to("late")
            self.good(*command, link)
            self.good(*command, dangling)
            self.assertTrue(link.is_symlink() and dangling.is_symlink())
            for path in (target, self.folder / "late"):
                self.assertEqual(path.read_bytes(), plain.read_bytes(), command)
            self.assertEqual(stat.S_IMODE(target.stat().st_mode), 0o604)
            self.assertEqual(self.names(), ["dangling", "late", "link", "plain", "target"])
            for path in self.folder.iterdir():
                path.unlink()

    def test_pipes_and_devices_are_written_through(self):
        plain, fifo = self.folder / "plain", self.folder / "fifo"
        os.mkfifo(fifo)
        for command in WRITERS:
            self.good(*command, plain)
            read = []
            reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()))
            reader.start()
            self.good(*command, fifo)
            reader.join()
            self.assertEqual(read[0], plain.read_bytes(), command)
            done = run(*command, "/dev/stdout")
            self.assertEqual((done.returncode, done.stdout), (0, plain.read_bytes()), done.stderr)
            self.good(*command, "/dev/null")
            self.bad(1, ["/dev/full: cannot write: No space left"], *command, "/dev/full")
            self.bad(1, [self.folder, "found a folder"], *command, self.folder)
        self.assertTrue(stat.S_ISFIFO(fifo.stat().st_mode) and stat.S_ISCHR(os.stat("/dev/null").st_mode))
        self.assertEqual(self.names(), ["fifo", "plain"])
        self.bad(1, [fifo, "no program reads from this pipe"], *WRITERS[0], fifo)

    def test_stdout_that_is_appended_to_keeps_what_it_holds(self):
        log = self.file("log", "before ")
        with open(log, "ab") as out:
            subprocess.run([PROGRAM, *map(str, WRITERS[0]), "/dev/stdout"], stdout=out, check=True)
        self.assertTrue(log.read_bytes().startswith(b"before \x93NUMPY"))

    def test_neighbours_stay(self):
        for command in WRITERS:
            neighbour = self.file("x.partial", "precious")
            self.good(*command, self.folder / "x")
            self.assertEqual(neighbour.read_text(), "precious")
            self.assertEqual(self.names(), ["x", "x.partial"])

    def test_two_writers(self):
        out, outputs = self.folder / "out.gguf", {}
        for kind in ("Q8_0", "F32"):
            self.good("quantize", TINY, out, "--type", kind)
            outputs[kind] = out.read_bytes()
        for _ in range(10):
            both = [subprocess.Popen([PROGRAM, "quantize", str(TINY), str(out), "--type", k]) for k in outputs]
            self.assertEqual([p.wait() for p in both], [0, 0])
            self.assertIn(out.read_bytes(), outputs.values())
        self.assertEqual(self.names(), ["out.gguf"])

    def test_onto_itself(self):
        same, other = self.file("same.gguf", TINY.read_bytes()), self.folder / "other.gguf"
        self.good("quantize", same, other, "--type", "Q8_0")
        self.good("quantize", same, same, "--type", "Q8_0")
        self.assertEqual(same.read_bytes(), other.read_bytes())

    def test_a_signal_leaves_the_old_file_or_the_whole_new_one(self):
        out, signals = self.folder / "out.gguf", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
        try:
            os.close(os.open(self.folder, os.O_TMPFILE | os.O_WRONLY))
            signals.append(signal.SIGKILL)
        except (AttributeError, OSError):
            pass  # a system or a file system without files that have no name
        self.good("synth", "mistral-7b:q4_0", out, "--layers", 1)
        whole, ended = out.stat().st_size, 0
        for i, number in enumerate(signals * 4):
            out.write_text("old")
            process = subprocess.Popen([PROGRAM, "synth", "mistral-7b:q4_0", str(out), "--layers", "1"], stderr=subprocess.PIPE,
                                       preexec_fn=lambda: signal.signal(number, signal.SIG_DFL) if number != signal.SIGKILL else None)
            time.sleep(0.02 + 0.03 * i % 0.25)
            process.send_signal(number)
            message = process.communicate(timeout=30)[1]
            # On a fast machine the program may have ended before the signal came.
            self.assertIn((process.returncode, message), ((-number, b""), (0, b"")))
            self.assertIn(out.stat().st_size, (whole,) if process.returncode == 0 else (3, whole))
            ended += process.returncode == -number
            self.assertEqual(self.names(), ["out.gguf"])
        self.assertGreater(ended, 0)

    def test_signals_that_were_ignored_stay_ignored(self):
        process = subprocess.Popen([PROGRAM, "synth", "phi-2:q4_0", str(self.folder / "out"), "--layers", "1"],
                                   preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        time.sleep(0.1)
        process.send_signal(signal.SIGHUP)
        self.assertEqual(process.wait(60), 0)

    def test_standard_output_that_is_full(self):
        text, lines = self.file("t.txt", "ab " * 9000), self.file("t.jsonl", '"ab"\n' * 9000)
        ids = self.file("i.jsonl", "[1, 2]\n" * 9000)
        commands = [["info", TINY, *flag] for flag in ([], ["--tensors"], ["--spec"], ["--program"])]
        commands += [["tokenize", TINY, "--text-file", text, *flag] for flag in ([], ["--json"])]
        commands += [["tokenize", TINY, "--jsonl", lines], ["detokenize", TINY, "--jsonl", ids], ["plan", TINY, "--json"],
                     ["complete", TINY, "--prompt", "ab", "--max-tokens", "2"], ["--help"], ["--version"]]
        for command in commands:
            with open("/dev/full", "wb") as full:
                done = subprocess.run([PROGRAM, *map(str, command)], stdout=full, stderr=subprocess.PIPE)
            self.assertEqual((done.returncode, done.stderr), (1, b"elver: standard output: cannot write\n"), command)


class Parts(ProgramTest):
    def parts(self, n, name="m"):
        """The tiny model as gguf-split writes it."""
        whole, out = Gguf(TINY), []
        step = -(-len(whole.tensors) // n)
        for i in range(n):
            part = Gguf()
            if i == 0:
                part.pairs = dict(whole.pairs)
            part.set("split.no", U16, i).set("split.count", U16, n).set("split.tensors.count", I32, len(whole.tensors))
            part.tensors = whole.tensors[i * step : (i + 1) * step]
            out.append(self.file(f"{name}-{i + 1:05}-of-{n:05}.gguf", part.bytes()))
        return out

    def test_any_part_is_the_model(self):
        parts = self.parts(3)
        text = self.file("t.txt", "ab")
        commands = [("complete", "--prompt", "ab", "--max-tokens", 5, "--ignore-eos"), ("info",), ("info", "--tensors"),
                    ("plan",), ("tokenize", "--text-file", text), ("logits", "--tokens", "1,2", "--output", "/dev/stdout")]
        for command in commands:
            expected = run(command[0], TINY, *command[1:])
            self.assertEqual(expected.returncode, 0)
            for part in parts:
                done = run(command[0], part, *command[1:])
                self.assertEqual((done.stdout, done.returncode), (expected.stdout, 0), done.stderr)
        for command in (["quantize", "--type", "F16"], ["pack"]):
            self.good(*command, TINY, self.folder / "whole.gguf")
            for part in parts:
                self.good(*command, part, self.folder / "joined.gguf")
                self.assertEqual((self.folder / "joined.gguf").read_bytes(), (self.folder / "whole.gguf").read_bytes())

    def test_what_is_missing_or_renamed_is_named(self):
        parts = self.parts(2)
        parts[1].rename(self.folder / "other.gguf")
        for command in (["complete", parts[0], "--prompt", "a"], ["quantize", "--type", "F16", parts[0], self.folder / "q"],
                        ["tokenize", parts[0], "--text-file", self.file("t.txt", "a")]):
            self.bad(1, ["part 2 of 2", parts[1], "No such file"], *command)
            self.bad(1, ["other.gguf", 'ends in "-00002-of-00002.gguf"'],
                     *(self.folder / "other.gguf" if a == parts[0] else a for a in command))

    def test_links_into_a_cache(self):
        parts = self.parts(2)
        (self.folder / "snapshot").mkdir()
        for i, part in enumerate(parts):
            part.rename(self.folder / f"blob{i}")
            (self.folder / "snapshot" / part.name).symlink_to(f"../blob{i}")
        for part in parts:
            self.good("complete", self.folder / "snapshot" / part.name, "--prompt", "ab", "--max-tokens", 1)


class Quantize(ProgramTest):
    def model(self, value):
        """The tiny model with one number of one matrix replaced."""
        gguf = Gguf(TINY)
        tensor = gguf.tensor("blk.0.ffn_up.weight")
        columns, rows = tensor[1]
        data = numpy.full(rows * columns, 0.5, numpy.float32)
        data[columns + 3] = value
        tensor[2], tensor[3] = F32, data.tobytes()
        return self.file("in.gguf", gguf.bytes())

    def test_no_infinity_is_written(self):
        out = self.folder / "out.gguf"
        for value, kind in ((1e30, "F16"), (-70000, "F16"), (1e30, "Q4_0"), (3.4e38, "BF16")):
            self.bad(1, ['tensor "blk.0.ffn_up.weight": row 1: ', f"{numpy.float32(value):g} is beyond the range of"],
                     "quantize", self.model(value), out, "--type", kind)
        for value in (numpy.nan, numpy.inf):
            self.bad(1, ['tensor "blk.0.ffn_up.weight": row 1: expected finite numbers'], "quantize", self.model(value), out,
                     "--type", "Q8_0")
        self.assertFalse(out.exists())
        for value, kind in ((1e30, "BF16"), (1e30, "F32"), (65504, "F16"), (1e-40, "F16")):
            self.good("quantize", self.model(value), out, "--type", kind)
            self.good("info", out)


if __name__ == "__main__":
    unittest.main()
