"""The operations that language models are made of, over NumPy arrays that are neither copied nor converted.

Arrays are float32 with contiguous rows, any distance apart: a slice of rows or of the first columns is taken as it lies.
Anything else is an :class:`elver.InvalidArgumentError`. Each function takes ``out``, an array to write into, or makes one.
Results do not depend on the number of threads or on how many rows a call has.

>>> import elver.ops, numpy
>>> ops = elver.ops.Ops(n_threads=2)
>>> weights = numpy.arange(64 * 32, dtype=numpy.float32).reshape(64, 32) / 1000
>>> matrix = ops.pack(weights, "f32", 64, 32)
>>> x = numpy.ones((3, 32), numpy.float32)
>>> bool(numpy.allclose(ops.matmul(matrix, x), x @ weights.T))
True
"""

from typing import TYPE_CHECKING, Any, Literal, Optional, Sequence

from . import _elver
from ._errors import InvalidArgumentError, NotPicklable, choose, flag, number, option, shown, whole
from ._model import CACHE_TYPES, CacheType
from ._threads import Threads, threads_of

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Floats = NDArray[numpy.float32]

# How the rows of a matrix are stored; the numbers are GGUF's.
DTYPES = {
    "f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "q2_k": 10, "q3_k": 11, "q4_k": 12,
    "q5_k": 13, "q6_k": 14, "iq2_xxs": 16, "iq2_xs": 17, "iq3_xxs": 18, "iq1_s": 19, "iq4_nl": 20, "iq3_s": 21,
    "iq2_s": 22, "iq4_xs": 23, "iq1_m": 29, "bf16": 30, "tq1_0": 34, "tq2_0": 35, "mxfp4": 39,
}  # fmt: skip
SCORES = {"softmax": 0, "sigmoid": 1, "softmax_chosen": 2}


def row_bytes(dtype: str, k: int) -> int:
    """Bytes of a row of ``k`` elements.

    >>> elver.ops.row_bytes("q4_0", 64)
    36
    """
    return _elver.row_bytes(choose("dtype", dtype, DTYPES), _size("k", k))


def _size(name: str, value: Any) -> int:
    return whole(name, value, 0, 2**63 - 1)


def route(
    logits: "Floats",
    top_k: int,
    *,
    score: Literal["softmax", "sigmoid", "softmax_chosen"] = "softmax",
    renormalise: bool = False,
    n_groups: int = 1,
    n_groups_used: int = 1,
    scale: float = 1.0,
    choice_bias: "Optional[Floats]" = None,
) -> "tuple[NDArray[numpy.int32], Floats]":
    """Chooses ``top_k`` experts for each token: (ids, weights), both [n, top_k], best first, of logits [n, n_experts].

    >>> ids, weights = elver.ops.route(numpy.array([[0, 2, 1]], numpy.float32), 2, renormalise=True)
    >>> ids.tolist(), weights.round(3).tolist()
    ([[1, 2]], [[0.731..., 0.268...]])
    """
    return _elver.route(
        logits, choose("score", score, SCORES), whole("top_k", top_k), flag("renormalise", renormalise),
        whole("n_groups", n_groups), whole("n_groups_used", n_groups_used), number("scale", scale), choice_bias,
    )  # fmt: skip


def _handle_of(name: str, matrix: Any) -> _elver.Matrix:
    if not isinstance(matrix, Matrix):
        raise InvalidArgumentError(f"{name}: expected a Matrix made by Ops.pack(), found {shown(matrix)}", name)
    return matrix._handle


class Matrix(NotPicklable):
    """A weight matrix in the layout of this machine's kernels, made by :meth:`Ops.pack`; immutable."""

    _handle: _elver.Matrix

    @property
    def shape(self) -> "tuple[int, int]":
        """(outputs, inputs)"""
        return self._handle.rows(), self._handle.columns()

    @property
    def n_bytes(self) -> int:
        """Bytes that it takes."""
        return self._handle.bytes()

    def close(self) -> None:
        self._handle.close()

    def __repr__(self) -> str:
        return "<elver.ops.Matrix, closed>" if self._handle.closed() else f"<elver.ops.Matrix {self.shape}>"


class Cache(NotPicklable):
    """Keys and values of one attention layer, made by :meth:`Ops.cache`. It belongs to one thread at a time."""

    _handle: _elver.Cache

    def append(self, k: "Floats", v: "Floats") -> None:
        """Appends keys [n, n_kv_heads, head_dim] and values [n, n_kv_heads, v_head_dim]."""
        self._handle.append(k, v)

    def attend(self, q: "Floats", *, out: "Optional[Floats]" = None) -> "Floats":
        """Attention of the last n positions, queries [n, n_heads, head_dim]: [n, n_heads, v_head_dim]."""
        return self._handle.attend(q, out)

    def rewind(self, position: int) -> None:
        """Goes back to a position."""
        self._handle.rewind(_size("position", position))

    @property
    def position(self) -> int:
        """Positions filled."""
        return self._handle.position()

    @property
    def n_bytes(self) -> int:
        """Bytes that keys and values take."""
        return self._handle.bytes()

    def close(self) -> None:
        self._handle.close()

    def __repr__(self) -> str:
        return "<elver.ops.Cache, closed>" if self._handle.closed() else f"<elver.ops.Cache: {self.position} positions>"


