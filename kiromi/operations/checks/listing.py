"""What lies where blobs lie, and where that differs from what the catalog says.

Listing and scan are compared as sets, by DuckDB. They are not of the same moment, so what differs is only a suspicion;
``scene`` judges it.
"""

import re
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa

from kiromi.catalog.changes import BlobKey
from kiromi.session.session import Session

GOAL = """
CASE WHEN m.id IS NULL THEN 'attic/' || right(c.id, 2) ELSE 'data/' || m.partition END
|| '/' || c.id || '.' || c.n || '.' || c.ext
"""
"""Where a blob belongs, in a query over ``contents c LEFT JOIN memories m USING (id, n)``."""

_LISTED = 65_536
_NAME = re.compile(r"(?:.*/)?([0-7][0-9A-HJKMNP-TV-Z]{25})\.([1-9][0-9]{0,8})\.[a-z]+", re.DOTALL)
_DIFFERENCE = f"""
SELECT DISTINCT e.id, e.n, l.path FROM listed l FULL JOIN (
    SELECT c.id, c.n, c.size, {GOAL} AS path FROM contents c LEFT JOIN memories m USING (id, n)
) e USING (path) WHERE e.size IS DISTINCT FROM l.size
"""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a walk saw."""

    objects: pa.Table
    """Columns path and size."""
    unprintable: list[str]
    """Paths that are no Unicode text; nothing of kiromi's."""


@dataclass(frozen=True, slots=True)
class Suspicions:
    """Where listing and catalog differ."""

    blobs: dict[BlobKey, set[str]] = field(default_factory=dict)
    """Blobs that are not whole at their place, or lie elsewhere too, with the paths where they were seen."""
    strangers: list[str] = field(default_factory=list)
    """Paths with a name that no blob has."""


def list_objects(session: Session) -> Listing:
    """Walk over all that lies where blobs lie."""
    schema = pa.schema([("path", pa.string()), ("size", pa.int64())])
    batches: list[pa.RecordBatch] = []
    unprintable: list[str] = []
    seen: list[tuple[str, int]] = []
    for prefix in ("data", "attic", "staging"):
        for path, size in session.blobs.walk(prefix):
            if not path.isascii() and not _is_text(path):
                unprintable.append(path)
                continue
            seen.append((path, size))
            if len(seen) == _LISTED:
                batches.append(_batch(seen, schema))
                seen = []
    batches.append(_batch(seen, schema))
    return Listing(pa.Table.from_batches(batches, schema), unprintable)


def compare(cursor: duckdb.DuckDBPyConnection, listing: Listing) -> Suspicions:
    """Return where a listing and the catalog, as the cursor sees it, differ."""
    suspicions = Suspicions(strangers=list(listing.unprintable))
    cursor.register("listed", listing.objects)
    found = cursor.execute(_DIFFERENCE).fetchall()
    cursor.unregister("listed")
    for memory_id, n, path in found:
        key = _key_of(path) if memory_id is None else (memory_id, n)
        if key is None:
            suspicions.strangers.append(path)
        else:
            suspicions.blobs.setdefault(key, set()).update([path] if path is not None else [])
    return suspicions


def _batch(seen: list[tuple[str, int]], schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(*seen, strict=True) if seen else ((), ())
    return pa.record_batch([pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)], schema)


def _key_of(path: str) -> BlobKey | None:
    match = _NAME.fullmatch(path)
    return None if match is None else (match[1], int(match[2]))


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
