"""The calls that write memories."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from kiromi.model import Draft, Memory, MemoryInfo
from kiromi.operations import append as _append
from kiromi.operations import delete as _delete
from kiromi.operations import update as _update
from kiromi.reports.writing import AppendReport, BatchReport, DeleteReport
from kiromi.session.commit import transaction as _transaction
from kiromi.store.handle import Handle
from kiromi.store.transaction import Transaction


class Writing(Handle):
    """Writes; a part of :class:`kiromi.Store`."""

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
