"""Blobs on ``memory://``: an object store without a network."""

import errno
import uuid
from collections.abc import Callable

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from kiromi.blobs.objects import ObjectBlobs
from kiromi.errors import StorageError
from kiromi.testing import Fault, FaultyFileSystem
from tests.blobs.contract import PLACES, A, B, BlobsContract, large_blob_round_trip, put, settle, tree


class TestMemory(BlobsContract):
    @pytest.fixture
    def blobs(self) -> ObjectBlobs:
        return ObjectBlobs(MemoryFileSystem(), f"/{uuid.uuid4()}")


@pytest.fixture
def filesystem() -> FaultyFileSystem:
    return FaultyFileSystem(MemoryFileSystem())


@pytest.fixture
def blobs(filesystem: FaultyFileSystem) -> ObjectBlobs:
    return ObjectBlobs(filesystem, f"/{uuid.uuid4()}")


def test_64_mib(blobs: ObjectBlobs) -> None:
    large_blob_round_trip(blobs)


def test_an_epoch_is_created_only_once(blobs: ObjectBlobs) -> None:
    assert blobs.create("epoch/1", b"mine")
    assert not blobs.create("epoch/1", b"yours")
    assert blobs.read("epoch/1") == b"mine"


@pytest.mark.parametrize("name", ["pipe_file", "cat_file", "find", "rm_file"])
def test_errors_are_translated(blobs: ObjectBlobs, filesystem: FaultyFileSystem, name: str) -> None:
    put(blobs, b"1", A)
    filesystem.faults = [Fault(name, OSError(errno.EIO, "no answer"), times=2)]
    calls: dict[str, Callable[[], object]] = {
        "pipe_file": lambda: put(blobs, b"1", B),
        "cat_file": lambda: blobs.read(A),
        "find": lambda: list(blobs.walk("data")),
        "rm_file": lambda: blobs.remove([A]),
    }
    with pytest.raises(StorageError, match="no answer"):
        calls[name]()
    if name == "pipe_file":
        with pytest.raises(StorageError, match="no answer"):
            blobs.create("epoch/1", b"")


@pytest.mark.parametrize(
    ("name", "after"), [("cp_file", False), ("cp_file", True), ("rm_file", False), ("rm_file", True), ("info", False)]
)
def test_a_settle_that_fails_or_whose_answer_is_lost_can_be_done_again(
    blobs: ObjectBlobs, filesystem: FaultyFileSystem, name: str, *, after: bool
) -> None:
    put(blobs, b"body", A)
    filesystem.faults = [Fault(name, TimeoutError("no answer"), after=after)]
    [failure] = settle(blobs, B, PLACES, b"body")
    assert "no answer" in failure.reason
    assert B in tree(blobs) or A in tree(blobs)
    assert settle(blobs, B, PLACES, b"body") == []
    assert (tree(blobs), blobs.read(B)) == ({B: 4}, b"body")


def test_a_cut_copy_is_not_taken_for_the_blob(blobs: ObjectBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    put(blobs, b"body", A)
    put(blobs, b"bo", B)
    assert settle(blobs, B, PLACES, b"body") == []
    assert blobs.read(B) == b"body"
    monkeypatch.setattr(MemoryFileSystem, "cp_file", lambda fs, a, b: fs.pipe_file(b, b"b"))
    [failure] = settle(blobs, A, PLACES, b"body")
    assert "not whole" in failure.reason
    assert blobs.read(B) == b"body"


def test_a_storage_that_tells_no_times(blobs: ObjectBlobs, filesystem: FaultyFileSystem) -> None:
    put(blobs, b"1", A)
    filesystem.faults = [Fault("modified", NotImplementedError(), times=2)]
    assert (blobs.clock(), blobs.modified([A])) == (None, [None])
    assert tree(blobs) == {A: 1}
    for call in ("pipe_file", "modified"):
        filesystem.faults = [Fault(call, OSError(errno.EIO, "no answer"))]
        with pytest.raises(StorageError, match="no answer"):
            blobs.clock()
