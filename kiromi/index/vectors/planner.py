"""Which way to search a slab: by estimated cost, in microseconds; pure.

The figures were taken on 2 cores at 384 dimensions (numpy with OpenBLAS, hnswlib compiled for the processor). Only
their ratios matter, and within a factor of two a wrong one does little harm.

- scan: 20,000 rows 1,050, 1,000 rows 20, 400 rows 6; 1 for each slice.
- gather: 400 rows 22, 2,000 rows 340, 10,000 rows 1,600; finding an id among a million 0.2 to 0.4.
- graph: 20,000 rows 118 at ef 100, 229 at 200; 100,000 rows 220 and 418, 1,230 at 500, 3,600 at 1,500.
"""

import enum
import math
from dataclasses import dataclass

_SCAN_FLOAT = 1.2e-4
_SLICE = 1.3
_GATHER_FLOAT = 4e-4
_GATHER_ROW = 0.02
_FIND_ID = 0.3
_SIFT = 0.15
_VISIT = 1.1
_VISIT_ROWS = 20_000
_VISIT_GROWTH = 0.4
_VISIT_DIMENSION = 384
_MOST_OF_GRAPH = 0.25
"""A search of more of the graph than this is no search any more."""


class Way(enum.Enum):
    """How to find the best rows."""

    SCAN = "scan"
    """Score whole slices; then leave out what other ids have."""
    GATHER = "gather"
    """Copy the rows in scope together and score these."""
    GRAPH = "graph"
    """Ask the graph for more than is wanted; then leave out what is not in scope."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known before a search."""

    dimension: int
    k: int
    rows: int
    """Rows of the slab, dead ones included."""
    range_rows: int
    """Rows in the slices of the scope's places."""
    ranges: int
    """How many slices these are."""
    live: int
    """Rows of the slab that are not dead."""
    memories: int
    """Distinct ids in the slab."""
    ids: int | None
    """How many ids are in scope; None for all."""
    ef: int | None
    """How many rows a search of the graph looks at; None if there is no graph."""

    @property
    def kept(self) -> float:
        """About how many live rows are in scope."""
        kept = self.range_rows * self.live / max(1, self.rows)
        return kept if self.ids is None else min(kept, self.ids * self.live / max(1, self.memories))


@dataclass(frozen=True, slots=True)
class Plan:
    """A way, and how many rows to ask for before some are left out."""

    way: Way
    fetch: int


def choose(situation: Situation) -> Plan:
    """Return the cheapest plan."""
    s = situation
    scan_fetch = over_fetch(s.k, s.kept / max(1, s.range_rows))
    graph_fetch = over_fetch(s.k, s.kept / max(1, s.rows))
    costs = {
        Way.SCAN: (_scan_cost(s, scan_fetch), scan_fetch),
        Way.GATHER: (_gather_cost(s), s.k),
    }
    if s.ef is not None and graph_fetch <= s.rows * _MOST_OF_GRAPH:
        costs[Way.GRAPH] = (_graph_cost(s, s.ef, graph_fetch), graph_fetch)
    way = min(costs, key=lambda way: costs[way][0])
    return Plan(way, costs[way][1])


def over_fetch(k: int, share: float) -> int:
    """Return how many rows to ask for so that ``k`` are left, nearly always, when each is left with this chance."""
    if share >= 1:
        return k
    return math.ceil((k + 3 * math.sqrt(k)) / max(share, 1e-9))


def _scan_cost(s: Situation, fetch: int) -> float:
    sifted = 0 if s.ids is None else min(fetch, s.range_rows)
    return s.ranges * _SLICE + s.range_rows * s.dimension * _SCAN_FLOAT + sifted * _SIFT


def _gather_cost(s: Situation) -> float:
    rows = s.range_rows if s.ids is None else s.kept
    return (s.ids or 0) * _FIND_ID + rows * (_GATHER_ROW + s.dimension * _GATHER_FLOAT)


def _graph_cost(s: Situation, ef: int, fetch: int) -> float:
    size = math.pow(max(1.0, s.rows / _VISIT_ROWS), _VISIT_GROWTH)
    visits = max(ef, fetch) * _VISIT * (0.3 + 0.7 * s.dimension / _VISIT_DIMENSION) * size
    return visits + (fetch * _SIFT if s.kept < s.rows else 0.0)
