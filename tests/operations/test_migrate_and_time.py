"""Scheme migrations and what goes back or elsewhere in time: restore, archives, erase and gc across one."""

from pathlib import Path

import pytest

import kiromi
from tests.operations.tree import data_files

OLD = "user={user}"
NEW = "topic={topic}/user={user}"
SET = {"topic": "{kind}"}


@pytest.fixture
def moved(root: Path) -> tuple[list[str], dict[str, bytes]]:
    """A store that was migrated with a ``set``; its ids, and the tree before."""
    with kiromi.open(root, scheme=OLD) as store:
        ids = [store.append(f"text {i}", {"user": f"u{i % 2}"}, kind="semantic").id for i in range(4)]
        before = data_files(root)
        store.snapshot("before")
        store.migrate_scheme(NEW, set=SET)
        assert data_files(root).keys() == {
            f"topic=semantic/user=u{i % 2}/{memory_id}.1.md" for i, memory_id in enumerate(ids)
        }
        assert store.append("new", {"user": "u0"}).path.startswith("data/topic=episodic/user=u0/")
    return ids, before


def test_a_restore_across_a_migration_brings_back_what_new_memories_get(
    root: Path, moved: tuple[list[str], dict[str, bytes]]
) -> None:
    ids, before = moved
    with kiromi.open(root) as store:
        undo = store.restore("before").snapshot
        assert data_files(root) == before
        assert store.scheme == OLD
        later = store.append("later", {"user": "u0"})
        assert (later.path, dict(later.attributes)) == (f"data/user=u0/{later.id}.1.md", {"user": "u0"})
        store.delete(later.id)
        assert undo is not None
        store.restore(undo)
        assert store.scheme == NEW
        assert store.append("new", {"user": "u1"}).path.startswith("data/topic=episodic/user=u1/")
        assert store.verify(read_data=True).is_clean
        assert {one.id for one in store.list(within={"topic": "semantic"}).items} == set(ids)


def test_an_archive_carries_what_new_memories_get(
    root: Path, tmp_path: Path, moved: tuple[list[str], dict[str, bytes]]
) -> None:
    with kiromi.open(root) as store:
        store.export_archive("before", tmp_path / "then")
        store.export_archive("live", tmp_path / "now")
        digest = store.digest()
    for name, path in (("then", "data/user=u1/"), ("now", "data/topic=episodic/user=u1/")):
        kiromi.import_archive(tmp_path / name, tmp_path / f"store-{name}")
        with kiromi.open(tmp_path / f"store-{name}") as made:
            assert name == "then" or made.digest() == digest
            assert made.append("new", {"user": "u1"}).path.startswith(path)
            assert made.verify(read_data=True).is_clean


def test_gc_and_erase_after_a_migration(root: Path, moved: tuple[list[str], dict[str, bytes]]) -> None:
    ids, _ = moved
    with kiromi.open(root) as store:
        store.erase(ids[:1], dry_run=False)
        store.gc("0", dry_run=False)
        assert store.at("before").list_ids() == sorted(ids[1:])
        assert store.verify(read_data=True).is_clean
        report = store.rollback_migration()
        assert store.scheme == OLD
        assert store.verify(read_data=True).is_clean
        assert report.moved >= 3
        folders = {path.rpartition("/")[0] for path in data_files(root)}
        assert folders <= {"user=u0", "user=u1", "topic=episodic/user=u0"}
