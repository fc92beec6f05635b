"""Rows of the catalog as tuples, and their way to and from Arrow.

A :class:`Row` is a live or closed version together with the facts of its content. Tuples, because rows are turned into
columns by the hundred thousand and ``zip`` does that at C speed. Times are integers: microseconds since 1970 UTC.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_TIME = pa.timestamp("us", "UTC")
_ID_BYTES = 26
ID_TYPE = f"S{_ID_BYTES}"
"""Ids as a column of fixed-width bytes."""


class Row(NamedTuple):
    """One version of a memory: a row of ``memories`` or ``history``, then its content's facts from ``contents``."""

    id: str
    version: int
    n: int
    last_n: int
    begin_seq: int
    scheme: int
    partition: str
    title: str | None
    key: str | None
    namespace: str
    kind: str
    language: str | None
    tags: tuple[str, ...]
    attributes: str
    importance: float | None
    confidence: float | None
    event_at: int
    valid_from: int | None
    valid_until: int | None
    expires_at: int | None
    created_at: int
    updated_at: int
    run_id: str | None
    superseded_by: str | None
    superseded_at: int | None
    ext: str
    media_type: str
    size: int
    sha256: bytes

    @property
    def blob(self) -> tuple[str, int]:
        """The blob's identity: (id, n)."""
        return self.id, self.n

    @property
    def live_path(self) -> str:
        """Where the blob lies while this version is live, relative to the tenant's folder."""
        return f"data/{self.partition}/{self.id}.{self.n}.{self.ext}"

    @property
    def attic_path(self) -> str:
        """Where the blob rests otherwise."""
        return attic_path(self.id, self.n, self.ext)


class AuditRow(NamedTuple):
    """A row of ``audit_log``."""

    seq: int
    i: int
    at: int
    actor: str
    run_id: str | None
    reason: str | None
    op: str
    memory_id: str | None
    detail: str | None
    salt: bytes | None
    digest: bytes
    hash: bytes


def attic_path(memory_id: str, n: int, ext: str) -> str:
    """Return where a content rests that is not live, relative to the tenant's folder."""
    return f"attic/{memory_id[-2:]}/{memory_id}.{n}.{ext}"


MEMORY_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("version", pa.int32()),
        ("n", pa.int32()),
        ("last_n", pa.int32()),
        ("begin_seq", pa.int64()),
        ("scheme", pa.int32()),
        ("partition", pa.string()),
        ("title", pa.string()),
        ("key", pa.string()),
        ("namespace", pa.string()),
        ("kind", pa.string()),
        ("language", pa.string()),
        ("tags", pa.list_(pa.string())),
        ("attributes", pa.string()),
        ("importance", pa.float64()),
        ("confidence", pa.float64()),
        ("event_at", _TIME),
        ("valid_from", _TIME),
        ("valid_until", _TIME),
        ("expires_at", _TIME),
        ("created_at", _TIME),
        ("updated_at", _TIME),
        ("run_id", pa.string()),
        ("superseded_by", pa.string()),
        ("superseded_at", _TIME),
    ]
)
_CONTENT_FACTS = [("ext", pa.string()), ("media_type", pa.string()), ("size", pa.int64()), ("sha256", pa.binary())]
ROW_SCHEMA = pa.schema([*MEMORY_SCHEMA, *_CONTENT_FACTS])
CONTENT_SCHEMA = pa.schema([("id", pa.string()), ("n", pa.int32()), *_CONTENT_FACTS])
HISTORY_SCHEMA = pa.schema([*MEMORY_SCHEMA, ("end_seq", pa.int64())])
AUDIT_SCHEMA = pa.schema(
    [
        ("seq", pa.int64()),
        ("i", pa.int32()),
        ("at", _TIME),
        ("actor", pa.string()),
        ("run_id", pa.string()),
        ("reason", pa.string()),
        ("op", pa.string()),
        ("memory_id", pa.string()),
        ("detail", pa.string()),
        ("salt", pa.binary()),
        ("digest", pa.binary()),
        ("hash", pa.binary()),
    ]
)
PENDING_SCHEMA = pa.schema([("id", pa.string()), ("n", pa.int32()), ("places", pa.list_(pa.string()))])

_ROW_COLUMNS = ", ".join(f"m.{name}" for name in MEMORY_SCHEMA.names) + ", c.ext, c.media_type, c.size, c.sha256"
LIVE_ROWS = f"SELECT {_ROW_COLUMNS} FROM memories m JOIN contents c USING (id, n)"
"""The query for live rows in the order of :class:`Row`; a WHERE clause may follow."""
CLOSED_ROWS = f"SELECT {_ROW_COLUMNS} FROM history m JOIN contents c USING (id, n)"
"""The same for closed rows."""


