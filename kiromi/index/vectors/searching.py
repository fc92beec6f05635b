"""Searching the slab and the tail: candidates by bulk scores or from the graph, then exact scores of the few.

Each function returns at least the ``k`` best rows of its part that are in scope, all if there are fewer, with their
exact scores and in no order; what is returned beyond ``k`` is in scope too.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from kiromi.index.items import Ids, Matrix
from kiromi.index.vectors.graph import Graph
from kiromi.index.vectors.inputs import VectorScope
from kiromi.index.vectors.measures import ExactScores, Query, Scores, near_best, piece_rows
from kiromi.index.vectors.overlay import DEAD, Codes, Overlay
from kiromi.index.vectors.planner import Situation, Way, choose, over_fetch
from kiromi.index.vectors.slab import Ranges, Rows, Slab
from kiromi.index.vectors.tail import TailView

_Mask: TypeAlias = npt.NDArray[np.bool_]
_FEW = 4
"""Less than one row in so many is gathered from the tail; more are scanned."""
_GROWTH = 8


@dataclass(frozen=True, slots=True)
class Found:
    """Rows of one part and their exact scores."""

    rows: Rows
    scores: ExactScores


@dataclass(frozen=True, slots=True)
class Reach:
    """A scope, ready to be asked about rows."""

    places: npt.NDArray[np.int32] | None
    ids: Ids | None
    _covered: _Mask | None
    """By code; the last entry is for the dead."""

    @classmethod
    def of(cls, scope: VectorScope, place_count: int) -> "Reach":
        """Make a scope ready for a view with so many places; newer ones are ignored."""
        if scope.places is None:
            return cls(None, scope.ids, None)
        places = scope.places[: np.searchsorted(scope.places, place_count)]
        covered = np.zeros(place_count + 1, np.bool_)
        covered[places] = True
        return cls(places, scope.ids, covered)

    def covers(self, codes: Codes) -> _Mask:
        """Tell which of some rows are alive and in the places."""
        return codes != DEAD if self._covered is None else self._covered[codes]

    def names(self, ids: Ids) -> _Mask:
        """Tell which ids are in scope."""
        if self.ids is None:
            return np.ones(len(ids), np.bool_)
        if len(self.ids) == 0:
            return np.zeros(len(ids), np.bool_)
        at = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.asarray(self.ids[at] == ids)


@dataclass(frozen=True, slots=True)
class SlabSearch:
    """One search of a slab."""

    slab: Slab
    overlay: Overlay
    query: Query
    k: int
    reach: Reach

    def run(self, graph: Graph | None) -> Found:
        """Return the best rows, found in the cheapest way."""
        if len(self.slab) == 0:
            return _NOTHING
        places = self.reach.places
        ranges = self.slab.whole() if places is None else self.slab.ranges(places)
        situation = self._situation(ranges, graph)
        plan = choose(situation)
        if plan.way is Way.GRAPH and graph is not None:
            found = self._ask(graph, plan.fetch)
            if found is not None:
                return found
            plan = choose(replace(situation, ef=None))
        if plan.way is Way.SCAN:
            return self._scan(ranges, plan.fetch)
        return self._gather(self._rows_in_scope(ranges))

    def admits(self, rows: Rows) -> _Mask:
        """Tell which rows are in scope."""
        if self.reach.places is None and len(self.overlay.dead) == 0:
            mask = np.ones(len(rows), np.bool_)
        else:
            mask = self.reach.covers(self.overlay.codes_of(rows, self.slab))
        if self.reach.ids is not None:
            mask &= self.reach.names(self.slab.ids[self.slab.owners[rows]])
        return mask

    def _situation(self, ranges: Ranges, graph: Graph | None) -> Situation:
        return Situation(
            dimension=self.slab.matrix.shape[1],
            k=self.k,
            rows=len(self.slab),
            range_rows=ranges.total,
            ranges=len(ranges.starts),
            live=len(self.slab) - len(self.overlay.dead),
            memories=len(self.slab.ids),
            ids=None if self.reach.ids is None else len(self.reach.ids),
            ef=None if graph is None else graph.settings.ef,
        )

    def _ask(self, graph: Graph, fetch: int) -> Found | None:
        """Ask the graph; None if too few of its answers are in scope."""
        hits = graph.search(self.query, fetch)
        if hits is None:
            return None
        mask = self.admits(hits.rows)
        if np.count_nonzero(mask) < self.k:
            return None
        rows, originals = hits.rows[mask], hits.originals[mask]
        best, _ = near_best(hits.scores[mask], self.k, self.query.slack)
        if self.slab.is_quick:
            return Found(rows[best], _score_exactly(self.query, self.slab.take, rows[best]))
        # Each row may lie in a block of the matrix that would have to be checked first.
        return Found(rows[best], _score_exactly(self.query, hits.take, originals[best]))

    def _scan(self, ranges: Ranges, fetch: int) -> Found:
        slab, overlay = self.slab, self.overlay
        slab.check_ranges(ranges)
        scores = np.empty(ranges.total, np.float32)
        done = 0
        for start, end in zip(ranges.starts.tolist(), ranges.ends.tolist(), strict=True):
            self.query.score(slab.matrix[start:end], slab.squares[start:end], scores[done : done + end - start])
            done += end - start
        scores[ranges.positions_of(overlay.dead)] = -np.inf
        if self.reach.places is not None:
            scores[ranges.positions_of(overlay.moved)] = -np.inf
        admits = None if self.reach.ids is None else self.admits
        rows = _best_of(scores, ranges.rows_at, admits, self.k, fetch, self.query.slack)
        found = Found(rows, _score_exactly(self.query, slab.take, rows))
        if self.reach.places is None or len(overlay.moved) == 0:
            return found
        return _joined(found, self._gather(self._strays()))

    def _rows_in_scope(self, ranges: Ranges) -> Rows:
        if self.reach.ids is not None:
            rows = self.slab.rows_of(self.reach.ids)
            return rows[self.reach.covers(self.overlay.codes_of(rows, self.slab))]
        changed = [ranges.positions_of(self.overlay.dead)]
        if self.reach.places is None:
            return np.delete(ranges.rows(), changed[0])
        changed.append(ranges.positions_of(self.overlay.moved))
        return np.concatenate((np.delete(ranges.rows(), np.concatenate(changed)), self._strays()))

    def _strays(self) -> Rows:
        """Return the rows in scope that moved, from wherever: they do not lie in the slices of their places."""
        rows = self.overlay.moved[self.reach.covers(self.overlay.codes)]
        return rows if self.reach.ids is None else rows[self.reach.names(self.slab.ids[self.slab.owners[rows]])]

    def _gather(self, rows: Rows) -> Found:
        return _gather(self.query, self.slab.take, self.slab.squares, rows, self.k)


def search_tail(tail: TailView, query: Query, k: int, reach: Reach) -> Found:
    """Return the best rows of the tail."""

    def take(rows: Rows) -> Matrix:
        return tail.vectors[rows]

    if len(tail) == 0:
        return _NOTHING
    if reach.ids is not None and len(reach.ids) * _FEW < len(tail):
        rows = tail.rows_of(reach.ids)
        return _gather(query, take, tail.squares, rows[reach.covers(tail.codes[rows])], k)
    covered = reach.covers(tail.codes)
    if np.count_nonzero(covered) * _FEW < len(tail):
        rows = np.flatnonzero(covered)
        return _gather(query, take, tail.squares, rows[reach.names(tail.ids[rows])], k)
    scores = np.empty(len(tail), np.float32)
    query.score(tail.vectors, tail.squares, scores)
    scores[~covered] = -np.inf
    admits = None if reach.ids is None else lambda rows: reach.names(tail.ids[rows])
    rows = _best_of(scores, lambda positions: positions, admits, k, over_fetch(k, 1 / _FEW), query.slack)
    return Found(rows, _score_exactly(query, take, rows))


_NOTHING = Found(np.empty(0, np.int64), np.empty(0, np.float64))


def _joined(first: Found, second: Found) -> Found:
    return Found(np.concatenate((first.rows, second.rows)), np.concatenate((first.scores, second.scores)))


def _best_of(
    scores: Scores,
    rows_at: Callable[[Rows], Rows],
    admits: Callable[[Rows], _Mask] | None,
    k: int,
    fetch: int,
    slack: float,
) -> Rows:
    """Return the rows of the ``k`` best scores that are admitted, and those so near that exact scores may differ.

    All rows above the last one looked at are known, so when ``k`` of these are admitted, none is missing.
    """
    while True:
        positions, bound = near_best(scores, k if admits is None else fetch, slack)
        rows = rows_at(positions)
        if admits is None:
            return rows
        mask = admits(rows)
        if np.count_nonzero(scores[positions[mask]] >= bound) >= k or bound == -np.inf:
            best, _ = near_best(scores[positions[mask]], k, slack)
            return rows[mask][best]
        fetch *= _GROWTH


def _gather(
    query: Query, take: Callable[[Rows], Matrix], squares: npt.NDArray[np.float32], rows: Rows, k: int
) -> Found:
    scores = np.empty(len(rows), np.float32)
    step = piece_rows(len(query.vector))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        query.score(take(part), squares[part] if len(squares) else squares, scores[start : start + step])
    best, _ = near_best(scores, k, query.slack)
    return Found(rows[best], _score_exactly(query, take, rows[best]))


def _score_exactly(query: Query, take: Callable[[Rows], Matrix], rows: Rows) -> ExactScores:
    scores = np.empty(len(rows), np.float64)
    step = piece_rows(len(query.vector))
    for start in range(0, len(rows), step):
        scores[start : start + step] = query.score_exactly(take(rows[start : start + step]))
    return scores
