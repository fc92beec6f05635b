"""Kills a scheme migration, or its rollback, at every step that it takes on disk, and looks what is left.

Run as a program (``python -m tests.protocol.migrating JOB``), like :mod:`tests.protocol.crashing`, whose worlds it
uses. A migration of at least three batches runs with an update, a delete and an append under way. The child dies before
its k-th step; another process opens what is left, finds every memory whole, and resumes or rolls back. In the end
the store is what it is without a kill.
"""

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import kiromi
from kiromi import Store
from kiromi.testing import Fault, FaultyFileSystem
from tests.protocol import crashing, remote
from tests.protocol.crashing import Outcome, _fork, _spread, _with_kill, _World, import_ahead, run_as_program
from tests.protocol.expected import IDS, check_closed

FIRST = "user={user}/topic={topic}"
SECOND = "area={area}/topic={topic}"
SETS = {"area": "{user:lower}"}
BATCH = 3
COUNT = 8
MINE = IDS[:COUNT]
UPDATED, DELETED, NEW = IDS[6], IDS[7], IDS[50]


@dataclass(frozen=True)
class Job:
    """What to run."""

    kind: str = "local"
    then: str = "resume"
    """``resume`` or ``rollback``: what comes after the kill."""
    is_rollback: bool = False
    """Whether the rollback is what is killed."""
    was_paused: bool = False
    """Whether the migration that is rolled back had moved only some."""
    loses_power: bool = False
    has_faults: bool = False
    """Whether the object store loses answers and refuses calls besides."""
    points: int | None = None
    seed: int = 0

    @property
    def world(self) -> crashing.Job:
        """As the worlds of :mod:`tests.protocol.crashing` take it."""
        return crashing.Job((), kind=self.kind, loses_power=self.loses_power)


def _open(world: _World) -> Store:
    return kiromi.open(world.root, catalog=world.catalog, wait=30)


def _create(world: _World, job: Job) -> None:
    world.begin()
    with kiromi.open(world.root, scheme=FIRST, catalog=world.catalog) as store:
        store.append_many(
            {"id": each, "content": f"content of {each}", "attributes": {"user": f"U{n % 2}", "topic": f"t{n % 3}"}}
            for n, each in enumerate(MINE)
        )
        if job.is_rollback:

            def pause(what: str, done: int, total: int) -> None:
                if job.was_paused and what == "move":
                    store.pause_migration()

            report = store.migrate_scheme(SECOND, set=SETS, batch_size=BATCH, reindex=False, on_progress=pause)
            assert report.moved == (BATCH if job.was_paused else COUNT)
    world.keep_objects()


def _meanwhile(store: Store) -> Callable[[str, int, int], None]:
    """Return a progress callback that updates, deletes and appends after the first batch."""
    steps: Iterator[Callable[[], object]] = iter(
        [
            lambda: (
                store.update(UPDATED, content="changed", attributes={"topic": "late"}),
                store.delete(DELETED),
                store.append("new", {"topic": "fresh"}, attributes={"user": "U9"}, id=NEW),
            )
        ]
    )

    def on_progress(what: str, done: int, total: int) -> None:
        if what == "move":
            next(steps, lambda: None)()

    return on_progress


def _run(world: _World, job: Job) -> None:
    with _open(world) as store:
        if job.has_faults:
            FaultyFileSystem.below(store).faults = _faults()
        if job.is_rollback:
            store.rollback_migration(batch_size=BATCH, reindex=False, on_progress=_meanwhile(store))
        else:
            store.migrate_scheme(SECOND, set=SETS, batch_size=BATCH, reindex=False, on_progress=_meanwhile(store))


def _faults() -> list[Fault]:
    """Return what goes wrong under way: refused and slow calls, and answers that are lost."""
    error = TimeoutError("no answer")
    return [
        Fault("cp_file", error, after=True, skip=1, times=2),
        Fault("cp_file", error, skip=1, times=2),
        Fault("cp_file", delay_s=0.01, times=2),
        Fault("rm_file", error, skip=2),
        Fault("rm_file", error, after=True, skip=1, times=2),
        Fault("info", error, skip=9, times=2),
    ]


def _state(store: Store) -> dict[str, Any]:
    """Return what tells one end from another: where everything lies, what it has and says."""
    return {
        memory.id: (memory.path, memory.scheme, memory.version, memory.text, dict(memory.attributes))
        for memory in store.get_many(store.list_ids())
    }


