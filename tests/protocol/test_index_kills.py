"""SIGKILL while indices are written, built anew, or re-embedded: reopening answers right and misses nothing (P9, P10).

A child is killed at a chosen event, counted by itself: a touch of a file below ``index/``, or a call of the embedder.
What it says it has acknowledged; what is found afterwards is compared with a brute-force look at all memories.
"""

import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import kiromi
from tests.operations.finding import check_exact

_ROOT = Path(__file__).parents[2]
_HEAD = """
import os, signal, sys
import kiromi
from kiromi.embed.hashing import HashingEmbedder
from kiromi.operations import completing

root, last = sys.argv[1], int(sys.argv[2])
events = 0

def event():
    global events
    events += 1
    if events == last:
        os.kill(os.getpid(), signal.SIGKILL)

def hook(name, arguments):
    paths = [os.fsdecode(path) for path in arguments if isinstance(path, (str, bytes, os.PathLike))]
    if name in FILES and any("/index/" in path for path in paths):
        event()

FILES = ("open", "os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "shutil.copyfile")
embed = HashingEmbedder.embed

def counted(self, texts, role):
    event()
    return embed(self, texts, role)

HashingEmbedder.embed = counted
completing._MISSING = completing._MISSING.replace(f"LIMIT {completing.BATCH}", "LIMIT 20")  # more batches
sys.addaudithook(hook)

def say(*words):
    print(*words, flush=True)
"""
_WRITES = """
store = kiromi.open(root, durability="relaxed")
say("ack", store.append("zebra one", {"user": "ana"}).id)
store.search("zebra")
first = store.list_ids()[0]
store.update(first, content="zebra again")
say("ack", store.append("zebra two", {"user": "bob"}).id)
store.search("zebra")
store.delete(store.list_ids()[1])  # none of those that were said
store.close()
store = kiromi.open(root, durability="relaxed")
store.search("zebra")
say("ack", store.append("zebra three", {"user": "ana"}).id)
store.search("zebra")
store.close()
say("events", events)
"""
_REINDEX = """
store = kiromi.open(root, durability="relaxed")
say("ack", store.append("zebra one", {"user": "ana"}).id)
store.reindex()
say("ack", store.append("zebra two", {"user": "ana"}).id)
store.reindex(language="und")
store.close()
say("events", events)
"""
_REEMBED = """
store = kiromi.open(root, durability="relaxed")
say("ack", store.append("zebra one", {"user": "ana"}).id)
store.search("zebra")
store.reembed("hash:8")
say("ack", store.append("zebra two", {"user": "ana"}).id)
store.search("zebra")
store.close()
say("events", events)
"""


# A kill after another language was set and before its index was built leaves one that was made in another way.
pytestmark = pytest.mark.filterwarnings("ignore::kiromi.errors.IndexWarning")


@dataclass(frozen=True)
class Outcome:
    """What a child said before its end."""

    acknowledged: list[str]
    events: int | None
    """How many there were, if it was not killed."""


def run(root: Path, code: str, last: int) -> Outcome:
    child = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _HEAD + code, str(root), str(last)],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert child.returncode in ((0, -9) if last else (0,)), child.stderr[-3000:]
    lines = [line.split() for line in child.stdout.splitlines()]
    events = next((int(number) for word, number in lines if word == "events"), None)
    return Outcome([found for word, found in lines if word == "ack"], events)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("filled") / "store"
    with kiromi.open(root, scheme="user={user}", embedder="hash:16", durability="relaxed") as store:
        store.append_many({"content": f"zebra {i}", "partition": {"user": f"u{i % 3}"}} for i in range(120))
        store.reindex()
        for memory_id in store.list_ids()[:9]:
            store.delete(memory_id)
    return root


