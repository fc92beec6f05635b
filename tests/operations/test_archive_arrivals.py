"""A log that comes from an archive says which of its entries came without their facts (P13, P14)."""

import json
from pathlib import Path

import duckdb
import pytest

import kiromi
from kiromi import Store
from kiromi.portable.archive.forget import forget
from tests.operations.archived import open_filled

BARE = "UPDATE audit_log SET salt = NULL, memory_id = NULL, detail = NULL, run_id = NULL, reason = NULL WHERE seq = ?"


def arrival(store: Store) -> tuple[str, str, int, int]:
    """Return op, actor, the archive's seq and the count of the last audit entry."""
    [entry] = store.audit()[-1:]
    detail = entry.detail if isinstance(entry.detail, dict) else json.loads(str(entry.detail))
    return entry.op, entry.actor, detail["archive_seq"], detail["entries_without_facts"]


def tamper(root: Path, seq: int) -> None:
    with duckdb.connect(root / "default" / "catalog.duckdb") as connection:
        connection.execute(BARE, [seq])


def test_a_moment_before_an_erasure_is_imported_with_a_note(tmp_path: Path) -> None:
    store, ids = open_filled(tmp_path / "store")
    with store:
        store.append("Stays.", {"user": "ana"}, vector=[1.0, 0.0])
        seq = store.seq
        store.erase([ids["gone"]], dry_run=False)
        report = store.export_archive(seq, tmp_path / "archive")
        digest = store.at(seq).digest()
        store.restore_to(seq, tmp_path / "restored")
    assert report.digest == digest
    assert kiromi.verify_archive(tmp_path / "archive").is_clean
    came = kiromi.import_archive(tmp_path / "archive", tmp_path / "copy", actor="desk")
    assert (came.digest, came.left_out["audit_facts"]) == (digest, 1)
    for root, actor in (("copy", "desk"), ("restored", "tester")):
        with kiromi.open(tmp_path / root) as copy:
            assert copy.seq == seq + 1
            assert arrival(copy) == ("import", actor, seq, 1)
            assert copy.digest() == copy.at(seq).digest() == digest
            assert copy.audit_verify().problems == ()
            assert copy.verify(read_data=True).problems == ()
            copy.export_archive("live", tmp_path / f"{root}-again")
            assert copy.append("Next.", {"user": "ana"}, vector=[1.0, 0.0]).seq == seq + 2
    kiromi.import_archive(tmp_path / "copy-again", tmp_path / "again")
    with kiromi.open(tmp_path / "again") as again:
        assert again.audit_verify().problems == ()


def test_nothing_is_noted_where_an_erasure_explains_it(tmp_path: Path) -> None:
    store, ids = open_filled(tmp_path / "store")
    with store:
        store.erase([ids["gone"]], dry_run=False)
        store.export_archive("live", tmp_path / "archive")
        seq = store.seq
    assert kiromi.import_archive(tmp_path / "archive", tmp_path / "copy").left_out["audit_facts"] == 1
    with kiromi.open(tmp_path / "copy") as copy:
        assert copy.seq == seq
        assert copy.audit_verify().problems == ()


def test_forgotten_memories_are_explained_and_nothing_beyond_them(tmp_path: Path) -> None:
    store, ids = open_filled(tmp_path / "store")
    with store:
        first = store.seq
        store.export_archive("live", tmp_path / "one")
        store.update(ids["gone"], tags=["x"])
        store.append("New.", {"user": "eve"}, vector=[1.0, 0.0])
        store.export_archive("live", tmp_path / "two", since=first)
        seq = store.seq
    chain = [tmp_path / "one", tmp_path / "two"]
    for url in chain:
        forget(url, [ids["gone"], ids["seat"]])
    assert kiromi.verify_archive(chain[0]).memories == 2
    assert json.loads((chain[0] / "manifest.json").read_text())["counts"] == {"memories": 2, "bytes": 33, "links": 1}
    assert kiromi.import_archive(chain, tmp_path / "copy").memories == 3
    with kiromi.open(tmp_path / "copy") as copy:
        assert arrival(copy) == ("import", "import", seq, 4)
        assert copy.audit_verify().problems == ()
        assert copy.verify(read_data=True).problems == ()
        head = copy.audit_verify().head
    tamper(tmp_path / "copy", 1)
    with kiromi.open(tmp_path / "copy") as copy:
        [problem] = copy.audit_verify(expect=head).problems
        assert (problem.kind, problem.subject) == ("audit_broken", f"audit entry (seq {first + 1}, i 0)")


def test_a_recovered_log_is_explained_too(tmp_path: Path) -> None:
    store, ids = open_filled(tmp_path / "store")
    with store:
        store.export_archive("live", tmp_path / "archive", contents=False)
        seq = store.seq
        path = tmp_path / "store" / "default" / store.get(ids["gone"]).path
    forget(tmp_path / "archive", [ids["gone"]])
    path.unlink()
    (tmp_path / "store" / "default" / "catalog.duckdb").unlink()
    kiromi.recover(tmp_path / "store", archives=[tmp_path / "archive"], dry_run=False)
    with kiromi.open(tmp_path / "store") as store:
        assert arrival(store) == ("recover", "recover", seq, 1)
        assert store.audit_verify().problems == ()
    tamper(tmp_path / "store", 1)
    with kiromi.open(tmp_path / "store") as store:
        assert [problem.kind for problem in store.audit_verify().problems] == ["audit_broken"]


@pytest.mark.parametrize("actor", ["", 7])
def test_an_actor_that_is_none_is_refused(tmp_path: Path, actor: str) -> None:
    with pytest.raises(kiromi.InvalidInput, match="actor"):
        kiromi.import_archive(tmp_path / "archive", tmp_path / "copy", actor=actor)
