"""erase: which memories it means, what it leaves of others, and what it says."""

import threading
import uuid
from collections.abc import Sequence
from pathlib import Path

import duckdb
import fsspec
import pytest

import kiromi
from kiromi import InvalidInput, KiromiWarning, MemoryNotFound, MigrationConflict, StorageError, Store
from kiromi.blobs.local import LocalBlobs
from kiromi.embed.base import Matrix, Role
from kiromi.embed.hashing import HashingEmbedder
from kiromi.ids import ERASED_ID
from kiromi.operations import erase as erase_module
from kiromi.operations import erase_files
from kiromi.operations.jobs import begin
from kiromi.operations.retiring import digest_of, last_numbers
from kiromi.session.commit import run
from kiromi.session.operation import Operation
from kiromi.testing import Fault, FaultyFileSystem
from tests.blobs.s3 import BUCKET, s3_options
from tests.operations.conftest import SCHEME
from tests.operations.erasing import places_of
from tests.protocol.processes import python

__all__ = ["s3_options"]
ANA = {"user": "ana"}


def test_the_plan_changes_nothing(store: Store) -> None:
    one = store.append("one", ANA)
    store.update(one.id, content="two!")
    before = store.stats(), store.audit()
    plan = store.erase([one.id, one.id])
    assert (plan.applied, plan.seq, plan.ids, plan.memories) == (False, None, (one.id,), 1)
    assert (plan.versions, plan.blobs, plan.size_bytes, plan.audit_entries) == (2, 2, 7, 2)
    assert (store.stats(), store.audit()) == before
    receipt = store.erase([one.id], dry_run=False)
    assert (receipt.applied, receipt.seq) == (True, store.seq)
    assert (receipt.versions, receipt.blobs, receipt.size_bytes, receipt.audit_entries) == (2, 2, 7, 2)


def test_everything_says_that_it_is_not_there(store: Store) -> None:
    live, deleted = store.append("live", ANA, key="k"), store.append("deleted", ANA)
    store.delete(deleted.id)
    store.snapshot("then")
    store.erase([live.id, deleted.id], dry_run=False)
    for memory_id in (live.id, deleted.id):
        for call in (store.get, store.history, store.undelete, store.delete, store.at("then").get):
            with pytest.raises(MemoryNotFound) as caught:
                call(memory_id)
            assert caught.type is MemoryNotFound
    assert (store.count(), store.list_ids(), store.at("then").count()) == (0, [], 0)
    assert store.put("anew", ANA, key="k").version == 1


def test_what_is_gone_needs_no_erasing(store: Store) -> None:
    one = store.append("one", ANA)
    store.erase([one.id], dry_run=False)
    seq = store.seq
    again = store.erase([one.id], dry_run=False)
    assert (again.applied, again.memories, again.seq, store.seq) == (True, 0, None, seq)
    with pytest.raises(MemoryNotFound):
        store.scoped(ANA).erase([one.id])


def test_arguments(store: Store) -> None:
    one = store.append("one", ANA)
    for wrong in ({}, {"ids": [one.id], "where": {}}, {"ids": one.id}, {"ids": 3}, {"ids": ["x"]}):
        with pytest.raises(InvalidInput):
            store.erase(**wrong)
    with pytest.raises(MemoryNotFound):
        store.erase([one.id, "01ARZ3NDEKTSV4RRFFQ69G5FAV"], dry_run=False)
    assert store.erase([], dry_run=False).memories == 0
    with store.transaction(), pytest.raises(InvalidInput, match="transaction"):
        store.erase([one.id], dry_run=False)
    with store.context(reason=f"asked to forget {one.id}"), pytest.raises(InvalidInput, match="reason"):
        store.erase([one.id], dry_run=False)
    assert store.exists(one.id)


