"""What readers see of a tenant: one immutable view per commit, sharing all that did not change.

A view is a stack of sorted segments (Arrow columns with their ids as one byte matrix) under a delta of recent rows.
Views share segments and delta: an entry of the delta carries the seq from which it holds, and a view reads only up to
its own seq, so publishing costs what the commit changed and never a copy. Every now and then the delta becomes a
segment, and small segments are merged, so a lookup touches one dict and a handful of segments. The rows of a batch of
a migration, neighbours by id, take the place of the former ones in the segments, page by page.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from kiromi.catalog.changes import Changes
from kiromi.catalog.columns import PAGE_ROWS, Columns
from kiromi.catalog.moves import Moves
from kiromi.catalog.rows import ID_TYPE, ROW_SCHEMA, Row, id_matrix, integer_times, to_table

_DELTA_ROWS = 4096
"""The delta becomes a segment at this size."""
_BULK_ROWS = 256
"""A commit of so many rows becomes a segment at once."""
_COPIED = 4
"""Rows are replaced in their pages at once if at most so many are copied for one."""
_LARGE_ROWS = 100_000
"""What earlier merges left over is given back to the system before so many rows are merged."""
_FEW_PAGES = 2
"""So many pages are copied however few rows change: that costs less than the commit."""


class _Segment:
    """Rows sorted by id; a row may be marked gone (no longer live), which hides older segments' rows of that id."""

    __slots__ = ("columns", "gone", "ids")

    def __init__(self, columns: Columns, ids: np.ndarray, gone: np.ndarray | None) -> None:
        # Only the ids are made contiguous: for the others that would cost more than all lookups save.
        self.columns = columns
        self.ids = ids
        self.gone = gone

    def __len__(self) -> int:
        return len(self.ids)

    def find(self, key: bytes) -> int:
        """Return the position of an id, or -1."""
        index = int(self.ids.searchsorted(key))
        return index if index < len(self.ids) and self.ids[index] == key else -1

    def find_all(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return, for ids in order, whether each is here, and the positions of those that are."""
        if not len(self):
            return np.zeros(len(ids), dtype=bool), np.empty(0, dtype=np.int64)
        places = self.ids.searchsorted(ids)
        places[places == len(self)] = 0
        is_here = self.ids[places] == ids
        return is_here, places[is_here]

    def replaced(self, newer: Columns, positions: np.ndarray) -> "_Segment":
        """Return this with other rows of the same ids at those positions."""
        return _Segment(self.columns.replaced(newer, positions), self.ids, self.gone)


class View:
    """The live memories as of one seq."""

    __slots__ = ("_delta", "_delta_entries", "_segments", "count", "seq")

    def __init__(
        self,
        seq: int,
        count: int,
        segments: tuple[_Segment, ...],
        delta: dict[str, list[tuple[int, Row | None]]],
        delta_entries: int = 0,
    ) -> None:
        self.seq = seq
        """The last operation it shows."""
        self.count = count
        """Live memories, expired ones included."""
        self._segments = segments
        self._delta = delta
        self._delta_entries = delta_entries

    @classmethod
    def of(cls, seq: int, table: pa.Table) -> "View":
        """Return the view of a whole catalog: ``table`` has the columns of ``ROW_SCHEMA``, in any order of rows."""
        if len(table) == 0:
            return cls(seq, 0, (), {})
        return cls(seq, len(table), (_sorted(table, None),), {})

    def get(self, memory_id: str) -> Row | None:
        """Return a live memory's row, or None."""
        entries = self._delta.get(memory_id)
        if entries is not None:
            for seq, row in reversed(entries):
                if seq <= self.seq:
                    return row
        key = memory_id.encode()
        for segment in self._segments:
            index = segment.find(key)
            if index >= 0:
                if segment.gone is not None and segment.gone[index]:
                    return None
                return segment.columns.row(index, memory_id)
        return None

    def __contains__(self, memory_id: str) -> bool:
        return self.get(memory_id) is not None

    def advance(self, changes: Changes) -> "View":
        """Return the view after a commit. Only the latest view may be advanced, by one thread at a time."""
        seq = changes.head.seq
        were_live = {row.id for row, _ in changes.closed if row.begin_seq <= self.seq}
        count = self.count - len(were_live) + sum(row is not None for row in changes.live.values())
        if changes.moves is not None:
            return View(seq, self.count, _moved(changes.moves, self.compacted()._segments), {})
        if len(changes.live) >= _BULK_ROWS:
            base = self.compacted()
            gone = [memory_id for memory_id, row in changes.live.items() if row is None]
            return View(seq, count, _stacked(_segment(changes.live_table(), gone), base._segments), {})
        for memory_id, row in changes.live.items():
            self._delta.setdefault(memory_id, []).append((seq, row))
        # Entries, not ids: a memory that is updated over and over would fill the delta all the same.
        view = View(seq, count, self._segments, self._delta, self._delta_entries + len(changes.live))
        return view if view._delta_entries < _DELTA_ROWS else view.compacted()

    def ids(self) -> np.ndarray:
        """Return the ids of all live memories, in order, as fixed-width bytes: 26 bytes each."""
        found = np.empty(0, dtype=ID_TYPE)
        for segment in reversed(self.compacted()._segments):  # oldest first: what is newer hides it
            found = np.setdiff1d(found, segment.ids, assume_unique=True) if len(found) else found
            fresh = segment.ids if segment.gone is None else segment.ids[~segment.gone]
            found = np.concatenate([found, fresh])
        return np.sort(found)

    def table(self, ids: np.ndarray) -> pa.Table:
        """Return the rows of those ids that are live: ids ascending, columns of ``ROW_SCHEMA``, times as integers."""
        parts = []
        missing = ids
        for segment in self.compacted()._segments:
            if not len(missing):
                break
            is_found, positions = segment.find_all(missing)
            if segment.gone is not None:
                positions = positions[~segment.gone[positions]]
            if len(positions):
                parts.append(segment.columns.take(positions, segment.ids[positions]))
            missing = missing[~is_found]
        if not parts:
            return integer_times(ROW_SCHEMA.empty_table())
        if len(parts) == 1:
            return parts[0]
        table = pa.concat_tables(parts)
        return table.take(pa.array(np.argsort(id_matrix(table.column("id")), kind="stable")))

    def compacted(self) -> "View":
        """Return the same view with its delta turned into a segment; quicker to read by column, again and again."""
        if not self._delta:
            return self
        latest: dict[str, Row | None] = {}
        for memory_id, entries in list(self._delta.items()):  # a commit may add to it meanwhile
            for seq, row in reversed(entries):
                if seq <= self.seq:
                    latest[memory_id] = row
                    break
        if not latest:
            return View(self.seq, self.count, self._segments, {})
        live = to_table([row for row in latest.values() if row is not None], ROW_SCHEMA)
        gone = [memory_id for memory_id, row in latest.items() if row is None]
        return View(self.seq, self.count, _stacked(_segment(live, gone), self._segments), {})

    def rows(self, ids: Iterable[str]) -> Iterator[Row]:
        """Yield the rows of those ids that are live."""
        for memory_id in ids:
            row = self.get(memory_id)
            if row is not None:
                yield row


def _segment(live: pa.Table, gone: list[str]) -> _Segment:
    """Return the segment of live rows and of ids that are live no longer."""
    flags = None
    if gone:
        flags = np.concatenate([np.zeros(len(live), dtype=bool), np.ones(len(gone), dtype=bool)])
        # Only the ids of such rows are ever read.
        blanks = [pa.nulls(len(gone), field.type) for field in ROW_SCHEMA][1:]
        live = pa.concat_tables([live, pa.Table.from_arrays([pa.array(gone, pa.string()), *blanks], schema=ROW_SCHEMA)])
    return _sorted(live, flags)


def _sorted(table: pa.Table, gone: np.ndarray | None) -> _Segment:
    """Return a segment of rows in any order."""
    ids = id_matrix(table.column("id"))
    # Rows mostly come in the order they were made, which is that of their ids.
    if bool((ids[:-1] < ids[1:]).all()):
        return _Segment(Columns.of(table), ids, gone)
    order = np.argsort(ids, kind="stable")
    return _Segment(Columns.of(table, order), ids[order], None if gone is None else gone[order])


def _moved(moves: Moves, segments: tuple[_Segment, ...]) -> tuple[_Segment, ...]:
    """Return the segments with live rows replaced: in place where few pages are touched, else by one on top."""
    table = moves.rows
    ids = id_matrix(table.column("id"))
    missing, scattered = np.arange(len(ids)), [np.empty(0, dtype=np.int64)]
    found = []
    for segment in segments:
        is_here, positions = segment.find_all(ids[missing])
        here, missing = missing[is_here], missing[~is_here]
        if not _is_dense(segment, positions):
            scattered.append(here)
        elif len(here):
            segment = segment.replaced(Columns.of(table.take(pa.array(here))), positions)
        found.append(segment)
    rest = np.sort(np.concatenate(scattered))
    return _stacked(_sorted(table.take(pa.array(rest)), None), tuple(found)) if len(rest) else tuple(found)


def _is_dense(segment: _Segment, positions: np.ndarray) -> bool:
    pages = segment.columns.pages_of(positions)
    return pages <= _FEW_PAGES or pages * PAGE_ROWS <= _COPIED * len(positions)


def _stacked(newest: _Segment, older: tuple[_Segment, ...]) -> tuple[_Segment, ...]:
    """Return the segments with a new one on top, merged so that each is over twice the size of the one above it."""
    segments = [newest, *older]
    while len(segments) > 1 and len(segments[0]) * 2 >= len(segments[1]):
        segments[:2] = [_merged(segments[0], segments[1], is_oldest=len(segments) == 2)]
    return tuple(segments)


def _merged(newer: _Segment, older: _Segment, *, is_oldest: bool) -> _Segment:
    is_here, positions = older.find_all(newer.ids)
    if is_here.all() and newer.gone is None and older.gone is None:  # no other memories, such as of a scheme migration
        return older.replaced(newer.columns, positions)
    if len(older) >= _LARGE_ROWS:
        pa.default_memory_pool().release_unused()
    kept = np.ones(len(older), dtype=bool)
    kept[positions] = False
    ids = np.concatenate([older.ids[kept], newer.ids])
    gone = np.concatenate([_flags(older)[kept], _flags(newer)])
    is_appended = len(older) and older.ids[-1] < newer.ids[0]
    order = np.arange(len(ids)) if is_appended else np.argsort(ids, kind="stable")
    if is_oldest and gone.any():
        order = order[~gone[order]]
    gone = gone[order]
    return _Segment(older.columns.merged(newer.columns, kept, order), ids[order], gone if gone.any() else None)


def _flags(segment: _Segment) -> np.ndarray:
    return np.zeros(len(segment), dtype=bool) if segment.gone is None else segment.gone