class Ops(NotPicklable):
    """Threads and kernels. One call at a time: a second thread gets :class:`elver.BusyError`. ``threads`` are shared with
    models."""

    def __init__(self, *, n_threads: Optional[int] = None, threads: Optional[Threads] = None) -> None:
        self._handle = _elver.Ops(option("n_threads", n_threads), threads_of(threads))

    def quantize(self, x: "Floats", dtype: str) -> "NDArray[numpy.uint8]":
        """Encodes rows x [n_rows, k], to the nearest that the format can say: [n_rows, row_bytes] as a GGUF file holds them.

        >>> with elver.ops.Ops() as ops:
        ...     rows = ops.quantize(numpy.ones((2, 32), numpy.float32), "q8_0")
        ...     rows.shape, ops.dequantize(rows, "q8_0", 2, 32)[0, 0].round(3).item()
        ((2, 34), 1.0)
        """
        return self._handle.quantize(choose("dtype", dtype, DTYPES), x)

    def dequantize(self, rows: Any, dtype: str, n_rows: int, k: int, *, out: "Optional[Floats]" = None) -> "Floats":
        """Decodes ``n_rows`` rows of ``k`` elements, bytes as a GGUF file holds them: [n_rows, k]."""
        return self._handle.dequantize(choose("dtype", dtype, DTYPES), rows, _size("n_rows", n_rows), _size("k", k), out)

    def pack(self, rows: Any, dtype: str, n_rows: int, k: int) -> Matrix:
        """Packs a weight matrix of ``n_rows`` outputs and ``k`` inputs."""
        matrix = Matrix()
        matrix._handle = self._handle.pack(choose("dtype", dtype, DTYPES), rows, _size("n_rows", n_rows), _size("k", k))
        return matrix

    def matmul(
        self, matrix: Matrix, x: "Floats", *, bias: "Optional[Floats]" = None, out: "Optional[Floats]" = None
    ) -> "Floats":
        """x [n, k] times the matrix, plus bias [n_rows]: [n, n_rows]. Block formats round x to 8 bits."""
        return self._handle.matmul(_handle_of("matrix", matrix), x, bias, out)

    def matmul_experts(
        self,
        matrices: "Sequence[Matrix]",
        ids: "NDArray[numpy.int32]",
        x: "Floats",
        *,
        weights: "Optional[Floats]" = None,
        out: "Optional[Floats]" = None,
    ) -> "Floats":
        """Products of tokens with the experts chosen for them, ids [n, top_k].

        x has a row for each token, or for each choice. With ``weights`` [n, top_k] the products of a token are weighed and
        added: [n, n_rows]; without, they are kept apart: [n * top_k, n_rows].
        """
        if not isinstance(matrices, (list, tuple)):
            raise InvalidArgumentError(f"matrices: expected a list of matrices, found {shown(matrices)}", "matrices")
        handles = [_handle_of("matrices", matrix) for matrix in matrices]
        return self._handle.matmul_experts(handles, ids, x, weights, out)

    def attention(
        self,
        q: "Floats",
        k: "Floats",
        v: "Floats",
        *,
        causal: bool = True,
        window: int = 0,
        scale: float = 0.0,
        soft_cap: float = 0.0,
        alibi_slopes: "Optional[Floats]" = None,
        sinks: "Optional[Floats]" = None,
        out: "Optional[Floats]" = None,
    ) -> "Floats":
        """Grouped-query attention: q [n, n_heads, head_dim], k [n_keys, n_kv_heads, head_dim], v [n_keys, n_kv_heads,
        v_head_dim] to [n, n_heads, v_head_dim]. The queries are the last n positions. ``window`` counts the positions that
        a query sees, its own included; 0 is all. ``scale`` 0 is 1 / sqrt(head_dim)."""
        return self._handle.attention(
            q, k, v, flag("causal", causal), whole("window", window), number("scale", scale), number("soft_cap", soft_cap),
            alibi_slopes, sinks, out,
        )  # fmt: skip

    def cache(
        self,
        n_heads: int,
        n_kv_heads: int,
        head_dim: int,
        *,
        n_ctx: int,
        v_head_dim: int = 0,
        max_batch: Optional[int] = None,
        cache_type: CacheType = "f16",
        window: int = 0,
        scale: float = 0.0,
        soft_cap: float = 0.0,
        alibi_slopes: "Optional[Floats]" = None,
        sinks: "Optional[Floats]" = None,
    ) -> Cache:
        """A cache of ``n_ctx`` positions for one causal layer; ``max_batch`` (by default at most 512) are appended at once."""
        options = _elver.Attention(
            whole("n_heads", n_heads), whole("n_kv_heads", n_kv_heads), whole("head_dim", head_dim),
            whole("v_head_dim", v_head_dim), True, whole("window", window), number("scale", scale),
            number("soft_cap", soft_cap), alibi_slopes, sinks,
        )  # fmt: skip
        cache = Cache()
        n_ctx = _size("n_ctx", n_ctx)
        n_batch = min(512, n_ctx) if max_batch is None else _size("max_batch", max_batch)
        cache._handle = self._handle.cache(options, n_ctx, n_batch, choose("cache_type", cache_type, CACHE_TYPES))
        return cache

    def close(self) -> None:
        """Lets go of the threads, where no matrix or cache needs them."""
        self._handle.close()

    def __enter__(self) -> "Ops":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return "<elver.ops.Ops, closed>" if self._handle.closed() else "<elver.ops.Ops>"
