"""The facade: a handle on one tenant of a store. Composes operations and holds no logic of its own."""

import builtins
import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import pyarrow as pa

from kiromi.embed.base import Embedder
from kiromi.errors import InvalidInput
from kiromi.ids import check_id
from kiromi.model import (
    AppendReport,
    AuditEntry,
    AuditReport,
    BatchReport,
    Change,
    DeleteReport,
    Diff,
    Draft,
    ExportReport,
    Hit,
    ImportReport,
    Link,
    Memory,
    MemoryInfo,
    ModelInfo,
    Neighbour,
    Page,
    PartitionInfo,
    PruneReport,
    ReembedReport,
    ReindexReport,
    Snapshot,
    StoreStats,
    Supersession,
    VerifyReport,
    Version,
)
from kiromi.operations import append as _append
from kiromi.operations import arrow as _arrow
from kiromi.operations import asof as _asof
from kiromi.operations import delete as _delete
from kiromi.operations import diff as _diff
from kiromi.operations import get as _get
from kiromi.operations import history as _history
from kiromi.operations import links as _links
from kiromi.operations import listing as _listing
from kiromi.operations import models as _models
from kiromi.operations import neighbours as _neighbours
from kiromi.operations import partitions as _partitions
from kiromi.operations import prune as _prune
from kiromi.operations import snapshots as _snapshots
from kiromi.operations import sql as _sql
from kiromi.operations import stats as _stats
from kiromi.operations import supersession as _supersession
from kiromi.operations import update as _update
from kiromi.operations import verify as _verify
from kiromi.operations.caller import Caller, Guard, check_text
from kiromi.operations.opening import Durability, check_actor, open_caller
from kiromi.operations.present import info_of
from kiromi.session.commit import transaction as _transaction
from kiromi.session.operation import Context, Operation
from kiromi.session.registry import release
from kiromi.session.session import Session
from kiromi.view import StoreView

