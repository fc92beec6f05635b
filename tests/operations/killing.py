"""What tests share that kill a process before the n-th step that it takes.

A step is a call that writes to disk or runs SQL. The child counts what it is about to call, and kills itself at the
chosen one.
"""

import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import kiromi
from kiromi import MemoryNotFound

COUNTED = """
import os, signal, sys
import kiromi

last = int(sys.argv[1])
events = 0
CALLS = {"execute", "begin", "commit", "close", "unlink", "rename", "replace", "rmdir", "fsync"}

def profile(frame, event, argument):
    global events
    if event == "c_call" and argument.__name__ in CALLS:
        events += 1
        if events == last:
            os.kill(os.getpid(), signal.SIGKILL)
"""
"""How a child begins: it sets ``profile`` around its work and prints ``events`` at the end."""
_ROOT = Path(__file__).parents[2]


def run(code: str, last: int, *arguments: object) -> int | None:
    """Run a program that is killed before its ``last``-th step; return the steps if it was not."""
    child = subprocess.run(
        [sys.executable, "-c", code, str(last), *map(str, arguments)],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert child.returncode in (0, -9), child.stderr
    return int(child.stdout) if child.returncode == 0 else None


def points(steps: int, kills: int, seed: int) -> Sequence[int]:
    """Return so many steps, spread evenly."""
    randomly = random.Random(seed)
    return [1 + int(steps * (number + randomly.random()) / kills) for number in range(kills)]


def is_erased(store: kiromi.Store, ids: Sequence[str], where: str) -> bool:
    """Tell whether memories are gone for good; all of them are, or none."""
    there = [_is_there(store, one) for one in ids]
    assert all(there) or not any(there), f"half erased at {where}"
    return not any(there)


def _is_there(store: kiromi.Store, memory_id: str) -> bool:
    try:
        return bool(store.history(memory_id))
    except MemoryNotFound:
        return False
