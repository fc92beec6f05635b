"""audit_verify: whatever was done to the log behind kiromi's back is found, and named (P13)."""

from pathlib import Path
from typing import Any

import duckdb
import pytest

import kiromi
from kiromi.catalog.audit import entry_digest, entry_hash, genesis
from kiromi.reports.checking import AuditReport


@pytest.fixture
def heads(root: Path) -> list[str]:
    """A closed store of eight operations, the last a delete and two of them in one transaction; its head after each."""
    found = []
    with kiromi.open(root, scheme="user={user}", actor="ana") as store:
        found.append(store.audit_verify().head)
        ids = []
        for number in range(5):
            with store.context(run_id=f"run-{number}", reason="because"):
                ids.append(store.append(f"memory {number}", {"user": "ana"}).id)
            found.append(store.audit_verify().head)
        with store.transaction() as tx:
            tx.update(ids[0], title="one")
            tx.update(ids[1], title="two")
        found.append(store.audit_verify().head)
        store.update(ids[2], content="changed")
        found.append(store.audit_verify().head)
        store.delete(ids[3])
        found.append(store.audit_verify().head)
    return found


def tampered(root: Path, *statements: str) -> None:
    with duckdb.connect(root / "default" / "catalog.duckdb") as connection:
        for statement in statements:
            connection.execute(statement)


def checked(root: Path, expect: str | None = None) -> AuditReport:
    with kiromi.open(root) as store:
        report = store.audit_verify(expect=expect)
        assert [p for p in store.verify().problems if p.kind.startswith("audit_")] == [
            p for p in report.problems if p.kind != "audit_head_missing"
        ]
    return report


def found(report: AuditReport) -> list[tuple[str, str]]:
    assert not report.is_clean
    return [(problem.kind, problem.subject) for problem in report.problems]


def entry(seq: int, i: int = 0) -> tuple[str, str]:
    return ("audit_broken", f"audit entry (seq {seq}, i {i})")


def test_an_untouched_log_is_clean(root: Path, heads: list[str]) -> None:
    assert len(set(heads)) == 9
    for head in (None, *heads, heads[3].upper()):
        report = checked(root, head)
        assert (report.problems, report.is_clean, report.entries, report.head) == ((), True, 9, heads[-1])


def test_an_empty_log_is_clean(store: kiromi.Store) -> None:
    report = store.audit_verify()
    assert (report.problems, report.entries) == ((), 0)
    assert store.audit_verify(expect=report.head).is_clean
    assert store.verify().is_clean


def test_a_read_only_handle_may_ask(root: Path, heads: list[str]) -> None:
    with kiromi.open(root, read_only=True) as store:
        assert store.audit_verify(expect=heads[-1]).is_clean


@pytest.mark.parametrize(
    "change",
    [
        "actor = 'bob'",
        "op = 'update'",
        "reason = 'other'",
        "reason = NULL",
        "run_id = 'other'",
        "run_id = NULL",
        "memory_id = '01ARZ3NDEKTSV4RRFFQ69G5FAV'",
        "memory_id = NULL",
        "detail = '{}'",
        "detail = NULL",
        "detail = detail || ' '",
        "salt = 'x'::BLOB",
        "digest = 'x'::BLOB",
        '"at" = "at" + INTERVAL 1 MICROSECOND',
        "salt = NULL",
        "salt = NULL, reason = NULL, detail = '{}'",
    ],
)
def test_a_changed_entry_is_named(root: Path, heads: list[str], change: str) -> None:
    tampered(root, f"UPDATE audit_log SET {change} WHERE seq = 3")
    assert set(found(checked(root))) == {entry(3)}


def test_a_changed_hash_is_found_there_and_after(root: Path, heads: list[str]) -> None:
    tampered(root, "UPDATE audit_log SET hash = 'x'::BLOB WHERE seq = 3")
    assert found(checked(root)) == [entry(3), entry(4)]