if TYPE_CHECKING:
    from kiromi.search.ranking import Profile
    from kiromi.search.rerank import Reranker

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
    embedder: Embedder | str | None = None,
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
        embedder: makes the vectors for search by meaning: ``"minilm"``, ``"hash"``, another name that
            :func:`kiromi.embed.specs.make` knows, or an object (:class:`kiromi.embed.base.Embedder`). The first one
            becomes the store's model; later, leave it out: a store makes its model's embedder from its name where it
            can. Without a model, memories are searched as text.

    Raises:
        StoreNotFound: there is no store and no scheme was given.
        SchemeMismatch: the scheme was never one of this store's.
        EmbedderMismatch: the store's vectors are of another model.
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
            embedder=embedder,
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

    def to_arrow(
        self,
        within: Mapping[str, Any] | None = None,
        where: Any = None,
        *,
        columns: Sequence[str] | None = None,
        with_content: bool = False,
    ) -> pa.Table:
        """Return the live memories within a scope that match a filter as one Arrow table, in the order of ids.

        Args:
            within: segment or field names to exact values.
            where: a filter, as a mapping or as text.
            columns: which ones, in this order; all if not said: those that filters know, then ``attributes`` (JSON
                text), ``partition`` (the path of it) and ``path``.
            with_content: add ``content``, as bytes; all of it has to fit into memory.

        Raises:
            InvalidInput: an argument is refused.
        """
        with self._call() as caller:
            return _arrow.to_arrow(caller, within, where, columns, with_content=with_content)

    # -- searching --------------------------------------------------------------------------------------------------

    def search(
        self,
        query: str | None = None,
        *,
        k: int = 10,
        within: Mapping[str, Any] | None = None,
        where: Any = None,
        mode: Literal["auto", "vector", "text", "hybrid"] = "auto",
        vector: Sequence[float] | None = None,
        kind: str | None = None,
        valid_at: datetime | None = None,
        include_superseded: bool = False,
        profile: "str | Profile" = "relevance",
        fusion: Literal["convex", "rrf"] = "convex",
        weights: Mapping[str, float] | None = None,
        min_score: float | None = None,
        rerank: "Reranker | None" = None,
        explain: bool = False,
        at: Snapshot | str | int | datetime | None = None,
    ) -> builtins.list[Hit]:
        """Return the memories that fit a query best, best first, with their contents.

        Sees every write that was acknowledged, and nothing that is deleted, expired or out of scope; ``k`` hits
        whenever so many exist.

        Args:
            query: what to look for. For text: words, ``"phrases"``, ``prefix*``, ``title:``, ``tags:`` and
                ``content:`` in front of them, ``AND OR NOT + -`` and parentheses; never a syntax error.
            k: how many, 1 to 10,000.
            within: segment or field names to exact values.
            where: a filter, as a mapping or as text.
            mode: ``vector`` by meaning, ``text`` by words (BM25), ``hybrid`` both, fused;
                ``auto``: hybrid if the store has a model, else text; vector if only ``vector`` is given.
            vector: the query's vector, of the store's model; then the embedder is not asked.
            kind: only memories of that kind.
            valid_at: only memories that were true then, by ``valid_from`` and ``valid_until``.
            include_superseded: also those that another memory replaced.
            profile: ``relevance`` (nothing added), ``recent`` (newer ones first, by half-life) or ``trusted``
                (importance and confidence count), or a :class:`kiromi.search.ranking.Profile` of your own.
            fusion: how hybrid mode makes one score of two: ``convex``, the mean of both scores, each brought to 0 to 1;
                or ``rrf``, by reciprocal ranks.
            weights: of the lists in hybrid mode, ``{"text": 1, "vector": 1}``.
            min_score: leave out hits below this final score.
            rerank: called with the query and the best candidates; the scores that it returns decide their order.
            explain: give each hit the components of its score.
            at: search what was believed at a moment, given as for :meth:`at`; short for ``at(…).search(…)``.

        Raises:
            InvalidInput: an argument is refused.
            SnapshotNotFound: there is no such moment.
            EmbedderMismatch: the vector has another dimension, or the handle's embedder is not the store's model.
            EmbedderError: the embedder failed, with mode ``vector`` or ``hybrid``; ``auto`` searches text then.
        """
        from kiromi.operations import search  # here, as the indices take a while to load

        options = search.Options(
            k=k,
            within=within,
            where=where,
            mode=mode,
            kind=kind,
            valid_at=valid_at,
            include_superseded=include_superseded,
            profile=profile,
            fusion=fusion,
            weights=weights,
            min_score=min_score,
            rerank=rerank,
            explain=explain,
        )
        with self._call() as caller:
            if at is not None:
                caller = replace(caller, moment=_asof.resolve(caller, at))
            return search.search(caller, query, vector, options)

    def related(
        self,
        id: str,  # noqa: A002
        *,
        k: int = 10,
        within: Mapping[str, Any] | None = None,
        where: Any = None,
        include_superseded: bool = False,
        explain: bool = False,
    ) -> builtins.list[Hit]:
        """Return the memories that are most like one, best first: by its vectors if it has some, else by its words.

        Raises:
            MemoryNotFound: it is not there.
            InvalidInput: an argument is refused.
        """
        from kiromi.operations import search

        with self._call() as caller:
            options = search.Options(
                k=k, within=within, where=where, include_superseded=include_superseded, explain=explain
            )
            return search.related(caller, id, options)

    def reindex(
        self,
        *,
        within: Mapping[str, Any] | None = None,
        hnsw_m: int | None = None,
        hnsw_ef_construction: int | None = None,
        hnsw_ef: int | None = None,
        language: str | None = None,
        on_progress: Callable[[str, int, int], None] | None = None,
    ) -> ReindexReport:
        """Make pending vectors, and build both indices anew from the catalog and the blobs.

        Searches and writes go on meanwhile. Search is right without it; it is faster afterwards: rows are sorted by
        partition, and large stores get an HNSW graph. After a kill, call it again.

        Args:
            within: take only these memories anew.
            hnsw_m: links per vector in the graph; stays a setting of the store, as do the next three.
            hnsw_ef_construction: candidates looked at while the graph is built.
            hnsw_ef: candidates looked at by a search: more find more, and take longer.
            language: of texts that name none: ``auto`` detects it, else a language tag such as ``de``.
            on_progress: called with what is being built, how much is done, how much there is.

        Raises:
            InvalidInput: an argument is refused.
        """
        from kiromi.operations.reindex import reindex

        settings = {
            "hnsw_m": hnsw_m,
            "hnsw_ef_construction": hnsw_ef_construction,
            "hnsw_ef": hnsw_ef,
            "language": language,
        }
        return reindex(self._caller(), within, settings, on_progress or _unseen)

    def reembed(
        self,
        embedder: Embedder | str,
        *,
        abandon: bool = False,
        on_progress: Callable[[str, int, int], None] | None = None,
    ) -> ReembedReport:
        """Make the vectors of all memories with another model, and search those from then on.

        Until then search stays on the vectors in use, and writes go on. After a kill, call it again with the same
        embedder: it goes on where it was. The former model's vectors are kept.

        Args:
            embedder: as for :func:`kiromi.open`.
            abandon: drop what a call with another embedder began and did not end.
            on_progress: called with what is being made, how much is done, how much there is.

        Raises:
            EmbedderError: the embedder failed; what is made stays, call it again.
            MigrationConflict: another model's re-embedding was begun and not ended.
        """
        from kiromi.operations.reembed import reembed

        found = _models.resolve(embedder)
        if found is None:
            raise InvalidInput("embedder=None; accepted: an embedder, or a text that names one")
        report = reembed(self._caller(), found, on_progress or _unseen, abandon=abandon)
        self._base = replace(self._base, embedder=found)
        return report

    def models(self) -> builtins.list[ModelInfo]:
        """Return the embedding models of the store, oldest first."""
        with self._call() as caller:
            return _models.models(caller)

    # -- supersession and links ---------------------------------------------------------------------------------------

    def supersede(self, old: str, new: str, at: datetime | None = None) -> MemoryInfo:
        """Say that a memory was replaced by another; searches leave it out from then on.

        It is no edit: the memory stays where it is, ``get`` and ``list`` show it, with ``superseded_by`` and
        ``superseded_at``, and its version stays. ``where={"superseded_by": {"$exists": False}}`` lists what stands.
        Several memories may have been replaced by one. The last one said holds; saying the same again changes nothing.
        Edits keep the state, and so does deleting the new memory.

        Args:
            old: the memory that was replaced.
            new: the memory that replaced it.
            at: from when on, in the past or the future; None means now.

        Raises:
            MemoryNotFound: one of them is not there.
            InvalidInput: they are the same, or the old one replaced the new one, directly or through others.
        """
        with self._call() as caller:
            return _supersession.supersede(caller, old, new, at)

    def unsupersede(self, old: str) -> MemoryInfo:
        """Take back that a memory was replaced; one that was not stays as it is.

        Raises:
            MemoryNotFound: it is not there.
        """
        with self._call() as caller:
            return _supersession.unsupersede(caller, old)

    def supersession_chain(self, id: str) -> builtins.list[MemoryInfo]:  # noqa: A002
        """Return what a memory replaced, directly or through others, itself, and what replaced it, oldest first.

        Every memory comes before the one that replaced it. The chain ends where a memory is not there any more.

        Raises:
            MemoryNotFound: the memory is not there.
        """
        with self._call() as caller:
            return _supersession.supersession_chain(caller, id)

    def supersessions(self, id: str | None = None, *, limit: int | None = None) -> builtins.list[Supersession]:  # noqa: A002
        """Return what was said and taken back about memories that others replaced, newest first.

        Args:
            id: only what names this memory, on either side.
            limit: at most so many; None for all.
        """
        with self._call() as caller:
            return _supersession.supersessions(caller, id, limit)

    def link(
        self,
        src: str,
        dst: str,
        kind: str = "explicit",
        *,
        weight: float | None = None,
        note: str | None = None,
        valid_from: datetime | None = None,
        valid_until: datetime | None = None,
    ) -> Link:
        """Link two things: memories, partitions, or what lies outside the store.

        From one end to another there is at most one link of a kind: another call makes it what that call says, and one
        that says the same changes nothing. Links outlive the memories that they name.

        Args:
            src: where it begins: the id of a memory, ``kiromi://memory/<id>``, ``kiromi://partition/<path>`` (a path
                below ``data/``, or the upper part of one), or any other URI. One end at least is in the store.
            dst: where it leads, likewise.
            kind: explicit, supersedes, contradicts, derived, part_of, related, or any text of 1 to 64 characters.
            weight: any finite number.
            note: text of at most 10,000 characters.
            valid_from: from when on what it says is true.
            valid_until: until when.

        Raises:
            MemoryNotFound: a memory that it names is not there.
            InvalidInput: an argument is refused.
        """
        with self._call() as caller:
            facts = {"weight": weight, "note": note, "valid_from": valid_from, "valid_until": valid_until}
            return _links.link(caller, src, dst, kind, **facts)

    def unlink(self, src: str, dst: str, kind: str | None = None) -> int:
        """End the links from one end to another, of one kind or of all; return how many there were.

        Raises:
            InvalidInput: an argument is refused.
        """
        with self._call() as caller:
            return _links.unlink(caller, src, dst, kind)

    def links(
        self,
        id: str | None = None,  # noqa: A002
        direction: _links.Direction = "both",
        *,
        kind: str | None = None,
        valid_at: datetime | None = None,
    ) -> builtins.list[Link]:
        """Return the links that hold, oldest first, those of deleted memories included.

        Args:
            id: only those at this end: the id of a memory, or a URI as :meth:`link` takes it.
            direction: ``out`` begin there, ``in`` lead there.
            kind: only those of this kind.
            valid_at: only those that say something about this moment.
        """
        with self._call() as caller:
            return _links.links(caller, id, direction, kind, valid_at)

    def neighbours(
        self,
        id: str,  # noqa: A002
        *,
        depth: int = 1,
        direction: _links.Direction = "both",
        kinds: Iterable[str] | None = None,
        limit: int = 100,
        valid_at: datetime | None = None,
    ) -> builtins.list[Neighbour]:
        """Return the memories that links lead to: nearest first, then by the weight of the last link, heaviest first.

        Each comes at its least distance; twice if links of both directions reach it there. Deleted and expired
        memories are neither shown nor passed through, nor are partitions and foreign URIs.

        Args:
            id: where to start: the id of a memory, or a URI as :meth:`link` takes it.
            depth: how many links to follow, 1 to 16.
            direction: ``out`` follows links from ``src`` to ``dst``, ``in`` the other way.
            kinds: only links of these kinds.
            limit: at most so many, 1 to 10,000.
            valid_at: only links that say something about this moment.

        Raises:
            MemoryNotFound: the memory is not there.
            InvalidInput: an argument is refused.
        """
        with self._call() as caller:
            return _neighbours.neighbours(
                caller, id, depth=depth, direction=direction, kinds=kinds, limit=limit, valid_at=valid_at
            )

    # -- time ---------------------------------------------------------------------------------------------------------

    def snapshot(self, tag: str | None = None, reason: str | None = None, *, if_changed: bool = False) -> Snapshot:
        """Give the present moment a name, so that ``gc`` keeps all that it shows. Costs the same for any store.

        Args:
            tag: text of 1 to 64 characters that no other snapshot has.
            reason: why; without one, that of :meth:`context`.
            if_changed: take none, and return the last one, if nothing but snapshots was written since that one. Those
                that operations take for safety do not count.

        Raises:
            AlreadyExists: another snapshot has the tag.
            InvalidInput: an argument is refused, or the handle is scoped: snapshots are of the whole tenant.
        """
        with self._call() as caller:
            return _snapshots.create_snapshot(caller, tag, reason, if_changed=if_changed)

    def snapshots(self) -> builtins.list[Snapshot]:
        """Return all snapshots, oldest first."""
        with self._call() as caller:
            return _snapshots.snapshots(caller)

    def snapshot_info(self, ref: Snapshot | str | int | datetime) -> Snapshot:
        """Return the snapshot that has an id, a tag, or a seq (the last of several), or the last one up to a time.

        Raises:
            SnapshotNotFound: there is none.
        """
        with self._call() as caller:
            return _snapshots.snapshot_info(caller, ref)

    def delete_snapshot(self, ref: Snapshot | str) -> Snapshot:
        """Delete a snapshot by id or tag, and return it. What it shows stays until ``gc`` removes it.

        Raises:
            SnapshotNotFound: there is none.
        """
        with self._call() as caller:
            return _snapshots.delete_snapshot(caller, ref)

    def prune_snapshots(
        self,
        *,
        keep_last: int | None = None,
        keep_daily: int | None = None,
        keep_weekly: int | None = None,
        keep_monthly: int | None = None,
        keep_safety_days: int = _prune.KEEP_SAFETY_DAYS,
        dry_run: bool = True,
    ) -> PruneReport:
        """Delete the snapshots that no rule keeps; at least one rule is needed, and tags protect none.

        Args:
            keep_last: the last so many.
            keep_daily: the last one of each of the last so many days, in UTC, that have any.
            keep_weekly: likewise of ISO weeks.
            keep_monthly: likewise of months.
            keep_safety_days: those that operations took for safety count for no rule and stay so many days; all of
                them stay while a job is unfinished.
            dry_run: only report what would be deleted (the default).
        """
        rules = _prune.Rules(keep_last, keep_daily, keep_weekly, keep_monthly, keep_safety_days)
        with self._call() as caller:
            return _prune.prune_snapshots(caller, rules, dry_run=dry_run)

    def at(self, ref: Snapshot | str | int | datetime) -> StoreView:
        """Return a read-only view of the store as it was at a moment.

        Args:
            ref: a snapshot, its id or tag; a seq, as a number or ``"seq:123"``; ``"live"`` for what is now; or an aware
                time, which means the last operation up to then.

        Raises:
            SnapshotNotFound: there is no such snapshot or moment, or ``gc`` has removed what only it showed.
            InvalidInput: it is none of these, or in the future.
        """
        with self._call() as caller:
            moment = _asof.resolve(caller, ref)
            return StoreView(self._call, moment, caller.session.schemes[moment.scheme].template)

    def diff(
        self,
        a: Snapshot | str | int | datetime,
        b: Snapshot | str | int | datetime = "live",
        within: Mapping[str, Any] | None = None,
        *,
        content: bool = False,
    ) -> Diff:
        """Return what differs between two moments, each given as for :meth:`at`. Costs what changed between them.

        Expired memories count like others. What was changed and changed back is no difference. A memory that moved
        into ``within`` is added, one that left it is removed.

        Args:
            a: the first moment; it may be the later one.
            b: the second moment.
            within: segment or field names to exact values.
            content: also give the unified diffs of contents that are text.
        """
        with self._call() as caller:
            return _diff.diff(caller, a, b, within, content=content)

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


