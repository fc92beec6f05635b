"""Hypothesis profiles; ``HYPOTHESIS_PROFILE`` chooses one, ``dev`` unless it is set."""

import os

from hypothesis import HealthCheck, settings

# Hypothesis derandomizes by itself when CI is set. Here the seed decides, which `make test` prints and takes as SEED.
# Neither a deadline nor `too_slow`: a busy machine is no failure.
_BASE = settings(
    parent=settings.get_profile("default"),
    derandomize=False,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("dev", _BASE, max_examples=50)
settings.register_profile("ci", _BASE, max_examples=60, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))
