"""Figures of one ranking, and the certainty of their means. Pure.

The definitions are those of trec_eval, so figures compare with published ones: a document is relevant if its grade is
above 0, the gain of nDCG is the grade itself (not ``2^grade - 1``), the discount of rank r is ``log2(r + 1)``, and the
ideal ranking is made of all graded documents, also of those that are in no collection. A ranking is a sequence of
document ids, best first, each once.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Grades: TypeAlias = Mapping[str, float]
"""Document id to grade; 0 and below mean not relevant."""
Values: TypeAlias = npt.NDArray[np.float64]
"""Figures of queries: one row for each query, one column for each figure."""

RESAMPLES = 10_000
CONFIDENCE = 0.95
_CHUNK_CELLS = 4_000_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over queries with the bounds between which it lies with 95 % confidence."""

    mean: float
    low: float
    high: float


def relevant_in(grades: Grades) -> frozenset[str]:
    """Return the ids of the relevant documents."""
    return frozenset(document for document, grade in grades.items() if grade > 0)


def recall(ranking: Sequence[str], relevant: Collection[str], k: int) -> float:
    """Return the share of the relevant documents that are among the first ``k``, in [0, 1].

    Raises:
        ValueError: nothing is relevant, or a document is ranked twice.
    """
    _check(ranking, relevant)
    return len(set(relevant).intersection(ranking[:k])) / len(relevant)


def reciprocal_rank(ranking: Sequence[str], relevant: Collection[str], k: int) -> float:
    """Return 1 / rank of the first relevant document among the first ``k``, or 0.

    Raises:
        ValueError: nothing is relevant, or a document is ranked twice.
    """
    _check(ranking, relevant)
    return next((1 / rank for rank, document in enumerate(ranking[:k], start=1) if document in relevant), 0.0)


def ndcg(ranking: Sequence[str], grades: Grades, k: int) -> float:
    """Return the normalised discounted cumulative gain of the first ``k``, in [0, 1].

    Raises:
        ValueError: nothing is relevant, or a document is ranked twice.
    """
    _check(ranking, relevant_in(grades))
    ideal = sorted(grades.values(), reverse=True)
    return _gain([grades.get(document, 0.0) for document in ranking[:k]]) / _gain(ideal[:k])


def group_recall(ranking: Sequence[str], relevant: Collection[str], groups: Mapping[str, str], k: int) -> float:
    """Return the share of the groups of relevant documents that the first ``k`` documents touch, in [0, 1].

    Args:
        ranking: document ids, best first.
        relevant: one without a group counts as a group of its own that is never found.
        groups: document id to the group it belongs to, such as the session of a turn.
        k: how many documents, not groups, are looked at.

    Raises:
        ValueError: nothing is relevant, or a document is ranked twice.
    """
    _check(ranking, relevant)
    wanted = {groups[document] for document in relevant if document in groups}
    touched = {groups[document] for document in ranking[:k] if document in groups}
    return len(wanted & touched) / (len(wanted) + sum(document not in groups for document in relevant))


def bootstrap(values: Values, *, seed: int, resamples: int = RESAMPLES) -> tuple[Interval, ...]:
    """Return the mean of every column with its 95 % percentile bootstrap interval (Efron 1979) over the rows.

    All columns see the same resamples. For a paired comparison of two systems pass the differences of their figures:
    one is better on queries like these if the lower bound is above 0.

    Args:
        values: shape (queries, figures), at least one query.
        seed: the same seed gives the same bounds.
        resamples: how often queries are drawn with replacement.

    Raises:
        ValueError: there are no queries.
    """
    count, columns = values.shape
    if not count:
        raise ValueError("there are no queries to resample")
    generator = np.random.default_rng(seed)
    means = np.empty((resamples, columns))
    step = max(1, _CHUNK_CELLS // count)
    for begin in range(0, resamples, step):
        rows = min(step, resamples - begin)
        drawn = generator.integers(0, count, (rows, count)) + np.arange(rows)[:, None] * count
        times_drawn = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        means[begin : begin + rows] = times_drawn @ values / count
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return tuple(map(Interval, values.mean(axis=0).tolist(), low.tolist(), high.tolist()))


def _check(ranking: Sequence[str], relevant: Collection[str]) -> None:
    if not relevant:
        raise ValueError("nothing is relevant, so the figure has no meaning")
    if len(set(ranking)) != len(ranking):
        twice = next(document for document in ranking if ranking.count(document) > 1)
        raise ValueError(f"document {twice!r} is ranked twice")


def _gain(grades: Sequence[float]) -> float:
    return math.fsum(max(grade, 0.0) / math.log2(rank + 1) for rank, grade in enumerate(grades, start=1))
