"""gc beside readers, writers, other processes and indices: nobody is told anything wrong (P5, P9, P10, P12)."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import kiromi
from kiromi import MigrationConflict, SnapshotNotFound
from kiromi.operations import gc as gc_operation
from tests.operations.conftest import SCHEME
from tests.operations.remembering import IDS, answers
from tests.protocol.processes import python

ANA = {"user": "ana"}
X, Y = IDS[0], IDS[1]


@pytest.fixture
def quick(root: Path) -> Iterator[kiromi.Store]:
    with kiromi.open(root, scheme=SCHEME, durability="relaxed") as opened:
        yield opened


def test_one_gc_at_a_time(quick: kiromi.Store) -> None:
    quick.put("one", ANA, key="k")
    quick.put("two", ANA, key="k")

    def again(what: str, done: int, total: int) -> None:
        with pytest.raises(MigrationConflict, match="a gc is running"):
            quick.gc("0", dry_run=False)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quick.gc("0", dry_run=False, on_progress=again)
    with pytest.raises(SnapshotNotFound):
        quick.at(1)
    quick.put("three", ANA, key="k")
    report = quick.gc(dry_run=False)
    assert (report.versions, report.floor) == (1, 2), "only what was begun: the rest is younger than 30 days"
    assert [entry.detail.get("resumed") for entry in quick.audit() if entry.op == "gc"][1] is True


def test_a_view_that_falls_below_the_floor_while_it_is_used(quick: kiromi.Store) -> None:
    quick.append("zebra one", ANA, id=X)
    quick.append("zebra other", ANA, id=Y)
    view = quick.at(2)
    assert len(view.search("zebra")) == 2
    quick.update(X, content="two")
    quick.gc("0", dry_run=False)
    for read in (
        view.count,
        view.list,
        view.links,
        view.partitions,
        view.to_arrow,
        lambda: view.get(X),
        lambda: view.get_many([X]),
        lambda: view.history(X),
        lambda: view.search("zebra"),
    ):
        with pytest.raises(SnapshotNotFound, match="seq 2 cannot be read any more"):
            read()


@pytest.mark.parametrize("name", ["get", "get_many", "to_arrow", "diff"])
def test_a_read_of_the_past_that_gc_overtakes_says_so(
    quick: kiromi.Store, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The row was found, and its content goes before it is read."""
    quick.append("one", ANA, id=X)
    view = quick.at(1)
    quick.update(X, content="two")
    overtaken(quick, monkeypatch)
    reads: dict[str, Any] = {
        "get": lambda: view.get(X),
        "get_many": lambda: view.get_many([X]),
        "to_arrow": lambda: view.to_arrow(with_content=True),
        "diff": lambda: quick.diff(1, content=True),
    }
    with pytest.raises(SnapshotNotFound):
        reads[name]()


def overtaken(store: kiromi.Store, monkeypatch: pytest.MonkeyPatch, *, changes: bool = False) -> None:
    """Let a change, if asked for, and gc come between the next look-up of a row and the reading of its content."""
    blobs = store._base.session.blobs
    read, is_done = type(blobs).read, threading.Event()

    def late(self: Any, path: str) -> bytes | None:
        if not is_done.is_set() and "staging" not in path:
            is_done.set()
            if changes:
                store.update(X, content="changed")
            store.gc("0", dry_run=False)
        return read(self, path)

    monkeypatch.setattr(type(blobs), "read", late)


@pytest.mark.parametrize("name", ["get", "get_many", "search"])
def test_a_live_memory_is_found_whatever_gc_takes_meanwhile(
    quick: kiromi.Store, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    quick.append("zebra changed", ANA, id=X)
    quick.search("changed", mode="text")
    overtaken(quick, monkeypatch, changes=True)
    reads: dict[str, Any] = {
        "get": lambda: [quick.get(X)],
        "get_many": lambda: quick.get_many([X]),
        "search": lambda: quick.search("changed", mode="text"),
    }
    assert [memory.text for memory in reads[name]()] == ["changed"]


def test_readers_and_writers_go_on_beside_gc(quick: kiromi.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc_operation, "BATCH", 5)
    for number, memory_id in enumerate(IDS):
        quick.append(f"zebra {number}", ANA, id=memory_id)
        for text in ("a", "b", "c"):
            quick.update(memory_id, content=f"zebra {number} {text}")
    quick.snapshot("all")
    shown = answers(quick.at("all"))["table"]
    is_over = threading.Event()

    def read() -> int:
        count = 0
        while not is_over.is_set() or count == 0:
            assert len(quick.get_many(IDS)) == len(IDS)
            assert answers(quick.at("all"))["table"] == shown
            assert len(quick.search("zebra")) == len(IDS)
            count += 1
        return count

    def write() -> None:
        for i in range(25):
            quick.update(IDS[i % len(IDS)], content=f"zebra new {i}")

    with ThreadPoolExecutor(3) as pool:
        reader, writer = pool.submit(read), pool.submit(write)
        try:
            while not writer.done():
                quick.gc("0", dry_run=False)
        finally:
            is_over.set()
        writer.result()
        assert reader.result() > 0
    quick.gc("0", dry_run=False)
    assert quick.verify(read_data=True).problems == ()


def test_another_process_that_comes_back_with_a_view_from_before_the_floor(root: Path) -> None:
    code = """
        store = kiromi.open(root)
        known = store.list_ids()
        store.get_many(known)
        store.search("zebra")
        say("ready")
        while hear():
            ids = store.list_ids()
            found = sorted(memory.text for memory in store.get_many(ids))
            assert [store.exists(memory_id) for memory_id in known] == [memory_id in ids for memory_id in known]
            say(" ".join([*found, str(store.count()), str(len(store.search("zebra", k=50)))]))
    """
    with kiromi.open(root, scheme="topic={topic}") as store:
        for number, memory_id in enumerate(IDS):
            store.append(f"zebra-{number}", {"topic": "a"}, id=memory_id)
    with python(code, root) as other:
        assert other.hear() == "ready"
        with kiromi.open(root) as store:
            store.delete(IDS[0])
            store.update(IDS[1], content="zebra-new")
            store.delete(IDS[2])
            assert store.gc("0", dry_run=False).versions == 3
            other.say()
            assert other.hear() == "zebra-3 zebra-new 2 2"
            store.append("zebra-4", {"topic": "a"}, id=IDS[0])
            other.say()
            assert other.hear() == "zebra-3 zebra-4 zebra-new 3 3"
            assert store.verify(read_data=True).problems == ()


def test_indices_from_before_the_floor_are_built_anew(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with kiromi.open(root, scheme=SCHEME, embedder="hash:8") as store:
        for number, memory_id in enumerate(IDS):
            store.append(f"zebra {number}", ANA, id=memory_id)
        store.search("zebra")
    with kiromi.open(root) as store:  # it searches nothing, so the indices stay where they are
        store.delete(IDS[0])
        store.gc("0", dry_run=False)
    with kiromi.open(root) as store:
        indexed(store, {*IDS[1:]})
        # And one that is open, but has lost its feed.
        store.delete(IDS[1])
        store.gc("0", dry_run=False)
        store._base.session.feed.stop()
        indexed(store, {*IDS[2:]})


def indexed(store: kiromi.Store, expected: set[str]) -> None:
    """Require that the indices themselves know these memories and no others."""
    from kiromi.operations.indexing import indices_of

    for mode in ("text", "vector"):
        assert {hit.id for hit in store.search("zebra", mode=mode)} == expected
    session = store._base.session
    with session.lease:
        indices = indices_of(session)
        assert len(indices.vectors()) == len(expected)
        assert indices.text().count == len(expected)
