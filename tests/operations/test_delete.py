"""delete, undelete, delete_where: nothing is lost, and what touches many shows its plan first."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import kiromi
from tests.operations.tree import attic_files, data_files, staged_files

ANA = {"user": "ana", "topic": "travel"}
PAST = datetime(2000, 1, 1, tzinfo=UTC)
NOBODY = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def test_a_deleted_memory_rests_in_the_attic(store: kiromi.Store, root: Path) -> None:
    m = store.append("x", ANA, key="k")
    info = store.delete(m.id)
    assert info.path == f"attic/{m.id[-2:]}/{m.id}.1.md"
    assert (info.id, info.version) == (m.id, 1)
    assert not (root / "default/data/user=ana").exists()
    assert list(attic_files(root).items()) == [(f"{m.id[-2:]}/{m.id}.1.md", b"x")]
    assert not store.exists(m.id)
    assert not store.exists(key="k")
    assert store.count() == len(store.list().items) == len(store.list_ids()) == 0
    with pytest.raises(kiromi.MemoryDeleted, match="at seq 2") as deleted:
        store.get(m.id)
    assert deleted.value.details == {"id": m.id, "seq": 2}
    assert [(v.begin_seq, v.end_seq) for v in store.history(m.id)] == [(1, 2)]


def test_deleting_twice_changes_nothing(store: kiromi.Store) -> None:
    m = store.append("x", ANA)
    first = store.delete(m.id)
    assert store.delete(m.id) == first
    assert store.delete(m.id, expected_version=77) == first
    assert store.seq == 2


def test_delete_what_never_was(store: kiromi.Store) -> None:
    for call in (store.delete, store.undelete, store.history):
        with pytest.raises(kiromi.MemoryNotFound):
            call(NOBODY)
        with pytest.raises(kiromi.InvalidInput, match="ULID"):
            call("nobody")


def test_expected_version(store: kiromi.Store) -> None:
    m = store.append("x", ANA)
    with pytest.raises(kiromi.VersionConflict):
        store.delete(m.id, expected_version=2)
    assert store.exists(m.id)
    store.delete(m.id, expected_version=1)
    assert not store.exists(m.id)


def test_undelete_brings_all_back_as_the_next_version(store: kiromi.Store, root: Path) -> None:
    m = store.append("x", ANA, key="k", tags=["a"], attributes={"n": 1})
    store.delete(m.id)
    info = store.undelete(m.id)
    assert (info.version, info.seq, info.path) == (2, 3, m.path)
    again = store.get(key="k")
    assert (again.text, again.tags, again.attributes, again.created_at) == ("x", m.tags, m.attributes, m.created_at)
    assert not attic_files(root)
    assert not staged_files(root)
    assert store.undelete(m.id).version == 2, "a live memory stays as it is"
    assert store.seq == 3


def test_undelete_brings_back_the_last_version(store: kiromi.Store, root: Path) -> None:
    m = store.append("one", ANA)
    for round_trip in range(3):
        store.update(m.id, content=f"two {round_trip}", attributes={"topic": f"t{round_trip}"})
        store.delete(m.id)
        store.undelete(m.id)
        assert store.get(m.id).text == f"two {round_trip}"
        assert list(data_files(root)) == [f"user=ana/topic=t{round_trip}/{m.id}.{round_trip + 2}.md"]
    assert [v.info.version for v in store.history(m.id)] == [7, 6, 5, 4, 3, 2, 1]
    assert store.update(m.id, content="three").version == 8
    assert len(attic_files(root)) == 4


def test_undelete_when_the_key_is_in_use(store: kiromi.Store, root: Path) -> None:
    m = store.append("x", ANA, key="k")
    store.delete(m.id)
    other = store.append("y", ANA, key="k")
    with pytest.raises(kiromi.AlreadyExists, match="'k'"):
        store.undelete(m.id)
    assert store.get(key="k").id == other.id
    assert len(attic_files(root)) == 1
    store.update(other.id, key=None)
    assert store.undelete(m.id).key == "k"


def test_undelete_of_an_expired_memory(store: kiromi.Store) -> None:
    m = store.append("x", ANA, expires_at=PAST)
    store.delete(m.id)
    store.undelete(m.id)
    with pytest.raises(kiromi.MemoryExpired):
        store.get(m.id)
    store.delete(m.id)


def filled(store: kiromi.Store) -> dict[str, str]:
    ids = {}
    for user in ("ana", "bob"):
        for n in range(3):
            ids[f"{user}{n}"] = store.append("x" * n, {"user": user}, attributes={"n": n}).id
    ids["expired"] = store.append("xxxx", {"user": "ana"}, attributes={"n": 9}, expires_at=PAST).id
    return ids


@pytest.mark.parametrize(
    ("within", "where", "expected"),
    [
        ({"user": "ana"}, None, ["ana0", "ana1", "ana2", "expired"]),
        (None, {"n": {"$gte": 1}}, ["ana1", "ana2", "bob1", "bob2", "expired"]),
        ({"user": "bob"}, "n > 0", ["bob1", "bob2"]),
        (None, {}, ["ana0", "ana1", "ana2", "bob0", "bob1", "bob2", "expired"]),
        ({"user": "nobody"}, None, []),
    ],
    ids=repr,
)
def test_delete_where_shows_its_plan_and_then_does_it(
    store: kiromi.Store, root: Path, within: Any, where: Any, expected: list[str]
) -> None:
    ids = filled(store)
    seq, files = store.seq, data_files(root)
    chosen = {ids[name] for name in expected}
    plan = store.delete_where(within, where)
    assert not plan.applied
    assert set(plan.ids) == chosen
    assert plan.count == len(chosen)
    assert plan.size_bytes == sum(len(data) for path, data in files.items() if path.split("/")[-1][:26] in chosen)
    assert store.seq == seq
    assert data_files(root) == files

    done = store.delete_where(within, where, dry_run=False)
    assert (done.applied, done.count, done.ids, done.size_bytes) == (True, plan.count, plan.ids, plan.size_bytes)
    assert store.seq == seq + bool(chosen), "one batch is one operation"
    left = {path.split("/")[-1][:26] for path in data_files(root)}
    assert left == set(ids.values()) - chosen
    assert len(attic_files(root)) == len(chosen)
    for memory_id in chosen:
        store.undelete(memory_id)
    assert data_files(root) == files


@pytest.mark.parametrize("within", [None, {}])
def test_delete_where_of_everything_has_to_be_said(store: kiromi.Store, within: Any) -> None:
    filled(store)
    with pytest.raises(kiromi.InvalidInput, match=r"where=\{\}"):
        store.delete_where(within, dry_run=False)
    assert store.seq == 7


def test_delete_where_reports_all_that_it_deleted(store: kiromi.Store) -> None:
    store.append_many({"content": "x", "partition": {"user": "ana"}} for _ in range(1_200))
    ids = store.list_ids()
    plan = store.delete_where({"user": "ana"})
    assert plan.count == 1_200
    assert plan.ids == tuple(ids[: len(plan.ids)])
    assert store.delete_where({"user": "ana"}, dry_run=False).ids == tuple(ids)
    assert store.count() == 0


@pytest.mark.parametrize(
    ("within", "where", "message"),
    [
        ({"nope": 1}, None, "'nope'"),
        (None, {"n": {"$near": 1}}, r"\$near"),
        (None, "n >", "position"),
        (None, 5, "where is a int"),
        ("user=ana", None, "mapping"),
    ],
    ids=repr,
)
def test_delete_where_refuses_nonsense(store: kiromi.Store, within: Any, where: Any, message: str) -> None:
    filled(store)
    with pytest.raises(kiromi.InvalidInput, match=message):
        store.delete_where(within, where, dry_run=False)
    assert store.seq == 7
