"""Runs every system over the queries of a set and takes the figures of each ranking."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np

from kiromi.embed.base import Embedder
from tools.retrieval import metrics
from tools.retrieval.baselines import Bm25, Dense
from tools.retrieval.metrics import Interval, Values
from tools.retrieval.sets import Part, Query, RetrievalSet
from tools.retrieval.systems import Mode, filled_store, ranking, scope_of

CUT = 10
"""Where nDCG and MRR are cut, and the recall that comparisons look at."""
NDCG = f"nDCG@{CUT}"
MRR = f"MRR@{CUT}"
SESSIONS = "session "
"""Before the names of the figures that count sessions."""

Ranker: TypeAlias = Callable[[str, int], list[str]]
"""(query, depth) to document ids, best first."""


@dataclass(frozen=True, slots=True)
class SetResult:
    """The figures of all systems on one set."""

    retrieval_set: RetrievalSet
    columns: tuple[str, ...]
    """The names of the figures."""
    values: Mapping[str, Values]
    """System to figures: one row for each query, in the order of parts, one column for each figure."""
    intervals: Mapping[str, tuple[Interval, ...]]
    """System to the means of the figures."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How much better one system is than another on the same queries."""

    better: str
    worse: str
    sets: tuple[str, ...]
    queries: int
    column: str
    difference: Interval
    """Mean of the first one's figure minus the second one's, query by query."""


def recall_name(k: int) -> str:
    """Return the name of the column of recall among the first ``k``."""
    return f"recall@{k}"


def system_names(modes: Sequence[Mode], *, is_embedded: bool) -> tuple[str, ...]:
    """Return the systems of a run: the baselines, then kiromi's modes."""
    return ("bm25", *(["dense"] if is_embedded else []), *modes)


def measure(
    retrieval_set: RetrievalSet,
    *,
    modes: Sequence[Mode],
    embedder: Embedder | None,
    ks: Sequence[int],
    language: str | None = None,
    seed: int = 0,
    folder: Path | None = None,
) -> SetResult:
    """Run the baselines and kiromi over one set.

    Args:
        retrieval_set: what is searched, and what for.
        modes: kiromi's modes; all but ``text`` need an embedder.
        embedder: for the vectors of kiromi and of the dense baseline; None leaves that one out.
        ks: where recall is taken; 10 is added.
        language: given to each memory; None leaves it to detection.
        seed: of the bootstrap.
        folder: where the store is built, for as long as this runs; None takes the temporary folder.
    """
    cuts = sorted({*ks, CUT})
    rows: dict[str, list[list[float]]] = {name: [] for name in system_names(modes, is_embedded=embedder is not None)}
    with (
        tempfile.TemporaryDirectory(prefix="kiromi-retrieval-", dir=folder) as place,
        filled_store(Path(place, "store"), retrieval_set, embedder, language) as store,
    ):
        for part in retrieval_set.parts:
            sessions = {document.id: document.session for document in part.documents if document.session is not None}
            rankers = _baselines(part, embedder)
            for mode in modes:
                rankers[mode] = partial(ranking, store, scope_of(retrieval_set, part), mode)
            for query in part.queries:
                for name, rank in rankers.items():
                    rows[name].append(_figures(rank(query.text, cuts[-1]), query, sessions, cuts))
    values = {name: np.array(found) for name, found in rows.items()}
    intervals = {name: metrics.bootstrap(found, seed=seed) for name, found in values.items()}
    return SetResult(retrieval_set, _columns(retrieval_set, cuts), values, intervals)


def compare(results: Sequence[SetResult], better: str, worse: str, *, seed: int = 0) -> list[Comparison]:
    """Compare two systems query by query (paired bootstrap), by nDCG@10 and recall@10, over the union of sets."""
    found = []
    for column in (NDCG, recall_name(CUT)):
        differences = np.concatenate(
            [
                result.values[better][:, index] - result.values[worse][:, index]
                for result in results
                for index in [result.columns.index(column)]
            ]
        )
        (difference,) = metrics.bootstrap(differences[:, None], seed=seed)
        names = tuple(result.retrieval_set.name for result in results)
        found.append(Comparison(better, worse, names, len(differences), column, difference))
    return found


def _baselines(part: Part, embedder: Embedder | None) -> dict[str, Ranker]:
    rankers: dict[str, Ranker] = {"bm25": Bm25(part.documents).rank}
    if embedder is not None:
        rankers["dense"] = Dense(part.documents, embedder).rank
    return rankers


def _columns(retrieval_set: RetrievalSet, cuts: Sequence[int]) -> tuple[str, ...]:
    recalls = [recall_name(k) for k in cuts]
    return (NDCG, MRR, *recalls, *([SESSIONS + name for name in recalls] if retrieval_set.has_sessions else []))


def _figures(found: Sequence[str], query: Query, sessions: Mapping[str, str], cuts: Sequence[int]) -> list[float]:
    """Return the figures of one ranking, in the order of the columns."""
    relevant = metrics.relevant_in(query.grades)
    return [
        metrics.ndcg(found, query.grades, CUT),
        metrics.reciprocal_rank(found, relevant, CUT),
        *(metrics.recall(found, relevant, k) for k in cuts),
        *(metrics.group_recall(found, relevant, sessions, k) for k in cuts if sessions),
    ]
