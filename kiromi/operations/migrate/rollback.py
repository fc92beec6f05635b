"""Rollback and resume: back to where memories were, or on to where they go; both are the same run of batches.

The way back is known from history: the row that a batch closed says exactly where the memory was and what it had.
"""

from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa

from kiromi.catalog.rows import LIVE_ROWS, to_rows, to_table
from kiromi.errors import MigrationConflict
from kiromi.operations import jobs
from kiromi.operations.caller import Caller
from kiromi.operations.evolve import plan_activate
from kiromi.operations.jobs import Job
from kiromi.operations.migrate.batches import KIND, Pace, carry_out
from kiromi.operations.migrate.rules import Goal, back
from kiromi.operations.migrate.run import plan_begin
from kiromi.operations.migrate.status import pause, refuse_scoped, report_of, unfinished
from kiromi.operations.migrate.targets import SCHEMA, Targets, stored
from kiromi.operations.snapshots import plan_snapshot
from kiromi.reports.migration import MigrationReport
from kiromi.session.commit import refuse_within_transaction, transaction
from kiromi.session.operation import Operation

_CHUNK = 10_000
_UNDER_WAY = "is being rolled back: resume_migration() goes on"
_GROUP = 50_000
"""Memories that are looked up together: few enough for bounded memory, enough for few scans."""
_UNCHANGED = """
SELECT m.id, m.begin_seq, h.partition, CASE WHEN h.attributes <> m.attributes THEN h.attributes END AS attributes,
       CASE WHEN h.id IS NULL THEN 'gc has removed what it was before' END AS reason, h.scheme
FROM memories m JOIN migration_batches b ON b.job = $job AND m.begin_seq = b.seq
LEFT JOIN (SELECT * FROM history WHERE end_seq BETWEEN $first AND $last) h ON h.id = m.id AND h.end_seq = m.begin_seq
WHERE m.begin_seq BETWEEN $first AND $last
ORDER BY m.id
"""
_LATER = """
SELECT id FROM memories
WHERE begin_seq > $first AND begin_seq NOT IN (SELECT seq FROM migration_batches WHERE job = $job)
ORDER BY id
"""
_CHANGED = f"""{LIVE_ROWS} WHERE m.id IN (
    SELECT h.id FROM history h JOIN wanted USING (id) JOIN migration_batches b ON b.job = $job AND h.end_seq = b.seq
) ORDER BY m.id"""
_TARGETS = pa.schema([*SCHEMA, ("scheme", pa.int32())])


def resume(caller: Caller, pace: Pace) -> MigrationReport:
    """Go on with what was begun and not ended; see ``Store.resume_migration``."""
    refuse_scoped(caller)
    caller.check_writable()
    refuse_within_transaction(caller.session)
    job_id = _resumed(caller)
    carry_out(caller, job_id, pace)
    return report_of(caller, job_id)


def _resumed(caller: Caller) -> str:
    with caller.session.lease, transaction(caller.session, caller.context) as operation:
        job = unfinished(caller)
        jobs.resume(operation, job.id)
        operation.record("migrate_resume", None, {"job": job.id, "done": job.done})
        return job.id


def rollback(caller: Caller, pace: Pace) -> MigrationReport:
    """Bring back what the last migration moved; see ``Store.rollback_migration``."""
    refuse_scoped(caller)
    caller.check_writable()
    refuse_within_transaction(caller.session)
    job_id = _started(caller)
    carry_out(caller, job_id, pace)
    return report_of(caller, job_id)


def _started(caller: Caller) -> str:
    with caller.session.lease:
        origin = _origin(caller)
        if origin.status == "running":
            pause(caller)  # if it runs in another thread or process, it stops before we begin
        with transaction(caller.session, caller.context) as operation:
            return _begin(caller, operation, origin)


def _origin(caller: Caller) -> Job:
    """Return the migration that is to be undone.

    Raises:
        MigrationConflict: there is none, or it is undone already.
    """
    job = jobs.last(caller, KIND)
    if job is None:
        raise MigrationConflict("there was no migration: nothing can be rolled back")
    if job.params["rollback_of"] is not None:
        state = "was rolled back already" if job.status == "done" else _UNDER_WAY
        raise MigrationConflict(f"the last migration {state}", job=job.id)
    jobs.refuse_beside(caller, "rolling a migration back", ["restore"])
    return job


def _begin(caller: Caller, operation: Operation, origin: Job) -> str:
    """Plan the operation that begins a rollback; return the new job's id."""
    session = caller.session
    now = jobs.get(caller, origin.id)
    if now.status not in ("paused", "done"):
        raise MigrationConflict("the migration was resumed meanwhile: call rollback_migration() again", job=origin.id)
    params = origin.params
    former, number = int(params["former"]), int(params["number"])
    snapshot = plan_snapshot(caller, operation, None, f"before the rollback of {params['template']}", is_safety=True)
    if session.active_scheme == number:
        plan_activate(session, operation, session.schemes[former], params["former_set"])
    job_id = session.ids.make()
    facts = {
        "template": session.schemes[former].template,
        "number": former,
        "former": number,
        "former_set": params["set"],
        "set": {},
        "mapper": None,
        "rollback_of": origin.id,
        "undone": number,
        "since": params["seq"],
        "snapshot": snapshot.id,
        "pins": [*params["pins"], snapshot.seq],
    }
    targets = Targets()
    with session.snapshot() as (_, cursor):
        for table in _targets(caller, cursor, origin.id):
            targets.add(table)
    plan_begin(operation, job_id, facts, stored(job_id, None, targets.tables()))
    jobs.end(operation, origin.id, "rolled_back", now.last_error)
    operation.record("migrate_rollback", None, {"job": job_id, "of": origin.id, "scheme": [number, former]})
    return job_id


def _targets(caller: Caller, cursor: duckdb.DuckDBPyConnection, origin: str) -> Iterator[pa.Table]:
    """Yield where every memory goes back to that a migration moved."""
    batches = cursor.execute(
        "SELECT seq, moved + unmoved FROM migration_batches WHERE job = ? ORDER BY seq", [origin]
    ).fetchall()
    for first, last in _groups(batches):
        bounds = {"job": origin, "first": first, "last": last}
        for batch in cursor.sql(_UNCHANGED, params=bounds).to_arrow_reader(_CHUNK):
            yield pa.Table.from_batches([batch]).cast(_TARGETS)
    if not batches:
        return
    later = cursor.sql(_LATER, params={"job": origin, "first": batches[0][0]}).to_arrow_table()
    for start in range(0, len(later), _CHUNK):
        cursor.register("wanted", later.slice(start, _CHUNK))
        rows = to_rows(cursor.sql(_CHANGED, params={"job": origin}).to_arrow_table())
        cursor.unregister("wanted")
        goals = back(caller.session, cursor, rows, origin)
        values: list[tuple[Any, ...]] = []
        for row in rows:
            goal = goals[row.id]
            if isinstance(goal, Goal):
                values.append((row.id, row.begin_seq, *goal.place, None, goal.scheme))
            else:
                values.append((row.id, row.begin_seq, None, None, goal, None))
        yield to_table(values, _TARGETS)


def _groups(batches: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last operation of neighbouring batches (operation, memories) that go together."""
    first, count = None, 0
    for i, (seq, size) in enumerate(batches):
        first, count = seq if first is None else first, count + size
        if count >= _GROUP or i == len(batches) - 1:
            yield first, seq
            first, count = None, 0
