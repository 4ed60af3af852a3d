"""Random texts that tokenizers stumble over: every script, marks, white space of all kinds, digits, code, emoji, control
characters, contractions, look-alikes of special tokens, and the vocabulary's own pieces in the wrong order. All from a seed.

Characters come from this Python's Unicode tables. A reference whose tables are older or newer disagrees about some; it says
which it knows.
"""

import random
import unicodedata

SPACES = " \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u1680\u180e\u2000\u2003\u2009\u200a\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"
SCRIPTS = [  # first, last
    (0x21, 0x7E), (0xA1, 0xFF), (0x100, 0x24F), (0x250, 0x2FF), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x52F),
    (0x531, 0x58F), (0x591, 0x5F4), (0x600, 0x6FF), (0x700, 0x74F), (0x780, 0x7BF), (0x7C0, 0x7FF), (0x900, 0x97F),
    (0x980, 0x9FF), (0xA00, 0xA7F), (0xA80, 0xAFF), (0xB00, 0xB7F), (0xB80, 0xBFF), (0xC00, 0xC7F), (0xC80, 0xCFF),
    (0xD00, 0xD7F), (0xD80, 0xDFF), (0xE00, 0xE7F), (0xE80, 0xEFF), (0xF00, 0xFFF), (0x1000, 0x109F), (0x10A0, 0x10FF),
    (0x1100, 0x11FF), (0x1200, 0x137F), (0x13A0, 0x13FF), (0x1400, 0x167F), (0x1680, 0x169F), (0x1780, 0x17FF),
    (0x1800, 0x18AF), (0x1AB0, 0x1AFF), (0x1D00, 0x1DFF), (0x1E00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x209F),
    (0x20A0, 0x20FF), (0x2100, 0x218F), (0x2190, 0x23FF), (0x2460, 0x24FF), (0x2500, 0x27BF), (0x2800, 0x28FF),
    (0x2C00, 0x2DFF), (0x2E80, 0x2FFF), (0x3000, 0x303F), (0x3040, 0x30FF), (0x3100, 0x318F), (0x3200, 0x33FF),
    (0x3400, 0x3500), (0x4E00, 0x9FFF), (0xA000, 0xA0FF), (0xA500, 0xA6FF), (0xA720, 0xA7FF), (0xAB70, 0xABBF),
    (0xAC00, 0xD7A3), (0xD7B0, 0xD7FB), (0xE000, 0xE010), (0xF900, 0xFAFF), (0xFB00, 0xFDFF), (0xFE00, 0xFE6F),
    (0xFE70, 0xFEFF), (0xFF01, 0xFFEF), (0xFFF9, 0xFFFD), (0x10000, 0x100FF), (0x10280, 0x103FF), (0x10400, 0x104FF),
    (0x10A00, 0x10A60), (0x11000, 0x1107F), (0x12000, 0x120FF), (0x13000, 0x130FF), (0x16FE0, 0x16FF1),
    (0x17000, 0x170FF), (0x1B000, 0x1B0FF), (0x1D100, 0x1D1FF), (0x1D400, 0x1D7FF), (0x1E900, 0x1E95F),
    (0x1F000, 0x1F2FF), (0x1F300, 0x1F6FF), (0x1F900, 0x1F9FF), (0x20000, 0x20100), (0x2A700, 0x2A780),
    (0x2B820, 0x2B930), (0x2F800, 0x2FA1D), (0x30000, 0x30100), (0xE0020, 0xE007F),
]
EMOJI = [
    "👩‍💻", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇫🇷", "👍🏽", "☝🏿", "❤️", "1️⃣", "😀😀😀", "🫠", "🧑🏻‍🤝‍🧑🏿", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "©️", "✈", "🚀 (normal) 😶‍🌫️", "⏰",
]
CODE = [
    "int main(int argc, char **argv) {\n    return 0;\n}\n", "def f(x):\n\treturn x ** 2  # ok\n", "a[i]+=b[j]&0xFF;",
    '{"key": [1, 2.5e-3, null], "k2": "\\u00e9"}', "<div class='x'>&nbsp;</div>\r\n", "SELECT * FROM t WHERE a<>'b';",
    "std::vector<std::pair<int,float>> v{{1,2.f}};", "x = y if z else -1\n\n\n", "#include <stdio.h>", "a->b.c::d",
    "https://example.org/a?b=c&d=%20e#f", "C:\\Users\\x\\y.txt", "$ ls -la | grep '^d' && echo \"done\"", "/* … */ // x",
    "        if (a == b):\n            pass\n", "let mut s = String::from(\"ü\");", "\\begin{align} a &= b \\\\ \\end{align}",
    "```python\nprint('hi')\n```", "| a | b |\n|---|---|\n", "#!/bin/sh\n", "i'm 'quoted' don't", "HTTPServer2XMLParser",
]
WORDS = [
    "the", "Hello", "world", "WORLD", "I'm", "you're", "it's", "they'll", "We'VE", "DON'T", "o'clock", "'S", "'sam",
    "naïve", "Ångström", "STRASSE", "straße", "ﬁne", "ǅungla", "İstanbul", "ſ", "'ſ", "K", "Ω", "résumé",
    "re\u0301sume\u0301", "Việt Nam", "Zażółć", "ÀÉÎ", "привет", "Мир", "ΚΑΛΗΜΕΡΑ", "καλημέρα", "שָׁלוֹם", "مَرْحَبًا", "नमस्ते",
    "வணக்கம்", "สวัสดี", "ສະບາຍດີ", "မင်္ဂလာပါ", "ជំរាបសួរ", "你好", "世界", "こんにちは", "カタカナ", "ｶﾀｶﾅ", "안녕하세요", "각", "ㄅㄆㄇ",
    "𝒽𝑒𝓁𝓁𝑜", "ⓗⓔⓛⓛⓞ", "ｆｕｌｌ", "½", "²", "Ⅷ", "٣٤٥", "१२३", "๑๒๓", "〇", "々", "１２３", "௧௨", "㊀", "x₁²", "…", "—", "“quoted”",
    "‘single’", "«guillemets»", "¿qué?", "€5", "£3.50", "50%", "No.", "№5", "™", "\u200d", "\u200b", "\u00ad", "\ufffd",
    "supercalifragilisticexpialidocious", "aaaaaaaaaaaaaaaaaaaaaaaa", "ha" * 40, "=" * 30, "-" * 17, "!?!?", "...", "。。",
    "<0x41>", "<0x0A>", "▁", "▁▁", "▁the", "Ġthe", "Ċ", "##ing", "[UNK]", "[MASK]", "<mask>", "<unk>", "<s>", "</s>",
    "<|endoftext|>", "<|im_start|>", "<pad>", "[INST]", "<|", "|>", "\\n", "\\x41", "\x00", "\x01", "\x7f",
]
assert len(WORDS) > 90


