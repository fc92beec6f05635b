"""The facade: a handle on one tenant of a store. Composes operations and holds no logic of its own."""

import builtins
import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal

import pyarrow as pa

from kiromi.errors import InvalidInput
from kiromi.ids import check_id
from kiromi.model import (
    AppendReport,
    AuditEntry,
    AuditReport,
    BatchReport,
    Change,
    DeleteReport,
    Draft,
    ExportReport,
    ImportReport,
    Memory,
    MemoryInfo,
    Page,
    PartitionInfo,
    StoreStats,
    VerifyReport,
    Version,
)
from kiromi.operations import append as _append
from kiromi.operations import delete as _delete
from kiromi.operations import get as _get
from kiromi.operations import history as _history
from kiromi.operations import listing as _listing
from kiromi.operations import partitions as _partitions
from kiromi.operations import sql as _sql
from kiromi.operations import stats as _stats
from kiromi.operations import update as _update
from kiromi.operations import verify as _verify
from kiromi.operations.caller import Caller, Guard, check_text
from kiromi.operations.opening import Durability, check_actor, open_caller
from kiromi.operations.present import info_of
from kiromi.session.commit import transaction as _transaction
from kiromi.session.operation import Context, Operation
from kiromi.session.registry import release
from kiromi.session.session import Session

DEFAULT_WAIT_S = 10.0

_context: ContextVar[Mapping[Session, Mapping[str, str]] | None] = ContextVar("kiromi_context", default=None)


def open(  # noqa: A001 - kiromi.open is the public name, like zarr.open
    root: str | os.PathLike[str],
    *,
    scheme: str | None = None,
    tenant: str = "default",
    actor: str = "kiromi",
    storage_options: Mapping[str, Any] | None = None,
    catalog: str | os.PathLike[str] | None = None,
    read_only: bool = False,
    wait: float = DEFAULT_WAIT_S,
    durability: Durability = "sync",
    guards: Sequence[Guard] = (),
) -> "Store":
    """Open a store, or create it when a scheme is given and there is none.

    Args:
        root: a local folder or any fsspec URL, such as ``s3://bucket/prefix``.
        scheme: a partition template such as ``"user={user}/topic={topic|inbox}"``. On an existing store it must be the
            active one (or an earlier one: a warning). Leave it out to open only what exists.
        tenant: the isolated space within the store; no call crosses it.
        actor: the name recorded in the audit log for what this handle does.
        storage_options: passed to the fsspec driver.
        catalog: a local folder for catalogs and locks (one subfolder a tenant), or a ``.duckdb`` file for this tenant;
            needed for object stores, optional for local roots.
        read_only: refuse every write. Several processes can read one store at the same time.
        wait: seconds to wait for another process to hand the store over, at opening and later; of
            several handles on one tenant in a process, the longest holds for all.
        durability: ``"sync"``: what is acknowledged survives a power loss. ``"relaxed"``: it survives a kill of the
            process; blobs are not synced.
        guards: functions from :class:`Draft` to :class:`Draft` that may change a memory before it is stored, or raise
            to refuse it: run by append, put, update and import. For update they run while other writers wait.

    Raises:
        StoreNotFound: there is no store and no scheme was given.
        SchemeMismatch: the scheme was never one of this store's.
        StoreLocked: another process did not hand the store over in time.
        InvalidInput: an argument is refused.
        UnsupportedFormat: the store is of a newer format.
        StorageError: the filesystem or the catalog failed.
    """
    return Store(
        open_caller(
            root,
            scheme=scheme,
            tenant=tenant,
            actor=actor,
            storage_options=storage_options,
            catalog=catalog,
            read_only=read_only,
            wait=wait,
            durability=durability,
            guards=guards,
        )
    )


