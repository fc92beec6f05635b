"""Gc: remove the past that nothing needs any more: no snapshot, no moment of the retention window, no unfinished job.

First a commit raises the floor, below which only snapshots can be read; so nobody looks at what is about to go. Then
batch after batch goes, each one operation that looks again at what is needed, with the writer kept out from the look to
the commit; then what lies on the storage and nobody knows; and a last commit ends the job. Killed at any point, the
next call finishes the job first. Live memories and the audit log are never touched.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from kiromi.errors import InvalidInput, MigrationConflict
from kiromi.operations import jobs
from kiromi.operations.caller import Caller
from kiromi.operations.delete import delete_where
from kiromi.operations.garbage import Garbage, Roots, Tally, count_garbage, count_kept, count_rest, plan_drop_rest
from kiromi.operations.orphans import Orphans, find_orphans, remove_orphans
from kiromi.reports.gc import GcReport
from kiromi.session.commit import refuse_within_transaction, transaction
from kiromi.session.session import Session
from kiromi.times import from_micros, now_micros, to_duration

BATCH = 2_000
"""Closed versions per operation."""
_KIND = "gc"
_RAISE = "UPDATE meta SET gc_floor = greatest(gc_floor, ?)"
OnProgress: TypeAlias = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for, in microseconds."""

    retain: int
    grace: int
    deletes_expired: bool

    @classmethod
    def of(cls, retain: Any, grace: Any, *, expired: bool) -> "Options":
        """Return the arguments of a call, checked.

        Raises:
            InvalidInput: one is no length of time.
        """
        return cls(to_duration(retain, "retain"), to_duration(grace, "grace"), expired)


def gc(caller: Caller, options: Options, *, dry_run: bool, on_progress: OnProgress) -> GcReport:
    """Remove what nothing needs any more, or say what would go; see ``Store.gc``."""
    if caller.scope.wanted:
        raise InvalidInput("gc is about the whole tenant: ask an unscoped handle")
    session = caller.session
    if dry_run:
        with session.lease:
            return _plan(caller, options)
    caller.check_writable()
    refuse_within_transaction(session)
    with _alone(session):
        with session.lease:
            expired = _expired(caller, options, dry_run=False)
            orphans = find_orphans(session, options.grace)
            job = jobs.running(caller, _KIND)
        total, young = Tally(), orphans.young
        if job is not None:  # of a call that did not come to its end
            with session.lease, transaction(session, caller.context) as operation:
                jobs.resume(operation, job.id)
                operation.record(_KIND, None, {"job": job.id, "resumed": True})
            total = _carry_out(caller, job, orphans, on_progress)
            orphans = Orphans((), 0, 0)
        job = _begin(caller, options, orphans)
        if job is not None:
            total += _carry_out(caller, job, orphans, on_progress)
        with session.lease, session.snapshot() as (_, cursor):
            roots = Roots.of(cursor)
            kept = count_kept(cursor, roots)
    return GcReport(True, roots.floor, **asdict(total), kept_versions=kept, kept_orphans=young, expired=expired)


def _plan(caller: Caller, options: Options) -> GcReport:
    """Return what would go, by one look."""
    session = caller.session
    expired = _expired(caller, options, dry_run=True)
    orphans = find_orphans(session, options.grace)
    with session.snapshot() as (_, cursor):
        now = max(now_micros(), session.head.at)
        former = Roots.of(cursor)
        roots = former.raised(cursor, now - options.retain)
        tally = count_garbage(cursor, roots) + count_rest(cursor, roots, now - options.retain)
        floor = roots.floor if tally.versions or tally.links else former.floor
        kept = count_kept(cursor, roots) - tally.versions
    tally += Tally(orphans=len(orphans.old), orphan_bytes=orphans.size_bytes)
    return GcReport(False, floor, **asdict(tally), kept_versions=kept, kept_orphans=orphans.young, expired=expired)


