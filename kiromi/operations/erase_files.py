"""What an erasure does to files: strays that the catalog does not know, the indices, copies of the catalog, itself.

All of it can be done again, so a process that was killed in between begins anew.
"""

import os
import shutil
import time
from collections.abc import Collection
from pathlib import Path

from kiromi.blobs.local import LocalBlobs
from kiromi.catalog.changes import BlobKey
from kiromi.catalog.database import sync_path
from kiromi.catalog.rewriting import remove_copies, rewrite
from kiromi.catalog.rows import attic_path
from kiromi.errors import StorageError
from kiromi.session.session import Session
from kiromi.times import now_micros

_DONE = "UPDATE migration_state SET status = 'done', \"cursor\" = NULL, updated_at = make_timestamptz(?) WHERE id = ?"
_TRIES, _PAUSE_S = 10, 0.02


def strays(session: Session, ids: Collection[str]) -> dict[BlobKey, list[str]]:
    """Return where files lie that have the name of a blob of one of these memories; none on object stores.

    What kiromi itself leaves behind is in ``pending``; this finds what somebody copied or restored. Listing an object
    store costs too much for that.
    """
    wanted = set(ids)
    found: dict[BlobKey, list[str]] = {}
    if not isinstance(session.blobs, LocalBlobs):
        return found
    for folder in ("data", "attic", "staging"):
        for path, _ in session.blobs.walk(folder):
            memory_id, _, rest = path.rpartition("/")[2].partition(".")
            number = rest.partition(".")[0]
            if memory_id in wanted and number.isdecimal():
                found.setdefault((memory_id, int(number)), []).append(path)
    return found


def places_of(memory_id: str, n: int, ext: str) -> tuple[str, ...]:
    """Return where a content may lie that is live nowhere."""
    return attic_path(memory_id, n, ext), f"staging/{memory_id}.{n}.{ext}"


def has_index(session: Session) -> bool:
    """Tell whether there are index files."""
    return session.root.index_path(session.tenant).exists()


def finish(session: Session, job_id: str) -> None:
    """Remove the indices and the copies of the catalog, rewrite it, and end the job with that; the caller is alone.

    Raises:
        StorageError: something cannot be removed or written; the job stays unfinished.
    """
    with session.writer:
        session.settle()
        _check_blobs_gone(session)
        if isinstance(session.blobs, LocalBlobs):
            session.blobs.remove_empty_folders()
        _drop_indices(session)
        remove_copies(session.catalog_path)
        _sync(session)
        session.fold()
        session.catalog.close()
        try:
            rewrite(session.catalog_path, [(_DONE, (now_micros(), job_id))])
        finally:
            session.reopen()


def _check_blobs_gone(session: Session) -> None:
    stuck = {key: why for key, why in session.pending.unsettled.items() if session.pending.facts[key] is None}
    if stuck:
        places = [place for key in stuck for place in session.pending.places[key]]
        raise StorageError(
            f"{len(stuck)} blob(s) cannot be removed ({next(iter(stuck.values()))}): the erasure goes on when the store"
            " is opened or erase is called again",
            paths=places,
        )


def _drop_indices(session: Session) -> None:
    """Remove all index files: terms and vectors stay in them until they are merged away, which nobody can wait for."""
    while session.attached:
        session.attached.popitem()[1].release()
    session.feed.stop()
    folder = session.root.index_path(session.tenant)
    for left in reversed(range(_TRIES)):
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            if not folder.exists():
                break
        except OSError as error:
            if not left:
                raise StorageError(f"cannot remove the indices in {folder}: {error}", path=str(folder)) from error
        time.sleep(_PAUSE_S)  # a thread of tantivy may just be putting another file there
    _sync_parent(folder)


def _sync(session: Session) -> None:
    """Make durable that files are gone, also where that of blobs is left out: they must not come back."""
    with session.failing():
        session.blobs.sync()
    if isinstance(session.blobs, LocalBlobs) and not session.durable:
        os.sync()
    session.pending.mark_durable()


def _sync_parent(folder: Path) -> None:
    if folder.parent.exists():
        sync_path(folder.parent)
