"""Filling a new catalog with what a chain of archives says, up to the bytes: the common ground of import and recovery.

The tables end up as those of the store at the chain's last moment, in temporary tables first: ``came_memories`` and
``came_history`` have the facts of their contents beside them, as the archive's parts do. Which of them can be taken,
the caller decides by the contents that are there.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

import duckdb
import pyarrow as pa

from kiromi.catalog.building import CONTENT_NAMES, MEMORY_NAMES, collect, insert, run_with, write_schemes
from kiromi.catalog.changes import Head
from kiromi.catalog.database import Catalog
from kiromi.catalog.vectors import create_table, table_name
from kiromi.errors import IntegrityError
from kiromi.portable.archive.chain import Archive
from kiromi.portable.archive.manifest import Manifest
from kiromi.portable.archive.tables import HISTORY, MEMORIES, model_of, vector_kind

_BATCHES = 16
"""So many batches of rows go into a table at once."""
_RETIRED = """
CREATE TEMP TABLE numbered AS
SELECT digest, max(last_n) AS last_n FROM (
    SELECT digest, last_n FROM retired
    UNION ALL
    SELECT unhex(sha256(? || id)), last_n FROM came_numbers
    WHERE id NOT IN (SELECT id FROM memories) AND id NOT IN (SELECT id FROM history)
) GROUP BY digest
"""
_NUMBERS = """
CREATE TEMP TABLE came_numbers AS
SELECT id, max(last_n) AS last_n FROM (
    SELECT id, last_n FROM came_memories UNION ALL SELECT id, last_n FROM came_history
) GROUP BY id
"""


def unpack(catalog: Catalog, chain: Sequence[Archive]) -> None:
    """Read everything but contents and vectors; ``came_memories`` and ``came_history`` are left to be taken."""
    last = chain[-1].manifest
    with catalog.transaction() as cursor:
        collect(cursor, "came_memories", MEMORIES)
        collect(cursor, "came_history", HISTORY)
        for archive in chain:
            _unpack_one(cursor, archive)
        cursor.execute(_NUMBERS)
        write_schemes(cursor, last.schemes, last.scheme_events, last.store_created_at)
        for model in last.models:
            values = (model.number, model.name, model.dimension, model.metric, model.max_tokens, model.spec)
            cursor.execute(
                "INSERT INTO embedding_models VALUES (?, ?, ?, ?, ?, ?, ?, ?, make_timestamptz(?))",
                [*values, model.is_caller, model.fingerprint, model.created_at],
            )
        for event in last.model_events:
            cursor.execute("INSERT INTO model_events VALUES (?, ?)", list(event))
        for setting in last.settings.items():
            cursor.execute("INSERT INTO settings VALUES (?, ?)", list(setting))
    for model in last.models:
        with catalog.transaction() as cursor:
            create_table(cursor, model.number, model.dimension)


def unpack_nothing(catalog: Catalog) -> None:
    """Leave what :func:`unpack` leaves, of no archive."""
    with catalog.transaction() as cursor:
        collect(cursor, "came_memories", MEMORIES)
        collect(cursor, "came_history", HISTORY)
        cursor.execute(_NUMBERS)


def unpack_vectors(catalog: Catalog, chain: Sequence[Archive]) -> None:
    """Read the vectors of the contents that the catalog has by now."""
    numbers = {model.number for model in chain[-1].manifest.models}
    for archive in chain:
        kinds = dict.fromkeys(part.kind for part in archive.manifest.parts)
        for number in sorted(numbers & {model_of(kind) for kind in kinds}):
            for table in grouped(archive.batches(vector_kind(number))):
                with catalog.transaction() as cursor:
                    _insert_vectors(cursor, number, table)


def take(cursor: duckdb.DuckDBPyConnection) -> None:
    """Move what came into the tables, with the facts of its contents."""
    cursor.execute(f"INSERT INTO memories BY NAME SELECT {MEMORY_NAMES} FROM came_memories ORDER BY id")
    cursor.execute(
        f"INSERT INTO history BY NAME SELECT {MEMORY_NAMES}, end_seq FROM came_history ORDER BY id, begin_seq"
    )
    cursor.execute(
        f"INSERT INTO contents SELECT DISTINCT ON (id, n) {CONTENT_NAMES} FROM ("
        f" SELECT {CONTENT_NAMES} FROM came_memories UNION ALL SELECT {CONTENT_NAMES} FROM came_history) ORDER BY id, n"
    )


def retire(cursor: duckdb.DuckDBPyConnection, store_id: str) -> None:
    """Remember the highest ``n`` of the ids of which nothing was taken, so that their contents keep their numbers."""
    cursor.execute(_RETIRED, [store_id])
    cursor.execute("DELETE FROM retired")
    cursor.execute("INSERT INTO retired SELECT * FROM numbered")
    cursor.execute("DROP TABLE numbered")


def head_of(manifest: Manifest) -> Head:
    """Return the last operation of the moment that an archive shows."""
    return Head(manifest.seq, manifest.at, bytes.fromhex(manifest.audit_head), manifest.audit_entries)


def check_audit_follows(cursor: duckdb.DuckDBPyConnection, manifest: Manifest) -> None:
    """Refuse archives whose audit entries are not those up to their head.

    Raises:
        IntegrityError: they are not.
    """
    found = cursor.execute("SELECT hash FROM audit_log ORDER BY seq DESC, i DESC LIMIT 1").fetchall()
    ((entries,),) = cursor.execute("SELECT count(*) FROM audit_log").fetchall()
    if entries != manifest.audit_entries or (found and found[0][0].hex() != manifest.audit_head):
        raise IntegrityError(
            f"the archive has {entries:,} audit entries that end otherwise than its manifest says"
            f" ({manifest.audit_entries:,}, head {manifest.audit_head})"
        )


def grouped(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield some batches at a time as one table: each insert costs as much as thousands of rows."""
    while group := list(islice(batches, _BATCHES)):
        yield pa.Table.from_batches(group)


