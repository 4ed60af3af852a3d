"""What all tiny models share: seeded random weights, a small vocabulary, the GGUF file and the expected numbers.

Which models there are is said in hf_models.py and numpy_models.py. Keys and tensor names follow the public GGUF
conventions.
"""

import json
import tempfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Dict, List, Optional

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFWriter

N_VOCAB = 61  # a prime: no multiple of any vector's width
N_TOKENS = 23
N_GREEDY = 12
FLOAT32_ALWAYS = ("ffn_gate_inp", "position_embd", "rope_factors", "conv1d", ".conv.", "ssm_a", "ssm_norm")  # as converters do, beside all 1-D tensors


@dataclass
class Tiny:
    """A model ready to be written: its keys and tensors in GGUF's words, and a program that knows its logits."""

    name: str
    architecture: str
    about: str  # what this file has that others have not
    oracle: str  # which program gave the numbers
    keys: Dict[str, object]  # without the architecture's prefix
    tensors: Dict[str, np.ndarray]  # float32, rows last as in NumPy
    forward: Callable[[List[int]], np.ndarray]  # ids -> [n_tokens, N_VOCAB]
    forward_half_cache: Optional[Callable[[List[int]], np.ndarray]] = None  # keys and values rounded to half precision
    dtype: str = "F32"
    tolerance: float = 1e-3  # of llama.cpp's difference, relative to the logits' standard deviation
    peer: Optional[str] = None  # why llama.cpp is not asked or is known to differ
    peer_model: Optional["Tiny"] = None  # what llama.cpp is asked instead: the same oracle in sizes that it can run
    extra: Dict[str, object] = field(default_factory=dict)
    vocabulary: Optional[Callable[[GGUFWriter], None]] = None  # None: bpe_vocabulary


