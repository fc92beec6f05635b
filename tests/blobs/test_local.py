"""Blobs on a local disk, with one sync for all and with a sync for each file and folder."""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kiromi.blobs import local
from kiromi.blobs.base import NewBlob, Settlement, SyncFailed
from kiromi.blobs.local import LocalBlobs, make_durable_folder
from kiromi.errors import StorageError
from tests.blobs.contract import ATTIC, PLACES, A, B, BlobsContract, large_blob_round_trip, put, settle, tree


class TestWithSyncfs(BlobsContract):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> LocalBlobs:
        return LocalBlobs(tmp_path / "tenant")


class TestFileByFile(BlobsContract):
    @pytest.fixture
    def blobs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalBlobs:
        monkeypatch.setattr(local, "_find_syncfs", lambda: None)
        return LocalBlobs(tmp_path / "tenant")


class TestRelaxed(BlobsContract):
    @pytest.fixture
    def blobs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalBlobs:
        def no_sync(*_: object) -> None:
            raise AssertionError("relaxed blobs are not synced")

        monkeypatch.setattr(os, "fsync", no_sync)
        return LocalBlobs(tmp_path / "tenant", durable=False)


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "tenant")


def test_64_mib(blobs: LocalBlobs) -> None:
    large_blob_round_trip(blobs)


def test_empty_folders_go_with_their_last_blob(blobs: LocalBlobs) -> None:
    deep = "data/a=1/b=2/c=3/X.1.md"
    put(blobs, b"1", deep, "data/a=1/Y.1.md")
    assert settle(blobs, ATTIC, [deep], b"1") == []
    assert sorted(path.name for path in (blobs.root / "data" / "a=1").iterdir()) == ["Y.1.md"]
    blobs.remove(["data/a=1/Y.1.md", ATTIC])
    assert sorted(path.name for path in blobs.root.rglob("*")) == ["attic", "data", "staging"]


def test_a_folder_removed_by_somebody_else_is_made_again(blobs: LocalBlobs) -> None:
    put(blobs, b"1", A)
    put(blobs, b"1", B)
    blobs.remove([B])
    (blobs.root / "data" / "topic=b").mkdir()
    put(blobs, b"1", B)
    os.unlink(blobs.root / B)
    os.rmdir(blobs.root / "data" / "topic=b")
    assert settle(blobs, B, [A], b"1") == []
    assert tree(blobs) == {B: 1}


@pytest.mark.parametrize("goal", PLACES)
def test_a_copy_to_another_device_is_synced_before_its_source_goes(
    blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch, goal: str
) -> None:
    put(blobs, b"body", *[place for place in PLACES if place != goal])
    rename, fsync, unlink = os.rename, os.fsync, os.unlink
    calls: list[str] = []

    def across(source: str, to: str) -> None:
        if not source.endswith(".partial"):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        calls.append("rename")
        rename(source, to)

    monkeypatch.setattr(os, "rename", across)
    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append("fsync") or fsync(descriptor))  # type: ignore[func-returns-value]
    monkeypatch.setattr(os, "unlink", lambda path: calls.append("unlink") or unlink(path))  # type: ignore[func-returns-value]
    assert settle(blobs, goal, PLACES, b"body") == []
    folders = goal.count("/")
    assert calls[: 3 + folders] == ["fsync", "rename", *["fsync"] * folders, "unlink"]
    assert (blobs.read(goal), tree(blobs)) == (b"body", {goal: 4})


