"""transaction and context: several writes as one operation, and who made it."""

import contextlib
import threading
from pathlib import Path
from typing import Any

import pytest

import kiromi
from tests.operations.tree import attic_files, data_files, staged_files

ANA = {"user": "ana"}
ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def test_all_writes_are_one_operation(store: kiromi.Store, root: Path) -> None:
    old, gone = store.append("old", ANA), store.append("gone", ANA)
    back = store.append("back", ANA)
    store.delete(back.id)
    with store.transaction() as tx:
        new = tx.append("new", ANA, key="k")
        put = tx.put("put", ANA, key="p")
        up = tx.update(old.id, content="up", attributes={"user": "bob"})
        deleted = tx.delete(gone.id)
        undeleted = tx.undelete(back.id)
        assert tx.seq == new.seq == put.seq == up.seq == undeleted.seq == 5
        assert deleted.path.startswith("attic/")
        assert tx.get(old.id) == up
        assert store.get(old.id).text == "old", "nobody sees it yet"
        assert store.seq == 4
        assert len(data_files(root)) == 2
    assert store.seq == 5
    assert store.list_ids() == sorted([new.id, put.id, old.id, back.id])
    assert store.get(old.id).text == "up"
    assert store.get(old.id).info() == up
    assert sorted(data_files(root).values()) == [b"back", b"new", b"put", b"up"]
    assert sorted(attic_files(root).values()) == [b"gone", b"old"]
    assert [(e.seq, e.i, e.op) for e in store.audit(since=4)] == [
        (5, 0, "append"),
        (5, 1, "append"),
        (5, 2, "update"),
        (5, 3, "delete"),
        (5, 4, "undelete"),
    ]


def test_an_exception_leaves_nothing(store: kiromi.Store, root: Path) -> None:
    old = store.append("old", ANA, key="k")
    files = data_files(root)
    with contextlib.suppress(RuntimeError), store.transaction() as tx:
        tx.append("new", ANA)
        tx.update(old.id, content="changed", key="other")
        tx.delete(old.id)
        raise RuntimeError
    assert store.get(key="k") == old
    assert (store.seq, store.count(), len(store.audit())) == (1, 1, 1)
    assert data_files(root) == files
    assert not staged_files(root)
    assert not attic_files(root)
    assert store.append("next", ANA, key="other").seq == 2


def test_a_refused_write_can_be_caught_and_leaves_no_trace(store: kiromi.Store) -> None:
    m = store.append("one", ANA, key="k")
    with store.transaction() as tx:
        with pytest.raises(kiromi.VersionConflict):
            tx.update(m.id, content="lost", expected_version=7)
        with pytest.raises(kiromi.VersionConflict):
            tx.delete(m.id, expected_version=7)
        with pytest.raises(kiromi.AlreadyExists):
            tx.append("x", ANA, key="k")
        with pytest.raises(kiromi.InvalidInput):
            tx.update(m.id, attributes={"user": ""})
        with pytest.raises(kiromi.InvalidInput):
            tx.append("x", {"nope": 1})
        tx.append("kept", ANA)
    assert store.get(m.id) == m
    assert store.seq == 2
    assert [e.op for e in store.audit(since=1)] == ["append"]


def test_nothing_done_is_no_operation(store: kiromi.Store) -> None:
    m = store.append("x", ANA)
    with store.transaction():
        pass
    with store.transaction() as tx:
        tx.update(m.id, content="x")
        tx.undelete(m.id)
    assert store.seq == 1


def test_a_memory_many_times(store: kiromi.Store, root: Path) -> None:
    m = store.append("0", ANA)
    with store.transaction() as tx:
        for i in range(1, 4):
            assert tx.update(m.id, content=str(i), attributes={"user": f"u{i}"}).version == 2
        assert tx.update(m.id, content="4", expected_version=2).version == 2
    assert store.get(m.id).text == "4"
    assert list(data_files(root)) == [f"user=u3/topic=inbox/{m.id}.2.md"]
    assert list(attic_files(root).values()) == [b"0"]
    assert [v.info.version for v in store.history(m.id)] == [2, 1]


