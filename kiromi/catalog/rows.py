"""Rows of the catalog as tuples, and their way to and from Arrow.

A :class:`Row` is a live or closed version together with the facts of its content. Tuples, because rows are turned into
columns by the hundred thousand and ``zip`` does that at C speed. Times are integers: microseconds since 1970 UTC.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

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


def integer_times(table: pa.Table) -> pa.Table:
    """Return the table with its timestamps as 64-bit integers, as :class:`Row` has them."""
    for index, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            table = table.set_column(index, field.name, integers(table.column(index)))
    return table


def integers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return timestamps as 64-bit integers, and any other column as it is."""
    return column.cast(_TIME).cast(pa.int64()) if pa.types.is_timestamp(column.type) else column


def to_rows(table: pa.Table) -> list[Row]:
    """Return the rows of a table with the columns of ``ROW_SCHEMA`` in order."""
    columns = [column.to_pylist() for column in integer_times(table).columns]
    columns[_TAGS] = [tuple(tags) for tags in columns[_TAGS]]
    return [Row._make(values) for values in zip(*columns, strict=True)]


def id_column(ids: npt.NDArray[np.bytes_]) -> pa.Array:
    """Return fixed-width ids as a column; the inverse of :func:`id_matrix`."""
    offsets = np.arange(len(ids) + 1, dtype=np.int32) * _ID_BYTES
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(ids))]
    return pa.Array.from_buffers(pa.string(), len(ids), buffers)


def id_matrix(column: pa.ChunkedArray) -> npt.NDArray[np.bytes_]:
    """Return ids as fixed-width bytes: every id is 26 ASCII bytes, so an Arrow value buffer is that matrix already."""
    chunks = [
        np.frombuffer(chunk.buffers()[2], dtype=ID_TYPE, count=len(chunk), offset=chunk.offset * _ID_BYTES)
        for chunk in column.chunks
        if len(chunk)
    ]
    return np.concatenate(chunks) if chunks else np.empty(0, dtype=ID_TYPE)


_TAGS = Row._fields.index("tags")
