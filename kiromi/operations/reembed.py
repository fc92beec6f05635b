"""Re-embed: bring the vectors of another model in beside those in use, then switch to them in one operation.

Search stays on the old model's vectors throughout. What is written meanwhile gets the old model's vectors from its
writers and the new one's from here: the last few within the very operation that switches, so none is ever missing.
A killed call goes on where it was when it is made again with the same embedder.
"""

import time
from collections.abc import Callable
from functools import partial

from kiromi.embed.base import Embedder, Model
from kiromi.embed.running import embed
from kiromi.errors import InvalidInput, MigrationConflict
from kiromi.operations.caller import Caller
from kiromi.operations.completing import BATCH, complete, complete_within, count_missing
from kiromi.operations.embedding import active_model
from kiromi.operations.indexing import indices_of
from kiromi.operations.jobs import Job, advance, begin, end, running
from kiromi.operations.models import add_table, models, plan_activate, plan_register, register
from kiromi.operations.reindex import build_graph
from kiromi.reports.indexing import ReembedReport
from kiromi.session.commit import refuse_within_transaction, run, transaction
from kiromi.session.operation import Operation

_KIND = "reembed"
OnProgress = Callable[[str, int, int], None]


def reembed(caller: Caller, embedder: Embedder, on_progress: OnProgress, *, abandon: bool) -> ReembedReport:
    """Change the store's model; see ``Store.reembed``."""
    caller.check_writable()
    if caller.scope.wanted:
        raise InvalidInput("reembed is about the whole tenant: ask an unscoped handle")
    refuse_within_transaction(caller.session)
    model = Model.of(embedder)
    if model.is_caller:
        raise InvalidInput(
            "reembed needs an embedder that makes vectors; give your own vectors with update(id, vector=...) instead"
        )
    started = time.monotonic()
    embed(embedder, ["Is it there?"], "document")  # before anything is begun that only it can end
    number, job = _begin(caller, model, abandon=abandon)
    with caller.session.lease:
        total = count_missing(caller, number)

    def note(operation: Operation, last: str, count: int) -> None:
        if job is not None:
            advance(operation, job.id, last, count)

    done, made = 0, BATCH
    while made >= BATCH:  # what was written meanwhile becomes less and less
        made = complete(caller, number, model, embedder, partial(_report, on_progress, done, total), note)
        done += made
    caller.session.embedders[number] = embedder  # before others write with it
    with caller.session.lease, transaction(caller.session, caller.context) as operation:
        if job is not None and not _is_running(caller, job, model):
            job = None  # another call with that embedder was quicker
        complete_within(caller, operation, number, model, embedder)
        done += len(operation.vectors)
        if operation.vectors:
            operation.record("embed", None, {"model": number, "count": len(operation.vectors)})
        if job is not None:
            end(operation, job.id, "done")
            plan_activate(operation, number, model, is_new=False)
    with caller.session.lease:
        indices_of(caller.session).rebuild_vectors(on_progress)
    build_graph(caller, on_progress)
    with caller.session.lease:
        (info,) = [info for info in models(caller) if info.number == number]
    return ReembedReport(model=info, embedded=done, seconds=time.monotonic() - started)


def _report(on_progress: OnProgress, before: int, total: int, count: int) -> None:
    on_progress("vectors", before + count, total)


def _is_running(caller: Caller, job: Job, model: Model) -> bool:
    """Tell whether a job was not ended by another call.

    Raises:
        MigrationConflict: it was abandoned.
    """
    current, active = running(caller, _KIND), active_model(caller.session)
    if current is not None and current.id == job.id:
        return True
    if active is None or active.fingerprint != model.fingerprint:
        raise MigrationConflict(f"re-embedding with {model.name!r} was abandoned by another call", name=model.name)
    return False


def _begin(caller: Caller, model: Model, *, abandon: bool) -> tuple[int, Job | None]:
    """Return the number under which the new vectors are made, and the job; none if the model is in use already."""
    session = caller.session
    with session.lease:
        job = running(caller, _KIND)
        if job is not None and job.params["fingerprint"] != model.fingerprint:
            if not abandon:
                raise MigrationConflict(
                    f"re-embedding with {job.params['name']!r} was begun and not ended: call reembed with that embedder"
                    " to go on, or with abandon=True to drop what it did",
                    name=job.params["name"],
                )
            run(session, caller.context, partial(_abandon, job=job))
            job = None
        if job is not None:
            return int(job.params["number"]), job
        active = active_model(session)
        if active is None:
            register(caller, model)
        if session.active_model is not None and session.models[session.active_model].fingerprint == model.fingerprint:
            return session.active_model, None
        with session.registering:
            number = add_table(session, model)
            params = {"fingerprint": model.fingerprint, "name": model.name, "number": number}
            plan = partial(_plan_begin, job_id=session.ids.make(), model=model, params=params, total=session.view.count)
            run(session, caller.context, plan)
        return number, running(caller, _KIND)


def _plan_begin(operation: Operation, job_id: str, model: Model, params: dict[str, object], total: int) -> None:
    plan_register(operation, int(str(params["number"])), model)
    begin(operation, job_id, _KIND, params, total)
    operation.record(_KIND, None, params)


def _abandon(operation: Operation, job: Job) -> None:
    end(operation, job.id, "abandoned")
    operation.execute(f"DELETE FROM vectors_{int(job.params['number'])}")
    operation.execute("DELETE FROM passages WHERE model = ?", job.params["number"])
    operation.record(_KIND, None, {"abandoned": job.params["name"]})
