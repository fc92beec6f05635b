"""partitions: the tree with its counts, cut at any depth."""

from pathlib import Path
from typing import Any

import pytest

import kiromi
from tests.operations.tree import data_files


def filled(store: kiromi.Store) -> None:
    for user, topic, size in (
        ("ana", "travel", 3),
        ("ana", "travel", 4),
        ("ana", "food", 5),
        ("bob", "food", 0),
        ("a/b %", None, 1),
    ):
        store.append("x" * size, {"user": user, "topic": topic})


def test_whole_paths(store: kiromi.Store) -> None:
    filled(store)
    assert [(p.path, dict(p.values), p.count, p.size_bytes) for p in store.partitions()] == [
        ("user=a%2Fb %25/topic=__HIVE_DEFAULT_PARTITION__", {"user": "a/b %", "topic": None}, 1, 1),
        ("user=ana/topic=food", {"user": "ana", "topic": "food"}, 1, 5),
        ("user=ana/topic=travel", {"user": "ana", "topic": "travel"}, 2, 7),
        ("user=bob/topic=food", {"user": "bob", "topic": "food"}, 1, 0),
    ]


def test_cut_at_a_depth(store: kiromi.Store) -> None:
    filled(store)
    assert [(p.path, dict(p.values), p.count, p.size_bytes) for p in store.partitions(depth=1)] == [
        ("user=a%2Fb %25", {"user": "a/b %"}, 1, 1),
        ("user=ana", {"user": "ana"}, 3, 12),
        ("user=bob", {"user": "bob"}, 1, 0),
    ]
    assert store.partitions(depth=2) == store.partitions(depth=9) == store.partitions()


def test_within(store: kiromi.Store) -> None:
    filled(store)
    assert [p.path for p in store.partitions({"topic": "food"})] == ["user=ana/topic=food", "user=bob/topic=food"]
    assert [(p.path, p.count) for p in store.partitions({"user": "ana"}, depth=1)] == [("user=ana", 3)]
    assert store.partitions({"user": "nobody"}) == []


def test_they_are_the_folders_on_disk(store: kiromi.Store, root: Path) -> None:
    filled(store)
    moved = store.list_ids({"user": "bob"})[0]
    store.update(moved, attributes={"user": "eve"})
    store.delete(store.list_ids({"topic": None})[0])
    assert {p.path for p in store.partitions()} == {str(Path(path).parent) for path in data_files(root)}


def test_literals_are_levels_without_a_value(tmp_path: Path) -> None:
    with kiromi.open(tmp_path / "s", scheme="notes/user={user}/v1") as store:
        store.append("x", {"user": "ana"})
        assert [(p.path, dict(p.values)) for p in store.partitions()] == [("notes/user=ana/v1", {"user": "ana"})]
        assert [(p.path, dict(p.values)) for p in store.partitions(depth=1)] == [("notes", {})]


def test_a_partition_by_row(tmp_path: Path) -> None:
    with kiromi.open(tmp_path / "s", scheme="shard={user:bucket(1)}") as store:
        store.append("x", {"user": "ana"})
        store.append("yy", {"user": "bob"})
        assert [(p.path, p.count, p.size_bytes) for p in store.partitions({"user": "bob"})] == [("shard=0", 1, 2)]


@pytest.mark.parametrize("depth", [0, -1, 1.5, "1", True], ids=repr)
def test_depth_is_a_positive_number(store: kiromi.Store, depth: Any) -> None:
    with pytest.raises(kiromi.InvalidInput, match="depth="):
        store.partitions(depth=depth)


def test_an_empty_store_has_none(store: kiromi.Store) -> None:
    assert store.partitions() == []
