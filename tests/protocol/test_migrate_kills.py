"""A scheme migration killed at the steps it takes on disk resumes to the same end, or rolls back."""

from dataclasses import replace

import pytest

from tests.protocol.crashing import Outcome, run_apart
from tests.protocol.migrating import Job

JOBS = {
    "local, resumed": Job(),
    "local, rolled back": Job(then="rollback"),
    "local, power, resumed": Job(loses_power=True),
    "no syncfs, power, rolled back": Job(kind="fsync", loses_power=True, then="rollback"),
    "objects, resumed": Job(kind="memory"),
    "objects, rolled back": Job(kind="memory", then="rollback"),
    "S3 with faults, resumed": Job(kind="s3", has_faults=True),
    "S3 with faults, rolled back": Job(kind="s3", has_faults=True, then="rollback"),
    "rollback, resumed": Job(is_rollback=True),
    "rollback of a part, resumed": Job(is_rollback=True, was_paused=True),
    "rollback, objects, resumed": Job(kind="memory", is_rollback=True),
}


def run(job: Job) -> Outcome:
    return run_apart("tests.protocol.migrating", job)


@pytest.mark.parametrize("name", JOBS)
def test_a_killed_migration_comes_to_its_end(name: str) -> None:
    points = 3 if JOBS[name].kind == "s3" else 5
    assert run(replace(JOBS[name], points=points, seed=20261128)).failures == []


@pytest.mark.torture
@pytest.mark.parametrize("name", JOBS)
def test_a_migration_comes_to_its_end_after_every_kill_point(name: str) -> None:
    assert run(JOBS[name]).failures == []
