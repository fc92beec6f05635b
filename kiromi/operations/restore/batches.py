"""One batch of a restore: some memories become what they were, within one operation that is alone in its commit.

What is not any more as it was at the base moment was changed by somebody else since, and is left alone, unless it
already is what it was then. So doing a batch twice does no harm.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from kiromi.catalog.last import last_rows, resumable_rows
from kiromi.catalog.rows import Row
from kiromi.operations.caller import Caller
from kiromi.operations.diff import differing
from kiromi.operations.restore.plan import Effect, Item, Plan
from kiromi.operations.restore.reporting import OUTSIDE
from kiromi.reports.restoring import LeftAlone
from kiromi.session.operation import Operation

_TOUCHED = "SELECT DISTINCT id FROM history WHERE end_seq > ? AND id IN (SELECT unnest(?::VARCHAR[]))"
_SAY = (
    "INSERT INTO supersessions SELECT ?, loser, winner, make_timestamptz(effective_at), ?, ? FROM"
    " (SELECT unnest(?::VARCHAR[]) AS loser, unnest(?::VARCHAR[]) AS winner, unnest(?::BIGINT[]) AS effective_at)"
)
_CHANGED = "it was changed after the restore began"
_Pair = tuple[str, str]


@dataclass(slots=True)
class Work:
    """A batch while it is done."""

    ready: dict[str, Item]
    """What is to be done, by id."""
    current: dict[str, Row | None]
    """The live row of each memory of the batch."""
    last: dict[str, Row]
    """The version from which each one goes on: the live one, or the last that was."""
    left: list[LeftAlone] = field(default_factory=list)

    def leave(self, memory_id: str, reason: str) -> None:
        """Do nothing about a memory."""
        self.left.append(LeftAlone(memory_id, memory_id, reason))
        del self.ready[memory_id]


def restore_batch(
    caller: Caller, operation: Operation, plan: Plan, items: Sequence[Item]
) -> tuple[list[Item], list[LeftAlone]]:
    """Make memories what they were; return those that were touched, and those left alone."""
    work = _look(caller, operation, plan, items)
    _leave_what_would_supersede_itself(caller, operation, plan, work)
    _leave_what_has_no_key(caller, plan, work)
    said: list[tuple[str, str | None, int]] = []
    # What gives a key up comes first, so that the operation never holds one key for two memories.
    for memory_id, item in work.ready.items():
        row = work.current[memory_id]
        if row is not None and (item.then is None or _key(item.then) != _key(row)):
            operation.remove(memory_id)
    for memory_id, item in work.ready.items():
        last = work.last[memory_id]
        if item.then is None:
            operation.record("delete", memory_id, {"version": last.version, "path": last.partition})
            continue
        row = _restored(operation, item.effect, item.then, last)
        operation.write(row)
        _record(operation, plan, item, last, row)
        if (row.superseded_by, row.superseded_at) != (last.superseded_by, last.superseded_at):
            said.append(
                (memory_id, row.superseded_by, operation.at if row.superseded_at is None else row.superseded_at)
            )
    if said:
        columns = [list(column) for column in zip(*said, strict=True)]
        operation.execute(_SAY, operation.seq, operation.context.actor, operation.context.reason, *columns)
    return list(work.ready.values()), work.left


def _restored(operation: Operation, effect: Effect, then: Row, last: Row) -> Row:
    """Return a former row as the next one of its memory: numbers of versions and contents never go back."""
    row = then._replace(begin_seq=operation.seq, last_n=max(then.last_n, last.last_n))
    if effect in (Effect.MARKED, Effect.MOVED):  # no edit: see supersession and moves
        return row._replace(version=last.version, updated_at=last.updated_at, run_id=last.run_id)
    return row._replace(version=last.version + 1, updated_at=operation.at, run_id=operation.context.run_id)


def _record(operation: Operation, plan: Plan, item: Item, last: Row, row: Row) -> None:
    facts: dict[str, object] = {"version": [last.version, row.version], "seq": plan.target.seq}
    if item.effect == Effect.BACK:
        operation.record("undelete", item.id, {**facts, "path": row.partition})
        return
    facts["changed"] = differing(last, row)
    if last.n != row.n:
        facts["n"] = [last.n, row.n]
        facts["sha256"] = [last.sha256.hex(), row.sha256.hex()]
    if last.partition != row.partition:
        facts["path"] = [last.partition, row.partition]
    operation.record("restore", item.id, facts)


# -- what is left alone ------------------------------------------------------------------------------------------------


def _look(caller: Caller, operation: Operation, plan: Plan, items: Sequence[Item]) -> Work:
    """Return the batch as it is now, without what somebody else changed since the base moment."""
    current = {item.id: operation.live(item.id) for item in items}
    absent = [item.id for item in items if current[item.id] is None]
    last = {memory_id: row for memory_id, row in current.items() if row is not None}
    touched: set[str] = set()
    if absent:
        with caller.session.snapshot() as (_, cursor):
            last |= resumable_rows(cursor, caller.session.gc_floor, absent)
            touched = {name for (name,) in cursor.execute(_TOUCHED, [plan.base.seq, absent]).fetchall()}
    work = Work({item.id: item for item in items}, current, last)
    for item in items:
        row = current[item.id]
        begin_seq = None if row is None else row.begin_seq
        if row is None and item.id not in last:
            work.leave(item.id, "it was erased after the restore began")
        elif begin_seq == (None if item.now is None else item.now.begin_seq) and item.id not in touched:
            if not plan.scope.wall.matches(last[item.id]):  # it moved out, and was deleted there
                work.leave(item.id, OUTSIDE)
        elif _is_as_then(row, item.then):
            del work.ready[item.id]
        else:
            work.leave(item.id, _CHANGED)
    return work


def _is_as_then(row: Row | None, then: Row | None) -> bool:
    if row is None or then is None:
        return row is then
    return row.n == then.n and not differing(then, row)


def _leave_what_would_supersede_itself(caller: Caller, operation: Operation, plan: Plan, work: Work) -> None:
    """Leave what was superseded by a memory that it replaced since, directly or through others, outside the plan."""
    if not plan.winners:
        return
    for memory_id, item in list(work.ready.items()):
        then, last = item.then, work.last[memory_id]
        if then is None or then.superseded_by is None or then.superseded_by == last.superseded_by:
            continue
        passed: set[str] = set()
        following: str | None = then.superseded_by
        while following is not None and following not in passed and following != memory_id:
            passed.add(following)
            if following in plan.winners:
                following = plan.winners[following]
            else:
                row = operation.live(following) or _last(caller, following)
                following = None if row is None else row.superseded_by
        if following == memory_id:
            work.leave(memory_id, "the memory that superseded it then is superseded by it now")


def _last(caller: Caller, memory_id: str) -> Row | None:
    """Return what a memory was when it ended, in scope or not."""
    with caller.session.snapshot() as (_, cursor):
        return last_rows(cursor, [memory_id]).get(memory_id)


def _leave_what_has_no_key(caller: Caller, plan: Plan, work: Work) -> None:
    """Leave what had a key then that another memory has now and keeps, and what waits for the key of such a one."""
    wanted = {
        memory_id: key
        for memory_id, item in work.ready.items()
        if item.then is not None and (key := _key(item.then)) is not None and key != _key(work.current[memory_id])
    }
    if not wanted:
        return
    holders = caller.session.catalog.find_keys(list(wanted.values()))
    while True:
        taken = [memory_id for memory_id, key in wanted.items() if not _is_free(key, holders, work)]
        if not taken:
            return
        for memory_id in taken:
            _, name = wanted.pop(memory_id)
            work.leave(memory_id, f"its key then, {name!r}, is in use by another memory now")


def _is_free(key: _Pair, holders: dict[_Pair, str], work: Work) -> bool:
    """Tell whether nobody has a key, or who has it gives it up in this batch."""
    holder = holders.get(key)
    item = None if holder is None else work.ready.get(holder)
    return holder is None or (item is not None and (item.then is None or _key(item.then) != key))


def _key(row: Row | None) -> _Pair | None:
    return None if row is None or row.key is None else (row.namespace, row.key)
