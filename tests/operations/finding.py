"""What tests of search share: embedders that can be watched and made to fail, and a model of exact search."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

import kiromi
from kiromi.embed.base import Metric, Role
from kiromi.embed.hashing import HashingEmbedder
from kiromi.model import Hit

ANA = {"user": "ana"}
BOB = {"user": "bob"}


@dataclass(eq=False)
class Watched:
    """An embedder that counts its calls and does what it is told before it answers."""

    dimension: int = 16
    name: str = "watched"
    window: int | None = None
    batch_size: int = 8
    metric: Metric = "cosine"
    spec: str | None = None
    before: Callable[[Sequence[str], Role], None] | None = None
    texts: list[str] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        return f"{self.name}-{self.dimension}"

    def embed(self, texts: Sequence[str], role: Role) -> npt.ArrayLike:
        if self.before is not None:
            self.before(texts, role)
        (self.texts if role == "document" else self.queries).extend(texts)
        return HashingEmbedder(self.dimension).embed(texts, role)

    def taken(self) -> list[str]:
        """Return the documents since the last look."""
        found, self.texts = self.texts, []
        return found


def fail(texts: Sequence[str], role: Role) -> None:
    raise ConnectionError("the server is away")


class Gate:
    """Holds an embedder up until it is opened."""

    def __init__(self) -> None:
        self.is_reached = threading.Event()
        self.is_open = threading.Event()

    def __call__(self, texts: Sequence[str], role: Role) -> None:
        self.is_reached.set()
        assert self.is_open.wait(60), "nobody opened the gate"


def vector_of(title: str | None, text: str, dimension: int) -> npt.NDArray[np.float32]:
    """Return what a ``hash`` or watched embedder makes of a short memory."""
    found = HashingEmbedder(dimension).embed([f"{title}\n\n{text}" if title else text], "document")
    return np.asarray(found[0], np.float32)


def score(metric: Metric, stored: npt.ArrayLike, query: npt.ArrayLike) -> float:
    """Return the score of a vector, in 64 bits upon what an index keeps: 32 bits, and for cosine of length 1."""
    rows = np.array([stored, query], np.float32)
    if metric == "cosine":
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
        rows = (rows / np.where(lengths == 0, 1, lengths)[:, None]).astype(np.float32)
    one, other = rows.astype(np.float64)
    if metric == "l2":
        return -float(np.sqrt(np.square(one - other).sum()))
    return float((one * other).sum().clip(-1, 1) if metric == "cosine" else (one * other).sum())


def ranked(
    metric: Metric, vectors: Mapping[str, npt.ArrayLike], query: npt.ArrayLike, k: int
) -> list[tuple[str, float]]:
    """Return ids and scores of the k nearest, ties by id."""
    scored = [(key, score(metric, vector, query)) for key, vector in vectors.items()]
    return sorted(scored, key=lambda item: (-item[1], item[0]))[:k]


def found(hits: Iterable[Hit]) -> list[tuple[str, float]]:
    return [(hit.id, hit.score) for hit in hits]


def texts(hits: Iterable[Any]) -> list[str]:
    return [hit.text for hit in hits]


def check_exact(store: kiromi.Store, dimension: int, *, words: Sequence[str] = ()) -> None:
    """Check that search over all of a store embedded by hashing is exact, and that each word finds its memories."""
    memories = store.get_many(store.list_ids())
    vectors = {m.id: vector_of(m.title, m.text, dimension) for m in memories}
    query = vector_of(None, "one of the notes 7 about zebras", dimension)
    hits = store.search(vector=query.tolist(), mode="vector", k=max(1, len(memories)))
    assert found(hits) == ranked("cosine", vectors, query, len(memories))
    assert all(hit.data == memory.data for hit, memory in zip(hits, store.get_many([h.id for h in hits]), strict=True))
    for word in words:
        hits = store.search(word, mode="text", k=max(1, len(memories)))
        assert {hit.id for hit in hits} == {m.id for m in memories if word in m.text.split()}
