"""Supersession: say that one memory replaced another, from when on, and take it back.

The state is two columns of the replaced memory's row, so history, time travel and restore have it like any other
fact; what was said and taken back stands in ``supersessions`` as well, append-only. It is no edit: ``version`` and
``updated_at`` stay. Edits keep the state, undelete brings back what held at the deletion, and deleting the memory
that replaced another does not bring the other back.
"""

from collections.abc import Callable
from datetime import datetime

from kiromi.attributes import INT_MAX
from kiromi.catalog.last import last_rows
from kiromi.catalog.rows import Row
from kiromi.errors import InvalidInput, MemoryExpired
from kiromi.ids import check_id
from kiromi.model import MemoryInfo, Supersession
from kiromi.operations.caller import Caller, check_moment, is_expired
from kiromi.operations.get import find, missing
from kiromi.operations.history import version_condition
from kiromi.operations.present import info_of
from kiromi.session.commit import run
from kiromi.session.operation import Operation
from kiromi.times import from_micros

_SAY = "INSERT INTO supersessions VALUES (?, ?, ?, make_timestamptz(?), ?, ?)"


def supersede(caller: Caller, old: str, new: str, at: datetime | None) -> MemoryInfo:
    """Say that a memory was replaced by another; see ``Store.supersede``."""
    caller.check_writable()
    row = run(caller.session, caller.context, lambda operation: plan_supersede(caller, operation, old, new, at))
    return info_of(row, caller.session.schemes)


def plan_supersede(caller: Caller, operation: Operation, old: str, new: str, at: datetime | None = None) -> Row:
    """Plan a supersession; return the replaced memory's row.

    The last one said holds. Saying the same again changes nothing: the same moment, or no moment when it is in force.

    Raises:
        MemoryNotFound: one of the two is not there, or not in the caller's scope.
        InvalidInput: they are one memory, or the old one replaced the new one, directly or through others.
    """
    moment = operation.at if at is None else check_moment(at, "at")
    loser = live_row(caller, operation, old)
    winner = there(caller, operation, new)
    check_winner(operation, loser.id, winner.id, lambda memory_id: _last_closed(caller, memory_id))
    if at is None and loser.superseded_by == winner.id and (loser.superseded_at or 0) <= operation.at:
        return loser
    return say(operation, loser, winner.id, moment)


def say(operation: Operation, loser: Row, winner: str, at: int) -> Row:
    """Write that a live memory was replaced, without a look at the other, which a source may bring only later."""
    if (loser.superseded_by, loser.superseded_at) == (winner, at):
        return loser
    row = loser._replace(superseded_by=winner, superseded_at=at, begin_seq=operation.seq)
    operation.write(row)
    operation.execute(_SAY, operation.seq, loser.id, winner, at, operation.context.actor, operation.context.reason)
    operation.record("supersede", loser.id, {"by": winner, "at": from_micros(at).isoformat()})
    return row


def check_winner(operation: Operation, loser: str, winner: str, last_closed: Callable[[str], Row | None]) -> None:
    """Refuse a memory that cannot have replaced another: the same one, or one that the other replaced.

    Deleted memories count too, for they may come back; ``last_closed`` gives their last versions.

    Raises:
        InvalidInput: it is one of these.
    """
    if loser == winner:
        raise InvalidInput(f"memory {loser} cannot supersede itself", id=loser)
    passed: set[str] = set()
    following: str | None = winner
    while following is not None and following not in passed:
        if following == loser:
            raise InvalidInput(
                f"memory {winner} is superseded by {loser}, directly or through others: unsupersede it first", id=loser
            )
        passed.add(following)
        row = operation.live(following) or operation.last_closed(following) or last_closed(following)
        following = None if row is None else row.superseded_by


def unsupersede(caller: Caller, memory_id: str) -> MemoryInfo:
    """Take back that a memory was replaced; see ``Store.unsupersede``."""
    caller.check_writable()
    row = run(caller.session, caller.context, lambda operation: plan_unsupersede(caller, operation, memory_id))
    return info_of(row, caller.session.schemes)


