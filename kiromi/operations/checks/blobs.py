"""Blobs against the catalog, both ways, while others write.

A listing and a scan are compared as sets; they are not of the same moment, so what differs is only a suspicion. Each is
then judged with the writer kept out, against the view and the filesystem as they are at that moment, a bounded number at
a time. Repairs happen there too: a blob is moved or a copy removed only after its bytes were read and have the SHA-256
that the catalog has, and never the last copy.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import duckdb
import pyarrow as pa

from kiromi.blobs.base import Settlement
from kiromi.blobs.local import LocalBlobs
from kiromi.catalog.changes import BlobKey
from kiromi.errors import StorageError
from kiromi.model import Problem
from kiromi.session.pending import goal_of
from kiromi.session.session import Session

AT_ONCE = 1_000
"""Suspicions judged while the writer waits."""
READ_BYTES = 32 << 20
"""Contents held in memory at once while all are read; a larger one is alone."""
READ_BLOBS = 512

_LISTED = 65_536
_PAGE = 4_096
_NAME = re.compile(r"(?:data/.+|attic/..|staging)/([0-7][0-9A-HJKMNP-TV-Z]{25})\.([1-9][0-9]{0,8})\.[a-z]+")
_GOAL = """
CASE WHEN m.id IS NULL THEN 'attic/' || right(c.id, 2) ELSE 'data/' || m.partition END
|| '/' || c.id || '.' || c.n || '.' || c.ext
"""
_DIFFERENCE = f"""
SELECT DISTINCT e.id, e.n, l.path FROM listed l FULL JOIN (
    SELECT c.id, c.n, c.size, {_GOAL} AS path FROM contents c LEFT JOIN memories m USING (id, n)
) e USING (path) WHERE e.size IS DISTINCT FROM l.size
"""
_CONTENTS = f"""
SELECT c.id, c.n, c.ext, c.size, c.sha256, {_GOAL} FROM contents c LEFT JOIN memories m USING (id, n)
WHERE (c.id > $1 OR (c.id = $1 AND c.n > $2)) AND c.id <= $3 ORDER BY c.id, c.n LIMIT {_PAGE}
"""


class Content(NamedTuple):
    """What the catalog says of a blob."""

    ext: str
    size: int
    sha256: bytes


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


def judge(session: Session, suspicions: Suspicions, *, fix: bool, left_alone: Iterable[str] = ()) -> list[Problem]:
    """Return which suspicions are true now.

    Args:
        session: the tenant's.
        suspicions: what to look at.
        fix: bring misplaced blobs where they belong, and remove second copies.
        left_alone: ids whose rows are in doubt, so that nothing of theirs is moved.
    """
    problems: list[Problem] = []
    strangers, hands_off = sorted(suspicions.strangers), frozenset(left_alone)
    for start in range(0, len(strangers), AT_ONCE):
        chunk = strangers[start : start + AT_ONCE]
        with session.writer:
            sizes = session.blobs.sizes(chunk)
        problems += [
            Problem("orphan", _printable(path), f"{_printable(path)} has a name that no blob of a store has")
            for path, size in zip(chunk, sizes, strict=True)
            if size is not None
        ]
    keys = sorted(suspicions.blobs)
    for start in range(0, len(keys), AT_ONCE):
        with _bench(session, {key: suspicions.blobs[key] for key in keys[start : start + AT_ONCE]}) as bench:
            for key in bench.seen:
                problems += bench.judge(key, fix=fix and key[0] not in hands_off)
    return problems
