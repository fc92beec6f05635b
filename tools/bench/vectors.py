"""Vectors to measure search with, spread as embeddings of texts are, and their true nearest; the same in every run.

Random vectors would say nothing: all are equally far from each other, so graphs find next to none of the nearest. These
lie in topics that lie in themes, a few large and many small; noise goes mostly along few directions, as the spectrum of
embeddings decays; all share a mean, and are normalised.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

DIMENSION = 384
NEAREST = 10
"""How many hits are asked for."""
_CHUNK = 10_000
_MEMBERS = 100
"""Vectors per topic, on average."""
_TOPICS = 20
"""Topics per theme, on average."""
_DECAY = 0.3
"""The standard deviation along the i-th direction is i to the power of minus this."""
_MEAN, _THEME, _TOPIC, _MEMBER, _QUERY = 0.6, 0.5, 0.5, 0.8, 0.6


@dataclass(frozen=True, slots=True)
class Space:
    """Where vectors are drawn from."""

    topics: Matrix
    weights: npt.NDArray[np.float64]
    """How likely each topic is."""
    directions: Matrix
    """Turns independent noise into noise of the spectrum."""

    @classmethod
    def of(cls, count: int) -> "Space":
        """Return a space for about ``count`` vectors."""
        chosen = np.random.default_rng(0)
        topics = max(8, count // _MEMBERS)
        themes = max(4, topics // _TOPICS)
        turned, _ = np.linalg.qr(chosen.standard_normal((DIMENSION, DIMENSION)))
        spectrum = np.arange(1, DIMENSION + 1) ** -_DECAY
        directions = (spectrum / np.linalg.norm(spectrum))[:, np.newaxis] * turned
        centres = _MEAN * _noise(chosen, 1, directions) + _THEME * _noise(chosen, themes, directions)
        centres = centres[chosen.integers(themes, size=topics)] + _TOPIC * _noise(chosen, topics, directions)
        weights = (np.arange(topics) + 10.0) ** -0.7
        return cls(centres.astype(np.float32), weights / weights.sum(), directions.astype(np.float32))

    def chunks(self, count: int) -> Iterator[Matrix]:
        """Yield ``count`` vectors, in chunks of at most 10,000."""
        for start in range(0, count, _CHUNK):
            chosen = np.random.default_rng([1, start])
            topics = self.topics[chosen.choice(len(self.weights), _CHUNK, p=self.weights)]
            members = _normalised(topics + _MEMBER * _noise(chosen, _CHUNK, self.directions))
            yield members[: count - start]

    def queries(self, vectors: Matrix, count: int) -> Matrix:
        """Return ``count`` queries: some of the vectors, moved nearly as far as members lie from their topic."""
        chosen = np.random.default_rng(2)
        members = vectors[np.sort(chosen.integers(len(vectors), size=count))]
        return chosen.permutation(_normalised(members + _QUERY * _noise(chosen, count, self.directions)))


def nearest(vectors: Matrix, queries: Matrix, k: int = NEAREST) -> Rows:
    """Return the rows of the ``k`` vectors of the greatest dot product with each query, in no order; by brute force."""
    k = min(k, len(vectors))
    scores = np.empty((len(queries), 0), np.float32)
    rows = np.empty((len(queries), 0), np.int64)
    for start in range(0, len(vectors), _CHUNK):
        part = vectors[start : start + _CHUNK]
        scores = np.hstack((scores, queries @ part.T))
        rows = np.hstack((rows, np.broadcast_to(np.arange(start, start + len(part)), (len(queries), len(part)))))
        best = np.argpartition(scores, -min(k, scores.shape[1]), axis=1)[:, -k:]
        scores, rows = np.take_along_axis(scores, best, axis=1), np.take_along_axis(rows, best, axis=1)
    return rows


def recall(found: list[list[int]], truth: Rows) -> float:
    """Return which share of the true nearest was found, over all queries."""
    hits = sum(len(set(one) & set(true)) for one, true in zip(found, truth.tolist(), strict=True))
    return hits / truth.size


def _noise(chosen: np.random.Generator, count: int, directions: npt.NDArray[np.floating]) -> Matrix:
    """Return vectors of the spectrum whose length is about 1."""
    noise: Matrix = chosen.standard_normal((count, DIMENSION), dtype=np.float32) @ directions.astype(np.float32)
    return noise


def _normalised(vectors: Matrix) -> Matrix:
    normalised: Matrix = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normalised
