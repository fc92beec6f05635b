"""An archive kept beside a store: up to date after each snapshot and at close, never in the way of a call."""

import threading
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import pytest

import kiromi
from kiromi import ArchiveWarning, Store
from kiromi.operations import archive_keeping
from kiromi.portable.archive.forget import forget
from kiromi.portable.archive.place import Place

SCHEME = "user={user}"


@pytest.fixture
def url() -> Iterator[str]:
    name = f"memory://{uuid.uuid4()}"
    yield name
    filesystem = fsspec.filesystem("memory")
    if filesystem.exists(name):
        filesystem.rm(name, recursive=True)


def opened(url: str, folder: Path, **how: Any) -> Store:
    return kiromi.open(f"{url}/store", catalog=folder / "catalog", archive=f"{url}/archive", **how)


def kept(url: str) -> list[int]:
    found = fsspec.filesystem("memory").glob(f"{url}/archive/*/manifest.json")
    return sorted(int(path.split("/")[-2]) for path in found)


def test_it_follows_snapshots_and_closing(url: str, tmp_path: Path) -> None:
    with opened(url, tmp_path, scheme=SCHEME) as store:
        assert store.stats().archive == f"{url}/archive"
        assert store.stats().archive_seq is None
        store.append("One.", {"user": "ana"}, title="Kept")
        store.snapshot("one")
        assert (store.stats().archive_seq, kept(url)) == (2, [2])
        store.append("Two.", {"user": "bob"})
        digest = store.digest()
    assert kept(url) == [2, 3]
    with opened(url, tmp_path) as store:
        store.get_many(store.list_ids())
    assert kept(url) == [2, 3]  # nothing was written
    report = kiromi.recover(f"{url}/store", catalog=tmp_path / "new", archives=[f"{url}/archive"], dry_run=False)
    assert report.memories == ()
    with kiromi.open(f"{url}/store", catalog=tmp_path / "new", archive=f"{url}/archive") as store:
        assert store.digest() == digest
        store.snapshot("again")
    assert kept(url)[:2] == [2, 3]
    assert len(kept(url)) == 3  # the recovered store goes on with the chain


def test_a_long_chain_is_begun_anew(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_keeping, "MAX_INCREMENTS", 2)
    with opened(url, tmp_path, scheme=SCHEME) as store:
        for i in range(3):
            store.append(f"{i}", {"user": "ana"})
            store.snapshot()
        assert kept(url) == [2, 4, 6]
        store.snapshot()
        assert kept(url) == [7]
        digest = store.digest()
    [archive] = [f"{url}/archive/{seq:020}" for seq in kept(url)]
    assert kiromi.verify_archive(archive).digest == digest


def test_a_failure_is_a_warning_and_is_made_up_for(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(url, tmp_path, scheme=SCHEME)
    store.append("One.", {"user": "ana"})
    with monkeypatch.context() as patch:

        def refuse(*args: Any, **more: Any) -> None:
            raise OSError("no room")

        patch.setattr(type(fsspec.filesystem("memory")), "pipe_file", refuse)
        with pytest.warns(ArchiveWarning, match="no room"):
            snapshot = store.snapshot("one")
        assert "no room" in str(store.stats().archive_problem)
    assert store.snapshot_info("one") == snapshot
    store.snapshot("two")
    assert store.stats().archive_problem is None
    store.close()
    assert kiromi.recover(f"{url}/store", catalog=tmp_path / "x", archives=[f"{url}/archive"]).whole == 1


def test_the_archive_of_another_store_is_left_alone(url: str, tmp_path: Path) -> None:
    with opened(url, tmp_path, scheme=SCHEME) as store:
        store.append("One.", {"user": "ana"})
    before = kept(url)
    with pytest.warns(ArchiveWarning, match="name another place"):
        kiromi.open(tmp_path / "other", scheme=SCHEME, archive=f"{url}/archive").close()
    assert kept(url) == before


def test_forgotten_memories_are_in_none_that_is_kept(url: str, tmp_path: Path) -> None:
    with opened(url, tmp_path, scheme=SCHEME) as store:
        secret = store.append("One.", {"user": "xylophone4711"}, title="xylophone4711")
        store.snapshot()
        store.update(secret.id, tags=["xylophone4711"])
    assert forget(f"{url}/archive", [secret.id]).rows > 0
    for seq in kept(url):
        check = kiromi.verify_archive(f"{url}/archive/{seq:020}")
        assert check.problems == ()
    assert forget(f"{url}/archive", [secret.id]).rows == 0


def test_a_read_only_handle_keeps_none(tmp_path: Path) -> None:
    kiromi.open(tmp_path / "store", scheme=SCHEME).close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kiromi.open(tmp_path / "store", read_only=True, archive=tmp_path / "archive").close()
    assert not (tmp_path / "archive").exists()


def test_only_archives_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_keeping, "MAX_INCREMENTS", 0)
    beside = tmp_path / "beside"
    mine = [beside / "2024" / "photo.jpg", beside / f"{7:020}" / "letter.txt", beside / "note.txt"]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    (beside / f"{1:020}").mkdir()
    (beside / f"{1:020}" / "memories-00000.parquet").write_text("cut")  # of an export that was killed
    with kiromi.open(tmp_path / "store", scheme=SCHEME, archive=beside) as store:
        for _ in range(2):
            store.append("x", {"user": "ana"})
            store.snapshot()
    assert [path.read_text() for path in mine] == ["mine"] * 3
    assert sorted(path.name for path in beside.iterdir()) == [f"{4:020}", f"{7:020}", "2024", "note.txt"]