def check(root: Path, dimension: int, acknowledged: list[str]) -> None:
    with kiromi.open(root, durability="relaxed") as store:
        assert all(store.exists(memory_id) for memory_id in acknowledged)
        (model,) = [model for model in store.models() if model.is_active]
        assert (model.dimension, model.vectors, model.pending) == (dimension, store.count(), 0)
        check_exact(store, dimension, words=["zebra", "again", "two"])
        store.append("zebra after", {"user": "ana"})
        check_exact(store, dimension, words=["zebra", "after"])
        assert store.audit_verify().is_clean
    with kiromi.open(root, durability="relaxed") as store:
        check_exact(store, dimension, words=["zebra", "after"])
        assert not list((root / "default" / "index").rglob("*.partial"))


def kills(filled: Path, tmp_path: Path, code: str, count: int, seed: int) -> list[tuple[Path, Outcome]]:
    """Kill a child so many times, each in a store of its own, at events spread over its whole life."""
    root = tmp_path / "undisturbed"
    shutil.copytree(filled, root)
    events = run(root, code, 0).events or 0
    assert events > count
    rng = random.Random(seed)
    outcomes = []
    for number in range(count):
        root = tmp_path / f"killed-{number}"
        shutil.copytree(filled, root)
        last = 1 + int(events * (number + rng.random()) / count)
        outcomes.append((root, run(root, code, last)))
    assert any(outcome.events is None for _, outcome in outcomes), "no kill landed"
    return outcomes


def check_kills(filled: Path, tmp_path: Path, code: str, count: int, seed: int) -> None:
    for root, outcome in kills(filled, tmp_path, code, count, seed):
        check(root, 16, outcome.acknowledged)
        shutil.rmtree(root)


def check_reembed(filled: Path, tmp_path: Path, count: int, seed: int) -> None:
    for root, outcome in kills(filled, tmp_path, _REEMBED, count, seed):
        with kiromi.open(root, durability="relaxed") as store:
            is_switched = len([entry for entry in store.audit() if entry.op == "model"]) == 2
            check_exact(store, 8 if is_switched else 16, words=["zebra"])
            store.append("zebra between", {"user": "bob"})
            report = store.reembed("hash:8")
            assert (report.model.vectors, report.model.pending) == (store.count(), 0)
            assert [entry.op for entry in store.audit()].count("model") == 2, "switched once"
            assert [model.is_active for model in store.models()] == [False, True]
        check(root, 8, outcome.acknowledged)
        shutil.rmtree(root)


def test_kills_while_indices_are_saved(filled: Path, tmp_path: Path) -> None:
    check_kills(filled, tmp_path, _WRITES, 3, seed=1)


def test_kills_during_reindex(filled: Path, tmp_path: Path) -> None:
    check_kills(filled, tmp_path, _REINDEX, 3, seed=2)


def test_kills_during_reembed_are_resumed(filled: Path, tmp_path: Path) -> None:
    check_reembed(filled, tmp_path, 4, seed=3)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(4))
def test_many_kills_while_indices_are_saved(filled: Path, tmp_path: Path, seed: int) -> None:
    check_kills(filled, tmp_path, _WRITES, 40, seed)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(4))
def test_many_kills_during_reindex(filled: Path, tmp_path: Path, seed: int) -> None:
    check_kills(filled, tmp_path, _REINDEX, 40, seed)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(4))
def test_many_kills_during_reembed_are_resumed(filled: Path, tmp_path: Path, seed: int) -> None:
    check_reembed(filled, tmp_path, 40, seed)


@pytest.mark.torture
def test_a_call_that_is_killed_again_and_again_ends(filled: Path, tmp_path: Path) -> None:
    """Each call is killed after three more events of the embedder; what one made the next keeps."""
    root = tmp_path / "store"
    shutil.copytree(filled, root)
    for last in range(6, 60, 3):
        if run(root, _REEMBED, last).events is not None:
            break
    with kiromi.open(root, durability="relaxed") as store:
        store.reembed("hash:8")
        assert [entry.op for entry in store.audit()].count("model") == 2
    check(root, 8, [])
