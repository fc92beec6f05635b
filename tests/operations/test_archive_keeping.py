"""An archive kept beside a store: up to date after each snapshot and at close, never in the way of a call."""

import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

import kiromi
from kiromi import ArchiveWarning, Store
from kiromi.operations import archive_keeping
from kiromi.portable.archive.forget import forget

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
