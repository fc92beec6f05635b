"""Erase: remove memories so that nothing of them is left: no blob, row, vector, index term, note, nor free page.

An erasure is a job. Batch by batch, rows, history and everything that names the memories go in one operation each, and
their blobs with it; the first one stores the ids of the others. Archives that are named, and one that is kept beside
the store, are rewritten before all that, while the ids are known. At last the indices go, and the catalog is written
anew, which ends the job. Every step in the store is done while no other call is in progress, so no reader meets a
half-erased memory. A job that a killed process left is finished by the next opening.
"""

import json
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from kiromi.catalog.changes import BlobKey
from kiromi.catalog.rewriting import former_copies
from kiromi.errors import IntegrityError, InvalidInput, KiromiWarning, MigrationConflict, NotFound, StorageError
from kiromi.operations.caller import Caller
from kiromi.operations.erase_archives import archives_to_rewrite, keeping_still, rewrite_archives
from kiromi.operations.erase_choice import Chosen, choose
from kiromi.operations.erase_files import finish, has_index, places_of, strays
from kiromi.operations.erase_rows import Counts, jobs_in_need, names, plan_forget, plan_forget_reasons, traces_of
from kiromi.operations.jobs import Job, advance, begin, running
from kiromi.reports.erasing import EraseReport
from kiromi.session.commit import refuse_within_transaction, transaction
from kiromi.session.operation import Context, Operation
from kiromi.session.session import Session

KIND = "erase"
"""Of the job, and in the audit log."""
BATCH = 10_000
"""Memories per operation."""
_SAMPLE = 1_000
_ARCHIVES, _FILES = "archives", "files"
"""The cursors of a job: archives are to be rewritten before anything else; what is left after the batches is files."""


def erase(
    caller: Caller,
    ids: Iterable[str] | None,
    within: Mapping[str, Any] | None,
    where: Any,
    archives: Iterable[str | os.PathLike[str]] = (),
    *,
    dry_run: bool,
) -> EraseReport:
    """Erase memories, or show what that would remove; see ``Store.erase``."""
    session = caller.session
    urls = archives_to_rewrite(caller, archives)
    if dry_run:
        with session.lease:
            chosen = choose(caller, ids, within, where)
            with session.snapshot() as (_, cursor):
                counts = traces_of(session, cursor, chosen.ids).counts
            return _plan(session, chosen, counts, urls)
    caller.check_writable()
    refuse_within_transaction(session)
    session.lease.check_outside("erase cannot be called")
    wanted = None if ids is None or isinstance(ids, (str, bytes)) else list(ids)
    with session.erasing, keeping_still(caller):
        plan, job_id, is_done = _start(caller, ids if wanted is None else wanted, within, where, urls)
        if job_id is not None and not is_done:
            _go_on(caller, job_id)
        with session.lease:
            return _receipt(caller, plan, job_id)


def resume_erasure(caller: Caller) -> None:
    """Finish what a killed process left of an erasure; a handle that only reads warns that there is something left."""
    session = caller.session
    if session.lease.is_nested:
        return
    with session.lease:
        job = running(caller, KIND)
    if job is None:
        return
    if caller.is_read_only:
        warnings.warn(
            "an erasure was begun and not ended: open the store for writing to finish it", KiromiWarning, stacklevel=4
        )
        return
    if not session.erasing.acquire(blocking=False):  # another thread is about it
        return
    try:
        with keeping_still(caller):
            _go_on(caller, job.id)
    except (StorageError, IntegrityError, NotFound) as error:
        session.lease.check()
        warnings.warn(f"an erasure is not finished yet: {error}", KiromiWarning, stacklevel=4)
    finally:
        session.erasing.release()


def _start(
    caller: Caller, ids: Iterable[str] | None, within: Mapping[str, Any] | None, where: Any, urls: Sequence[str]
) -> tuple[EraseReport, str | None, bool]:
    """Begin an erasure, after one that is unfinished; return its plan, its job if any, and whether it is done."""
    while True:
        with caller.session.lease.alone():
            former = running(caller, KIND)
            if former is None:
                chosen = choose(caller, ids, within, where)
                plan = _plan(caller.session, chosen, Counts(), urls)
                return (plan, *_begin(caller, chosen, urls)) if chosen.ids else (plan, None, True)
        _go_on(caller, former.id)


def _begin(caller: Caller, chosen: Chosen, urls: Sequence[str]) -> tuple[str, bool]:
    """Begin a job, with its first batch unless archives come first; return its id, and whether that was all."""
    session, context = caller.session, caller.context
    _check_context(context, chosen.ids)
    with session.catalog.snapshot() as cursor:
        hindered = jobs_in_need(cursor, chosen.ids)
    if hindered:
        raise MigrationConflict(
            f"job {hindered[0]} was told to do something with a memory that is to be erased: finish it first",
            job=hindered[0],
        )
    job_id = session.ids.make()
    astray = strays(session, chosen.ids)
    with transaction(session, context) as operation:
        begin(operation, job_id, KIND, {**asdict(context), _ARCHIVES: list(urls)}, len(chosen.ids))
        operation.execute(
            "INSERT INTO migration_targets (job, position, id) SELECT ?, unnest(range(?)), unnest(?::VARCHAR[])",
            job_id,
            len(chosen.ids),
            list(chosen.ids),
        )
        if urls:
            advance(operation, job_id, _ARCHIVES, 0)
            operation.record(KIND, None, {"job": job_id, **Counts()._asdict()})
            return job_id, False
        _plan_batch(session, operation, job_id, chosen.ids[:BATCH], 0, astray)
    is_done = len(chosen.ids) <= BATCH
    if is_done:
        _finish(caller, job_id)
    return job_id, is_done


