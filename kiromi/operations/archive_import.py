"""Import of an archive: a store made anew where none is, with the same ids, versions, history of audit and seqs.

The order of durable effects: the lock; every part checked; a catalog under another name, which marks the place as being
imported; the contents, synced; the tables; the proof that the state is the one that was exported; the catalog's name. A
kill before the last step leaves what opening refuses and the next import of anything starts over.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from kiromi.blobs.base import Blobs, NewBlob, Settlement
from kiromi.blobs.local import LocalBlobs, make_durable_folder
from kiromi.catalog.building import built, collect, insert, run_with, write_meta
from kiromi.catalog.database import Catalog, Meta
from kiromi.catalog.rows import attic_path
from kiromi.errors import AlreadyExists, IntegrityError, InvalidInput, StorageError
from kiromi.ids import IdSource
from kiromi.operations.archive_paths import render_again
from kiromi.operations.archiving import report_of
from kiromi.operations.arriving import bares_of, record_arrival
from kiromi.operations.opening import check_actor
from kiromi.operations.state_digest import digest_of
from kiromi.operations.unpacking import check_audit_follows, grouped, head_of, retire, take, unpack, unpack_vectors
from kiromi.partition import check_name
from kiromi.portable.archive.chain import Archive, open_chain
from kiromi.portable.archive.manifest import Manifest
from kiromi.reports.archives import ArchiveReport
from kiromi.session.location import Root, resolve_root
from kiromi.session.lock import StoreLock, lock_path
from kiromi.session.registry import is_open
from kiromi.session.remains import FOLDERS, importing_path

_GOALS = """
SELECT m.partition IS NOT NULL OR h.id IS NOT NULL, m.partition
FROM incoming i LEFT JOIN came_memories m USING (id, n)
LEFT JOIN (SELECT DISTINCT id, n FROM came_history) h USING (id, n) ORDER BY i.position
"""
_WITHOUT_CONTENT = """
DELETE FROM came_history h WHERE NOT EXISTS (SELECT 1 FROM arrived a WHERE a.id = h.id AND a.n = h.n)
OR h.id IN (
    SELECT l.id FROM (SELECT id, arg_max(n, end_seq) AS n FROM came_history GROUP BY id) l
    ANTI JOIN came_memories USING (id) ANTI JOIN arrived USING (id, n))