def _begin(caller: Caller, options: Options, orphans: Orphans) -> jobs.Job | None:
    """Raise the floor and record the job, in one operation; None if there is nothing to do."""
    session = caller.session
    with session.lease, transaction(session, caller.context) as operation:
        moment = operation.at - options.retain
        with session.snapshot() as (_, cursor):
            former = Roots.of(cursor)
            roots = former.raised(cursor, moment)
            tally = count_garbage(cursor, roots) + count_rest(cursor, roots, moment)
        if tally == Tally() and not orphans.old:
            return None
        floor = roots.floor if tally.versions or tally.links else former.floor
        job_id = session.ids.make()
        jobs.begin(operation, job_id, _KIND, {"floor": floor, "moment": moment}, tally.versions)
        operation.execute(_RAISE, floor)
        operation.record(_KIND, None, {"job": job_id, "floor": [former.floor, floor]})
    with session.lease:
        return jobs.running(caller, _KIND)


def _carry_out(caller: Caller, job: jobs.Job, orphans: Orphans, on_progress: OnProgress) -> Tally:
    """Do a job to its end; return all that went with it, before an interruption too."""
    session = caller.session
    done = Tally(**json.loads(job.cursor)) if job.cursor is not None else Tally()
    after: str | None = ""
    while after is not None:
        on_progress("versions", done.versions, max(job.total, done.versions))
        with session.lease:
            after, done = _drop_batch(caller, job, after, done)
    if orphans.old:
        on_progress("orphans", 0, len(orphans.old))
        with session.lease:
            count, size = remove_orphans(session, orphans.old)
        on_progress("orphans", count, len(orphans.old))
        done += Tally(orphans=count, orphan_bytes=size)
    with session.lease:
        return _end(caller, job, done)


def _drop_batch(caller: Caller, job: jobs.Job, after: str, done: Tally) -> tuple[str | None, Tally]:
    """Drop some of what nobody needs now, of ids from ``after`` on; return where to go on, None if that was all."""
    session = caller.session
    with transaction(session, caller.context) as operation:
        with session.snapshot() as (_, cursor):
            found = Garbage.find(cursor, Roots.of(cursor), after, BATCH)
        if not len(found.versions):
            return None, done
        found.plan_drop(operation, session)
        tally = found.tally
        done += tally
        jobs.advance(operation, job.id, json.dumps(asdict(done)), tally.versions)
        operation.record(_KIND, None, {"job": job.id, "versions": tally.versions, "contents": tally.contents})
    return found.versions.column("id")[-1].as_py(), done


def _end(caller: Caller, job: jobs.Job, done: Tally) -> Tally:
    """Drop what has no blobs, and end the job, in one operation; another process may have been quicker."""
    session = caller.session
    with transaction(session, caller.context) as operation:
        current = jobs.running(caller, _KIND)
        if current is None or current.id != job.id:
            return done
        moment = int(job.params["moment"])
        with session.snapshot() as (_, cursor):
            roots = Roots.of(cursor)
            done += count_rest(cursor, roots, moment)
        plan_drop_rest(operation, roots, moment)
        jobs.end(operation, job.id, "done")
        operation.record(_KIND, None, {"job": job.id, "done": asdict(done)})
    return done


def _expired(caller: Caller, options: Options, *, dry_run: bool) -> int:
    """Delete the live memories that expired before the retention window, if asked for; return how many."""
    if not options.deletes_expired:
        return 0
    moment = from_micros(max(now_micros() - options.retain, 0))
    return delete_where(caller, None, {"expires_at": {"$lte": moment}}, dry_run=dry_run).count


@contextmanager
def _alone(session: Session) -> Iterator[None]:
    """Refuse a second gc in this process. One in another process does no harm: each looks again before it drops."""
    if not session.collecting.acquire(blocking=False):
        raise MigrationConflict("a gc is running: wait for its end", kind=_KIND)
    try:
        yield
    finally:
        session.collecting.release()
