"""Failing disks, failing commits and interruptions: what was not acknowledged did not happen, the rest is there."""

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

import kiromi
from kiromi import StorageError, Store
from kiromi.blobs import local
from kiromi.blobs.base import SyncFailed
from kiromi.catalog.database import Catalog
from tests.protocol.expected import IDS, SCHEME, local_tree

X, Y, Z = IDS[:3]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> Iterator[Store]:
    with kiromi.open(root, scheme=SCHEME) as store:
        store.append("first", {"topic": "a"}, id=X)
        yield store


def fail(error: Exception) -> Callable[..., Any]:
    def call(*_args: object, **_options: object) -> None:
        raise error

    return call


def check(root: Path, texts: dict[str, str]) -> None:
    """Open the store anew and compare it with what must be there."""
    with kiromi.open(root) as again:
        assert {memory.id: memory.text for memory in again.get_many(again.list_ids())} == texts
        assert again.stats().pending == 0
        assert again.verify(read_data=True).problems == ()
        assert again.audit_verify().problems == ()
    assert not any(path.startswith("staging/") for path in local_tree(str(root / "default")))


def test_a_full_disk_changes_nothing(root: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail(OSError(errno.ENOSPC, "No space left on device")))
        for write in (
            lambda: store.append("second", {"topic": "a"}),
            lambda: store.update(X, content="second"),
            lambda: store.append_many([{"content": str(i), "attributes": {"topic": "a"}} for i in range(9)]),
        ):
            with pytest.raises(StorageError, match="No space left"):
                write()
    assert not any(path.startswith("staging/") for path in local_tree(str(root / "default")))
    assert (store.seq, store.get(X).text) == (1, "first")
    store.append("second", {"topic": "a"}, id=Y)
    store.close()
    check(root, {X: "first", Y: "second"})


@pytest.mark.parametrize("count", [1, 5])
def test_a_failed_sync_of_the_stage_ends_the_session(
    root: Path, store: Store, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    records = [{"content": str(i), "attributes": {"topic": "a"}} for i in range(count)]
    blobs = store._base.session.blobs
    with monkeypatch.context() as patch:
        patch.setattr(local, "_sync_folder", fail(OSError(errno.EIO, "Input/output error")))
        patch.setattr(blobs, "_syncfs", fail(OSError(errno.EIO, "Input/output error")))
        with pytest.raises(StorageError, match="open it again"):
            store.append_many(records)
    # The next sync would succeed: it must not be asked.
    for call in (store.count, lambda: store.get(X), lambda: store.append("second", {"topic": "a"})):
        with pytest.raises(StorageError, match="open it again"):
            call()
    store.close()
    check(root, {X: "first"})


def test_a_failed_sync_of_the_settle_ends_the_session_and_keeps_its_rows(
    root: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = store._base.session.blobs
    syncs: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(blobs, "sync", fail(SyncFailed("cannot sync blobs: Input/output error")))
        with pytest.raises(StorageError, match="open it again"):
            store.count()
        patch.setattr(blobs, "sync", lambda: syncs.append("sync"))
        store.close()
    assert syncs == []
    with duckdb.connect(str(root / "default" / "catalog.duckdb")) as connection:
        assert connection.execute("SELECT count(*) FROM journal").fetchall() == [(1,)]
    check(root, {X: "first"})


@pytest.mark.parametrize("took_place", [False, True])
@pytest.mark.parametrize("count", [1, 100])
def test_an_error_at_commit_is_resolved_by_opening_again(
    root: Path, store: Store, monkeypatch: pytest.MonkeyPatch, count: int, *, took_place: bool
) -> None:
    commit = Catalog.commit

    def ambiguous(catalog: Catalog, *args: Any) -> bool:
        if took_place:
            commit(catalog, *args)
        raise duckdb.IOException("could not fsync the WAL")

    records = [{"id": name, "content": name, "attributes": {"topic": "a"}} for name in IDS[10 : 10 + count]]
    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "commit", ambiguous)
        if took_place:
            store.append_many(records)
        else:
            with pytest.raises(StorageError, match="nothing was changed"):
                store.append_many(records)
    assert store.count() == 1 + count * took_place
    store.append("after", {"topic": "a"}, id=Z)
    store.close()
    check(root, {X: "first", Z: "after"} | ({name: name for name in IDS[10 : 10 + count]} if took_place else {}))


def test_a_catalog_that_cannot_be_opened_again_ends_the_session(
    root: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "commit", fail(duckdb.IOException("gone")))
        patch.setattr(Catalog, "open", fail(StorageError("cannot open the catalog: gone")))
        with pytest.raises(StorageError, match="gone"):
            store.append("second", {"topic": "a"})
    with pytest.raises(StorageError, match="open it again"):
        store.count()
    store.close()
    check(root, {X: "first"})


@pytest.mark.parametrize("took_place", [False, True])
def test_a_failed_fold_ends_the_session_and_loses_nothing(
    root: Path, store: Store, monkeypatch: pytest.MonkeyPatch, *, took_place: bool
) -> None:
    write = Catalog._write

    def ambiguous(catalog: Catalog, *args: Any) -> None:
        if took_place:
            write(catalog, *args)
        raise duckdb.IOException("could not fsync the WAL")

    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "_write", ambiguous)
        with pytest.raises(StorageError, match="open it again"):
            store.count()
    with pytest.raises(StorageError, match="open it again"):
        store.append("second", {"topic": "a"})
    store.close()
    check(root, {X: "first"})


