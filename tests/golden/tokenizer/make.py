#!/usr/bin/env python3
"""Writes NAME.gguf, small vocabularies, and NAME.json, what the reference tokenizers make of random texts with them.

    python3 tests/golden/tokenizer/make.py     # needs gguf, tokenizers, sentencepiece, protobuf and rwkv (--no-deps)

Each vocabulary is trained here on random texts from tests/oracle/tokenizer_strings.py; the references are those of
tests/oracle/tokenizer_references.py. The BPE vocabulary is trained without splitting words, so that every rule of splitting
gives other ids; pre.json holds the ids of the same texts under each rule.
"""

import collections
import functools
import io
import json
import random
import sys
import tempfile
from pathlib import Path

import gguf
import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "oracle"))

from tokenizer_references import (  # noqa: E402
    BYTE, CONTROL, MARK, NORMAL, PATTERNS, UNKNOWN, USER, Vocabulary, pieces_as_bytes, reference)
from tokenizer_strings import Strings  # noqa: E402

N_TEXTS = 120
N_PRE_TEXTS = 14


def corpus(seed, n=3000):
    strings = Strings(seed)
    plain = (HERE.parent / "text.txt").read_text(encoding="utf-8").splitlines()
    return plain + [strings.text().replace("\0", "") for _ in range(n)]


