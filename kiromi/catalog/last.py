"""Last versions: what memories that are not live were when they ended, as far as ``gc`` has left it."""

from collections.abc import Sequence

import duckdb

from kiromi.catalog.rows import CLOSED_ROWS, Row, to_rows

_LAST = (
    f"{CLOSED_ROWS} WHERE m.id IN (SELECT unnest(?::VARCHAR[]))"
    " QUALIFY row_number() OVER (PARTITION BY m.id ORDER BY m.end_seq DESC) = 1"
)
# An entry has the version that an operation left, or the pair of that before and that after.
_VERSIONS = """
SELECT a.memory_id, max(coalesce(
    try_cast(a.detail->>'$.version[1]' AS INTEGER), try_cast(a.detail->>'$.version' AS INTEGER)
)) FROM audit_log a JOIN (
    SELECT id, max(end_seq) AS end_seq FROM history WHERE id IN (SELECT unnest($1::VARCHAR[])) GROUP BY id
) h ON a.memory_id = h.id AND a.seq >= h.end_seq
WHERE h.end_seq <= $2 GROUP BY a.memory_id
"""


def last_rows(cursor: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> dict[str, Row]:
    """Return the last closed version of each of some memories, in scope or not, by id."""
    return {row.id: row for row in to_rows(cursor.sql(_LAST, params=[list(ids)]).to_arrow_table())}


def resumable_rows(cursor: duckdb.DuckDBPyConnection, floor: int, ids: Sequence[str]) -> dict[str, Row]:
    """Return the same, each with the highest version that the memory ever had, from which it goes on.

    ``gc`` may have left only older ones, which a snapshot shows; the audit log still tells of the others, and a version
    that comes twice would deceive whoever expects one.

    Args:
        cursor: over the tables.
        floor: the gc floor; what ended after it is all there.
        ids: of memories that are not live.
    """
    rows = last_rows(cursor, ids)
    if not floor or not rows:
        return rows
    found = dict(cursor.execute(_VERSIONS, [list(rows), floor]).fetchall())
    return {
        memory_id: row._replace(version=max(row.version, found.get(memory_id) or 0)) for memory_id, row in rows.items()
    }
