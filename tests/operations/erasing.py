"""What tests of erasure share: a store in which a token is everywhere, and where it still is without kiromi."""

import secrets
import shutil
from pathlib import Path

import duckdb

import kiromi
from kiromi import Memory, Store, Version
from tests.operations.conftest import SCHEME

SNAPSHOT = "before"


def new_token() -> str:
    """Return a word that nothing else has."""
    return f"q{secrets.token_hex(10)}"


def remember(root: Path, token: str) -> tuple[list[str], list[str]]:
    """Make a store in which a token is in everything that some memories have; return these, and other memories.

    Of the first, one was changed and moved, one is deleted, one has expired. An upgrade's copy lies beside the catalog.
    """
    with kiromi.open(root, scheme=SCHEME, embedder="hash", actor="ana") as store:
        others = [store.append(f"other {i}", {"user": "ana"}, title=f"t{i}").id for i in range(6)]
        with store.context(run_id=token, reason=f"because {token}"):
            first = store.append(
                f"content {token}",
                {"user": token, "topic": token},
                key=token,
                namespace=token,
                title=f"title {token}",
                tags=[token],
                attributes={"secret": token, token: 1},
            ).id
            store.update(first, content=f"changed {token}", attributes={"more": [token]})
            gone = store.append(f"gone {token}", {"user": token}).id
            store.delete(gone)
            expired = store.append(f"expired {token}", {"user": token}, expires_at=kiromi_past()).id
            store.link(others[0], first, "related", note=token)
            store.link(f"kiromi://partition/user={token}", others[1], "part_of", note=token)
            store.link(f"kiromi://partition/user={token}", others[1], "part_of", note="changed")
            store.unlink(f"kiromi://partition/user={token}", others[1])
            store.supersede(others[2], first)
            store.supersede(first, others[4])
        store.update(others[5], content="other 5 changed")
        store.snapshot(SNAPSHOT)
        store.reindex()
        assert token in store.search(token, include_superseded=True)[0].text
        assert store.at(SNAPSHOT).search(token, include_superseded=True)
    copy_for_an_upgrade(root)
    return [first, gone, expired], others


def kiromi_past() -> "object":
    """Return a moment that has passed."""
    from datetime import UTC, datetime, timedelta

    return datetime.now(UTC) - timedelta(hours=1)


def copy_for_an_upgrade(root: Path) -> None:
    """Leave behind what an upgrade of the catalog's format leaves."""
    catalog = root / "default" / "catalog.duckdb"
    shutil.copyfile(catalog, catalog.with_name(f"{catalog.name}.before-0003"))


def places_of(folder: Path, *words: str) -> set[str]:
    """Return where words lie below a folder, as files, names, and values in tables; nobody has the store open."""
    found = set()
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        found |= {f"name {name}" for word in words if word in name}
        if path.is_file():
            data = path.read_bytes()
            found |= {f"file {name}" for word in words if word.encode() in data}
        if path.name.startswith("catalog.duckdb") and path.is_file() and not name.endswith(".wal"):
            found |= {f"table {table}" for table, text in dumped(path).items() for word in words if word in text}
    return found


def dumped(catalog: Path) -> dict[str, str]:
    """Return all values of each table as text."""
    with duckdb.connect(str(catalog), read_only=True) as connection:
        names = [name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        return {name: str(connection.execute(f"SELECT * FROM {name}").fetchall()) for name in names}


def lives(store: Store, ids: list[str]) -> dict[str, tuple[Memory, list[Version], Memory]]:
    """Return what a store says of memories: now, of their versions, and as of the snapshot."""
    return {one: (store.get(one), store.history(one), store.at(SNAPSHOT).get(one)) for one in ids}