"""
"""Closed versions without content, and all of a deleted memory whose last version is one: it could not come back."""
_MISSING = "SELECT count(*), min(m.id) FROM came_memories m ANTI JOIN arrived USING (id, n)"
_KEYS = pa.schema([("id", pa.string()), ("n", pa.int32())])
Progress = Callable[[int, int], None]
DEFAULT_WAIT_S = 10.0


def import_archive(
    urls: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    root: str | os.PathLike[str],
    *,
    tenant: str = "default",
    storage_options: Mapping[str, Any] | None = None,
    catalog: str | os.PathLike[str] | None = None,
    archive_options: Mapping[str, Any] | None = None,
    actor: str = "import",
    wait: float = DEFAULT_WAIT_S,
    on_progress: Progress | None = None,
) -> ArchiveReport:
    """Make a store from an archive: ids, versions, attributes, links, supersession, vectors and audit log are the same.

    Of former versions those come back whose contents are in the archive; moments before the archive's cannot be read.
    A killed import leaves nothing that opens as a store, and the next one starts over.

    Args:
        urls: a full archive, or one and its increments in order.
        root: where the store is to be, as for :func:`kiromi.open`.
        tenant: its tenant; none of that name may be there.
        storage_options: passed to the fsspec driver of ``root``.
        catalog: as for :func:`kiromi.open`.
        archive_options: passed to the fsspec driver of ``urls``; those of ``root`` if not said.
        actor: whom the audit log names, if the import has to be noted there: memories were taken out of the archive, or
            erased in the store after the moment that it shows, so that audit entries came without what they said.
        wait: seconds to wait for another process to let go of the place.
        on_progress: called with (memories whose contents are stored, in all).

    Raises:
        AlreadyExists: there is such a tenant.
        IntegrityError: a part is missing or damaged (the message names it; nothing was written), the place holds blobs
            without a catalog, or what was stored is not what was exported.
        InvalidInput: the archives do not follow one another, or have no contents.
        NotFound: a URL holds no finished archive.
    """
    started = time.monotonic()
    check_name(tenant, "tenant")
    check_actor(actor)
    location = resolve_root(root, storage_options, catalog)
    named = [urls] if isinstance(urls, str | os.PathLike) else list(urls)
    chain = open_chain(named, storage_options if archive_options is None else archive_options)
    if not all(archive.manifest.contents for archive in chain):
        raise InvalidInput(
            f"the archive {chain[-1].place.url} has no contents, as it was kept beside a store: recover takes it"
        )
    if location.catalog_path(tenant).exists():
        raise _exists(location, tenant)
    for archive in chain:
        archive.check_parts()
    with held_place(location, tenant, wait):
        memories, left_out = _import(chain, location, tenant, actor, on_progress)
    report = report_of(chain[-1].place, chain[-1].manifest, time.monotonic() - started, left_out)
    return replace(report, memories=memories)  # the manifest of an increment does not know what was forgotten before it


@contextmanager
def held_place(location: Root, tenant: str, wait_s: float) -> Iterator[None]:
    """Hold the lock of a place where no store is.

    Raises:
        AlreadyExists: a store is there.
    """
    path = location.catalog_path(tenant)
    try:
        make_durable_folder(str(path.parent))
    except OSError as error:
        raise StorageError(f"cannot make the folder {path.parent}: {error}") from error
    if is_open(path):
        raise _exists(location, tenant)
    lock = StoreLock(lock_path(path), shared=False)
    try:
        lock.acquire(wait_s)
        if path.exists():
            raise _exists(location, tenant)
        yield
    finally:
        lock.close()


def show(path: Path, temporary: Path) -> None:
    """Give a finished catalog its name, durably.

    Raises:
        StorageError: DuckDB has left a part of it in its log.
    """
    if Path(f"{temporary}.wal").exists():
        raise StorageError(f"the catalog {temporary} was not written to its end")
    Path(f"{path}.wal").unlink(missing_ok=True)  # of the catalog that was lost: DuckDB would take it for this one's
    for one in (temporary, temporary.parent):
        _sync(one)
    os.rename(temporary, path)
    _sync(path.parent)


def _import(
    chain: Sequence[Archive], location: Root, tenant: str, actor: str, on_progress: Progress | None
) -> tuple[int, Mapping[str, int]]:
    """Make the store; return how many memories it has, and how much was left out."""
    path = location.catalog_path(tenant)
    temporary = importing_path(path)
    blobs = location.blobs(tenant)
    _clear(blobs, temporary, location, tenant)
    mark = _mark(location, tenant)
    last = chain[-1].manifest
    with built(temporary) as catalog:
        _sync(temporary.parent)  # the catalog's other name is there before the first blob
        if mark is not None:
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.write_text(str(temporary), encoding="utf-8")
            _sync(mark)
            _sync(mark.parent)
        unpack(catalog, chain)
        meta = Meta(last.store_id, IdSource().make(), tenant, _fold_case(blobs, last, catalog), last.store_created_at)
        with catalog.transaction() as cursor:
            check_audit_follows(cursor, last)
            left_out = _leave_out(cursor, chain)
            ((memories,),) = cursor.execute("SELECT count(*) FROM came_memories").fetchall()
            _Contents(cursor, blobs, memories, on_progress).store(chain)
            take(cursor)
            retire(cursor, last.store_id)
            head = head_of(last)
            bares, is_unexplained = bares_of(cursor)
            if is_unexplained:
                head = record_arrival(cursor, head, head.seq + 1, "import", actor, {"archive_seq": last.seq})
            write_meta(cursor, meta, head, gc_floor=last.seq)
        unpack_vectors(catalog, chain)
        _prove(catalog, last)
    show(path, temporary)
    if mark is not None:
        mark.unlink()
    return memories, {**left_out, "audit_facts": bares}


def _mark(location: Root, tenant: str) -> Path | None:
    """Return the file that says, where data is local and its catalog is not beside it, whose import has begun there."""
    is_apart = location.is_local and location.catalog is not None
    return Path(location.tenant_path(tenant)) / "importing" if is_apart else None


def _clear(blobs: Blobs, temporary: Path, location: Root, tenant: str) -> None:
    """Start over where an import was killed; refuse a place that holds something else."""
    found = [path for prefix in FOLDERS for path, _ in blobs.walk(prefix)]
    # An import claims no epoch: where one is, a store was opened, maybe from another machine, whatever was begun here.
    is_store = not blobs.has_staging and next(blobs.walk("epoch"), None) is not None
    mark = _mark(location, tenant)
    if mark is not None and found:
        is_store = not mark.exists() or mark.read_text(encoding="utf-8") != str(temporary)
    if is_store or (found and not temporary.exists()):
        raise IntegrityError(
            f"{location.url} (tenant {tenant!r}) has blobs, such as {min(found, default='epoch/', key=ascii)}, but no"
            " catalog: recover makes one anew from them, or name an empty place",
            root=location.url,
            tenant=tenant,
        )
    if found:
        blobs.remove(found)


def _fold_case(blobs: Blobs, manifest: Manifest, catalog: Catalog) -> bool:
    """Tell how paths are encoded here; render them anew where the archive's would not do."""
    if manifest.fold_case or not isinstance(blobs, LocalBlobs) or not blobs.folds_case():
        return manifest.fold_case
    with catalog.transaction() as cursor:
        render_again(cursor, manifest.schemes)
    return True


