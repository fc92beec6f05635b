"""Scores: how vectors are made ready, compared in bulk (32 bit, BLAS), and compared exactly (64 bit, few rows).

A bulk score depends in its last bits on where a row lies in memory. So bulk scores only choose candidates, with a slack
that covers their error, and the candidates are scored anew in 64 bits, row by row: equal vectors get equal scores.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from kiromi.embed.base import LONGEST, Metric
from kiromi.errors import InvalidInput
from kiromi.index.items import Matrix

_ERROR_FACTOR = 8.0
"""An error of a dot product beyond factor · sqrt(dimension) · unit roundoff is out of the question (Higham and Mary
2019, "A new approach to probabilistic rounding error analysis")."""
_ROUNDOFF = 2.0**-24
_PIECE_BYTES = 1 << 20
"""Fits in a core's own cache, where rows that were copied together are scored three times as fast; and OpenBLAS takes
one thread for so little. With more it is 0.7 ms for 20,000 rows of 384 instead of 1.1 if the machine is idle, but 8 ms
if it is not, for its threads wait for each other."""

Scores: TypeAlias = npt.NDArray[np.float32]
ExactScores: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Vectors as an index keeps them: of length 1 for cosine, else as they came."""

    vectors: Matrix
    squares: npt.NDArray[np.float32]
    """Squared length of each row for l2; empty for the other metrics."""
    longest: float
    """Length of the longest, 0 if there is none."""


def prepare(vectors: npt.ArrayLike, dimension: int, metric: Metric) -> Prepared:
    """Make vectors ready: shape (count, dimension), in any float type.

    Raises:
        InvalidInput: another shape, not finite, or longer than 1e18.
    """
    with np.errstate(over="ignore"):  # what becomes infinite is refused below
        rows = np.ascontiguousarray(vectors, np.float32)
    if rows.ndim != 2 or rows.shape[1] != dimension:
        raise InvalidInput(f"vectors of shape {rows.shape} are not accepted: (count, {dimension})")
    squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    # A sum is infinite or NaN if any number in the row is.
    if not np.isfinite(squares).all() or squares.max(initial=0.0) > LONGEST**2:
        raise InvalidInput("a vector is not accepted: its numbers must be finite and its length at most 1e18")
    if metric == "cosine":
        lengths = np.sqrt(squares)
        # A vector of zeros has no direction; it stays and scores 0.
        lengths[lengths == 0] = 1
        return Prepared((rows / lengths[:, None]).astype(np.float32), np.empty(0, np.float32), 1.0)
    longest = float(np.sqrt(squares.max(initial=0.0)))
    return Prepared(rows, squares.astype(np.float32) if metric == "l2" else np.empty(0, np.float32), longest)


@dataclass(frozen=True, slots=True)
class Query:
    """A vector to compare with."""

    vector: npt.NDArray[np.float32]
    metric: Metric
    slack: float
    """Rows whose bulk scores are nearer than this may change places when scored exactly."""

    @classmethod
    def of(cls, vector: npt.ArrayLike, dimension: int, metric: Metric, longest: float) -> "Query":
        """Make a vector of shape (dimension,) ready; ``longest`` is the length of the longest row it will meet.

        Raises:
            InvalidInput: another shape, not finite, or longer than 1e18.
        """
        row = np.asarray(vector)
        if row.shape != (dimension,):
            raise InvalidInput(f"a query vector of shape {row.shape} is not accepted: ({dimension},)")
        prepared = prepare(row[None, :], dimension, metric)
        reach = longest * prepared.longest if metric != "l2" else longest * (2 * prepared.longest + longest)
        return cls(prepared.vectors[0], metric, 2 * _ERROR_FACTOR * dimension**0.5 * _ROUNDOFF * reach)

    def score(self, rows: Matrix, squares: npt.NDArray[np.float32], out: Scores) -> None:
        """Put the bulk scores of rows into ``out``: for l2, the negative squared distance plus the query's square."""
        step = piece_rows(len(self.vector))
        for start in range(0, len(rows), step):
            np.matmul(rows[start : start + step], self.vector, out=out[start : start + step])
        if self.metric == "l2":
            out *= 2
            out -= squares

    def from_distances(self, distances: Scores) -> Scores:
        """Turn hnswlib's distances (1 - dot, or squared Euclidean) into bulk scores."""
        if self.metric == "l2":
            return np.float32(np.dot(self.vector, self.vector)) - distances
        return np.float32(1) - distances

    def score_exactly(self, rows: Matrix) -> ExactScores:
        """Return what a hit's score is, in 64 bits; the same for the same vector wherever it lies."""
        query = self.vector.astype(np.float64)
        if self.metric == "l2":
            distances: ExactScores = np.sqrt(np.square(rows - query).sum(axis=1))
            return -distances
        scores: ExactScores = (rows * query).sum(axis=1)
        return scores.clip(-1, 1) if self.metric == "cosine" else scores


def piece_rows(dimension: int) -> int:
    """Return how many rows are worked on at once."""
    return max(16, _PIECE_BYTES // (4 * dimension))


def near_best(scores: Scores, k: int, slack: float) -> tuple[npt.NDArray[np.int64], float]:
    """Return where the ``k`` best scores are and all that are nearer than ``slack`` to the last of them.

    Scores of minus infinity are left out. Also returns the k-th best score (minus infinity if there are fewer).
    """
    if k >= len(scores):
        return np.flatnonzero(scores > -np.inf), -np.inf
    bound = float(np.partition(scores, len(scores) - k)[len(scores) - k])
    if bound == -np.inf:
        return np.flatnonzero(scores > -np.inf), bound
    return np.flatnonzero(scores >= np.float32(bound - slack)), bound
