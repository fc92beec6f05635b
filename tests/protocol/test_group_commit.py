"""Operations of several threads in one commit: each sees what those before it did, and no content is lost."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import kiromi
from kiromi import AlreadyExists, Store
from kiromi.session.commit import run
from kiromi.session.operation import Operation
from tests.protocol.expected import IDS, SCHEME

X, Y = IDS[:2]


@pytest.fixture(params=["local", "objects"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    where = tmp_path / "store" if request.param == "local" else f"memory://{uuid.uuid4()}"
    with kiromi.open(where, scheme=SCHEME, catalog=tmp_path / "catalog") as store:
        yield store


def together(store: Store, *calls: Callable[[], Any]) -> list[Any]:
    """Run calls in threads so that all are in one commit, in this order; return results or errors."""
    session = store._base.session
    results: list[Any] = [None] * len(calls)

    def run(i: int) -> None:
        try:
            results[i] = calls[i]()
        except kiromi.KiromiError as error:
            results[i] = error

    # The first thread leads and waits for the writer; then the others queue behind it.
    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(calls))]
    with session.writer:
        for i, thread in enumerate(threads):
            thread.start()
            while len(session.turns._queue) <= i:
                pass
    for thread in threads:
        thread.join()
    return results


def contents(store: Store, memory_id: str) -> list[bytes | None]:
    """Return all contents of a memory, oldest first."""
    assert store.stats().pending == 0
    blobs = store._base.session.blobs
    paths = [path for prefix in ("data", "attic") for path, _ in blobs.walk(prefix) if memory_id in path]
    return blobs.read_many(sorted(paths, key=lambda path: int(path.split(".")[-2])))


def test_every_content_of_a_memory_changed_twice_in_one_commit_is_kept(store: Store) -> None:
    store.append("one", {"topic": "a"}, id=X)
    before = store.seq
    together(store, lambda: store.update(X, content="two"), lambda: store.update(X, content="three"))
    assert store.seq == before + 2
    assert contents(store, X) == [b"one", b"two", b"three"]


def test_a_memory_made_and_moved_and_deleted_in_one_commit(store: Store) -> None:
    together(
        store,
        lambda: store.append("one", {"topic": "a"}, id=X),
        lambda: store.update(X, attributes={"topic": "b"}),
        lambda: store.append("one", {"topic": "a"}, id=Y),
        lambda: store.delete(Y),
    )
    assert store.get(X).text == "one"
    assert contents(store, Y) == [b"one"]
    assert store.undelete(Y).version == 2
    assert store.get(Y).text == "one"


def test_undelete_brings_back_what_the_same_commit_deleted(store: Store) -> None:
    store.append("one", {"topic": "a"}, id=X)
    store.update(X, content="two")
    together(store, lambda: store.delete(X), lambda: store.undelete(X), lambda: store.update(X, content="three"))
    memory = store.get(X)
    assert (memory.text, memory.version) == ("three", 4)
    assert contents(store, X) == [b"one", b"two", b"three"]


def test_an_id_deleted_in_the_same_commit_is_not_free(store: Store) -> None:
    store.append("one", {"topic": "a"}, id=X)
    results = together(store, lambda: store.delete(X), lambda: store.append("other", {"topic": "a"}, id=X))
    assert isinstance(results[1], AlreadyExists)
    assert contents(store, X) == [b"one"]


def test_a_key_taken_in_the_same_commit_is_not_free(store: Store) -> None:
    results = together(
        store,
        lambda: store.append("one", {"topic": "a"}, key="k"),
        lambda: store.append_many([{"content": "two", "attributes": {"topic": "a"}, "key": "k"}]),
        lambda: store.put("three", {"topic": "a"}, key="k"),
    )
    assert isinstance(results[1], AlreadyExists)
    assert (store.count(), store.get(key="k").text) == (1, "three")


def test_one_that_fails_leaves_no_trace_in_the_commit_of_the_others(store: Store) -> None:
    results = together(
        store,
        lambda: store.append("one", {"topic": "a"}, key="k"),
        lambda: store.append("two", {"topic": "a"}, key="k"),
        lambda: store.append("three", {"topic": "a"}),
    )
    assert [type(result).__name__ for result in results] == ["Memory", "AlreadyExists", "Memory"]
    assert [(entry.seq, entry.op) for entry in store.audit()] == [(1, "append"), (2, "append")]
    assert store.audit_verify().problems == ()


def test_an_interruption_is_for_the_thread_that_it_reached(store: Store) -> None:
    session = store._base.session
    context = store._base.context
    told: list[BaseException] = []

    def interrupted(_: Operation) -> None:
        raise KeyboardInterrupt

    def work(plan: Callable[[Operation], object]) -> None:
        try:
            with session.lease:
                run(session, context, plan)
        except BaseException as error:  # noqa: BLE001 - what each thread is told is what this is about
            told.append(error)

    with session.writer:  # both queue up behind this
        threads = [threading.Thread(target=work, args=(plan,)) for plan in (lambda _: None, interrupted)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 10
        while len(session.turns._queue) < 2 and time.monotonic() < deadline:
            time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert sorted(type(error).__name__ for error in told) == ["KeyboardInterrupt", "StorageError"]