def _leave_out(cursor: duckdb.DuckDBPyConnection, chain: Sequence[Archive]) -> Mapping[str, int]:
    """Leave out of what came the rows that have no contents in the chain; return how many there were."""
    collect(cursor, "arrived", _KEYS)
    for archive in chain:
        for table in grouped(archive.batches("contents", _KEYS.names)):
            insert(cursor, "arrived", table)
    missing, example = cursor.execute(_MISSING).fetchall()[0]
    if missing:
        raise IntegrityError(f"the archive lacks the contents of {missing:,} memories, such as {example}", id=example)
    ((versions,),) = cursor.execute(_WITHOUT_CONTENT).fetchall()
    ((snapshots,),) = cursor.execute("DELETE FROM snapshots WHERE seq < ?", [chain[-1].manifest.seq]).fetchall()
    return {"former_versions": versions, "snapshots": snapshots}


def _prove(catalog: Catalog, manifest: Manifest) -> None:
    with catalog.snapshot() as cursor:
        if manifest.digest is None:
            return
        found = digest_of(cursor, manifest.schemes)
    if found != manifest.digest:
        raise IntegrityError(
            f"what was imported is not what was exported: its digest is {found}, the archive's {manifest.digest}",
            found=found,
            expected=manifest.digest,
        )


@dataclass(slots=True)
class _Contents:
    """Stores contents where their rows say, in batches."""

    cursor: duckdb.DuckDBPyConnection
    blobs: Blobs
    total: int
    on_progress: Progress | None
    done: int = 0

    def store(self, chain: Sequence[Archive]) -> None:
        """Store all contents of a chain that a row needs, durably."""
        for archive in chain:
            for batch in archive.batches("contents"):
                self._store_batch(batch)
        self.blobs.sync()

    def _store_batch(self, batch: pa.RecordBatch) -> None:
        keys = pa.table(
            {
                "id": batch.column("id"),
                "n": batch.column("n"),
                "position": pa.array(range(batch.num_rows), pa.int64()),
            }
        )
        goals = run_with(self.cursor, keys, _GOALS)
        blobs: list[NewBlob] = []
        settlements: list[Settlement] = []
        columns = [batch.column(name).to_pylist() for name in ("id", "n", "ext", "sha256", "data")]
        for (is_needed, partition), (memory_id, n, ext, digest, data) in zip(
            goals, zip(*columns, strict=True), strict=True
        ):
            if not is_needed:
                continue
            if data is None or sha256(data).digest() != digest:
                raise IntegrityError(f"the archive's content {memory_id}.{n} is not what was stored", id=memory_id)
            name = f"{memory_id}.{n}.{ext}"
            goal = attic_path(memory_id, n, ext) if partition is None else f"data/{partition}/{name}"
            staged = f"staging/{name}" if self.blobs.has_staging else goal
            blobs.append(NewBlob(staged, goal, data))
            settlements.append(Settlement(memory_id, n, goal, (staged,), len(data), is_put=staged == goal))
        self.blobs.write(blobs)
        failures = self.blobs.settle(settlements)
        if failures:
            raise StorageError(f"cannot store the content {failures[0].id}.{failures[0].n}: {failures[0].reason}")
        self.done += len(blobs)
        if self.on_progress is not None:
            self.on_progress(min(self.done, self.total), self.total)


def _exists(location: Root, tenant: str) -> AlreadyExists:
    return AlreadyExists(
        f"{location.url} has a tenant {tenant!r} already: name another root or tenant", root=location.url, tenant=tenant
    )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