def test_a_selection_means_last_versions(store: Store) -> None:
    stays = store.append("moved away", ANA)
    store.update(stays.id, attributes={"user": "bob"})
    came = store.append("came here", {"user": "bob"})
    store.update(came.id, attributes=ANA)
    deleted = store.append("deleted", ANA)
    store.delete(deleted.id)
    away = store.append("moved, then deleted", ANA)
    store.update(away.id, attributes={"user": "bob"})
    store.delete(away.id)
    plan = store.erase(within=ANA)
    assert (set(plan.ids), set(plan.former)) == ({came.id, deleted.id}, {stays.id, away.id})
    assert set(store.erase(where={"user": "ana"}).ids) == {came.id, deleted.id}
    receipt = store.erase(within=ANA, dry_run=False)
    assert (receipt.memories, set(receipt.former)) == (2, {stays.id, away.id})
    assert [version.info.partition["user"] for version in store.history(stays.id)] == ["bob", "ana"]
    assert store.undelete(away.id).partition["user"] == "bob"


def test_a_scoped_handle_erases_within_its_scope(store: Store) -> None:
    ours, theirs = store.append("ours", ANA), store.append("theirs", {"user": "bob"})
    ana = store.scoped(ANA)
    with pytest.raises(MemoryNotFound):
        ana.erase([theirs.id], dry_run=False)
    assert ana.erase(where={}, dry_run=False).ids == (ours.id,)
    assert store.list_ids() == [theirs.id]


def test_only_a_handle_that_may_write_erases(store: Store, root: Path) -> None:
    one = store.append("one", ANA)
    store.close()
    with kiromi.open(root, read_only=True) as reader:
        assert reader.erase([one.id]).memories == 1
        with pytest.raises(InvalidInput, match="read-only"):
            reader.erase([one.id], dry_run=False)


def test_what_others_say_of_it_goes_and_their_own_stays(store: Store) -> None:
    one, loser, friend = (store.append(text, ANA) for text in ("one", "loser", "friend"))
    store.supersede(loser.id, one.id)
    store.update(loser.id, title="loser")
    store.link(friend.id, one.id, note="to go")
    store.link(friend.id, loser.id, note="to stay")
    last = store.audit(id=friend.id)[-1]
    receipt = store.erase([one.id], dry_run=False)
    assert (receipt.links, receipt.supersessions) == (1, 1)
    assert [link.note for link in store.links()] == ["to stay"]
    assert (store.get(loser.id).superseded_by, store.supersessions(loser.id)) == (ERASED_ID, [])
    assert store.get(loser.id).superseded_at is not None
    assert {hit.id for hit in store.search("loser")} == set()
    assert [info.id for info in store.supersession_chain(loser.id)] == [loser.id]
    assert store.audit(id=friend.id)[-1] == last
    bare = [entry for entry in store.audit() if entry.memory_id is None and entry.op != "erase"]
    assert [(entry.op, entry.detail, entry.reason) for entry in bare] == [
        ("append", {}, None),
        ("supersede", {}, None),
        ("link", {}, None),
    ]
    (entry,) = [entry for entry in store.audit() if entry.op == "erase"]
    assert (entry.actor, entry.seq, entry.detail["memories"]) == ("tester", receipt.seq, 1)
    assert store.unsupersede(loser.id).superseded_by is None
    assert store.verify(read_data=True).is_clean


def test_a_link_to_a_partition_goes_with_the_last_memory_in_it(store: Store) -> None:
    one, other = (store.append(text, {"user": "ana", "topic": topic}) for text, topic in (("1", "a"), ("2", "b")))
    ends = [f"kiromi://partition/user=ana{path}" for path in ("", "/topic=a", "/topic=b", "/topic=never")]
    for end in ends:
        store.link(end, "https://example.org/")
    assert store.erase([one.id], dry_run=False).links == 1
    assert [link.src for link in store.links()] == [ends[0], *ends[2:]]
    store.delete(other.id)
    assert store.erase([other.id], dry_run=False).links == 2
    assert [link.src for link in store.links()] == ends[3:]


