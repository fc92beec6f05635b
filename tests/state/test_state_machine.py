"""Random histories of a store, compared after every step with a model in plain Python: catalog, disk and all the past.

The model is in ``model.py``, what users do in ``writing.py``, ``relating.py``, ``moments.py`` and ``keeping.py``, and
what has to hold in ``comparing.py``.
"""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.state.keeping import Keeping
from tests.state.moments import Moments
from tests.state.relating import Relating
from tests.state.writing import Writing


class StoreMachine(Writing, Relating, Moments, Keeping):
    """All that users do."""


_BASE = settings(deadline=None, suppress_health_check=list(HealthCheck))


def test_any_history() -> None:
    """Some hundred steps, or with ``HYPOTHESIS_PROFILE=ci`` some thousand."""
    examples, steps = (25, 80) if settings.get_current_profile_name() == "ci" else (10, 40)
    run_state_machine_as_test(StoreMachine, settings=settings(_BASE, max_examples=examples, stateful_step_count=steps))


@pytest.mark.torture
def test_many_long_histories() -> None:
    run_state_machine_as_test(StoreMachine, settings=settings(_BASE, max_examples=300, stateful_step_count=100))
