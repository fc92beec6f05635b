"""Reindex: make the vectors that are pending, build both indices anew from the truth, and swap them in.

Reads and writes go on meanwhile: the new index is built beside the one in use and catches up before it takes its place.
"""

import json
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from kiromi.errors import EmbedderError, EmbedderWarning, InvalidInput
from kiromi.operations.caller import Caller, check_text
from kiromi.operations.completing import complete, count_missing
from kiromi.operations.embedding import active_model, embedder_of, no_embedder
from kiromi.operations.indexing import GRAPH_NAMES, graph_settings, indices_of, text_settings
from kiromi.operations.jobs import advance, begin, digest_of, end, resume, running
from kiromi.operations.listing import list_ids
from kiromi.reports.indexing import ReindexReport
from kiromi.session.commit import refuse_within_transaction, run
from kiromi.session.operation import Operation

OnProgress = Callable[[str, int, int], None]
SETTINGS = (*(f"hnsw_{name}" for name in GRAPH_NAMES), "language")
"""What ``reindex`` can be told; it stays a setting of the store."""
_KIND = "reindex"
_STEPS = ("vectors", "text", "graph")
"""The last takes longest."""
_RESUMED_US = 24 * 3_600 * 1_000_000
"""Older work is not gone on with: who asks for a rebuild then wants all of it."""


def reindex(
    caller: Caller, within: Mapping[str, Any] | None, settings: Mapping[str, Any], on_progress: OnProgress
) -> ReindexReport:
    """Rebuild the indices; see ``Store.reindex``."""
    caller.check_writable()
    if caller.scope.wanted:
        raise InvalidInput("reindex is about the whole tenant: ask an unscoped handle, with within= for a part")
    refuse_within_transaction(caller.session)
    started = time.monotonic()
    given = {name: value for name, value in settings.items() if value is not None}
    if given and within:
        raise InvalidInput(f"{', '.join(given)} is about the whole index: leave within= out")
    with caller.session.lease:
        if given:
            _change_settings(caller, given)
    embedded, pending = _complete(caller, on_progress)
    if within:
        with caller.session.lease:
            indices_of(caller.session).refresh(list_ids(caller, within, None), on_progress)
    else:
        _rebuild(caller, on_progress)
    with caller.session.lease:
        indices = indices_of(caller.session)
        model = caller.session.active_model
        view = None if model is None else indices.vector_view(model)
        return ReindexReport(
            embedded=embedded,
            pending=pending,
            passages=0 if view is None else len(view),
            documents=indices.text().count,
            has_graph=view is not None and view.graph is not None,
            seconds=time.monotonic() - started,
        )


def _rebuild(caller: Caller, on_progress: OnProgress) -> None:
    """Build everything anew, step by step; each is saved and noted, so that a killed call goes on behind it.

    Between the steps, and while the graph is built, another process may have its turn.
    """
    session = caller.session
    with session.lease:
        job_id, done = _begin(caller)
    for step in _STEPS[done:]:
        if step == "graph":
            build_graph(caller, on_progress)
        with session.lease:
            if step == "text":
                indices_of(session).rebuild_text(on_progress)
            elif step == "vectors" and session.active_model is not None:
                indices_of(session).rebuild_vectors(on_progress)
            run(session, caller.context, partial(_note, job_id=job_id, step=step))


def build_graph(caller: Caller, on_progress: OnProgress) -> None:
    """Build the graph; if the store was handed over meanwhile, once more, and then without letting go."""
    session = caller.session
    patience: Sequence[AbstractContextManager[None]] = (nullcontext(), nullcontext(), session.lease)
    for held in patience:
        with session.lease:
            if session.active_model is None or not indices_of(session).vectors().lacks_graph:
                return
            indices = indices_of(session)
        with held:
            indices.add_graph(on_progress)


def _begin(caller: Caller) -> tuple[str, int]:
    """Return the id of the job and how many of its steps are done: one that was killed lately goes on."""
    session = caller.session
    params = {"settings": dict(session.settings), "model": session.active_model}
    job = running(caller, _KIND)
    is_late = job is None or session.head.at - job.updated_at > _RESUMED_US
    is_resumed = job is not None and not is_late and job.digest == digest_of(params)
    last = job.cursor if job is not None and is_resumed else None
    job_id = job.id if job is not None and is_resumed else session.ids.make()
    done = 0 if last is None else _STEPS.index(last) + 1

    def begun(operation: Operation) -> None:
        if is_resumed:
            resume(operation, job_id)
        else:
            if job is not None:
                end(operation, job.id, "abandoned")
            begin(operation, job_id, _KIND, params, len(_STEPS))
        operation.record(_KIND, None, {"job": job_id, "step": done})

    run(session, caller.context, begun)
    return job_id, done


def _note(operation: Operation, job_id: str, step: str) -> None:
    advance(operation, job_id, step, 1)
    if step == _STEPS[-1]:
        end(operation, job_id, "done")
    operation.record(_KIND, None, {"job": job_id, "done": step})


def _complete(caller: Caller, on_progress: OnProgress) -> tuple[int, int]:
    """Make the vectors that are pending; return for how many memories, and how many are pending still."""
    session = caller.session
    with session.lease:
        number, model = session.active_model, active_model(session)
        if number is None or model is None or model.is_caller:
            return 0, 0
        total = count_missing(caller, number)
        embedder = embedder_of(caller) if total else None
    done = 0
    if total:
        try:
            if embedder is None:
                raise no_embedder(model)
            done = complete(caller, number, model, embedder, lambda count: on_progress("vectors", count, total))
        except EmbedderError as error:
            warnings.warn(f"vectors stay pending: {error}", EmbedderWarning, stacklevel=2)
    with session.lease:
        return done, count_missing(caller, number)


def _change_settings(caller: Caller, given: Mapping[str, Any]) -> None:
    """Make these the store's settings.

    Raises:
        InvalidInput: one is refused.
    """
    if "language" in given:
        check_text(given["language"], "language")
    merged = {**caller.session.settings, **given}
    try:
        graph_settings(merged)
    except InvalidInput as error:
        raise InvalidInput(f"hnsw_{error.message}", **error.details) from error
    text_settings(merged)

    def plan(operation: Operation) -> None:
        for name, value in given.items():
            operation.execute("DELETE FROM settings WHERE name = ?", name)
            operation.execute("INSERT INTO settings VALUES (?, ?)", name, json.dumps(value))
        operation.record("settings", None, dict(given))

    if merged != caller.session.settings:
        run(caller.session, caller.context, plan)