def _go_on(caller: Caller, job_id: str) -> None:
    """Erase the batches that are left of a job, and finish it; between them others have their turn."""
    session = caller.session
    astray: Mapping[BlobKey, Sequence[str]] | None = None
    with session.lease:
        begun = running(caller, KIND)
        left = _left_of(session, job_id)
    if begun is not None and begun.id == job_id and begun.cursor == _ARCHIVES:
        rewrite_archives(caller, begun.params[_ARCHIVES], left)
    while True:
        with session.lease.alone():
            job = running(caller, KIND)
            if job is None or job.id != job_id:  # another process has finished it
                return
            left = _left_of(session, job_id)
            if not left:
                _finish(caller, job_id)
                return
            astray = strays(session, left) if astray is None else astray
            with transaction(session, _context_of(job)) as operation:
                _plan_batch(session, operation, job_id, left[:BATCH], job.done, astray)


def _left_of(session: Session, job_id: str) -> list[str]:
    """Return the memories that a job has not erased yet, in its order."""
    with session.catalog.snapshot() as cursor:
        left = cursor.execute("SELECT id FROM migration_targets WHERE job = ? ORDER BY position", [job_id]).fetchall()
    return [memory_id for (memory_id,) in left]


def _plan_batch(
    session: Session,
    operation: Operation,
    job_id: str,
    ids: Sequence[str],
    start: int,
    astray: Mapping[BlobKey, Sequence[str]],
) -> None:
    """Plan to erase the job's targets from position ``start`` on: rows, what names them, and blobs."""
    with session.snapshot() as (_, cursor):
        traces = traces_of(session, cursor, ids)
        plan_forget_reasons(cursor, operation, ids)
    wanted = set(ids)
    found = {key: list(places) for key, places in astray.items() if key[0] in wanted}
    found.update({key: [] for key in session.pending.places if key[0] in wanted and key not in found})
    for memory_id, n, ext in traces.contents:
        found.setdefault((memory_id, n), []).extend(places_of(memory_id, n, ext))
    for memory_id in ids:
        if operation.live(memory_id) is not None:
            operation.remove(memory_id)
    for key, places in found.items():
        operation.drop(key, *places)
    plan_forget(session, operation, job_id, start + len(ids), traces)
    operation.execute("DELETE FROM migration_targets WHERE id IN (SELECT unnest(?::VARCHAR[]))", list(ids))
    advance(operation, job_id, _FILES, len(ids))
    operation.record(KIND, None, {"job": job_id, **traces.counts._asdict()})


def _finish(caller: Caller, job_id: str) -> None:
    finish(caller.session, job_id)
    job = running(caller, KIND)
    if job is not None and job.id == job_id:
        raise StorageError("the catalog was rewritten, but the former file is still in use: close the store")


def _context_of(job: Job) -> Context:
    """Return who began a job: what is left of it is done in that name."""
    return Context(**{name: value for name, value in job.params.items() if name != _ARCHIVES})


def _check_context(context: Context, ids: Sequence[str]) -> None:
    for what in ("actor", "run_id", "reason"):
        if names(getattr(context, what), ids):
            raise InvalidInput(
                f"the {what} of this erasure names a memory that is to be erased, and would stay: change it"
            )


# -- reports -----------------------------------------------------------------------------------------------------------


def _plan(session: Session, chosen: Chosen, counts: Counts, urls: Sequence[str]) -> EraseReport:
    return EraseReport(
        applied=False,
        ids=chosen.ids[:_SAMPLE],
        former=chosen.former,
        archives=tuple(urls),
        copies=len(former_copies(session.catalog_path)),
        index=has_index(session),
        seq=None,
        head=session.head.hash.hex(),
        **counts._asdict(),
    )


def _receipt(caller: Caller, plan: EraseReport, job_id: str | None) -> EraseReport:
    """Return the plan as carried out, with the counts that the job's audit entries have."""
    session = caller.session
    with session.snapshot() as (_, cursor):
        found = cursor.execute(
            "SELECT seq, detail FROM audit_log WHERE op = ? AND detail IS NOT NULL ORDER BY seq", [KIND]
        ).fetchall()
        head = session.head.hash.hex()
    parts = [(seq, json.loads(detail)) for seq, detail in found]
    own = [(seq, facts) for seq, facts in parts if facts.pop("job") == job_id]
    totals = Counts(*map(sum, zip(*[Counts(**facts) for _, facts in own], strict=True))) if own else Counts()
    facts = {**asdict(plan), **totals._asdict()}
    return EraseReport(**{**facts, "applied": True, "seq": own[-1][0] if own else None, "head": head})
