"""Recover: a lost catalog is made anew from archives and blobs, and nothing that is there is lost by it (P4)."""

import shutil
from pathlib import Path
from typing import Any

import pytest

import kiromi
from kiromi import AlreadyExists, IntegrityError, InvalidInput, NotFound, RecoverReport, Store
from tests.blobs.s3 import BUCKET, s3_options
from tests.operations.archived import SCHEME, open_filled, seen
from tests.operations.tree import files_below

__all__ = ["s3_options"]


def lose(root: Path) -> None:
    """Remove the catalog with all that belongs to it."""
    for path in (root / "default").glob("catalog.duckdb*"):
        path.unlink()
    shutil.rmtree(root / "default" / "index", ignore_errors=True)


def outcomes(report: RecoverReport) -> dict[str, str]:
    return {memory.id: memory.outcome for memory in report.memories}


def recovered(root: Path, **how: Any) -> RecoverReport:
    """Recover after a look at the plan, which must be what is done; check that the result is sound."""
    before = files_below(root)
    plan = kiromi.recover(root, **how)
    assert files_below(root) == before
    report = kiromi.recover(root, **how, dry_run=False)
    assert (plan.applied, report.applied) == (False, True)
    assert outcomes(plan) == outcomes(report)
    with kiromi.open(root) as store:
        assert store.verify(read_data=True).problems == ()
        assert store.stats().pending == 0
    return report


def test_nothing_is_lost_when_nothing_was_written_since(tmp_path: Path) -> None:
    store, ids = open_filled(tmp_path / "store")
    with store:
        store.delete(ids["gone"])
        store.snapshot("one")
        store.append("x", {"user": "ana"}, vector=[1.0, 0.0])
        store.export_archive("live", tmp_path / "archive", contents=False)
        digest, before, seq = store.digest(), seen(store), store.seq
        then = store.at("one").digest()
    lose(tmp_path / "store")
    with pytest.raises(IntegrityError, match="kiromi recover"):
        kiromi.open(tmp_path / "store", scheme=SCHEME)
    report = recovered(tmp_path / "store", archives=[tmp_path / "archive"])
    assert report.memories == ()
    assert (report.whole, report.archive_seq, report.seq, report.former_lost) == (4, seq, seq + 1, 0)
    with kiromi.open(tmp_path / "store") as store:
        assert store.digest() == digest
        assert seen(store) == before
        assert store.at("one").digest() == then  # also moments before it
        assert store.undelete(ids["gone"]).version == 2
        assert [entry.op for entry in store.audit()][-2:] == ["recover", "undelete"]


def test_what_was_written_since_comes_back_by_paths_and_files(tmp_path: Path) -> None:
    store, ids = open_filled(tmp_path / "store")
    with store:
        moved = store.append("Moves.", {"user": "bob"}, title="Moving", vector=[1.0, 0.0]).id
        back = store.append("Comes back.", {"user": "bob"}, title="Back", vector=[1.0, 0.0]).id
        store.delete(back)
        whole = store.get(ids["seat"])
        store.export_archive("live", tmp_path / "archive", contents=False)
        store.update(ids["window"], content="Changed.", vector=[1.0, 0.0])
        store.update(ids["window"], content="Changed again.", vector=[1.0, 0.0])
        store.update(moved, attributes={"user": "carl/é", "topic": "work"})
        store.delete(ids["gone"])
        store.undelete(back)
        new = store.append("New.", {"user": "eve", "topic": "x"}, title="Unknown", vector=[1.0, 0.0]).id
        brief = store.append("Came and went.", {"user": "eve"}, vector=[1.0, 0.0]).id
        store.delete(brief)
        texts = {memory.id: memory.data for memory in store.get_many(store.list_ids())}
    lose(tmp_path / "store")
    report = recovered(tmp_path / "store", archives=[tmp_path / "archive"])
    assert outcomes(report) == {
        ids["window"]: "changed",
        moved: "changed",
        ids["gone"]: "deleted",
        back: "back",
        new: "new",
        brief: "kept",
    }
    assert (report.whole, report.changed, report.back, report.new) == (2, 2, 1, 1)
    assert (report.deleted, report.kept, report.lost) == (1, 1, 0)
    assert all(memory.unknown for memory in report.memories)
    with kiromi.open(tmp_path / "store") as store:
        assert {memory.id: memory.data for memory in store.get_many(store.list_ids())} == texts
        assert store.get(ids["seat"]) == whole
        assert dict(store.get(moved).attributes) == {"user": "carl/é", "topic": "work"}
        assert store.get(moved).title == "Moving"
        assert store.get(back).title == "Back"
        assert dict(store.get(new).attributes) == {"user": "eve", "topic": "x"}
        assert store.get(new).title is None
        history = store.history(ids["window"])
        assert [version.info.version for version in history] == [4, 3, 2, 1]
        assert store.undelete(ids["gone"]).id == ids["gone"]
        assert store.undelete(brief).path.startswith("data/recovered/")
        assert store.get(brief).text == "Came and went."
        assert store.update(ids["window"], content="Next.", vector=[1.0, 0.0]).path.endswith(".5.md")
        assert store.verify(read_data=True).problems == ()
        assert store.audit_verify().is_clean