def test_an_interruption_between_commit_and_publication_ends_the_session(
    root: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Catalog.commit

    def interrupted(catalog: Catalog, *args: Any) -> bool:
        commit(catalog, *args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "commit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.append("second", {"topic": "a"}, id=Y)
    # The same seq must not be given twice.
    with pytest.raises(StorageError, match="interrupted"):
        store.append("third", {"topic": "a"})
    store.close()
    check(root, {X: "first", Y: "second"})


def test_a_session_that_failed_does_not_commit_for_threads_that_were_waiting(
    root: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[BaseException] = []

    def write() -> None:
        try:
            store.append("second", {"topic": "a"})
        except StorageError as error:
            errors.append(error)

    session = store._base.session
    with monkeypatch.context() as patch, session.lease, session.writer:
        thread = threading.Thread(target=write)
        thread.start()
        while session.lease._active < 2:
            pass
        patch.setattr(Catalog, "_write", fail(duckdb.IOException("gone")))
        with pytest.raises(StorageError):
            session.fold()
    thread.join()
    assert ["open it again" in str(error) for error in errors] == [True]
    store.close()
    check(root, {X: "first"})


def test_a_failing_rename_stays_pending_shows_in_stats_and_is_retried(
    root: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", fail(OSError(errno.EACCES, "Permission denied")))
        store.append("second", {"topic": "b"}, id=Y)
        store.update(X, attributes={"topic": "b"})
        assert store.stats().pending == 2
        assert [store.get(X).text, store.get(Y).text] == ["first", "second"]
    store.append("third", {"topic": "a"}, id=Z)
    assert store.stats().pending == 0
    store.close()
    check(root, {X: "first", Y: "second", Z: "third"})


def test_what_fails_to_settle_until_the_end_is_settled_by_the_next_opening(
    root: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", fail(OSError(errno.EACCES, "Permission denied")))
        store.append("second", {"topic": "b"}, id=Y)
        store.delete(X)
        store.close()
        with kiromi.open(root, read_only=True) as reader:
            assert reader.get(Y).text == "second"
    check(root, {Y: "second"})


def test_a_full_disk_does_not_keep_the_lock(root: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.close()
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", fail(OSError(errno.ENOSPC, "No space left on device")))
        kiromi.open(root).close()
    check(root, {X: "first"})
