"""Scheme migrations on object stores: copies and deletes with errors, slow calls and lost answers in between."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import kiromi
from kiromi.testing import Fault, FaultyFileSystem
from tests.blobs.s3 import BUCKET, s3_options
from tests.operations.migrating import FIRST, SECOND, after_batches, check, contents, fill, migrate, plan

__all__ = ["s3_options"]
NO_ANSWER = TimeoutError("no answer")


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[kiromi.Store]:
    options: dict[str, Any] = {}
    url = f"memory://{uuid.uuid4()}"
    if request.param == "s3":
        options = request.getfixturevalue("s3_options")
        url = f"s3://{BUCKET}/{uuid.uuid4()}"
    with kiromi.open(url, scheme=FIRST, catalog=tmp_path / "catalog", storage_options=options) as opened:
        yield opened


@pytest.fixture
def faulty(store: kiromi.Store) -> FaultyFileSystem:
    return FaultyFileSystem.below(store)


def objects(store: kiromi.Store) -> set[str]:
    """Return what lies under data/."""
    return {path for path, _ in store._base.session.blobs.walk("data")}


def settled(store: kiromi.Store) -> None:
    """Settle what was left pending, and check that nothing lies where it should not."""
    store.append("settles what others left", {"user": "z"})
    assert objects(store) == {info.path for info in store.list(limit=100).items}
    check(store)


def test_blobs_are_copied_and_deleted(store: kiromi.Store) -> None:
    fill(store, 7)
    before, lay = contents(store), objects(store)
    cost = plan(store, SECOND).cost
    assert (cost.renames, cost.copies, cost.requests, cost.copied_bytes) == (0, 7, 35, 42)
    assert migrate(store, SECOND, batch_size=3).moved == 7
    assert contents(store) == before
    assert not objects(store) & lay
    settled(store)


def test_a_rollback_brings_the_same_keys_back(store: kiromi.Store) -> None:
    fill(store, 5)
    before, lay = contents(store), objects(store)
    migrate(store, SECOND, batch_size=2)
    store.rollback_migration(batch_size=3)
    assert (contents(store), objects(store)) == (before, lay)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", ["cp_file", "rm_file", "info"])
def test_errors_and_lost_answers_lose_nothing(
    store: kiromi.Store, faulty: FaultyFileSystem, call: str, *, after: bool
) -> None:
    ids = fill(store, 6)
    before = contents(store)
    faulty.faults = [Fault(call, NO_ANSWER, after=after, skip=2, times=3)]

    def read_all() -> None:
        assert contents(store) == before

    report = migrate(store, SECOND, batch_size=2, on_progress=after_batches(1, read_all))
    assert report.moved == 6  # by the rows; what failed is pending, and found where it may lie
    assert contents(store) == before
    assert store.get(ids[0]).partition == {"topic": "t0", "who": "u0"}
    settled(store)


def test_reads_find_what_a_slow_copy_has_not_moved_yet(store: kiromi.Store, faulty: FaultyFileSystem) -> None:
    fill(store, 6)
    before = contents(store)
    faulty.faults = [Fault("cp_file", delay_s=0.02, times=6), Fault("rm_file", NO_ANSWER, times=6)]
    migrate(store, SECOND, batch_size=6)
    assert contents(store) == before
    settled(store)


def test_every_place_is_kept_in_mind_where_a_blob_may_lie(store: kiromi.Store, faulty: FaultyFileSystem) -> None:
    fill(store, 4)
    before = contents(store)
    faulty.faults = [Fault("cp_file", NO_ANSWER, times=100)]
    migrate(store, SECOND, batch_size=2)
    assert store.stats().pending == 4
    assert contents(store) == before
    migrate(store, "n={n}")
    assert contents(store) == before  # each lies where it lay two schemes ago
    store.rollback_migration()
    assert contents(store) == before
    faulty.faults = []
    settled(store)
