"""Kills a store at every step it takes on disk, and looks what the next opening makes of it.

Run as a program (``python -m tests.protocol.crashing JOB``, JOB as JSON on the command line): a fresh process without
threads, which forks one child per kill point. The child runs a script of operations and ends by ``os._exit`` before
its k-th step; another opens what is left, perhaps to be killed as well while it recovers; a last one opens, checks and
tells. Objects of ``memory://`` outlive the child in a file that it writes as it dies, those of S3 on their server.
"""

import contextlib
import importlib
import json
import os
import pickle
import random
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

from kiromi.catalog import database
from tests.protocol import remote
from tests.protocol.expected import (
    Expected,
    check_closed,
    check_store,
    check_tree,
    local_tree,
    open_store,
    play,
    states_of,
)
from tests.protocol.power import Disk
from tests.protocol.taps import Step, install

J = TypeVar("J")

_KILLED = 9
_REMOTE = {"memory": "memory://store", "s3": f"s3://{remote.BUCKET}/store"}
"""Roots by kind, where that is no folder."""


@dataclass(frozen=True)
class Job:
    """What to run; the seed decides which points are taken where not all are."""

    script: tuple[str, ...]
    kind: str = "local"
    """``local``, ``fsync`` (local without syncfs), ``memory`` or ``s3``, for which a server has to run."""
    loses_power: bool = False
    """Whether unsynced changes go with the process."""
    kills_recovery: bool = False
    points: int | None = None
    """At most so many kill points, evenly spread; None: all."""
    journal_rows: int | None = None
    fold_entries: int | None = None
    creates: bool = False
    """Whether the creation of the store is part of the run."""
    seed: int = 0


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    points: int
    recovery_points: int
    failures: list[str]


class _World:
    """The folders of one run."""

    def __init__(self, job: Job, folder: Path) -> None:
        self.job = job
        self.folder = folder
        self.acknowledged = folder / "acknowledged"
        self.objects = folder / "objects"
        is_local = job.kind not in _REMOTE
        self.root = str(folder / "store") if is_local else _REMOTE[job.kind]
        self.catalog = None if is_local else str(folder / "catalog")
        self.tenant = folder / "store" / "default"
        self.file = str((self.tenant if is_local else folder / "catalog" / "default") / "catalog.duckdb")

    def copy_of(self, other: "_World") -> "_World":
        shutil.copytree(other.folder, self.folder)
        return self

    def begin(self) -> None:
        """Bring the objects to where a run begins."""
        if self.job.kind == "s3":
            remote.load(pickle.loads(self.objects.read_bytes()) if self.objects.exists() else {})
        self.load_objects()

    def load_objects(self) -> None:
        """Bring the objects to where the last process left them."""
        if self.job.kind == "memory" and self.objects.exists():
            memory = MemoryFileSystem()
            for path, data in pickle.loads(self.objects.read_bytes()).items():
                memory.store[f"/{path}"] = MemoryFile(memory, f"/{path}", data)

    def keep_objects(self) -> None:
        """Keep the objects as a run begins with them; in memory, for the next process as well."""
        if self.job.kind in _REMOTE:
            self.objects.write_bytes(pickle.dumps(self._found()))

    def leave_objects(self) -> None:
        """Leave the objects to the next process."""
        if self.job.kind == "memory":
            self.keep_objects()

    def tree(self) -> dict[str, bytes]:
        if self.job.kind not in _REMOTE:
            return local_tree(str(self.tenant))
        return {path.removeprefix("store/default/"): data for path, data in self._found().items()}

    def _found(self) -> dict[str, bytes]:
        if self.job.kind == "s3":
            return remote.objects()
        return {path.removeprefix("/"): file.getvalue() for path, file in MemoryFileSystem.store.items()}

    def acknowledge(self) -> None:
        with self.acknowledged.open("ab") as file:
            file.write(b".")

    @property
    def count(self) -> int:
        return self.acknowledged.stat().st_size if self.acknowledged.exists() else 0