def to_table(rows: Sequence[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    """Return rows as an Arrow table; columns of a row beyond the schema's are left out."""
    columns = zip(*rows, strict=False) if rows else ([] for _ in schema)
    return pa.Table.from_arrays(
        [pa.array(column, type=field.type) for field, column in zip(schema, columns, strict=False)], schema=schema
    )


class Columns:
    """Rows by column, in the order of ``ROW_SCHEMA``, times as ``int64``; a column of one value keeps it once.

    Most columns of most stores have one value, mostly none: keeping them once saves a quarter of the memory, and most
    of the time that it takes to read a row.
    """

    __slots__ = ("_blank", "_columns", "_count", "_readers")

    def __init__(self, table: pa.Table) -> None:
        self._hold([_compact(column) for column in integer_times(table).columns], len(table))

    def _hold(self, found: Sequence["pa.ChunkedArray | pa.Scalar"], count: int) -> None:
        self._count = count
        self._columns = tuple(found)
        self._blank = [None if isinstance(column, pa.ChunkedArray) else column.as_py() for column in found]
        self._blank[_TAGS] = tuple(self._blank[_TAGS] or ())
        self._readers = tuple((i, _reader(c)) for i, c in enumerate(found) if isinstance(c, pa.ChunkedArray))

    def row(self, index: int) -> Row:
        """Return one row."""
        values = self._blank.copy()
        for place, read in self._readers:
            values[place] = read(index)
        return Row._make(values)

    def merged(self, newer: "Columns", kept: npt.NDArray[np.bool_], order: npt.NDArray[np.int64] | None) -> "Columns":
        """Return the kept rows of these and then those of others, taken in an order; None: as they come.

        Column by column, so that merging large ones takes little more memory than the result.
        """
        mask = None if kept.all() else pa.array(kept)
        positions = None if order is None else pa.array(order)
        count = int(kept.sum()) + newer._count if order is None else len(order)
        found = []
        for old, new in zip(self._columns, newer._columns, strict=True):
            if isinstance(old, pa.Scalar) and isinstance(new, pa.Scalar) and old.equals(new):
                found.append(old)
                continue
            above, below = _repeated(new, newer._count), _repeated(old, self._count)
            if mask is not None:
                below = below.filter(mask)
            column = pa.chunked_array([*below.chunks, *above.chunks], type=above.type)
            found.append(_compact(column if positions is None else column.take(positions)))
        result = Columns.__new__(Columns)
        result._hold(found, count)
        return result

    def replaced(self, newer: "Columns", positions: npt.NDArray[np.int64]) -> "Columns":
        """Return these with the rows at ascending positions replaced; columns that say the same are shared."""
        order = np.arange(self._count)
        order[positions] = self._count + np.arange(newer._count)
        indices, at = pa.array(order), pa.array(positions)
        found = []
        for old, new in zip(self._columns, newer._columns, strict=True):
            if isinstance(old, pa.Scalar):
                same = isinstance(new, pa.Scalar) and old.equals(new)
            else:
                same = old.take(at).equals(new if isinstance(new, pa.ChunkedArray) else _repeated(new, newer._count))
            if same:
                found.append(old)
                continue
            above, below = _repeated(new, newer._count), _repeated(old, self._count)
            found.append(_compact(pa.chunked_array([*below.chunks, *above.chunks], type=above.type).take(indices)))
        result = Columns.__new__(Columns)
        result._hold(found, self._count)
        return result

    def take(self, positions: npt.NDArray[np.int64]) -> pa.Table:
        """Return the rows at ascending positions as a table; what lies close together costs little.

        It is a copy always: a slice would keep all of these alive.
        """
        count = len(positions)
        first = int(positions[0]) if count else 0
        width = int(positions[-1]) - first + 1 if count else 0
        inside = pa.array(positions - first)

        def part(column: pa.ChunkedArray | pa.Scalar) -> pa.ChunkedArray | pa.Array:
            if isinstance(column, pa.Scalar):
                return pa.repeat(column, count)
            return column.slice(first, width).take(inside)

        return pa.table([part(column) for column in self._columns], names=ROW_SCHEMA.names)

    def table(self) -> pa.Table:
        """Return all of them as a table."""
        arrays = [c if isinstance(c, pa.ChunkedArray) else pa.repeat(c, self._count) for c in self._columns]
        return pa.table(arrays, names=ROW_SCHEMA.names)


def _repeated(column: pa.ChunkedArray | pa.Scalar, count: int) -> pa.ChunkedArray:
    return column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([pa.repeat(column, count)])


def _compact(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Scalar:
    """Return a column's value if it has only one, else the column."""
    if column.null_count == len(column):
        return pa.scalar(None, column.type)
    first = column[0]
    if column.null_count or first != column[-1]:
        return column
    if pa.types.is_list(column.type):
        is_one = not len(first) and not pc.max(pc.list_value_length(column)).as_py()
    else:
        is_one = pc.all(pc.equal(column, first)).as_py()
    return first if is_one else column


def _reader(column: pa.ChunkedArray) -> Callable[[int], Any]:
    source = column.chunk(0) if column.num_chunks == 1 else column
    if pa.types.is_list(column.type):
        return lambda index: tuple(source[index].as_py())
    if source is not column and not column.null_count and pa.types.is_primitive(column.type):
        return source.to_numpy(zero_copy_only=True).item  # type: ignore[no-any-return]
    return lambda index: source[index].as_py()


def integer_times(table: pa.Table) -> pa.Table:
    """Return the table with its timestamps as 64-bit integers, as :class:`Row` has them."""
    for index, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            table = table.set_column(index, field.name, table.column(index).cast(_TIME).cast(pa.int64()))
    return table


def to_rows(table: pa.Table) -> list[Row]:
    """Return the rows of a table with the columns of ``ROW_SCHEMA`` in order."""
    columns = [column.to_pylist() for column in integer_times(table).columns]
    columns[_TAGS] = [tuple(tags) for tags in columns[_TAGS]]
    return [Row._make(values) for values in zip(*columns, strict=True)]


def id_matrix(column: pa.ChunkedArray) -> npt.NDArray[np.bytes_]:
    """Return ids as fixed-width bytes: every id is 26 ASCII bytes, so an Arrow value buffer is that matrix already."""
    chunks = [
        np.frombuffer(chunk.buffers()[2], dtype=ID_TYPE, count=len(chunk), offset=chunk.offset * _ID_BYTES)
        for chunk in column.chunks
        if len(chunk)
    ]
    return np.concatenate(chunks) if chunks else np.empty(0, dtype=ID_TYPE)


_TAGS = Row._fields.index("tags")
