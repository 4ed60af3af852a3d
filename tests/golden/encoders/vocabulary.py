"""The WordPiece vocabulary of the tiny encoders: letters, their continuations and two words."""

from gguf import GGUFWriter, TokenType

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS += [chr(c) for c in range(ord("a"), ord("z") + 1)] + ["##" + chr(c) for c in range(ord("a"), ord("z") + 1)]
WORDS += ["the", "##ing"]


def wordpiece(out: GGUFWriter) -> None:
    """Word starts carry the lower one eighth block, continuations nothing: how GGUF spells WordPiece."""
    special = WORDS[:5]
    out.add_tokenizer_model("bert")
    out.add_tokenizer_pre("default")
    out.add_token_list([w if w in special else w[2:] if w.startswith("##") else "\u2581" + w for w in WORDS])
    out.add_token_types([int(TokenType.CONTROL if w in special else TokenType.NORMAL) for w in WORDS])
    out.add_token_type_count(2)
    for key, name in {
        "padding": "[PAD]",
        "unknown": "[UNK]",
        "cls": "[CLS]",
        "seperator": "[SEP]",
        "mask": "[MASK]",
    }.items():
        out.add_uint32(f"tokenizer.ggml.{key}_token_id", WORDS.index(name))
