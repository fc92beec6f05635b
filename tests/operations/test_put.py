"""put: upsert by key; what it leaves depends on the call alone."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import kiromi
from tests.operations.tree import attic_files, data_files

ANA = {"user": "ana", "topic": "travel"}
PAST = datetime(2000, 1, 1, tzinfo=UTC)


def test_the_first_put_appends_and_the_next_make_versions(store: kiromi.Store, root: Path) -> None:
    first = store.put("one", ANA, key="k")
    second = store.put("two", ANA, key="k")
    assert (first.version, second.version, second.id) == (1, 2, first.id)
    assert second.created_at == first.created_at
    assert store.get(key="k").text == "two"
    assert list(data_files(root).values()) == [b"two"]
    assert list(attic_files(root).values()) == [b"one"]
    assert [v.info.version for v in store.history(first.id)] == [2, 1]


def test_what_is_not_given_is_reset(store: kiromi.Store) -> None:
    first = store.put(
        "one",
        ANA,
        key="k",
        title="t",
        tags=["a"],
        kind="semantic",
        importance=0.5,
        event_at=PAST,
        valid_from=PAST,
        attributes={"trip": 7},
        media_type="text/plain",
    )
    second = store.put("one", {"user": "ana"}, key="k")
    assert second.id == first.id
    assert (second.title, second.tags, second.kind, second.importance, second.valid_from) == (
        None,
        (),
        "episodic",
        None,
        None,
    )
    assert second.attributes == {"user": "ana"}
    assert second.media_type == "text/markdown"
    assert second.event_at == second.created_at == first.created_at
    assert second.partition["topic"] == "inbox"


def test_the_same_again_makes_no_version(store: kiromi.Store) -> None:
    first = store.put("one", ANA, key="k", tags=["a"], attributes={"d": 1})
    again = store.put("one", ANA, key="k", tags=["a"], attributes={"d": 1})
    assert again == first
    assert store.seq == 1
    assert len(store.history(first.id)) == 1


def test_a_move_and_a_change_at_once(store: kiromi.Store, root: Path) -> None:
    first = store.put("one", ANA, key="k")
    store.put("two", {"user": "bob"}, key="k")
    assert data_files(root) == {f"user=bob/topic=inbox/{first.id}.2.md": b"two"}
    assert attic_files(root) == {f"{first.id[-2:]}/{first.id}.1.md": b"one"}


def test_namespaces_are_apart(store: kiromi.Store) -> None:
    one, two = store.put("one", ANA, key="k"), store.put("two", ANA, key="k", namespace="n")
    assert one.id != two.id
    assert store.put("three", ANA, key="k", namespace="n").id == two.id


def test_keys_are_literal(store: kiromi.Store) -> None:
    keys = ["k", "K", "k ", "%", "_", "k%", "caf\u00e9", "cafe\u0301", "a/b", "..", "'; DROP TABLE memories; --", "k\0"]
    ids = [store.put(key, ANA, key=key).id for key in keys]
    assert len(set(ids)) == len(keys)
    assert [store.get(key=key).text for key in keys] == keys


def test_an_expired_memory_is_updated(store: kiromi.Store) -> None:
    first = store.put("one", ANA, key="k", expires_at=PAST)
    with pytest.raises(kiromi.MemoryExpired):
        store.get(key="k")
    assert store.put("two", ANA, key="k").id == first.id
    assert store.get(key="k").text == "two"


def test_after_a_delete_the_key_begins_anew(store: kiromi.Store) -> None:
    first = store.put("one", ANA, key="k")
    store.delete(first.id)
    second = store.put("two", ANA, key="k")
    assert second.id != first.id
    assert second.version == 1


def test_created_at_is_taken_only_by_the_first(store: kiromi.Store) -> None:
    first = store.put("one", ANA, key="k", created_at=PAST)
    second = store.put("two", ANA, key="k", created_at=PAST + timedelta(days=1))
    assert first.created_at == second.created_at == PAST


def test_an_id_has_to_be_the_keys_own(store: kiromi.Store) -> None:
    first = store.put("one", ANA, key="k")
    assert store.put("two", ANA, key="k", id=first.id).version == 2
    other = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    with pytest.raises(kiromi.AlreadyExists, match=other):
        store.put("three", ANA, key="k", id=other)
    assert store.put("four", ANA, key="new", id=other).id == other
    with pytest.raises(kiromi.AlreadyExists):
        store.put("five", ANA, key="newer", id=other)


def test_put_needs_a_key(store: kiromi.Store) -> None:
    with pytest.raises(kiromi.InvalidInput, match="put needs a key"):
        store.put("x", ANA, key=None)  # type: ignore[arg-type]
    with pytest.raises(kiromi.InvalidInput, match="key ''"):
        store.put("x", ANA, key="")


def test_put_after_the_key_moved_within_the_journal(store: kiromi.Store) -> None:
    # Without a fold in between, so that the answer comes from what is not in the tables yet.
    first = store.put("one", ANA, key="a")
    store.update(first.id, key="b")
    second = store.put("two", ANA, key="a")
    assert second.id != first.id
    store.update(first.id, key=None)
    assert store.put("three", ANA, key="b").version == 1
    assert store.put("four", ANA, key="a").id == second.id


def test_the_audit_says_put(store: kiromi.Store) -> None:
    store.put("one", ANA, key="k")
    store.put("two", ANA, key="k")
    assert [entry.op for entry in store.audit()] == ["append", "put"]