def test_facts_that_no_erasure_took_are_missed(root: Path, heads: list[str]) -> None:
    tampered(root, "UPDATE audit_log SET salt = NULL, memory_id = NULL, detail = NULL, reason = NULL WHERE seq = 3")
    report = checked(root)
    assert found(report) == [entry(3)]
    assert "no erasure" in report.problems[0].message


def test_facts_that_an_erasure_took_are_not_missed(root: Path, heads: list[str]) -> None:
    appended(root, seq=9, op="erase")
    tampered(root, "UPDATE audit_log SET salt = NULL, memory_id = NULL, detail = NULL, reason = NULL WHERE seq = 3")
    assert checked(root).is_clean


def appended(root: Path, seq: int, op: str) -> None:
    """Append a well-formed entry, and record it as the head."""
    with duckdb.connect(root / "default" / "catalog.duckdb") as connection:
        [(previous, at)] = connection.execute("SELECT head_hash, epoch_us(head_at) FROM meta").fetchall()
        digest = entry_digest(b"salt", None, "{}", None, None)
        fresh = entry_hash(previous, seq, 0, at, "eve", op, digest)
        connection.execute(
            "INSERT INTO audit_log VALUES (?, 0, make_timestamptz(?), 'eve', NULL, NULL, ?, NULL, '{}', ?, ?, ?)",
            [seq, at, op, b"salt", digest, fresh],
        )
        connection.execute("UPDATE meta SET head_seq = ?, head_entries = head_entries + 1, head_hash = ?", [seq, fresh])


def test_an_entry_dated_before_its_predecessor(root: Path, heads: list[str]) -> None:
    tampered(root, "UPDATE audit_log SET \"at\" = TIMESTAMPTZ '2001-01-01 00:00:00+00' WHERE seq = 3")
    messages = [problem.message for problem in checked(root).problems]
    assert any("dated before" in message for message in messages)


def test_a_dropped_entry(root: Path, heads: list[str]) -> None:
    tampered(root, "DELETE FROM audit_log WHERE seq = 3")
    report = checked(root)
    assert found(report) == [entry(4), ("audit_head_mismatch", "meta"), ("audit_entry_missing", "seq 3")]
    assert report.entries == 8


def test_a_dropped_entry_within_an_operation(root: Path, heads: list[str]) -> None:
    tampered(root, "DELETE FROM audit_log WHERE seq = 6 AND i = 0")
    report = checked(root)
    assert set(found(report)) == {entry(6, 1), ("audit_head_mismatch", "meta")}
    assert "missing before it" in report.problems[0].message


@pytest.mark.parametrize("seq", [0, 3, 6, 9])
def test_an_inserted_entry(root: Path, heads: list[str], seq: int) -> None:
    insert = (
        "INSERT INTO audit_log BY NAME"
        f" SELECT * REPLACE (CASE WHEN seq = {seq} THEN 2 ELSE 0 END AS i, {seq} AS seq) FROM audit_log WHERE seq = 2"
    )
    tampered(root, insert, "UPDATE audit_log SET i = 1 WHERE seq = 3 AND i = 2")
    kinds = [kind for kind, _ in found(checked(root))]
    assert "audit_broken" in kinds
    assert "audit_head_mismatch" in kinds


def test_an_entry_that_is_there_twice(root: Path, heads: list[str]) -> None:
    tampered(root, "INSERT INTO audit_log SELECT * FROM audit_log WHERE seq = 3")
    report = checked(root)
    assert set(found(report)) == {entry(3), ("audit_head_mismatch", "meta")}
    assert "does not come after" in report.problems[0].message


def test_swapped_entries(root: Path, heads: list[str]) -> None:
    tampered(root, "UPDATE audit_log SET seq = 7 - seq WHERE seq IN (3, 4)")
    assert set(found(checked(root))) == {entry(3), entry(4), entry(5)}


