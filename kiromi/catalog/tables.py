"""What a commit does to the tables: many rows in a few statements, which take them as Arrow under one name."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from kiromi.catalog import vectors
from kiromi.catalog.changes import BlobKey, Changes, Head
from kiromi.catalog.moves import Moves
from kiromi.catalog.rows import AUDIT_SCHEMA, CONTENT_SCHEMA, HISTORY_SCHEMA, MEMORY_SCHEMA, PENDING_SCHEMA, to_table

_MEMORY_NAMES = ", ".join(MEMORY_SCHEMA.names)
_CONTENT_NAMES = ", ".join(CONTENT_SCHEMA.names)


def write(
    cursor: duckdb.DuckDBPyConnection,
    changes: Changes,
    gone: set[BlobKey],
    fresh: Mapping[BlobKey, tuple[str, ...]],
    *,
    clears_all: bool,
) -> None:
    """Write changes within a transaction.

    Args:
        cursor: whose transaction.
        changes: what changes.
        gone: blobs whose pending rows go.
        fresh: blobs that are pending from now on, with the places where each may lie.
        clears_all: whether all pending rows are among those that go.
    """
    _delete_ids(cursor, {row.id for row, _ in changes.closed})
    if changes.moves is not None:
        _move(cursor, changes.moves)
    _insert_live(cursor, changes)
    _insert(cursor, "history", [(*row[: len(MEMORY_SCHEMA)], end) for row, end in changes.closed], HISTORY_SCHEMA)
    _insert(cursor, "audit_log", changes.audit, AUDIT_SCHEMA)
    vectors.insert(cursor, changes.vectors)
    for name, table in changes.loads:  # first, so that statements can look at what was loaded
        with_table(cursor, table, f"INSERT INTO {name} BY NAME SELECT * FROM incoming")
    for statement, parameters in changes.statements:
        cursor.execute(statement, parameters).fetchall()
    if gone:
        _delete_pending(cursor, gone, everything=clears_all)
    _insert(cursor, "pending", [(*key, places) for key, places in fresh.items()], PENDING_SCHEMA)
    cursor.execute(
        "UPDATE meta SET head_seq = ?, head_at = make_timestamptz(?), head_hash = ?, head_entries = ?",
        head_values(changes.head),
    )


def with_table(cursor: duckdb.DuckDBPyConnection, table: pa.Table, statement: str) -> list[Any]:
    """Run a statement that reads an Arrow table under the name ``incoming``; return its rows."""
    cursor.register("incoming", table)
    try:
        return cursor.execute(statement).fetchall()
    finally:
        cursor.unregister("incoming")


def head_values(head: Head) -> list[Any]:
    """Return what ``meta`` says of the last operation."""
    return [head.seq, head.at, head.hash, head.entries]


def _insert(cursor: duckdb.DuckDBPyConnection, table: str, rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> None:
    if rows:
        with_table(cursor, to_table(rows, schema), f"INSERT INTO {table} BY NAME SELECT * FROM incoming")


def _insert_live(cursor: duckdb.DuckDBPyConnection, changes: Changes) -> None:
    """Insert rows and contents; in a bulk append each row brings its content, and one Arrow table serves both."""
    live = changes.live_table()
    if len(live):
        with_table(cursor, live, f"INSERT INTO memories BY NAME SELECT {_MEMORY_NAMES} FROM incoming")
    if changes.contents and len(changes.contents) == len(live) and not changes.closed:
        with_table(cursor, live, f"INSERT INTO contents SELECT {_CONTENT_NAMES} FROM incoming")
    else:
        _insert(cursor, "contents", changes.contents, CONTENT_SCHEMA)


def _delete_ids(cursor: duckdb.DuckDBPyConnection, ids: set[str]) -> None:
    if ids:
        with_table(cursor, pa.table({"id": sorted(ids)}), "DELETE FROM memories WHERE id IN (SELECT id FROM incoming)")


def _move(cursor: duckdb.DuckDBPyConnection, moves: Moves) -> None:
    # In the order of ids, so that the bounds of row groups tell DuckDB where to look.
    with_table(cursor, moves.rows.select(["id"]), "DELETE FROM memories WHERE id IN (SELECT id FROM incoming)")
    with_table(cursor, moves.live(), "INSERT INTO memories BY NAME SELECT * FROM incoming")
    with_table(cursor, moves.closed(), "INSERT INTO history BY NAME SELECT * FROM incoming")


def _delete_pending(cursor: duckdb.DuckDBPyConnection, keys: Collection[BlobKey], *, everything: bool) -> None:
    if everything:
        cursor.execute("DELETE FROM pending")
        return
    table = pa.table({"id": [key[0] for key in keys], "n": pa.array([key[1] for key in keys], pa.int32())})
    with_table(
        cursor, table, "DELETE FROM pending USING incoming WHERE pending.id = incoming.id AND pending.n = incoming.n"
    )
