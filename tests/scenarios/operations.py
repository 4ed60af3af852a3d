"""The rows of the operations: answers of NumPy in float64, and of PyPI `gguf` for block formats, over small tensors."""

import gguf
import numpy as np

from steps import step

RNG = np.random.default_rng(6)
# What the kernels may round where they add in float32 and read keys and values as f16 or their softmax's exp() from a
# polynomial: well above 2^-11, the rounding of f16, and far below any wrong answer.
ROUNDING = 2e-3


def floats(*shape):
    """Multiples of 1/64: short in the table, and the same number in float32."""
    return (np.round(RNG.standard_normal(shape) * 64) / 64).astype(np.float32)


def tensor(array, digits=0):
    array = np.asarray(array)
    values = array.ravel().tolist()  # without digits: the numbers exactly
    return {"shape": list(array.shape), "values": [round(v, digits) for v in values] if digits else values}


def rows_of(weights, name):
    """Rows of a block format, and the floats that they stand for."""
    kind = gguf.GGMLQuantizationType[name.upper()]
    rows = gguf.quants.quantize(weights, kind)
    return np.ascontiguousarray(rows).view(np.uint8).reshape(len(weights), -1), gguf.quants.dequantize(rows, kind)


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def attention(q, k, v, causal=True, window=0, scale=0.0, soft_cap=0.0, alibi_slopes=None, sinks=None):
    """Vaswani et al. 2017, eq. 1, with grouped queries, a window, ALiBi, a soft cap and sinks, each from its paper."""
    q, k, v = (np.asarray(a, np.float64) for a in (q, k, v))
    n, n_heads, head_dim = q.shape
    n_keys, n_kv_heads, _ = k.shape
    query, key = np.arange(n_keys - n, n_keys)[:, None], np.arange(n_keys)[None]
    hidden = (key > query) & causal
    if window:
        hidden |= key <= query - window
    out = np.empty((n, n_heads, v.shape[2]))
    for head in range(n_heads):
        kv_head = head * n_kv_heads // n_heads
        scores = q[:, head] @ k[:, kv_head].T * (scale or head_dim**-0.5)
        if soft_cap:
            scores = soft_cap * np.tanh(scores / soft_cap)
        if alibi_slopes is not None:
            scores = scores - float(alibi_slopes[head]) * (query - key)
        scores = np.where(hidden, -np.inf, scores)
        if sinks is not None:
            scores = np.concatenate([scores, np.full((n, 1), float(sinks[head]))], axis=1)
        out[:, head] = softmax(scores)[:, :n_keys] @ v[:, kv_head]
    return out


