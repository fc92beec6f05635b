"""Append: store new memories, one by one or in batches; and put: append or update by key."""

import contextlib
import gc
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields
from typing import Any, TypeAlias, TypeVar

import pyarrow as pa

from kiromi.catalog.rows import Row
from kiromi.errors import AlreadyExists, InvalidInput
from kiromi.model import Draft, Memory
from kiromi.operations.caller import Caller
from kiromi.operations.drafting import check_key_free, check_partition, create, replace, screened
from kiromi.operations.embedding import Embedded
from kiromi.operations.models import prepare_drafts
from kiromi.operations.present import memory_of
from kiromi.operations.retiring import last_numbers
from kiromi.records import parse_record
from kiromi.reports.writing import AppendReport, BatchReport
from kiromi.session.commit import refuse_within_transaction, run
from kiromi.session.operation import Operation

E = TypeVar("E", InvalidInput, AlreadyExists)
_Batch: TypeAlias = tuple[list[Draft], list[Embedded]]

DEFAULT_BATCH = 4_000
"""Memories per batch: a batch costs some milliseconds whatever its size, which this many make small."""
_SLICE = 1_000
"""Rows of Arrow data that are turned into Python at once."""
_COLLECT_EVERY = 50_000
MAX_BATCH_BYTES = 64 << 20
"""A batch ends early when its contents reach this size: they are held in memory until they are durable."""


def draft_of(caller: Caller, record: Mapping[str, Any], position: int | None = None) -> Draft:
    """Return a record as a draft, checked and screened by the caller's guards.

    Raises:
        InvalidInput: a field is refused; the message names it, and the record's position if given.
    """
    try:
        check_partition(caller.session, record.get("partition"))
        return screened(caller, parse_record(record, default_kind=caller.scope.kind, position=position))
    except InvalidInput as error:
        raise _at(error, position) from error.__cause__


def append(caller: Caller, record: Mapping[str, Any]) -> Memory:
    """Store one new memory; durable and visible when this returns."""
    caller.check_writable()
    draft = draft_of(caller, record)
    (embedded,) = prepare_drafts(caller, [draft])
    row = run(caller.session, caller.context, lambda operation: plan_append(caller, operation, draft, embedded))
    return memory_of(row, draft.content, caller.session.schemes)


def plan_append(caller: Caller, operation: Operation, draft: Draft, embedded: Embedded | None = None) -> Row:
    """Plan one new memory; ``embedded`` are its vectors, if they are prepared."""
    memory_id = draft.id or caller.session.ids.make()
    last_n = 0
    if draft.id is not None:
        _check_ids_free(caller, operation, [draft])
        last_n = last_numbers(caller.session, [draft.id]).get(draft.id, 0)
    check_key_free(operation, draft.namespace, draft.key)
    return create(caller, operation, draft, memory_id, embedded, last_n)


def put(caller: Caller, record: Mapping[str, Any]) -> Memory:
    """Store a memory under its key: a new one, or the next version of the live memory that has the key."""
    caller.check_writable()
    draft = draft_of(caller, record)
    embedded = _prepare_put(caller, draft)
    row = run(caller.session, caller.context, lambda operation: plan_put(caller, operation, draft, embedded))
    return memory_of(row, draft.content, caller.session.schemes)


def _prepare_put(caller: Caller, draft: Draft) -> Embedded | None:
    """Make a draft's vectors, unless its key has that very content already."""
    if draft.vector is None and caller.session.active_model is not None and draft.key is not None:
        with caller.session.writer:
            memory_id = caller.session.find_key(draft.namespace, draft.key)
        row = None if memory_id is None else caller.session.live(memory_id)
        facts = (hashlib.sha256(draft.content).digest(), draft.title, draft.media_type)
        if row is not None and (row.sha256, row.title, row.media_type) == facts:
            return None
    return prepare_drafts(caller, [draft])[0]


