"""The audit log against its own chain, the recorded head, and the seqs that the rows name.

Reads the log once, in order, in bounded memory. What a chain alone cannot show, a tail that was cut cleanly, is found
in three ways: ``meta`` records the head, rows name seqs that only the log explains, and a caller may have kept a head.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import duckdb

from kiromi.catalog.audit import check_chain, genesis
from kiromi.catalog.rows import AUDIT_SCHEMA, AuditRow
from kiromi.reports.checking import AuditReport, Problem

ARRIVALS = frozenset(("import", "recover"))
"""Operations by which a log comes from an archive."""
BARES = "entries_without_facts"
"""What the detail of such an operation calls the number of entries that an erasure had emptied before."""
_ROWS = 10_000
_COLUMNS = ", ".join('epoch_us("at")' if name == "at" else f'"{name}"' for name in AUDIT_SCHEMA.names)
_UNEXPLAINED = """
SELECT count(*), min(seq), max(seq) FROM (
    SELECT begin_seq AS seq FROM memories UNION SELECT begin_seq FROM history UNION SELECT end_seq FROM history
) ANTI JOIN audit_log USING (seq)
"""


@dataclass(slots=True)
class _Tally:
    """What is noted while the log passes by."""

    hash: bytes
    wanted: bytes | None
    """A head that has to occur."""
    entries: int = 0
    seq: int = 0
    bare: AuditRow | None = None
    """The last entry without salt: an erasure has taken its facts."""
    bares: int = 0
    """How many of them there were."""
    erased_seq: int = 0
    """The last operation that explains all of them: an erasure, or the arrival of so many from an archive."""

    def __post_init__(self) -> None:
        self.note(self.hash)

    def note(self, entry_hash: bytes) -> None:
        self.hash = entry_hash
        if entry_hash == self.wanted:
            self.wanted = None


def check_audit(cursor: duckdb.DuckDBPyConnection, expect: bytes | None = None) -> AuditReport:
    """Check the whole audit log as the cursor sees it.

    Args:
        cursor: a snapshot of the catalog.
        expect: a head that was kept: the hash of some entry, or that before the first.
    """
    [(store_id, *head)] = cursor.execute("SELECT store_id, head_seq, head_entries, head_hash FROM meta").fetchall()
    [(missing, first, last)] = cursor.execute(_UNEXPLAINED).fetchall()
    tally = _Tally(genesis(store_id), expect)
    problems = list(check_chain(_noted(_entries(cursor), tally), tally.hash))
    problems += _erasure_problems(tally)
    recorded, found = _head(*head), _head(tally.seq, tally.entries, tally.hash)
    if recorded != found:
        message = f"the catalog records {recorded}, but there is {found}"
        problems.append(Problem("audit_head_mismatch", "meta", message))
    if missing:
        seqs = f"seq {first}" if first == last else f"seq {first} to {last}"
        message = f"rows name {missing} operation(s), {seqs}, of which the audit log has no entry"
        problems.append(Problem("audit_entry_missing", seqs, message))
    if tally.wanted is not None:
        message = "no entry has the hash that was expected: the log was cut, or is another store's"
        problems.append(Problem("audit_head_missing", tally.wanted.hex(), message))
    return AuditReport(tally.entries, tally.hash.hex(), tuple(problems))


def _entries(cursor: duckdb.DuckDBPyConnection) -> Iterator[AuditRow]:
    cursor.execute(f"SELECT {_COLUMNS} FROM audit_log ORDER BY seq, i, rowid")
    while rows := cursor.fetchmany(_ROWS):
        yield from map(AuditRow._make, rows)


def _noted(entries: Iterator[AuditRow], tally: _Tally) -> Iterator[AuditRow]:
    for entry in entries:
        tally.entries += 1
        tally.seq = entry.seq
        tally.note(entry.hash)
        if entry.salt is None:
            tally.bare, tally.bares = entry, tally.bares + 1
        elif entry.op == "erase" or (entry.op in ARRIVALS and tally.bares <= _bares_told(entry)):
            tally.erased_seq = entry.seq
        yield entry if entry.salt is not None or _is_bare(entry) else entry._replace(salt=b"")


def _bares_told(entry: AuditRow) -> int:
    """Return how many entries had come without their facts, by what the entry of the arrival says."""
    try:
        return int(json.loads(entry.detail or "{}").get(BARES, 0))
    except (ValueError, TypeError, AttributeError):  # it was changed, and the chain tells
        return 0


def _is_bare(entry: AuditRow) -> bool:
    """Tell whether an entry says nothing any more that its digest covers, as an erasure leaves it."""
    return entry.memory_id is None and entry.detail is None and entry.reason is None


def _erasure_problems(tally: _Tally) -> Iterator[Problem]:
    bare = tally.bare
    if bare is not None and bare.seq >= tally.erased_seq:
        where = f"audit entry (seq {bare.seq}, i {bare.i})"
        yield Problem(
            "audit_broken",
            where,
            f"{where}: its facts are gone, but no erasure came after it, nor an arrival that tells of it",
        )


def _head(seq: int, entries: int, entry_hash: bytes) -> str:
    return f"a log of {entries} entries up to seq {seq} with the head {entry_hash.hex()}"
