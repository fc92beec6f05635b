"""An erasure reaches the archives that it is pointed at, and the one that is kept beside the store (P14)."""

from pathlib import Path
from typing import Any

import duckdb
import pytest

import kiromi
from kiromi import StorageError
from kiromi.ids import ERASED_ID
from kiromi.operations import erase as erasing
from tests.operations.erasing import SNAPSHOT, new_token, places_of, remember


def archived_places(folder: Path, *words: str) -> set[str]:
    """Return the parts of archives that have one of the words in a value, and other files that have one."""
    found = set()
    for path in folder.rglob("*.*"):
        if path.suffix == ".parquet":
            with duckdb.connect() as connection:
                text = str(connection.execute("SELECT * FROM read_parquet(?)", [str(path)]).fetchall())
        else:
            text = path.read_bytes().decode(errors="replace")
        found |= {path.name.partition("-")[0] for word in words if word in text}
    return found


@pytest.fixture
def archives(tmp_path: Path) -> Path:
    return tmp_path / "archives"


def test_a_token_goes_from_a_chain_of_archives(root: Path, archives: Path, tmp_path: Path) -> None:
    token = new_token()
    erased, others = remember(root, token)
    full, increment = archives / "full", archives / "increment"
    with kiromi.open(root) as store:
        store.export_archive(SNAPSHOT, full)
        store.update(erased[0], content=f"later {token}")
        store.export_archive("live", increment, since=SNAPSHOT)
        before = archived_places(archives, token, *erased)
        assert before >= {"memories", "contents", "links", "audit", "supersessions", "history"}
        plan = store.erase(erased, archives=[full, increment])
        assert plan.archives == (str(full), str(increment))
        assert archived_places(archives, token, *erased) == before
        report = store.erase(erased, archives=[full, increment], dry_run=False)
        assert (report.archives, report.memories) == (plan.archives, 3)
        assert store.verify(read_data=True).is_clean
        digest = store.digest()
    assert archived_places(archives, token, *erased) == set()
    assert places_of(root, token, *erased) == set()
    for url in (full, increment):
        assert kiromi.verify_archive(url).problems == ()
    kiromi.import_archive([full, increment], tmp_path / "new")
    with kiromi.open(tmp_path / "new") as made:
        assert set(made.list_ids()) == set(others)
        assert made.get(others[2]).superseded_by == ERASED_ID
        assert made.digest() == digest


def test_the_archive_beside_the_store_is_rewritten_unasked(root: Path, archives: Path) -> None:
    token = new_token()
    erased, _ = remember(root, token)
    with kiromi.open(root, archive=archives) as store:
        store.snapshot("kept")
        assert archived_places(archives, token, *erased)
        assert store.erase(erased, dry_run=False).archives == (str(archives),)
        assert archived_places(archives, token, *erased) == set()
        store.snapshot("after")
    assert archived_places(archives, token, *erased) == set()
    assert places_of(root, token, *erased) == set()


def test_an_archive_that_is_not_there_refuses_the_erasure(root: Path, archives: Path) -> None:
    with kiromi.open(root, scheme="user={user}") as store:
        memory = store.append("stays", {"user": "ana"})
        for dry_run in (True, False):
            with pytest.raises(kiromi.NotFound):
                store.erase([memory.id], archives=[archives], dry_run=dry_run)
        with pytest.raises(kiromi.InvalidInput, match="archives"):
            store.erase([memory.id], archives=[7], dry_run=False)  # type: ignore[list-item]
        assert store.get(memory.id).text == "stays"


def test_the_archive_of_another_store_refuses_the_erasure(root: Path, archives: Path, tmp_path: Path) -> None:
    with kiromi.open(tmp_path / "other", scheme="user={user}") as other:
        other.append("theirs", {"user": "ana"})
        other.export_archive("live", archives)
        theirs = other.digest()
    with kiromi.open(root, scheme="user={user}") as store:
        memory = store.append("stays", {"user": "ana"})
        for dry_run in (True, False):
            with pytest.raises(kiromi.InvalidInput, match="is of the store"):
                store.erase([memory.id], archives=[archives], dry_run=dry_run)
        assert store.get(memory.id).text == "stays"
    assert kiromi.verify_archive(archives).problems == ()
    kiromi.import_archive([archives], tmp_path / "copy")
    with kiromi.open(tmp_path / "copy") as copy:
        assert copy.digest() == theirs
        assert copy.erase(copy.list_ids(), archives=[archives], dry_run=False).archives == (str(archives),)


def test_a_stopped_erasure_rewrites_the_archives_when_it_goes_on(
    root: Path, archives: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = new_token()
    erased, _ = remember(root, token)
    with kiromi.open(root) as store:
        store.export_archive("live", archives)

        def fail(*arguments: Any) -> None:
            raise StorageError("the network is gone")

        monkeypatch.setattr(erasing, "rewrite_archives", fail)
        with pytest.raises(StorageError, match="network"):
            store.erase(erased, archives=[archives], dry_run=False)
        monkeypatch.undo()
        assert store.count() > 0
    with kiromi.open(root) as store:
        assert not any(map(store.exists, erased))
        assert store.verify(read_data=True).is_clean
    assert archived_places(archives, token, *erased) == set()
    assert places_of(root, token, *erased) == set()