def assigned(first, last):
    return [c for c in map(chr, range(first, last + 1)) if unicodedata.category(c) not in ("Cn", "Cs")]


class Strings:
    def __init__(self, seed, pieces=(), special=(), knows=lambda character: True):
        """pieces: texts of the vocabulary to draw from; special: special tokens to scatter in some strings; knows: whether
        the reference knows a character, others are left out."""
        self.random = random.Random(seed)
        self.scripts = [[c for c in assigned(*r) if knows(c)] for r in SCRIPTS]
        self.scripts = [s for s in self.scripts if s]
        self.pieces = [p for p in pieces if all(map(knows, p))]
        self.special = list(special)

    def script(self):
        letters = self.random.choice(self.scripts)
        return "".join(self.random.choice(letters) for _ in range(self.random.randint(1, 12)))

    def anything(self):
        return "".join(self.random.choice(self.random.choice(self.scripts)) for _ in range(self.random.randint(1, 8)))

    def spaces(self):
        if self.random.random() < 0.5:
            return self.random.choice(" \n\t") * self.random.randint(1, 40)
        return "".join(self.random.choice(SPACES) for _ in range(self.random.randint(1, 6)))

    def digits(self):
        zero = self.random.choice([0x30, 0x30, 0x30, 0x660, 0x966, 0xFF10, 0x1D7CE])
        text = "".join(chr(zero + self.random.randint(0, 9)) for _ in range(self.random.randint(1, 14)))
        return text + self.random.choice(["", "", ".", ",5", "th", "½", "%"])

    def control(self):
        return "".join(chr(self.random.choice([self.random.randint(0, 31), 127, 0x85, 0xAD])) for _ in range(3))

    def marks(self):
        base = self.random.choice("aeiouAEIOUnNçकกא가")
        return base + "".join(chr(self.random.randint(0x300, 0x36F)) for _ in range(self.random.randint(1, 4)))

    def punctuation(self):
        return "".join(self.random.choice("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") for _ in range(self.random.randint(1, 9)))

    def vocabulary(self):
        if not self.pieces:
            return self.script()
        return "".join(self.random.choice(self.pieces) for _ in range(self.random.randint(1, 6)))

    def part(self):
        r = self.random
        kind = r.randint(0, 14)
        if kind <= 3:
            return r.choice(WORDS) + r.choice(["", " ", " ", ", "])
        if kind == 4:
            return r.choice(CODE)
        if kind == 5:
            return r.choice(EMOJI)
        makers = [self.script, self.script, self.anything, self.spaces, self.spaces, self.digits, self.control,
                  self.marks, self.punctuation, self.vocabulary]
        return r.choice(makers)()

    def text(self):
        return "".join(self.part() for _ in range(self.random.randint(1, 9)))

    def special_text(self):
        out = []
        for _ in range(self.random.randint(1, 5)):
            out.append(self.random.choice(["", " ", "\n", "  "]) + self.part() if self.random.random() < 0.7 else "")
            out.append(self.random.choice(self.special) if self.special else "")
            out.append(self.random.choice(["", "", " ", "\n", "\u00a0 "]))
        return "".join(out)