class Store:
    """A handle on one tenant, made by :func:`kiromi.open`; safe to share between threads, a context manager.

    Every call sees all that was acknowledged before it. After a ``fork`` open the store again in the child.
    """

    def __init__(self, caller: Caller, parent: "Store | None" = None) -> None:
        self._base = caller
        self._parent = parent
        self._is_closed = False

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        session = self._base.session
        return f"<kiromi.Store {session.root.url!r} tenant={session.tenant!r}>"

    # -- writing ----------------------------------------------------------------------------------------------------

    def append(self, content: str | bytes, partition: Mapping[str, Any] | None = None, **fields: Any) -> Memory:
        """Store a new memory; it is durable when this returns.

        Args:
            content: text (stored as UTF-8 Markdown unless ``media_type`` says otherwise) or bytes.
            partition: values for the scheme's fields; stored as attributes.
            fields: ``attributes id key namespace kind title tags language importance confidence event_at valid_from
                valid_until expires_at created_at media_type``; see :class:`Draft`.

        Raises:
            InvalidInput: a field is refused, or the scheme lacks a value.
            AlreadyExists: the id or key is in use.
        """
        with self._call() as caller:
            return _append.append(caller, {"content": content, "partition": partition, **fields})

    def append_many(
        self,
        records: Iterable[Mapping[str, Any] | Draft] | pa.Table | pa.RecordBatchReader,
        *,
        batch_size: int = _append.DEFAULT_BATCH,
        on_batch: Callable[[BatchReport], None] | None = None,
    ) -> AppendReport:
        """Store many new memories; each batch is one operation, all or nothing, durable when it is reported.

        Args:
            records: mappings with the fields of :meth:`append`, drafts, or Arrow data with such columns. Read lazily:
                memory use does not grow with their number.
            batch_size: memories per batch; a batch also ends at 64 MiB of content.
            on_batch: called after each batch with its seq and ids.

        Raises:
            InvalidInput: a record is refused; the message names its position (from 0) and field. Earlier batches stay.
            AlreadyExists: an id or key is in use. Earlier batches stay.
        """
        return _append.append_many(self._caller(), records, batch_size=batch_size, on_batch=on_batch)

    def put(
        self,
        content: str | bytes,
        partition: Mapping[str, Any] | None = None,
        *,
        key: str,
        namespace: str = "",
        **fields: Any,
    ) -> Memory:
        """Store a memory under a key: a new one, or the next version of the live memory with that key and namespace.

        What is not given is reset to its default, so that the result depends on this call alone; id and
        ``created_at`` stay. If nothing changes, no version is made.

        Raises:
            InvalidInput: a field is refused.
        """
        with self._call() as caller:
            return _append.put(
                caller, {"content": content, "partition": partition, "key": key, "namespace": namespace, **fields}
            )

    def update(self, id: str, *, expected_version: int | None = None, **fields: Any) -> Memory:  # noqa: A002
        """Make the next version of a memory. What is not given stays.

        Args:
            id: the memory.
            expected_version: refuse if the memory has another version and is not already as wished.
            fields: as for :meth:`append`, but not ``id`` and ``created_at``. ``attributes`` are merged: None removes
                one. ``None`` clears any other field.

        Raises:
            MemoryNotFound: it is not there.
            VersionConflict: it has another version than expected.
            InvalidInput: a field is refused.
        """
        with self._call() as caller:
            return _update.update(caller, id, fields, expected_version)

    def delete(self, id: str, *, expected_version: int | None = None) -> MemoryInfo:  # noqa: A002
        """Delete a memory; its content rests in the attic and its history remains. Deleting twice changes nothing.

        Raises:
            MemoryNotFound: there never was such a memory.
            VersionConflict: it has another version than expected.
        """
        with self._call() as caller:
            return _delete.delete(caller, id, expected_version)

    def undelete(self, id: str) -> MemoryInfo:  # noqa: A002
        """Bring a deleted memory back, as its next version, where it was.

        Raises:
            MemoryNotFound: there never was such a memory.
            AlreadyExists: its key is in use by another memory now.
        """
        with self._call() as caller:
            return _delete.undelete(caller, id)

    def delete_where(
        self, within: Mapping[str, Any] | None = None, where: Any = None, *, dry_run: bool = True
    ) -> DeleteReport:
        """Delete the memories within a scope that match a filter, expired ones included, in batches of 10,000.

        Args:
            within: segment or field names to exact values.
            where: a filter; ``{}`` matches all. At least one of both is needed.
            dry_run: only report what would be deleted (the default).
        """
        with self._call() as caller:
            return _delete.delete_where(caller, within, where, dry_run=dry_run)

    @contextlib.contextmanager
    def transaction(self) -> Iterator["Transaction"]:
        """Compose several writes into one operation with one seq: all become durable and visible together, or none.

        Other threads' writes wait until the block ends; keep it short. If the block raises, nothing was changed.
        """
        with self._call() as caller:
            caller.check_writable()
            with _transaction(caller.session, caller.context) as operation:
                composed = Transaction(caller, operation)
                try:
                    yield composed
                finally:
                    composed._is_over = True

    @contextlib.contextmanager
    def context(
        self, *, actor: str | None = None, run_id: str | None = None, reason: str | None = None
    ) -> Iterator[None]:
        """Record who writes, in which run and why, for this thread's or task's writes to the tenant; blocks nest."""
        if actor is not None:
            check_actor(actor)
        given: dict[str, Any] = {"actor": actor, "run_id": run_id, "reason": reason}
        given = {name: check_text(value, name) for name, value in given.items() if value is not None}
        outer = _context.get() or {}
        session = self._base.session
        token = _context.set({**outer, session: {**outer.get(session, {}), **given}})
        try:
            yield
        finally:
            _context.reset(token)

    # -- reading ----------------------------------------------------------------------------------------------------

    def get(self, id: str | None = None, *, key: str | None = None, namespace: str = "") -> Memory:  # noqa: A002
        """Return a live memory with its content, by id or by key; the content is checked against its SHA-256.

        Raises:
            MemoryNotFound: it is not there (MemoryDeleted, MemoryExpired say more).
            BlobMissing, ChecksumMismatch: its blob was removed or changed behind kiromi's back.
        """
        with self._call() as caller:
            return _get.get(caller, id, key, namespace)

    def get_many(self, ids: Iterable[str], *, missing: Literal["raise", "skip"] = "raise") -> list[Memory]:
        """Return live memories with their contents in the order of ``ids``.

        Args:
            ids: which.
            missing: raise for one that is not there, or skip it.

        Raises:
            MemoryNotFound: one is not there, with ``missing="raise"``.
        """
        with self._call() as caller:
            return _get.get_many(caller, ids, missing)

    def exists(self, id: str | None = None, *, key: str | None = None, namespace: str = "") -> bool:  # noqa: A002
        """Tell whether a live, unexpired memory is there."""
        with self._call() as caller:
            return _get.exists(caller, id, key, namespace)

    def count(self, within: Mapping[str, Any] | None = None, where: Any = None) -> int:
        """Return how many live memories lie within a scope and match a filter."""
        with self._call() as caller:
            return _listing.count(caller, within, where)

    def list_ids(self, within: Mapping[str, Any] | None = None, where: Any = None) -> list[str]:
        """Return the ids of the live memories within a scope that match a filter, in ascending order."""
        with self._call() as caller:
            return _listing.list_ids(caller, within, where)

    def list(
        self,
        within: Mapping[str, Any] | None = None,
        where: Any = None,
        *,
        order_by: str = "id",
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """Return one page of live memories, without content.

        Args:
            within: segment or field names to exact values.
            where: a filter, as a mapping or as text.
            order_by: a documented column, with ``-`` in front for descending; ties go by id, nulls last.
            limit: items per page, 1 to 10,000.
            cursor: ``next_cursor`` of the page before; the other arguments must be the same.

        Going on by cursor returns every memory that is unchanged throughout exactly once, whatever is written
        meanwhile.
        """
        with self._call() as caller:
            return _listing.list_memories(caller, within, where, order_by, limit, cursor)

    def history(self, id: str) -> builtins.list[Version]:  # noqa: A002
        """Return every version of a memory, live or deleted, newest first.

        Raises:
            MemoryNotFound: there never was such a memory.
        """
        with self._call() as caller:
            return _history.history(caller, id)

    def partitions(
        self, within: Mapping[str, Any] | None = None, *, depth: int | None = None
    ) -> builtins.list[PartitionInfo]:
        """Return the partitions in path order with counts and sizes, cut at ``depth`` levels (None: whole paths).

        Counted is what lies on disk as live: expired memories too, as long as they are not deleted.
        """
        with self._call() as caller:
            return _partitions.partitions(caller, within, depth)

    def changes(self, since: int = 0) -> Iterator[Change]:
        """Yield every event after a seq, oldest first, up to now.

        A consumer that remembers the last seq it handled, and asks from there, misses nothing and sees nothing twice.
        """
        return _history.changes(self._caller(), since)

    def audit(self, since: int = 0, *, id: str | None = None, limit: int | None = None) -> builtins.list[AuditEntry]:  # noqa: A002
        """Return audit entries after a seq, oldest first, of one memory if ``id`` is given, at most ``limit``."""
        with self._call() as caller:
            return _history.audit(caller, since, id, limit)

    def audit_verify(self, *, expect: str | None = None) -> AuditReport:
        """Check the whole audit chain, and the rows' seqs and the recorded head against it.

        Args:
            expect: a head that was kept earlier (``AuditReport.head``); it must still be in the chain.
        """
        with self._call() as caller:
            return _verify.audit_verify(caller, expect)

    def verify(
        self,
        *,
        read_data: bool = False,
        fix: bool = False,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> VerifyReport:
        """Compare catalog and blobs both ways, sizes, paths against schemes, pending rows, and the audit chain.

        Args:
            read_data: also read every blob and compare its SHA-256: costs reading all bytes.
            fix: repair what can be derived; never removes the last copy of anything.
            on_progress: called with (blobs done, blobs in all).

        Without ``read_data`` it costs one listing of ``data/`` and ``attic/`` and a scan of the catalog.
        """
        with self._call() as caller:
            return _verify.verify(caller, read_data=read_data, fix=fix, on_progress=on_progress)

    def stats(self) -> StoreStats:
        """Return counts and sizes of the tenant."""
        with self._call() as caller:
            return _stats.stats(caller)

    def sql(self, query: str, parameters: Sequence[Any] | None = None) -> pa.Table:
        """Run one SELECT over the documented views and return its result.

        The views: ``memories``, ``history``, ``contents``, ``audit_log``, ``schemes``, ``partitions``. Nothing else
        can be read: no files, no network, no other tables; nothing can be written. A scoped handle's views hold its
        scope only.

        Raises:
            InvalidInput: it is not exactly one SELECT over these views, or DuckDB refuses it.
        """
        with self._call() as caller:
            return _sql.run_sql(caller, query, parameters)

    # -- import and export --------------------------------------------------------------------------------------------

    def import_from(
        self,
        source: str | os.PathLike[str],
        *,
        format: str | None = None,  # noqa: A002
        source_name: str | None = None,
        rename: Mapping[str, str] | None = None,
        prune: bool = False,
        on_error: Literal["abort", "skip"] = "abort",
        dry_run: bool = False,
        batch_size: int = 1_000,
        types: Mapping[str, str] | None = None,
        on_batch: Callable[[BatchReport], None] | None = None,
        on_progress: Callable[[int, int | None], None] | None = None,
    ) -> ImportReport:
        """Bring every record of a folder or file into the store: new ones are added, changed ones get a new version.

        A record is found again by its key (of a file in a folder: the path below it) in its namespace, or by its id;
        one with neither is always added. An id that was deleted comes back. First all records are read and checked,
        and nothing is written if one is bad: not readable, refused by a guard, without a field that the scheme needs,
        with a key or id that stands twice or belongs to another memory. Then they are committed in batches, each all
        or nothing. After a kill, import again: what was committed is unchanged then.

        Args:
            source: a folder of Markdown, text and JSON files; or a JSONL, CSV or Parquet file (or folder of such).
            format: ``markdown``, ``jsonl``, ``csv`` or ``parquet``; None lets the name decide.
            source_name: the namespace of keys that name none; None takes the folder's name, or the file's stem.
            rename: for front matter, from new names to keys (``{"event_at": "created"}``).
            prune: also delete the memories of that namespace whose keys are not in the source any more.
            on_error: ``"skip"`` goes on without the bad records and reports them.
            dry_run: only report what would be done.
            batch_size: records per batch; a batch also ends at 64 MiB of content.
            types: of a CSV file's columns that are attributes: str, int, float, decimal, bool, date or datetime.
            on_batch: called when a batch is durable, with its seq and the ids that were written or deleted; may raise
                to stop there.
            on_progress: called with (records read, None) while they are checked, then with (records done, in all).

        Raises:
            InvalidInput: a record is bad (``details["bad"]`` lists all of them with their reasons), or an argument is
                refused. If the source or the store changed meanwhile, earlier batches may be committed; the message
                says so.
        """
        # Here, because the codecs take as long to load as opening a store.
        from kiromi.operations import importing
        from kiromi.portable.formats import open_source

        opened = open_source(Path(source), format, source_name, rename, types)
        options = importing.Options(prune, on_error, dry_run, batch_size, on_batch, on_progress)
        return importing.import_from(self._caller(), opened, options)

    def export_to(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        *,
        format: str | None = None,  # noqa: A002
        metadata: bool = False,
        partitioned: bool = False,
        within: Mapping[str, Any] | None = None,
        where: Any = None,
        dry_run: bool = False,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> ExportReport:
        """Write memories as files: exactly as they are at the moment when the export begins.

        Args:
            target: an absent or empty folder, an absent file, or (JSONL and CSV) a binary stream.
            format: ``markdown``, ``jsonl``, ``csv`` or ``parquet``; None lets the name's ending decide: a name without
                one is a folder of Markdown.
            metadata: with Markdown, add ``.kiromi.jsonl``, with which nothing that a caller gave is lost.
            partitioned: with Parquet, write a hive-partitioned folder.
            within: segment or field names to exact values.
            where: a filter, as a mapping or as text.
            dry_run: only report how many memories and bytes would be written.
            on_progress: called with (memories written, in all).

        Raises:
            InvalidInput: an argument is refused, or something lies at the target.
            BlobMissing, ChecksumMismatch: a blob was removed or changed behind kiromi's back.
            StorageError: the target could not be written.
        """
        # Here, because the codecs take as long to load as opening a store.
        from kiromi.operations import exporting

        with self._call() as caller:
            found = exporting.Target.of(target, format, metadata=metadata, partitioned=partitioned)
            return exporting.export_to(caller, found, within, where, dry_run=dry_run, on_progress=on_progress)

    # -- handles ----------------------------------------------------------------------------------------------------

    def scoped(self, within: Mapping[str, Any]) -> "Store":
        """Return a handle that cannot read, write or widen beyond ``within``, by id, key, SQL or otherwise.

        New memories written through it get the scope's values where they do not say them. Close the parent to close it.

        Raises:
            InvalidInput: a name is no segment or field of the store, or the scope is empty.
        """
        with self._call() as caller:
            if not within:
                raise InvalidInput("scoped needs within=: the exact values that bound the handle")
            return Store(replace(self._base, scope=caller.within(within)), parent=self)

    @property
    def scheme(self) -> str:
        """The template that new memories follow."""
        with self._call() as caller:
            return caller.session.schemes[caller.session.active_scheme].template

    @property
    def seq(self) -> int:
        """The last operation."""
        with self._call() as caller:
            return caller.session.view.seq

    @property
    def tenant(self) -> str:
        """The tenant's name."""
        return self._base.session.tenant

    def close(self) -> None:
        """Wait for calls in progress and let go of the store; nothing is lost without it. Closing twice is fine."""
        if not self._is_closed:
            self._base.session.lease.check_outside()
            self._is_closed = True
            if self._parent is None:
                release(self._base.session)

    def _caller(self) -> Caller:
        handle: Store | None = self
        while handle is not None:
            if handle._is_closed:
                raise InvalidInput("the store is closed")
            handle = handle._parent
        given = (_context.get() or {}).get(self._base.session)
        if not given:
            return self._base
        base = self._base.context
        return replace(
            self._base, context=Context(given.get("actor") or base.actor, given.get("run_id"), given.get("reason"))
        )

    @contextlib.contextmanager
    def _call(self) -> Iterator[Caller]:
        caller = self._caller()
        with caller.session.lease:
            yield caller


class Transaction:
    """One operation that is being composed; made by :meth:`Store.transaction`."""

    def __init__(self, caller: Caller, operation: Operation) -> None:
        self._caller = caller
        self._composed = operation
        self._is_over = False

    @property
    def seq(self) -> int:
        """The seq that the operation will have."""
        return self._composed.seq

    @property
    def _operation(self) -> Operation:
        if self._is_over:
            raise InvalidInput("the transaction is over: its block has ended")
        return self._composed

    def append(self, content: str | bytes, partition: Mapping[str, Any] | None = None, **fields: Any) -> MemoryInfo:
        """Store a new memory; see :meth:`Store.append`."""
        draft = _append.draft_of(self._caller, {"content": content, "partition": partition, **fields})
        return self._info(_append.plan_append(self._caller, self._operation, draft))

    def put(
        self,
        content: str | bytes,
        partition: Mapping[str, Any] | None = None,
        *,
        key: str,
        namespace: str = "",
        **fields: Any,
    ) -> MemoryInfo:
        """Store a memory under its key; see :meth:`Store.put`."""
        record = {"content": content, "partition": partition, "key": key, "namespace": namespace, **fields}
        return self._info(_append.plan_put(self._caller, self._operation, _append.draft_of(self._caller, record)))

    def update(self, id: str, *, expected_version: int | None = None, **fields: Any) -> MemoryInfo:  # noqa: A002
        """Make the next version of a memory; see :meth:`Store.update`."""
        return self._info(_update.plan_update(self._caller, self._operation, id, fields, expected_version)[0])

    def delete(self, id: str, *, expected_version: int | None = None) -> MemoryInfo:  # noqa: A002
        """Delete a memory; see :meth:`Store.delete`."""
        row = _delete.plan_delete(self._caller, self._operation, id, expected_version)
        return self._info(row, is_live=False)

    def undelete(self, id: str) -> MemoryInfo:  # noqa: A002
        """Bring a deleted memory back; see :meth:`Store.undelete`."""
        return self._info(_delete.plan_undelete(self._caller, self._operation, id))

    def get(self, id: str) -> MemoryInfo:  # noqa: A002
        """Return a memory as the transaction sees it, without content.

        Raises:
            MemoryNotFound: it is not there.
        """
        row = self._operation.live(check_id(id))
        if row is None or not self._caller.sees(row):
            raise _get.missing(self._caller, id)
        return self._info(row)

    def _info(self, row: Any, *, is_live: bool = True) -> MemoryInfo:
        return info_of(row, self._caller.session.schemes, is_live=is_live)
