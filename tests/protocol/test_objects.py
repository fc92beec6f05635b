"""The whole store on ``memory://`` and S3: whole, failing, and with catalogs that do not belong to the data."""

import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

import kiromi
from kiromi import Conflict, IntegrityError, StorageError, Store, UnsupportedFormat
from kiromi.blobs.objects import ObjectBlobs
from kiromi.testing import Fault, FaultyFileSystem
from tests.blobs.s3 import BUCKET, s3_options
from tests.protocol.expected import IDS, SCHEME

__all__ = ["s3_options"]
X, Y, Z = IDS[:3]
NO_ANSWER = TimeoutError("no answer")


class Place:
    """Where a test's store lies."""

    def __init__(self, url: str, catalog: Path, options: dict[str, Any]) -> None:
        self.url = url
        self.catalog = catalog
        self.options = options

    def open(self, catalog: Path | None = None, **more: Any) -> Store:
        return kiromi.open(
            self.url, scheme=SCHEME, catalog=catalog or self.catalog, storage_options=self.options, **more
        )

    def tree(self) -> set[str]:
        filesystem, path = fsspec.core.url_to_fs(self.url, use_listings_cache=False, **self.options)
        filesystem.invalidate_cache()
        tenant = f"{path}/default/"
        return {name.removeprefix(tenant) for name in filesystem.find(tenant) if "/epoch/" not in name}

    def check(self, texts: dict[str, str]) -> None:
        with self.open() as again:
            assert {memory.id: memory.text for memory in again.get_many(again.list_ids())} == texts
            assert again.stats().pending == 0
            assert again.verify(read_data=True).problems == ()
            live = {memory.path for memory in again.get_many(texts)}
        assert {path for path in self.tree() if path.startswith("data/")} == live


