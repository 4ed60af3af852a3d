"""elver.ops against NumPy in float64, without copies; wrong arrays are errors."""

import elver
import elver.ops
import numpy
import pytest

RNG = numpy.random.default_rng(5)


def floats(*shape):
    return RNG.standard_normal(shape).astype(numpy.float32)


@pytest.fixture(scope="module")
def ops():
    with elver.ops.Ops(n_threads=2) as ops:
        yield ops


def softmax(x):
    x = numpy.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def attention(q, k, v, causal=True, window=0, soft_cap=0.0, sinks=None):
    n, n_heads, head_dim = q.shape
    n_keys, n_kv_heads, _ = k.shape
    q, k, v = (numpy.asarray(a, numpy.float64) for a in (q, k, v))
    at, key = numpy.arange(n_keys - n, n_keys)[:, None], numpy.arange(n_keys)[None]
    hidden = (key > at) & causal
    if window:
        hidden |= key <= at - window
    out = numpy.empty((n, n_heads, v.shape[2]))
    for h in range(n_heads):
        scores = q[:, h] @ k[:, h * n_kv_heads // n_heads].T / numpy.sqrt(head_dim)
        if soft_cap:
            scores = soft_cap * numpy.tanh(scores / soft_cap)
        scores = numpy.where(hidden, -numpy.inf, scores)
        if sinks is not None:
            scores = numpy.concatenate([scores, numpy.full((n, 1), sinks[h])], 1)
        out[:, h] = softmax(scores)[:, :n_keys] @ v[:, h * n_kv_heads // n_heads]
    return out


@pytest.mark.parametrize("n, n_rows, k", [(1, 1, 32), (5, 37, 64), (33, 70, 96)])
def test_matmul(ops, n, n_rows, k):
    w, x, bias = floats(n_rows, k), floats(n, k), floats(n_rows)
    matrix = ops.pack(w, "f32", n_rows, k)
    assert matrix.shape == (n_rows, k) and matrix.n_bytes >= w.nbytes
    numpy.testing.assert_allclose(ops.matmul(matrix, x, bias=bias), x.astype(float) @ w.T.astype(float) + bias, rtol=1e-4, atol=1e-4)


def test_views_are_read_and_written_where_they_lie(ops):
    w, wide = floats(40, 32), floats(6, 80)
    matrix = ops.pack(w, "f32", 40, 32)
    x = wide[::2, 16:48]
    whole = numpy.full((3, 50), 7, numpy.float32)
    out = whole[:, 5:45]
    assert ops.matmul(matrix, x, out=out) is out
    assert (out == ops.matmul(matrix, x.copy())).all()
    assert (whole[:, :5] == 7).all() and (whole[:, 45:] == 7).all()


def test_q8_0(ops):
    """Q8_0: a half-precision scale, then 32 signed bytes."""
    scales, values = RNG.random((9, 2)).astype(numpy.float16), RNG.integers(-128, 128, (9, 2, 32), numpy.int8)
    rows = numpy.concatenate([scales[..., None].view(numpy.uint8), values.view(numpy.uint8)], axis=-1)
    expected = scales[..., None].astype(numpy.float32) * values
    assert (ops.dequantize(rows, "q8_0", 9, 64) == expected.reshape(9, 64)).all()
    assert elver.ops.row_bytes("q8_0", 64) == rows[0].nbytes
    x = floats(4, 64)
    found = ops.matmul(ops.pack(rows.tobytes(), "q8_0", 9, 64), x)
    wanted = x.astype(float) @ expected.reshape(9, 64).T.astype(float)
    assert numpy.abs(found - wanted).max() < 0.02 * numpy.abs(wanted).max()


@pytest.mark.parametrize("options", [{}, {"causal": False}, {"window": 3}, {"soft_cap": 2.0}, {"sinks": floats(6)}])
def test_attention(ops, options):
    q, k, v = floats(5, 6, 20), floats(9, 2, 20), floats(9, 2, 12)
    numpy.testing.assert_allclose(ops.attention(q, k, v, **options), attention(q, k, v, **options), rtol=2e-3, atol=2e-3)


def test_cache(ops):
    q, k, v = floats(20, 4, 16), floats(20, 2, 16), floats(20, 2, 16)
    cache = ops.cache(4, 2, 16, n_ctx=20, max_batch=8, cache_type="f32")
    found = []
    for begin, end in ((0, 8), (8, 9), (9, 17), (17, 20)):
        cache.append(k[begin:end], v[begin:end])
        found.append(cache.attend(q[begin:end]))
    numpy.testing.assert_allclose(numpy.concatenate(found), attention(q, k, v), rtol=2e-3, atol=2e-3)
    with pytest.raises(elver.ContextFullError):
        cache.append(k[:1], v[:1])
    cache.rewind(17)
    cache.append(k[17:], v[17:])
    assert (cache.attend(q[17:]) == found[-1]).all() and cache.position == 20 and cache.n_bytes > 0


def test_experts(ops):
    n, n_experts, top_k, k, n_rows = 7, 5, 2, 32, 24
    w, x, logits = floats(n_experts, n_rows, k), floats(n, k), floats(n, n_experts)
    ids, weights = elver.ops.route(logits, top_k, renormalise=True)
    order = numpy.argsort(-logits, axis=1)[:, :top_k]
    assert (ids == order).all()
    chosen = numpy.take_along_axis(softmax(logits.astype(float)), order, 1)
    numpy.testing.assert_allclose(weights, chosen / chosen.sum(1, keepdims=True), rtol=1e-5)
    matrices = [ops.pack(e, "f32", n_rows, k) for e in w]
    apart = numpy.einsum("nek,nk->ne", w[ids].astype(float).reshape(n, -1, k), x.astype(float)).reshape(n * top_k, n_rows)
    numpy.testing.assert_allclose(ops.matmul_experts(matrices, ids, x), apart, rtol=1e-4, atol=1e-4)
    together = (apart.reshape(n, top_k, n_rows) * weights[..., None]).sum(1)
    numpy.testing.assert_allclose(ops.matmul_experts(matrices, ids, x, weights=weights), together, rtol=1e-4, atol=1e-4)


def test_wrong_arrays(ops):
    matrix = ops.pack(floats(8, 32), "f32", 8, 32)
    good = floats(4, 32)
    frozen = numpy.zeros((4, 8), numpy.float32)
    frozen.flags.writeable = False
    shared = floats(4, 40)
    unaligned = numpy.frombuffer(bytes(4 * 32 * 4 + 1), numpy.uint8)[1:].view(numpy.float32).reshape(4, 32)
    for x in (None, 5, good.tolist(), good.astype(numpy.float64), good.astype(numpy.int32), good[0], good[:, ::-1], good[::-1],
              floats(32, 4).T, floats(4, 64)[:, ::2], floats(4, 31), floats(4, 33), numpy.broadcast_to(good[0], (4, 32)), unaligned):  # fmt: skip
        with pytest.raises(elver.InvalidArgumentError):
            ops.matmul(matrix, x)
    for out in (5, numpy.zeros((4, 8)), numpy.zeros((4, 9), numpy.float32), numpy.zeros((8, 4), numpy.float32).T, frozen):
        with pytest.raises(elver.InvalidArgumentError):
            ops.matmul(matrix, good, out=out)
    with pytest.raises(elver.InvalidArgumentError, match="apart"):
        ops.matmul(matrix, shared[:, :32], out=shared[:, 32:])
    for bias in (floats(7), floats(8, 1), floats(16)[::2], numpy.zeros(8)):
        with pytest.raises(elver.InvalidArgumentError):
            ops.matmul(matrix, good, bias=bias)
    for rows, dtype, n_rows, k in ((b"1", "f32", 1, 1), (None, "f32", 1, 1), (floats(8, 32), "q9", 8, 32), (floats(8, 32), "f32", 9, 32),
                                   (floats(8, 64)[:, ::2], "f32", 8, 32), (bytes(34), "q8_0", 1, 33), (b"", "f32", -1, 32)):  # fmt: skip
        with pytest.raises((elver.InvalidArgumentError, ValueError)):
            ops.pack(rows, dtype, n_rows, k)
        with pytest.raises((elver.InvalidArgumentError, ValueError)):
            ops.dequantize(rows, dtype, n_rows, k)
    for x, dtype in ((None, "q8_0"), (good[0], "q8_0"), (good.astype(float), "q8_0"), (floats(4, 33), "q8_0"), (good, "q9"), (good, 8),
                     (numpy.full((1, 32), numpy.inf, numpy.float32), "q8_0")):  # fmt: skip
        with pytest.raises(elver.InvalidArgumentError):
            ops.quantize(x, dtype)
    with pytest.raises(elver.UnsupportedError):
        ops.quantize(floats(1, 256), "iq1_s")
    q, k, v = floats(2, 4, 8), floats(3, 2, 8), floats(3, 2, 8)
    for args in ((q, k, v[:2]), (q, k[:, :1], v), (q[:, :3], k, v), (q[..., :7], k, v), (floats(4, 4, 8), k, v), (q[0], k, v)):
        with pytest.raises(elver.InvalidArgumentError):
            ops.attention(*args)
    with pytest.raises(elver.InvalidArgumentError):
        ops.attention(q, k, v, sinks=floats(3))
    for logits, top_k in ((floats(3), 1), (floats(3, 4), 5), (floats(3, 4), 0), (floats(3, 4).astype(float), 1),
                          (numpy.full((1, 4), numpy.nan, numpy.float32), 1)):  # fmt: skip
        with pytest.raises(elver.InvalidArgumentError):
            elver.ops.route(logits, top_k)
    ids = numpy.zeros((4, 1), numpy.int32)
    for matrices, wrong_ids, x in (([], ids, good), ([matrix], ids.astype(numpy.int64), good), ([matrix], ids + 1, good),
                                   ([matrix], ids - 1, good), ([matrix], ids[0], good), ([matrix], ids, good[:3])):  # fmt: skip
        with pytest.raises(elver.InvalidArgumentError):
            ops.matmul_experts(matrices, wrong_ids, x)


def test_closed():
    ops = elver.ops.Ops(n_threads=1)
    matrix, cache = ops.pack(floats(8, 32), "f32", 8, 32), ops.cache(2, 1, 8, n_ctx=4)
    ops.close()
    with pytest.raises(elver.InvalidArgumentError, match="closed"):
        ops.matmul(matrix, floats(1, 32))
    cache.append(floats(1, 1, 8), floats(1, 1, 8))  # it keeps what it needs
    for thing, use in ((matrix, lambda: matrix.shape), (cache, lambda: cache.append(floats(1, 1, 8), floats(1, 1, 8)))):
        thing.close()
        with pytest.raises(elver.InvalidArgumentError, match="closed"):
            use()
        assert "closed" in repr(thing)
