"""Models and their vocabularies."""

import json
import os
from typing import TYPE_CHECKING, Any, Callable, Literal, NamedTuple, Optional, Sequence, get_args

from . import _elver
from ._errors import NotPicklable, choose, flag, function, number, option, whole
from ._files import Sink, Source, sink_of, source_of
from ._progress import Progress, progress_function
from ._request import Ids, Message, dump
from ._session import Session
from ._threads import Threads, threads_of

if TYPE_CHECKING:  # for whoever resolves what Ids is here
    import numpy  # noqa: F401  # pyright: ignore[reportUnusedImport]
    from numpy.typing import NDArray  # noqa: F401  # pyright: ignore[reportUnusedImport]

CacheType = Literal["f32", "f16", "q8_0", "q4_0"]
CACHE_TYPES: "dict[CacheType, int]" = {"f32": 1, "f16": 2, "q8_0": 3, "q4_0": 4}
ContextPolicy = Literal["stop", "slide"]
CONTEXT_POLICIES: "dict[ContextPolicy, int]" = {"stop": 0, "slide": 1}


class Plan(NamedTuple):
    """Bytes that a loaded model and one session take, exactly, and what they were computed for."""

    weights: int
    kv_cache: int
    scratch: int
    total: int
    n_ctx: int
    max_batch: int
    cache_type: CacheType
    token_weights: int  # of those, what a pass of one token reads: of experts, those chosen


class Fit(NamedTuple):
    """Sessions that a budget has room for, and the bytes that they and the model take; ``n_ctx`` and ``n_sessions`` are 0
    where not even the least fits, which takes ``least``."""

    n_ctx: int
    n_sessions: int
    total: int
    least: int


class Tensor(NamedTuple):
    """A tensor of a model's file; ``shape`` is outermost first."""

    name: str
    type: str
    shape: "tuple[int, ...]"
    bytes: int


class Measurement(NamedTuple):
    """What the machine can do with a model's threads."""

    dot_ops_per_s: float
    read_bytes_per_s: float


def machine() -> "dict[str, Any]":
    """The processor, its usable cores, and the instruction sets that elver may use here, the chosen one as ``isa``.

    >>> sorted(elver.machine())
    ['available_isas', 'isa', 'processor', 'usable_cores']
    """
    return _object(_elver.describe_machine())


def render_template(source: str, **variables: Any) -> str:
    """Renders the source of a chat template.

    >>> elver.render_template("{{ greeting }}, {{ name }}!", greeting="Hello", name="Ada")
    'Hello, Ada!'
    """
    return _elver.render_template(source, dump(variables, "variables"))


def quantize(
    source: Source, sink: Sink, type: str, *, n_threads: Optional[int] = None, progress: Progress = None
) -> None:
    """Writes a GGUF model with its matrices in another element type, as "Q4_K", least in squared error. A path's file
    appears whole or not at all.

    >>> elver.quantize(MODEL, "small.gguf", "Q4_0")
    >>> elver.Tokenizer("small.gguf").n_vocab
    49152
    """
    _elver.quantize(
        source_of(source), sink_of(sink), type, option("n_threads", n_threads), progress_function(progress, f"writing {type}")
    )


def write_synth(name: str, sink: Sink, *, n_layers: int = 0, progress: Progress = None) -> None:
    """Writes a model of well-known dimensions with random weights, as "llama-1b:q4_0", for measuring speed; ``n_layers`` 0:
    all of them, or as many as take two fifths of this machine's memory."""
    _elver.write_synth(name, whole("n_layers", n_layers), sink_of(sink), progress_function(progress, f"writing {name}"))


TokenKind = Literal["normal", "unknown", "control", "user_defined", "unused", "byte", "marker"]
_KINDS: "tuple[TokenKind, ...]" = ("normal", "unknown", "control", "user_defined", "unused", "byte", "marker")
Special = Literal[
    "bos", "eos", "eot", "eom", "unk", "sep", "pad", "cls", "mask", "fim_pre", "fim_suf", "fim_mid", "fim_pad", "fim_rep", "fim_sep"
]
_SPECIALS: "dict[Special, int]" = {name: number for number, name in enumerate(get_args(Special))}


class Token(NamedTuple):
    """A token of a vocabulary.

    ``bytes`` are what it stands for, which may be a part of a character; a control token's are its spelling. One that
    ``is_control`` is not shown in text, one that ``is_end`` ends an answer.
    """

    id: int
    bytes: bytes
    kind: TokenKind
    is_control: bool
    is_end: bool