def test_swapped_contents_of_two_entries(root: Path, heads: list[str]) -> None:
    tampered(root, "UPDATE audit_log SET i = 1 - i WHERE seq = 6")
    assert set(found(checked(root))) == {entry(6, 0), entry(6, 1), entry(7)}


CUT = "DELETE FROM audit_log WHERE seq > 5"
REWRITE = """
UPDATE meta SET head_seq = last.seq, head_at = last."at", head_hash = last.hash,
                head_entries = (SELECT count(*) FROM audit_log)
FROM (SELECT * FROM audit_log ORDER BY seq DESC, i DESC LIMIT 1) AS last
"""
ROLL_BACK = (
    "DELETE FROM memories WHERE begin_seq > 5",
    "INSERT INTO memories SELECT * EXCLUDE (end_seq) FROM history WHERE end_seq > 5",
    "DELETE FROM history WHERE end_seq > 5",
)


def test_a_cut_tail(root: Path, heads: list[str]) -> None:
    tampered(root, CUT)
    report = checked(root)
    assert found(report) == [("audit_head_mismatch", "meta"), ("audit_entry_missing", "seq 6 to 8")]
    assert (report.entries, report.head) == (5, heads[5])
    assert heads[5] in report.problems[0].message
    assert heads[8] in report.problems[0].message
    assert "3 operation(s)" in report.problems[1].message


def test_a_cut_tail_with_the_recorded_head_to_match(root: Path, heads: list[str]) -> None:
    tampered(root, CUT, REWRITE)
    assert found(checked(root)) == [("audit_entry_missing", "seq 6 to 8")]


def test_a_log_cut_to_nothing(root: Path, heads: list[str]) -> None:
    tampered(root, "DELETE FROM audit_log")
    report = checked(root)
    assert found(report) == [("audit_head_mismatch", "meta"), ("audit_entry_missing", "seq 1 to 8")]
    assert report.head == heads[0]


def test_a_cut_tail_with_rows_to_match_is_found_by_a_kept_head(root: Path, heads: list[str]) -> None:
    tampered(root, CUT, REWRITE, *ROLL_BACK)
    assert checked(root).is_clean
    assert checked(root, heads[5]).is_clean
    assert found(checked(root, heads[8])) == [("audit_head_missing", heads[8])]


def test_a_head_of_another_store(root: Path, heads: list[str]) -> None:
    other = genesis("01ARZ3NDEKTSV4RRFFQ69G5FAV").hex()
    assert found(checked(root, other)) == [("audit_head_missing", other)]


def test_a_head_that_the_tail_had_before_it_was_cut_is_no_longer_there(root: Path, heads: list[str]) -> None:
    tampered(root, CUT)
    assert ("audit_head_missing", heads[7]) in found(checked(root, heads[7]))


@pytest.mark.parametrize("change", ["head_seq = 99", "head_entries = 99", "head_hash = 'x'::BLOB"])
def test_a_changed_record_of_the_head(root: Path, heads: list[str], change: str) -> None:
    tampered(root, f"UPDATE meta SET {change}")
    assert found(checked(root)) == [("audit_head_mismatch", "meta")]


def test_rows_of_another_seq(root: Path, heads: list[str]) -> None:
    tampered(root, "UPDATE memories SET begin_seq = 77 WHERE begin_seq = 5")
    assert found(checked(root)) == [("audit_entry_missing", "seq 77")]


@pytest.mark.parametrize("expect", ["", "0", "g" * 64, "0" * 63, "0" * 65, " " + "0" * 63, 7, b"0" * 64])
def test_what_is_no_head_is_refused(store: kiromi.Store, expect: Any) -> None:
    with pytest.raises(kiromi.InvalidInput, match="64 hexadecimal digits"):
        store.audit_verify(expect=expect)


def test_a_scoped_handle_is_refused(store: kiromi.Store) -> None:
    with pytest.raises(kiromi.InvalidInput, match="whole tenant"):
        store.scoped({"user": "ana"}).audit_verify()