def test_a_failing_rename_is_reported_and_succeeds_later(blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    put(blobs, b"body", A)
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", _raise(errno.EACCES))
        [failure] = settle(blobs, B, [A], b"body")
        assert "Permission denied" in failure.reason
        assert tree(blobs) == {A: 4}
    assert settle(blobs, B, [A], b"body") == []
    assert tree(blobs) == {B: 4}


def test_a_file_in_the_way_of_a_folder_is_reported(blobs: LocalBlobs) -> None:
    put(blobs, b"body", A, "data/topic=b")
    assert [failure.id for failure in settle(blobs, B, [A], b"body")] == ["X"]
    assert blobs.read(A) == b"body"


def test_a_full_disk_leaves_nothing_staged(blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: write(fd, data[:1]) if len(data) > 3 else _raise(errno.ENOSPC)())
        with pytest.raises(StorageError, match="No space left"):
            blobs.write([NewBlob(f"staging/{i}.1.md", A, b"12345") for i in range(2)])
    assert tree(blobs) == {}


def test_a_short_write_is_continued(blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    put(blobs, b"0123456789", A)
    assert blobs.read(A) == b"0123456789"


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("has_syncfs", [True, False])
def test_a_failing_sync_of_the_stage_says_so(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    has_syncfs: bool,
) -> None:
    monkeypatch.setattr(local, "_find_syncfs", lambda: _raise(errno.EIO) if has_syncfs else None)
    blobs = LocalBlobs(tmp_path)
    new = [NewBlob(f"staging/{i}.1.md", A, b"1") for i in range(count)]
    blobs.write([])
    if not has_syncfs or count == 1:
        monkeypatch.setattr(local, "_sync_folder", _raise(errno.EIO))
    with pytest.raises(SyncFailed, match="Input/output error"):
        blobs.write(new)


def test_the_real_syncfs_reports_a_bad_descriptor(tmp_path: Path) -> None:
    syncfs = local._find_syncfs()
    if syncfs is None:
        pytest.skip("no syncfs here")
    with pytest.raises(OSError, match="syncfs"):
        syncfs(-1)


@pytest.mark.parametrize(("platform", "release"), [("darwin", "23.1.0"), ("linux", "5.4.0-150-generic")])
def test_syncfs_is_used_only_where_it_reports_errors(
    monkeypatch: pytest.MonkeyPatch, platform: str, release: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("", "", release, "", "")))
    assert local._find_syncfs() is None


@pytest.mark.parametrize("name", ["read", "walk", "remove"])
def test_errors_are_translated(blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    put(blobs, b"1", A)
    monkeypatch.setattr("builtins.open", _raise(errno.EIO))
    monkeypatch.setattr(os, "scandir", _raise(errno.EIO))
    monkeypatch.setattr(os, "unlink", _raise(errno.EIO))
    calls: dict[str, Callable[[], object]] = {
        "read": lambda: blobs.read(A),
        "walk": lambda: list(blobs.walk("data")),
        "remove": lambda: blobs.remove([A]),
    }
    with pytest.raises(StorageError, match="Input/output error"):
        calls[name]()


def test_whether_the_filesystem_folds_case(blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    assert blobs.folds_case() is (blobs.root / "STAGING").exists()
    assert tree(blobs) == {}
    monkeypatch.setattr(local, "_write_file", _raise(errno.EROFS))
    with pytest.raises(StorageError):
        blobs.folds_case()


def test_making_a_durable_folder_syncs_each_parent_of_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(local, "_sync_folder", synced.append)
    for _ in range(2):
        make_durable_folder(f"{tmp_path}/a/b")
    assert synced == [str(tmp_path), f"{tmp_path}/a"]


def test_settlements_of_several_blobs_are_independent(blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    put(blobs, b"1", *PLACES)
    rename = os.rename
    monkeypatch.setattr(os, "rename", lambda a, b: _raise(errno.EIO)() if a.endswith(A) else rename(a, b))
    wanted = [Settlement(str(i), 1, f"data/{i}.md", (place,), 1) for i, place in enumerate(PLACES)]
    assert [failure.id for failure in blobs.settle(wanted)] == ["0"]
    assert tree(blobs) == {A: 1, "data/1.md": 1, "data/2.md": 1}


def _raise(code: int) -> Callable[..., None]:
    def call(*_args: object, **_options: object) -> None:
        raise OSError(code, os.strerror(code))

    return call