def _unpack_one(cursor: duckdb.DuckDBPyConnection, archive: Archive) -> None:
    is_more = archive.manifest.since is not None
    if is_more:
        for table in grouped(archive.batches("removed")):
            run_with(cursor, table, "DELETE FROM came_memories WHERE id IN (SELECT id FROM incoming)")
    for table in grouped(archive.batches("memories")):
        if is_more:
            ids = table.select(["id"])
            run_with(cursor, ids, "DELETE FROM came_memories WHERE id IN (SELECT id FROM incoming)")
        insert(cursor, "came_memories", table)
    for table in grouped(archive.batches("history")):
        insert(cursor, "came_history", table)
    for table in grouped(archive.batches("links")):
        if is_more:
            run_with(
                cursor,
                table.select(["src", "dst", "kind", "begin_seq"]),
                "DELETE FROM links USING incoming i WHERE links.src = i.src AND links.dst = i.dst"
                " AND links.kind = i.kind AND links.begin_seq = i.begin_seq",
            )
        insert(cursor, "links", table)
    for kind in ("snapshots", "retired"):  # always all of them
        cursor.execute(f"DELETE FROM {kind}")
        for table in grouped(archive.batches(kind)):
            insert(cursor, kind, table)
    for kind, name in (("supersessions", "supersessions"), ("audit", "audit_log")):
        for table in grouped(archive.batches(kind)):
            insert(cursor, name, table)


def _insert_vectors(cursor: duckdb.DuckDBPyConnection, number: int, table: pa.Table) -> None:
    name = table_name(number)
    run_with(
        cursor,
        table,
        f"INSERT INTO {name} SELECT i.id, i.n, i.ordinal, i.seq, i.vector FROM incoming i"
        f" SEMI JOIN contents USING (id, n) ANTI JOIN (SELECT id, n, ordinal FROM {name}) USING (id, n, ordinal)",
    )
    spans = table.filter(pa.compute.is_valid(table.column("begin_char")))
    if len(spans):
        run_with(
            cursor,
            spans.select(["id", "n", "ordinal", "begin_char", "end_char"]),
            "INSERT INTO passages BY NAME SELECT ?::INTEGER AS model, i.* FROM incoming i SEMI JOIN contents USING"
            " (id, n) ANTI JOIN (SELECT id, n, ordinal FROM passages WHERE model = ?) USING (id, n, ordinal)",
            [number, number],
        )