class Detokenizer(NotPicklable):
    """Turns tokens that come one by one into whole characters, made by :meth:`Tokenizer.detokenizer`."""

    def __init__(self, handle: "_elver.Detokenizer") -> None:
        self._handle = handle

    def push(self, id: int) -> str:
        """What became whole with this token; may be empty."""
        return self._handle.push(whole("id", id))

    def finish(self) -> str:
        """What waited for the rest of its character, as U+FFFD. The next push begins another stream."""
        return self._handle.finish()

    def close(self) -> None:
        """Lets go of it; to close twice is allowed."""
        self._handle.close()

    def __enter__(self) -> "Detokenizer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return "<elver.Detokenizer, closed>" if self._handle.closed() else "<elver.Detokenizer>"


class Tokenizer(NotPicklable):
    """A vocabulary: text to token ids and back. Any thread may use it.

    >>> tokenizer = elver.Tokenizer(MODEL)
    >>> tokenizer.encode("Hello, world!")
    [19556, 28, 905, 17]
    >>> tokenizer.decode([19556, 28, 905, 17])
    'Hello, world!'
    """

    def __init__(self, source: Source) -> None:
        self._handle = _elver.Tokenizer(source_of(source))

    def encode(self, text: str, *, add_special: bool = True, parse_special: bool = False) -> "list[int]":
        """Ids of a text.

        ``add_special`` adds BOS and EOS where the model wants them. With ``parse_special`` control tokens spelled in the
        text become tokens: not for text of strangers.
        """
        return self._handle.encode(text, flag("add_special", add_special), flag("parse_special", parse_special))

    def decode(self, ids: Ids, *, special: bool = False) -> str:
        """Text of ids, a sequence or a NumPy array; with ``special`` control tokens are shown."""
        return self._handle.decode(ids, flag("special", special))

    def render(self, messages: "Sequence[Message]", *, add_generation_prompt: bool = True, **variables: Any) -> str:
        """A conversation through the chat template that lies beside the vocabulary.

        >>> print(elver.Tokenizer(MODEL).render([{"role": "system", "content": "Be brief."}]))
        <|im_start|>system
        Be brief.<|im_end|>
        <|im_start|>assistant
        <BLANKLINE>
        """
        variables |= {"messages": messages, "add_generation_prompt": add_generation_prompt}
        return self._handle.render(dump(variables, "variables"))

    def token(self, id: int) -> Token:
        """What there is to know of a token.

        >>> elver.Tokenizer(MODEL).token(2)
        Token(id=2, bytes=b'<|im_end|>', kind='control', is_control=True, is_end=True)
        """
        id = whole("id", id)
        bytes, kind, is_control, is_end = self._handle.token(id)
        return Token(id, bytes, _KINDS[kind - 1], is_control, is_end)

    def special(self, name: Special) -> Optional[int]:
        """The id of a special token, as "bos", "eos" or "fim_pre"; None where the vocabulary has none."""
        given = "" if name is None else name  # pyright: ignore[reportUnnecessaryComparison]
        return _id(self._handle.special(choose("name", given, _SPECIALS)))

    def find(self, text: str) -> Optional[int]:
        """The id of the token that the model's file spells so; None where there is none.

        >>> elver.Tokenizer(MODEL).find("<|im_end|>")
        2
        """
        return _id(self._handle.find(text))

    def detokenizer(self, *, special: bool = False, follow: Ids = ()) -> Detokenizer:
        """A stream of tokens that become text. ``follow``: the tokens that stand before it, as those of a prompt that it
        continues. With ``special`` control tokens are shown.

        >>> tokenizer = elver.Tokenizer(MODEL)
        >>> stream = tokenizer.detokenizer()
        >>> [stream.push(id) for id in tokenizer.encode("🦉 owl")], stream.finish()
        (['', '', '🦉', ' owl'], '')
        """
        out = Detokenizer(_elver.Detokenizer(self._handle, flag("special", special)))
        out._handle.follow(follow)
        return out

    def is_end(self, id: int) -> bool:
        """Whether a token ends an answer."""
        return self._handle.is_end(whole("id", id))

    @property
    def n_vocab(self) -> int:
        """The number of tokens."""
        return self._handle.n_vocab()

    def __len__(self) -> int:
        return self.n_vocab

    def close(self) -> None:
        """Lets go of it; to close twice is allowed."""
        self._handle.close()

    def __enter__(self) -> "Tokenizer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return "<elver.Tokenizer, closed>" if self._handle.closed() else f"<elver.Tokenizer of {self.n_vocab} tokens>"


