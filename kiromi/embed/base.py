"""What an embedder is, and the value by which a store remembers one.

The protocol is small so that anything can be one. What it leaves out is optional and read by name: ``window`` and
``count_tokens`` (else texts are cut by an estimate), and ``spec`` (else a store cannot make the embedder again on its
own when it is opened without one).
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from kiromi.errors import InvalidInput

Metric: TypeAlias = Literal["cosine", "dot", "l2"]
METRICS: tuple[Metric, ...] = ("cosine", "dot", "l2")
Role: TypeAlias = Literal["document", "query"]
Matrix: TypeAlias = npt.NDArray[np.float32]
"""Vectors as rows: shape (count, dimension), 32-bit floats."""

MAX_DIMENSION = 16_384
LONGEST = 1e18
"""Euclidean length of a vector at most: the squares of longer ones overflow in 32 bits."""
SPLITTER = "markdown-1"
"""The version of how texts are cut into passages; part of a model's fingerprint, since vectors depend on it."""


class Embedder(Protocol):
    """Turns texts into vectors. It may be called from several threads at once."""

    @property
    def id(self) -> str:
        """Names model, revision, pooling, normalisation and prefixes: embedders of one id give the same vectors."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""

    @property
    def metric(self) -> Metric:
        """How two vectors are compared."""

    @property
    def batch_size(self) -> int:
        """How many texts ``embed`` takes at most in one call."""

    def embed(self, texts: Sequence[str], role: Role) -> npt.ArrayLike:
        """Return one vector for each text, in order: shape (len(texts), dimension), finite numbers.

        Args:
            texts: each fits the embedder's window.
            role: whether the texts are stored, or searched for.
        """


@dataclass(frozen=True, slots=True)
class Model:
    """An embedding model, as a store's registry holds it."""

    name: str
    """The embedder's id."""
    dimension: int
    metric: Metric
    window: int | None
    """Tokens per text; None when there is no limit."""
    spec: str | None
    """The text from which :func:`kiromi.embed.specs.make` makes the embedder again; never holds a secret."""
    is_caller: bool = False
    """Whether vectors are given by the caller with each memory."""

    @property
    def fingerprint(self) -> str:
        """SHA-256, lower-case hex, of all that vectors depend on."""
        facts: list[Any] = [self.name, self.dimension, self.metric]
        if not self.is_caller:
            facts += [self.window, SPLITTER]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    @classmethod
    def of(cls, embedder: Embedder) -> "Model":
        """Return the model of an embedder.

        Raises:
            InvalidInput: the embedder lacks something, or says something impossible.
        """
        missing = [name for name in ("id", "dimension", "metric", "batch_size", "embed") if not hasattr(embedder, name)]
        if missing:
            raise InvalidInput(
                f"embedder {embedder!r} lacks {', '.join(missing)}; accepted: an object with id, dimension, metric,"
                " batch_size and embed(texts, role), or a text such as 'minilm' or 'hash'"
            )
        if not isinstance(embedder.id, str) or not embedder.id:
            raise InvalidInput(f"the embedder's id={embedder.id!r} is not a non-empty text")
        _check_count(embedder.dimension, "dimension", MAX_DIMENSION)
        _check_count(embedder.batch_size, "batch_size", None)
        if embedder.metric not in METRICS:
            raise InvalidInput(f"the embedder's metric={embedder.metric!r}; accepted: {', '.join(METRICS)}")
        window = getattr(embedder, "window", None)
        if window is not None:
            _check_count(window, "window", None)
        return cls(
            embedder.id,
            embedder.dimension,
            embedder.metric,
            window,
            getattr(embedder, "spec", None),
            bool(getattr(embedder, "is_caller", False)),
        )


def _check_count(value: Any, name: str, most: int | None) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1 or (most is not None and value > most):
        limit = "" if most is None else f" to {most:,}"
        raise InvalidInput(f"the embedder's {name}={value!r} is not a whole number from 1{limit}")
