"""Starting the command line: ``kiromi --help`` in a fresh process beside an empty Python."""

import time
from pathlib import Path

from tools.bench.figures import Bound, Check, Result, Series, milliseconds
from tools.bench.process import run_python
from tools.bench.sizes import Sizes

HELP_MS = 400.0

# What the console script `kiromi` does.
_HELP = "import sys; from kiromi.cli import main; sys.exit(main())"


def measure_help(folder: Path, sizes: Sizes) -> Result:
    """Measure from the start of the process to its end; ``folder`` is not used."""
    empty, ours = [], []
    run_python(_HELP, "--help")  # compiles what was never imported before
    for _ in range(2 * sizes.rounds):
        empty.append(_seconds("pass"))
        ours.append(_seconds(_HELP, "--help"))
    helping = Series("kiromi --help", "ms", milliseconds(ours))
    return Result((Series("python -c pass", "ms", milliseconds(empty)),), (Check(helping, Bound.AT_MOST, HELP_MS),))


def _seconds(code: str, *arguments: str) -> float:
    started = time.perf_counter()
    run_python(code, *arguments)
    return time.perf_counter() - started