def _check_left(world: _World, store: Store) -> None:
    """Check what a kill left: P3 and P5, and that nothing was lost that nobody deleted."""
    state = _state(store)
    assert set(MINE) - {DELETED} <= set(state) <= {*MINE, NEW}
    for memory_id, (_, _, _, text, _) in state.items():
        assert text in (f"content of {memory_id}", "changed", "new")
    assert store.verify(read_data=True).problems == ()
    assert store.audit_verify().problems == ()
    assert store.stats().pending == 0
    found = {path for path in world.tree() if path.startswith("data/")}
    assert found == {path for path, *_ in state.values()}
    assert not [path for path in world.tree() if path.startswith("staging/")]


def _finish(world: _World, job: Job) -> None:
    """Open what is left, check it, bring it to its end and compare that with what it has to be."""
    world.load_objects()
    with _open(world) as store:
        _check_left(world, store)
        events = {memory_id for memory_id in (NEW,) if store.exists(memory_id)}
        status = store.migration_status()
        is_begun = status is not None and status.is_rollback == job.is_rollback
        is_unfinished = status is not None and status.status in ("running", "paused")
        is_back = job.is_rollback
        if job.then == "resume":
            if is_unfinished:
                store.resume_migration(batch_size=BATCH, reindex=False)
        elif is_begun and not job.is_rollback:
            store.rollback_migration(batch_size=BATCH, reindex=False)
            is_back = True
        _check_left(world, store)
        is_migrated = (not is_back and is_begun) or (is_back and job.is_rollback and not is_begun)
        _check_end(store, is_migrated=is_migrated, was_written=bool(events))
    check_closed(world.file)


def _check_end(store: Store, *, is_migrated: bool, was_written: bool) -> None:
    """Compare the state with what it has to be; what was written under way is there as a whole or not at all."""
    status = store.migration_status()
    assert status is None or status.status == "done"
    state = _state(store)
    assert store.scheme == (SECOND if is_migrated else FIRST)
    for n, memory_id in enumerate(MINE):
        user, topic = f"U{n % 2}", f"t{n % 3}"
        if memory_id in (UPDATED, DELETED) and memory_id not in state:
            continue
        path, scheme, version, text, attributes = state[memory_id]
        number = 1
        if memory_id == UPDATED and text == "changed":
            topic, number = "late", 2
        place = f"area={user.lower()}/topic={topic}" if is_migrated else f"user={user}/topic={topic}"
        assert path == f"data/{place}/{memory_id}.{number}.md"
        assert (scheme, version) == (2 if is_migrated else 1, number)
        assert attributes == {"user": user, "topic": topic} | ({"area": user.lower()} if is_migrated else {})
    if was_written:
        assert DELETED not in state
        assert state[UPDATED][3] == "changed"


def run_job(job: Job, folder: Path) -> Outcome:
    """Kill at each point of a job; stop at the first few failures."""
    rng = random.Random(job.seed)
    base = _World(job.world, folder / "base")
    base.folder.mkdir()
    assert _fork(lambda: _create(base, job)) == (0, "")
    full = _World(job.world, folder / "full").copy_of(base)
    assert _fork(_with_kill(full, 0, lambda: _run(full, job))) == (0, "")
    assert _fork(lambda: _finish(full, job)) == (0, "")
    points = _spread(int((full.folder / "steps").read_text()), job.points, rng)
    failures = []
    for point in points:
        world = _World(job.world, folder / "run").copy_of(base)
        status, message = _fork(_with_kill(world, point, partial(_run, world, job), rng))
        # Calls that fail side by side may be tried again once more or less.
        is_over = job.has_faults and status == 0
        assert status == crashing._KILLED or is_over, f"point {point} was not reached: {message}"
        shutil.rmtree(world.folder / "graveyard", ignore_errors=True)
        status, message = _fork(partial(_finish, world, job))
        if status != 0:
            failures.append(f"point {point} of {job}: {message}")
        shutil.rmtree(world.folder)
        if len(failures) == 3:
            break
    return Outcome(len(points), 0, failures)


def _run_with_server(job: Job, folder: Path) -> Outcome:
    if job.kind != "s3":
        return run_job(job, folder)
    import_ahead("boto3", "s3fs")
    with remote.server():
        return run_job(job, folder)


if __name__ == "__main__":
    run_as_program(Job, _run_with_server, "kiromi.operations.migrate.rollback")
