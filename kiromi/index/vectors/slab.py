"""The slab: what the index was built from, never changed. Rows sorted by place, then memory; mapped where it has files.

So a place is one slice of the matrix, the passages of a memory are a run within it, and a memory is found by binary
search. Leaves to the overlay what happened to the rows since.
"""

import json
from bisect import bisect_left
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from kiromi.index.files import BLOCK_BYTES
from kiromi.index.items import Ids, Matrix, Place
from kiromi.index.vectors.arrays import Arrays, MappedFile

Rows: TypeAlias = npt.NDArray[np.int64]
_SOON_CHECKED = 64
"""So many blocks are checked in about 25 ms, spread over the first searches."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """Slices of rows, ascending and apart: ``[starts[i], ends[i])``."""

    starts: Rows
    ends: Rows

    @property
    def total(self) -> int:
        """How many rows they hold."""
        return int((self.ends - self.starts).sum())

    def rows(self) -> Rows:
        """All rows, ascending."""
        return expand(self.starts, self.ends - self.starts)

    def rows_at(self, positions: Rows) -> Rows:
        """Turn positions in the joined slices into rows."""
        before = self._before()
        which = np.searchsorted(before, positions, "right") - 1
        rows: Rows = self.starts[which] + positions - before[which]
        return rows

    def positions_of(self, rows: Rows) -> Rows:
        """Return the positions in the joined slices of those of some ascending rows that lie in them."""
        if len(self.starts) == 0 or len(rows) == 0:
            return rows[:0]
        rows = rows[np.searchsorted(rows, self.starts[0]) : np.searchsorted(rows, self.ends[-1])]
        which = np.searchsorted(self.starts, rows, "right") - 1
        inside = rows < self.ends[which]
        which = which[inside]
        return rows[inside] - self.starts[which] + self._before()[which]

    def _before(self) -> Rows:
        lengths = self.ends - self.starts
        before: Rows = np.cumsum(lengths) - lengths
        return before


@dataclass(frozen=True, slots=True)
class Slab:
    """The rows an index was built from."""

    matrix: Matrix
    squares: npt.NDArray[np.float32]
    """Squared lengths of the rows, for l2 only."""
    ids: Ids
    """Of the memories, ascending; each once."""
    firsts: Rows
    """The first row of each memory."""
    counts: npt.NDArray[np.int32]
    """How many rows each memory has."""
    owners: npt.NDArray[np.int32]
    """The memory of each row, as an index into ``ids``."""
    numbers: npt.NDArray[np.int32]
    begins: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    offsets: Rows
    """Where each place begins; one more for the end."""
    places: list[Place]
    """Ascending; their codes are their positions."""
    longest: float
    files: tuple[MappedFile, ...]
    """That of the matrix, if any, then the others: empty in memory."""

    @classmethod
    def of(cls, arrays: Arrays, matrix: Matrix, files: tuple[MappedFile, ...]) -> "Slab":
        """Put a slab together from the arrays that ``building`` made."""
        names = ("squares", "ids", "firsts", "counts", "owners", "numbers", "begins", "ends", "offsets")
        return cls(
            matrix=matrix,
            places=[(scheme, path) for scheme, path in json.loads(arrays["places"].tobytes())],
            longest=float(arrays["longest"][0]),
            files=files,
            **{name: arrays[name] for name in names},
        )

    def __len__(self) -> int:
        return len(self.matrix)

    def guard(self) -> None:
        """Look whether the files still have their sizes.

        Raises:
            IndexCorrupt: somebody cut one.
        """
        for file in self.files:
            file.guard()

    @property
    def is_checked(self) -> bool:
        """Whether every byte of the matrix has been checked."""
        return not self.files or self.files[0].is_checked

    @property
    def is_quick(self) -> bool:
        """Whether single rows are taken quickly: their blocks have been checked, or all soon will have been."""
        return self.is_checked or self.matrix.nbytes <= _SOON_CHECKED * BLOCK_BYTES

    def whole(self) -> Ranges:
        """Return all rows as one slice."""
        return Ranges(np.zeros(1, np.int64), np.array([len(self)]))

    def ranges(self, codes: npt.NDArray[np.int32]) -> Ranges:
        """Return the slices of places by ascending codes: neighbours joined, those newer than the slab left out."""
        codes = codes[: np.searchsorted(codes, len(self.places))]
        if len(codes) == 0:
            return Ranges(np.empty(0, np.int64), np.empty(0, np.int64))
        starts, ends = self.offsets[codes], self.offsets[codes + 1]
        apart = np.flatnonzero(starts[1:] != ends[:-1])
        return Ranges(starts[np.concatenate(([0], apart + 1))], ends[np.concatenate((apart, [len(codes) - 1]))])

    def rows_of(self, ids: Ids) -> Rows:
        """Return the rows of memories, given by id, in the order of the ids; those it does not hold are left out."""
        if len(self.ids) == 0:
            return np.empty(0, np.int64)
        found = np.searchsorted(self.ids, ids)
        found[found == len(self.ids)] = 0
        found = found[self.ids[found] == ids]
        return expand(self.firsts[found], self.counts[found])

    def codes_at(self, rows: Rows) -> npt.NDArray[np.int32]:
        """Return the places that rows were built in."""
        return (np.searchsorted(self.offsets, rows, "right") - 1).astype(np.int32)

    def code_of(self, place: Place) -> int | None:
        """Return the code of a place, or None."""
        code = bisect_left(self.places, place)
        return code if code < len(self.places) and self.places[code] == place else None

    def check_ranges(self, ranges: Ranges) -> None:
        """Check the bytes of slices before they are used.

        Raises:
            IndexCorrupt: they are not what was written.
        """
        if not self.is_checked:
            row_bytes = self.matrix.shape[1] * 4
            for start, end in zip(ranges.starts.tolist(), ranges.ends.tolist(), strict=True):
                self.files[0].check(start * row_bytes, end * row_bytes)

    def take(self, rows: Rows) -> Matrix:
        """Return a copy of some rows, checked.

        Raises:
            IndexCorrupt: they are not what was written.
        """
        if not self.is_checked:
            row_bytes = self.matrix.shape[1] * 4
            first, last = rows * row_bytes // BLOCK_BYTES, (rows * row_bytes + row_bytes - 1) // BLOCK_BYTES
            self.files[0].check_blocks(np.unique(np.concatenate((first, last))))
        return self.matrix[rows]


def expand(starts: Rows, counts: npt.NDArray[np.integer]) -> Rows:
    """Return ``start, start + 1, …`` for each start and count, joined."""
    total = int(counts.sum())
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(total)