def test_an_archive_goes_by_its_manifest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_keeping, "MAX_INCREMENTS", 0)
    beside = tmp_path / "beside"
    with kiromi.open(tmp_path / "store", scheme=SCHEME, archive=beside) as store:
        secret = store.append("x", {"user": "ana"}, title="xylophone4711").id
        store.snapshot()
        with monkeypatch.context() as patch:
            removed: list[str] = []

            def killed(place: Place, names: list[str]) -> None:
                removed.extend(names)
                if removed == ["manifest.json"]:
                    (Path(place.path) / "manifest.json").unlink()
                elif removed:
                    raise KeyboardInterrupt

            patch.setattr(Place, "remove", killed)
            with pytest.raises(KeyboardInterrupt):
                store.snapshot()
        assert b"xylophone4711" in _all_bytes(beside / f"{2:020}")
        # What was left names the memory, and no manifest tells of it: the erasure finds it all the same.
        store.erase([secret], dry_run=False)
        assert not (beside / f"{2:020}").exists()
    for path in beside.iterdir():
        assert kiromi.verify_archive(path).problems == ()


def test_what_a_killed_first_export_left_does_not_hinder_an_erasure(tmp_path: Path) -> None:
    beside = tmp_path / "beside"
    with kiromi.open(tmp_path / "store", scheme=SCHEME, archive=beside) as store:
        secret = store.append("x", {"user": "ana"}).id
        (beside / f"{1:020}").mkdir(parents=True)
        (beside / f"{1:020}" / "memories-00000.parquet").write_text("xylophone4711")
        assert store.erase([secret], dry_run=False).archives == (str(beside),)
        assert list(beside.iterdir()) == []


def test_two_handles_take_turns(tmp_path: Path) -> None:
    beside = tmp_path / "beside"
    with (
        kiromi.open(tmp_path / "store", scheme=SCHEME, archive=beside) as one,
        kiromi.open(tmp_path / "store", archive=f"{tmp_path}/x/../beside/") as two,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("error")

        def write(store: Store) -> None:
            for i in range(4):
                store.append(f"{i}", {"user": "ana"})
                store.snapshot()

        threads = [threading.Thread(target=write, args=[store]) for store in (one, two)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        digest = one.digest()
        problems = [store.stats().archive_problem for store in (one, two)]
    assert problems == [None, None]
    (tmp_path / "store" / "default" / "catalog.duckdb").unlink()
    assert kiromi.recover(tmp_path / "store", archives=[beside], dry_run=False).memories == ()
    with kiromi.open(tmp_path / "store") as store:
        assert store.digest() == digest


def _all_bytes(folder: Path) -> bytes:
    return b"".join(
        str(duckdb.execute("FROM read_parquet(?)", [str(path)]).fetchall()).encode() for path in folder.glob("mem*")
    )
