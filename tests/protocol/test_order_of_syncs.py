"""The order of durable effects: bytes before the commit that names them, the sync of a settle before its row may go."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kiromi import Store
from kiromi.catalog import database
from tests.protocol.expected import IDS, open_store
from tests.protocol.taps import Step, install

X = IDS[0]
WRITES: dict[str, Callable[[Store], object]] = {
    "append": lambda store: store.append("one", {"topic": "a"}, id=X),
    "append_many": lambda store: store.append_many(
        [{"id": name, "content": name, "attributes": {"topic": "a"}} for name in IDS[:5]]
    ),
    "append_many beyond the journal": lambda store: store.append_many(
        [{"id": name, "content": name, "attributes": {"topic": "a"}} for name in IDS[:100]]
    ),
}
with_and_without_syncfs = pytest.mark.parametrize("syncfs", [True, False])


@pytest.fixture
def steps() -> list[Step]:
    return []


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: list[Step], syncfs: bool) -> Store:
    install(monkeypatch, steps.append, syncfs=syncfs)
    store = open_store(str(tmp_path / "store"), None)
    steps.clear()
    return store


def first(steps: list[Step], name: str) -> int:
    return next(i for i, step in enumerate(steps) if step.name == name)


@with_and_without_syncfs
@pytest.mark.parametrize("write", WRITES)
def test_staged_bytes_are_synced_before_the_commit(store: Store, steps: list[Step], write: str) -> None:
    with store:
        WRITES[write](store)
        before = steps[: first(steps, "commit")]
        staged = {step.path for step in before if step.name == "create"}
        assert staged
        last_written = max(i for i, step in enumerate(before) if step.name in ("create", "write"))
        synced = [i for i, step in enumerate(before) if step.name == "syncfs"]
        if synced:
            assert synced[-1] > last_written
        else:
            assert {step.path for step in before if step.name == "fsync"} == staged
            folder = [i for i, step in enumerate(before) if step.name == "fsync-folder" and "staging" in step.path]
            assert folder[-1] > last_written
        assert {step.path for step in steps if step.name == "rename"} == staged
        assert all(step.name != "rename" for step in before)


@with_and_without_syncfs
def test_a_pending_row_goes_only_after_a_sync_after_its_settle(store: Store, steps: list[Step]) -> None:
    WRITES["append"](store)
    store.update(X, attributes={"topic": "b"})
    store.count()  # folds
    settled = max(i for i, step in enumerate(steps) if step.name == "rename")
    fold = max(i for i, step in enumerate(steps) if step.name == "commit")
    between = steps[settled + 1 : fold]
    if any(step.name == "syncfs" for step in between):
        synced = True
    else:
        folders = {step.path.rstrip("/").rpartition("/")[2] for step in between if step.name == "fsync-folder"}
        synced = {"staging", "topic=b", "data"} <= folders
    assert synced
    assert not any(step.name in ("rename", "unlink", "rmdir") for step in between[first(between, "sql") :])
    store.close()


@with_and_without_syncfs
def test_commits_do_not_drop_rows_of_what_is_not_yet_durable(
    store: Store,
    steps: list[Step],
    syncfs: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database, "JOURNAL_ROWS", 0)
    with store:
        for memory_id in IDS[:3]:
            store.append("x", {"topic": "a"}, id=memory_id)
        # Each commit goes to the tables and none was preceded by a sync of everything: all rows must still be there.
        assert not any(step.name == "syncfs" for step in steps)
        with store._base.session.catalog.transaction() as cursor:
            assert cursor.execute("SELECT count(*) FROM pending").fetchall() == [(3,)]


@with_and_without_syncfs
def test_the_name_of_a_new_wal_is_synced_before_the_first_acknowledgement(
    store: Store, steps: list[Step], tmp_path: Path
) -> None:
    tenant = str(tmp_path / "store" / "default")
    with store:
        store.append("one", {"topic": "a"})
    steps.clear()
    with open_store(str(tmp_path / "store"), None) as again:
        assert not Path(f"{tenant}/catalog.duckdb.wal").exists()
        again.append("two", {"topic": "a"})
        commit = first(steps, "commit")
        rename = first(steps, "rename")
        assert any(step == Step("fsync-folder", tenant) for step in steps[commit:rename])
