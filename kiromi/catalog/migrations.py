"""Numbered, checksummed schema migrations of the catalog file.

Each ``schema/NNNN_name.sql`` is applied once, in order, in one transaction that also records its number and SHA-256.
A file with a number this kiromi does not know was written by a newer one and is refused; a recorded migration whose
text differs from ours means the program or the file was tampered with.
"""

import hashlib
from dataclasses import dataclass
from importlib import resources

import duckdb

from kiromi.errors import UnsupportedFormat


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the catalog's format."""

    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """Checksum of the SQL text, lower-case hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def known_migrations() -> tuple[Migration, ...]:
    """Return the migrations that this kiromi ships, in order."""
    found = []
    for entry in resources.files("kiromi.catalog").joinpath("schema").iterdir():
        number, _, name = entry.name.removesuffix(".sql").partition("_")
        if entry.name.endswith(".sql"):
            found.append(Migration(int(number), name, entry.read_text(encoding="utf-8")))
    return tuple(sorted(found, key=lambda migration: migration.number))


def missing_migrations(connection: duckdb.DuckDBPyConnection, known: tuple[Migration, ...]) -> tuple[Migration, ...]:
    """Return those of the known migrations that the file lacks.

    Raises:
        UnsupportedFormat: the file holds other tables, is of a newer format, or a recorded migration has another
        checksum.
    """
    tables = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    if "schema_migrations" not in tables:
        if tables:
            raise UnsupportedFormat(f"this is not a kiromi catalog: it has the tables {', '.join(sorted(tables))}")
        return known
    applied = dict(connection.execute("SELECT number, sha256 FROM schema_migrations ORDER BY number").fetchall())
    by_number = {migration.number: migration for migration in known}
    newer = sorted(set(applied) - set(by_number))
    if newer:
        raise UnsupportedFormat(
            f"the catalog has format {max(newer)}, this kiromi knows up to {max(by_number)}: install a newer kiromi",
            format=max(newer),
            known=max(by_number),
        )
    for number, checksum in applied.items():
        if by_number[number].sha256 != checksum:
            raise UnsupportedFormat(
                f"migration {number} of the catalog has another checksum than this kiromi's", format=number
            )
    return tuple(migration for migration in known if migration.number not in applied)


def apply_migrations(connection: duckdb.DuckDBPyConnection, migrations: tuple[Migration, ...]) -> None:
    """Apply each migration in a transaction of its own; then checkpoint, since replaying DDL has failed in the past."""
    for migration in migrations:
        connection.begin()
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (number INTEGER NOT NULL, name VARCHAR NOT NULL,"
            " sha256 VARCHAR NOT NULL, applied_at TIMESTAMPTZ NOT NULL)"
        )
        connection.execute(migration.sql)
        connection.execute(
            "INSERT INTO schema_migrations VALUES (?, ?, ?, now())",
            [migration.number, migration.name, migration.sha256],
        )
        connection.commit()
    if migrations:
        connection.execute("CHECKPOINT")
