"""Random histories of a store, compared after every step with a model in plain Python: catalog, disk and all the past.

The model is in ``model.py``, what users do in ``writing.py``, ``relating.py``, ``moments.py`` and ``keeping.py``, and
what has to hold in ``comparing.py``.
"""

import random

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.state.keeping import Keeping
from tests.state.moments import Moments
from tests.state.relating import Relating
from tests.state.writing import Writing


class StoreMachine(Writing, Relating, Moments, Keeping):
    """All that users do."""


_BASE = settings(deadline=None, suppress_health_check=list(HealthCheck))


_PARTS = 4
"""The machine is run in so many tests, which are run beside each other."""


@pytest.mark.no_cover  # measuring coverage doubles the time; other tests reach the same lines
@pytest.mark.parametrize("part", range(_PARTS))
def test_any_history(part: int, request: pytest.FixtureRequest) -> None:
    """Some hundred steps in all, or with ``HYPOTHESIS_PROFILE=ci`` some thousand; the seed of the run decides."""
    base = request.config.getoption("--hypothesis-seed") or random.randrange(2**32)
    machine: type[StoreMachine] = seed(f"{base}.{part}")(type(f"StoreMachine{part}", (StoreMachine,), {}))
    examples, steps = (11, 50) if settings.get_current_profile_name() == "ci" else (3, 40)
    run_state_machine_as_test(machine, settings=settings(_BASE, max_examples=examples, stateful_step_count=steps))


@pytest.mark.torture
def test_many_long_histories() -> None:
    run_state_machine_as_test(StoreMachine, settings=settings(_BASE, max_examples=300, stateful_step_count=100))
