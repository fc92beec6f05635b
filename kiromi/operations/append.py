"""Append: store new memories, one by one or in batches; and put: append or update by key."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from kiromi.catalog.rows import Row
from kiromi.errors import AlreadyExists, InvalidInput
from kiromi.model import AppendReport, BatchReport, Draft, Memory
from kiromi.operations.caller import Caller
from kiromi.operations.drafting import check_key_free, check_partition, create, replace, screened
from kiromi.operations.present import memory_of
from kiromi.records import parse_record
from kiromi.session.commit import run
from kiromi.session.operation import Operation

DEFAULT_BATCH = 1_000
MAX_BATCH_BYTES = 64 << 20
"""A batch ends early when its contents reach this size: they are held in memory until they are durable."""


def draft_of(caller: Caller, record: Mapping[str, Any], position: int | None = None) -> Draft:
    """Return a record as a draft, checked and screened by the caller's guards.

    Raises:
        InvalidInput: a field is refused; the message names it, and the record's position if given.
    """
    check_partition(caller.session, record.get("partition"))
    return screened(caller, parse_record(record, position=position))


def append(caller: Caller, record: Mapping[str, Any]) -> Memory:
    """Store one new memory; durable and visible when this returns."""
    caller.check_writable()
    draft = draft_of(caller, record)
    row = run(caller.session, caller.context, lambda operation: plan_append(caller, operation, draft))
    return memory_of(row, draft.content, caller.session.schemes)


def plan_append(caller: Caller, operation: Operation, draft: Draft) -> Row:
    """Plan one new memory."""
    memory_id = draft.id or caller.session.ids.make()
    if draft.id is not None:
        _check_id_free(caller, operation, [draft.id])
    check_key_free(operation, draft.namespace, draft.key)
    return create(caller, operation, draft, memory_id)


def put(caller: Caller, record: Mapping[str, Any]) -> Memory:
    """Store a memory under its key: a new one, or the next version of the live memory that has the key."""
    caller.check_writable()
    draft = draft_of(caller, record)
    row = run(caller.session, caller.context, lambda operation: plan_put(caller, operation, draft))
    return memory_of(row, draft.content, caller.session.schemes)


def plan_put(caller: Caller, operation: Operation, draft: Draft) -> Row:
    """Plan an upsert by key; the draft replaces all that was there, but for id and ``created_at``."""
    if draft.key is None:
        raise InvalidInput("put needs a key: it updates the live memory that has it, or appends a new one")
    memory_id = operation.find_key(draft.namespace, draft.key)
    row = None if memory_id is None else operation.live(memory_id)
    if row is None:
        return plan_append(caller, operation, draft)
    if not caller.sees(row):
        raise AlreadyExists(
            f"key {draft.key!r} is in use in namespace {draft.namespace!r} outside the scope of this handle",
            key=draft.key,
        )
    if draft.id not in (None, row.id):
        raise AlreadyExists(f"key {draft.key!r} is in use by another id than {draft.id}", key=draft.key, id=row.id)
    return replace(caller, operation, row, draft, draft.content, "put")


def append_many(
    caller: Caller,
    records: Iterable[Mapping[str, Any]] | pa.Table | pa.RecordBatchReader,
    *,
    batch_size: int = DEFAULT_BATCH,
    on_batch: Callable[[BatchReport], None] | None = None,
) -> AppendReport:
    """Store many new memories in batches of one operation each; see ``Store.append_many``."""
    caller.check_writable()
    if not isinstance(batch_size, int) or batch_size < 1:
        raise InvalidInput(f"batch_size={batch_size!r} is not a whole number of at least 1")
    appended = number = 0
    first_seq = last_seq = None
    drafts = (
        draft if isinstance(draft, Draft) else draft_of(caller, _mapping(draft, position), position)
        for position, draft in enumerate(_rows(records))
    )
    for number, batch in enumerate(batches(drafts, batch_size), 1):
        seq, ids = append_batch(caller, batch)
        appended += len(batch)
        first_seq, last_seq = first_seq or seq, seq
        if on_batch is not None:
            on_batch(BatchReport(number, seq, ids))
    return AppendReport(appended, number, first_seq, last_seq)


def append_batch(caller: Caller, drafts: list[Draft]) -> tuple[int, tuple[str, ...]]:
    """Store drafts as one operation, all or none; return its seq and the ids."""

    def plan(operation: Operation) -> tuple[int, tuple[str, ...]]:
        given = [draft.id for draft in drafts if draft.id is not None]
        if given:
            _check_id_free(caller, operation, given)
        _check_keys_free(caller, operation, drafts)
        fresh = iter(caller.session.ids.make_many(len(drafts) - len(given)))
        ids = tuple(draft.id or next(fresh) for draft in drafts)
        for memory_id, draft in zip(ids, drafts, strict=True):
            create(caller, operation, draft, memory_id)
        return operation.seq, ids

    return run(caller.session, caller.context, plan)


def batches(drafts: Iterable[Draft], size: int) -> Iterator[list[Draft]]:
    """Yield lists of up to ``size`` drafts and about ``MAX_BATCH_BYTES``."""
    batch: list[Draft] = []
    held = 0
    for draft in drafts:
        batch.append(draft)
        held += len(draft.content)
        if len(batch) == size or held >= MAX_BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _rows(records: Iterable[Mapping[str, Any]] | pa.Table | pa.RecordBatchReader) -> Iterator[Any]:
    if isinstance(records, pa.Table):
        records = records.to_reader(max_chunksize=DEFAULT_BATCH)
    if isinstance(records, pa.RecordBatchReader):
        for batch in records:
            yield from batch.to_pylist()
        return
    if isinstance(records, (str, bytes, Mapping)) or not isinstance(records, Iterable):
        raise InvalidInput(
            f"records is a {type(records).__name__}; append_many takes an iterable of mappings or drafts, or Arrow data"
        )
    yield from records


def _mapping(record: Any, position: int) -> Mapping[str, Any]:
    if not isinstance(record, Mapping):
        raise InvalidInput(
            f"record {position} is a {type(record).__name__}; accepted: a mapping of fields, or a Draft",
            position=position,
        )
    return record


def _check_id_free(caller: Caller, operation: Operation, ids: list[str]) -> None:
    """Refuse ids that a memory has or had: an id never changes its meaning, not even after a delete."""
    taken = next((memory_id for memory_id in ids if operation.live(memory_id) is not None), None)
    if taken is None and len(set(ids)) < len(ids):
        taken = next(memory_id for memory_id in ids if ids.count(memory_id) > 1)
    if taken is None:
        taken = _deleted_id(caller, ids)
    if taken is not None:
        raise AlreadyExists(f"id {taken} is the id of another memory of this store", id=taken)


def _deleted_id(caller: Caller, ids: list[str]) -> str | None:
    with caller.session.snapshot() as (_, cursor):
        found = cursor.execute("SELECT id FROM history WHERE id IN (SELECT unnest(?)) LIMIT 1", [ids]).fetchall()
    return str(found[0][0]) if found else None


def _check_keys_free(caller: Caller, operation: Operation, drafts: list[Draft]) -> None:
    keys = [(draft.namespace, draft.key) for draft in drafts if draft.key is not None]
    if not keys:
        return
    seen = set()
    taken = caller.session.catalog.find_keys(keys)
    for pair in keys:
        if pair in seen or taken.get(pair) is not None:
            raise AlreadyExists(
                f"key {pair[1]!r} is in use in namespace {pair[0]!r}: put() updates by key",
                key=pair[1],
                namespace=pair[0],
            )
        seen.add(pair)