def plan_put(caller: Caller, operation: Operation, draft: Draft, embedded: Embedded | None = None) -> Row:
    """Plan an upsert by key; the draft replaces all that was there, but for id and ``created_at``."""
    if draft.key is None:
        raise InvalidInput("put needs a key: it updates the live memory that has it, or appends a new one")
    memory_id = operation.find_key(draft.namespace, draft.key)
    row = None if memory_id is None else operation.live(memory_id)
    if row is None:
        return plan_append(caller, operation, draft, embedded)
    if not caller.sees(row):
        raise AlreadyExists(
            f"key {draft.key!r} is in use in namespace {draft.namespace!r} outside the scope of this handle",
            key=draft.key,
        )
    if draft.id not in (None, row.id):
        raise AlreadyExists(f"key {draft.key!r} is in use by another id than {draft.id}", key=draft.key, id=row.id)
    return replace(caller, operation, row, draft, draft.content, "put", embedded=embedded)


def append_many(
    caller: Caller,
    records: Iterable[Mapping[str, Any]] | pa.Table | pa.RecordBatchReader,
    *,
    batch_size: int = DEFAULT_BATCH,
    on_batch: Callable[[BatchReport], None] | None = None,
) -> AppendReport:
    """Store many new memories in batches of one operation each; see ``Store.append_many``."""
    caller.check_writable()
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise InvalidInput(f"batch_size={batch_size!r} is not a whole number of at least 1")
    refuse_within_transaction(caller.session)
    drafts = (draft_of(caller, _mapping(record, position), position) for position, record in enumerate(_rows(records)))
    done: list[BatchReport] = []
    appended = 0
    first = 0

    def commit(batch: _Batch, is_planned: threading.Event) -> tuple[int, tuple[str, ...]]:
        nonlocal first  # one batch is committed at a time
        try:
            with caller.session.lease:  # for a batch and not for all: another process may have its turn in between
                result = _append_batch(caller, *batch, first, is_planned)
        finally:
            is_planned.set()
        first += len(batch[0])
        return result

    prepared = ((batch, prepare_drafts(caller, batch)) for batch in batches(drafts, batch_size))
    for report in _commit_batches(prepared, commit):
        appended += len(report.ids)
        done = [*done[:1], report]
        if on_batch is not None:
            on_batch(report)
    return AppendReport(
        appended, done[-1].number if done else 0, done[0].seq if done else None, done[-1].seq if done else None
    )


def _commit_batches(
    batches: Iterable[_Batch], commit: Callable[[_Batch, threading.Event], tuple[int, tuple[str, ...]]]
) -> Iterator[BatchReport]:
    """Commit batches one after the other, and read the next while one is being written.

    The records are read and embedded in the caller's thread, the commits run in another. Reading begins when the batch
    before is planned: from then on its commit mostly waits for files and DuckDB, and two threads that both compute
    would only take the interpreter from each other. If reading fails or is interrupted, the batch that is under way is
    finished and reported first.
    """
    number = 0
    under_way: Future[tuple[int, tuple[str, ...]]] | None = None
    source = iter(batches)
    with fewer_collections(), ThreadPoolExecutor(1, "kiromi-commit") as committer:
        failure: BaseException | None = None
        while failure is None:
            try:
                batch = next(source, None)
            except BaseException as error:  # noqa: BLE001 - raised again below
                batch, failure = None, error
            if under_way is not None:
                yield BatchReport(number, *under_way.result())
            if batch is None:
                break
            number += 1
            is_planned = threading.Event()
            under_way = committer.submit(commit, batch, is_planned)
            is_planned.wait()
    if failure is not None:
        raise failure


def _append_batch(
    caller: Caller, drafts: list[Draft], embedded: list[Embedded], first: int, is_planned: threading.Event
) -> tuple[int, tuple[str, ...]]:
    """Store drafts as one operation, all or none; return its seq and the ids.

    Args:
        caller: who appends.
        drafts: what.
        embedded: the vectors of each.
        first: the position of the first draft among the caller's records, for messages.
        is_planned: set when all that is left is to write.
    """

    def plan(operation: Operation) -> tuple[int, tuple[str, ...]]:
        _check_ids_free(caller, operation, drafts, first)
        _check_keys_free(caller, operation, drafts, first)
        fresh = iter(caller.session.ids.make_many(sum(draft.id is None for draft in drafts)))
        ids = tuple([draft.id or next(fresh) for draft in drafts])
        retired = last_numbers(caller.session, [draft.id for draft in drafts if draft.id is not None])
        for i, (memory_id, draft, made) in enumerate(zip(ids, drafts, embedded, strict=True)):
            try:
                create(caller, operation, draft, memory_id, made, retired.get(memory_id, 0))
            except InvalidInput as error:
                raise _at(error, first + i) from error
        is_planned.set()
        return operation.seq, ids

    return run(caller.session, caller.context, plan)


