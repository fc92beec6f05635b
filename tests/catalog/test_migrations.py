"""The catalog: a newer format is refused, an older one upgraded after a copy was kept, a foreign file left alone."""

import hashlib
from pathlib import Path

import duckdb
import pytest

import kiromi
from kiromi.catalog import database
from kiromi.catalog.migrations import Migration, known_migrations

SCHEME = "user={user}"


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    with kiromi.open(tmp_path / "store", scheme=SCHEME) as store:
        store.append("kept", {"user": "ana"}, key="k")
    return tmp_path / "store" / "default" / "catalog.duckdb"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _run(path: Path, *statements: str) -> None:
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_migrations_are_numbered_from_one_without_gaps() -> None:
    assert [migration.number for migration in known_migrations()] == list(range(1, len(known_migrations()) + 1))


def test_a_newer_format_is_refused_and_not_touched(catalog: Path) -> None:
    _run(catalog, "INSERT INTO schema_migrations VALUES (99, 'future', 'x', now())")
    before = _digest(catalog)
    with pytest.raises(kiromi.UnsupportedFormat, match="format 99"):
        kiromi.open(catalog.parent.parent)
    assert _digest(catalog) == before


def test_a_changed_migration_is_refused(catalog: Path) -> None:
    _run(catalog, "UPDATE schema_migrations SET sha256 = 'other'")
    with pytest.raises(kiromi.UnsupportedFormat, match="another checksum"):
        kiromi.open(catalog.parent.parent)


def test_a_foreign_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "default" / "catalog.duckdb"
    path.parent.mkdir()
    _run(path, "CREATE TABLE mine (a INTEGER)")
    with pytest.raises(kiromi.UnsupportedFormat, match="not a kiromi catalog"):
        kiromi.open(tmp_path, scheme=SCHEME)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "default" / "catalog.duckdb"
    path.parent.mkdir()
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(kiromi.StorageError, match="cannot open the catalog"):
        kiromi.open(tmp_path, scheme=SCHEME)
    assert path.read_bytes() == b"no database" * 1000


def test_an_older_format_is_upgraded_after_a_copy(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    following = Migration(len(known_migrations()) + 1, "more", "ALTER TABLE meta ADD COLUMN more INTEGER DEFAULT 7")
    monkeypatch.setattr(database, "known_migrations", lambda: (*known_migrations(), following))
    copy = catalog.with_name(f"catalog.duckdb.before-{following.number:04}")
    partial = copy.with_name(f"{copy.name}.partial")
    partial.write_bytes(b"of an upgrade that was interrupted")
    with kiromi.open(catalog.parent.parent) as store:
        assert store.get(key="k").text == "kept"
        assert store.audit_verify().is_clean
    assert not partial.exists()
    with duckdb.connect(str(copy), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM memories").fetchall() == [(1,)]
        assert len(connection.execute("SELECT * FROM meta").description or ()) == 13
    with duckdb.connect(str(catalog), read_only=True) as connection:
        assert connection.execute("SELECT more FROM meta").fetchall() == [(7,)]
    monkeypatch.undo()
    with pytest.raises(kiromi.UnsupportedFormat):
        kiromi.open(catalog.parent.parent)


def test_an_interrupted_copy_is_never_taken_for_the_copy(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    following = Migration(len(known_migrations()) + 1, "more", "ALTER TABLE meta ADD COLUMN more INTEGER")
    monkeypatch.setattr(database, "known_migrations", lambda: (*known_migrations(), following))
    copy = catalog.with_name(f"catalog.duckdb.before-{following.number:04}")

    def fail(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:100])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfile", fail)
        with pytest.raises((OSError, kiromi.StorageError)):
            kiromi.open(catalog.parent.parent)
    assert not copy.exists()
    before = _digest(catalog)
    kiromi.open(catalog.parent.parent).close()
    assert _digest(copy) == before


def test_a_copy_that_is_there_is_kept(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    following = Migration(len(known_migrations()) + 1, "more", "ALTER TABLE meta ADD COLUMN more INTEGER")
    monkeypatch.setattr(database, "known_migrations", lambda: (*known_migrations(), following))
    copy = catalog.with_name(f"catalog.duckdb.before-{following.number:04}")
    copy.write_bytes(b"the first copy")
    kiromi.open(catalog.parent.parent).close()
    assert copy.read_bytes() == b"the first copy"


def test_an_older_format_is_not_upgraded_by_reading(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    following = Migration(len(known_migrations()) + 1, "more", "ALTER TABLE meta ADD COLUMN more INTEGER")
    monkeypatch.setattr(database, "known_migrations", lambda: (*known_migrations(), following))
    before = _digest(catalog)
    with pytest.raises(kiromi.UnsupportedFormat, match="open it once for writing"):
        kiromi.open(catalog.parent.parent, read_only=True)
    assert _digest(catalog) == before


def test_a_failing_upgrade_leaves_the_older_format(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Migration(len(known_migrations()) + 1, "broken", "CREATE TABLE half (a INTEGER); SELECT * FROM nowhere")
    monkeypatch.setattr(database, "known_migrations", lambda: (*known_migrations(), broken))
    with pytest.raises(kiromi.StorageError):
        kiromi.open(catalog.parent.parent)
    monkeypatch.undo()
    with kiromi.open(catalog.parent.parent) as store:
        assert store.get(key="k").text == "kept"
    with duckdb.connect(str(catalog), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'half'").fetchall() == [(0,)]


def test_an_interrupted_creation_is_completed(tmp_path: Path) -> None:
    path = tmp_path / "default" / "catalog.duckdb"
    path.parent.mkdir()
    database.Catalog.open(path).close()
    with pytest.raises(kiromi.StoreNotFound):
        kiromi.open(tmp_path)
    with kiromi.open(tmp_path, scheme=SCHEME) as store:
        assert store.append("x", {"user": "ana"}).seq == 1