def formats():
    out = []
    for name, k in (("f32", 8), ("q8_0", 64), ("q4_1", 32), ("q4_k", 512)):
        kind = gguf.GGMLQuantizationType[name.upper()]
        block, size = gguf.GGML_QUANT_SIZES[kind]
        out.append({"name": f"bytes of a row of {name}", "steps": [
            step("row_bytes", {"n_bytes": k // block * size}, dtype=name, k=k)]})
    out.append({"name": "a row that is no multiple of the block", "steps": [
        step("row_bytes", fails=("invalid_argument", None, ["100", "256"]), dtype="q4_k", k=100)]})
    out.append({"name": "an element type that is none", "steps": [
        step("row_bytes", fails=("invalid_argument", "dtype", ["dtype", "77"]), dtype=77, k=32)]})
    x = floats(2, 64)
    # Of a type of blocks any encoding is right that is near; of floats there is one.
    rows, stands_for = rows_of(x, "bf16")
    out.append({"name": "quantize to bf16, and back", "steps": [
        step("ops"),
        step("quantize", {"rows": tensor(rows)}, dtype="bf16", x=tensor(x)),
        step("dequantize", {"x": tensor(stands_for)}, dtype="bf16", rows=tensor(rows), k=64)]})
    for name in ("q8_0", "q4_1"):
        rows, stands_for = rows_of(x, name)
        out.append({"name": f"dequantize {name}", "steps": [
            step("ops"),
            step("dequantize", {"x": tensor(stands_for)}, dtype=name, rows=tensor(rows), k=64)]})
    out.append({"name": "quantize to a type that is only read", "steps": [
        step("ops"),
        step("quantize", fails=("unsupported", None, ["IQ1_S"]), dtype="iq1_s", x=tensor(np.zeros((1, 256), np.float32)))]})
    return out


def products():
    w, x, bias = floats(5, 32), floats(3, 32), floats(5)
    plain = tensor(w.view(np.uint8).reshape(5, -1))
    exact = x.astype(float) @ w.T.astype(float) + bias
    rows, stands_for = rows_of(w, "q8_0")
    # Activations are rounded to 8 bits in blocks of 32: half a step of each, times the weight beside it, at most.
    steps = np.abs(x).max(1, keepdims=True) / 127
    most = float((steps / 2 * np.abs(stands_for).sum(1)).max()) * 1.01
    return [
        {"name": "matmul", "steps": [
            step("ops", n_threads=2),
            step("pack", {"n_rows": 5, "k": 32}, dtype="f32", rows=plain, k=32),
            step("matmul", {"y": tensor(exact, 6)}, x=tensor(x), bias=tensor(bias), within=1e-4)]},
        {"name": "matmul with 8-bit weights", "steps": [
            step("ops"),
            step("pack", {"n_rows": 5, "k": 32}, dtype="q8_0", rows=tensor(rows), k=32),
            step("matmul", {"y": tensor(x.astype(float) @ stands_for.T.astype(float), 6)}, x=tensor(x), within=round(most, 3))]},
        {"name": "matmul with rows of another width", "steps": [
            step("ops"),
            step("pack", dtype="f32", rows=plain, k=32),
            step("matmul", fails=("invalid_argument", None, ["x"]), x=tensor(x[:, :31])),
            step("matmul", {"y": tensor(exact, 6)}, x=tensor(x), bias=tensor(bias), within=1e-4)]},
    ]


def attentions():
    q, k, v = floats(3, 4, 8), floats(5, 2, 8), floats(5, 2, 6)
    layer = {"n_heads": 4, "n_kv_heads": 2, "head_dim": 8, "v_head_dim": 6}
    given = {"q": tensor(q), "k": tensor(k), "v": tensor(v)}
    slopes, sinks = np.array([0.5, 0.25, 0.125, 0.0625], np.float32), floats(4)
    out = []
    for name, options in (("causal, grouped queries", {}), ("of all positions", {"causal": False}), ("in a window", {"window": 2}),
                          ("with a scale and a soft cap", {"scale": 0.5, "soft_cap": 2.0}), ("with ALiBi", {"alibi_slopes": slopes}),
                          ("with sinks", {"sinks": sinks})):
        arrays = {key: tensor(value) if isinstance(value, np.ndarray) else value for key, value in options.items()}
        out.append({"name": f"attention {name}", "steps": [
            step("ops"),
            step("attention", {"out": tensor(attention(q, k, v, **options), 6)}, within=ROUNDING, **layer, **arrays, **given)]})
    out.append({"name": "attention of heads that cannot share", "steps": [
        step("ops"),
        step("attention", fails=("invalid_argument", None, ["n_kv_heads", "3"]), n_heads=4, n_kv_heads=3, head_dim=4,
             q=tensor(floats(1, 4, 4)), k=tensor(floats(1, 3, 4)), v=tensor(floats(1, 3, 4)))]})
    out.append({"name": "a window that is not causal", "steps": [
        step("ops"),
        step("attention", fails=("invalid_argument", None, ["window"]), causal=False, window=2, **layer, **given)]})

    q, k, v = floats(7, 2, 8), floats(7, 1, 8), floats(7, 1, 8)
    whole = attention(q, k, v)
    part = lambda begin, end: {"k": tensor(k[begin:end]), "v": tensor(v[begin:end])}
    attend = lambda begin, end: step("attend", {"out": tensor(whole[begin:end], 6)}, within=ROUNDING, q=tensor(q[begin:end]))
    out.append({"name": "a cache, filled, gone back and filled again", "steps": [
        step("ops"),
        step("cache", n_heads=2, n_kv_heads=1, head_dim=8, n_ctx=7, max_batch=4, cache_type="f32"),
        step("append", {"position": 4}, **part(0, 4)), attend(0, 4),
        step("append", {"position": 5}, **part(4, 5)), attend(4, 5),
        step("append", {"position": 7}, **part(5, 7)), attend(5, 7),
        step("append", fails=("context_full", None, ["room for 0"]), **part(0, 1)),
        step("cache_rewind", fails=("invalid_argument", None, ["8"]), position=8),
        step("cache_rewind", {"position": 5}, position=5),
        step("append", {"position": 7}, **part(5, 7)), attend(5, 7)]})
    return out


def experts():
    n, n_experts, top_k, k, n_rows = 3, 4, 2, 32, 3
    w, x, logits, bias = floats(n_experts, n_rows, k), floats(n, k), floats(n, n_experts), np.array([0, 9, 0, 0], np.float32)
    order = np.argsort(-logits, axis=1, kind="stable")[:, :top_k]
    shares = np.take_along_axis(softmax(logits.astype(float)), order, 1)
    weights = shares / shares.sum(1, keepdims=True)
    sigmoid = 1 / (1 + np.exp(-logits.astype(float)))
    biased = np.argsort(-(sigmoid + bias), axis=1, kind="stable")[:, :top_k]
    ids = order.astype(np.int32)
    apart = np.einsum("nek,nk->ne", w[ids].astype(float).reshape(n, -1, k), x.astype(float)).reshape(n * top_k, n_rows)
    given = tensor(np.round(weights, 3))
    together = (apart.reshape(n, top_k, n_rows) * np.round(weights, 3)[..., None]).sum(1)
    ready = [step("ops")] + [step("pack", dtype="f32", rows=tensor(e.view(np.uint8).reshape(n_rows, -1)), k=k) for e in w]
    return [
        {"name": "choose experts", "steps": [
            step("route", {"ids": tensor(ids), "weights": tensor(shares, 6)}, within=1e-5, logits=tensor(logits), top_k=top_k),
            step("route", {"ids": tensor(ids), "weights": tensor(2.5 * weights, 6)}, within=1e-5, logits=tensor(logits), top_k=top_k,
                 renormalise=True, scale=2.5),
            step("route", {"ids": tensor(ids), "weights": tensor(weights, 6)}, within=1e-5, logits=tensor(logits), top_k=top_k,
                 score="softmax_chosen"),
            step("route", {"ids": tensor(biased.astype(np.int32)), "weights": tensor(np.take_along_axis(sigmoid, biased, 1), 6)},
                 within=1e-5, logits=tensor(logits), top_k=top_k, score="sigmoid", choice_bias=tensor(bias)),
            step("route", fails=("invalid_argument", None, ["top_k", "5"]), logits=tensor(logits), top_k=5)]},
        {"name": "products with chosen experts", "steps": ready + [
            step("matmul_experts", {"y": tensor(apart, 6)}, within=1e-4, ids=tensor(ids), x=tensor(x)),
            step("matmul_experts", {"y": tensor(together, 6)}, within=1e-4, ids=tensor(ids), weights=given, x=tensor(x)),
            step("matmul_experts", fails=("invalid_argument", None, ["ids", "0 to 3"]), ids=tensor(ids + n_experts), x=tensor(x)),
            step("matmul_experts", fails=("invalid_argument", None, ["x"]), ids=tensor(ids), x=tensor(x[:2]))]},
    ]


def operation_rows():
    return formats() + products() + attentions() + experts()