def test_a_new_memory_can_be_changed_and_dropped(store: kiromi.Store, root: Path) -> None:
    with store.transaction() as tx:
        kept, dropped = tx.append("a", ANA, id=ID), tx.append("b", ANA)
        tx.update(kept.id, content="b", attributes={"user": "bob"})
        tx.delete(dropped.id)
        with pytest.raises(kiromi.MemoryNotFound):
            tx.get(dropped.id)
    assert data_files(root) == {f"user=bob/topic=inbox/{ID}.1.md": b"b"}
    assert not attic_files(root)
    assert store.get(ID).version == 1
    with pytest.raises(kiromi.MemoryNotFound):
        store.get(dropped.id)


def test_an_id_is_not_given_again_after_a_delete_in_the_same_block(store: kiromi.Store, root: Path) -> None:
    store.append("first", ANA, id=ID)
    with store.transaction() as tx:
        tx.delete(ID)
        with pytest.raises(kiromi.AlreadyExists):
            tx.append("second", ANA, id=ID)
    store.undelete(ID)
    assert store.get(ID).text == "first"


def test_deleting_twice_in_one_block(store: kiromi.Store) -> None:
    m = store.append("x", ANA)
    with store.transaction() as tx:
        assert tx.delete(m.id) == tx.delete(m.id)
    assert [e.op for e in store.audit()] == ["append", "delete"]


def test_keys_can_be_swapped(store: kiromi.Store) -> None:
    a, b = store.append("1", ANA, key="a"), store.append("2", ANA, key="b")
    with store.transaction() as tx:
        tx.update(a.id, key=None)
        tx.update(b.id, key="a")
        tx.update(a.id, key="b")
    assert store.get(key="a").id == b.id
    assert store.get(key="b").id == a.id
    with store.transaction() as tx:
        tx.delete(b.id)
        c = tx.put("3", ANA, key="a")
    assert store.get(key="a").id == c.id != b.id


def test_other_writes_of_the_thread_are_refused(store: kiromi.Store) -> None:
    m = store.append("x", ANA)
    other = store.append("y", ANA)
    store.delete(other.id)
    writes: list[Any] = [
        lambda: store.append("x", ANA),
        lambda: store.put("x", ANA, key="k"),
        lambda: store.update(m.id, title="t"),
        lambda: store.delete(m.id),
        lambda: store.undelete(other.id),
        lambda: store.append_many([{"content": "x", "partition": ANA}]),
        lambda: store.delete_where({"user": "ana"}, dry_run=False),
        lambda: store.scoped(ANA).append("x"),
        lambda: store.transaction().__enter__(),
    ]
    with store.transaction() as tx:
        tx.append("kept", ANA)
        for write in writes:
            with pytest.raises(kiromi.InvalidInput, match="is open in this thread"):
                write()
        assert store.count() == 1, "reading is fine"
    assert store.seq == 4
    assert store.count() == 2


def test_a_transaction_is_over_when_its_block_ends(store: kiromi.Store) -> None:
    m = store.append("x", ANA)
    with store.transaction() as tx:
        tx.append("y", ANA)
    with pytest.raises(RuntimeError), store.transaction() as failed:
        raise RuntimeError
    for late in (tx, failed):
        calls: list[Any] = [
            lambda late=late: late.append("lost", ANA),
            lambda late=late: late.put("lost", ANA, key="k"),
            lambda late=late: late.update(m.id, title="lost"),
            lambda late=late: late.delete(m.id),
            lambda late=late: late.undelete(m.id),
            lambda late=late: late.get(m.id),
        ]
        for call in calls:
            with pytest.raises(kiromi.InvalidInput, match="over"):
                call()
    assert tx.seq == 2
    assert store.seq == 2


def test_other_threads_wait(store: kiromi.Store) -> None:
    m = store.append("x", ANA)
    inside, done = threading.Event(), threading.Event()

    def write() -> None:
        inside.wait()
        store.update(m.id, title="after")
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    with store.transaction() as tx:
        inside.set()
        assert not done.wait(0.2)
        tx.update(m.id, title="first", tags=["tx"])
    thread.join()
    got = store.get(m.id)
    assert (got.title, got.tags, got.seq) == ("after", ("tx",), 3)


def test_reads_by_id_do_not_wait(store: kiromi.Store) -> None:
    m = store.append("x", ANA)
    with store.transaction() as tx:
        tx.update(m.id, content="y")
        texts: list[str] = []
        thread = threading.Thread(target=lambda: texts.append(store.get(m.id).text))
        thread.start()
        thread.join(30)
        assert texts == ["x"]
    assert store.get(m.id).text == "y"


