"""One operation that its caller composes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from kiromi.errors import InvalidInput
from kiromi.ids import check_id
from kiromi.model import (
    Link,
    MemoryInfo,
)
from kiromi.operations import append as _append
from kiromi.operations import delete as _delete
from kiromi.operations import get as _get
from kiromi.operations import links as _links
from kiromi.operations import supersession as _supersession
from kiromi.operations import update as _update
from kiromi.operations.caller import Caller
from kiromi.operations.present import info_of
from kiromi.session.operation import Operation


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
