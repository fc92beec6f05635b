"""Restore: bring the store, a partition or some memories back to what they were at a former moment.

Nothing is taken back: the difference between the two moments is applied forward, as new operations. The first of them
takes a safety snapshot and begins a job, whose plan is fixed by two moments, the one to go back to and the one before
the job; both are kept while it is unfinished. Then come batches, each one operation. So a killed restore goes on where
it was when it is called again, readers find every memory at every moment, and restoring the safety snapshot undoes all.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kiromi.catalog.past import Moment
from kiromi.errors import EmbedderError, EmbedderMismatch, MigrationConflict
from kiromi.operations import jobs
from kiromi.operations.asof import LIVE, Ref, find_snapshot, resolve
from kiromi.operations.caller import Caller
from kiromi.operations.completing import complete, missing_among
from kiromi.operations.embedding import active_model, embedder_of
from kiromi.operations.restore.batches import restore_batch
from kiromi.operations.restore.links import restore_links
from kiromi.operations.restore.plan import Plan, make_plan, renewed
from kiromi.operations.restore.reporting import Tally, done, planned
from kiromi.operations.restore.scope import Scope, check_known, scope_of, told
from kiromi.operations.snapshots import plan_snapshot
from kiromi.reports.restoring import LeftAlone, RestoreReport
from kiromi.session.commit import refuse_within_transaction, transaction
from kiromi.session.operation import Operation

KIND = "restore"
_ACTIVATE = (
    "INSERT INTO scheme_events SELECT ?, scheme, sets FROM scheme_events WHERE seq <= ? ORDER BY seq DESC LIMIT 1"
)
OnProgress = Callable[[str, int, int], None]


def restore(
    caller: Caller,
    ref: Ref,
    within: Mapping[str, Any] | None,
    ids: Iterable[str] | None,
    on_progress: OnProgress,
    *,
    dry_run: bool,
) -> RestoreReport:
    """Make what lies in a scope what it was at a moment; see ``Store.restore``."""
    # Check.
    session = caller.session
    if not dry_run:
        caller.check_writable()
        refuse_within_transaction(session)
    with session.lease:
        scope = scope_of(caller, within, ids)
        target = resolve(caller, ref)

        # Plan, and stop there if that is all, or if there is nothing to do.
        if dry_run:
            check_known(caller, scope)
            plan = make_plan(caller, target, resolve(caller, LIVE), scope)
            return planned(caller, plan)
        tally = Tally()
        plan, job_id = _begin(caller, target, scope, tally)
        if job_id is None:
            return done(caller, plan, tally)

    # Bring the memories back, batch by batch; then make the vectors that the present model lacks of them.
    is_over = False
    while not is_over:
        plan, is_over = _restore_next(caller, plan, job_id, tally, on_progress)
    tally.pending = _complete(caller, plan, on_progress)

    # Links and the scheme at last, and the job is done.
    plan = _finish(caller, plan, job_id, tally)
    with session.lease:
        return done(caller, plan, tally)


# -- begin -------------------------------------------------------------------------------------------------------------


def _begin(caller: Caller, target: Moment, scope: Scope, tally: Tally) -> tuple[Plan, str | None]:
    """Begin a restore, or find the one that was begun; return its plan and its job, None if there is nothing to do.

    Raises:
        MigrationConflict: a restore of something else, or a migration, was begun and not ended.
        MemoryNotFound: no memory of one of the ids was ever in the caller's scope.
    """
    former = _unfinished(caller, target, scope)
    if former is None:  # else some may have been erased since it began, which must not keep it from its end
        check_known(caller, scope)
    if former is not None and _is_same(former, target, scope):
        return _resumed(caller, former, target, scope, tally)
    plan = make_plan(caller, target, resolve(caller, LIVE), scope)
    if plan.is_empty and former is None:
        return plan, None
    with transaction(caller.session, caller.context) as operation:
        former = _unfinished(caller, target, scope)  # another thread may have been quicker
        if former is not None and _is_same(former, target, scope):
            return _resumed(caller, former, target, scope, tally)
        if plan.base.seq != operation.seq - 1:  # somebody wrote meanwhile; nobody can any more
            plan = make_plan(caller, target, resolve(caller, LIVE), scope)
        if former is not None:
            jobs.end(operation, former.id, "rolled_back")
            operation.record(KIND, None, {"job": former.id, "status": "rolled_back"})
        if plan.is_empty:
            return plan, None
        tally.snapshot = plan_snapshot(
            caller, operation, None, f"before restoring seq {target.seq}{told(scope.facts())}", is_safety=True
        )
        job_id = caller.session.ids.make()
        params = {
            "target": target.seq,
            "base": plan.base.seq,
            "scope": scope.facts(),
            "snapshot": tally.snapshot.id,
            "pins": [target.seq, plan.base.seq],
        }
        jobs.begin(operation, job_id, KIND, params, len(plan))
        operation.record(KIND, None, {"job": job_id, "status": "begun", **params})
    return plan, job_id


def _resumed(caller: Caller, former: jobs.Job, target: Moment, scope: Scope, tally: Tally) -> tuple[Plan, str]:
    tally.is_resumed = True
    with caller.session.catalog.snapshot() as cursor:
        tally.snapshot = find_snapshot(cursor, former.params["snapshot"])
    return make_plan(caller, target, resolve(caller, int(former.params["base"])), scope), former.id


def _unfinished(caller: Caller, target: Moment, scope: Scope) -> jobs.Job | None:
    """Return the restore that was begun and not ended, if this one goes on with it or takes it back.

    Raises:
        MigrationConflict: a migration is unfinished, or a restore of something else.
    """
    jobs.refuse_beside(caller, "a restore", ("migrate",))
    job = jobs.running(caller, KIND)
    if job is None or _is_same(job, target, scope):
        return job
    takes_back = target.seq == job.params["base"] and (scope.is_whole or scope.facts() == job.params["scope"])
    if not takes_back:
        params = job.params
        raise MigrationConflict(
            f"a restore of seq {params['target']}{told(params['scope'])} was begun and not ended ({job.done:,} of"
            f" {job.total:,} memories done): restore seq:{params['target']} of the same scope again to go on, or"
            f" seq:{params['base']} to take it back",
            job=job.id,
            kind=KIND,
            target=params["target"],
            base=params["base"],
        )
    return job


def _is_same(job: jobs.Job, target: Moment, scope: Scope) -> bool:
    return bool(job.params["target"] == target.seq and job.params["scope"] == scope.facts())


# -- batches -----------------------------------------------------------------------------------------------------------


def _restore_next(caller: Caller, plan: Plan, job_id: str, tally: Tally, on_progress: OnProgress) -> tuple[Plan, bool]:
    """Do the next batch; return the plan as it is by now, and whether there is nothing left of it."""
    with caller.session.lease, transaction(caller.session, caller.context) as operation:
        plan = renewed(caller, plan)
        # Where to go on is asked anew each time: another thread or process may have done some of it meanwhile.
        job = _current(caller, job_id)
        batch = range(0) if job.status != "running" else plan.after(job.cursor)
        if not batch:
            return plan, True
        if tally.is_resumed and not tally.batches:
            jobs.resume(operation, job_id)
        touched, left = restore_batch(caller, operation, plan, plan.items(batch))
        jobs.advance(operation, job_id, plan.cursor(batch), len(batch))
        operation.record(KIND, None, {"job": job_id, "touched": len(touched), "left": len(left)})
    tally.add(touched, left)
    on_progress("memories", batch.stop, len(plan))
    return plan, False


def _current(caller: Caller, job_id: str) -> jobs.Job:
    """Return the job as it is now.

    Raises:
        MigrationConflict: another call took it back.
    """
    job = jobs.find(caller, job_id)
    if job is None or job.status == "rolled_back":
        raise MigrationConflict(f"the restore {job_id} was taken back by another call", job=job_id, kind=KIND)
    return job


def _complete(caller: Caller, plan: Plan, on_progress: OnProgress) -> int:
    """Make the vectors of restored contents that have none of the present model; return how many are still to be made.

    A restore never fails because of an embedder.
    """
    session = caller.session
    ids = [bytes(memory_id).decode() for memory_id in plan.ids[plan.revived]]
    with session.lease:
        number, model = session.active_model, active_model(session)
        missing = missing_among(caller, number, ids) if number is not None and ids else []
    if not missing or number is None or model is None or model.is_caller:
        return len(missing)
    try:
        with session.lease:
            embedder = embedder_of(caller)
        if embedder is not None:
            note = _progress_of(on_progress, len(missing))
            complete(caller, number, model, embedder, note, ids=missing)
    except (EmbedderError, EmbedderMismatch):
        pass  # what is missing is counted below, and found by text meanwhile
    with session.lease:
        return len(missing_among(caller, number, missing))


def _progress_of(on_progress: OnProgress, total: int) -> Callable[[int], None]:
    return lambda done: on_progress("vectors", done, total)


# -- end ---------------------------------------------------------------------------------------------------------------


def _finish(caller: Caller, plan: Plan, job_id: str, tally: Tally) -> Plan:
    """Restore links and scheme, and end the job; return the plan as it is by now."""
    with caller.session.lease, transaction(caller.session, caller.context) as operation:
        plan = renewed(caller, plan)
        if _current(caller, job_id).status != "running":
            return plan  # another call did the rest
        tally.links, left = restore_links(caller, operation, plan.links)
        tally.left += left
        if plan.scheme is not None:
            _restore_scheme(caller, operation, plan, tally)
        jobs.end(operation, job_id, "done")
        facts = {effect.name.lower(): count for effect, count in tally.touched.items() if count}
        operation.record(
            KIND,
            None,
            {"job": job_id, "status": "done", **facts, "links": tally.links, "left": len(tally.left)}
            | ({} if tally.scheme is None else {"scheme": tally.scheme}),
        )
    return plan


def _restore_scheme(caller: Caller, operation: Operation, plan: Plan, tally: Tally) -> None:
    active = caller.session.active_scheme
    if active == plan.base.scheme:
        operation.execute(_ACTIVATE, operation.seq, plan.target.seq)
        tally.scheme = plan.scheme
    elif active != plan.scheme:
        tally.left.append(LeftAlone(None, "scheme", "the scheme was changed after the restore began"))
