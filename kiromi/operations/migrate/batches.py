"""Batches: carry a stored plan out, one operation after the other, while others read and write.

A batch is one transaction (rows, history, pending places, the job's cursor), then the renames, then a sync with the
next batch. Each row is looked at again before it moves. So a kill at any instant leaves a job whose row says exactly
what is done; whoever resumes goes on from there.
"""

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kiromi.catalog.moves import Moves
from kiromi.catalog.rows import id_matrix, to_rows
from kiromi.errors import KiromiError, MigrationConflict
from kiromi.operations import jobs
from kiromi.operations.append import fewer_collections
from kiromi.operations.caller import Caller
from kiromi.operations.jobs import Job
from kiromi.operations.migrate.rules import Goal, Retarget, Target, retarget_of
from kiromi.session.commit import transaction
from kiromi.session.operation import Operation

KIND = "migrate"
"""Of the job, and in the audit log."""
_NEXT = (
    "SELECT position, id, begin_seq, scheme, partition, attributes FROM migration_targets"
    " WHERE job = ? AND position >= ? AND reason IS NULL ORDER BY position LIMIT ?"
)
_AIMED = ("scheme", "partition", "attributes")
"""What a move changes."""
_VACATED = (
    "SELECT DISTINCT h.partition FROM history h JOIN migration_batches b ON b.job IN (?, ?) AND b.seq = h.end_seq"
)
_GIVE_WAY_S = 0.001
"""Between two batches, so that writers that wait get their turn: locks are not fair."""
_ASK_S = 0.5
"""Of a pause, between two looks at whether it is to end."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a job is carried out."""

    batch_size: int
    pause_s: float
    on_progress: Callable[[str, int, int], None]


def carry_out(caller: Caller, job_id: str, pace: Pace) -> str:
    """Carry out what is left of a job, and return its status: ``done`` or ``paused``.

    Raises:
        MigrationConflict: another call went on with it.
        StorageError: the filesystem or the catalog failed; resume after opening the store again.
    """
    session = caller.session
    with session.lease:
        begun = jobs.get(caller, job_id)
        retarget = retarget_of(session, begun)
    try:
        with fewer_collections():
            return _batches(caller, begun, retarget, pace)
    except MigrationConflict:
        raise
    except Exception as error:
        _note_failure(caller, job_id, error)
        raise


def _note_failure(caller: Caller, job_id: str, error: Exception) -> None:
    """Keep what stopped a job with it, if it is still to be ended and the store still takes writes."""
    with (
        contextlib.suppress(KiromiError),
        caller.session.lease,
        transaction(caller.session, caller.context) as operation,
    ):
        if jobs.get(caller, job_id).status not in ("running", "paused"):
            return
        jobs.fail(operation, job_id, f"{type(error).__name__}: {error}"[:1_000])
        operation.record("migrate_stop", None, {"job": job_id, "error": type(error).__name__})


def _batches(caller: Caller, begun: Job, retarget: Retarget, pace: Pace) -> str:
    while True:
        with caller.session.lease:
            done, status = _batch(caller, begun, retarget, pace.batch_size)
        pace.on_progress("move", done, begun.total)
        if status != "running":
            return status
        _rest(pace, done, begun.total)


def _rest(pace: Pace, done: int, total: int) -> None:
    """Wait between two batches; whoever wants to stop the run is asked now and then."""
    end = time.monotonic() + max(_GIVE_WAY_S, pace.pause_s)
    while (left := end - time.monotonic()) > _ASK_S:
        time.sleep(_ASK_S)
        pace.on_progress("move", done, total)
    time.sleep(max(0.0, left))


def _batch(caller: Caller, begun: Job, retarget: Retarget, size: int) -> tuple[int, str]:
    """Carry out one batch; return how many memories are done, and the job's status afterwards."""
    with transaction(caller.session, caller.context) as operation:
        job = jobs.get(caller, begun.id)
        if job.status != "running":
            return job.done, job.status
        if job.attempts != begun.attempts:
            raise MigrationConflict(f"another call went on with migration {job.id}", job=job.id)
        targets = _next(caller, job, size)
        if not len(targets):
            _plan_end(caller, operation, job)
            return job.done, "done"
        _plan_batch(caller, operation, job, targets, retarget)
        return job.done + len(targets), "running"


def _plan_end(caller: Caller, operation: Operation, job: Job) -> None:
    """Plan to end a job: folders that its batches left empty go first, so that a kill leaves none behind.

    A rollback looks after those of what it undoes too: that may not have come to its end.
    """
    session = caller.session
    emptied_by = [job.id, job.params["rollback_of"] or job.id]
    session.sync_settled()
    with session.catalog.snapshot() as cursor:
        vacated = [f"data/{path}" for (path,) in cursor.execute(_VACATED, emptied_by).fetchall()]
    session.blobs.remove_empty(vacated)
    jobs.end(operation, job.id, "done")
    operation.record("migrate_end", None, {"job": job.id, "done": job.done})