def test_it_works_without_any_archive(tmp_path: Path) -> None:
    store, ids = open_filled(tmp_path / "store")
    with store:
        store.delete(ids["gone"])
        texts = {memory.id: memory.data for memory in store.get_many(store.list_ids())}
        paths = {memory.id: memory.path for memory in store.get_many(store.list_ids())}
    lose(tmp_path / "store")
    report = recovered(tmp_path / "store", schemes=[SCHEME])
    assert (report.new, report.kept, report.whole, report.archive_seq) == (3, 1, 0, None)
    with kiromi.open(tmp_path / "store", scheme=SCHEME) as store:
        assert {memory.id: memory.data for memory in store.get_many(store.list_ids())} == texts
        assert {memory.id: memory.path for memory in store.get_many(store.list_ids())} == paths
        assert store.get(ids["bytes"]).media_type == "application/octet-stream"
        assert store.count(within={"user": "ana"}) == 2
        assert [version.info.version for version in store.history(ids["window"])] == [2, 1]
        assert store.undelete(ids["gone"]).version == 2
        assert store.get(ids["gone"]).text == "Deleted later."


def test_paths_that_no_scheme_explains_are_taken_as_they_lie(tmp_path: Path) -> None:
    with kiromi.open(tmp_path / "store", scheme="b={user:bucket(4)}/m={event_at:month}") as store:
        bucketed = store.append("Bucketed.", {"user": "ana"})
    lose(tmp_path / "store")
    stray = tmp_path / "store" / "default" / "data" / "100%" / f"{bucketed.id[:-1]}Z.1.md"
    stray.parent.mkdir()
    stray.write_text("Astray.")
    (tmp_path / "store" / "default" / "data" / "note.txt").write_text("Nobody's.")
    report = kiromi.recover(tmp_path / "store", schemes=["b={user:bucket(4)}/m={event_at:month}"], dry_run=False)
    assert report.strangers == ("data/note.txt",)
    with kiromi.open(tmp_path / "store") as store:
        found = store.get(bucketed.id)
        assert found.path == bucketed.path
        assert set(found.attributes) == {"b", "m"}
        assert store.get(stray.name.partition(".")[0]).path.startswith("data/recovered/")
        kinds = [problem.kind for problem in store.verify(read_data=True).problems]
        assert kinds == ["orphan"]
        assert (tmp_path / "store" / "default" / "data" / "note.txt").read_text() == "Nobody's."


def test_blobs_in_motion_and_second_copies_are_settled(tmp_path: Path) -> None:
    store, ids = open_filled(tmp_path / "store")
    with store:
        seat = store.get(ids["seat"])
        store.export_archive("live", tmp_path / "archive", contents=False)
    lose(tmp_path / "store")
    tenant = tmp_path / "store" / "default"
    lying = tenant / seat.path
    (tenant / "staging" / f"{ids['window']}.3.md").write_text("Acknowledged or not.")
    shutil.copy(lying, tenant / "attic" / lying.name)
    report = recovered(tmp_path / "store", archives=[tmp_path / "archive"])
    assert outcomes(report) == {ids["window"]: "kept"}
    assert not (tenant / "attic" / lying.name).exists()
    with kiromi.open(tmp_path / "store") as store:
        assert store.get(ids["seat"]) == seat
        assert [version.info.size for version in store.history(ids["window"])][1] == len("Acknowledged or not.")


def test_what_is_gone_is_told(tmp_path: Path) -> None:
    store, ids = open_filled(tmp_path / "store")
    with store:
        store.snapshot("one")
        store.export_archive("live", tmp_path / "archive", contents=False)
        lost = store.get(ids["gone"]).path
    lose(tmp_path / "store")
    (tmp_path / "store" / "default" / lost).unlink()
    shutil.rmtree(tmp_path / "store" / "default" / "attic")
    report = recovered(tmp_path / "store", archives=[tmp_path / "archive"])
    assert outcomes(report) == {ids["gone"]: "lost"}
    assert (report.former_lost, report.snapshots_lost) == (2, 1)
    with kiromi.open(tmp_path / "store") as store:
        assert not store.exists(ids["gone"])
        with pytest.raises(kiromi.SnapshotNotFound):
            store.at(1)