def test_the_numbers_of_its_contents_stay_taken(store: Store) -> None:
    one = store.append("1", ANA)
    store.update(one.id, content="2")
    store.erase([one.id], dry_run=False)
    session = store._caller().session
    with session.lease:
        assert last_numbers(session, [one.id, ERASED_ID]) == {one.id: 2}
        assert len(digest_of(session, one.id)) == 32


def test_many_are_erased_in_batches(store: Store, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erase_module, "BATCH", 2)
    ids = [store.append(f"memory {i}", {"user": f"u{i}"}).id for i in range(5)]
    stays = store.append("stays", ANA)
    for i in (0, 2, 4):
        store.link(ids[i], stays.id)
    receipt = store.erase(ids, dry_run=False)
    assert (receipt.memories, receipt.blobs, receipt.links, receipt.audit_entries) == (5, 5, 3, 8)
    assert [entry.detail["memories"] for entry in store.audit() if entry.op == "erase"] == [2, 2, 1]
    assert store.list_ids() == [stays.id]
    assert store.verify(read_data=True).is_clean
    store.close()
    assert places_of(root, *ids) == set()


def test_files_that_somebody_copied_go_too(store: Store, root: Path) -> None:
    one = store.append("a copy", ANA)
    tenant = root / "default"
    copy = tenant / "data" / "user=zoe" / "topic=old" / f"{one.id}.1.md"
    copy.parent.mkdir(parents=True)
    copy.write_text("a copy")
    (tenant / "data" / "user=empty").mkdir()
    (tenant / "attic" / "AV").mkdir(parents=True)
    (tenant / "attic" / "AV" / f"{one.id}.7.md").write_text("unknown")
    store.erase([one.id], dry_run=False)
    assert list((tenant / "data").iterdir()) == []
    assert not [path for path in (tenant / "attic").rglob("*") if path.is_file()]


def test_a_job_that_needs_the_memory_is_in_the_way(store: Store) -> None:
    one, other = store.append("one", ANA), store.append("other", ANA)
    caller = store._caller()

    def plan(operation: Operation) -> None:
        begin(operation, "01ARZ3NDEKTSV4RRFFQ69G5FAV", "restore", {"ids": [one.id]}, 1)
        operation.record("restore", None, {})

    with caller.session.lease:
        run(caller.session, caller.context, plan)
    with pytest.raises(MigrationConflict, match="01ARZ3NDEKTSV4RRFFQ69G5FAV"):
        store.erase([one.id], dry_run=False)
    assert store.erase([other.id], dry_run=False).memories == 1


# -- failures ----------------------------------------------------------------------------------------------------------


