"""The tail: passages that came after the slab was built, in the order they came, in memory.

One writer appends to growing arrays; readers hold a :class:`TailView`, which ends where the tail ended when the view
was made and has its own codes. So a reader sees one state however the tail goes on.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from kiromi.index.items import Ids, Matrix
from kiromi.index.vectors.arrays import Arrays
from kiromi.index.vectors.inputs import ID_TYPE
from kiromi.index.vectors.measures import Prepared
from kiromi.index.vectors.overlay import DEAD, Codes
from kiromi.index.vectors.slab import Rows

_LEAST_CAPACITY = 64


@dataclass(frozen=True, slots=True)
class TailView:
    """The tail as of one moment."""

    vectors: Matrix
    squares: npt.NDArray[np.float32]
    ids: Ids
    numbers: npt.NDArray[np.int32]
    begins: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    codes: Codes
    """The present place of each row; ``DEAD`` for the dead."""
    longest: float
    rows_by_id: dict[bytes, list[int]]
    """Shared with the writer: may name rows beyond this view."""

    def __len__(self) -> int:
        return len(self.codes)

    def rows_of(self, ids: Ids) -> Rows:
        """Return the rows of memories, given by ascending ids, the dead included."""
        if len(ids) > len(self):
            at = np.minimum(np.searchsorted(ids, self.ids), len(ids) - 1)
            return np.flatnonzero(ids[at] == self.ids)
        found = [row for key in ids.tolist() for row in self.rows_by_id.get(key, ()) if row < len(self)]
        return np.array(found, np.int64)

    def with_codes(self, rows: Rows, codes: Codes | int) -> "TailView":
        """Return the same with some rows in other places; the dead stay dead."""
        rows_alive = self.codes[rows] != DEAD
        if not rows_alive.any():
            return self
        changed = self.codes.copy()
        changed[rows[rows_alive]] = codes if isinstance(codes, int) else codes[rows_alive]
        return replace(self, codes=changed)


class Tail:
    """The growing arrays behind the views; for one writer at a time."""

    def __init__(self, dimension: int, *, has_squares: bool) -> None:
        self._has_squares = has_squares
        self._rows_by_id: dict[bytes, list[int]] = {}
        self._columns: dict[str, npt.NDArray[Any]] = {
            "vectors": np.empty((0, dimension), np.float32),
            "squares": np.empty(0, np.float32),
            "ids": np.empty(0, ID_TYPE),
            "numbers": np.empty(0, np.int32),
            "begins": np.empty(0, np.int64),
            "ends": np.empty(0, np.int64),
        }

    def view(self) -> TailView:
        """Return the view of a tail to which nothing was appended."""
        return self._view(np.empty(0, np.int32), 0.0)

    def append(self, view: TailView, columns: Arrays, prepared: Prepared, codes: Codes) -> TailView:
        """Append passages after the latest view, which is given, and return the new latest one.

        Args:
            view: the latest.
            columns: ids, numbers, begins and ends.
            prepared: their vectors.
            codes: their places; may be ``DEAD``.
        """
        begin, end = len(view), len(view) + len(codes)
        for name, values in {**columns, "vectors": prepared.vectors, "squares": prepared.squares}.items():
            if name != "squares" or self._has_squares:
                self._reserve(name, end)[begin:end] = values
        for row, key in enumerate(columns["ids"].tolist(), begin):
            self._rows_by_id.setdefault(key, []).append(row)
        return self._view(np.concatenate((view.codes, codes)), max(view.longest, prepared.longest))

    def _reserve(self, name: str, count: int) -> npt.NDArray[Any]:
        """Return a column with room for so many rows. Views keep the array that they were made of."""
        column = self._columns[name]
        if len(column) < count:
            grown = np.empty((max(count, len(column) * 3 // 2, _LEAST_CAPACITY), *column.shape[1:]), column.dtype)
            grown[: len(column)] = column
            self._columns[name] = column = grown
        return column

    def _view(self, codes: Codes, longest: float) -> TailView:
        count = len(codes)
        columns = {name: column[:count] for name, column in self._columns.items()}
        return TailView(codes=codes, longest=longest, rows_by_id=self._rows_by_id, **columns)
