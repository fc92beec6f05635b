"""Orphans: blobs that lie below ``data/`` or ``attic/`` and that the catalog does not know.

A killed process leaves none; copies made by other programs, and catalogs restored from a backup, do. Only what has a
name that kiromi gives is one, and only if the catalog knows no content of that id and number: a blob in the wrong place
may be the only copy, and is for ``verify`` to bring home.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from kiromi.catalog.changes import BlobKey
from kiromi.operations.checks.listing import compare, list_objects
from kiromi.session.session import Session

_AT_ONCE = 1_000
"""Removed while the writer waits."""


@dataclass(frozen=True, slots=True)
class Orphans:
    """What was found; only what is old enough may go."""

    old: tuple[tuple[BlobKey, str], ...]
    young: int
    """How many are too young, or of an age that the storage does not tell."""
    size_bytes: int
    """Of the old ones."""


def find_orphans(session: Session, grace: int) -> Orphans:
    """Return the orphans, and which of them are older than ``grace`` microseconds by the storage's own clock.

    Costs one listing of the blobs; the clock is asked only if there are any. To a handle that only reads none is old.
    """
    # Walk first: whatever is committed meanwhile is then known to the scan.
    listing = list_objects(session)
    with session.snapshot() as (_, cursor):
        suspicions = compare(cursor, listing)
    found = [
        (key, path)
        for key, paths in sorted(suspicions.blobs.items())
        for path in sorted(paths)
        if not path.startswith("staging/")
    ]
    found = _unknown(session, found)
    if not found:
        return Orphans((), 0, 0)
    now = None if session.read_only else session.blobs.clock()  # asking it writes
    times = session.blobs.modified([path for _, path in found])
    old = tuple(one for one, time in zip(found, times, strict=True) if _is_older(time, now, grace))
    sizes = session.blobs.sizes([path for _, path in old])
    return Orphans(old, len(found) - len(old), sum(size or 0 for size in sizes))


def remove_orphans(session: Session, old: Sequence[tuple[BlobKey, str]]) -> tuple[int, int]:
    """Remove those that are orphans still; return how many, and their bytes. The caller holds the lease.

    Raises:
        StorageError: the filesystem refused.
    """
    count = size_bytes = 0
    for start in range(0, len(old), _AT_ONCE):
        with session.writer:
            paths = [path for _, path in _unknown(session, old[start : start + _AT_ONCE])]
            sizes = [size for size in session.blobs.sizes(paths) if size is not None]
            session.blobs.remove(paths)
        count += len(sizes)
        size_bytes += sum(sizes)
    return count, size_bytes


def _unknown(session: Session, found: Sequence[tuple[BlobKey, str]]) -> list[tuple[BlobKey, str]]:
    """Return those of which the catalog knows neither the content nor the place."""
    with session.writer, session.snapshot():
        facts = session.catalog.content_facts({key for key, _ in found})
        pending = session.pending.places
        return [(key, path) for key, path in found if facts[key] is None and path not in pending.get(key, ())]


def _is_older(time: int | None, now: int | None, grace: int) -> bool:
    return time is not None and now is not None and time + grace <= now
