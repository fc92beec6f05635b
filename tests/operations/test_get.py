"""get, get_many, exists: what is there, or why it is not."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import kiromi

ANA = {"user": "ana"}
PAST = datetime(2000, 1, 1, tzinfo=UTC)
NOBODY = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def test_by_id_and_by_key(store: kiromi.Store) -> None:
    m = store.append("x", ANA, key="k", namespace="n")
    assert store.get(m.id) == store.get(key="k", namespace="n") == m
    assert store.exists(m.id)
    assert store.exists(key="k", namespace="n")
    assert not store.exists(key="k")
    assert not store.exists(NOBODY)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either an id or key="),
        ({"id": NOBODY, "key": "k"}, "not both"),
        ({"id": "x"}, "upper-case ULID"),
        ({"id": NOBODY.lower()}, "upper-case ULID"),
        ({"id": 5}, "upper-case ULID"),
        ({"id": ""}, "upper-case ULID"),
        ({"key": 5}, "key=5"),
        ({"key": "\ud800"}, "surrogate"),
        ({"key": "k", "namespace": None}, "namespace=None"),
    ],
    ids=repr,
)
def test_names_are_checked(store: kiromi.Store, arguments: dict[str, Any], message: str) -> None:
    for call in (store.get, store.exists):
        with pytest.raises(kiromi.InvalidInput, match=message):
            call(**arguments)


def test_why_it_is_not_there(store: kiromi.Store) -> None:
    deleted, expired = store.append("x", ANA, key="d"), store.append("x", ANA, key="e", expires_at=PAST)
    store.delete(deleted.id)
    with pytest.raises(kiromi.MemoryNotFound) as never:
        store.get(NOBODY)
    assert type(never.value) is kiromi.MemoryNotFound
    with pytest.raises(kiromi.MemoryDeleted, match="undelete"):
        store.get(deleted.id)
    with pytest.raises(kiromi.MemoryExpired, match="2000-01-01"):
        store.get(expired.id)
    with pytest.raises(kiromi.MemoryExpired):
        store.get(key="e")
    with pytest.raises(kiromi.MemoryNotFound, match="'d'"):
        store.get(key="d")
    assert isinstance(never.value, KeyError)


def test_expired_memories_are_left_out_everywhere_but_in_history(store: kiromi.Store) -> None:
    m = store.append("x", ANA, key="e", expires_at=PAST)
    kept = store.append("y", ANA, expires_at=datetime(9999, 1, 1, tzinfo=UTC))
    assert not store.exists(m.id)
    assert not store.exists(key="e")
    assert store.count() == store.count({"user": "ana"}) == store.count(where={"key": {"$exists": True}}) + 1 == 1
    assert store.list_ids() == [kept.id]
    assert [item.id for item in store.list().items] == [kept.id]
    assert store.get_many([m.id, kept.id], missing="skip") == [kept]
    assert store.history(m.id)[0].info.expires_at == PAST
    assert store.stats().expired == 1


def test_get_many_keeps_the_order(store: kiromi.Store) -> None:
    memories = [store.append(f"{i}", ANA) for i in range(5)]
    wanted = [memories[i] for i in (3, 1, 3, 0)]
    assert store.get_many(m.id for m in wanted) == wanted
    assert store.get_many([]) == []


def test_get_many_of_what_is_missing(store: kiromi.Store) -> None:
    m, deleted = store.append("x", ANA), store.append("y", ANA)
    store.delete(deleted.id)
    assert store.get_many([NOBODY, m.id, deleted.id], missing="skip") == [m]
    with pytest.raises(kiromi.MemoryDeleted):
        store.get_many([m.id, deleted.id])
    with pytest.raises(kiromi.InvalidInput, match="missing='ignore'"):
        store.get_many([], missing="ignore")  # type: ignore[arg-type]
    with pytest.raises(kiromi.InvalidInput, match="ULID"):
        store.get_many(["x"], missing="skip")


def test_what_is_skipped_is_not_looked_for_in_the_tables(store: kiromi.Store) -> None:
    m = store.append("x", ANA)
    store.delete(m.id)
    assert store.get_many([NOBODY, m.id], missing="skip") == []
    assert not store.exists(m.id)
    assert not store.exists(NOBODY)
    assert not store._caller().session.catalog.is_folded, "a query would have folded the journal"


def test_a_changed_or_removed_blob_is_never_given_out(store: kiromi.Store, root: Path) -> None:
    changed, removed = store.append("good", ANA), store.append("x", ANA)
    (root / "default" / changed.path).write_bytes(b"evil")
    os.unlink(root / "default" / removed.path)
    for call in (lambda m: store.get(m.id), lambda m: store.get_many([m.id])):
        with pytest.raises(kiromi.ChecksumMismatch, match=changed.id):
            call(changed)
        with pytest.raises(kiromi.BlobMissing, match=removed.id):
            call(removed)
    assert store.exists(changed.id)
    assert store.list().items[0].id == changed.id, "a listing reads no blobs"


def test_what_comes_back_is_frozen(store: kiromi.Store) -> None:
    m = store.get(store.append("x", ANA).id)
    with pytest.raises(AttributeError):
        m.title = "t"  # type: ignore[misc]
    info = m.info()
    assert type(info) is kiromi.MemoryInfo
    assert info == store.list().items[0]


@pytest.mark.parametrize("ids", [None, 5, NOBODY, b"x"], ids=repr)
def test_get_many_takes_an_iterable_of_ids(store: kiromi.Store, ids: Any) -> None:
    with pytest.raises(kiromi.InvalidInput, match="is not an iterable of ids"):
        store.get_many(ids)