def write(name, architecture, model, tokens, types, *, scores=None, merges=None, pre=None, **more):
    path = HERE / f"{name}.gguf"
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_tokenizer_model(model)
    if pre:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    if scores is not None:
        writer.add_token_scores(scores)
    if merges is not None:
        writer.add_token_merges(merges)
    for key, value in more.items():
        key = "tokenizer.ggml." + key
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, bytes):
            writer.add_array(key, value)
        else:
            writer.add_uint32(key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def bpe_parts(special):
    """Tokens and merges of a byte-level BPE that has seen no word boundary."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(vocab_size=900, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), max_token_length=10, show_progress=False)
    pieces = []
    for text in corpus(1):
        pieces += [text[i : i + 12] for i in range(0, len(text), 12)]
    trained.train_from_iterator(pieces, trainer)
    saved = json.loads(trained.to_str())["model"]
    tokens = sorted(saved["vocab"], key=saved["vocab"].get) + [t for t, _ in special]
    types = [NORMAL] * len(saved["vocab"]) + [k for _, k in special]
    merges = [m if isinstance(m, str) else " ".join(m) for m in saved["merges"]]
    return tokens, types, merges


def bpe():
    special = [("<|endoftext|>", CONTROL), ("<|im_start|>", CONTROL), ("<tool>", USER), ("  \n", USER)]
    tokens, types, merges = bpe_parts(special)
    return write("bpe", "gpt2", "gpt2", tokens, types, merges=merges, pre="gpt-2", bos_token_id=tokens.index("<|endoftext|>"),
                 eos_token_id=tokens.index("<|endoftext|>"))


def gemma4():
    """BPE on characters with U+2581 for a space and bytes for what it lacks."""
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.normalizer = normalizers.Replace(" ", MARK)
    trained.pre_tokenizer = pre_tokenizers.Split("\n", "isolated")
    alphabet = sorted(set("".join(corpus(2, 300))) - {" "})[:160]
    trainer = trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet, limit_alphabet=170, special_tokens=["<unk>"], show_progress=False)
    trained.train_from_iterator((HERE.parent / "text.txt").read_text(encoding="utf-8").splitlines() + corpus(2, 60), trainer)
    saved = json.loads(trained.to_str())["model"]
    learnt = sorted(saved["vocab"], key=saved["vocab"].get)[1:]
    head = [("<pad>", CONTROL), ("<eos>", CONTROL), ("<bos>", CONTROL), ("<unk>", UNKNOWN)]
    tokens = [t for t, _ in head] + [f"<0x{b:02X}>" for b in range(256)] + learnt + ["<|turn>"]
    types = [k for _, k in head] + [BYTE] * 256 + [NORMAL] * len(learnt) + [CONTROL]
    merges = [m if isinstance(m, str) else " ".join(m) for m in saved["merges"]]
    return write("gemma4", "gemma4", "gemma4", tokens, types, scores=[0.0] * len(tokens), merges=merges, bos_token_id=2, eos_token_id=1, unknown_token_id=3)


def common(texts, n):
    """The texts with spaces for all but their n most common characters."""
    kept = {c for c, _ in collections.Counter("".join(texts)).most_common(n)}
    return ["".join(c if c in kept else " " for c in text) for text in texts]


def trained_pieces(kind, vocab_size, rules=None):
    model = io.BytesIO()
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as tsv:
        options = {}
        if rules:
            tsv.write(rules)
            tsv.flush()
            options["normalization_rule_tsv"] = tsv.name
        else:
            options["normalization_rule_name"] = "identity"
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(common(corpus(3, 1500), 150)), model_writer=model, model_type=kind, vocab_size=vocab_size, byte_fallback=kind == "bpe",
            character_coverage=1.0, minloglevel=2, num_threads=1, max_sentence_length=100000, **options)
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model.getvalue())
    kinds = {1: NORMAL, 2: UNKNOWN, 3: CONTROL, 4: USER, 6: BYTE}
    tokens, scores, types = zip(*[(p.piece, p.score, kinds[p.type]) for p in proto.pieces])
    return list(tokens), list(scores), list(types), proto.normalizer_spec.precompiled_charsmap


def spm():
    tokens, scores, types, _ = trained_pieces("bpe", 900)
    tokens, scores, types = tokens + ["<|user|>", "<extra>"], scores + [-1000.0, -1000.0], types + [CONTROL, USER]
    return write("spm", "llama", "llama", tokens, types, scores=scores, bos_token_id=1, eos_token_id=2, unknown_token_id=0)


def spm_phi3():
    """No space before the text, and special tokens that take the white space behind them."""
    v = Vocabulary(HERE / "spm.gguf")
    return write("spm-phi3", "phi3", "llama", v.tokens, v.types, scores=v.scores, bos_token_id=1, eos_token_id=2, unknown_token_id=0,
                 add_bos_token=False, add_space_prefix=False)


def unigram():
    # Full-width letters, ligatures, white space of several kinds and nothing for a soft hyphen.
    rules = "".join(f"{0xFF21 + i:X}\t{0x41 + i:X}\n" for i in range(26)) + "FB01\t66 69\n" + "9\t20\nA\t20\nD\t20\nA0\t20\n3000\t20\nAD\t\n2026\t2E 2E 2E\n"
    tokens, scores, types, charsmap = trained_pieces("unigram", 700, rules)
    tokens, scores, types = tokens + ["<mask>"], scores + [0.0], types + [CONTROL]
    order = [1, 2, 0] + list(range(3, len(tokens)))  # sentencepiece: unk, bos, eos; here bos, eos, unk
    tokens, scores, types = ([x[i] for i in order] for x in (tokens, scores, types))
    return write("unigram", "t5", "t5", tokens, types, scores=scores, bos_token_id=0, eos_token_id=1, unknown_token_id=2,
                 mask_token_id=len(tokens) - 1, add_bos_token=True, add_eos_token=True, add_space_prefix=True, remove_extra_whitespaces=True,
                 precompiled_charsmap=bytes(charsmap))


def wordpiece():
    trained = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trained.normalizer = normalizers.BertNormalizer()
    trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=700, limit_alphabet=200, special_tokens=special, show_progress=False)
    trained.train_from_iterator(corpus(4), trainer)
    vocab = trained.get_vocab()
    pieces = sorted(vocab, key=vocab.get)
    spell = lambda p: p if p in special else p[2:] if p.startswith("##") else MARK + p
    seen, tokens = set(), []
    for piece in pieces:
        if spell(piece) not in seen:
            seen.add(spell(piece))
            tokens.append(spell(piece))
    types = [CONTROL if t in special else NORMAL for t in tokens]
    return write("wordpiece", "bert", "bert", tokens, types, bos_token_id=2, eos_token_id=3, unknown_token_id=1, seperator_token_id=3,
                 padding_token_id=0, cls_token_id=2, mask_token_id=4)


def rwkv():
    words = {w.encode()[:n] for text in corpus(5, 200) for w in text.split() for n in (2, 3, 5, 8)}
    kept = random.Random(5).sample(sorted(w for w in words if len(w) > 1), 600)
    tokens = [bytes([b]) for b in range(256)] + sorted(kept, key=lambda w: (len(w), w)) + [b" the", b"\n\n", b"'s", b"'\"", b"\\x"]
    tokens = list(dict.fromkeys(tokens))
    return write("rwkv", "rwkv6", "rwkv", ["<s>"] + [repr(t)[2:-1] for t in tokens], [CONTROL] + [NORMAL] * len(tokens))


def golden(path, seed):
    v = Vocabulary(path)
    pieces = pieces_as_bytes(v)
    plain = []
    for p in pieces:
        try:
            plain += [p.decode()] if p else []
        except UnicodeDecodeError:
            pass
    special = [t for t in v.special + v.user if "\n" not in t]
    oracle, with_special = reference(v, False), reference(v, True)
    strings = Strings(seed, plain, special, functools.lru_cache(None)(oracle.knows))
    before, behind = v.frame()
    texts = ["", " ", "\n", "a", "  two  spaces  ", "\u00e9e\u0301"] + [strings.text()[:120] for _ in range(N_TEXTS)]
    specials = [strings.special_text()[:160] for _ in range(N_TEXTS // 2)]
    dice = random.Random(seed)
    lists = [[dice.randrange(len(v.tokens)) for _ in range(dice.randint(1, 9))] for _ in range(N_TEXTS // 2)]
    strips = v.model == "bert" or (v.model in ("llama", "t5") and v.get("add_space_prefix") is not False)

    def back(ids):
        text = b"".join(pieces[i] or b"" for i in ids)
        return (text[1:] if strips and text[:1] == b" " else text).decode("utf-8", "replace")

    out = {
        "plain": [[t, before + oracle.encode(t) + behind] for t in texts],
        "special": [[t, before + with_special.encode(t) + behind] for t in specials],
        "back": [[ids, back(ids)] for ids in lists],
    }
    save(path.stem, out)


def rules(base):
    """The BPE vocabulary under each rule of splitting, by the rule's first name, over the texts that tell them apart best."""
    v = Vocabulary(base)
    strings = Strings(99)
    candidates = [strings.text()[:100] for _ in range(1500)]
    candidates.append("I'M we'll 12345678 abc  \n\n  DEF's x_1 = {y: 3.14};\t//ok\r\n")
    candidates += ["<sentinel:12>IMGIMGABCZ    x\t\n", "=" * 40 + " " * 37 + "ha" * 20, "111111111 11111 1111", "!the 'the ;world/\n/\n", "ab$cd^ef`gh|ij~<kl>", "the\n\nthe\r\r\nthe  \n  the"]
    names = [names.split()[0] for names, _ in PATTERNS]
    ids = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            path = Path(scratch) / "v.gguf"
            writer = gguf.GGUFWriter(path, "gpt2")
            writer.add_tokenizer_model("gpt2")
            writer.add_tokenizer_pre(name)
            writer.add_token_list(v.tokens)
            writer.add_token_types(v.types)
            writer.add_token_merges(v.merges)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.close()
            oracle = reference(Vocabulary(path), False)
            ids.append([oracle.encode(t) for t in candidates])
    chosen = []
    n_kinds = lambda texts: len({json.dumps([ids[r][t] for t in texts]) for r in range(len(names))})
    while len(chosen) < N_PRE_TEXTS:
        chosen.append(max(range(len(candidates)), key=lambda t: (t not in chosen, n_kinds(chosen + [t]), -len(candidates[t]))))
    out = [{"pre": name, "ids": [ids[r][t] for t in chosen]} for r, name in enumerate(names)]
    save("pre", {"texts": [candidates[t] for t in chosen], "n_kinds": n_kinds(chosen), "rules": out})


def save(name, value):
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    (HERE / f"{name}.json").write_text(text.replace("]],[[", "]],\n[[").replace("],[\"", "],\n[\"") + "\n", encoding="utf-8")


def main():
    for seed, make in enumerate([bpe, gemma4, spm, spm_phi3, unigram, wordpiece, rwkv]):
        golden(make(), seed)
    rules(HERE / "bpe.gguf")


if __name__ == "__main__":
    main()
