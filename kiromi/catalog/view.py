"""What readers see of a tenant: one immutable view per commit, sharing all that did not change.

A view is a stack of sorted segments (Arrow columns with their ids as one byte matrix) under a delta of recent rows.
Views share segments and delta: an entry of the delta carries the seq from which it holds, and a view reads only up to
its own seq, so publishing costs what the commit changed and never a copy. Every now and then the delta becomes a
segment, and small segments are merged, so a lookup touches one dict and a handful of segments.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kiromi.catalog.changes import Changes
from kiromi.catalog.rows import ROW_SCHEMA, Row, integer_times, row_at, to_table

_DELTA_ROWS = 4096
_ID_BYTES = 26
_ID_TYPE = f"S{_ID_BYTES}"


class _Segment:
    """Rows sorted by id; a row may be marked gone (no longer live), which hides older segments' rows of that id."""

    __slots__ = ("columns", "gone", "ids")

    def __init__(self, table: pa.Table, gone: np.ndarray | None) -> None:
        # Only the ids are made contiguous: for the others that would cost more than all lookups save.
        self.columns = tuple(integer_times(table).columns)
        self.ids = _id_matrix(self.columns[0])
        self.gone = gone

    def __len__(self) -> int:
        return len(self.ids)

    def find(self, key: bytes) -> int:
        """Return the position of an id, or -1."""
        index = int(self.ids.searchsorted(key))
        return index if index < len(self.ids) and self.ids[index] == key else -1


class View:
    """The live memories as of one seq."""

    __slots__ = ("_delta", "_segments", "count", "seq")

    def __init__(
        self, seq: int, count: int, segments: tuple[_Segment, ...], delta: dict[str, list[tuple[int, Row | None]]]
    ) -> None:
        self.seq = seq
        """The last operation it shows."""
        self.count = count
        """Live memories, expired ones included."""
        self._segments = segments
        self._delta = delta

    @classmethod
    def of(cls, seq: int, table: pa.Table) -> "View":
        """Return the view of a whole catalog: ``table`` has the columns of ``ROW_SCHEMA``, in any order of rows."""
        if len(table) == 0:
            return cls(seq, 0, (), {})
        ids = _id_matrix(table.column("id"))
        # Rows mostly come in the order they were made, which is that of their ids.
        is_sorted = bool((ids[:-1] < ids[1:]).all())
        return cls(seq, len(table), (_Segment(table if is_sorted else table.sort_by("id"), None),), {})

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
                return None if segment.gone is not None and segment.gone[index] else row_at(segment.columns, index)
        return None

    def __contains__(self, memory_id: str) -> bool:
        return self.get(memory_id) is not None

    def advance(self, changes: Changes) -> "View":
        """Return the view after a commit. Only the latest view may be advanced, by one thread at a time."""
        delta, seq = self._delta, changes.head.seq
        were_live = {row.id for row, _ in changes.closed if row.begin_seq <= self.seq}
        count = self.count - len(were_live)
        for memory_id, row in changes.live.items():
            count += row is not None
            delta.setdefault(memory_id, []).append((seq, row))
        view = View(seq, count, self._segments, delta)
        return view if len(delta) < _DELTA_ROWS else view._compacted()

    def _compacted(self) -> "View":
        """Return the same view with its delta turned into a segment."""
        latest = sorted((memory_id, entries[-1][1]) for memory_id, entries in self._delta.items())
        rows = [row if row is not None else _gone_row(memory_id) for memory_id, row in latest]
        gone = np.array([row is None for _, row in latest])
        segments = [_Segment(to_table(rows, ROW_SCHEMA), gone if gone.any() else None), *self._segments]
        while len(segments) > 1 and len(segments[0]) * 2 >= len(segments[1]):
            segments[:2] = [_merged(segments[0], segments[1], is_oldest=len(segments) == 2)]
        return View(self.seq, self.count, tuple(segments), {})

    def rows(self, ids: Iterable[str]) -> Iterator[Row]:
        """Yield the rows of those ids that are live."""
        for memory_id in ids:
            row = self.get(memory_id)
            if row is not None:
                yield row


def _id_matrix(column: pa.ChunkedArray) -> np.ndarray:
    """Return ids as fixed-width bytes: every id is 26 ASCII bytes, so an Arrow value buffer is that matrix already."""
    chunks = [
        np.frombuffer(chunk.buffers()[2], dtype=_ID_TYPE, count=len(chunk), offset=chunk.offset * _ID_BYTES)
        for chunk in column.chunks
        if len(chunk)
    ]
    return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)


def _gone_row(memory_id: str) -> Row:
    """Return a placeholder for a memory that is no longer live; only its id is ever read."""
    return Row(
        memory_id,
        0,
        0,
        0,
        0,
        0,
        "",
        None,
        None,
        "",
        "",
        None,
        (),
        "",
        None,
        None,
        0,
        None,
        None,
        None,
        0,
        0,
        None,
        "",
        "",
        0,
        b"",
    )


def _merged(newer: _Segment, older: _Segment, *, is_oldest: bool) -> _Segment:
    kept = np.ones(len(older), dtype=bool)
    positions = older.ids.searchsorted(newer.ids)
    inside = positions < len(older)
    hits = positions[inside][older.ids[positions[inside]] == newer.ids[inside]]
    kept[hits] = False
    names = ROW_SCHEMA.names
    old = pa.table(list(older.columns), names=names).filter(pa.array(kept))
    new = pa.table(list(newer.columns), names=names)
    gone = np.concatenate([_flags(newer), _flags(older)[kept]])
    table = pa.concat_tables([new, old]).append_column("gone", pa.array(gone))
    if is_oldest:
        table = table.filter(pc.invert(table.column("gone")))
    table = table.sort_by("id")
    flags = table.column("gone").to_numpy()
    return _Segment(table.drop_columns("gone"), flags if flags.any() else None)


def _flags(segment: _Segment) -> np.ndarray:
    return np.zeros(len(segment), dtype=bool) if segment.gone is None else segment.gone