def _unseen(what: str, done: int, total: int) -> None:
    """Show no progress."""


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

    # -- supersession and links ---------------------------------------------------------------------------------------

    def supersede(self, old: str, new: str, at: datetime | None = None) -> MemoryInfo:
        """Say that a memory was replaced by another; see :meth:`Store.supersede`."""
        return self._info(_supersession.plan_supersede(self._caller, self._operation, old, new, at))

    def unsupersede(self, old: str) -> MemoryInfo:
        """Take back that a memory was replaced; see :meth:`Store.unsupersede`."""
        return self._info(_supersession.plan_unsupersede(self._caller, self._operation, old))

    def link(
        self,
        src: str,
        dst: str,
        kind: str = "explicit",
        *,
        weight: float | None = None,
        note: str | None = None,
        valid_from: datetime | None = None,
        valid_until: datetime | None = None,
    ) -> Link:
        """Link two things; see :meth:`Store.link`."""
        facts: Any = {"weight": weight, "note": note, "valid_from": valid_from, "valid_until": valid_until}
        return _links.plan_link(self._caller, self._operation, src, dst, kind, **facts)

    def unlink(self, src: str, dst: str, kind: str | None = None) -> int:
        """End the links from one end to another; see :meth:`Store.unlink`."""
        return _links.plan_unlink(self._caller, self._operation, src, dst, kind)

    def _info(self, row: Any, *, is_live: bool = True) -> MemoryInfo:
        return info_of(row, self._caller.session.schemes, is_live=is_live)