def _next(caller: Caller, job: Job, size: int) -> pa.Table:
    with caller.session.catalog.snapshot() as cursor:
        return cursor.sql(_NEXT, params=[job.id, int(job.cursor or 0), size]).to_arrow_table()


def _plan_batch(caller: Caller, operation: Operation, job: Job, targets: pa.Table, retarget: Retarget) -> None:
    """Plan to move what is still there of a batch, and record it."""
    following = str(targets.column("position")[-1].as_py() + 1)
    planned = targets.take(pa.array(np.argsort(id_matrix(targets.column("id")), kind="stable")))
    ids = id_matrix(planned.column("id"))
    rows = caller.session.view.table(ids)
    is_live = np.isin(ids, id_matrix(rows.column("id")), assume_unique=True)
    planned = planned if is_live.all() else planned.filter(pa.array(is_live))
    is_changed = pc.not_equal(planned.column("begin_seq"), rows.column("begin_seq"))
    changed = int(pc.sum(is_changed).as_py() or 0)
    left: dict[str, str] = {}
    if changed:
        planned, rows, left = _with_changes(caller, planned, rows, is_changed.to_numpy(), retarget)
        changed -= len(left)
    scheme, partition, attributes = (planned.column(name) for name in _AIMED)
    moves = Moves.of(rows, scheme, partition, attributes, operation.seq)
    operation.move(moves)
    relocated = moves.relocated()
    size = int(pc.sum(relocated.rows.column("size")).as_py() or 0)
    unmoved, deleted = len(moves) - len(relocated), len(ids) - int(is_live.sum())
    operation.execute(
        "INSERT INTO migration_batches VALUES (?, ?, ?, ?, ?, ?, ?)",
        *(job.id, operation.seq, len(relocated), unmoved, changed, deleted, size),
    )
    for memory_id, reason in left.items():
        operation.execute("UPDATE migration_targets SET reason = ? WHERE job = ? AND id = ?", reason, job.id, memory_id)
    facts = {"job": job.id, "moved": len(relocated), "unmoved": unmoved, "changed": changed, "deleted": deleted}
    operation.record(KIND, None, {**facts, "left": len(left), "digest": _digest(relocated)})
    jobs.advance(operation, job.id, following, len(targets))


def _with_changes(
    caller: Caller, planned: pa.Table, rows: pa.Table, is_changed: np.ndarray, retarget: Retarget
) -> tuple[pa.Table, pa.Table, dict[str, str]]:
    """Return targets and rows with what changed since the plan aimed anew, without what cannot be mapped any more."""
    positions = np.flatnonzero(is_changed)
    former = to_rows(rows.take(pa.array(positions)))
    aimed = planned.take(pa.array(positions))
    seqs, texts = (aimed.column(name).to_pylist() for name in ("begin_seq", "attributes"))
    targets = {row.id: Target(seq, text) for row, seq, text in zip(former, seqs, texts, strict=True)}
    with caller.session.snapshot() as (_, cursor):
        goals = retarget(cursor, former, targets)
    left = {memory_id: goal for memory_id, goal in goals.items() if isinstance(goal, str)}
    columns: dict[str, list[Any]] = {name: planned.column(name).to_pylist() for name in _AIMED}
    for position, row in zip(positions, former, strict=True):
        goal = goals[row.id]
        if isinstance(goal, Goal):
            columns["scheme"][position] = goal.scheme
            columns["partition"][position] = goal.place.partition
            columns["attributes"][position] = goal.place.attributes
    types = (pa.int32(), pa.string(), pa.string())
    table = pa.table([pa.array(columns[name], kind) for name, kind in zip(_AIMED, types, strict=True)], names=_AIMED)
    if left:
        kept = pa.array(~np.isin(id_matrix(rows.column("id")), np.array(sorted(left), dtype="S26")))
        table, rows = table.filter(kept), rows.filter(kept)
    return table, rows, left


def _digest(moves: Moves) -> str:
    """Return the SHA-256 over id, former and present path of each blob that moves."""
    ids = moves.rows.column("id").to_pylist()
    paths: Iterable[Any] = zip(
        ids, moves.former.column("partition").to_pylist(), moves.rows.column("partition").to_pylist(), strict=True
    )
    return hashlib.sha256("\n".join(map(" ".join, paths)).encode()).hexdigest()