@contextlib.contextmanager
def fewer_collections() -> Iterator[None]:
    """Let the garbage collector look for cycles less often meanwhile.

    A batch makes ten thousand objects and no cycle; looking them through every 700 allocations takes an eighth of the
    time.
    """
    former = gc.get_threshold()
    if not 0 < former[0] < _COLLECT_EVERY:  # switched off, or raised by the caller or another bulk append
        yield
        return
    gc.set_threshold(_COLLECT_EVERY, *former[1:])
    try:
        yield
    finally:
        gc.set_threshold(*former)


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
        records = records.to_reader()
    if isinstance(records, pa.RecordBatchReader):
        for batch in records:
            # In slices: one batch may hold everything, and as Python objects it is many times as large.
            for start in range(0, batch.num_rows, _SLICE):
                yield from _slice_rows(batch.slice(start, _SLICE))
        return
    if isinstance(records, (str, bytes, Mapping)) or not isinstance(records, Iterable):
        raise InvalidInput(
            f"records is a {type(records).__name__}; append_many takes an iterable of mappings or drafts, or Arrow data"
        )
    yield from records


def _slice_rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """Yield the rows of Arrow data; vectors of a fixed size stay arrays, as hundreds of Python floats cost too much."""
    place = batch.schema.get_field_index("vector")
    if place < 0 or not pa.types.is_fixed_size_list(batch.schema.field(place).type) or batch.column(place).null_count:
        yield from batch.to_pylist()
        return
    column = batch.column(place)
    matrix = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)
    for row, vector in zip(batch.remove_column(place).to_pylist(), matrix, strict=True):
        yield {**row, "vector": vector}


def _mapping(record: Any, position: int) -> Mapping[str, Any]:
    if isinstance(record, Draft):
        return {field.name: getattr(record, field.name) for field in fields(Draft)}
    if not isinstance(record, Mapping):
        raise InvalidInput(
            f"record {position} is a {type(record).__name__}; accepted: a mapping of fields, or a Draft",
            position=position,
        )
    return record


def _at(error: E, position: int | None) -> E:
    """Return the error with the position of the record that it is about."""
    if position is None or error.details.get("position") is not None:
        return error
    return type(error)(f"record {position}: {error.message}", **{**error.details, "position": position})


def _check_ids_free(caller: Caller, operation: Operation, drafts: list[Draft], first: int | None = None) -> None:
    """Refuse ids that a memory has or had: an id never changes its meaning, not even after a delete."""
    given = {i: draft.id for i, draft in enumerate(drafts) if draft.id is not None}
    if not given:
        return
    seen = _closed_ids(caller, list(given.values()))
    for i, memory_id in given.items():
        if memory_id in seen or operation.live(memory_id) or operation.last_closed(memory_id):
            error = AlreadyExists(f"id {memory_id} is the id of another memory of this store", id=memory_id)
            raise _at(error, None if first is None else first + i)
        seen.add(memory_id)


def _closed_ids(caller: Caller, ids: list[str]) -> set[str]:
    with caller.session.snapshot() as (_, cursor):
        found = cursor.execute("SELECT id FROM history WHERE id IN (SELECT unnest(?))", [ids]).fetchall()
    return {memory_id for (memory_id,) in found}


def _check_keys_free(caller: Caller, operation: Operation, drafts: list[Draft], first: int | None) -> None:
    keys = {i: (draft.namespace, draft.key) for i, draft in enumerate(drafts) if draft.key is not None}
    if not keys:
        return
    changed = operation.changed_keys()
    taken = {pair for pair in caller.session.catalog.find_keys(list(keys.values())) if pair not in changed}
    taken.update(pair for pair in keys.values() if changed.get(pair) is not None)
    for i, (namespace, key) in keys.items():
        if (namespace, key) in taken:
            error = AlreadyExists(
                f"key {key!r} is in use in namespace {namespace!r}: put() updates by key", key=key, namespace=namespace
            )
            raise _at(error, None if first is None else first + i)
        taken.add((namespace, key))
