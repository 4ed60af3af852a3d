"""Reference tokenizers for the vocabulary of a GGUF file, by programs that elver's authors did not write: Hugging Face
`tokenizers` for BPE and WordPiece, `sentencepiece` for its BPE and unigram models, `rwkv` for RWKV World. The patterns are those of the models' published
tokenizer.json files, run by the Oniguruma inside `tokenizers`.
"""

import ast
import re
import tempfile
import unicodedata

import sentencepiece
from gguf import GGUFReader
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
MARKER = re.compile("<[|\uff5c].+>|<.+[|\uff5c]>", re.S)  # of user-defined tokens, those that only a template may write

# Tokens that steer a model though their file types them otherwise.
RETYPED = {
    "</s>", "<|endoftext|>", "<|tool_response>", "<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", "<|fim_prefix|>",
    "<reponame>", "<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<fim_pad>", "<eos>",
}
NOT_RETYPED = {"gemma4": {"</s>"}}

CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
TAIL = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + TAIL
QWEN2 = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*" + TAIL
QWEN35 = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*" + TAIL
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
HAN_UPPER, HAN_LOWER = UPPER[:-1] + r"&&[^\p{Han}]]", LOWER[:-1] + r"&&[^\p{Han}]]"


def cased(suffix, upper=UPPER, lower=LOWER):
    before = r"[^\r\n\p{L}\p{N}]?"
    return f"{before}{upper}*{lower}+{suffix}|{before}{upper}+{lower}*{suffix}"


