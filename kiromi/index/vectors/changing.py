"""How a change makes the next view out of the latest: the writer's side of the index, for one thread at a time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from kiromi.embed.base import Metric
from kiromi.index.items import Ids, PassageBatch, Place
from kiromi.index.vectors.arrays import Arrays
from kiromi.index.vectors.graph import Graph
from kiromi.index.vectors.inputs import ID_TYPE
from kiromi.index.vectors.measures import Prepared, prepare
from kiromi.index.vectors.overlay import DEAD, Codes, Overlay
from kiromi.index.vectors.slab import Slab
from kiromi.index.vectors.tail import Tail
from kiromi.index.vectors.view import VectorView


class Writer:
    """Knows the growing arrays and the codes of places behind the views."""

    def __init__(self, dimension: int, metric: Metric, slab: Slab) -> None:
        self._dimension = dimension
        self._metric = metric
        self._slab = slab
        self._tail = Tail(dimension, has_squares=metric == "l2")
        self._new_places: list[Place] = []
        self._new_codes: dict[Place, int] = {}

    def first_view(self, watermark: int, generation: str, graph: Graph | None) -> VectorView:
        """Return the view of the slab alone."""
        return VectorView(
            metric=self._metric,
            dimension=self._dimension,
            watermark=watermark,
            generation=generation,
            slab=self._slab,
            overlay=Overlay.empty(),
            tail=self._tail.view(),
            graph=graph,
            place_count=len(self._slab.places),
            new_places=self._new_places,
        )

    def restore(
        self, view: VectorView, overlay: Overlay, places: Sequence[Place], tails: Sequence[Arrays]
    ) -> VectorView:
        """Return the first view with what was saved since the slab was built; the rows of the tail are dead yet."""
        for place in places:
            self._code(place)
        tail = view.tail
        for columns in tails:
            vectors, squares = columns["vectors"], columns["squares"]
            prepared = Prepared(vectors, squares, float(columns["longest"][0]))
            keys = {name: columns[name] for name in ("ids", "numbers", "begins", "ends")}
            tail = self._tail.append(tail, keys, prepared, np.full(len(vectors), DEAD, np.int32))
        return replace(view, overlay=overlay, tail=tail, place_count=self._place_count)

    def apply(
        self, view: VectorView, seq: int, gone: Iterable[str], fresh: PassageBatch, moved: Iterable[tuple[str, Place]]
    ) -> VectorView:
        """Return the view after a change to the latest one, which is given.

        Raises:
            InvalidInput: a vector has another shape, is not finite or too long; nothing was changed.
        """
        prepared = prepare(fresh.vectors, self._dimension, self._metric)
        view = _without(view, np.unique(np.concatenate((np.array(list(gone), ID_TYPE), fresh.ids))))
        moves = dict(moved)
        if moves:
            view = self._moved(view, moves)
        if len(fresh.ids):
            codes = np.array([self._code(place) for place in fresh.places], np.int32)
            keys = {"ids": fresh.ids, "numbers": fresh.numbers, "begins": fresh.begins, "ends": fresh.ends}
            view = replace(view, tail=self._tail.append(view.tail, keys, prepared, codes))
        return replace(view, watermark=max(view.watermark, seq), place_count=self._place_count)

    @property
    def _place_count(self) -> int:
        return len(self._slab.places) + len(self._new_places)

    def _moved(self, view: VectorView, moves: Mapping[str, Place]) -> VectorView:
        ids: Ids = np.array(sorted(moves), ID_TYPE)
        codes = np.array([self._code(moves[key]) for key in sorted(moves)], np.int32)

        def codes_for(owners: Ids) -> Codes:
            return codes[np.searchsorted(ids, owners)]

        slab, rows = view.slab, view.slab.rows_of(ids)
        overlay = view.overlay.move(rows, codes_for(slab.ids[slab.owners[rows]]), slab)
        rows = view.tail.rows_of(ids)
        return replace(view, overlay=overlay, tail=view.tail.with_codes(rows, codes_for(view.tail.ids[rows])))

    def _code(self, place: Place) -> int:
        code = self._slab.code_of(place)
        if code is None:
            code = self._new_codes.get(place)
        if code is None:
            code = self._new_codes[place] = self._place_count
            self._new_places.append(place)
        return code


def _without(view: VectorView, ids: npt.NDArray[np.bytes_]) -> VectorView:
    overlay = view.overlay.kill(view.slab.rows_of(ids))
    return replace(view, overlay=overlay, tail=view.tail.with_codes(view.tail.rows_of(ids), DEAD))
