"""What every blob backend must do; one class to inherit from, with a fixture ``blobs`` that gives an empty backend."""

import os
from collections.abc import Sequence

import pytest

from kiromi.blobs.base import Blobs, NewBlob, Settlement, Unsettled

A, B, ATTIC = "data/topic=a/X.1.md", "data/topic=b/X.1.md", "attic/0X/X.1.md"
PLACES = (A, B, ATTIC)


def put(blobs: Blobs, data: bytes, *places: str) -> None:
    """Make whole copies of a blob lie at these places."""
    for i, place in enumerate(places):
        name = f"staging/copy-{i}.1.md"
        blobs.write([NewBlob(name, place, data)])
        if blobs.has_staging:
            assert settle(blobs, place, [name], data, id=f"copy-{i}") == []


def settle(blobs: Blobs, goal: str | None, places: Sequence[str], data: bytes, *, id: str = "X") -> list[Unsettled]:  # noqa: A002
    return blobs.settle([Settlement(id, 1, goal, tuple(places), len(data))])


def tree(blobs: Blobs) -> dict[str, int]:
    return {path: size for prefix in ("data", "attic", "staging") for path, size in blobs.walk(prefix)}


class BlobsContract:
    """The tests; a backend's file inherits them and adds its own."""

    def test_new_bytes_are_read_back_where_they_belong(self, blobs: Blobs) -> None:
        data = bytes(range(256)) * 5
        new = NewBlob("staging/X.1.md", A, data)
        blobs.write([new])
        waiting = new.staged if blobs.has_staging else A
        assert blobs.read(waiting) == data
        assert settle(blobs, A, [waiting], data) == []
        blobs.sync()
        assert (blobs.read(A), tree(blobs)) == (data, {A: len(data)})

    @pytest.mark.parametrize("size", [0, 1, 70_000])
    def test_sizes(self, blobs: Blobs, size: int) -> None:
        put(blobs, b"x" * size, A)
        assert settle(blobs, B, [A], b"x" * size) == []
        assert (blobs.read(B), tree(blobs)) == (b"x" * size, {B: size})

    @pytest.mark.parametrize("data", [bytes(range(256)), b"\r\n\x00\n", b"\xff\xfe", "e\u0301".encode()])
    def test_any_bytes(self, blobs: Blobs, data: bytes) -> None:
        put(blobs, data, A)
        assert blobs.read(A) == data

    def test_a_large_batch(self, blobs: Blobs) -> None:
        new = [NewBlob(f"staging/{i}.1.md", f"data/topic={i % 3}/{i}.1.md", b"%d" % i) for i in range(40)]
        blobs.write(new)
        waiting = [blob.staged if blobs.has_staging else blob.goal for blob in new]
        failed = blobs.settle(
            [Settlement(str(i), 1, blob.goal, (waiting[i],), len(blob.data)) for i, blob in enumerate(new)]
        )
        assert failed == []
        assert blobs.read_many([blob.goal for blob in new]) == [blob.data for blob in new]
        assert tree(blobs) == {blob.goal: len(blob.data) for blob in new}

    @pytest.mark.parametrize("goal", [*PLACES, None])
    @pytest.mark.parametrize("lies_at", [(A,), (B,), (ATTIC,), (A, B), (B, ATTIC), PLACES])
    def test_settles_from_anywhere_to_anywhere(self, blobs: Blobs, goal: str | None, lies_at: Sequence[str]) -> None:
        put(blobs, b"body", *lies_at)
        for _ in range(2):  # it can be done again
            assert settle(blobs, goal, PLACES, b"body") == []
            assert tree(blobs) == ({} if goal is None else {goal: 4})

    def test_what_belongs_nowhere_and_is_nowhere_is_settled(self, blobs: Blobs) -> None:
        assert settle(blobs, None, PLACES, b"") == []

    def test_a_missing_blob_is_reported_and_the_others_are_settled(self, blobs: Blobs) -> None:
        put(blobs, b"there", A)
        lost = Settlement("LOST", 3, "data/topic=c/LOST.3.md", ("attic/ST/LOST.3.md",), 4)
        [failure] = blobs.settle([lost, Settlement("X", 1, B, (A,), 5)])
        assert (failure.id, failure.n) == ("LOST", 3)
        assert "LOST" in failure.reason
        assert tree(blobs) == {B: 5}

    def test_reading_what_is_not_there(self, blobs: Blobs) -> None:
        put(blobs, b"", A)
        assert blobs.read(B) is None
        assert blobs.read(f"{A}/below-a-file") is None
        assert blobs.read_many([B, A]) == [None, b""]
        assert blobs.read_many([]) == []

    def test_walk_lists_one_prefix_with_sizes(self, blobs: Blobs) -> None:
        put(blobs, b"12", A, ATTIC)
        assert list(blobs.walk("data")) == [(A, 2)]
        assert list(blobs.walk("attic")) == [(ATTIC, 2)]
        assert list(blobs.walk("nothing")) == []

    def test_sizes_of_what_lies_there_now(self, blobs: Blobs) -> None:
        put(blobs, b"12", A, ATTIC)
        assert blobs.sizes([B, A, f"{A}/below-a-file", ATTIC]) == [None, 2, None, 2]
        blobs.remove([A])
        assert blobs.sizes([A]) == [None]
        assert blobs.sizes([]) == []

    def test_times_are_those_of_the_storage(self, blobs: Blobs) -> None:
        put(blobs, b"12", A)
        before = tree(blobs)
        now = blobs.clock()
        found, missing = blobs.modified([A, B])
        assert now is not None
        assert found is not None
        assert missing is None
        assert found <= now < found + 60_000_000
        put(blobs, b"34", B)
        [later] = blobs.modified([B])
        assert later is not None
        assert found <= later
        assert blobs.modified([f"{A}/below-a-file"]) == [None]
        assert blobs.modified([]) == []
        assert tree(blobs) == {**before, B: 2}, "the probe is gone"

    def test_remove(self, blobs: Blobs) -> None:
        put(blobs, b"12", A, B)
        blobs.remove([A, ATTIC])
        assert tree(blobs) == {B: 2}
        blobs.remove([])

    def test_remove_all(self, blobs: Blobs) -> None:
        put(blobs, b"12", *PLACES)
        blobs.remove_all()
        assert tree(blobs) == {}

    def test_names_that_need_care(self, blobs: Blobs) -> None:
        strange = ["data/u=a b+c&d#e;f/X.1.md", "data/u=%2Fé漢字'/X.1.md", "data/u=[x]{y}~$!@()/X.1.md"]
        put(blobs, b"12", *strange)
        assert tree(blobs) == dict.fromkeys(strange, 2)
        assert blobs.read_many(strange) == [b"12"] * 3


def large_blob_round_trip(blobs: Blobs) -> None:
    """Write, move and read 64 MiB; for backends in memory or on this machine's disk."""
    data = os.urandom(1 << 20) * 64
    put(blobs, data, A)
    assert settle(blobs, B, [A], data) == []
    assert blobs.read(B) == data
