"""Filling the catalog of a store that is made from an archive: set by set, in transactions of its own.

The file goes by another name until it is whole, so nothing of this is ever seen half done.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from kiromi.catalog.changes import Head
from kiromi.catalog.database import Catalog, Meta
from kiromi.catalog.rows import CONTENT_SCHEMA, MEMORY_SCHEMA

MEMORY_NAMES = ", ".join(MEMORY_SCHEMA.names)
CONTENT_NAMES = ", ".join(CONTENT_SCHEMA.names)
_META = """
INSERT INTO meta BY NAME SELECT 1 AS format_version, ? AS store_id, ? AS catalog_id, ? AS tenant, ? AS fold_case,
    make_timestamptz(?) AS created_at, ?::BIGINT AS head_seq, make_timestamptz(?) AS head_at, ?::BLOB AS head_hash,
    ?::BIGINT AS head_entries, ?::BIGINT AS gc_floor, ?::BIGINT AS epoch, ?::VARCHAR AS epoch_nonce
"""


@contextmanager
def built(path: Path) -> Iterator[Catalog]:
    """Give a new catalog at a path, over whatever lies there, and close it."""
    for old in (path, Path(f"{path}.wal")):
        old.unlink(missing_ok=True)
    shutil.rmtree(f"{path}.tmp", ignore_errors=True)  # what DuckDB moved out of memory before a kill
    catalog = Catalog.open(path)
    try:
        yield catalog
    finally:
        catalog.close()


def write_meta(
    cursor: duckdb.DuckDBPyConnection,
    meta: Meta,
    head: Head,
    *,
    gc_floor: int,
    epoch: tuple[int, str | None] = (0, None),
) -> None:
    """Write the one row of ``meta``."""
    cursor.execute(
        _META,
        [
            *(meta.store_id, meta.catalog_id, meta.tenant, meta.fold_case, meta.created_at),
            *(head.seq, head.at, head.hash, head.entries, gc_floor, *epoch),
        ],
    )


def write_schemes(
    cursor: duckdb.DuckDBPyConnection,
    schemes: Mapping[int, str],
    events: Iterable[tuple[int, int, str | None]],
    created_at: int,
) -> None:
    """Write schemes by number, and which of them was active from which seq on, with what it supplies."""
    for number, template in schemes.items():
        cursor.execute("INSERT INTO schemes VALUES (?, ?, make_timestamptz(?))", [number, template, created_at])
    for event in events:
        cursor.execute("INSERT INTO scheme_events VALUES (?, ?, ?)", list(event))


def insert(cursor: duckdb.DuckDBPyConnection, table: str, rows: pa.RecordBatch | pa.Table) -> None:
    """Insert rows by the names of their columns."""
    run_with(cursor, rows, f"INSERT INTO {table} BY NAME SELECT * FROM incoming")


def run_with(
    cursor: duckdb.DuckDBPyConnection,
    rows: pa.RecordBatch | pa.Table,
    statement: str,
    parameters: Sequence[Any] = (),
) -> list[Any]:
    """Run a statement that takes Arrow rows as the table ``incoming``, and return what it finds."""
    table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
    cursor.register("incoming", table)
    try:
        return cursor.execute(statement, list(parameters)).fetchall()
    finally:
        cursor.unregister("incoming")


def collect(cursor: duckdb.DuckDBPyConnection, table: str, schema: pa.Schema) -> None:
    """Make an empty temporary table with the columns of a schema."""
    run_with(cursor, schema.empty_table(), f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT * FROM incoming")