def random_for(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def prompt(name: str) -> List[int]:
    """Fixed ids, none of them the special token 0; one repeated, as real text does."""
    ids = [int(i) for i in random_for("prompt of " + name).integers(1, N_VOCAB, N_TOKENS)]
    ids[5] = ids[2]
    return ids


def byte_letters() -> Dict[int, str]:
    """GPT-2's printable letter for each byte."""
    printable = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    letters = {b: chr(b) for b in printable}
    for b in range(256):
        letters.setdefault(b, chr(256 + sum(1 for other in letters if ord(letters[other]) >= 256)))
    return letters


def stored_type(name: str, array: np.ndarray, dtype: str) -> Type:
    if (
        array.ndim < 2
        or dtype == "F32"
        or any(part in name for part in FLOAT32_ALWAYS)
        or name.endswith("_norm.weight")
        or (dtype.startswith("Q") and array.shape[-1] % 32 != 0)
    ):
        return Type.F32
    return Type[dtype]


def rounded(array: np.ndarray, dtype: str) -> np.ndarray:
    """The values which a tensor of this type can hold: the weights that both the file and the oracle use."""
    if dtype == "F32":
        return array.astype(np.float32)
    return gguf.quants.dequantize(gguf.quants.quantize(array.astype(np.float32), Type[dtype]), Type[dtype])


def bpe_vocabulary(out: GGUFWriter) -> None:
    """Tokenizer keys: one special token, some ASCII and a few merges; exactly N_VOCAB tokens."""
    letters = byte_letters()
    tokens = ["<|endoftext|>"] + [letters[b] for b in b"\n abcdefghijklmnopqrstuvwxyz0123456789.,;:!?'\"()-+*/=<>_"]
    merges = ["t h", "e r", "th e", letters[32] + " a"]
    tokens += [merge.replace(" ", "") for merge in merges]
    assert len(tokens) == N_VOCAB and len(set(tokens)) == N_VOCAB
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list(tokens)
    out.add_token_types([int(gguf.TokenType.CONTROL)] + [int(gguf.TokenType.NORMAL)] * (N_VOCAB - 1))
    out.add_token_merges(merges)
    out.add_bos_token_id(0)
    out.add_eos_token_id(0)
    out.add_add_bos_token(False)


def write_gguf(tiny: Tiny, path: Path) -> None:
    out = GGUFWriter(path, tiny.architecture)
    out.add_name("tiny random weights")  # not the architecture: some readers go by names
    for key, value in tiny.keys.items():
        key = key if key.startswith("general.") else f"{tiny.architecture}.{key}"
        if isinstance(value, bool):
            out.add_bool(key, value)
        elif isinstance(value, int):
            out.add_uint32(key, value)
        elif isinstance(value, float):
            out.add_float32(key, value)
        elif isinstance(value, str):
            out.add_string(key, value)
        else:
            out.add_array(key, value)
    (tiny.vocabulary or bpe_vocabulary)(out)
    for name, array in tiny.tensors.items():
        array = np.ascontiguousarray(array, dtype=np.float32)
        kind = stored_type(name, array, tiny.dtype)
        if kind == Type.F32:
            out.add_tensor(name, array)
            continue
        data = gguf.quants.quantize(array, kind)
        assert np.array_equal(
            gguf.quants.dequantize(data, kind).reshape(array.shape), array
        ), f"{name}: not exact in {tiny.dtype}"
        out.add_tensor(name, data, raw_dtype=kind)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def log_softmax(x: np.ndarray) -> np.ndarray:
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def differences(ours: np.ndarray, theirs: np.ndarray) -> Dict[str, float]:
    """How far logits are from ours: greatest difference over our standard deviation, normalised mean squared error,
    mean KL(ours || theirs) in nats, share of positions with the same first choice."""
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    log_p, log_q = log_softmax(ours), log_softmax(theirs)
    return {
        "max_over_std": float(f"{np.abs(ours - theirs).max() / ours.std():.3g}"),
        "nmse": float(f"{((ours - theirs) ** 2).sum() / (ours**2).sum():.3g}"),
        "kl": float(f"{max((np.exp(log_p) * (log_p - log_q)).sum(-1).mean(), 0.0):.3g}"),
        "top1_equal": float(f"{(ours.argmax(1) == theirs.argmax(1)).mean():.4g}"),
    }


def ask(peer, tiny: Tiny, path: Path, tokens: List[int], logits: np.ndarray) -> Dict[str, object]:
    """What llama.cpp makes of the model, or of the one that stands in for it."""
    try:
        if not tiny.peer_model:
            return differences(logits, peer.logits(path, tokens))
        with tempfile.TemporaryDirectory() as scratch:
            other = Path(scratch) / "model.gguf"
            write_gguf(tiny.peer_model, other)
            return differences(np.asarray(tiny.peer_model.forward(tokens)), peer.logits(other, tokens))
    except RuntimeError as error:
        return {"error": str(error).splitlines()[0]}


def expect(tiny: Tiny, folder: Path, peer) -> Dict[str, object]:
    """Writes NAME.gguf, NAME.f32 and NAME.json; returns what the JSON holds. `peer` is second_opinion, or None."""
    path = folder / f"{tiny.name}.gguf"
    write_gguf(tiny, path)
    tokens = prompt(tiny.name)
    logits = np.asarray(tiny.forward(tokens), dtype=np.float64)
    assert logits.shape == (N_TOKENS, N_VOCAB) and np.isfinite(logits).all(), tiny.name
    logits.astype("<f4").tofile(folder / f"{tiny.name}.f32")

    greedy, margins, row = [], [], logits[-1]
    for _ in range(N_GREEDY):
        second, first = np.sort(row)[-2:]
        greedy.append(int(row.argmax()))
        margins.append(round(float(first - second), 4))
        row = np.asarray(tiny.forward(tokens + greedy))[-1]

    record = {
        "name": tiny.name,
        "architecture": tiny.architecture,
        "about": tiny.about,
        "oracle": tiny.oracle,
        "dtype": tiny.dtype,
        "n_vocab": N_VOCAB,
        "tokens": tokens,
        "logits": f"{tiny.name}.f32",
        "logit_std": round(float(logits.std()), 4),
        **(
            {"half_cache": differences(logits, np.asarray(tiny.forward_half_cache(tokens)))}
            if tiny.forward_half_cache
            else {}
        ),
        "greedy": greedy,
        "greedy_margins": margins,
        **tiny.extra,
    }
    if tiny.peer:
        record["llama_cpp_note"] = tiny.peer
    if peer:
        record["llama_cpp"] = {"version": peer.version(), **ask(peer, tiny, path, tokens, logits)}
    text = json.dumps(record, indent=1)
    for key in ("tokens", "greedy", "greedy_margins"):  # short lists on one line
        text = text.replace(json.dumps({key: record[key]}, indent=1)[3:-2], f'"{key}": {json.dumps(record[key])}')
    (folder / f"{tiny.name}.json").write_text(text + "\n")
    return record
