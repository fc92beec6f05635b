"""The past in SQL: a cursor in which the tables hold what they held when a former operation was the last one.

Temporary views hide ``memories``, ``history`` and ``links`` behind their state at a seq, for one cursor and until it is
closed. So every query that is written for the present answers for that moment too, and there is one way only to filter,
prune and scope. ``contents`` never changes and needs no such view.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import duckdb

from kiromi.catalog.rows import LIVE_ROWS, MEMORY_SCHEMA, Row, to_rows
from kiromi.catalog.view import View
from kiromi.errors import SnapshotNotFound

_COLUMNS = ", ".join(MEMORY_SCHEMA.names)
_VIEWS = f"""
CREATE TEMP VIEW memories AS
    SELECT {_COLUMNS} FROM {{db}}.memories WHERE begin_seq <= {{seq}}
    UNION ALL SELECT {_COLUMNS} FROM {{db}}.history WHERE begin_seq <= {{seq}} AND end_seq > {{seq}};
CREATE TEMP VIEW history AS
    SELECT * FROM {{db}}.history WHERE end_seq <= {{seq}};
CREATE TEMP VIEW links AS
    SELECT * REPLACE (CASE WHEN end_seq <= {{seq}} THEN end_seq END AS end_seq) FROM {{db}}.links
    WHERE begin_seq <= {{seq}};
"""
_IS_KEPT = """
SELECT gc_floor <= $1 OR EXISTS (SELECT 1 FROM snapshots WHERE seq = $1) OR EXISTS (
    SELECT 1 FROM migration_state
    WHERE status IN ('running', 'paused') AND list_contains((params->'$.pins')::BIGINT[], $1)
), gc_floor FROM meta
"""


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of the store."""

    seq: int
    """The last operation that had taken place."""
    now: int
    """The clock, in microseconds since 1970 UTC: what had expired by then is not shown."""
    scheme: int
    """The number of the scheme that was active."""
    model: int | None
    """The number of the embedding model that was active, if there was one."""
    last_scheme: int
    """The highest number of a scheme that there was."""


class PastRows:
    """The rows that were live at a seq, by id; good as long as the cursor is open."""

    __slots__ = ("_cursor", "seq")

    def __init__(self, cursor: duckdb.DuckDBPyConnection, seq: int) -> None:
        self.seq = seq
        """The last operation that it shows."""
        self._cursor = cursor

    def get(self, memory_id: str) -> Row | None:
        """Return the row of a memory that was live, or None."""
        return next(self.rows([memory_id]), None)

    def rows(self, ids: Iterable[str]) -> Iterator[Row]:
        """Yield the rows of those ids that were live, in their order."""
        wanted = list(ids)
        # One id as a plain value: DuckDB then leaves out by their bounds the row groups that cannot have it.
        one = len(wanted) == 1
        sql = f"{LIVE_ROWS} WHERE m.id = ?" if one else f"{LIVE_ROWS} WHERE m.id IN (SELECT unnest(?::VARCHAR[]))"
        table = self._cursor.sql(sql, params=wanted if one else [wanted]).to_arrow_table()
        found = {row.id: row for row in to_rows(table)}
        yield from (found[memory_id] for memory_id in wanted if memory_id in found)


Rows: TypeAlias = View | PastRows
"""The live rows of one moment: the present, or a past one."""


def check_kept(cursor: duckdb.DuckDBPyConnection, seq: int) -> None:
    """Refuse a moment of which ``gc`` has removed what only it showed.

    Raises:
        SnapshotNotFound: it lies below the gc floor, and neither a snapshot nor an unfinished job holds it.
    """
    ((is_kept, floor),) = cursor.execute(_IS_KEPT, [seq]).fetchall()
    if not is_kept:
        raise SnapshotNotFound(
            f"seq {seq} cannot be read any more: gc keeps what is from seq {floor} on, and snapshots",
            seq=seq,
            floor=floor,
        )


def look_back(cursor: duckdb.DuckDBPyConnection, seq: int) -> PastRows:
    """Let a cursor see its tables as they were at a seq, and return the rows that were live then.

    Raises:
        SnapshotNotFound: see :func:`check_kept`.
    """
    check_kept(cursor, seq)
    ((database,),) = cursor.execute("SELECT current_database()").fetchall()
    db = '"' + database.replace('"', '""') + '".main'
    cursor.execute(_VIEWS.format(db=db, seq=int(seq))).fetchall()
    return PastRows(cursor, seq)
