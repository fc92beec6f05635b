"""The index as of one seq: immutable, so a search that asks again with a larger ``k`` meets the same passages."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kiromi.embed.base import Metric
from kiromi.errors import InvalidInput
from kiromi.index.items import Ids, Matrix, PassageHit, Place
from kiromi.index.vectors.graph import Graph
from kiromi.index.vectors.inputs import EVERYTHING, ID_TYPE, VectorScope
from kiromi.index.vectors.measures import Query
from kiromi.index.vectors.overlay import DEAD, Overlay
from kiromi.index.vectors.searching import Reach, SlabSearch, search_tail
from kiromi.index.vectors.slab import Rows, Slab
from kiromi.index.vectors.tail import TailView

_SPREAD = 100
_BACKGROUND = 0.05


@dataclass(frozen=True, slots=True)
class VectorView:
    """What the index holds at one seq. Any number of threads may search it."""

    metric: Metric
    dimension: int
    watermark: int
    """The last seq absorbed."""
    generation: str
    """Names the build: within one, the code of a place never changes."""
    slab: Slab
    overlay: Overlay
    tail: TailView
    graph: Graph | None
    place_count: int
    """How many places have codes; ``(generation, place_count)`` changes whenever the set of places does."""
    new_places: list[Place]
    """Those that are not in the slab; shared with later views, which may have added to it."""

    def __len__(self) -> int:
        """How many passages there are."""
        return len(self.slab) - len(self.overlay.dead) + int(np.count_nonzero(self.tail.codes != DEAD))

    def places(self, start: int = 0) -> list[Place]:
        """Return the places with the codes ``start``, ``start + 1``, … A place may have lost its last passage."""
        built = len(self.slab.places)
        return self.slab.places[start:] + self.new_places[max(0, start - built) : self.place_count - built]

    def search(self, query: npt.ArrayLike, k: int, scope: VectorScope = EVERYTHING) -> list[PassageHit]:
        """Return the ``k`` nearest passages in scope, best first, fewer only if there are no more; ties by id.

        Exact, or by graph where that is estimated to be quicker: then a few of the nearest may be missed. A larger
        ``k`` gives the same hits first if both are exact, which they are when there are too few for the graph.

        Args:
            query: shape (dimension,), of any length but finite.
            k: at least 1.
            scope: where to look.

        Raises:
            InvalidInput: another shape, not finite, or ``k`` less than 1.
            IndexCorrupt: a file is not what was written; nothing was answered from it.
        """
        if k < 1:
            raise InvalidInput(f"k={k!r} is not accepted: a whole number from 1", k=k)
        self.slab.guard()
        prepared = Query.of(query, self.dimension, self.metric, max(self.slab.longest, self.tail.longest))
        reach = Reach.of(scope, self.place_count)
        old = SlabSearch(self.slab, self.overlay, prepared, k, reach).run(self.graph)
        new = search_tail(self.tail, prepared, k, reach)
        slab, tail = self.slab, self.tail
        scores = np.concatenate((old.scores, new.scores))
        ids = np.concatenate((slab.ids[slab.owners[old.rows]], tail.ids[new.rows]))
        numbers = np.concatenate((slab.numbers[old.rows], tail.numbers[new.rows]))
        begins = np.concatenate((slab.begins[old.rows], tail.begins[new.rows]))
        ends = np.concatenate((slab.ends[old.rows], tail.ends[new.rows]))
        best = np.lexsort((ends, begins, ids, -scores))[:k]
        columns = (column[best].tolist() for column in (ids, numbers, begins, ends, scores))
        return [PassageHit(key.decode(), *rest) for key, *rest in zip(*columns, strict=True)]

    def size(self, scope: VectorScope = EVERYTHING) -> int:
        """Return how many passages are in scope."""
        reach = Reach.of(scope, self.place_count)
        slab, overlay, tail = self.slab, self.overlay, self.tail
        if scope.ids is not None:
            slab_codes = overlay.codes_of(slab.rows_of(scope.ids), slab)
            tail_codes = tail.codes[tail.rows_of(scope.ids)]
            return int(np.count_nonzero(reach.covers(slab_codes)) + np.count_nonzero(reach.covers(tail_codes)))
        in_tail = int(np.count_nonzero(reach.covers(tail.codes)))
        if reach.places is None:
            return len(slab) - len(overlay.dead) + in_tail
        ranges = slab.ranges(reach.places)
        left = len(ranges.positions_of(overlay.dead)) + len(ranges.positions_of(overlay.moved))
        return ranges.total - left + int(np.count_nonzero(reach.covers(overlay.codes))) + in_tail

    def background(self, query: npt.ArrayLike, scope: VectorScope = EVERYTHING) -> float | None:
        """Return how near a passage in scope is that has nothing to do with the query; None if the scope is empty.

        That is the 5 % quantile of the scores of a hundred passages, evenly spread over the scope.

        Raises:
            InvalidInput: the query has another shape, or is not finite.
            IndexCorrupt: a file is not what was written.
        """
        self.slab.guard()
        prepared = Query.of(query, self.dimension, self.metric, max(self.slab.longest, self.tail.longest))
        reach = Reach.of(scope, self.place_count)
        slab, overlay, tail = self.slab, self.overlay, self.tail
        if scope.ids is None:
            ranges = slab.whole() if reach.places is None else slab.ranges(reach.places)
            old = ranges.rows_at(_spread(ranges.total))
            new = np.flatnonzero(reach.covers(tail.codes))
        else:
            some = scope.ids[_spread(len(scope.ids))]
            old, new = slab.rows_of(some), tail.rows_of(some)
            new = new[reach.covers(tail.codes[new])]
        old = old[reach.covers(overlay.codes_of(old, slab))]
        new = new[_spread(len(new))]
        vectors = np.concatenate((slab.take(old), tail.vectors[new]))
        return float(np.quantile(prepared.score_exactly(vectors), _BACKGROUND)) if len(vectors) else None

    def number_of(self, memory_id: str) -> int | None:
        """Return which of its contents (n) a memory's passages here are of; None if there are none."""
        old, new = self._rows_of(memory_id)
        if len(new):
            return int(self.tail.numbers[new[0]])
        return int(self.slab.numbers[old[0]]) if len(old) else None

    def vectors_of(self, memory_id: str) -> Matrix:
        """Return the vectors of a memory's passages, shape (passages, dimension); no rows if it is not here.

        For cosine they have length 1.

        Raises:
            IndexCorrupt: the matrix is not what was written.
        """
        self.slab.guard()
        old, new = self._rows_of(memory_id)
        return np.concatenate((self.slab.take(old), self.tail.vectors[new]))

    def _rows_of(self, memory_id: str) -> tuple[Rows, Rows]:
        """Return the live rows of a memory in the slab and in the tail."""
        key: Ids = np.array([memory_id], ID_TYPE)
        old, new = self.slab.rows_of(key), self.tail.rows_of(key)
        return old[self.overlay.codes_of(old, self.slab) != DEAD], new[self.tail.codes[new] != DEAD]


def _spread(count: int) -> npt.NDArray[np.int64]:
    """Return up to a hundred positions, evenly spread over ``count``."""
    return np.linspace(0, count - 1, min(count, _SPREAD)).astype(np.int64) if count else np.empty(0, np.int64)
