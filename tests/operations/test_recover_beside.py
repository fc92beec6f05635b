"""Recovery where people put, copied, cut and changed files: nothing that was found goes by it (P4)."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import kiromi
from kiromi import RecoverReport, Store
from kiromi.blobs.local import LocalBlobs
from tests.operations.archived import SCHEME, open_filled


@pytest.fixture
def tenant(tmp_path: Path) -> Path:
    return tmp_path / "store" / "default"


@pytest.fixture
def ids(tmp_path: Path) -> dict[str, str]:
    """A store with an archive of metadata beside it, whose catalog was lost; ids by name."""
    store, ids = open_filled(tmp_path / "store")
    with store:
        store.export_archive("live", tmp_path / "archive", contents=False)
    (tmp_path / "store" / "default" / "catalog.duckdb").unlink()
    return ids


def path_of(tenant: Path, memory_id: str) -> Path:
    [path] = (tenant / "data").rglob(f"{memory_id}.*")
    return path


def recovered(tmp_path: Path, *, archive: bool = True) -> RecoverReport:
    known = {"archives": [tmp_path / "archive"]} if archive else {"schemes": [SCHEME]}
    plan = kiromi.recover(tmp_path / "store", **known)
    report = kiromi.recover(tmp_path / "store", **known, dry_run=False)
    assert (plan.memories, plan.strangers, plan.damaged) == (report.memories, report.strangers, report.damaged)
    return report


def all_bytes(tenant: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in tenant.rglob("*") if path.suffix in (".md", ".bin", ".txt", ".json"))


def problems(store: Store) -> set[tuple[str, str]]:
    return {(problem.kind, problem.subject) for problem in store.verify(read_data=True).problems}


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("where", ["data/other", "attic/xx", "staging"])
def test_another_content_under_the_name_of_a_blob_is_left(
    tmp_path: Path, tenant: Path, ids: dict[str, str], where: str, archive: bool
) -> None:
    path = path_of(tenant, ids["seat"])
    text = path.read_text()
    copy = tenant / where / path.name
    copy.parent.mkdir(exist_ok=True)
    copy.write_text("Prefers window seats, says somebody who edited a copy.")
    before = all_bytes(tenant)
    report = recovered(tmp_path, archive=archive)
    kept = f"{where}/{path.name}"
    first, second = sorted((kept, str(path.relative_to(tenant))))
    if archive or where != "data/other":
        assert report.strangers == (kept,)
        with kiromi.open(tmp_path / "store") as store:
            assert store.get(ids["seat"]).text == text
    else:  # which of two is the memory's, nobody can tell
        assert report.strangers == (second,)
        with kiromi.open(tmp_path / "store") as store:
            assert store.get(ids["seat"]).path == first
    if where != "staging":  # opening empties it of what no row names, as always
        assert all_bytes(tenant) == before


def test_a_copy_that_is_the_same_or_cut_is_no_content_of_its_own(
    tmp_path: Path, tenant: Path, ids: dict[str, str]
) -> None:
    path, other = path_of(tenant, ids["seat"]), path_of(tenant, ids["gone"])
    (tenant / "data" / "copies").mkdir()
    shutil.copy(path, tenant / "data" / "copies" / path.name)
    whole = other.read_bytes()
    (tenant / "attic" / other.name).write_bytes(whole)
    other.write_bytes(whole[:5])
    report = recovered(tmp_path)
    assert (report.strangers, report.memories, report.whole) == ((), (), 4)
    with kiromi.open(tmp_path / "store") as store:
        assert problems(store) == set()
        assert store.get(ids["gone"]).data == whole


def test_a_changed_blob_and_its_whole_copy_both_stay(tmp_path: Path, tenant: Path, ids: dict[str, str]) -> None:
    path = path_of(tenant, ids["seat"])
    (tenant / "attic" / path.name).write_bytes(path.read_bytes())
    path.write_bytes(b"x" * path.stat().st_size)
    before = all_bytes(tenant)
    assert recovered(tmp_path).strangers == (f"attic/{path.name}",)
    with kiromi.open(tmp_path / "store") as store:
        assert ("checksum_mismatch", str(path.relative_to(tenant))) in problems(store)
    assert all_bytes(tenant) == before


def test_a_cut_blob_is_told(tmp_path: Path, tenant: Path, ids: dict[str, str]) -> None:
    path = path_of(tenant, ids["seat"])
    path.write_bytes(b"")
    report = recovered(tmp_path)
    assert report.damaged == (str(path.relative_to(tenant)),)
    assert (report.whole, report.memories) == (3, ())
    with kiromi.open(tmp_path / "store") as store:
        assert [kind for kind, _ in problems(store)] == ["size_mismatch"]


def test_what_people_put_there_stays(tmp_path: Path, tenant: Path, ids: dict[str, str]) -> None:
    names = ["data/note.txt", "data/user=ana/.DS_Store", f"data/x/{ids['seat'].lower()}.1.md", "data/a\nb/c.md"]
    names += [f"data/y/{ids['seat']}.0.md", f"data/y/{ids['seat']}.1.docx", f"data/y/{ids['seat']}.1.md.bak"]
    for name in names:
        (tenant / name).parent.mkdir(parents=True, exist_ok=True)
        (tenant / name).write_text("mine")
    report = recovered(tmp_path)
    assert set(report.strangers) == set(names)
    assert (report.whole, report.memories) == (4, ())
    with kiromi.open(tmp_path / "store") as store:
        assert store.count() == 4
    assert [(tenant / name).read_text() for name in names] == ["mine"] * len(names)


def test_a_renamed_folder_changes_what_its_memories_say(tmp_path: Path, tenant: Path, ids: dict[str, str]) -> None:
    (tenant / "data" / "user=ana").rename(tenant / "data" / "user=Ann%2Fa")
    report = recovered(tmp_path)
    assert {memory.outcome for memory in report.memories} == {"changed"}
    with kiromi.open(tmp_path / "store") as store:
        assert store.get(ids["seat"]).attributes["user"] == "Ann/a"
        assert store.get(ids["seat"]).attributes["price"] == 1.5
        assert problems(store) == set()


def test_a_snapshot_of_a_moment_below_the_floor_can_be_recovered_from(tmp_path: Path) -> None:
    store, ids = open_filled(tmp_path / "store")
    with store:
        store.snapshot("then")
        seq = store.seq
        store.update(ids["gone"], content="Changed.", vector=[1.0, 0.0])
        store.append("Later.", {"user": "eve"}, vector=[1.0, 0.0])
        store.delete(ids["seat"])
        assert store.gc("0", dry_run=False).floor > seq
        store.export_archive("then", tmp_path / "archive", contents=False)
        digest = store.at("then").digest()
    (tmp_path / "store" / "default" / "catalog.duckdb").unlink()
    report = recovered(tmp_path)
    with kiromi.open(tmp_path / "store") as store:
        assert store.at(store.seq).count() == store.count()
        assert store.diff("then").added
        assert report.snapshots_lost == 0
        assert store.at("then").digest() == digest
        assert problems(store) == set()


def test_an_import_that_is_begun_again_removes_no_store_of_another_catalog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kiromi.operations import archive_import

    store, _ = open_filled(tmp_path / "store")
    with store:
        store.export_archive("live", tmp_path / "archive")
        digest = store.digest()
    root, here, there = tmp_path / "shared", tmp_path / "here", tmp_path / "there"

    def import_to(catalog: Path) -> None:
        kiromi.import_archive(tmp_path / "archive", root, catalog=catalog)

    with monkeypatch.context() as patch:

        def broken(*args: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(archive_import, "_prove", broken)
        with pytest.raises(KeyboardInterrupt):
            import_to(here)
    with pytest.raises(kiromi.IntegrityError, match="recover"):
        import_to(there)
    import_to(here)  # its own goes on
    shutil.rmtree(root)
    shutil.move(here / "default" / "catalog.duckdb", here / "default" / "catalog.duckdb.importing")
    import_to(there)
    with pytest.raises(kiromi.IntegrityError, match="recover"):
        import_to(here)
    with kiromi.open(root, catalog=there) as copy:
        assert copy.digest() == digest
        assert problems(copy) == set()
    assert not (root / "default" / "importing").exists()


def test_the_log_of_the_lost_catalog_does_not_hinder_the_new_one(tmp_path: Path) -> None:
    root, archive = tmp_path / "store", tmp_path / "archive"
    code = (
        "import os, signal, sys, kiromi\n"
        "store = kiromi.open(sys.argv[1], scheme='user={user}')\n"
        "records = [{'content': f'{i}', 'attributes': {'user': 'ana'}} for i in range(200)]\n"
        "store.append_many(records)\n"
        "store.export_archive('live', sys.argv[2])\n"
        "store.append_many(records)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    child = subprocess.run([sys.executable, "-c", code, str(root), str(archive)], check=False, timeout=60)
    assert child.returncode == -9
    assert (root / "default" / "catalog.duckdb.wal").stat().st_size > 0
    (root / "default" / "catalog.duckdb").unlink()
    report = recovered(tmp_path)
    assert (report.whole, report.new) == (200, 200)
    with kiromi.open(root) as store:
        assert store.count() == 400
        assert problems(store) == set()


def test_what_was_staged_is_a_lost_store_too(tmp_path: Path) -> None:
    store, ids = open_filled(tmp_path / "other")
    with store:
        store.export_archive("live", tmp_path / "archive")
    staged = tmp_path / "store" / "default" / "staging" / f"{ids['seat']}.9.md"
    staged.parent.mkdir(parents=True)
    staged.write_text("Acknowledged.")
    with pytest.raises(kiromi.IntegrityError, match="kiromi recover"):
        kiromi.open(tmp_path / "store", scheme=SCHEME)
    with pytest.raises(kiromi.IntegrityError, match=r"staging/.*\.9\.md"):
        kiromi.import_archive(tmp_path / "archive", tmp_path / "store")
    assert staged.read_text() == "Acknowledged."
    assert kiromi.recover(tmp_path / "store", schemes=[SCHEME], dry_run=False).kept == 1
    with kiromi.open(tmp_path / "store") as store:
        assert store.undelete(ids["seat"]).size == len("Acknowledged.")


def test_a_store_of_links_alone_is_recovered(tmp_path: Path) -> None:
    with kiromi.open(tmp_path / "store", scheme=SCHEME) as store:
        store.link("kiromi://partition/user=ana", "https://example.org/ana", "about")
        digest = store.digest()
        store.export_archive("live", tmp_path / "archive", contents=False)
    (tmp_path / "store" / "default" / "catalog.duckdb").unlink()
    recovered(tmp_path)
    with kiromi.open(tmp_path / "store") as store:
        assert store.digest() == digest
        assert problems(store) == set()


def test_paths_are_as_the_archive_says_on_a_filesystem_that_folds_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with kiromi.open(tmp_path / "store", scheme=SCHEME) as store:
        ids = [store.append("x", {"user": user, "topic": "Xy"}).id for user in ("Ana", "bob", "Ä", "é%")]
        store.delete(ids.pop())
        digest = store.digest()
        store.export_archive("live", tmp_path / "whole")
        store.export_archive("live", tmp_path / "archive", contents=False)
    (tmp_path / "store" / "default" / "catalog.duckdb").unlink()
    monkeypatch.setattr(LocalBlobs, "folds_case", lambda self: True)
    assert recovered(tmp_path).memories == ()
    kiromi.import_archive(tmp_path / "whole", tmp_path / "copy")  # these are written anew
    for root, name in ((tmp_path / "store", "user=Ana"), (tmp_path / "copy", "user=%41na")):
        with kiromi.open(root) as store:
            assert store.digest() == digest
            assert problems(store) == set()
            assert name in store.get(ids[0]).path
