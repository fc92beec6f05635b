"""History: all versions of a memory; changes and the audit log: all operations, in order."""

import json
from collections.abc import Iterator
from typing import Any

import duckdb

from kiromi.attributes import INT_MAX
from kiromi.catalog.rows import AUDIT_SCHEMA, CLOSED_ROWS, AuditRow, integer_times, to_rows
from kiromi.errors import InvalidInput, MemoryNotFound
from kiromi.filters import Condition
from kiromi.ids import check_id
from kiromi.model import AuditEntry, Change, Version
from kiromi.operations.caller import Caller
from kiromi.operations.present import former_info_of, info_of
from kiromi.times import from_micros

_PAGE = 10_000


def history(caller: Caller, memory_id: str) -> list[Version]:
    """Return every version of a memory, newest first; see ``Store.history``."""
    check_id(memory_id)
    schemes = caller.session.schemes
    with caller.reading() as (view, cursor):
        closed = cursor.sql(
            f"{CLOSED_ROWS} WHERE m.id = ? ORDER BY m.begin_seq DESC", params=[memory_id]
        ).to_arrow_table()
        ends = cursor.execute(
            "SELECT end_seq FROM history WHERE id = ? ORDER BY begin_seq DESC", [memory_id]
        ).fetchall()
        found = view.get(memory_id)
    live = found if caller.sees(found) else None
    former = zip(to_rows(closed), (end for (end,) in ends), strict=True)
    versions = [Version(info_of(live, schemes), live.begin_seq, None)] if live is not None else []
    versions += [
        Version(former_info_of(row, live, schemes), row.begin_seq, end) for row, end in former if caller.sees(row)
    ]
    if not versions:
        raise MemoryNotFound(f"no memory {memory_id} here", id=memory_id)
    return versions


def audit(caller: Caller, since: int, memory_id: str | None, limit: int | None) -> list[AuditEntry]:
    """Return audit entries after a seq, oldest first; see ``Store.audit``."""
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 0):
        raise InvalidInput(f"limit={limit!r} is not a whole number of at least 0, or None for all")
    rows = list(_audit_rows(caller, since, memory_id, limit))
    return [
        AuditEntry(
            seq=row.seq,
            i=row.i,
            at=from_micros(row.at),
            actor=row.actor,
            run_id=row.run_id,
            reason=row.reason,
            op=row.op,
            memory_id=row.memory_id,
            detail=_detail(row),
            hash=row.hash.hex(),
        )
        for row in rows
    ]


def changes(caller: Caller, since: int) -> Iterator[Change]:
    """Yield every event after a seq, in order; see ``Store.changes``."""
    while True:
        with caller.session.lease:
            rows = list(_audit_rows(caller, since, None, _PAGE))
        if not rows:
            return
        if len(rows) == _PAGE:
            # Never stop within an operation: the next page begins after a whole seq.
            rows = [row for row in rows if row.seq != rows[-1].seq] or _operation(caller, rows[-1].seq)
        for row in rows:
            yield Change(row.seq, row.i, row.op, row.memory_id, from_micros(row.at), row.actor, _detail(row))
        since = rows[-1].seq


def audit_condition(caller: Caller, cursor: duckdb.DuckDBPyConnection) -> Condition:
    """Return the condition on ``audit_log a`` of entries about versions, before or after, within the caller's scope.

    Entries about links are left out: a link may lead out of the scope.
    """
    about = version_condition(caller, cursor)
    return Condition(f"a.op NOT IN ('link', 'unlink') AND ({about.sql})", about.parameters)


def version_condition(caller: Caller, cursor: duckdb.DuckDBPyConnection) -> Condition:
    """Return the condition on a table ``a`` of rows whose ``memory_id`` and ``seq`` are those of such versions."""
    live = caller.scope.condition(cursor, caller.session.schemes)
    former = caller.scope.condition(cursor, caller.session.schemes, "history")
    return Condition(
        f"(a.memory_id, a.seq) IN (SELECT m.id, m.begin_seq FROM memories m WHERE {live.sql})"
        f" OR (a.memory_id, a.seq) IN (SELECT m.id, m.begin_seq FROM history m WHERE {former.sql})"
        f" OR (a.memory_id, a.seq) IN (SELECT m.id, m.end_seq FROM history m WHERE {former.sql})",
        (*live.parameters, *former.parameters, *former.parameters),
    )


def audit_detail(caller: Caller, cursor: duckdb.DuckDBPyConnection) -> Condition:
    """Return the expression for the detail of ``audit_log a``: ``{}`` where it tells of what lies outside the scope.

    The entry of a move into the scope, or out of it, tells where the memory was or went.
    """
    if not caller.scope.wanted:
        return Condition("a.detail")
    live = caller.scope.condition(cursor, caller.session.schemes)
    former = caller.scope.condition(cursor, caller.session.schemes, "history")
    return Condition(
        "CASE WHEN (a.memory_id, a.seq) IN ("
        f"SELECT m.id, m.begin_seq FROM memories m WHERE NOT ({live.sql})"
        f" UNION ALL SELECT m.id, m.begin_seq FROM history m WHERE NOT ({former.sql})"
        f" UNION ALL SELECT m.id, m.end_seq FROM history m WHERE NOT ({former.sql})"
        ") THEN '{}' ELSE a.detail END",
        (*live.parameters, *former.parameters, *former.parameters),
    )


def _operation(caller: Caller, seq: int) -> list[AuditRow]:
    with caller.session.lease:
        return list(_audit_rows(caller, seq - 1, None, None, until=seq))


def _audit_rows(
    caller: Caller, since: int, memory_id: str | None, limit: int | None, until: int | None = None
) -> Iterator[AuditRow]:
    if not isinstance(since, int) or isinstance(since, bool) or not 0 <= since <= INT_MAX:
        raise InvalidInput(f"since={since!r} is not a seq (a whole number of at least 0)")
    with caller.session.snapshot() as (_, cursor):
        sql, parameters = "a.seq > ?", list[Any]([since])
        if until is not None:
            sql, parameters = f"{sql} AND a.seq <= ?", [*parameters, until]
        if memory_id is not None:
            sql, parameters = f"{sql} AND a.memory_id = ?", [*parameters, check_id(memory_id)]
        if caller.scope.wanted:
            scoped = audit_condition(caller, cursor)
            sql, parameters = f"{sql} AND ({scoped.sql})", [*parameters, *scoped.parameters]
        tail = "" if limit is None else f" LIMIT {limit}"
        detail = audit_detail(caller, cursor)
        columns = ", ".join(detail.sql if name == "detail" else f'a."{name}"' for name in AUDIT_SCHEMA.names)
        found = cursor.sql(
            f"SELECT {columns} FROM audit_log a WHERE {sql} ORDER BY a.seq, a.i{tail}",
            params=[*detail.parameters, *parameters],
        )
        values = [column.to_pylist() for column in integer_times(found.to_arrow_table()).columns]
    return map(AuditRow._make, zip(*values, strict=True))


def _detail(row: AuditRow) -> dict[str, Any]:
    return {} if row.detail is None else dict(json.loads(row.detail))
