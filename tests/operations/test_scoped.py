"""Scoped handles: a wall for reading and writing, by id, by key or otherwise."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import kiromi
from tests.operations.tree import data_files

SECRET = "the launch code is 4711"


@pytest.fixture
def theirs(store: kiromi.Store) -> kiromi.Memory:
    return store.append(
        SECRET,
        {"user": "bob", "topic": "codes"},
        key="k",
        namespace="n",
        title="launch",
        tags=["hush"],
        attributes={"pin": 4711},
    )


@pytest.fixture
def ana(store: kiromi.Store) -> kiromi.Store:
    return store.scoped({"user": "ana"})


@pytest.fixture(params=["live", "deleted", "moved away"])
def outside(request: pytest.FixtureRequest, store: kiromi.Store, theirs: kiromi.Memory) -> kiromi.Memory:
    if request.param == "deleted":
        store.delete(theirs.id)
    if request.param == "moved away":
        store.update(theirs.id, attributes={"user": "eve"}, content="another " + SECRET)
    return theirs


def assert_says_nothing(error: kiromi.KiromiError) -> None:
    said = f"{error} {error.details}"
    for word in ("bob", "eve", "launch", "4711", "codes", "hush"):
        assert word not in said


def test_nothing_outside_can_be_reached_by_id(ana: kiromi.Store, outside: kiromi.Memory, root: Path) -> None:
    files = data_files(root)
    seq = ana.seq
    calls: list[Callable[[str], Any]] = [
        ana.get,
        ana.delete,
        ana.undelete,
        ana.history,
        lambda i: ana.get_many([i]),
        lambda i: ana.update(i, content="mine"),
        lambda i: ana.update(i, attributes={"user": "ana"}),
        lambda i: ana.update(i, expected_version=99, title="t"),
        lambda i: ana.delete(i, expected_version=99),
    ]
    for call in calls:
        with pytest.raises(kiromi.MemoryNotFound) as refusal:
            call(outside.id)
        assert type(refusal.value) is kiromi.MemoryNotFound, "not even that it was deleted"
        assert_says_nothing(refusal.value)
    with ana.transaction() as tx:
        for inside in (
            tx.get,
            tx.delete,
            tx.undelete,
            lambda i: tx.update(i, title="t"),
        ):
            with pytest.raises(kiromi.MemoryNotFound) as refusal:
                inside(outside.id)
            assert_says_nothing(refusal.value)
    assert not ana.exists(outside.id)
    assert ana.get_many([outside.id], missing="skip") == []
    assert ana.seq == seq
    assert data_files(root) == files


def test_nothing_outside_can_be_reached_by_key(
    store: kiromi.Store, ana: kiromi.Store, theirs: kiromi.Memory, root: Path
) -> None:
    with pytest.raises(kiromi.MemoryNotFound) as missing:
        ana.get(key="k", namespace="n")
    assert_says_nothing(missing.value)
    assert not ana.exists(key="k", namespace="n")
    for call in (ana.put, ana.append):
        with pytest.raises(kiromi.AlreadyExists) as taken:
            call("mine", key="k", namespace="n")
        assert_says_nothing(taken.value)
    with pytest.raises(kiromi.AlreadyExists) as taken:
        ana.append("mine", id=theirs.id)
    assert_says_nothing(taken.value)
    assert store.get(theirs.id) == theirs


def test_nothing_outside_is_listed(ana: kiromi.Store, outside: kiromi.Memory) -> None:
    assert ana.list().items == ()
    assert ana.list({"user": "bob"}).items == ()
    assert ana.list_ids({"user": "eve"}) == []
    assert ana.count() == ana.count(where={"pin": 4711}) == 0
    assert ana.partitions() == []
    assert ana.audit() == []
    assert ana.audit(id=outside.id) == []
    assert list(ana.changes()) == []
    assert ana.delete_where(where={}).count == 0
    assert ana.delete_where({"user": "bob"}, {}, dry_run=False).count == 0


def test_what_is_inside_can_be_used(store: kiromi.Store, ana: kiromi.Store, theirs: kiromi.Memory) -> None:
    mine = ana.append("mine", {"topic": "food"}, key="m")
    assert mine.attributes == {"user": "ana", "topic": "food"}
    assert store.get(mine.id) == mine == ana.get(key="m")
    assert ana.put("mine 2", key="m").version == 2
    assert ana.update(mine.id, title="t").attributes["user"] == "ana"
    assert ana.append_many([{"content": "a"}, {"content": "b", "partition": {"user": "ana"}}]).appended == 2
    assert ana.count() == 3
    assert store.count() == 4
    assert [p.path for p in ana.partitions(depth=1)] == ["user=ana"]
    assert {entry.memory_id for entry in ana.audit()} == set(ana.list_ids())
    assert [c.seq for c in ana.changes()] == [2, 3, 4, 5, 5]
    assert ana.delete(mine.id).id == mine.id
    with pytest.raises(kiromi.MemoryDeleted):
        ana.get(mine.id)
    assert ana.undelete(mine.id).id == mine.id
    assert len(ana.history(mine.id)) == 4
    assert ana.delete_where(where={}, dry_run=False).count == 3
    assert store.list_ids() == [theirs.id]


def test_nothing_can_be_written_outside(store: kiromi.Store, ana: kiromi.Store) -> None:
    mine = ana.append("mine", key="m")
    writes: list[Callable[[], Any]] = [
        lambda: ana.append("x", {"user": "bob"}),
        lambda: ana.append("x", attributes={"user": "bob"}),
        lambda: ana.put("x", {"user": "bob"}, key="new"),
        lambda: ana.put("x", {"user": "bob"}, key="m"),
        lambda: ana.update(mine.id, attributes={"user": "bob"}),
        lambda: ana.update(mine.id, partition={"user": "bob"}),
        lambda: ana.update(mine.id, partition={"user": None}),
        lambda: ana.append_many([{"content": "fine"}, {"content": "x", "partition": {"user": "bob"}}]),
    ]
    for write in writes:
        with pytest.raises(kiromi.InvalidInput, match="outside the scope"):
            write()
    with ana.transaction() as tx, pytest.raises(kiromi.InvalidInput, match="outside the scope"):
        tx.append("x", {"user": "bob"})
    assert ana.update(mine.id, attributes={"user": None}).attributes == {"user": "ana"}, "the scope's value stays"
    assert store.list_ids() == [mine.id]
    assert store.seq == 1


def test_scopes_only_narrow(store: kiromi.Store, theirs: kiromi.Memory) -> None:
    ana = store.scoped({"user": "ana"})
    food = ana.scoped({"topic": "food"})
    mine = food.append("x")
    ana.append("y", {"topic": "travel"})
    assert mine.partition == {"user": "ana", "topic": "food"}
    assert food.list_ids() == [mine.id]
    assert ana.count() == 2
    other = ana.scoped({"user": "bob"})
    assert other.count() == 0
    assert other.list().items == ()
    assert not other.exists(theirs.id)
    with pytest.raises(kiromi.InvalidInput):
        other.append("x")
    with pytest.raises(kiromi.InvalidInput):
        other.append("x", {"user": "bob"})


@pytest.mark.parametrize("within", [{}, None])
def test_an_empty_scope_is_refused(store: kiromi.Store, within: Any) -> None:
    with pytest.raises(kiromi.InvalidInput, match="within"):
        store.scoped(within)
    with pytest.raises(kiromi.InvalidInput, match="within"):
        store.scoped({"user": "ana"}).scoped(within)


def test_counts_of_the_whole_tenant_are_refused(ana: kiromi.Store) -> None:
    with pytest.raises(kiromi.InvalidInput, match="whole tenant"):
        ana.stats()


def test_a_memory_that_moves_in_shows_from_then_on(
    store: kiromi.Store, ana: kiromi.Store, theirs: kiromi.Memory
) -> None:
    store.update(theirs.id, attributes={"user": "ana"}, content="now yours", title=None, tags=[])
    assert ana.get(theirs.id).text == "now yours"
    assert [v.begin_seq for v in ana.history(theirs.id)] == [2]
    assert [c.seq for c in ana.changes()] == [2]


def test_a_memory_that_moves_out_is_gone(store: kiromi.Store, ana: kiromi.Store) -> None:
    m = ana.append("mine")
    store.update(m.id, attributes={"user": "bob"}, content=SECRET)
    for call in (ana.get, ana.delete, ana.undelete):
        with pytest.raises(kiromi.MemoryNotFound) as refusal:
            call(m.id)
        assert type(refusal.value) is kiromi.MemoryNotFound
    assert [(v.begin_seq, v.end_seq) for v in ana.history(m.id)] == [(1, 2)]
    store.delete(m.id)
    with pytest.raises(kiromi.MemoryNotFound) as refusal:
        ana.get(m.id)
    assert type(refusal.value) is kiromi.MemoryNotFound, "undelete would not bring it back here"
    with pytest.raises(kiromi.MemoryNotFound):
        ana.undelete(m.id)


def test_scope_values_are_typed(store: kiromi.Store) -> None:
    seven = store.scoped({"user": 7})
    m = seven.append("x")
    assert repr(m.attributes["user"]) == "7"
    assert store.list_ids(where={"user": 7}) == [m.id]
    nobody = store.scoped({"user": None})
    assert nobody.append("x").attributes == {"user": None}


@pytest.fixture
def kinds(tmp_path: Path) -> Iterator[kiromi.Store]:
    with kiromi.open(tmp_path / "kinds", scheme="kind={kind}/month={event_at:month}/shard={user:bucket(4)}") as store:
        yield store


def test_scopes_by_built_ins_transforms_and_fields(kinds: kiromi.Store) -> None:
    semantic = kinds.scoped({"kind": "semantic"})
    assert semantic.append("x", {"user": "a"}).kind == "semantic"
    with pytest.raises(kiromi.InvalidInput, match="outside the scope"):
        semantic.append("x", {"user": "a"}, kind="working")
    january = kinds.scoped({"month": "2026-01"})
    assert january.append("x", {"user": "a"}, event_at=datetime(2026, 1, 5, tzinfo=UTC)).partition["month"] == "2026-01"
    with pytest.raises(kiromi.InvalidInput, match="outside the scope"):
        january.append("x", {"user": "a"}, event_at=datetime(2026, 2, 5, tzinfo=UTC))
    ana = kinds.scoped({"user": "ana"})
    mine = ana.append("x")
    same_shard = next(
        m
        for i in range(1000)
        if (m := kinds.append("y", {"user": f"u{i}"})).partition["shard"] == mine.partition["shard"]
    )
    assert ana.list_ids() == [mine.id]
    assert not ana.exists(same_shard.id)
    assert [e.memory_id for e in ana.audit()] == [mine.id]


def test_guards_and_actor_are_the_parents(root: Path) -> None:
    def refuse(draft: kiromi.Draft) -> kiromi.Draft:
        raise ValueError("no")

    with kiromi.open(root, scheme="user={user}", guards=[refuse]) as store, pytest.raises(ValueError, match="no"):
        store.scoped({"user": "ana"}).append("x")


def test_context_reaches_scoped_handles(store: kiromi.Store, ana: kiromi.Store) -> None:
    with store.context(actor="robot", run_id="r1"):
        m = ana.append("x")
    assert m.run_id == "r1"
    assert ana.audit()[0].actor == "robot"


def test_closing(store: kiromi.Store, ana: kiromi.Store) -> None:
    nested = ana.scoped({"topic": "food"})
    keeper = kiromi.open(store._base.session.root.url)
    ana.close()
    assert store.count() == 0, "closing a scoped handle closes nothing else"
    for handle in (ana, nested):
        with pytest.raises(kiromi.InvalidInput, match="closed"):
            handle.count()
    other = store.scoped({"user": "ana"}).scoped({"topic": "food"})
    store.close()
    with pytest.raises(kiromi.InvalidInput, match="closed"):
        other.count()
    keeper.close()


def test_the_log_of_a_move_does_not_tell_where_it_came_from_or_went(store: kiromi.Store, ana: kiromi.Store) -> None:
    moving = store.append("x", {"user": "ana", "topic": "a"})
    store.update(moving.id, attributes={"user": "bob", "topic": "codes"})
    store.update(moving.id, attributes={"user": "ana", "topic": "b"})
    store.update(moving.id, title="stays")
    told = {entry.seq: entry.detail for entry in ana.audit()}
    assert told[1]["path"] == "user=ana/topic=a"
    assert told[2] == told[3] == {}
    assert told[4]["changed"] == ["title"]
    assert [change.detail for change in ana.changes()] == list(told.values())
    assert ana.sql("SELECT detail FROM audit_log WHERE seq IN (2, 3)").column("detail").to_pylist() == ["{}", "{}"]
    assert store.audit(1, limit=1)[0].detail["path"] == ["user=ana/topic=a", "user=bob/topic=codes"]


@pytest.mark.parametrize("user", ["Ana", "ANA", "ana2", "an", "ana%", "a_a", "*", "ana\u0301"])
def test_a_scope_is_exact_for_who_knows_the_id(store: kiromi.Store, ana: kiromi.Store, user: str) -> None:
    m = store.append("theirs", {"user": user}, key="k")
    for read in (ana.get, ana.history, ana.delete, ana.undelete):
        with pytest.raises(kiromi.MemoryNotFound):
            read(m.id)
    with pytest.raises(kiromi.MemoryNotFound):
        ana.get(key="k")
    assert store.scoped({"user": user}).get(m.id).text == "theirs"
