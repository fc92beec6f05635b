"""Many threads on one store: what is acknowledged is there, and readers never miss a live memory (P1, P2, P5)."""

import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import kiromi
from tests.operations.tree import attic_files, data_files, staged_files

ANA = {"user": "ana"}


@pytest.fixture
def quick(root: Path) -> Iterator[kiromi.Store]:
    with kiromi.open(root, scheme="user={user}", durability="relaxed") as opened:
        yield opened


def wait_until_parked(thread: threading.Thread) -> None:
    """Return when a thread stands still: it waits for the writer."""
    places: list[Any] = [object()]
    while len(places) < 10 and thread.is_alive():
        time.sleep(0.002)
        frame = sys._current_frames().get(thread.ident or 0)
        place = None if frame is None else (frame.f_code, frame.f_lasti)
        places = [*places, place] if place == places[-1] else [place]


def together(store: kiromi.Store, *calls: Callable[[], Any]) -> list[Any]:
    """Run calls in as many threads that come to wait for the writer in this order, so that they can share one commit.

    Returns what each returned or raised.
    """
    outcomes: list[Any] = [None] * len(calls)

    def work(number: int, call: Callable[[], Any]) -> None:
        try:
            outcomes[number] = call()
        except kiromi.KiromiError as error:
            outcomes[number] = error

    threads = [threading.Thread(target=work, args=item) for item in enumerate(calls)]
    with store.transaction():
        for thread in threads:
            thread.start()
            wait_until_parked(thread)
    for thread in threads:
        thread.join()
    return outcomes


def test_every_acknowledged_write_is_there(quick: kiromi.Store, root: Path) -> None:
    expected: dict[str, str | None] = {}

    def work(worker: int) -> None:
        rng = random.Random(worker)
        mine: list[str] = []
        for step in range(40):
            match rng.choice(["append", "append", "update", "move", "delete", "undelete", "read"]):
                case "append":
                    m = quick.append(f"{worker}.{step}", {"user": f"u{worker % 3}"}, key=f"{worker}.{step}")
                    mine.append(m.id)
                    expected[m.id] = m.text
                case "update" if mine and expected[memory_id := rng.choice(mine)] is not None:
                    expected[memory_id] = quick.update(memory_id, content=f"{worker}.{step} new").text
                case "move" if mine and expected[memory_id := rng.choice(mine)] is not None:
                    quick.update(memory_id, attributes={"user": f"u{rng.randrange(4)}"})
                case "delete" if mine:
                    quick.delete(memory_id := rng.choice(mine))
                    expected[memory_id] = None
                case "undelete" if mine:
                    quick.undelete(memory_id := rng.choice(mine))
                    expected[memory_id] = quick.get(memory_id).text
                case _ if mine:
                    memory_id = rng.choice(mine)
                    assert quick.exists(memory_id) == (expected[memory_id] is not None)
                    assert set(quick.list_ids()) >= {i for i in mine if expected[i] is not None}

    with ThreadPoolExecutor(8) as threads:
        for future in [threads.submit(work, worker) for worker in range(8)]:
            future.result()
    live = {memory_id: text for memory_id, text in expected.items() if text is not None}
    assert {m.id: m.text for m in quick.get_many(quick.list_ids())} == live
    assert sorted(data_files(root)) == sorted(m.path.removeprefix("data/") for m in quick.get_many(live))
    assert not staged_files(root)
    contents = {(v.info.id, v.info.sha256) for memory_id in expected for v in quick.history(memory_id)}
    assert len(contents) <= len(data_files(root)) + len(attic_files(root))
    entries = quick.audit()
    assert [e.seq for e in entries] == list(range(1, quick.seq + 1)), "each operation has its own seq"