GPT4O = cased(CONTRACTION + "?") + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + TAIL
TEKKEN = cased("") + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + TAIL
KIMI = (r"[\p{Han}]+|" + cased(CONTRACTION + "?", HAN_UPPER, HAN_LOWER) + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + TAIL)
DEEPSEEK_V3_WORDS = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+"""
CJK_KANA = "[一-龥\u3040-ゟ゠-ヿ]+"
CJK_HANGUL = "[一-龥ࠀ-一가-\ud7ff]+"
DEEPSEEK_LETTERS = (
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-"
    "\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿ"
    "ﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
)
LINES = r"[^\n]+|[\n]+"
AFMOE_ASIAN = (
    "[一-鿿㐀-䶿\uf900-\ufaff\u3040-ゟ゠-ヿ･-ﾟ⼀-\u2fdf\u0e40-\u0e7f\u0e80-\u0eff\u1780-\u17ff\u1000-႟\uaa60-\uaa7f\ua9e0-\ua9ff가-\ud7af"
    "ᄀ-ᇿ]+"
)
YOUTU = ["[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|" + CJK_KANA,
         cased(CONTRACTION + "?") + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + TAIL]
BLOOM = r" ?[^(\s|.,!?…。，、।۔،)]+"
JAIS2 = (CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
         + "|".join(rf"\s{{{n}}}(?!\S)" for n in (512, 256, 128, 64, 32, 16, 8, 4)) + r"|\s{1,2}(?!\S)|\s{1}")

# Names of tokenizer.ggml.pre by the patterns they stand for.
PATTERNS = [
    ("gpt-2 phi-2 gigachat a.x-4.0 mellum jais trillion granite-docling exaone4 jina-es jina-de jina-v2-es jina-v2-de"
     " jina-v2-code jina-v1-en roberta-bpe gpt-neox mpt olmo modern-bert", [GPT2]),
    ("starcoder refact smollm codeshell exaone minerva-7b mellum2 command-r", [r"\p{N}", GPT2]),
    ("llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano dbrx smaug-bpe chatglm-bpe glm4 glm5",
     [LLAMA3]),
    ("jais-2", [JAIS2]),
    ("qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2", [QWEN2]),
    ("laguna", [LINES, QWEN2]),
    ("qwen35", [QWEN35]),
    ("ufakzeka", [r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*" + TAIL]),
    ("falcon", [r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"]),
    ("default", [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"]),
    ("deepseek-llm", ["[\r\n]", rf"\s?[{DEEPSEEK_LETTERS}]+", r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", CJK_HANGUL,
                      r"\p{N}"]),
    ("deepseek-coder", ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CJK_HANGUL, r"\p{N}"]),
    ("deepseek-v3 hunyuan-dense joyai-llm hy_v4", [r"\p{N}{1,3}", CJK_KANA, DEEPSEEK_V3_WORDS + r"[\r\n]*" + TAIL]),
    ("spark2_5", [r"\p{N}{1,3}", CJK_KANA, DEEPSEEK_V3_WORDS + r"|[\r\n]|\s+(?!\S)|\s+", r"\p{N}"]),
    ("afmoe", [r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))", AFMOE_ASIAN, DEEPSEEK_V3_WORDS + r"[\r\n]*" + TAIL]),
    ("youtu", YOUTU),
    ("bloom poro-chat gpt3-finnish", [BLOOM]),
    ("viking", [BLOOM, r"\p{N}"]),
    ("tekken", [TEKKEN]),
    ("gpt-4o llama4 kanana2 talkie minimax-m2 granite-embed-multi-97m", [GPT4O]),
    ("tiny_aya cohere2moe", [r"\d{1,3}(?=(?:\d{3})*\b)", GPT4O]),
    ("superbpe", [r"\p{N}+", r"(?=(\d{3})+(?!\d))"]),
    ("kimi-k2", [KIMI]),
    ("bailingmoe bailingmoe2 llada-moe",
     [r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"]),
    ("seed-coder", [CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+" + TAIL]),
    ("exaone-moe", [CONTRACTION + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}"
                    r"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+"]),
    ("chameleon", ["<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", "([\t\n]|    |  )", r"\p{N}",
                   r"[\p{P}!-/:-@\[-`{-~]", GPT2]),
    ("minicpm5", [r"\p{N}{1,3}", CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*" + TAIL]),
]
PATTERN_OF = {name: patterns for names, patterns in PATTERNS for name in names.split()}
NFC = set("qwen2 deepseek-r1-qwen kormo f2llmv2 qwen35 command-r mpt gpt-neox olmo modern-bert".split())
IGNORE_MERGES = set(
    "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano glm4 glm5 youtu tekken"
    " granite-embed-multi-97m minicpm5".split())
ADDS_BOS = set("llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano tekken chameleon gemma4".split())
MARK = "▁"


class Vocabulary:
    """What a GGUF says, by Python's gguf package."""

    def __init__(self, path):
        fields = GGUFReader(path).fields
        self.fields = {k: v for k, v in fields.items() if k.startswith("tokenizer.ggml.") or k == "general.architecture"}
        self.model = self.get("model")
        self.architecture = fields["general.architecture"].contents()
        self.pre = self.get("pre")
        self.tokens = [self.raw("tokens", i).decode() for i in range(len(self.fields["tokenizer.ggml.tokens"].data))]
        merges = self.fields.get("tokenizer.ggml.merges")
        self.merges = [self.raw("merges", i).decode() for i in range(len(merges.data))] if merges else []
        self.scores = self.get("scores")
        self.types = self.get("token_type") or [NORMAL] * len(self.tokens)
        retyped = RETYPED - NOT_RETYPED.get(self.model, set())
        self.special, self.user = [], []
        for text, kind in zip(self.tokens, self.types):
            if kind in (CONTROL, UNKNOWN) or text in retyped or (kind == USER and MARKER.fullmatch(text)):
                self.special.append(text)
            elif kind == USER:
                self.user.append(text)

    def get(self, key):
        field = self.fields.get("tokenizer.ggml." + key)
        return field.contents() if field else None

    def raw(self, key, i):
        field = self.fields["tokenizer.ggml." + key]
        return bytes(field.parts[field.data[i]])

    def id_of(self, key, default=None):
        value = self.get(key + "_token_id")
        return default if value is None else value

    def rule(self):
        if self.model == "gemma4":
            return "gemma4"
        return self.pre or ("gpt-neox" if self.architecture == "gptneox" else "gpt-2")

    def frame(self):
        """The ids that stand around every text: before, behind."""
        if self.model == "bert":
            return [self.id_of("cls", self.id_of("bos", 101))], [self.id_of("seperator", 102)]
        default = self.model == "llama" or (self.model in ("gpt2", "gemma4") and self.rule() in ADDS_BOS)
        bos, eos = self.get("add_bos_token"), self.get("add_eos_token")
        before = [self.id_of("bos", 1)] if (default if bos is None else bos) else []
        behind = [self.id_of("eos", 1)] if (self.model == "t5" if eos is None else eos) else []
        return before, behind


