"""SIGKILL at moments all over an erasure: either nothing happened, or opening the store completes it (P6, P14).

A child counts what it is about to call that writes to disk or runs SQL, and kills itself at a chosen one.
"""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import kiromi
from kiromi import MemoryNotFound
from tests.operations.erasing import lives, new_token, places_of, remember

_ROOT = Path(__file__).parents[2]
_ERASE = """
import os, signal, sys
import kiromi
from kiromi.operations import erase

root, last, ids = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
erase.BATCH = 1
events = 0
CALLS = {"execute", "begin", "commit", "close", "unlink", "rename", "replace", "rmdir", "fsync"}

def profile(frame, event, argument):
    global events
    if event == "c_call" and argument.__name__ in CALLS:
        events += 1
        if events == last:
            os.kill(os.getpid(), signal.SIGKILL)

with kiromi.open(root) as store:
    sys.setprofile(profile)
    store.erase(ids, dry_run=False)
    sys.setprofile(None)
print(events)
"""
SEED = 20_260_301


def run(root: Path, last: int, ids: list[str]) -> int | None:
    """Erase in a process of its own that is killed before its ``last``-th step; return the steps if it was not."""
    child = subprocess.run(
        [sys.executable, "-c", _ERASE, str(root), str(last), *ids],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert child.returncode in (0, -9), child.stderr
    return int(child.stdout) if child.returncode == 0 else None


def kill_many(tmp_path: Path, kills: int) -> int:
    """Kill so many erasures, evenly spread over their steps; return how many of them had begun."""
    token = new_token()
    base = tmp_path / "base"
    erased, others = remember(base, token)
    untouched = [one for one in others if one != others[2]]  # that one was superseded by an erased memory
    with kiromi.open(base) as store:
        wanted = lives(store, untouched)

    def copy(name: str) -> Path:
        return Path(shutil.copytree(base, tmp_path / name))

    steps = run(copy("whole"), 0, erased)
    assert steps is not None
    assert places_of(tmp_path / "whole", token, *erased) == set()
    randomly = random.Random(SEED)
    begun = 0
    for number in range(kills):
        root = copy("killed")
        point = 1 + int(steps * (number + randomly.random()) / kills)
        assert run(root, point, erased) is None
        with kiromi.open(root) as store:
            has_begun = not any(is_there(store, one) for one in erased)
            begun += has_begun
            if not has_begun:
                assert all(is_there(store, one) for one in erased), f"half erased at step {point} of {steps}"
                assert store.erase(erased, dry_run=False).memories == len(erased)
            assert lives(store, untouched) == wanted
            assert store.verify(read_data=True).is_clean
            assert store.audit_verify().is_clean
            assert store.erase(erased, dry_run=False).memories == 0
        assert places_of(root, token, *erased) == set(), f"step {point} of {steps}"
        shutil.rmtree(root)
    return begun


def is_there(store: kiromi.Store, memory_id: str) -> bool:
    try:
        return bool(store.history(memory_id))
    except MemoryNotFound:
        return False


def test_a_killed_erasure_is_completed_by_the_next_opening(tmp_path: Path) -> None:
    assert kill_many(tmp_path, 6) >= 2


@pytest.mark.torture
def test_forty_kills(tmp_path: Path) -> None:
    assert kill_many(tmp_path, 40) >= 20
