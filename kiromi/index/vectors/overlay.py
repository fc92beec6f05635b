"""What happened to the rows of a slab since it was built: which are dead, and which moved to another place.

Both are sorted lists, so that an untouched slab costs nothing, and values: every change makes a new overlay.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from kiromi.index.vectors.slab import Rows, Slab

Codes: TypeAlias = npt.NDArray[np.int32]
DEAD = -1


@dataclass(frozen=True, slots=True)
class Overlay:
    """The changes to a slab."""

    dead: Rows
    """Ascending."""
    moved: Rows
    """Ascending; none of them dead."""
    codes: Codes
    """The place of each moved row."""

    @classmethod
    def empty(cls) -> "Overlay":
        """Return the overlay of a slab that was just built."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int32))

    def codes_of(self, rows: Rows, slab: Slab) -> Codes:
        """Return the present places of rows; ``DEAD`` for the dead."""
        codes = slab.codes_at(rows)
        if len(self.moved):
            at, inside = _find(self.moved, rows)
            codes[inside] = self.codes[at[inside]]
        if len(self.dead):
            codes[_find(self.dead, rows)[1]] = DEAD
        return codes

    def kill(self, rows: Rows) -> "Overlay":
        """Return the overlay with these rows dead; those that are already stay so."""
        rows = np.sort(rows[~_find(self.dead, rows)[1]])
        if len(rows) == 0:
            return self
        stay = ~_find(rows, self.moved)[1]
        return Overlay(_merge(self.dead, rows), self.moved[stay], self.codes[stay])

    def move(self, rows: Rows, codes: Codes, slab: Slab) -> "Overlay":
        """Return the overlay with these rows in these places; dead ones stay dead."""
        alive = ~_find(self.dead, rows)[1]
        order = np.argsort(rows[alive], kind="stable")
        rows, codes = rows[alive][order], codes[alive][order]
        stay = ~_find(rows, self.moved)[1]
        # A row that is back where it was built is no stray any more.
        away = codes != slab.codes_at(rows)
        rows, codes, kept = rows[away], codes[away], self.moved[stay]
        at = np.searchsorted(kept, rows)
        return Overlay(self.dead, np.insert(kept, at, rows), np.insert(self.codes[stay], at, codes))


def _find(among: Rows, rows: Rows) -> tuple[Rows, npt.NDArray[np.bool_]]:
    """Return where rows are in an ascending list (some position if not), and whether they are."""
    if len(among) == 0:
        return np.zeros(len(rows), np.int64), np.zeros(len(rows), np.bool_)
    at = np.minimum(np.searchsorted(among, rows), len(among) - 1)
    return at, among[at] == rows


def _merge(ascending: Rows, more: Rows) -> Rows:
    return np.insert(ascending, np.searchsorted(ascending, more), more)
