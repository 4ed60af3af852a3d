#!/usr/bin/env python3
"""window_test.py WINDOW MODEL PICTURE: the desktop window as its user has it, on a virtual display (Xvfb).

Types questions and presses the button with xdotool. Looks at the screen (Xvfb's frame buffer, an XWD file) for the ink of
the answer growing while it streams, the red Stop button, and ink that stays once stopped; takes the conversation's text out
through the clipboard (xclip). The last screen is left in PICTURE (PPM).
"""

import os
import re
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WIDTH, HEIGHT = 480, 360  # of the window
BUTTON = (430, 335)
SHOWN = (15, 15, 450, 300)  # the conversation: left, top, right, bottom


def wait_for(what, condition, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.01)
    raise SystemExit(f"window_test: waited {seconds} s for {what}")


class Screen:
    def __init__(self, folder):
        self.file = folder / "Xvfb_screen0"
        read, write = os.pipe()
        self.xvfb = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", "640x480x24", "-fbdir", str(folder), "-nolisten", "tcp"],
            pass_fds=[write], stderr=subprocess.DEVNULL)
        os.close(write)
        self.environment = dict(os.environ, DISPLAY=":" + os.read(read, 16).decode().strip())

    def pixels(self):
        """Rows of (blue, green, red, unused) bytes. The XWD header: its size is word 0, lines' bytes word 12, colours 19."""
        data = self.file.read_bytes()
        words = struct.unpack(">25I", data[:100])
        start, stride = words[0] + 12 * words[19], words[12]
        return [data[start + y * stride : start + (y + 1) * stride] for y in range(words[5])]

    def ink(self):
        left, top, right, bottom = SHOWN
        rows = self.pixels()
        return sum(rows[y][4 * x + 1] < 128 for y in range(top, bottom) for x in range(left, right))

    def button_is_red(self):
        x, y = BUTTON
        row = self.pixels()[y - 10]
        blue, green, red, _ = row[4 * x : 4 * x + 4]
        return red > 150 and green < 80 and blue < 80

    def save(self, path):
        rows = (row[: 4 * WIDTH] for row in self.pixels()[:HEIGHT])
        rgb = b"".join(bytes(row[4 * x + c] for x in range(WIDTH) for c in (2, 1, 0)) for row in rows)
        path.write_bytes(b"P6 %d %d 255\n" % (WIDTH, HEIGHT) + rgb)

    def do(self, *command):
        return subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True, timeout=30).stdout

    def click(self, x, y):
        self.do("xdotool", "mousemove", str(x), str(y), "click", "1")

    def ask(self, question):
        self.click(150, 335)
        self.do("xdotool", "type", "--delay", "5", question)
        self.do("xdotool", "key", "Return")

    def text(self):
        self.click(200, 290)
        self.do("xdotool", "key", "ctrl+a", "ctrl+c")
        return self.do("xclip", "-o", "-selection", "clipboard")


def expect(condition, what):
    if not condition:
        raise SystemExit(f"window_test: expected {what}")


def drive(screen, window, picture):
    screen.do("xdotool", "search", "--sync", "--name", "^elver$", "windowmove", "0", "0")
    wait_for("the window in its corner", lambda: screen.pixels()[1][:3] != b"\0\0\0")
    empty = screen.ink()
    expect(not screen.button_is_red(), "a button that is not red before a question")

    screen.ask("What is 2+2?")
    wait_for("the end of the answer", lambda: screen.ink() > empty and not screen.button_is_red() and "4." in screen.text())
    expect("> What is 2+2?\nThe answer to this classic math problem is 4.\n" in screen.text(), "the answer's text")

    screen.ask("Tell me a very long story about a dragon.")
    wait_for("the red button", screen.button_is_red)
    seen = set()
    wait_for("an answer that grows on the screen", lambda: seen.add(screen.ink()) or len(seen) > 5)
    screen.click(*BUTTON)
    wait_for("the button to be Ask again", lambda: not screen.button_is_red(), 2)
    expect(screen.text().endswith(" [stopped]\n"), "an answer marked as stopped")
    still = screen.ink()
    time.sleep(0.5)
    expect(screen.ink() == still, "a stopped answer that grows no more")

    screen.ask("What is 2+2?")
    wait_for("an answer after a stop", lambda: re.search(r"> What is 2\+2\?\n[^>]*\n$", screen.text()))
    screen.save(picture)
    expect(window.poll() is None, "a window that still runs")


def main():
    program, model, picture = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        screen = Screen(Path(folder))
        window = subprocess.Popen([program, model], env=screen.environment)
        try:
            drive(screen, window, Path(picture))
        except BaseException:
            screen.save(Path(picture))
            raise
        finally:
            window.terminate()
            window.wait(10)
            screen.xvfb.terminate()
            screen.xvfb.wait(10)
    print(f"the screen is in {picture}")


if __name__ == "__main__":
    main()
