"""The calls that read memories as they are, or as they were at a past moment."""

import builtins
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa

from kiromi.model import Memory, Page, PartitionInfo, Version
from kiromi.operations import arrow as _arrow
from kiromi.operations import get as _get
from kiromi.operations import history as _history
from kiromi.operations import listing as _listing
from kiromi.operations import partitions as _partitions
from kiromi.operations import state_digest as _state_digest
from kiromi.store.calls import Calls


class Reading(Calls):
    """Reads; a part of :class:`kiromi.Store` and of :class:`kiromi.StoreView`.

    What is live, there or expired is so now for the one, and as of its moment for the other.
    """

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
        """Return every version of a memory, live or deleted, newest first; those that ``gc`` removed are missing.

        Raises:
            MemoryNotFound: there never was such a memory, or ``gc`` has removed all of it.
        """
        with self._call() as caller:
            return _history.history(caller, id)

    def partitions(
        self, within: Mapping[str, Any] | None = None, *, depth: int | None = None
    ) -> builtins.list[PartitionInfo]:
        """Return the partitions in path order with counts and sizes, cut at ``depth`` levels (None: whole paths).

        Counted is every memory that is not deleted, expired or not.
        """
        with self._call() as caller:
            return _partitions.partitions(caller, within, depth)

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

    def digest(self) -> str:
        """Return the digest of the state: SHA-256, in hex, of contents, fields and links.

        Two states have the same one exactly if :meth:`kiromi.Store.diff` would find no difference. Ids and times count;
        versions, seqs and paths, which follow from scheme and attributes, do not. Costs a look at every row.

        Raises:
            InvalidInput: the handle, or the one that the view is of, is scoped.
        """
        with self._call() as caller:
            return _state_digest.digest(caller)