def test_a_reader_never_misses_a_memory_that_moves(quick: kiromi.Store) -> None:
    moving = [quick.append(f"content {i}", {"user": "a"}) for i in range(3)]
    ids = [m.id for m in moving]
    texts = [m.text for m in moving]
    stop = threading.Event()
    reads = [0] * 3

    def read(which: int) -> None:
        while not stop.is_set():
            match which:
                case 0:
                    assert [quick.get(memory_id).text for memory_id in ids] == texts
                case 1:
                    assert [m.text for m in quick.get_many(ids)] == texts
                case _:
                    page = quick.list()
                    assert [m.id for m in page.items] == ids
                    assert quick.count() == 3
                    found = quick.list({"user": "a"}).items + quick.list({"user": "b"}).items
                    assert all(m.partition["user"] in ("a", "b") for m in found)
            reads[which] += 1

    with ThreadPoolExecutor(3) as threads:
        futures = [threads.submit(read, which) for which in range(3)]
        try:
            for i in range(90):
                if any(future.done() for future in futures):
                    break
                quick.update(ids[i % 3], attributes={"user": "ba"[i // 3 % 2]})
        finally:
            stop.set()
        for future in futures:
            future.result()
    assert min(reads) > 0


def test_a_page_shows_one_moment(quick: kiromi.Store) -> None:
    """Two memories change together; no listing may see one changed and the other not."""
    one, two = quick.append("0", ANA, title="0"), quick.append("0", ANA, title="0")
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            titles = {m.title for m in quick.list(order_by="title").items}
            assert len(titles) == 1

    with ThreadPoolExecutor(2) as threads:
        readers = [threads.submit(read) for _ in range(2)]
        try:
            for i in range(100):
                with quick.transaction() as tx:
                    tx.update(one.id, title=str(i), content=str(i))
                    tx.update(two.id, title=str(i), content=str(i))
        finally:
            stop.set()
        for reader in readers:
            reader.result()


def test_of_many_that_expect_a_version_one_wins(quick: kiromi.Store) -> None:
    m = quick.append("x", ANA)

    def claim(worker: int) -> bool:
        try:
            quick.update(m.id, title=str(worker), expected_version=1)
        except kiromi.VersionConflict:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(claim, range(8)))
    assert won.count(True) == 1
    assert quick.get(m.id).title == str(won.index(True))
    assert quick.get(m.id).version == 2


def test_of_many_that_take_a_key_one_wins(quick: kiromi.Store) -> None:
    def take(worker: int) -> str | None:
        try:
            return quick.append(str(worker), ANA, key="k").id
        except kiromi.AlreadyExists:
            return None

    with ThreadPoolExecutor(8) as threads:
        winners = [memory_id for memory_id in threads.map(take, range(8)) if memory_id is not None]
    assert winners == [quick.get(key="k").id]
    with ThreadPoolExecutor(8) as threads:
        assert {m.id for m in threads.map(lambda i: quick.put(str(i), ANA, key="k"), range(8))} == set(winners)
    assert quick.count() == 1


def test_a_refused_write_does_not_spoil_those_that_share_its_commit(quick: kiromi.Store) -> None:
    first, second, third = together(
        quick,
        lambda: quick.append("a", ANA),
        lambda: quick.append("b", {"user": ""}),
        lambda: quick.append("c", ANA),
    )
    assert isinstance(second, kiromi.InvalidInput)
    assert [m.text for m in quick.get_many([first.id, third.id])] == ["a", "c"]
    assert quick.seq == 2


# -- operations that share a commit see each other --------------------------------------------------------------------


def test_delete_and_delete(quick: kiromi.Store) -> None:
    m = quick.append("x", ANA)
    first, second = together(quick, lambda: quick.delete(m.id), lambda: quick.delete(m.id))
    assert first == second
    assert quick.seq == 2


def test_delete_and_undelete(quick: kiromi.Store, root: Path) -> None:
    m = quick.append("one", ANA)
    quick.delete(m.id)
    quick.undelete(m.id)
    quick.update(m.id, content="two")
    deleted, undeleted = together(quick, lambda: quick.delete(m.id), lambda: quick.undelete(m.id))
    assert (deleted.version, undeleted.version) == (3, 4)
    assert quick.get(m.id).text == "two"
    quick.update(m.id, content="three")
    assert data_files(root) == {f"user=ana/{m.id}.3.md": b"three"}
    assert sorted(attic_files(root).values()) == [b"one", b"two"]


def test_delete_and_append_of_the_id(quick: kiromi.Store) -> None:
    m = quick.append("one", ANA)
    _, refused = together(quick, lambda: quick.delete(m.id), lambda: quick.append("other", ANA, id=m.id))
    assert isinstance(refused, kiromi.AlreadyExists)
    quick.undelete(m.id)
    assert quick.get(m.id).text == "one"


def test_delete_and_get_why(quick: kiromi.Store) -> None:
    m = quick.append("one", ANA)
    _, refused = together(quick, lambda: quick.delete(m.id), lambda: quick.update(m.id, title="t"))
    assert isinstance(refused, kiromi.MemoryNotFound)


def test_append_and_append_many_of_one_key(quick: kiromi.Store) -> None:
    record = {"content": "many", "partition": ANA, "key": "k"}
    first, refused = together(quick, lambda: quick.append("one", ANA, key="k"), lambda: quick.append_many([record]))
    assert isinstance(refused, kiromi.AlreadyExists)
    assert quick.list_ids(where={"key": "k"}) == [first.id]


def test_delete_and_append_many_of_its_key(quick: kiromi.Store) -> None:
    m = quick.append("one", ANA, key="k")
    record = {"content": "many", "partition": ANA, "key": "k"}
    _, report = together(quick, lambda: quick.delete(m.id), lambda: quick.append_many([record]))
    assert report.appended == 1
    assert quick.get(key="k").text == "many"


def test_append_and_put_of_one_key(quick: kiromi.Store) -> None:
    first, second = together(quick, lambda: quick.append("one", ANA, key="k"), lambda: quick.put("two", ANA, key="k"))
    assert first.id == second.id
    assert quick.get(key="k").text == "two"
    assert [v.info.version for v in quick.history(first.id)] == [2, 1]


def test_a_guard_cannot_write_while_an_update_is_planned(root: Path) -> None:
    refusals: list[str] = []

    def noting(draft: kiromi.Draft) -> kiromi.Draft:
        if draft.title == "note":
            try:
                store.append("a note", ANA)
            except kiromi.InvalidInput as error:
                refusals.append(str(error))
        return draft

    with kiromi.open(root, scheme="user={user}", guards=[noting]) as store:
        m = store.append("x", ANA)
        store.update(m.id, title="note")
        assert len(refusals) == 1
        assert store.get(m.id).title == "note"
        assert store.append("y", ANA).seq == 3, "afterwards all is as before"