def test_it_is_refused_where_nothing_is_lost_or_nothing_fits(tmp_path: Path) -> None:
    store, _ = open_filled(tmp_path / "store")
    with store:
        store.export_archive("live", tmp_path / "archive")
    with pytest.raises(AlreadyExists, match="nothing is lost"):
        kiromi.recover(tmp_path / "store", archives=[tmp_path / "archive"])
    with pytest.raises(NotFound, match="no blobs"):
        kiromi.recover(tmp_path / "none", archives=[tmp_path / "archive"])
    assert not (tmp_path / "none").exists()
    lose(tmp_path / "store")
    with pytest.raises(InvalidInput, match="needs an archive"):
        kiromi.recover(tmp_path / "store")
    [part] = (tmp_path / "archive").glob("memories-*")
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match=part.name):
        kiromi.recover(tmp_path / "store", archives=[tmp_path / "archive"])


def test_a_broken_recovery_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kiromi.operations import recovering

    store, _ = open_filled(tmp_path / "store")
    with store:
        store.export_archive("live", tmp_path / "archive", contents=False)
        digest = store.digest()
    lose(tmp_path / "store")
    with monkeypatch.context() as patch:

        def killed(*args: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr(recovering, "show", killed)
        with pytest.raises(KeyboardInterrupt):
            kiromi.recover(tmp_path / "store", archives=[tmp_path / "archive"], dry_run=False)
    with pytest.raises(IntegrityError, match="recover"):
        kiromi.open(tmp_path / "store", scheme=SCHEME)
    recovered(tmp_path / "store", archives=[tmp_path / "archive"])
    with kiromi.open(tmp_path / "store") as store:
        assert store.digest() == digest


@pytest.mark.parametrize("is_s3", [False, True], ids=["memory", "s3"])
def test_a_recovered_catalog_takes_an_object_store_over(
    tmp_path: Path, is_s3: bool, request: pytest.FixtureRequest
) -> None:
    options = request.getfixturevalue("s3_options") if is_s3 else None
    url = f"{f's3://{BUCKET}' if is_s3 else 'memory://recover'}/{tmp_path.name}"

    def opened(catalog: str) -> Store:
        return kiromi.open(f"{url}/store", catalog=tmp_path / catalog, storage_options=options)

    store, ids = open_filled(
        f"{url}/store", catalog=tmp_path / "old", storage_options=options, archive=f"{url}/archive"
    )
    with store:
        store.snapshot("one")
        new = store.append("Since.", {"user": "eve"}, vector=[1.0, 0.0])
        store.delete(ids["gone"])
        digest, store_id = store.digest(), store._base.session.meta.store_id
    with opened("old") as store:  # without an archive beside it: this one is not in there
        last = store.append("Last.", {"user": "eve"}, vector=[1.0, 0.0])
    report = kiromi.recover(
        f"{url}/store",
        catalog=tmp_path / "new",
        archives=[f"{url}/archive"],
        storage_options=options,
        dry_run=False,
    )
    assert outcomes(report) == {last.id: "new"}
    with opened("new") as store:
        assert store._base.session.meta.store_id == store_id
        assert store.get(new.id) == new
        assert store.get(last.id).text == "Last."
        store.delete(last.id)
        assert store.digest() == digest
        assert store.verify(read_data=True).problems == ()
    with pytest.raises(kiromi.Conflict, match="another catalog"):
        opened("old")
    # Without an archive the store still is the same one, by what its epochs say.
    report = kiromi.recover(
        f"{url}/store", catalog=tmp_path / "third", schemes=[SCHEME], storage_options=options, dry_run=False
    )
    assert report.store_id == store_id
    with opened("third") as store:
        assert store.get(new.id).text == "Since."
        assert store.verify(read_data=True).problems == ()


def test_a_changed_blob_is_not_hidden(tmp_path: Path) -> None:
    store, ids = open_filled(tmp_path / "store")
    with store:
        store.export_archive("live", tmp_path / "archive", contents=False)
        path = tmp_path / "store" / "default" / store.get(ids["seat"]).path
    lose(tmp_path / "store")
    path.write_bytes(b"x" * path.stat().st_size)
    kiromi.recover(tmp_path / "store", archives=[tmp_path / "archive"], dry_run=False)
    with kiromi.open(tmp_path / "store") as store:
        assert [problem.kind for problem in store.verify(read_data=True).problems] == ["checksum_mismatch"]
