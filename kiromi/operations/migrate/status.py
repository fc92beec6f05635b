"""Status: how far a migration is, what it did, and the wish that it stops after its batch."""

from kiromi.errors import InvalidInput, MigrationConflict
from kiromi.operations import jobs
from kiromi.operations.caller import Caller
from kiromi.operations.jobs import Job
from kiromi.operations.migrate.batches import KIND
from kiromi.reports.migration import MigrationReport, MigrationStatus, Unmapped
from kiromi.session.commit import transaction
from kiromi.times import from_micros

_DONE = (
    "SELECT count(*), coalesce(sum(moved), 0), coalesce(sum(unmoved), 0), coalesce(sum(changed), 0),"
    " coalesce(sum(deleted), 0), coalesce(sum(size), 0) FROM migration_batches WHERE job = ?"
)
_LEFT = (
    "SELECT t.id, m.partition, t.reason FROM migration_targets t LEFT JOIN memories m USING (id)"
    " WHERE t.job = ? AND t.reason IS NOT NULL ORDER BY t.id"
)
_COUNT_LEFT = "SELECT count(*) FROM migration_targets WHERE job = ? AND reason IS NOT NULL"
_KEPT = """
SELECT count(*) FROM memories m WHERE m.scheme = ? AND m.begin_seq > ?
AND m.id NOT IN (SELECT id FROM migration_targets WHERE job = ?)
"""


def status(caller: Caller) -> MigrationStatus | None:
    """Return how far the last migration is; see ``Store.migration_status``."""
    refuse_scoped(caller)
    job = jobs.last(caller, KIND)
    return None if job is None else _status_of(caller, job)


def _status_of(caller: Caller, job: Job) -> MigrationStatus:
    with caller.session.catalog.snapshot() as cursor:
        ((left,),) = cursor.execute(_COUNT_LEFT, [job.id]).fetchall()
    schemes = caller.session.schemes
    return MigrationStatus(
        job=job.id,
        is_rollback=job.params["rollback_of"] is not None,
        status=job.status,
        template=str(job.params["template"]),
        former=schemes[int(job.params["former"])].template,
        done=job.done,
        total=job.total,
        left=left,
        attempts=job.attempts,
        last_error=job.last_error,
        started_at=from_micros(job.started_at),
        updated_at=from_micros(job.updated_at),
    )


def pause(caller: Caller) -> MigrationStatus:
    """Ask the running migration to stop after its batch; see ``Store.pause_migration``."""
    refuse_scoped(caller)
    caller.check_writable()
    with transaction(caller.session, caller.context) as operation:
        job = unfinished(caller)
        if job.status == "running":
            jobs.end(operation, job.id, "paused", job.last_error)
            operation.record("migrate_pause", None, {"job": job.id, "done": job.done})
    return _status_of(caller, jobs.get(caller, job.id))


def unfinished(caller: Caller) -> Job:
    """Return the migration, or rollback, that was begun and not ended.

    Raises:
        MigrationConflict: there is none.
    """
    job = jobs.running(caller, KIND)
    if job is None:
        raise MigrationConflict("no migration is under way: there is nothing to pause or to go on with")
    return job


def refuse_scoped(caller: Caller) -> None:
    """Refuse a handle that sees only a part: a migration, its errors and its undoing are of the whole tenant.

    Raises:
        InvalidInput: the handle is scoped.
    """
    if caller.scope.wanted:
        raise InvalidInput("schemes are of the whole tenant: ask an unscoped handle, with within= for a part")


def refuse_beside_migration(caller: Caller) -> None:
    """Refuse to begin a migration while there is one, or another job that rewrites rows.

    Raises:
        MigrationConflict: there is one; the message names it and the choices.
    """
    for job in jobs.unfinished(caller):
        if job.kind == KIND:
            what = "rollback" if job.params["rollback_of"] else "migration"
            choices = "go on with it by resume_migration()" + (
                "" if job.params["rollback_of"] else ", or undo it by rollback_migration()"
            )
            raise MigrationConflict(
                f"a {what} to {job.params['template']!r} was begun and not ended (job {job.id}, {job.status},"
                f" {job.done:,} of {job.total:,} done): {choices}",
                job=job.id,
                kind=KIND,
            )
    jobs.refuse_beside(caller, "migrating", ["restore"])


def report_of(caller: Caller, job_id: str) -> MigrationReport:
    """Return what a job did up to now."""
    with caller.session.lease:
        job = jobs.get(caller, job_id)
        is_rollback = job.params["rollback_of"] is not None
        with caller.session.snapshot() as (_, cursor):
            ((batches, moved, unmoved, changed, deleted, size),) = cursor.execute(_DONE, [job_id]).fetchall()
            left = cursor.execute(_LEFT, [job_id]).fetchall()
            kept = 0
            if is_rollback:
                since = [int(job.params["undone"]), int(job.params["since"]), job_id]
                ((kept,),) = cursor.execute(_KEPT, since).fetchall()
        return MigrationReport(
            job=job_id,
            is_rollback=is_rollback,
            status=job.status,
            template=caller.session.schemes[caller.session.active_scheme].template,
            snapshot=job.params["snapshot"],
            moved=int(moved),
            unmoved=int(unmoved),
            changed=int(changed),
            deleted=int(deleted),
            left=tuple(Unmapped(*values) for values in left),
            size_bytes=int(size),
            batches=int(batches),
            pending=len(caller.session.pending.unsettled),
            kept=int(kept),
        )