class HuggingFace:
    """A `tokenizers` object with the added tokens of one way to read special tokens."""

    def __init__(self, vocabulary, parse_special):
        self.tokenizer = self.build(vocabulary)
        eats_left = vocabulary.rule() in ("jina-v2-es", "jina-v2-de", "jina-v2-code", "jina-v1-en", "roberta-bpe")
        for text in vocabulary.user + (vocabulary.special if parse_special else []):
            token = AddedToken(text, normalized=False, special=False, lstrip=eats_left and text == "<mask>")
            self.tokenizer.add_tokens([token])

    @staticmethod
    def build(v):
        ids = {text: i for i, text in enumerate(v.tokens)}
        if v.model == "bert":
            spell = lambda t, kind: t if kind == CONTROL else t[1:] if t.startswith(MARK) and t != MARK else "##" + t
            vocab = {spell(t, kind): i for i, (t, kind) in enumerate(zip(v.tokens, v.types))}
            out = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
            out.normalizer = normalizers.BertNormalizer()
            out.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
            return out
        merges = [(m[:s], m[s + 1:]) for m in v.merges for s in [m.index(" ", 1)]]
        if v.model == "gemma4":
            out = Tokenizer(models.BPE(ids, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
            out.normalizer = normalizers.Replace(" ", MARK)
            return out
        rule = v.rule()
        out = Tokenizer(models.BPE(ids, merges, ignore_merges=rule in IGNORE_MERGES))
        if rule in NFC:
            out.normalizer = normalizers.NFC()
        splits = [pre_tokenizers.Split(Regex(p), "isolated") for p in PATTERN_OF[rule]]
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        out.pre_tokenizer = pre_tokenizers.Sequence(splits + [byte_level])
        return out

    def encode(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def knows(self, character):
        """Whether its tables, which are older than Python's, agree with Python's about a character."""
        normalizer = self.tokenizer.normalizer
        if isinstance(normalizer, normalizers.NFC):
            texts = [character + m for m in NEIGHBOURS] + [m + character for m in NEIGHBOURS]
            return all(normalizer.normalize_str(t) == unicodedata.normalize("NFC", t) for t in texts)
        if isinstance(normalizer, normalizers.BertNormalizer):
            return bert_words(character) == [w for w, _ in self.tokenizer.pre_tokenizer.pre_tokenize_str(
                normalizer.normalize_str("a" + character + "a"))]
        return True


NEIGHBOURS = ["a\u0316", "\u0316", "\u0301", "\u0334", "\u0345"]


def bert_words(character):
    """The words of "aCa" by the rules of BERT's reference, from Python's tables."""
    category = unicodedata.category(character)
    if character in "\t\n\r" or (character in WHITE_SPACE and category[0] != "C"):
        return ["a", "a"]
    if category[0] == "C" or character == "\ufffd":
        return ["aa"]
    out = "".join(c for c in unicodedata.normalize("NFD", character) if unicodedata.category(c) != "Mn").lower()
    if unicodedata.category(out[:1] or "a")[0] == "P" or (out.isascii() and out and not out.isalnum()):
        return ["a", out, "a"]
    return ["a", out, "a"] if is_chinese(character) else ["a" + out + "a"]


def is_chinese(character):
    ranges = [(0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
              (0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)]
    return any(first <= ord(character) <= last for first, last in ranges)


class SentencePiece:
    """A sentencepiece model with the file's pieces, and the special tokens split out before it as Hugging Face does."""

    KINDS = {NORMAL: 1, UNKNOWN: 2, CONTROL: 3, USER: 4, UNUSED: 5, BYTE: 6}

    def __init__(self, v, parse_special):
        proto = sentencepiece_model_pb2.ModelProto()
        unknown = v.id_of("unknown", 0)
        for i, (text, score, kind) in enumerate(zip(v.tokens, v.scores, v.types)):
            if kind == UNKNOWN and i != unknown:
                kind = CONTROL  # a sentencepiece model has one unknown piece
            if kind == USER:
                kind = CONTROL  # split out below, as any added token
            kind = UNKNOWN if i == unknown else kind
            proto.pieces.add(piece=text, score=score, type=self.KINDS[kind])
        spec = proto.trainer_spec
        spec.model_type = spec.UNIGRAM if v.model == "t5" else spec.BPE
        spec.byte_fallback = any(k == BYTE for k in v.types)
        spec.unk_id, spec.bos_id, spec.eos_id = unknown, v.id_of("bos", 1), v.id_of("eos", 2)
        spec.pad_id, spec.vocab_size = -1, len(v.tokens)
        spec.unk_piece, spec.bos_piece, spec.eos_piece = (v.tokens[i] for i in (unknown, spec.bos_id, spec.eos_id))
        prefix, extra = v.get("add_space_prefix"), v.get("remove_extra_whitespaces")
        normal = proto.normalizer_spec
        normal.name = "identity"
        normal.add_dummy_prefix = True if prefix is None else prefix
        normal.remove_extra_whitespaces = v.model == "t5" if extra is None else extra
        normal.escape_whitespaces = True
        normal.precompiled_charsmap = bytes(v.get("precompiled_charsmap") or [])
        self.processor = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
        texts = v.user + (v.special if parse_special else [])
        texts = sorted((t for t in texts if t), key=len, reverse=True)
        self.ids = {text: i for i, text in enumerate(v.tokens)}
        self.split = re.compile("(" + "|".join(map(re.escape, texts)) + ")") if texts else None
        self.eats_left = {"<mask>"} if v.model == "t5" else set()
        keeps = {"<s>", "<unk>", "<|endoftext|>"}
        self.eats_right = set(texts) - keeps if v.architecture == "phi3" else set()

    def knows(self, character):
        return True

    def encode(self, text):
        parts = self.split.split(text) if self.split else [text]
        out = []
        for i, part in enumerate(parts):
            if i % 2 == 1:
                out.append(self.ids[part])
                continue
            if i > 0 and parts[i - 1] in self.eats_right:
                part = lstrip(part)
            if i + 1 < len(parts) and parts[i + 1] in self.eats_left:
                part = rstrip(part)
            out += self.processor.encode(part) if part else []
        return out


class Rwkv:
    """RWKV's own tokenizer (PyPI `rwkv`): bytes in, the longest token each time."""

    def __init__(self, v, parse_special):
        from rwkv.rwkv_tokenizer import TRIE_TOKENIZER

        with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
            for i, (text, kind) in enumerate(zip(v.tokens, v.types)):
                if kind == NORMAL:
                    token = rwkv_bytes(text)
                    file.write(f"{i} {token!r} {len(token)}\n")
            file.flush()
            self.tokenizer = TRIE_TOKENIZER(file.name)
        self.special = {t: i for i, t in enumerate(v.tokens) if t in v.special} if parse_special else {}

    def knows(self, character):
        return True

    def encode(self, text):
        parts = re.split("(" + "|".join(map(re.escape, self.special)) + ")", text) if self.special else [text]
        return [i for k, part in enumerate(parts) for i in ([self.special[part]] if k % 2 else self.tokenizer.encode(part))]


def rwkv_bytes(text):
    """Files spell a token as Python writes bytes."""
    return ast.literal_eval("b'" + re.sub(r"(?<!\\)((?:\\\\)*)'", r"\1\'", text) + "'")


# Python's isspace() has U+001C to U+001F, which are not White_Space.
WHITE_SPACE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"


def lstrip(text):
    return text.lstrip(WHITE_SPACE)


def rstrip(text):
    return text.rstrip(WHITE_SPACE)


def reference(vocabulary, parse_special):
    families = {"llama": SentencePiece, "t5": SentencePiece, "rwkv": Rwkv}
    return families.get(vocabulary.model, HuggingFace)(vocabulary, parse_special)


def byte_alphabet():
    """GPT-2's characters for bytes: character → byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [b for b in range(256) if b not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(rest)}


def pieces_as_bytes(v):
    """The bytes of each token, control tokens as None; written from the families' descriptions."""
    alphabet = byte_alphabet() if v.model == "gpt2" else {}
    special = set(v.special)
    out = []
    for text, kind in zip(v.tokens, v.types):
        if text in special:
            out.append(None)
        elif kind == USER:
            out.append(text.encode() if v.model == "gpt2" else text.replace(MARK, " ").encode())
        elif kind == BYTE:
            out.append(bytes([int(text[3:5], 16)]))
        elif v.model == "rwkv":
            out.append(rwkv_bytes(text))
        elif v.model == "gpt2":
            known = all(c in alphabet for c in text)
            out.append(bytes(alphabet[c] for c in text) if known else text.encode())
        elif v.model == "bert":
            out.append((" " + text[1:] if text.startswith(MARK) else text).encode())
        else:
            out.append(text.replace(MARK, " ").encode())
    return out