def plan_unsupersede(caller: Caller, operation: Operation, memory_id: str) -> Row:
    """Plan to take a supersession back; a memory that is not superseded stays as it is.

    Raises:
        MemoryNotFound: it is not there, or not in the caller's scope.
    """
    loser = live_row(caller, operation, memory_id)
    if loser.superseded_by is None:
        return loser
    row = loser._replace(superseded_by=None, superseded_at=None, begin_seq=operation.seq)
    operation.write(row)
    operation.execute(
        _SAY, operation.seq, loser.id, None, operation.at, operation.context.actor, operation.context.reason
    )
    operation.record("unsupersede", loser.id, {"by": loser.superseded_by})
    return row


def live_row(caller: Caller, operation: Operation, memory_id: str) -> Row:
    """Return the row of a live memory in the caller's scope, expired or not, as an operation sees it.

    Raises:
        MemoryNotFound: it is not there.
    """
    row = operation.live(check_id(memory_id))
    if row is None or not caller.sees(row):
        raise missing(caller, memory_id)
    return row


def there(caller: Caller, operation: Operation, memory_id: str) -> Row:
    """Return the row of a live, unexpired memory in the caller's scope, as an operation sees it.

    Raises:
        MemoryNotFound: it is not there (MemoryDeleted, MemoryExpired say more).
    """
    row = live_row(caller, operation, memory_id)
    if is_expired(row, operation.at):
        raise MemoryExpired(
            f"memory {memory_id} expired at {from_micros(row.expires_at or 0).isoformat()}", id=memory_id
        )
    return row


def supersession_chain(caller: Caller, memory_id: str) -> list[MemoryInfo]:
    """Return what a memory replaced, itself, and what replaced it, oldest first; see ``Store.supersession_chain``."""
    start = find(caller, memory_id)
    seen = {start.id}
    now = caller.now
    with caller.reading() as (view, cursor):

        def shown(ids: list[str]) -> list[Row]:
            found = (row for row in view.rows(ids) if row.id not in seen)
            fresh = [row for row in found if caller.sees(row) and not is_expired(row, now)]
            seen.update(row.id for row in fresh)
            return fresh

        levels = [[start]]
        while levels[-1]:
            winners = [row.id for row in levels[-1]]
            losers = cursor.execute(
                "SELECT id FROM memories WHERE superseded_by IN (SELECT unnest(?)) ORDER BY superseded_at, id",
                [winners],
            ).fetchall()
            levels.append(shown([loser for (loser,) in losers]))
        chain = [row for level in reversed(levels) for row in level]
        while chain[-1].superseded_by is not None and (following := shown([chain[-1].superseded_by])):
            chain += following
    return [info_of(row, caller.session.schemes) for row in chain]


def supersessions(caller: Caller, memory_id: str | None, limit: int | None) -> list[Supersession]:
    """Return what was said and taken back, newest first; see ``Store.supersessions``."""
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or not 0 <= limit <= INT_MAX):
        raise InvalidInput(f"limit={limit!r} is not a whole number of at least 0, or None for all")
    conditions: list[str] = []
    parameters: list[object] = []
    if memory_id is not None:
        conditions.append("? IN (a.memory_id, a.winner)")
        parameters.append(check_id(memory_id))
    with caller.session.snapshot() as (_, cursor):
        if caller.scope.wanted:
            scoped = version_condition(caller, cursor)
            conditions.append(f"({scoped.sql})")
            parameters += scoped.parameters
        found = cursor.execute(
            "SELECT seq, memory_id, winner, epoch_us(effective_at), actor, reason"
            " FROM (SELECT loser AS memory_id, *, rowid AS place FROM supersessions) a"
            f" WHERE {' AND '.join(conditions) or 'TRUE'} ORDER BY seq DESC, place DESC"
            + ("" if limit is None else f" LIMIT {limit}"),
            parameters,
        ).fetchall()
    return [
        Supersession(seq, loser, winner, from_micros(at), actor, reason)
        for seq, loser, winner, at, actor, reason in found
    ]


def _last_closed(caller: Caller, memory_id: str) -> Row | None:
    with caller.session.snapshot() as (_, cursor):
        return last_rows(cursor, [memory_id]).get(memory_id)
