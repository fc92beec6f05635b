"""The catalog file of one tenant: opening it safely, committing to it, and reading from it.

A commit is durable when it returns. Small commits are one line in ``journal`` (one statement instead of six: 0.9 ms
instead of 3.5 ms) and are folded into the tables in bulk before anything reads the tables; large ones go to the
tables at once. Nothing here opens the file by any other way than DuckDB while it is open: closing any descriptor of
it would drop DuckDB's own POSIX lock.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from kiromi.catalog import vectors
from kiromi.catalog.changes import BlobKey, Changes, Head, combine, from_journal, to_journal
from kiromi.catalog.migrations import apply_migrations, known_migrations, missing_migrations
from kiromi.catalog.rows import CLOSED_ROWS, LIVE_ROWS, Row, to_rows
from kiromi.catalog.tables import head_values, with_table, write
from kiromi.catalog.view import View
from kiromi.errors import StorageError, UnsupportedFormat

JOURNAL_ROWS = 64
"""A commit of more rows than this goes to the tables at once."""
FOLD_ENTRIES = 1024
"""The journal is folded when it has this many entries, so that opening after a kill stays quick."""
CONFIG: Mapping[str, bool] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_unsigned_extensions": False,
    # Gives back what loading a large store took: 180 MB at a million memories.
    "allocator_background_threads": True,
}
"""How DuckDB is to open a catalog file."""


@dataclass(frozen=True, slots=True)
class Meta:
    """The row of ``meta`` that never changes after creation."""

    store_id: str
    catalog_id: str
    tenant: str
    fold_case: bool
    created_at: int
    """Microseconds since 1970 UTC."""


class Catalog:
    """An open catalog file. One thread at a time may commit; any thread may read through :meth:`snapshot`."""

    def __init__(self, path: Path, connection: duckdb.DuckDBPyConnection) -> None:
        self.path = path
        self._connection = connection
        self._writer = connection.cursor()
        self._journalist = connection.cursor()
        self._journal: list[Changes] = []
        self._tabled: set[BlobKey] = set()
        self._wal_inode: int | None = None
        self.recent_keys: dict[tuple[str, str], str | None] = {}

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> "Catalog":
        """Open a catalog file, or make an empty one; upgrade an older format after keeping a copy.

        Raises:
            UnsupportedFormat: the file is of a newer format, or no catalog.
            StorageError: DuckDB cannot open it.
        """
        known = known_migrations()
        connection = _connect(path, read_only=read_only)
        try:
            missing = missing_migrations(connection, known)
            if missing and read_only:
                raise UnsupportedFormat(
                    f"the catalog {path} is of an older format: open it once for writing to upgrade it"
                )
            if missing and len(missing) < len(known):
                connection.close()
                copy = path.with_name(f"{path.name}.before-{missing[0].number:04}")
                if not copy.exists():
                    _copy_durably(path, copy)
                connection = _connect(path, read_only=False)
            apply_migrations(connection, missing)
            connection.execute("SET GLOBAL TimeZone = 'UTC'")
            connection.execute("SET enable_external_access = false")
            catalog = cls(path, connection)
            # It runs one statement, of one row: optimizing it costs more than running it.
            catalog._journalist.execute("PRAGMA disable_optimizer")
            connection.execute("SET lock_configuration = true")
        except duckdb.Error as error:
            connection.close()
            raise StorageError(f"cannot open the catalog {path}: {error}") from error
        except BaseException:
            connection.close()
            raise
        if not read_only:
            catalog._sync_directory()
        return catalog

    def close(self) -> None:
        """Close the file; DuckDB checkpoints the WAL into it."""
        self._journalist.close()
        self._writer.close()
        self._connection.close()

    # -- meta -------------------------------------------------------------------------------------------------------

    def create(self, meta: Meta, head: Head, template: str) -> None:
        """Fill the tables of a new store: its identity, its first scheme, and an empty audit chain."""
        with self.transaction() as cursor:
            cursor.execute(
                "INSERT INTO meta VALUES"
                " (1, ?, ?, ?, ?, make_timestamptz(?), ?, make_timestamptz(?), ?, ?, 0, 0, NULL)",
                [meta.store_id, meta.catalog_id, meta.tenant, meta.fold_case, meta.created_at, *head_values(head)],
            )
            cursor.execute("INSERT INTO schemes VALUES (1, ?, make_timestamptz(?))", [template, meta.created_at])
            cursor.execute("INSERT INTO scheme_events (seq, scheme) VALUES (?, 1)", [head.seq])

    def meta(self) -> Meta | None:
        """Return the store's identity, or None while it has none (creation was interrupted)."""
        query = "SELECT store_id, catalog_id, tenant, fold_case, epoch_us(created_at) FROM meta"
        found = self._connection.execute(query).fetchall()
        return Meta(*found[0]) if found else None

    def head(self) -> Head:
        """Return the last operation that is folded into the tables."""
        return Head(*self._row("SELECT head_seq, epoch_us(head_at), head_hash, head_entries FROM meta"))

    def epoch(self) -> tuple[int, str | None]:
        """Return the number and nonce of the last writing session that this catalog knows."""
        found = self._row("SELECT epoch, epoch_nonce FROM meta")
        return found[0], found[1]

    def set_epoch(self, number: int, nonce: str) -> None:
        """Record, before it is claimed, which epoch this session is about to claim."""
        with self.transaction() as cursor:
            cursor.execute("UPDATE meta SET epoch = ?, epoch_nonce = ?", [number, nonce])

    def schemes(self) -> dict[int, str]:
        """Return the templates of all schemes by number."""
        return dict(self._connection.execute("SELECT number, template FROM schemes ORDER BY number").fetchall())

    def models(self) -> dict[int, tuple[Any, ...]]:
        """Return name, dimension, metric, tokens per text, spec and whether the caller gives vectors, by number."""
        query = "SELECT number, name, dimension, metric, max_tokens, spec, is_caller FROM embedding_models"
        return {number: tuple(facts) for number, *facts in self._connection.execute(query).fetchall()}

    def active_model(self) -> int | None:
        """Return the number of the model whose vectors are searched, or None if there is none."""
        found = self._connection.execute("SELECT model FROM model_events ORDER BY seq DESC LIMIT 1").fetchall()
        return int(found[0][0]) if found else None

    def erased_seq(self) -> int:
        """Return the last operation that erased something, 0 if none did: such rows leave no history to catch up by."""
        return int(self._row("SELECT coalesce(max(seq), 0) FROM audit_log WHERE op = 'erase'")[0])

    def gc_floor(self) -> int:
        """Return the seq below which only snapshots can be read."""
        return int(self._row("SELECT gc_floor FROM meta")[0])

    def has_retired(self) -> bool:
        """Whether there are ids of which nothing is left but how far their contents were numbered."""
        return bool(self._row("SELECT EXISTS (SELECT 1 FROM retired)")[0])

    def settings(self) -> dict[str, str]:
        """Return the store's settings, each as JSON."""
        return dict(self._connection.execute("SELECT name, value FROM settings").fetchall())

    def create_vectors(self, model: int, dimension: int) -> None:
        """Make the table for a model's vectors, on its own: DDL is kept out of the transactions that bring data."""
        with self.transaction() as cursor:
            vectors.create_table(cursor, model, dimension)
        with suppress(duckdb.Error):  # another cursor reads: it is checkpointed later
            self._writer.execute("CHECKPOINT").fetchall()

    def active_scheme(self) -> tuple[int, str | None]:
        """Return the number of the scheme that new memories follow, and what they are supplied with, as JSON."""
        number, sets = self._row("SELECT scheme, sets FROM scheme_events ORDER BY seq DESC LIMIT 1")
        return int(number), sets

    def former_scheme(self, active: int) -> int | None:
        """Return the number of the scheme that was active before, if there was another."""
        query = "SELECT scheme FROM scheme_events WHERE scheme <> ? ORDER BY seq DESC LIMIT 1"
        found = self._connection.execute(query, [active]).fetchall()
        return int(found[0][0]) if found else None

    # -- commits ----------------------------------------------------------------------------------------------------

    def commit(self, changes: Changes, cleared: set[BlobKey]) -> bool:
        """Make the changes durable, all or none.

        ``cleared`` are blobs known to lie where they belong, durably: their pending rows may go, now or later.

        Returns:
            Whether everything is in the tables now, and the rows of ``cleared`` are gone.

        Raises:
            duckdb.Error: it is not known whether the commit took place; close, reopen and look for the seq.
        """
        rows = len(changes.live) + len(changes.closed) + len(changes.audit)
        rows += sum(len(item.spans) for item, _ in changes.vectors)
        if changes.is_beside and len(self._journal) < FOLD_ENTRIES:
            with self.transaction() as cursor:
                cursor.execute("INSERT INTO journal VALUES (?, ?)", [changes.head.seq, to_journal(changes)])
                for statement, parameters in changes.statements:
                    cursor.execute(statement, parameters).fetchall()
            self._journal.append(replace(changes, statements=[]))
            return False
        if rows <= JOURNAL_ROWS and changes.is_plain and len(self._journal) < FOLD_ENTRIES:
            self._journalist.execute("INSERT INTO journal VALUES (?, ?)", [changes.head.seq, to_journal(changes)])
            self._journal.append(changes)
            self._remember_keys(changes)
            self._sync_directory()
            return False
        self._write([*self._journal, changes], cleared)
        return True

    def fold(self, cleared: set[BlobKey]) -> None:
        """Move the journal into the tables, so that SQL sees every commit, and drop the rows of ``cleared``."""
        if self._journal:
            self._write(self._journal, cleared)
        elif cleared & self._tabled:
            self._write([Changes(self.head())], cleared)

    def content_facts(self, keys: Iterable[BlobKey]) -> dict[BlobKey, tuple[str, int] | None]:
        """Return extension and size of each content that was committed, None for the others."""
        wanted = list(keys)
        facts: dict[BlobKey, tuple[str, int] | None] = dict.fromkeys(wanted)
        if wanted:
            table = pa.table({"id": [key[0] for key in wanted], "n": pa.array([key[1] for key in wanted], pa.int32())})
            statement = "SELECT c.id, c.n, c.ext, c.size FROM contents c JOIN incoming USING (id, n)"
            for memory_id, n, ext, size in with_table(self._writer, table, statement):
                facts[memory_id, n] = (ext, size)
        return facts

    def needs_recovery(self) -> bool:
        """Whether a killed process left commits in the journal."""
        return self._row("SELECT count(*) FROM journal") != (0,)

    def recover(self) -> dict[BlobKey, tuple[str, ...]]:
        """Fold what a killed process left in the journal; return all pending blobs with their places."""
        entries = self._writer.execute("SELECT entry FROM journal ORDER BY rowid").fetchall()
        pending = self.pending_places()
        self._tabled = set(pending)
        self._journal = [from_journal(entry) for (entry,) in entries]
        for changes in self._journal:
            for key, places in changes.places.items():
                pending[key] = tuple(dict.fromkeys((*pending.get(key, ()), *places)))
        self.fold(set())
        return pending

    def pending_places(self) -> dict[BlobKey, tuple[str, ...]]:
        """Return the blobs in the table ``pending``, with the places where each may lie."""
        found = self._connection.execute("SELECT id, n, places FROM pending").fetchall()
        return {(memory_id, n): tuple(places) for memory_id, n, places in found}

    @property
    def is_folded(self) -> bool:
        """Whether the tables hold every commit."""
        return not self._journal

    @property
    def journaled(self) -> tuple[Changes, ...]:
        """The commits that the tables do not hold yet, oldest first."""
        return tuple(self._journal)

    @contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Run statements as one durable transaction on the writer's connection; roll back if the block raises."""
        self._writer.begin()
        try:
            yield self._writer
        except BaseException:
            self._writer.rollback()
            raise
        self._writer.commit()
        self._sync_directory()

    def _write(self, parts: Sequence[Changes], cleared: set[BlobKey]) -> None:
        total = combine(parts)
        tabled = self._tabled
        touched = total.places.keys() & tabled
        gone = (cleared & tabled) | touched
        fresh = {key: places for key, places in total.places.items() if key not in cleared}
        with self.transaction() as cursor:
            write(cursor, total, gone, fresh, clears_all=len(gone) == len(tabled))
            if self._journal:
                cursor.execute("DELETE FROM journal")
        self._tabled = (tabled - gone) | fresh.keys()
        self._journal = []
        self.recent_keys = {}

    def _remember_keys(self, changes: Changes) -> None:
        for former, _ in changes.closed:
            if former.key is not None:
                self.recent_keys[former.namespace, former.key] = None
        for row in changes.live.values():
            if row is not None and row.key is not None:
                self.recent_keys[row.namespace, row.key] = row.id

    def _sync_directory(self) -> None:
        """Sync the folder if the last commit made a new WAL file: its name must survive a power loss too."""
        try:
            inode = os.stat(f"{self.path}.wal").st_ino
        except FileNotFoundError:
            inode = None
        if inode != self._wal_inode:
            sync_path(self.path.parent)
            self._wal_inode = inode

    # -- reads ------------------------------------------------------------------------------------------------------

    def find_key(self, namespace: str, key: str) -> str | None:
        """Return the id of the live memory with that key; for the committing thread only."""
        if (namespace, key) in self.recent_keys:
            return self.recent_keys[namespace, key]
        found = self._writer.execute(
            "SELECT id FROM memories WHERE key = ? AND namespace = ?", [key, namespace]
        ).fetchall()
        return str(found[0][0]) if found else None

    def find_keys(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Return the ids of the live memories with those (namespace, key) pairs; for the committing thread only."""
        wanted = pa.table({"namespace": [key[0] for key in keys], "key": [key[1] for key in keys]})
        statement = "SELECT m.namespace, m.key, m.id FROM memories m JOIN incoming USING (namespace, key)"
        found = with_table(self._writer, wanted, statement)
        ids = {(namespace, key): memory_id for namespace, key, memory_id in found}
        for pair in keys:
            if pair in self.recent_keys:
                recent = self.recent_keys[pair]
                if recent is None:
                    ids.pop(pair, None)
                else:
                    ids[pair] = recent
        return ids

    @contextmanager
    def snapshot(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give a cursor whose transaction sees the tables as they are now; it ends with the block."""
        cursor = self._connection.cursor()
        try:
            cursor.begin()
            cursor.execute("SELECT head_seq FROM meta").fetchall()
            yield cursor
        finally:
            cursor.close()

    def _row(self, query: str) -> tuple[Any, ...]:
        # Fetched whole: a result that is not read to its end blocks the connection.
        row: tuple[Any, ...] = self._connection.execute(query).fetchall()[0]
        return row

    def load_view(self) -> View:
        """Read all live rows into a view."""
        view = View.of(self.head().seq, self._connection.sql(LIVE_ROWS).to_arrow_table())
        # What sorting and compacting left over is as large as the view, and Arrow would keep it.
        pa.default_memory_pool().release_unused()
        return view

    def count_since(self, seq: int) -> int:
        """Return how many live rows began after an operation."""
        found = self._connection.execute("SELECT count(*) FROM memories WHERE begin_seq > ?", [seq]).fetchall()
        return int(found[0][0])

    def changes_since(self, view: View) -> Changes:
        """Return what happened to the live rows since a view, for catching up after another process wrote."""
        head = self.head()
        changed = self._connection.sql(
            f"{LIVE_ROWS} WHERE m.begin_seq > ?",
            params=[view.seq],
        ).to_arrow_table()
        closed = self._connection.sql(
            f"{CLOSED_ROWS} WHERE m.end_seq > ? AND m.begin_seq <= ?",
            params=[view.seq, view.seq],
        ).to_arrow_table()
        ended = to_rows(closed)
        live: dict[str, Row | None] = {row.id: None for row in ended}
        live.update((row.id, row) for row in to_rows(changed))
        return Changes(head, live=live, closed=[(row, head.seq) for row in ended])


def _connect(path: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    try:
        return duckdb.connect(str(path), read_only=read_only, config=dict(CONFIG))
    except duckdb.Error as error:
        raise StorageError(f"cannot open the catalog {path}: {error}") from error


def _copy_durably(path: Path, copy: Path) -> None:
    """Copy a file so that ``copy`` is either absent or whole, whatever interrupts it."""
    partial = copy.with_name(f"{copy.name}.partial")
    shutil.copyfile(path, partial)
    sync_path(partial)
    os.replace(partial, copy)
    sync_path(copy.parent)


def sync_path(path: Path) -> None:
    """Make a file, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