def _fork(work: Callable[[], None]) -> tuple[int, str]:
    """Run ``work`` in a child; return its exit status and what went wrong."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:  # noqa: BLE001 - it must not get out of the child
            os.write(write, traceback.format_exc()[-3000:].encode())
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        message = pipe.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), message


def _with_kill(
    world: _World, kill_at: int, work: Callable[[], None], rng: random.Random | None = None
) -> Callable[[], None]:
    """Return work that dies before its ``kill_at``-th step; without one (0) it writes down how many there were."""

    def run() -> None:
        world.begin()
        disk = Disk(world.folder, world.folder / "graveyard") if world.job.loses_power else None
        steps: list[Step] = []

        def on_step(step: Step) -> None:
            steps.append(step)
            if len(steps) == kill_at:
                world.leave_objects()
                if disk is not None:
                    assert rng is not None
                    # All of it, or what came last: a journal keeps the order.
                    disk.lose_power(rng.choice((0, 0, rng.randint(0, disk.unsynced))))
                os._exit(_KILLED)
            if disk is not None:
                disk(step)

        patch = pytest.MonkeyPatch()
        install(patch, on_step, syncfs=world.job.kind != "fsync", s3=world.job.kind == "s3")
        if world.job.journal_rows is not None:
            patch.setattr(database, "JOURNAL_ROWS", world.job.journal_rows)
        if world.job.fold_entries is not None:
            patch.setattr(database, "FOLD_ENTRIES", world.job.fold_entries)
        work()
        world.leave_objects()
        (world.folder / "steps").write_text(str(len(steps)))

    return run


def _check(world: _World) -> None:
    world.load_objects()
    states = [state for _, state in states_of(world.job.script)]
    allowed = [Expected(), *states][world.count : world.count + 2]
    with open_store(world.root, world.catalog) as store:
        now = check_store(store, allowed)
    check_tree(world.tree(), now)
    check_closed(world.file)


def _spread(count: int, wanted: int | None, rng: random.Random) -> Sequence[int]:
    points = range(1, count + 1)
    return points if wanted is None or wanted >= count else sorted(rng.sample(points, wanted))


def run_job(job: Job, folder: Path) -> Outcome:
    """Kill at each point of a job; stop at the first few failures."""
    rng = random.Random(job.seed)
    base = _World(job, folder / "base")
    base.folder.mkdir()

    def create() -> None:
        open_store(base.root, base.catalog).close()
        base.keep_objects()

    def whole(world: _World) -> Callable[[], None]:
        def work() -> None:
            with open_store(world.root, world.catalog) as store:
                play(store, job.script, world.acknowledge)

        return work

    if not job.creates:
        assert _fork(create) == (0, "")
    full = _World(job, folder / "full").copy_of(base)
    status, message = _fork(_with_kill(full, 0, whole(full)))
    assert status == 0, message
    status, message = _fork(lambda: _check(full))
    assert status == 0, message
    points = _spread(int((full.folder / "steps").read_text()), job.points, rng)
    recovered, failures = 0, []
    for point in points:
        world = _World(job, folder / "run").copy_of(base)
        status, message = _fork(_with_kill(world, point, whole(world), rng))
        assert status == _KILLED, f"point {point} was not reached: {message}"
        shutil.rmtree(world.folder / "graveyard", ignore_errors=True)
        if job.kills_recovery:
            recovered += _kill_recovery(world, rng)
        status, message = _fork(partial(_check, world))
        if status != 0:
            failures.append(f"point {point} of {job}: {message}")
        shutil.rmtree(world.folder)
        if len(failures) == 3:
            break
    return Outcome(len(points), recovered, failures)


def _kill_recovery(world: _World, rng: random.Random) -> int:
    """Kill the opening after a kill once or twice, each time at some step."""

    def recover() -> None:
        open_store(world.root, world.catalog).close()

    killed = 0
    for _ in range(rng.randint(1, 2)):
        status, message = _fork(_with_kill(world, rng.randint(1, 12), recover, rng))
        assert status in (0, _KILLED), message
        shutil.rmtree(world.folder / "graveyard", ignore_errors=True)
        killed += status == _KILLED
    return killed


def run_apart(module: str, job: Any) -> Outcome:
    """Run a job in a process of its own, by a module that ends with :func:`run_as_program`."""
    print(job)
    done = subprocess.run(
        [sys.executable, "-m", module, json.dumps(asdict(job))],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcome = Outcome(**json.loads(done.stdout))
    print(outcome.points, "kill points,", outcome.recovery_points, "kills of a recovery")
    return outcome


def import_ahead(*names: str) -> None:
    """Import what is there of these: DuckDB, or a call, would import it in every child anew."""
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def run_as_program(kind: type[J], run: Callable[[J, Path], Outcome], operation: str) -> None:
    """Run the job of the command line and print what came of it; ``operation`` is the module of what is killed."""
    import_ahead("pandas", "pyarrow.pandas_compat", "zoneinfo", "_strptime", operation)
    job = kind(**json.loads(sys.argv[1]))
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(asdict(run(job, Path(folder)))))


if __name__ == "__main__":
    run_as_program(Job, run_job, "kiromi.operations.append")
