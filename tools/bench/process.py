"""Fresh Python processes, for what only the first call in a process costs."""

import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]


def run_python(code: str, *arguments: str) -> str:
    """Run code in a fresh interpreter that finds this tree's ``kiromi``; return what it prints.

    Raises:
        subprocess.CalledProcessError: it failed; what it said went to stderr.
    """
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