# -- context ----------------------------------------------------------------------------------------------------------


def test_context_is_recorded_and_nests(store: kiromi.Store) -> None:
    with store.context(actor="robot", run_id="r1"):
        m = store.append("x", ANA)
        with store.context(reason="because", run_id="r2"):
            u = store.update(m.id, title="t")
        with store.context(actor="other"), store.transaction() as tx:
            tx.update(m.id, title="u")
        store.delete(m.id)
    store.undelete(m.id)
    assert [(e.actor, e.run_id, e.reason) for e in store.audit()] == [
        ("robot", "r1", None),
        ("robot", "r2", "because"),
        ("other", "r1", None),
        ("robot", "r1", None),
        ("tester", None, None),
    ]
    assert (m.run_id, u.run_id, store.get(m.id).run_id) == ("r1", "r2", None)
    assert [c.actor for c in store.changes()] == ["robot", "robot", "other", "robot", "tester"]


def test_context_ends_with_an_exception(store: kiromi.Store) -> None:
    with pytest.raises(RuntimeError), store.context(actor="robot"):
        raise RuntimeError
    store.append("x", ANA)
    assert store.audit()[0].actor == "tester"


def test_context_is_of_the_thread(store: kiromi.Store) -> None:
    barrier = threading.Barrier(4)

    def write(name: str) -> None:
        with store.context(actor=name, run_id=name):
            barrier.wait()
            for _ in range(5):
                store.append(name, ANA, title=name)

    threads = [threading.Thread(target=write, args=(f"robot {i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    titles = {m.id: m.title for m in store.list().items}
    assert len(titles) == 20
    assert all(e.actor == e.run_id == titles[str(e.memory_id)] for e in store.audit())


def test_context_is_of_the_tenant(store: kiromi.Store, root: Path) -> None:
    with kiromi.open(root, scheme="user={user}", tenant="other", actor="b") as other:
        with store.context(actor="robot", run_id="r1"):
            assert other.append("x", ANA).run_id is None
        assert other.audit()[0].actor == "b"


@pytest.mark.parametrize(
    "arguments",
    [{"actor": ""}, {"actor": 5}, {"run_id": 5}, {"reason": b"x"}, {"reason": "\ud800"}, {"run_id": "\udfff"}],
    ids=repr,
)
def test_context_takes_text(store: kiromi.Store, arguments: dict[str, Any]) -> None:
    with pytest.raises(kiromi.InvalidInput, match=next(iter(arguments))), store.context(**arguments):
        pass


def test_any_text_will_do(store: kiromi.Store) -> None:
    text = "\0'\"\\;--\n\U0001f9e0" * 50
    with store.context(actor=text, run_id=text, reason=text):
        m = store.append("x", ANA)
    entry = store.audit()[0]
    assert entry.actor == entry.run_id == entry.reason == store.get(m.id).run_id == text
    assert store.list_ids(where={"run_id": text}) == [m.id]


def test_undelete_of_what_the_transaction_deleted(store: kiromi.Store) -> None:
    kept = store.append("x", ANA, key="k")
    with store.transaction() as tx:
        tx.delete(kept.id)
        assert tx.undelete(kept.id).version == 2
    assert store.get(key="k").text == "x"
    assert [version.info.version for version in store.history(kept.id)] == [2, 1]
    assert store.verify(read_data=True).is_clean


def test_undelete_brings_back_what_the_transaction_wrote_before_it_deleted(store: kiromi.Store) -> None:
    m = store.append("v1", ANA)
    with store.transaction() as tx:
        tx.update(m.id, content="v2")
        tx.delete(m.id)
        tx.undelete(m.id)
    assert store.get(m.id).text == "v2"
    assert store.verify(read_data=True).is_clean


def test_what_a_transaction_made_and_deleted_can_be_deleted_again_or_brought_back(store: kiromi.Store) -> None:
    with store.transaction() as tx:
        gone = tx.append("gone", ANA)
        tx.delete(gone.id)
        tx.delete(gone.id)
        back = tx.append("back", ANA)
        tx.delete(back.id)
        tx.undelete(back.id)
    assert not store.exists(gone.id)
    assert store.get(back.id).text == "back"
    assert store.verify(read_data=True).is_clean
