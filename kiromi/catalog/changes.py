"""What one commit changes in the catalog, as a value.

A commit holds one operation, several that were combined (group commit), or one batch of a bulk operation. The same
value serves four readers: the journal (as one JSON line), the tables (as Arrow), the published view, and settle.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa

from kiromi.catalog.moves import Moves
from kiromi.catalog.rows import MEMORY_SCHEMA, ROW_SCHEMA, AuditRow, Row, to_table
from kiromi.catalog.vectors import ContentVectors, from_text, to_text

BlobKey = tuple[str, int]
"""The identity of a blob: (memory id, n)."""


class ContentRow(NamedTuple):
    """A row of ``contents``."""

    id: str
    n: int
    ext: str
    media_type: str
    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The last operation: what ``meta`` says of it."""

    seq: int
    at: int
    """Microseconds since 1970 UTC; never decreases."""
    hash: bytes
    """Of the last audit entry."""
    entries: int
    """Length of the audit chain."""


@dataclass(slots=True)
class Changes:
    """What one commit changes."""

    head: Head
    """The head after it."""
    live: dict[str, Row | None] = field(default_factory=dict)
    """Each memory touched, as it is afterwards; None when it is no longer live."""
    closed: list[tuple[Row, int]] = field(default_factory=list)
    """Versions that ended, with their ``end_seq``, oldest first."""
    contents: list[ContentRow] = field(default_factory=list)
    audit: list[AuditRow] = field(default_factory=list)
    places: dict[BlobKey, tuple[str, ...]] = field(default_factory=dict)
    """Blobs that are not yet, or no longer, where they belong, with every place where they may lie."""
    vectors: list[tuple[ContentVectors, int]] = field(default_factory=list)
    """Vectors of contents that had none of that model, each with the seq that brings it in."""
    statements: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    """SQL, with its parameters, of what is too rare to have a form of its own; such changes are never journalled."""
    is_beside: bool = False
    """Whether ``statements`` are about tables alone that no journal entry feeds: it is not folded for them."""
    loads: list[tuple[str, pa.Table | pa.RecordBatchReader]] = field(default_factory=list)
    """Rows for tables that have no form of their own here, by the table's name; never journalled either."""
    moves: Moves | None = None
    """Rows that move, of an operation that does nothing else to rows and is alone in its commit."""
    goals: dict[BlobKey, str] = field(default_factory=dict)
    """Where the blobs of ``moves`` belong now: what settle would else ask the view for, one by one."""
    _live_table: pa.Table | None = field(default=None, repr=False, compare=False)

    @property
    def is_plain(self) -> bool:
        """Whether a journal entry can hold it."""
        return not self.statements and not self.loads and self.moves is None

    def touched(self) -> int:
        """Return how many memories are touched."""
        return len(self.live) + (0 if self.moves is None else len(self.moves))

    def live_table(self) -> pa.Table:
        """Return the rows that are live afterwards as Arrow with the columns of ``ROW_SCHEMA``; made once."""
        if self._live_table is None:
            self._live_table = to_table([row for row in self.live.values() if row is not None], ROW_SCHEMA)
        return self._live_table


def to_journal(changes: Changes) -> str:
    """Return the changes as one JSON text; :func:`from_journal` is its exact inverse."""
    head = changes.head
    return json.dumps(
        {
            "head": [head.seq, head.at, head.hash.hex(), head.entries],
            "live": [[memory_id, _row_out(row)] for memory_id, row in changes.live.items()],
            "closed": [[_row_out(row), end_seq] for row, end_seq in changes.closed],
            "contents": [_hexed(content) for content in changes.contents],
            "audit": [_hexed(entry) for entry in changes.audit],
            "places": [[*key, places] for key, places in changes.places.items()],
            "vectors": [[to_text(vectors), seq] for vectors, seq in changes.vectors],
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def from_journal(entry: str) -> Changes:
    """Return the changes that a journal entry holds."""
    document = json.loads(entry)
    seq, at, digest, entries = document["head"]
    return Changes(
        head=Head(seq, at, bytes.fromhex(digest), entries),
        live={memory_id: _row_in(row) if row else None for memory_id, row in document["live"]},
        closed=[(_row_in(row), end_seq) for row, end_seq in document["closed"]],
        contents=[ContentRow._make([*content[:-1], bytes.fromhex(content[-1])]) for content in document["contents"]],
        audit=[_audit_in(entry) for entry in document["audit"]],
        places={(memory_id, n): tuple(places) for memory_id, n, places in document["places"]},
        vectors=[(from_text(values), seq) for values, seq in document.get("vectors", ())],
    )


def combine(parts: Iterable[Changes]) -> Changes:
    """Return consecutive changes, oldest first and at least one, as one; a single one is returned itself."""
    first, *rest = parts
    if not rest:
        return first
    total = Changes(
        first.head,
        dict(first.live),
        list(first.closed),
        list(first.contents),
        list(first.audit),
        dict(first.places),
        list(first.vectors),
        list(first.statements),
        first.is_beside,
        list(first.loads),
        first.moves,
        first.goals,
    )
    for part in rest:
        total.head = part.head
        total.live.update(part.live)
        total.closed.extend(part.closed)
        total.contents.extend(part.contents)
        total.audit.extend(part.audit)
        total.places.update(part.places)
        total.vectors.extend(part.vectors)
        total.statements.extend(part.statements)
        total.loads.extend(part.loads)
    return total


def _hexed(values: Iterable[Any]) -> list[Any]:
    return [value.hex() if isinstance(value, bytes) else value for value in values]


def _row_out(row: Row | None) -> list[Any] | None:
    return None if row is None else _hexed(row)


def _row_in(values: list[Any]) -> Row:
    missing = len(Row._fields) - len(values)  # of an entry that a kiromi left which knew fewer columns
    if missing:
        values = [*values[: len(MEMORY_SCHEMA) - missing], *([None] * missing), *values[len(MEMORY_SCHEMA) - missing :]]
    row = Row(*values)
    return row._replace(tags=tuple(row.tags), sha256=bytes.fromhex(values[-1]))


def _audit_in(values: list[Any]) -> AuditRow:
    *facts, salt, digest, entry_hash = values
    return AuditRow._make([*facts, *(bytes.fromhex(value) for value in (salt, digest, entry_hash))])