@pytest.fixture(params=["memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "memory":
        return Place(f"memory://{uuid.uuid4()}", tmp_path / "catalog", {})
    options = request.getfixturevalue("s3_options")
    return Place(f"s3://{BUCKET}/{uuid.uuid4()}", tmp_path / "catalog", options)


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    with place.open() as store:
        store.append("first", {"topic": "a"}, id=X)
        yield store


@pytest.fixture
def faulty(store: Store) -> FaultyFileSystem:
    return FaultyFileSystem.below(store)


def test_every_operation(place: Place) -> None:
    with place.open() as store:
        store.append("one", {"topic": "a"}, id=X)
        store.put("two", {"topic": "a"}, key="k")
        store.put("three", {"topic": "b"}, key="k")
        store.update(X, attributes={"topic": "é %/"})
        store.update(X, content="four")
        store.delete(X)
        store.append_many([{"content": str(i), "attributes": {"topic": "c"}, "id": IDS[i]} for i in range(10, 90)])
    with place.open() as store:
        assert store.undelete(X).version == 4
        assert (store.get(X).text, store.get(key="k").text) == ("four", "three")
        texts = {X: "four", store.get(key="k").id: "three"} | {IDS[i]: str(i) for i in range(10, 90)}
    place.check(texts)
    assert len([path for path in place.tree() if path.startswith("attic/")]) == 2


@pytest.mark.parametrize("after", [False, True])
def test_a_put_that_fails_or_whose_answer_is_lost_leaves_nothing(
    place: Place, store: Store, faulty: FaultyFileSystem, *, after: bool
) -> None:
    writes: list[Callable[[], object]] = [
        lambda: store.append("second", {"topic": "a"}, id=Y),
        lambda: store.update(X, content="other"),
    ]
    for write in writes:
        faulty.faults = [Fault("pipe_file", NO_ANSWER, after=after)]
        with pytest.raises(StorageError, match="no answer"):
            write()
    assert (store.count(), store.get(X).text) == (1, "first")
    store.append("third", {"topic": "a"}, id=Z)  # settles what the others left
    assert store.stats().pending == 0
    store.close()
    place.check({X: "first", Z: "third"})
    assert len(place.tree()) == 2


@pytest.mark.parametrize("after", [False, True])
def test_a_write_can_be_tried_again_after_its_answer_was_lost(
    place: Place, store: Store, faulty: FaultyFileSystem, *, after: bool
) -> None:
    faulty.faults = [Fault("pipe_file", NO_ANSWER, after=after)]
    with pytest.raises(StorageError):
        store.update(X, content="other bytes")
    store.update(X, content="second", attributes={"topic": "b"})
    store.close()
    place.check({X: "second"})
    assert len(place.tree()) == 2


@pytest.mark.parametrize("call", ["cp_file", "rm_file", "info"])
@pytest.mark.parametrize("after", [False, True])
def test_a_move_that_fails_half_way_is_finished_later(
    place: Place, store: Store, faulty: FaultyFileSystem, call: str, *, after: bool
) -> None:
    faulty.faults = [Fault(call, NO_ANSWER, after=after and call != "info", times=3)]
    store.update(X, attributes={"topic": "b"})
    assert store.stats().pending == 1
    assert store.get(X).text == "first"
    faulty.faults = []
    store.append("second", {"topic": "a"}, id=Y)
    assert store.stats().pending == 0
    store.close()
    place.check({X: "first", Y: "second"})


def test_errors_of_reading_say_so(store: Store, faulty: FaultyFileSystem) -> None:
    faulty.faults = [Fault("cat_file", NO_ANSWER, times=2)]
    with pytest.raises(StorageError, match="no answer"):
        store.get(X)
    with pytest.raises(StorageError, match="no answer"):
        store.get_many([X])
    assert store.get(X).text == "first"


def test_slow_calls_only_take_longer(place: Place, store: Store, faulty: FaultyFileSystem) -> None:
    faulty.faults = [Fault(call, delay_s=0.05, times=3) for call in ("pipe_file", "cp_file", "rm_file")]
    store.append("second", {"topic": "a"}, id=Y)
    store.update(Y, attributes={"topic": "b"})
    assert faulty.faults != []
    store.close()
    place.check({X: "first", Y: "second"})


def test_a_copy_of_the_catalog_is_refused_once_the_other_has_been_used(place: Place, tmp_path: Path) -> None:
    place.open().close()
    shutil.copytree(place.catalog, tmp_path / "copy")
    with place.open() as store:
        store.append("first", {"topic": "a"}, id=X)
    before = place.tree()
    with pytest.raises(Conflict, match="another catalog wrote"):
        place.open(tmp_path / "copy")
    assert place.tree() == before
    place.check({X: "first"})


def test_a_fresh_catalog_on_old_data_is_refused(place: Place, tmp_path: Path) -> None:
    with place.open() as store:
        store.append("first", {"topic": "a"}, id=X)
    with pytest.raises(IntegrityError, match="no catalog"):
        place.open(tmp_path / "new")
    with place.open() as store:
        store.delete(X)
    with pytest.raises(IntegrityError, match="no catalog"):
        place.open(tmp_path / "new")


def test_a_fresh_catalog_on_data_that_is_empty_but_was_used_is_refused(place: Place, tmp_path: Path) -> None:
    place.open().close()
    with pytest.raises(Conflict, match="another catalog wrote"):
        place.open(tmp_path / "new")


@pytest.mark.parametrize("after", [False, True])
def test_a_process_that_dies_between_recording_and_claiming_an_epoch_harms_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch, *, after: bool
) -> None:
    create = ObjectBlobs.create

    def dies(blobs: ObjectBlobs, path: str, data: bytes) -> bool:
        if after:
            create(blobs, path, data)
        raise StorageError("no answer")

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(ObjectBlobs, "create", dies)
            with pytest.raises(StorageError, match="no answer"):
                place.open()
        with place.open() as store:
            assert store.count() == 0


def test_a_driver_that_puts_its_claim_twice_still_has_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    create = ObjectBlobs.create
    monkeypatch.setattr(ObjectBlobs, "create", lambda *args: create(*args) and create(*args))
    with place.open() as store:
        assert store.count() == 0


def test_two_that_claim_the_same_epoch_do_not_both_get_it(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.open().close()
    shutil.copytree(place.catalog, tmp_path / "copy")
    create = ObjectBlobs.create

    def overtaken(blobs: ObjectBlobs, path: str, data: bytes) -> bool:
        monkeypatch.setattr(ObjectBlobs, "create", create)
        place.open(tmp_path / "copy").close()
        return create(blobs, path, data)

    monkeypatch.setattr(ObjectBlobs, "create", overtaken)
    with pytest.raises(Conflict, match="just now"):
        place.open()
    place.open(tmp_path / "copy").close()


def test_data_of_another_store_is_refused(place: Place, store: Store) -> None:
    blobs = store._base.session.blobs
    assert isinstance(blobs, ObjectBlobs)
    store.close()
    [newest] = [path for path, _ in blobs.walk("epoch")]
    body = json.loads(blobs.read(newest) or b"{}")
    blobs.filesystem.pipe_file(f"{blobs.root}/{newest}", json.dumps({**body, "store_id": IDS[9]}).encode())
    with pytest.raises(UnsupportedFormat, match="another store"):
        place.open()


def test_an_object_store_needs_a_place_for_its_catalog() -> None:
    with pytest.raises(kiromi.InvalidInput, match="catalog="):
        kiromi.open(f"memory://{uuid.uuid4()}", scheme=SCHEME)


def test_faults_cannot_be_put_below_a_local_store(tmp_path: Path) -> None:
    with kiromi.open(tmp_path, scheme=SCHEME) as store, pytest.raises(kiromi.InvalidInput, match="fsspec"):
        FaultyFileSystem.below(store)


def test_a_fault_lets_calls_pass_before_it_hits(store: Store, faulty: FaultyFileSystem) -> None:
    faulty.faults = [Fault("cat_file", NO_ANSWER, skip=1)]
    assert store.get(X).text == "first"
    with pytest.raises(StorageError):
        store.get(X)
    assert faulty.faults == []
