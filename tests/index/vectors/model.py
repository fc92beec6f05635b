"""A model of the vector index that is small enough to be obviously right, and what tests of the index share."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kiromi.embed.base import Metric
from kiromi.index.items import Ids, Matrix, PassageBatch, PassageHit, Place
from kiromi.index.vectors import GraphSettings, PassageKeys, VectorIndex, VectorScope

IDENTITY = {"store": "01S", "model": "f00d"}
NO_GRAPH = GraphSettings(threshold=1 << 30)


def memory_id(number: int) -> str:
    return f"01ARZ3NDEKTSV4RRFFQ6{number:06d}"


def as_ids(ids: Iterable[str]) -> Ids:
    return np.array(sorted(ids), "S26")


@dataclass(frozen=True)
class Passage:
    id: str
    n: int
    begin: int
    place: Place
    vector: tuple[float, ...]

    @property
    def end(self) -> int:
        return self.begin + 10


def batch(passages: Sequence[Passage], dimension: int) -> PassageBatch:
    return PassageBatch(
        np.array([one.id for one in passages], "S26"),
        np.array([one.n for one in passages], np.int32),
        np.array([one.begin for one in passages], np.int64),
        np.array([one.end for one in passages], np.int64),
        [one.place for one in passages],
        np.array([one.vector for one in passages], np.float32).reshape(-1, dimension),
    )


def keys_of(passages: Sequence[Passage]) -> PassageKeys:
    rows = batch(passages, len(passages[0].vector) if passages else 1)
    places = list(dict.fromkeys(rows.places))
    codes = np.array([places.index(place) for place in rows.places], np.int32)
    return PassageKeys(rows.ids, rows.numbers, rows.begins, rows.ends, codes, places)


def chunks_of(vectors: Matrix, size: int, seed: int = 0) -> Iterator[tuple[npt.NDArray[np.int64], Matrix]]:
    """Yield vectors with their positions, shuffled."""
    order = np.random.default_rng(seed).permutation(len(vectors))
    for start in range(0, len(order), size):
        yield order[start : start + size], vectors[order[start : start + size]]


def build(
    folder: Path | None,
    passages: Sequence[Passage],
    dimension: int,
    metric: Metric = "cosine",
    settings: GraphSettings = NO_GRAPH,
    *,
    watermark: int = 0,
    with_graph: bool = False,
    should_stop: Callable[[], bool] | None = None,
) -> VectorIndex:
    vectors = batch(passages, dimension).vectors
    chunks = chunks_of(vectors, 7 if len(vectors) < 100 else 1000)
    return VectorIndex.build(
        folder,
        IDENTITY,
        dimension,
        metric,
        settings,
        keys_of(passages),
        chunks,
        watermark,
        with_graph=with_graph,
        should_stop=should_stop,
    )


def reopen(
    folder: Path, dimension: int, metric: Metric = "cosine", settings: GraphSettings = NO_GRAPH
) -> VectorIndex | None:
    return VectorIndex.open(folder, IDENTITY, dimension, metric, settings)


def opened(folder: Path, dimension: int, metric: Metric = "cosine", settings: GraphSettings = NO_GRAPH) -> VectorIndex:
    index = reopen(folder, dimension, metric, settings)
    assert index is not None
    return index


def scope_of(index: VectorIndex, places: Iterable[Place] | None, ids: Iterable[str] | None) -> VectorScope:
    codes = None
    if places is not None:
        wanted = set(places)
        found = [code for code, place in enumerate(index.places()) if place in wanted]
        codes = np.array(found, np.int32)
    return VectorScope(codes, None if ids is None else as_ids(ids))


@dataclass
class Model:
    """All passages by memory, compared one by one in 64 bits."""

    dimension: int
    metric: Metric
    memories: dict[str, list[Passage]] = field(default_factory=dict)

    def passages(self) -> list[Passage]:
        return [one for passages in self.memories.values() for one in passages]

    def put(self, passages: Sequence[Passage]) -> None:
        for key in {one.id for one in passages}:
            self.memories[key] = [one for one in passages if one.id == key]

    def move(self, key: str, place: Place) -> None:
        if key in self.memories:
            self.memories[key] = [Passage(p.id, p.n, p.begin, place, p.vector) for p in self.memories[key]]

    def in_scope(self, places: Iterable[Place] | None, ids: Iterable[str] | None) -> list[Passage]:
        chosen = None if places is None else set(places)
        named = None if ids is None else set(ids)
        return [
            one
            for one in self.passages()
            if (chosen is None or one.place in chosen) and (named is None or one.id in named)
        ]

    def score(self, query: Sequence[float], one: Passage) -> float:
        a, b = np.array(query, np.float32).astype(np.float64), np.array(one.vector, np.float32).astype(np.float64)
        if self.metric == "l2":
            return -float(np.linalg.norm(a - b))
        if self.metric == "dot":
            return float(a @ b)
        lengths = np.linalg.norm(a) * np.linalg.norm(b)
        return float(a @ b / lengths) if lengths else 0.0

    def check(
        self,
        hits: Sequence[PassageHit],
        query: Sequence[float],
        k: int,
        places: Iterable[Place] | None = None,
        ids: Iterable[str] | None = None,
    ) -> None:
        """Require that hits are the best in scope, with right scores, and equal scores in the order of ids."""
        scope = {(one.id, one.n, one.begin, one.end): self.score(query, one) for one in self.in_scope(places, ids)}
        found = [(hit.id, hit.n, hit.begin, hit.end) for hit in hits]
        assert len(set(found)) == len(found)
        assert len(hits) == min(k, len(scope))
        scores = [hit.score for hit in hits]
        best = sorted(scope.values(), reverse=True)[: len(hits)]
        np.testing.assert_allclose(scores, [scope[key] for key in found], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(scores, best, rtol=1e-6, atol=1e-6)
        assert [(-hit.score, hit.id, hit.begin) for hit in hits] == sorted(
            (-hit.score, hit.id, hit.begin) for hit in hits
        )


def clustered(count: int, dimension: int, seed: int = 0, clusters: int = 40) -> Matrix:
    """Return vectors that are spread as those of texts are: in clusters, within these mostly along few directions."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((clusters, dimension)) / np.sqrt(dimension)
    directions = random.standard_normal((16, dimension)) / np.sqrt(dimension)
    spread = random.standard_normal((count, 16)) / 4 @ directions * 0.7
    noise = random.standard_normal((count, dimension)) / np.sqrt(dimension) * 0.2
    rows: Matrix = (centres[random.integers(clusters, size=count)] + spread + noise).astype(np.float32)
    return rows


def as_passages(vectors: Matrix, places: int, first: int = 0) -> list[Passage]:
    """Return one memory for each vector, dealt out to places."""
    return [
        Passage(memory_id(first + i), 1, 0, (1, f"user=u{i % places:03d}"), tuple(vector.tolist()))
        for i, vector in enumerate(vectors)
    ]
