"""Delete: retire memories to the attic, one by one or by scope and filter; and bring them back."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from kiromi.catalog.rows import Row
from kiromi.errors import AlreadyExists, InvalidInput, MemoryNotFound
from kiromi.ids import check_id
from kiromi.model import MemoryInfo
from kiromi.operations.caller import Caller
from kiromi.operations.drafting import check_expected, check_version
from kiromi.operations.get import ended_at, last_version, missing
from kiromi.operations.present import info_of
from kiromi.operations.select import Selection
from kiromi.reports.writing import DeleteReport
from kiromi.session.commit import run
from kiromi.session.operation import Operation

BATCH = 10_000
"""Memories deleted per operation by ``delete_where``."""
_SAMPLE = 1_000


def delete(caller: Caller, memory_id: str, expected_version: int | None) -> MemoryInfo:
    """Delete a memory; see ``Store.delete``."""
    caller.check_writable()
    row = run(
        caller.session, caller.context, lambda operation: plan_delete(caller, operation, memory_id, expected_version)
    )
    return info_of(row, caller.session.schemes, is_live=False)


def plan_delete(caller: Caller, operation: Operation, memory_id: str, expected_version: int | None = None) -> Row:
    """Plan a delete; deleting what is deleted already changes nothing.

    Raises:
        MemoryNotFound: no memory of that id was ever in the caller's scope.
        VersionConflict: ``expected_version`` is not its version.
    """
    check_expected(expected_version)
    row = operation.live(check_id(memory_id))
    if row is None or not caller.sees(row):
        before = operation.removed.get(memory_id)
        if row is None and before is not None and caller.sees(before):
            return before  # deleted by this very operation
        if row is not None:
            raise missing(caller, memory_id)
        return _last_version(caller, operation, memory_id)
    check_version(row, expected_version)
    _retire(operation, row)
    return row


def delete_where(caller: Caller, within: Mapping[str, Any] | None, where: Any, *, dry_run: bool) -> DeleteReport:
    """Delete what lies within a scope and matches a filter; see ``Store.delete_where``."""
    if not dry_run:
        caller.check_writable()
    if not within and where is None:
        raise InvalidInput("delete_where needs within= or where=; where={} says: everything in scope")
    selection = Selection.of(caller, within, where, with_expired=True)
    with caller.session.snapshot() as (_, cursor):
        condition = selection.condition(cursor)
        chosen = cursor.sql(
            "SELECT m.id, m.begin_seq, c.size FROM memories m JOIN contents c USING (id, n)"
            f" WHERE {condition.sql} ORDER BY m.id",
            params=list(condition.parameters),
        ).to_arrow_table()
    if dry_run:
        return _report(chosen, is_applied=False)
    deleted = [_delete_batch(caller, batch) for batch in chosen.to_batches(max_chunksize=BATCH)]
    return _report(pa.Table.from_batches(deleted, schema=chosen.schema), is_applied=True)


def undelete(caller: Caller, memory_id: str) -> MemoryInfo:
    """Bring a deleted memory back as its next version; see ``Store.undelete``."""
    caller.check_writable()
    row = run(caller.session, caller.context, lambda operation: plan_undelete(caller, operation, memory_id))
    return info_of(row, caller.session.schemes)


def plan_undelete(caller: Caller, operation: Operation, memory_id: str) -> Row:
    """Plan an undelete; a live memory stays as it is.

    Raises:
        MemoryNotFound: no memory of that id was ever in the caller's scope, or ``gc`` has removed its last version.
        AlreadyExists: its key is in use by another memory now.
    """
    live = operation.live(check_id(memory_id))
    if live is not None and caller.sees(live):
        return live
    if live is not None:
        raise missing(caller, memory_id)
    last = _last_version(caller, operation, memory_id)
    if operation.last_closed(memory_id) is None and not ended_at(caller, memory_id)[1]:
        raise MemoryNotFound(
            f"gc has removed what memory {memory_id} was when it was deleted: older versions are in snapshots",
            id=memory_id,
        )
    if last.key is not None and operation.find_key(last.namespace, last.key) is not None:
        raise AlreadyExists(
            f"the key {last.key!r} of memory {memory_id} is in use by another memory now",
            key=last.key,
            namespace=last.namespace,
        )
    row = last._replace(
        version=last.version + 1,
        begin_seq=operation.seq,
        updated_at=operation.at,
        run_id=operation.context.run_id,
    )
    operation.write(row)
    operation.record("undelete", memory_id, {"version": [last.version, row.version], "path": row.partition})
    return row


def _retire(operation: Operation, row: Row) -> None:
    operation.remove(row.id)
    operation.record("delete", row.id, {"version": row.version, "path": row.partition})


def _delete_batch(caller: Caller, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Delete the memories of a batch that are still as they were chosen; return those."""

    def plan(operation: Operation) -> list[bool]:
        kept = []
        for memory_id, begin_seq in zip(
            batch.column("id").to_pylist(), batch.column("begin_seq").to_pylist(), strict=True
        ):
            row = operation.live(memory_id)
            is_unchanged = row is not None and row.begin_seq == begin_seq
            if row is not None and is_unchanged:
                _retire(operation, row)
            kept.append(is_unchanged)
        return kept

    return batch.filter(pa.array(run(caller.session, caller.context, plan), pa.bool_()))


def _report(chosen: pa.Table, *, is_applied: bool) -> DeleteReport:
    size = sum(chosen.column("size").to_pylist())
    ids = chosen.column("id") if is_applied else chosen.column("id").slice(0, _SAMPLE)
    return DeleteReport(is_applied, len(chosen), tuple(ids.to_pylist()), size)


def _last_version(caller: Caller, operation: Operation, memory_id: str) -> Row:
    """Return the last closed version of a memory that is not live; an operation of the same commit may have closed it.

    Raises:
        MemoryNotFound: there is none in the caller's scope.
    """
    row = operation.last_closed(memory_id) or last_version(caller, memory_id)
    if row is None or not caller.sees(row):
        raise MemoryNotFound(f"no memory {memory_id} here", id=memory_id)
    return row
