"""SIGKILL while gc runs: reopening is clean, what snapshots show is whole, and the next call ends it (P4, P6).

A child is killed at a chosen event, counted by itself: a commit, before or after, or the removal of a file.
"""

import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import kiromi
from tests.operations.collecting import Interval, check_what_is_left, intervals, surviving

_ROOT = Path(__file__).parents[2]
_GC = """
import os, signal, sys
import kiromi
from kiromi.catalog.database import Catalog
from kiromi.operations import gc

root, last = sys.argv[1], int(sys.argv[2])
events = 0
gc.BATCH = 7

def event(*_):
    global events
    events += 1
    if events == last:
        os.kill(os.getpid(), signal.SIGKILL)

def hook(name, arguments):
    if name in ("os.remove", "os.rmdir") and "/default/" in str(arguments[0]):
        event()

def counted(commit):
    def run(*arguments):
        event()
        result = commit(*arguments)
        event()
        return result
    return run

with kiromi.open(root, durability="relaxed") as store:
    Catalog.commit = counted(Catalog.commit)
    sys.addaudithook(hook)
    report = store.gc("0", dry_run=False, grace="0")
print(events, flush=True)
"""


@dataclass(frozen=True)
class Filled:
    """A store with much that may go, and what has to stay."""

    root: Path
    expected: set[Interval]
    shown: dict[str, list[Any]]
    """What each snapshot shows, by its tag."""
    floor: int


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    root = tmp_path_factory.mktemp("filled") / "store"
    rng = random.Random(7)
    with kiromi.open(root, scheme="user={user}", embedder="hash:4", durability="relaxed") as store:
        store.append_many({"content": f"zebra {i}", "partition": {"user": f"u{i % 3}"}} for i in range(20))
        ids = store.list_ids()
        for step in range(60):
            memory_id = rng.choice(ids)
            if not store.exists(memory_id):
                store.undelete(memory_id)
            elif rng.random() < 0.3:
                store.delete(memory_id)
            else:
                store.update(memory_id, content=f"zebra {step}")
            if step % 20 == 10:
                store.snapshot(f"at-{step}")
        store.link(*store.list_ids()[:2], weight=0.5)
        store.unlink(*store.list_ids()[:2])
        shown = {str(one.tag): memories_of(store.at(one)) for one in store.snapshots()}
        moments = [one.seq for one in store.snapshots()]
        expected = surviving(intervals(store), moments, store.seq)
        return Filled(root, expected, shown, store.seq)


def memories_of(view: kiromi.StoreView) -> list[Any]:
    found: list[Any] = view.to_arrow(with_content=True).to_pylist()
    return found


def run(root: Path, last: int) -> int | None:
    """Run gc in a child that is killed at its ``last`` event; return how many there were if it was not."""
    child = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _GC, str(root), str(last)],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert child.returncode in ((0, -9) if last else (0,)), child.stderr[-3000:]
    return int(child.stdout) if child.returncode == 0 else None


def check_killed(root: Path, filled: Filled) -> None:
    with kiromi.open(root, durability="relaxed") as store:
        assert store.verify(read_data=True).problems == ()
        assert {str(one.tag): memories_of(store.at(one)) for one in store.snapshots()} == filled.shown
        assert filled.expected <= intervals(store), "nothing that is needed is gone"
        store.append("zebra after", {"user": "ana"}, id=(new := "01ARZ3NDEKTSV4RRFFQ69G5F99"))
        has_begun = any(entry.op == "gc" for entry in store.audit())
        report = store.gc("0" if not has_begun else "30d", dry_run=False)
        assert report.floor >= filled.floor
        added = {one for one in intervals(store) if one.id == new}
        check_what_is_left(store, root, filled.expected | added)
        assert {str(one.tag): memories_of(store.at(one)) for one in store.snapshots()} == filled.shown
        assert store.audit_verify().is_clean
        assert store.gc("30d").is_empty


def check_kills(filled: Filled, tmp_path: Path, count: int, seed: int) -> None:
    """Kill a child so many times, each in a store of its own, at events spread over its whole life."""
    root = tmp_path / "undisturbed"
    shutil.copytree(filled.root, root)
    events = run(root, 0) or 0
    assert events > count
    check_killed(root, filled)
    rng = random.Random(seed)
    killed = 0
    for number in range(count):
        root = tmp_path / f"killed-{number}"
        shutil.copytree(filled.root, root)
        killed += run(root, 1 + int(events * (number + rng.random()) / count)) is None
        check_killed(root, filled)
        shutil.rmtree(root)
    assert killed, "no kill landed"


def test_kills_during_gc(filled: Filled, tmp_path: Path) -> None:
    check_kills(filled, tmp_path, 4, seed=1)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(3))
def test_many_kills_during_gc(filled: Filled, tmp_path: Path, seed: int) -> None:
    check_kills(filled, tmp_path, 30, seed)


@pytest.mark.torture
def test_a_gc_that_is_killed_again_and_again_ends(filled: Filled, tmp_path: Path) -> None:
    """Each call is killed some events after its begin; what one did the next need not do."""
    root = tmp_path / "store"
    shutil.copytree(filled.root, root)
    for _ in range(40):
        if run(root, 15) is not None:
            break
    check_killed(root, filled)
