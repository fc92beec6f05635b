"""Upserts by key or id: what an import plans for a batch of records, all look-ups of the batch made at once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from kiromi.catalog.last import resumable_rows
from kiromi.catalog.rows import Row
from kiromi.errors import AlreadyExists, InvalidInput
from kiromi.model import Draft
from kiromi.operations.caller import Caller
from kiromi.operations.drafting import create, replace
from kiromi.operations.embedding import Embedded
from kiromi.operations.retiring import last_numbers
from kiromi.operations.supersession import check_winner, say
from kiromi.portable.source import BadRecord, SourceRecord
from kiromi.session.operation import Operation
from kiromi.times import to_micros

Effect: TypeAlias = Literal["added", "changed", "unchanged"]
OnBad: TypeAlias = Callable[[BadRecord], None]
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Planned:
    """What an import does with a record."""

    record: SourceRecord
    effect: Effect
    id: str


def plan_upserts(
    caller: Caller,
    operation: Operation,
    batch: Sequence[SourceRecord],
    on_bad: OnBad,
    prepared: Mapping[str, Embedded] = _NOTHING,
) -> list[Planned]:
    """Plan an upsert of each record; report those that are bad and leave them out.

    ``prepared`` has the vectors of new contents, by the positions of their records.

    No two records have the same key or id. No other operation is part of the same commit: the look-up of the keys
    would not see it.
    """
    known = _look_up(caller, operation, [record.draft for record in batch])
    planned = []
    for record in batch:
        try:
            planned.append(_plan_record(caller, operation, record, known, prepared.get(record.position)))
        except (InvalidInput, AlreadyExists) as error:
            on_bad(BadRecord(record.position, error.message))
    return planned


@dataclass(frozen=True, slots=True)
class _Known:
    """What the store knows of the keys and ids of a batch."""

    holders: Mapping[tuple[str, str], str]
    """The ids of the live memories that have the keys."""
    deleted: Mapping[str, Row]
    """The last versions of ids that are no longer live."""
    retired: Mapping[str, int]
    """How far the contents were numbered of ids of which nothing is left."""
    fresh: Iterator[str]
    """Ids for what is new."""


def _look_up(caller: Caller, operation: Operation, drafts: Sequence[Draft]) -> _Known:
    pairs = [(draft.namespace, draft.key) for draft in drafts if draft.key is not None]
    holders: dict[tuple[str, str], str] = {}
    if pairs:
        with caller.session.writer:
            holders = caller.session.catalog.find_keys(pairs)
    absent = [draft.id for draft in drafts if draft.id is not None and operation.live(draft.id) is None]
    deleted: dict[str, Row] = {}
    if absent:
        with caller.session.snapshot() as (_, cursor):
            deleted = resumable_rows(cursor, caller.session.gc_floor, absent)
    retired = last_numbers(caller.session, absent)
    return _Known(holders, deleted, retired, iter(caller.session.ids.make_many(len(drafts))))


def _plan_record(
    caller: Caller, operation: Operation, record: SourceRecord, known: _Known, embedded: Embedded | None
) -> Planned:
    """Plan an upsert.

    Raises:
        AlreadyExists: the key belongs to another id, or the id to another key, or to what the caller cannot see.
        InvalidInput: the scheme cannot place it, it would lie outside the caller's scope, or the memory that is said to
            have replaced it was replaced by it.
    """
    draft = record.draft
    row = _current(caller, operation, draft, known)
    memory_id = row.id if row is not None else draft.id or next(known.fresh)
    if record.superseded is not None:
        check_winner(operation, memory_id, record.superseded[0], known.deleted.get)
    effect: Effect = "added"
    if row is None:
        new = create(caller, operation, draft, memory_id, embedded, known.retired.get(memory_id, 0))
    elif row.id in known.deleted:
        new = replace(caller, operation, row, draft, draft.content, "undelete", is_live=False, embedded=embedded)
    else:
        new = replace(caller, operation, row, draft, draft.content, "put", embedded=embedded)
        effect = "unchanged" if new is row else "changed"
    if record.superseded is not None:
        winner, at = record.superseded
        if say(operation, new, winner, to_micros(at)) is not new and effect == "unchanged":
            effect = "changed"
    return Planned(record, effect, memory_id)


def _current(caller: Caller, operation: Operation, draft: Draft, known: _Known) -> Row | None:
    """Return the version that a draft replaces, None if it is new."""
    holder = None if draft.key is None else known.holders.get((draft.namespace, draft.key))
    if holder is not None and draft.id not in (None, holder):
        raise AlreadyExists(f"key {draft.key!r} is in use by another id than {draft.id}", key=draft.key)
    memory_id = holder or draft.id
    if memory_id is None:
        return None
    row = operation.live(memory_id) or known.deleted.get(memory_id)
    if row is None:
        return None
    if not caller.sees(row):
        name = f"id {draft.id}" if holder is None else f"key {draft.key!r}"
        raise AlreadyExists(f"{name} is in use outside the scope of this handle")
    if holder is None and (draft.key != row.key or (draft.key is not None and draft.namespace != row.namespace)):
        raise AlreadyExists(
            f"id {draft.id} is that of a memory with the key {row.key!r} in namespace {row.namespace!r},"
            f" not {draft.key!r} in {draft.namespace!r}",
            id=draft.id,
        )
    return row