def test_a_rewrite_that_fails_leaves_a_store_that_works(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = store.append("one", ANA), store.append("other", ANA)

    def full(*arguments: object) -> None:
        raise StorageError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(erase_files, "rewrite", full)
        with pytest.raises(StorageError, match="the disk is full"):
            store.erase([one.id], dry_run=False)
        assert store.list_ids() == [other.id]
        store.append("more", ANA)
    store.close()
    with pytest.warns(KiromiWarning, match="open the store for writing"):
        kiromi.open(root, read_only=True).close()
    assert places_of(root, one.id) != set()
    with kiromi.open(root) as again:
        assert again.count() == 2
    assert places_of(root, one.id) == set()


def test_a_second_erasure_finishes_the_first(store: Store, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = store.append("one", ANA), store.append("other", ANA)
    with monkeypatch.context() as patch:
        patch.setattr(erase_module, "finish", lambda *arguments: (_ for _ in ()).throw(StorageError("stopped")))
        with pytest.raises(StorageError, match="stopped"):
            store.erase([one.id], dry_run=False)
    receipt = store.erase([other.id], dry_run=False)
    assert (receipt.memories, receipt.ids) == (1, (other.id,))
    store.close()
    assert places_of(root, one.id, other.id) == set()


def test_a_blob_that_cannot_be_removed_keeps_the_erasure_open(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = store.append("one", ANA)
    unlink = LocalBlobs._unlink

    def refuse(self: LocalBlobs, path: str, vacated: set[str]) -> None:
        if path.startswith("data/"):
            raise PermissionError(13, "not yours")
        unlink(self, path, vacated)

    with monkeypatch.context() as patch:
        patch.setattr(LocalBlobs, "_unlink", refuse)
        with pytest.raises(StorageError, match="cannot be removed"):
            store.erase([one.id], dry_run=False)
        assert not store.exists(one.id)
        store.close()
        with pytest.warns(KiromiWarning, match="not finished"), kiromi.open(root) as again:
            assert again.stats().pending == 1
    with kiromi.open(root) as again:
        assert again.verify().is_clean
    assert places_of(root, one.id) == set()


def test_an_index_that_comes_back_from_a_backup_is_not_used(root: Path) -> None:
    import shutil

    with kiromi.open(root, scheme=SCHEME, embedder="hash") as store:
        one = store.append("zebra", ANA)
        store.append("horse", ANA)
        store.search("zebra")
    shutil.copytree(root / "default" / "index", root / "backup")
    with kiromi.open(root) as store:
        store.erase([one.id], dry_run=False)
    shutil.copytree(root / "backup", root / "default" / "index")
    with kiromi.open(root) as store:
        assert [hit.text for hit in store.search("zebra")] in ([], ["horse"])
    shutil.rmtree(root / "backup")
    assert places_of(root, one.id) == set()


# -- others ------------------------------------------------------------------------------------------------------------


def test_readers_and_a_writer_never_fail_meanwhile(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erase_module, "BATCH", 4)
    ids = [store.append(f"zebra {i}", ANA).id for i in range(24)]
    stays = [store.append(f"horse {i}", {"user": "bob"}).id for i in range(6)]
    store.snapshot("then")
    done = threading.Event()
    errors: list[BaseException] = []

    def read(number: int) -> None:
        while not done.is_set():
            assert len(store.get_many(stays)) == 6
            store.get_many(ids, missing="skip")
            assert len(store.search("horse", k=10, mode="text")) == 6
            assert store.at("then").count(within={"user": "bob"}) == 6
            assert store.to_arrow(with_content=True).num_rows >= 6
            try:
                store.history(ids[number])
            except MemoryNotFound:
                continue

    def write(number: int) -> None:
        while not done.is_set():
            written.append(store.append(f"written {len(written)}", {"user": "zoe"}).id)

    def guarded(work: object, number: int) -> None:
        try:
            work(number)  # type: ignore[operator]
        except BaseException as error:  # noqa: BLE001 - told below
            errors.append(error)

    written: list[str] = []
    threads = [threading.Thread(target=guarded, args=(work, i)) for i, work in enumerate((read, read, write))]
    for thread in threads:
        thread.start()
    store.erase(ids[:10], dry_run=False)
    store.erase(ids[10:], dry_run=False)
    done.set()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert set(store.list_ids()) == {*stays, *written}
    assert store.verify(read_data=True).is_clean


def test_vectors_that_are_being_made_are_left_out(store: Store, root: Path) -> None:
    one, other = store.append("to be erased", ANA), store.append("to stay", ANA)

    class Erasing(HashingEmbedder):
        def embed(self, texts: Sequence[str], role: Role) -> Matrix:
            made = super().embed(texts, role)
            if len(texts) == 2:
                store.erase([one.id], dry_run=False)
            return made

    assert store.reembed(Erasing()).embedded == 1
    assert [hit.id for hit in store.search("to stay", mode="vector")] == [other.id]
    store.close()
    assert places_of(root, one.id) == set()


def test_it_is_refused_within_another_call(store: Store) -> None:
    one = store.append("one", ANA)

    def on_progress(done: int, total: int) -> None:
        store.erase([one.id], dry_run=False)

    with pytest.raises(InvalidInput, match="erase cannot be called within a call"):
        store.verify(on_progress=on_progress)


def test_another_process_shows_it_no_more(store: Store, root: Path) -> None:
    one, other = store.append("zebra", ANA), store.append("horse", ANA)
    code = """
        store = kiromi.open(root, wait=60)
        while (memory_id := hear()):
            hits = len(store.search("zebra"))
            say(f"{store.exists(memory_id)} {hits} {store.count()}")
    """
    with python(code, root) as process:

        def seen(memory_id: str) -> str:
            process.say(memory_id)
            return process.hear()

        assert seen(one.id) == "True 1 2"
        store.erase([one.id], dry_run=False)
        assert seen(one.id) == "False 0 1"
        assert seen(other.id) == "True 0 1"
        assert process.end() == 0
    assert store.verify().is_clean


@pytest.mark.parametrize("kind", ["memory", "s3"])
def test_on_object_stores(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    options = request.getfixturevalue("s3_options") if kind == "s3" else {}
    url = f"s3://{BUCKET}/{uuid.uuid4()}" if kind == "s3" else f"memory://{uuid.uuid4()}"
    with kiromi.open(url, scheme=SCHEME, catalog=tmp_path, storage_options=options) as store:
        one, other = store.append("one", ANA), store.append("other", ANA)
        store.update(one.id, content="one, changed")
        store.search("one")
        receipt = store.erase([one.id], dry_run=False)
        assert (receipt.blobs, receipt.index) == (2, True)
        store.append("more", ANA)
        assert store.verify(read_data=True).is_clean
    filesystem, path = fsspec.core.url_to_fs(url, use_listings_cache=False, **options)
    names = [name for name in filesystem.find(path) if "/epoch/" not in name]
    assert len(names) == 2
    assert not any(one.id in name for name in names)
    assert places_of(tmp_path, one.id) == set()
    with kiromi.open(url, catalog=tmp_path, storage_options=options) as store:
        assert store.get(other.id).text == "other"


def test_an_object_store_that_gives_no_answers_keeps_the_erasure_open(
    s3_options: dict[str, object], tmp_path: Path
) -> None:
    url = f"s3://{BUCKET}/{uuid.uuid4()}"
    with kiromi.open(url, scheme=SCHEME, catalog=tmp_path, storage_options=s3_options) as store:
        one = store.append("one", ANA)
        faulty = FaultyFileSystem.below(store)
        faulty.faults = [Fault("rm_file", TimeoutError("no answer"), after=True, times=100)]
        with pytest.raises(StorageError, match="no answer"):
            store.erase([one.id], dry_run=False)
        faulty.faults = []
    with kiromi.open(url, catalog=tmp_path, storage_options=s3_options) as store:  # finishes it
        assert not store.exists(one.id)
        with pytest.raises(MemoryNotFound):
            store.history(one.id)
        assert store.verify(read_data=True).is_clean
    assert places_of(tmp_path, one.id) == set()


def test_the_new_catalog_has_the_tables_of_the_old_one(store: Store, root: Path) -> None:
    one = store.append("one", ANA)
    for i in range(30):
        store.append(f"other {i}", ANA)
    store.close()
    catalog = str(root / "default" / "catalog.duckdb")

    def look() -> object:
        with duckdb.connect(catalog, read_only=True) as connection:
            tables = connection.execute("SELECT sql FROM duckdb_tables() ORDER BY table_name").fetchall()
            order = connection.execute("SELECT id FROM memories").fetchall()
            steps = connection.execute("SELECT * FROM schema_migrations").fetchall()
        return tables, [memory_id for (memory_id,) in order if memory_id != one.id], steps

    before = look()
    with kiromi.open(root) as again:
        again.erase([one.id], dry_run=False)
    assert look() == before