class Model(NotPicklable):
    """A model file. Any thread may use it; sessions share its weights.

    ``source`` is a path, an open file, which is read from its position on, or bytes. ``n_threads`` is by default the physical
    cores that the process may use; ``threads`` are shared with other models. A model that needs more than ``budget_bytes``
    for itself and one session of ``n_ctx`` positions is refused; the pages of all sessions take at most ``page_bytes``. A
    pass is over ``pass_tokens`` and ``pass_sessions`` at most, and a token takes about ``prompt_gap`` (2.2) times as long at
    most while prompts of other sessions are read. With ``load=False`` it is only opened: see what it will take with :meth:`plan`, then :meth:`load` it. ``log`` takes the lines
    of its log and their levels, as ``logging.getLogger("elver").log`` does; without it nothing is logged.
    ``progress=True`` shows a bar while it loads where tqdm is installed; a function gets the fraction, and cancels with
    False.

    >>> model = elver.Model(MODEL, load=False)
    >>> model
    <elver.Model 'SmolLM2-135M-Instruct.Q4_1.gguf': llama, 49152 tokens, not loaded>
    >>> model.plan(n_ctx=1024).kv_cache
    23592960
    >>> model.load()
    >>> model.session(n_ctx=1024)
    <elver.Session: 0 of 1024 positions>
    """

    def __init__(
        self,
        source: Source,
        *,
        load: bool = True,
        n_threads: Optional[int] = None,
        threads: Optional[Threads] = None,
        budget_bytes: Optional[int] = None,
        page_bytes: Optional[int] = None,
        pass_tokens: Optional[int] = None,
        pass_sessions: Optional[int] = None,
        prompt_gap: Optional[float] = None,
        n_ctx: Optional[int] = None,
        max_batch: Optional[int] = None,
        cache_type: Optional[CacheType] = None,
        progress: Progress = None,
        log: Optional[Callable[[int, str], object]] = None,
    ) -> None:
        self._loaded = False
        self._name: str = os.path.basename(os.fspath(source)) if isinstance(source, (str, os.PathLike)) else type(source).__name__
        self._handle = _elver.Model(
            source_of(source),
            option("n_threads", n_threads),
            threads_of(threads),
            _bytes("budget_bytes", budget_bytes),
            _bytes("page_bytes", page_bytes),
            option("pass_tokens", pass_tokens),
            option("pass_sessions", pass_sessions),
            0.0 if prompt_gap is None else number("prompt_gap", prompt_gap),
            *_session_options(n_ctx, max_batch, cache_type),
            function("log", log),
        )
        if flag("load", load):
            self.load(progress=progress)

    def load(self, *, progress: Progress = None) -> None:
        """Packs the weights for this machine; on a loaded model it does nothing. Cancelled, it may be called again."""
        self._handle.load(progress_function(progress, f"loading {self._name}"))
        self._loaded = True

    def plan(
        self, *, n_ctx: Optional[int] = None, max_batch: Optional[int] = None, cache_type: Optional[CacheType] = None
    ) -> Plan:
        """What the model with one session of these options takes."""
        plan = self._handle.plan(*_session_options(n_ctx, max_batch, cache_type))
        names: "dict[int, CacheType]" = {number: name for name, number in CACHE_TYPES.items()}
        return Plan(*plan[:6], names[plan[6]], plan[7])

    def fit(
        self,
        budget_bytes: int,
        *,
        n_sessions: Optional[int] = None,
        n_ctx: Optional[int] = None,
        max_batch: Optional[int] = None,
        cache_type: Optional[CacheType] = None,
    ) -> Fit:
        """The largest context that a budget has room for, of ``n_sessions`` sessions (by default one), or with ``n_ctx`` the
        most sessions of that context.

        >>> model = elver.Model(MODEL, load=False)
        >>> model.fit(model.plan(n_ctx=1024).total).n_ctx
        1024
        >>> model.fit(2**20).n_ctx
        0
        """
        options = _session_options(n_ctx, max_batch, cache_type)
        return Fit(*self._handle.fit(_bytes("budget_bytes", budget_bytes), option("n_sessions", n_sessions), *options))

    def session(
        self,
        *,
        n_ctx: Optional[int] = None,
        max_batch: Optional[int] = None,
        cache_type: Optional[CacheType] = None,
        priority: Optional[int] = None,
        context_policy: Optional[ContextPolicy] = None,
        n_keep: Optional[int] = None,
    ) -> Session:
        """Opens a session of ``n_ctx`` positions (by default the model's, at most 4096) in the loaded model. One of a higher
        ``priority`` goes first, and gives up its pages last. When the context is full an answer ends, or with
        ``context_policy="slide"`` the text drops its older half, its first ``n_keep`` tokens aside."""
        options = (
            *_session_options(n_ctx, max_batch, cache_type),
            option("priority", priority),
            choose("context_policy", context_policy, CONTEXT_POLICIES),
            option("n_keep", n_keep),
        )
        return Session(_elver.Session(self._handle, *options), self._name)

    @property
    def tokenizer(self) -> Tokenizer:
        """Its vocabulary."""
        tokenizer = Tokenizer.__new__(Tokenizer)
        tokenizer._handle = self._handle.tokenizer()
        return tokenizer

    @property
    def n_vocab(self) -> int:
        """The size of the vocabulary that logits are over."""
        return self._handle.n_vocab()

    @property
    def n_ctx_train(self) -> int:
        """The positions that it was trained for."""
        return self._handle.n_ctx_train()

    @property
    def metadata(self) -> "dict[str, Any]":
        """The file's metadata, long arrays cut."""
        return _object(self._handle.describe(0))

    @property
    def tensors(self) -> "list[Tensor]":
        """The file's tensors."""
        rows = json.loads(self._handle.describe(1))
        return [Tensor(row["name"], row["type"], tuple(row["shape"]), row["bytes"]) for row in rows]

    @property
    def spec(self) -> "dict[str, Any]":
        """The architecture as elver understands it."""
        return _object(self._handle.describe(2))

    @property
    def program(self) -> str:
        """A line for each phase of the forward pass."""
        return self._handle.describe(3)

    @property
    def chat_template(self) -> str:
        """The chat template's source; empty if there is none."""
        return self._handle.describe(4)

    @property
    def machine(self) -> "dict[str, Any]":
        """As :func:`elver.machine`, with the threads and the instruction set that this model uses."""
        return _object(self._handle.describe(5))

    @property
    def width(self) -> int:
        """The width of its hidden states and embeddings."""
        return self._handle.width()

    def pack(self, sink: Sink, *, progress: Progress = None) -> None:
        """Writes it as a packed file, which loads by mapping: its weights lie there as this machine's kernels read them. It
        is opened like any model."""
        self._handle.pack(sink_of(sink), progress_function(progress, f"packing {self._name}"))

    def measure(self) -> Measurement:
        """What the machine can do with this model's threads: takes about a second and 256 MiB."""
        return Measurement(*self._handle.measure())

    def close(self) -> None:
        """Lets go of it; its sessions keep what they need. To close twice is allowed."""
        self._handle.close()

    def __enter__(self) -> "Model":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _state(self) -> str:
        return "closed" if self._handle.closed() else "loaded" if self._loaded else "not loaded"

    def __repr__(self) -> str:
        if self._handle.closed():
            return f"<elver.Model {self._name!r}, closed>"
        return f"<elver.Model {self._name!r}: {self.spec['architecture']}, {self.n_vocab} tokens, {self._state()}>"

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        from html import escape

        rows = {"state": self._state()}
        if not self._handle.closed():
            spec, plan = self.spec, self.plan()
            rows |= {
                "architecture": f"{spec['architecture']}, {spec['n_layers']} layers of width {spec['width']}",
                "vocabulary": f"{self.n_vocab} tokens",
                "trained for": f"{self.n_ctx_train} positions",
                "memory": f"{plan.total / 2**20:.0f} MiB with {plan.n_ctx} positions of {plan.cache_type}",
            }
        cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in rows.items())
        return f"<table><caption>{escape(self._name)}</caption>{cells}</table>"


def _session_options(n_ctx: Optional[int], max_batch: Optional[int], cache_type: Optional[str]) -> "tuple[int, int, int]":
    return option("n_ctx", n_ctx), option("max_batch", max_batch), choose("cache_type", cache_type, CACHE_TYPES)


def _bytes(name: str, given: Optional[int]) -> int:
    return 0 if given is None else whole(name, given, 0, 2**64 - 1)


def _id(found: int) -> Optional[int]:
    return None if found < 0 else found


def _object(text: str) -> "dict[str, Any]":
    out: "dict[str, Any]" = json.loads(text)
    return out
