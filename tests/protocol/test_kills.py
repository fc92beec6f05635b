"""The real store, killed at the steps it takes on disk, holds all that was acknowledged and nothing by halves."""

import itertools
import random
from dataclasses import asdict

import pytest

from tests.protocol.crashing import Job, Outcome, run_apart
from tests.protocol.expected import STEPS, states_of

ALL_STEPS = (
    "create", "create-empty", "move", "update", "few", "delete", "undelete", "transaction", "many", "delete"
)  # fmt: skip
BACK_AND_FORTH = ("create", "move", "move", "read", "update", "move", "delete", "undelete", "move", "read", "delete")

JOBS = {
    "local": Job(ALL_STEPS, kills_recovery=True),
    "local, tables only": Job(BACK_AND_FORTH, journal_rows=0),
    "local, power": Job(ALL_STEPS, loses_power=True, kills_recovery=True),
    "no syncfs, power": Job(BACK_AND_FORTH, kind="fsync", loses_power=True, fold_entries=2),
    "creation, power": Job(("create",), kind="fsync", loses_power=True, creates=True),
    "objects": Job(ALL_STEPS, kind="memory", kills_recovery=True),
    "objects, tables only": Job(BACK_AND_FORTH, kind="memory", journal_rows=0, creates=True),
}


def run(job: Job) -> Outcome:
    return run_apart("tests.protocol.crashing", job)


@pytest.mark.parametrize("name", JOBS)
def test_a_killed_store_is_whole_again(name: str) -> None:
    job = Job(**{**asdict(JOBS[name]), "points": 8, "seed": 20261121})
    assert run(job).failures == []


@pytest.mark.torture
@pytest.mark.parametrize("name", JOBS)
def test_a_store_is_whole_again_after_every_kill_point(name: str) -> None:
    assert run(JOBS[name]).failures == []


@pytest.mark.torture
@pytest.mark.parametrize("kind", ["local", "fsync", "memory"])
@pytest.mark.parametrize("seed", range(10))
def test_random_scripts_survive_every_kill_point(kind: str, seed: int) -> None:
    rng = random.Random(seed)
    names = [name for name in STEPS if name != "many"]
    script = tuple(itertools.chain(["create", "create-empty"], rng.choices(names, k=8)))
    print([name for name, _ in states_of(script)])
    outcome = run(
        Job(
            script,
            kind=kind,
            loses_power=kind != "memory" and rng.random() < 0.7,
            kills_recovery=True,
            journal_rows=rng.choice((0, 2, 64)),
            fold_entries=rng.choice((1, 3, 1024)),
            seed=seed,
        )
    )
    assert outcome.failures == []
