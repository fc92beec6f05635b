"""The audit entries of an operation by which a log came from an archive: an import, or a recovery.

An erasure empties entries and says so in one of its own. In an archive they can be empty without that: memories were
taken out of it, or it shows a moment before an erasure that came later. Whoever brings such a log says how many there
are, so that one that is emptied afterwards is still found.
"""

import json
from collections.abc import Mapping
from typing import Any

import duckdb

from kiromi.catalog.audit import seal
from kiromi.catalog.building import insert
from kiromi.catalog.changes import Head
from kiromi.catalog.rows import AUDIT_SCHEMA, to_table
from kiromi.operations.checks.audit import BARES
from kiromi.times import now_micros

_BARES = """
SELECT count(*) FILTER (salt IS NULL), coalesce(max(seq) FILTER (salt IS NULL), 0),
    coalesce(max(seq) FILTER (op = 'erase' AND salt IS NOT NULL), 0)
FROM audit_log
"""


def bares_of(cursor: duckdb.DuckDBPyConnection) -> tuple[int, bool]:
    """Return how many entries of a log have lost their facts, and whether no erasure that came after them is in it."""
    ((bares, last, erased),) = cursor.execute(_BARES).fetchall()
    return bares, bool(bares) and last >= erased


def record_arrival(
    cursor: duckdb.DuckDBPyConnection, head: Head, final: int, op: str, actor: str, facts: Mapping[str, Any]
) -> Head:
    """Append one entry for each operation after ``head`` up to ``final`` to the audit log; return the new head."""
    at = max(now_micros(), head.at)
    bares, _ = bares_of(cursor)
    detail = json.dumps({**facts, **({BARES: bares} if bares else {})}, separators=(",", ":"))
    entries, last = [], head.hash
    for seq in range(head.seq + 1, final + 1):
        sealed = seal(last, seq, at, (actor, None, None), [(op, None, detail)])
        entries += sealed
        last = sealed[-1].hash
    insert(cursor, "audit_log", to_table(entries, AUDIT_SCHEMA))
    return Head(final, at, last, head.entries + len(entries))
