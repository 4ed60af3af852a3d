#!/usr/bin/env python3
"""What a router of experts must answer, in float64 NumPy: make.py writes router.json beside it.

A case gives options as RouterOptions (src/graph/router.hpp) names them, logits [n_tokens, n_experts], and per token the
chosen experts, best first, with their weights. Logits and biases are multiples of 1/8, so that ties are exact.
"""

import json
from pathlib import Path

import numpy as np

LEAST_SUM = 2.0**-14


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def route(logits, score, top_k, renormalise=False, scale=1.0, n_groups=1, n_groups_used=1, group_best=2, bias=None):
    """ids and weights of one token."""
    scores = {"softmax": softmax, "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "softmax_chosen": lambda x: x}[score](logits)
    choice = scores + (0 if bias is None else bias)
    if n_groups > 1:
        groups = choice.reshape(n_groups, -1)
        worth = -np.sort(-groups, axis=1)[:, :group_best].sum(1)
        kept = np.argsort(-worth, kind="stable")[:n_groups_used]
        choice = np.where(np.isin(np.arange(n_groups), kept)[:, None], groups, -np.inf).reshape(-1)
    ids = np.argsort(-choice, kind="stable")[:top_k]
    weights = softmax(scores[ids]) if score == "softmax_chosen" else scores[ids]
    if renormalise:
        weights = weights / max(weights.sum(), LEAST_SUM)
    return ids, weights * scale


def case(random, about, n_experts, n_tokens=6, spread=3.0, with_bias=False, logits=None, **options):
    if logits is None:
        logits = np.round(spread * random.standard_normal((n_tokens, n_experts)) * 8) / 8
    logits = np.asarray(logits, dtype=np.float64)
    bias = np.round(random.standard_normal(n_experts) * 8) / 8 if with_bias else None
    answers = [route(row, bias=bias, **options) for row in logits]
    return {
        "about": about,
        "options": {"n_experts": n_experts, **options},
        "bias": None if bias is None else bias.tolist(),
        "logits": logits.tolist(),
        "ids": [ids.tolist() for ids, _ in answers],
        "weights": [[float(f"{w:.9g}") for w in weights] for _, weights in answers],
    }


def main():
    random = np.random.default_rng(7)
    ties = [[1.0] * 7, [0, 2, 0, 2, 2, 0, 2], [-5, -5, -4, -5, -5, -5, -4], [3, 3, 3, 3, 3, 3, 4]]
    v3 = dict(score="sigmoid", renormalise=True, scale=2.5)
    cases = [
        case(random, "softmax, then the best", 11, score="softmax", top_k=3),
        case(random, "softmax, then the best, made to sum to 1", 8, score="softmax", top_k=2, renormalise=True),
        case(random, "the best, then softmax", 13, score="softmax_chosen", top_k=4),
        case(random, "sigmoid, made to sum to 1, scaled", 9, top_k=3, **v3),
        case(random, "sigmoid with a bias for the choice alone", 10, with_bias=True, top_k=4, **v3),
        case(random, "groups", 12, with_bias=True, top_k=3, n_groups=4, n_groups_used=2, **v3),
        case(random, "groups by their best one", 12, score="softmax", top_k=3, n_groups=3, n_groups_used=1, group_best=1),
        case(random, "groups of one", 5, top_k=2, n_groups=5, n_groups_used=3, **v3),
        case(random, "all experts", 6, score="softmax", top_k=6),
        case(random, "all experts, sigmoid with bias", 6, with_bias=True, top_k=6, **v3),
        case(random, "one expert", 1, score="softmax", top_k=1, renormalise=True),
        case(random, "one expert, sigmoid", 1, score="sigmoid", top_k=1),
        case(random, "ties", 7, logits=ties, score="softmax", top_k=3),
        case(random, "ties, the best first", 7, logits=ties, score="softmax_chosen", top_k=3),
        case(random, "ties, sigmoid", 7, logits=ties, score="sigmoid", top_k=3, renormalise=True),
        case(random, "ties of groups", 8, logits=[[1.0] * 8], score="sigmoid", top_k=3, n_groups=4, n_groups_used=2),
        case(random, "logits far apart", 6, spread=60.0, score="softmax", top_k=3, renormalise=True),
        case(random, "scores near nothing", 4, logits=[[-90, -80, -100, -95]], score="sigmoid", top_k=2, renormalise=True),
        case(random, "many experts", 256, n_tokens=2, with_bias=True, top_k=8, n_groups=8, n_groups_used=4, **v3),
    ]
    text = json.dumps(cases)
    Path(__file__).with_name("router.json").write_text(text.replace('}, {"about', '},\n{"about') + "\n")


if __name__ == "__main__":
    main()
