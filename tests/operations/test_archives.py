"""Archives: what was exported comes back whole, elsewhere; damage and wrong order are refused by name (P4, P11)."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

import kiromi
from kiromi import AlreadyExists, IntegrityError, InvalidInput, NotFound
from kiromi.catalog.rows import AUDIT_SCHEMA, MEMORY_SCHEMA
from kiromi.portable.archive import tables
from kiromi.portable.archive.forget import forget
from kiromi.portable.archive.parts import PartWriter
from tests.blobs.s3 import BUCKET, s3_options
from tests.operations.archived import SCHEME, open_filled, seen
from tests.operations.tree import files_below

__all__ = ["s3_options"]


@pytest.fixture
def exported(tmp_path: Path) -> tuple[Path, str, dict[str, Any]]:
    """A full archive, the digest of what it shows, and what a reader saw."""
    store, _ = open_filled(tmp_path / "store")
    with store:
        report = store.export_archive("live", tmp_path / "archive")
        assert report.digest == store.digest()
        return tmp_path / "archive", store.digest(), seen(store)


def test_an_imported_store_is_the_one_that_was_exported(
    exported: tuple[Path, str, dict[str, Any]], tmp_path: Path
) -> None:
    archive, digest, before = exported
    report = kiromi.import_archive(archive, tmp_path / "copy")
    assert report.digest == digest
    with kiromi.open(tmp_path / "store") as store, kiromi.open(tmp_path / "copy") as copy:
        assert copy.digest() == digest
        assert seen(copy) == before
        assert (copy.seq, copy.scheme, copy.models()) == (store.seq, store.scheme, store.models())
        assert copy.audit() == store.audit()
        assert copy.supersessions() == store.supersessions()
        assert copy.audit_verify(expect=store.audit_verify().head).is_clean
        assert copy.verify(read_data=True).is_clean
        assert copy._base.session.meta.store_id == store._base.session.meta.store_id
        assert copy._base.session.meta.catalog_id != store._base.session.meta.catalog_id
        assert copy.append("One more.", {"user": "ana"}, vector=[1.0, 0.0]).seq == store.seq + 1
        assert copy.verify(read_data=True).is_clean


def test_former_versions_come_back_where_their_contents_do(tmp_path: Path) -> None:
    store, ids = open_filled(tmp_path / "store")
    with store:
        store.delete(ids["gone"])
        archived = store.seq
        report = store.export_archive("live", tmp_path / "archive")
    assert report.left_out == {}
    report = kiromi.import_archive(tmp_path / "archive", tmp_path / "copy")
    assert report.left_out["former_versions"] == 2
    with kiromi.open(tmp_path / "copy") as copy:
        # A change of tags kept the content, so the version before it is there; the former text of another is not.
        assert [version.info.version for version in copy.history(ids["bytes"])] == [2, 1]
        assert [version.info.tags for version in copy.history(ids["bytes"])] == [("raw",), ()]
        assert [version.info.version for version in copy.history(ids["window"])] == [2]
        with pytest.raises(kiromi.MemoryNotFound):
            copy.undelete(ids["gone"])
        with pytest.raises(kiromi.SnapshotNotFound):
            copy.at(archived - 1)
        assert copy.at(archived).digest() == copy.digest()
        # The number of a content is not used again, not even of one that is not there.
        assert copy.update(ids["window"], content="New.", vector=[1.0, 1.0]).path.endswith(".3.md")


def test_a_snapshot_can_be_exported_long_after(tmp_path: Path) -> None:
    store, ids = open_filled(tmp_path / "store")
    with store:
        store.snapshot("then")
        digest, before = store.digest(), seen(store.at("then"))
        store.update(ids["seat"], content="Changed.", vector=[3.0, 3.0])
        store.delete(ids["window"])
        store.append("Later.", {"user": "eve"}, vector=[1.0, 0.0])
        assert store.at("then").digest() == digest != store.digest()
        store.export_archive("then", tmp_path / "archive")
        store.restore_to("then", tmp_path / "restored", tenant="other")
    kiromi.import_archive(tmp_path / "archive", tmp_path / "copy")
    for root, tenant in ((tmp_path / "copy", "default"), (tmp_path / "restored", "other")):
        with kiromi.open(root, tenant=tenant) as copy:
            assert copy.digest() == digest
            assert seen(copy) == before
            assert [snapshot.tag for snapshot in copy.snapshots()] == ["then"]
            assert copy.verify(read_data=True).is_clean
            assert copy.audit_verify().is_clean


def test_increments_follow_one_another(tmp_path: Path) -> None:
    store, ids = open_filled(tmp_path / "store")
    with store:
        store.export_archive("live", tmp_path / "one")
        first = store.seq
        store.delete(ids["gone"])
        store.update(ids["bytes"], attributes={"user": "eve"})
        store.append("New.", {"user": "eve"}, vector=[2.0, 1.0])
        report = store.export_archive("live", tmp_path / "two", since=first)
        second = store.seq
        at_second = store.digest()
        store.unlink(ids["window"], ids["bytes"])
        store.unsupersede(ids["seat"])
        store.undelete(ids["gone"])
        store.export_archive("live", tmp_path / "three", since=second)
        digest, before = store.digest(), seen(store)
    assert report.since == first
    contents = pq.read_table(tmp_path / "two" / "contents-00000.parquet")
    assert contents.column("data").to_pylist() == [b"New."]
    for name in ("one", "two", "three"):
        assert kiromi.verify_archive(tmp_path / name).problems == ()
    kiromi.import_archive([tmp_path / "one", tmp_path / "two"], tmp_path / "at-second")
    with kiromi.open(tmp_path / "at-second") as copy:
        assert copy.digest() == at_second
        assert not copy.exists(ids["gone"])
    report = kiromi.import_archive([tmp_path / name for name in ("one", "two", "three")], tmp_path / "copy")
    with kiromi.open(tmp_path / "copy") as copy:
        assert copy.digest() == digest
        assert seen(copy) == before
        assert copy.verify(read_data=True).is_clean
        # The contents of former versions are in the chain, so the versions are there.
        assert [version.info.version for version in copy.history(ids["gone"])] == [2, 1]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["two"], "name the archive of that moment before it"),
        (["one", "three"], "one is missing, or they are not in order"),
        (["one", "one"], "stands first, or alone"),
        (["one", "two", "other"], "increment of store"),
        (["one", "none"], "no finished archive"),
        (["copied", "two"], "another state"),
    ],
)
def test_a_chain_with_a_gap_is_refused(tmp_path: Path, names: list[str], message: str) -> None:
    store, ids = open_filled(tmp_path / "store")
    other, _ = open_filled(tmp_path / "other-store")
    with store, other:
        first = store.seq
        store.export_archive("live", tmp_path / "one")
        kiromi.import_archive(tmp_path / "one", tmp_path / "copy")
        with kiromi.open(tmp_path / "copy") as copy:
            copy.append("Elsewhere.", {"user": "ana"}, vector=[1.0, 0.0])
            copy.export_archive("live", tmp_path / "copied")
        store.delete(ids["gone"])
        other.delete(other.list_ids()[0])
        store.export_archive("live", tmp_path / "two", since=first)
        second = store.seq
        store.append("x", {"user": "ana"}, vector=[1.0, 0.0])
        other.append("x", {"user": "ana"}, vector=[1.0, 0.0])
        store.export_archive("live", tmp_path / "three", since=second)
        other.export_archive("live", tmp_path / "other", since=second)
    if names[0] == "copied":  # it shows another state of a later seq: made to follow by number only
        with kiromi.open(tmp_path / "copy") as copy:
            copy.delete(ids["gone"])
        with kiromi.open(tmp_path / "store") as store:
            store.export_archive("live", tmp_path / "two-b", since=second)
        names = ["copied", "two-b"]
    with pytest.raises((InvalidInput, NotFound), match=message):
        kiromi.import_archive([tmp_path / name for name in names], tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_damage_is_refused_by_name_and_nothing_is_written(
    exported: tuple[Path, str, dict[str, Any]], tmp_path: Path
) -> None:
    archive, _, _ = exported
    parts = sorted(path.name for path in archive.glob("*.parquet"))
    assert {name.rpartition("-")[0] for name in parts} == {
        *("memories", "history", "contents", "links", "supersessions", "audit", "vectors-1")
    }
    for name in parts:
        for how in ("flip", "cut", "drop"):
            broken = tmp_path / "broken"
            shutil.copytree(archive, broken)
            path = broken / name
            data = bytearray(path.read_bytes())
            if how == "drop":
                path.unlink()
            elif how == "cut":
                path.write_bytes(data[:-7])
            else:
                data[len(data) // 2] ^= 0x10
                path.write_bytes(data)
            with pytest.raises(IntegrityError, match=re.escape(name)):
                kiromi.import_archive(broken, tmp_path / "target")
            assert not (tmp_path / "target").exists()
            check = kiromi.verify_archive(broken)
            assert [problem.subject for problem in check.problems] == [name]
            shutil.rmtree(broken)


def test_a_changed_manifest_is_refused(exported: tuple[Path, str, dict[str, Any]], tmp_path: Path) -> None:
    archive, _, _ = exported
    text = (archive / "manifest.json").read_text()
    (archive / "manifest.json").write_text(text.replace('"tenant": "default"', '"tenant": "eve"'))
    with pytest.raises(kiromi.ChecksumMismatch, match=r"manifest\.json"):
        kiromi.verify_archive(archive)
    (archive / "manifest.json").write_text(text[:-20])
    with pytest.raises(kiromi.UnsupportedFormat, match=r"manifest\.json"):
        kiromi.import_archive(archive, tmp_path / "target")
    (archive / "manifest.json").write_text(text.replace('"format": 1', '"format": 2'))
    with pytest.raises(kiromi.UnsupportedFormat, match="format 2"):
        kiromi.import_archive(archive, tmp_path / "target")


def test_a_false_digest_is_found_at_the_end_and_no_store_opens(
    exported: tuple[Path, str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, _, _ = exported
    from kiromi.portable.archive import manifest

    document = json.loads((archive / "manifest.json").read_text())
    del document["sha256"]
    document["digest"] = "0" * 64
    document["sha256"] = manifest._checksum(document)
    (archive / "manifest.json").write_text(json.dumps(document))
    assert [problem.kind for problem in kiromi.verify_archive(archive).problems] == ["digest_mismatch"]
    with pytest.raises(IntegrityError, match="not what was exported"):
        kiromi.import_archive(archive, tmp_path / "target")
    with pytest.raises(IntegrityError, match="begun and not ended"):
        kiromi.open(tmp_path / "target", scheme=SCHEME)


def test_what_lies_there_is_never_overwritten(exported: tuple[Path, str, dict[str, Any]], tmp_path: Path) -> None:
    archive, digest, _ = exported
    with kiromi.open(tmp_path / "store") as store:
        with pytest.raises(AlreadyExists, match="finished archive"):
            store.export_archive("live", archive)
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "letter.txt").write_text("x")
        with pytest.raises(InvalidInput, match=r"letter\.txt"):
            store.export_archive("live", tmp_path / "mine")
        with pytest.raises(InvalidInput, match="not before"):
            store.export_archive(2, tmp_path / "x", since=2)
        with pytest.raises(InvalidInput, match="whole tenant"):
            store.scoped({"user": "ana"}).export_archive("live", tmp_path / "x")
        with pytest.raises(InvalidInput, match="whole tenant"):
            store.scoped({"user": "ana"}).digest()
        with pytest.raises(AlreadyExists, match="tenant 'default'"):
            kiromi.import_archive(archive, tmp_path / "store")
    with pytest.raises(AlreadyExists, match="tenant 'default'"):
        kiromi.import_archive(archive, tmp_path / "store")
    kiromi.import_archive(archive, tmp_path / "store", tenant="second")
    (tmp_path / "store" / "second" / "catalog.duckdb").unlink()
    with pytest.raises(IntegrityError, match="recover"):
        kiromi.import_archive(archive, tmp_path / "store", tenant="second")
    with kiromi.open(tmp_path / "store") as store:
        assert store.digest() == digest


def test_an_archive_without_contents_cannot_be_imported(tmp_path: Path) -> None:
    store, _ = open_filled(tmp_path / "store")
    with store:
        store.export_archive("live", tmp_path / "archive", contents=False)
    assert kiromi.verify_archive(tmp_path / "archive").is_clean
    with pytest.raises(InvalidInput, match="recover"):
        kiromi.import_archive(tmp_path / "archive", tmp_path / "copy")


def test_a_killed_export_leaves_no_archive_and_the_next_starts_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kiromi.operations import archiving

    store, _ = open_filled(tmp_path / "store")
    with store, monkeypatch.context() as patch:

        def killed(*args: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr(archiving, "write_manifest", killed)
        with pytest.raises(KeyboardInterrupt):
            store.export_archive("live", tmp_path / "archive")
    (tmp_path / "archive" / "history-00007.parquet").write_bytes(b"of another try")
    (tmp_path / "archive" / "audit-00000.parquet.partial").write_bytes(b"cut")
    with pytest.raises(NotFound, match="no finished archive"):
        kiromi.verify_archive(tmp_path / "archive")
    with kiromi.open(tmp_path / "store") as store:
        store.export_archive("live", tmp_path / "archive")
    assert kiromi.verify_archive(tmp_path / "archive").is_clean
    assert not [path for path in files_below(tmp_path / "archive") if path.endswith((".partial", "-00007.parquet"))]


def test_a_broken_import_does_not_open_and_the_next_completes_it(
    exported: tuple[Path, str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, digest, _ = exported
    from kiromi.operations import archive_import

    with monkeypatch.context() as patch:

        def broken(*args: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr(archive_import, "_prove", broken)
        with pytest.raises(KeyboardInterrupt):
            kiromi.import_archive(archive, tmp_path / "copy")
    (tmp_path / "copy" / "default" / "data" / "half.md").write_text("x")
    for how in ({}, {"scheme": SCHEME}, {"read_only": True}):
        with pytest.raises(IntegrityError, match="begun and not ended"):
            kiromi.open(tmp_path / "copy", **how)
    kiromi.import_archive(archive, tmp_path / "copy")
    with kiromi.open(tmp_path / "copy") as copy:
        assert copy.digest() == digest
        assert copy.verify(read_data=True).is_clean


def test_duckdb_and_pandas_read_an_archive(exported: tuple[Path, str, dict[str, Any]]) -> None:
    pandas = pytest.importorskip("pandas")
    archive, _, before = exported
    memories, contents = f"'{archive}/memories-*.parquet'", f"'{archive}/contents-*.parquet'"
    query = f"SELECT m.key, c.data FROM {memories} m JOIN {contents} c USING (id, n) WHERE m.key IS NOT NULL"
    found = duckdb.execute(query).fetchall()
    assert found == [("seat", b"Prefers aisle seats.")]
    frame = pandas.read_parquet(archive / "memories-00000.parquet")
    assert list(frame["id"]) == [memory.id for memory in before["memories"]]
    vectors = duckdb.execute(f"SELECT vector::FLOAT[2] FROM '{archive}/vectors-1-*.parquet' ORDER BY id").fetchall()
    assert vectors[0] == ((1.0, 0.0),)


def test_the_columns_are_those_of_the_catalog() -> None:
    assert tables.MEMORIES.names[: len(MEMORY_SCHEMA)] == MEMORY_SCHEMA.names
    assert tables.AUDIT.names == AUDIT_SCHEMA.names


def test_parts_are_of_bounded_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kiromi.operations import archiving

    monkeypatch.setattr(archiving, "_CONTENT_BYTES", 100)
    monkeypatch.setattr(archiving, "PartWriter", lambda place, kind, schema: PartWriter(place, kind, schema, 2_000))
    with kiromi.open(tmp_path / "store", scheme="user={user}") as store:
        store.append_many([{"content": f"{i} " * 100, "attributes": {"user": "ana"}} for i in range(20)])
        store.export_archive("live", tmp_path / "archive")
        digest = store.digest()
    assert len(list((tmp_path / "archive").glob("contents-*.parquet"))) > 3
    assert kiromi.verify_archive(tmp_path / "archive").is_clean
    kiromi.import_archive(tmp_path / "archive", tmp_path / "copy")
    with kiromi.open(tmp_path / "copy") as copy:
        assert copy.digest() == digest


@pytest.mark.parametrize("is_s3", [False, True], ids=["memory", "s3"])
def test_object_stores_hold_archives_and_stores(tmp_path: Path, is_s3: bool, request: pytest.FixtureRequest) -> None:
    options = request.getfixturevalue("s3_options") if is_s3 else None
    url = f"{f's3://{BUCKET}' if is_s3 else 'memory://archives'}/{tmp_path.name}"
    store, ids = open_filled(tmp_path / "store")
    with store:
        first = store.seq
        store.export_archive("live", f"{url}/one", storage_options=options)
        store.delete(ids["gone"])
        store.export_archive("live", f"{url}/two", since=first, storage_options=options)
        digest, before = store.digest(), seen(store)
        with pytest.raises(AlreadyExists):
            store.export_archive("live", f"{url}/one", storage_options=options)
    assert kiromi.verify_archive(f"{url}/two", storage_options=options).is_clean
    kiromi.import_archive(
        [f"{url}/one", f"{url}/two"], f"{url}/copy", catalog=tmp_path / "catalogs", storage_options=options
    )
    with kiromi.open(f"{url}/copy", catalog=tmp_path / "catalogs", storage_options=options) as copy:
        assert copy.digest() == digest
        assert seen(copy) == before
        assert copy.verify(read_data=True).is_clean
    with pytest.raises(IntegrityError, match="recover"):
        kiromi.import_archive(f"{url}/one", f"{url}/copy", catalog=tmp_path / "others", storage_options=options)


def test_an_import_that_is_begun_again_removes_no_store_of_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kiromi.operations import archive_import

    url = f"memory://archives/{tmp_path.name}"
    store, _ = open_filled(tmp_path / "store")
    with store:
        store.export_archive("live", tmp_path / "archive")
        digest = store.digest()
    with monkeypatch.context() as patch:

        def broken(*args: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr(archive_import, "_prove", broken)
        with pytest.raises(KeyboardInterrupt):
            kiromi.import_archive(tmp_path / "archive", url, catalog=tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    kiromi.import_archive(tmp_path / "archive", url, catalog=tmp_path / "there")
    kiromi.open(url, catalog=tmp_path / "there").close()
    with pytest.raises(IntegrityError, match="recover"):
        kiromi.import_archive(tmp_path / "archive", url, catalog=tmp_path / "here")
    with kiromi.open(url, catalog=tmp_path / "there") as copy:
        assert copy.digest() == digest
        assert copy.verify(read_data=True).problems == ()


def test_forgotten_memories_are_in_no_part(tmp_path: Path) -> None:
    store, ids = open_filled(tmp_path / "store")
    token = "xylophone4711"
    with store:
        secret = store.append(f"Secret {token}", {"user": token}, title=token, key=token, vector=[1.0, 0.0])
        store.supersede(secret.id, ids["seat"])
        store.link(secret.id, ids["bytes"], token)
        first = store.seq
        store.export_archive("live", tmp_path / "one")
        store.update(secret.id, content=f"Still {token}", vector=[1.0, 1.0])
        store.export_archive("live", tmp_path / "two", since=first)
    chain = [tmp_path / "one", tmp_path / "two"]
    assert token in _all_text(chain)
    for url in chain:
        assert forget(url, [secret.id]).rows > 0
    assert token not in _all_text(chain)
    assert secret.id not in _all_text(chain)
    for url in chain:
        assert kiromi.verify_archive(url).problems == ()
        assert forget(url, [secret.id]).rows == 0
    kiromi.import_archive(chain, tmp_path / "copy")
    with kiromi.open(tmp_path / "copy") as copy:
        assert copy.list_ids() == sorted(ids.values())
        assert copy.verify(read_data=True).problems == ()


def _all_text(folders: list[Path]) -> str:
    found = [(folder / "manifest.json").read_text() for folder in folders]
    found += [repr(pq.read_table(part).to_pylist()) for folder in folders for part in folder.glob("*.parquet")]
    return "".join(found)


@pytest.mark.parametrize(
    "name", ["sp ace", "a::b", "q?x=1", "h#frag", "100%", "a%2Fb", "[x]*", "'quoted\"", "ümlaut\n日本", "-x", "a/../b/"]
)
def test_odd_places_are_plain_folders(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with kiromi.open("store", scheme="user={user}") as store:
        store.append("x", {"user": "ana"})
        url = name
        store.export_archive("live", url)
        with pytest.raises(AlreadyExists):
            store.export_archive("live", os.path.realpath(name))
    assert kiromi.verify_archive(url).is_clean
    kiromi.import_archive(url, "copy")
    with kiromi.open("copy") as copy:
        assert copy.digest() == kiromi.verify_archive(url).digest


@pytest.mark.parametrize("url", ["", "a\0b", "nope://x", 7])
def test_places_that_are_none_are_refused(tmp_path: Path, url: Any) -> None:
    with kiromi.open(tmp_path / "store", scheme="user={user}") as store:
        with pytest.raises(InvalidInput):
            store.export_archive("live", url)
        (tmp_path / "file").write_text("x")
        with pytest.raises(kiromi.StorageError, match="cannot write"):
            store.export_archive("live", tmp_path / "file")
    with pytest.raises(InvalidInput):
        kiromi.verify_archive(url)


def test_a_deleted_memory_whose_last_content_is_not_there_leaves_nothing(tmp_path: Path) -> None:
    with kiromi.open(tmp_path / "store", scheme="user={user}") as store:
        memory = store.append("In the first archive.", {"user": "ana"})
        first = store.seq
        store.export_archive("live", tmp_path / "one")
        store.update(memory.id, content="In none.")
        store.delete(memory.id)
        store.export_archive("live", tmp_path / "two", since=first)
    report = kiromi.import_archive([tmp_path / "one", tmp_path / "two"], tmp_path / "copy")
    assert report.left_out["former_versions"] == 2
    assert [path for path in files_below(tmp_path / "copy") if path.endswith(".md")] == []
    with kiromi.open(tmp_path / "copy") as copy:
        assert copy.verify(read_data=True).problems == ()
        with pytest.raises(kiromi.MemoryNotFound):
            copy.undelete(memory.id)


def test_gc_that_goes_beyond_the_moment_ends_an_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kiromi.operations import archiving

    with kiromi.open(tmp_path / "store", scheme="user={user}") as store:
        memory = store.append("One.", {"user": "ana"})
        seq = store.seq
        store.update(memory.id, content="Two.")
        as_it_was = archiving._content_table

        def after_gc(*args: Any) -> Any:
            store.gc("0", dry_run=False)
            return as_it_was(*args)

        monkeypatch.setattr(archiving, "_content_table", after_gc)
        with pytest.raises(kiromi.SnapshotNotFound, match=f"seq {seq} cannot be read any more"):
            store.export_archive(seq, tmp_path / "archive")
        with pytest.raises(NotFound, match="no finished archive"):
            kiromi.verify_archive(tmp_path / "archive")
        store.export_archive("live", tmp_path / "archive")
    assert kiromi.verify_archive(tmp_path / "archive").is_clean
