"""SIGKILL at moments of a restore (P5, P6): opening is clean, every memory is there, and calling it again completes it.

Each killed restore runs in a process of its own upon a copy of one prepared store. The kills are spread evenly over the
duration of an undisturbed one; where in its part each lies is drawn by a seeded generator. Whatever is reached, the end
is the same as without a kill.
"""

import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import kiromi
from tests.operations.conftest import SCHEME
from tests.operations.remembering import evolve, move
from tests.operations.restoring import plain, state

SEED = 20_260_404
_RESTORE = """
import sys
import kiromi
from kiromi.operations.restore import plan

plan.BATCH = int(sys.argv[2])
with kiromi.open(sys.argv[1]) as store:
    store.count()
    print("ready", flush=True)
    store.restore("then")
    print("done", flush=True)
"""


def prepare(root: Path, count: int) -> None:
    """Make a store that differs from its snapshot ``then`` in every way."""
    ana, bob = {"user": "ana"}, {"user": "bob"}
    with kiromi.open(root, scheme=SCHEME, durability="relaxed") as store:
        store.append_many({"content": f"memory {i}", "attributes": ana, "key": f"k{i}"} for i in range(count))
        ids = store.list_ids()
        with store.transaction() as tx:
            for i in range(0, count - 1, 5):
                tx.link(ids[i], ids[i + 1], weight=float(i))
            tx.supersede(ids[0], ids[1])
        store.snapshot("then")
        with store.transaction() as tx:
            for i in range(0, count - 1, 10):
                tx.update(ids[i], key=None)
                tx.update(ids[i + 1], key=f"k{i}")
                tx.update(ids[i], key=f"k{i + 1}")
            for i, memory_id in enumerate(ids):
                if i % 5 == 2:
                    tx.delete(memory_id)
                elif i % 5 == 3:
                    tx.update(memory_id, content=f"other {i}", tags=["x"])
                elif i % 5 == 4:
                    tx.update(memory_id, partition=bob)
            for i in range(0, count - 1, 10):
                tx.unlink(ids[i], ids[i + 1])
            tx.unsupersede(ids[0])
        store.append_many({"content": f"new {i}", "attributes": bob} for i in range(count // 5))
        evolve(store)
        for memory_id in ids[1::20]:
            move(store, memory_id)


def run(root: Path, batch: int, kill_after_s: float | None) -> tuple[bool, float]:
    """Restore in a process of its own; kill it so long after it is ready. Return whether it ended, and its duration."""
    process = subprocess.Popen(
        [sys.executable, "-c", _RESTORE, str(root), str(batch)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    started = time.perf_counter()
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        process.kill()
    rest = process.stdout.read()
    duration = time.perf_counter() - started
    process.stdout.close()
    assert process.wait() in ((0, -9) if kill_after_s is not None else (0,))
    return rest == "done\n", duration


def check(root: Path, before: dict[str, Any], expected: dict[str, Any], *, must_undo: bool) -> str:
    """Open a store whose restore was killed, complete it, and return where it was."""
    both = before["memories"].keys() & expected["memories"].keys()
    with kiromi.open(root, durability="relaxed") as store:
        assert not store.verify(read_data=True).problems
        for memory in store.get_many(sorted(both)):
            assert plain(memory) in (before["memories"][memory.id], expected["memories"][memory.id])
        found = store.sql("SELECT count(*) AS n FROM memories").column("n").to_pylist()
        assert found[0] == store.count()
        safety = [snapshot for snapshot in store.snapshots() if snapshot.is_safety]
        report = store.restore("then")
        assert report.left == ()
        assert state(store) == expected
        assert store.diff("then").is_empty
        assert store.audit_verify().is_clean
        if must_undo:
            undoing = safety[0] if safety else report.snapshot
            assert undoing is not None
            store.restore(undoing)
            assert state(store) == before
        assert not store.verify(read_data=True).problems
        return "before" if not safety else "within" if report.is_resumed else "after"


def kill_many(tmp_path: Path, count: int, batch: int, kills: int) -> Counter[str]:
    prepared = tmp_path / "prepared"
    prepare(prepared, count)
    with kiromi.open(prepared) as store:
        before = state(store)
    undisturbed = Path(shutil.copytree(prepared, tmp_path / "undisturbed"))
    is_done, duration = run(undisturbed, batch, None)
    assert is_done
    with kiromi.open(undisturbed) as store:
        expected = state(store)
        assert state(store.at("then")) == expected
    randomly = random.Random(SEED)
    seen: Counter[str] = Counter()
    for number in range(kills):
        root = Path(shutil.copytree(prepared, tmp_path / f"killed{number}"))
        run(root, batch, duration * (number + randomly.random()) / kills)
        seen[check(root, before, expected, must_undo=number % 5 == 0)] += 1
        shutil.rmtree(root)
    return seen


def test_a_killed_restore_is_completed_by_the_next(tmp_path: Path) -> None:
    seen = kill_many(tmp_path, 100, 10, 4)
    assert seen["within"] > 0, seen


@pytest.mark.torture
def test_thirty_kills_of_a_restore(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen = kill_many(tmp_path, 1_000, 40, 30)
    with capsys.disabled():
        print(f"\n{dict(seen)}")
    assert seen["within"] >= 15, seen
