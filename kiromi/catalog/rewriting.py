"""Rewriting: put the rows of a catalog file that is closed into a new file, and that in its place.

DuckDB reuses the pages of deleted rows but does not clear them, so their bytes stay in the file, and in the copies that
upgrades left. The new file holds what can still be selected and nothing else. It takes the old one's place by one
rename; a process killed before leaves the old file as it was.
"""

import gc
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb

from kiromi.catalog.database import CONFIG, sync_path
from kiromi.errors import StorageError

_SUFFIX = "rewriting"
_SPILLED = "tmp"
"""What DuckDB moves out of memory; a killed process leaves it behind."""


def rewrite(path: Path, statements: Iterable[tuple[str, tuple[Any, ...]]] = ()) -> None:
    """Replace a catalog file by one with the same tables and no trace of what was deleted from them.

    Args:
        path: of the file, which nobody has open.
        statements: SQL with its parameters, which takes effect together with the replacement.

    Raises:
        StorageError: it could not be done; the file is the one that it was.
    """
    partial = path.with_name(f"{path.name}.{_SUFFIX}")
    try:
        _remove_like(path, _SUFFIX)
        _checkpoint(path)
        _remove_like(path, _SPILLED)
        _copy(path, partial, statements)
        sync_path(partial)
        os.replace(partial, path)
        sync_path(path.parent)
    except (duckdb.Error, OSError) as error:
        _remove_like(path, _SUFFIX)
        raise StorageError(f"cannot rewrite the catalog {path}: {error}", path=str(path)) from error


def former_copies(path: Path) -> list[Path]:
    """Return the copies of a catalog file that upgrades of its format left beside it, whole or not."""
    return sorted(_like(path, "before-"))


def remove_copies(path: Path) -> None:
    """Remove the copies that upgrades left.

    Raises:
        StorageError: one cannot be removed.
    """
    try:
        for copy in former_copies(path):
            copy.unlink(missing_ok=True)
        sync_path(path.parent)
    except OSError as error:
        raise StorageError(f"cannot remove the copies of the catalog {path}: {error}", path=str(path)) from error


def _checkpoint(path: Path) -> None:
    """Bring what is in the WAL into the file: a WAL that stays behind would be replayed upon the new one.

    Raises:
        StorageError: somebody in this process has the file open still.
    """
    if _is_open(path):
        gc.collect()  # a result that somebody dropped just now may keep its connection
        if _is_open(path):
            raise StorageError(f"the catalog {path} is still read by somebody in this process", path=str(path))
    wal = Path(f"{path}.wal")
    if wal.exists():
        connection = duckdb.connect(str(path), config=dict(CONFIG))
        try:
            connection.execute("CHECKPOINT").fetchall()
        finally:
            connection.close()
    if wal.exists():
        raise StorageError(f"the log {wal} does not go into the catalog", path=str(wal))


def _is_open(path: Path) -> bool:
    """Tell whether this process has a file open: copying would close it once more, and so drop DuckDB's lock on it.

    One process has one DuckDB for a file, configured as it was first; that another configuration is refused shows it.
    """
    try:
        duckdb.connect(str(path), read_only=True, config=dict(CONFIG)).close()
    except duckdb.ConnectionException:
        return True
    return False


def _copy(path: Path, partial: Path, statements: Iterable[tuple[str, tuple[Any, ...]]]) -> None:
    connection = duckdb.connect(str(partial), config=dict(CONFIG))
    try:
        ((fresh,),) = connection.execute("SELECT current_database()").fetchall()
        file, database = str(path).replace("'", "''"), fresh.replace('"', '""')
        connection.execute(f"ATTACH '{file}' AS former (READ_ONLY)").fetchall()
        connection.execute(f'COPY FROM DATABASE former TO "{database}"').fetchall()
        connection.execute("DETACH former").fetchall()
        for statement, parameters in statements:
            connection.execute(statement, parameters).fetchall()
        connection.execute("CHECKPOINT").fetchall()
    finally:
        connection.close()


def _like(path: Path, suffix: str) -> list[Path]:
    return [entry for entry in path.parent.iterdir() if entry.name.startswith(f"{path.name}.{suffix}")]


def _remove_like(path: Path, suffix: str) -> None:
    for entry in _like(path, suffix):
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
