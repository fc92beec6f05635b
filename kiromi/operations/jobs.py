"""Jobs: long work that is done in many operations, and its row in ``migration_state`` by which it is resumed.

A job's row changes in the same transactions as what the job does, so its cursor is never ahead of the work or behind.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from kiromi.errors import MigrationConflict, NotFound
from kiromi.operations.caller import Caller
from kiromi.session.operation import Operation

_COLUMNS = 'id, kind, status, digest, params, "cursor", done, total, attempts, epoch_us(updated_at),'
_COLUMNS += " epoch_us(started_at), last_error"
_NOUNS = {"migrate": "scheme migration"}
"""What messages call a job whose kind is no noun."""
_UNFINISHED = f"SELECT {_COLUMNS} FROM migration_state WHERE status IN ('running', 'paused') ORDER BY started_at, id"
_LAST = f"SELECT {_COLUMNS} FROM migration_state WHERE kind = ? ORDER BY started_at DESC, id DESC LIMIT 1"
_FIND = f"SELECT {_COLUMNS} FROM migration_state WHERE id = ?"


@dataclass(frozen=True, slots=True)
class Job:
    """A job as its row says."""

    id: str
    kind: str
    status: str
    """``running``, ``paused``, ``done``, ``failed``, ``abandoned`` or ``rolled_back``."""
    digest: str
    """Of ``params``."""
    params: Mapping[str, Any]
    """What it was asked to do. ``pins``, if given, are moments that ``gc`` has to keep while it is unfinished."""
    cursor: str | None
    done: int
    total: int
    attempts: int
    updated_at: int
    """Microseconds since 1970 UTC."""
    started_at: int
    last_error: str | None


def digest_of(params: Mapping[str, Any]) -> str:
    """Return what tells the parameters of one job from another's: SHA-256, lower-case hex."""
    return hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()


def running(caller: Caller, kind: str) -> Job | None:
    """Return the job of a kind that was begun and not ended."""
    return next((job for job in unfinished(caller) if job.kind == kind), None)


def unfinished(caller: Caller) -> list[Job]:
    """Return the jobs that were begun and not ended, oldest first."""
    # Jobs are never in the journal, so looking for them needs no fold.
    with caller.session.catalog.snapshot() as cursor:
        found = cursor.execute(_UNFINISHED).fetchall()
    return [_job(values) for values in found]


def find(caller: Caller, job_id: str) -> Job | None:
    """Return a job by its id, ended or not."""
    return _one(caller, _FIND, job_id)


def pins_of(cursor: duckdb.DuckDBPyConnection) -> list[int]:
    """Return the moments that unfinished jobs need, ascending, each once."""
    params = [json.loads(job[4]) for job in cursor.execute(_UNFINISHED).fetchall()]
    return sorted({int(seq) for found in params for seq in found.get("pins", ())})


def last(caller: Caller, kind: str) -> Job | None:
    """Return the job of a kind that was begun last, ended or not."""
    return _one(caller, _LAST, kind)


def get(caller: Caller, job_id: str) -> Job:
    """Return a job by its id.

    Raises:
        NotFound: there is none.
    """
    job = find(caller, job_id)
    if job is None:
        raise NotFound(f"no job has the id {job_id}", job=job_id)
    return job


def refuse_beside(caller: Caller, what: str, kinds: Collection[str]) -> None:
    """Refuse to begin something while a job of one of these kinds is unfinished.

    Raises:
        MigrationConflict: one is; the message names it.
    """
    for job in unfinished(caller):
        if job.kind in kinds:
            noun = _NOUNS.get(job.kind, job.kind)
            raise MigrationConflict(
                f"a {noun} was begun and not ended (job {job.id}, {job.done:,} of {job.total:,} done):"
                f" finish it before {what}",
                job=job.id,
                kind=job.kind,
            )


def begin(operation: Operation, job_id: str, kind: str, params: Mapping[str, Any], total: int) -> None:
    """Record a job's begin within an operation."""
    operation.execute(
        "INSERT INTO migration_state VALUES"
        " (?, ?, 'running', ?, ?, NULL, 0, ?, 1, NULL, make_timestamptz(?), make_timestamptz(?))",
        job_id,
        kind,
        digest_of(params),
        json.dumps(params),
        total,
        operation.at,
        operation.at,
    )


def resume(operation: Operation, job_id: str) -> None:
    """Record that a job which was begun goes on."""
    operation.execute(
        "UPDATE migration_state SET status = 'running', attempts = attempts + 1, updated_at = make_timestamptz(?)"
        " WHERE id = ?",
        operation.at,
        job_id,
    )


def advance(operation: Operation, job_id: str, cursor: str, done: int) -> None:
    """Record how far a job is."""
    operation.execute(
        'UPDATE migration_state SET "cursor" = ?, done = done + ?, updated_at = make_timestamptz(?) WHERE id = ?',
        cursor,
        done,
        operation.at,
        job_id,
    )


def fail(operation: Operation, job_id: str, error: str) -> None:
    """Record why a job stopped; it is still to be ended."""
    operation.execute(
        "UPDATE migration_state SET last_error = ?, updated_at = make_timestamptz(?) WHERE id = ?",
        error,
        operation.at,
        job_id,
    )


def end(operation: Operation, job_id: str, status: str, error: str | None = None) -> None:
    """Record a job's end."""
    operation.execute(
        "UPDATE migration_state SET status = ?, last_error = ?, updated_at = make_timestamptz(?) WHERE id = ?",
        status,
        error,
        operation.at,
        job_id,
    )


def _one(caller: Caller, query: str, value: str) -> Job | None:
    with caller.session.catalog.snapshot() as cursor:
        found = cursor.execute(query, [value]).fetchall()
    return _job(found[0]) if found else None


def _job(values: Sequence[Any]) -> Job:
    job_id, kind, status, digest, params, *progress = values
    return Job(job_id, kind, status, digest, json.loads(params), *progress)
