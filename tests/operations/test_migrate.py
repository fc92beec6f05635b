"""Scheme migrations from begin to end: what moves, what stays, and how they go on after a stop."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

import kiromi
from kiromi import InvalidInput, MigrationConflict
from tests.operations.migrating import (
    FIRST,
    SECOND,
    Stopped,
    after_batches,
    attributes,
    check,
    contents,
    fill,
    migrate,
    plan,
    tree,
)

MONTHS = "user={user}/month={event_at:%Y-%m}"


def test_every_blob_lies_where_the_new_scheme_puts_it(store: kiromi.Store, root: Path) -> None:
    ids = fill(store, 9)
    before = contents(store)
    report = migrate(store, SECOND, batch_size=4)
    assert (report.moved, report.unmoved, report.batches, report.status, report.left) == (9, 0, 3, "done", ())
    assert report.size_bytes == sum(len(data) for _, data in before.values())
    assert contents(store) == before  # versions included
    assert store.get(ids[0]).path == f"data/topic=t0/who=u0/{ids[0]}.1.md"
    assert store.scheme == report.template == SECOND
    assert {path.split("/")[0] for path in tree(root)} == {"topic=t0", "topic=t1"}
    check(store)
    store.close()
    with kiromi.open(root) as again:
        assert contents(again) == before
        assert again.scheme == SECOND
        check(again)


def test_new_memories_follow_the_new_scheme_from_the_first_batch_on(store: kiromi.Store) -> None:
    fill(store, 4)
    made = []
    migrate(
        store,
        SECOND,
        batch_size=2,
        on_progress=after_batches(1, lambda: made.append(store.append("new", {"user": "New"}))),
    )
    assert made[0].partition == {"topic": "inbox", "who": "new"}
    check(store)


def test_a_write_that_lacks_a_field_is_told_both_schemes(store: kiromi.Store) -> None:
    fill(store, 2)
    migrate(store, "n={n}")
    with pytest.raises(InvalidInput, match=r"'n=\{n\}'.*the scheme was 'user=\{user\}"):
        store.append("x", {"user": "a"})


def test_set_supplies_what_new_memories_lack_as_long_as_its_scheme_is_active(store: kiromi.Store) -> None:
    fill(store, 2)
    migrate(store, "area={area}", set={"area": "{user:lower|none}"})
    assert store.append("x", attributes={"user": "ANA"}).attributes["area"] == "ana"
    assert store.append("x", attributes={"user": "ANA", "area": "own"}).attributes["area"] == "own"
    memory = store.put("x", key="k", attributes={"user": "BOB"})
    assert store.put("y", key="k", attributes={"user": "CY"}).partition == {"area": "cy"}
    assert store.update(memory.id, attributes={"area": None}).partition == {"area": "cy"}
    store.append_many([{"content": "z", "attributes": {"user": "DI"}}])
    store.evolve_scheme("n={n}")
    with pytest.raises(InvalidInput, match="'n' is absent"):
        store.append("x", attributes={"user": "a"})
    store.evolve_scheme("area={area}")
    with pytest.raises(InvalidInput, match="'area' is absent"):
        store.append("x", attributes={"user": "a"})
    check(store)


def test_a_set_is_still_there_after_reopening(store: kiromi.Store, root: Path) -> None:
    fill(store, 2)
    migrate(store, "area={area}", set={"area": "{user:lower}"})
    store.close()
    with kiromi.open(root) as again:
        assert again.append("x", attributes={"user": "ANA"}).attributes["area"] == "ana"


def test_a_migration_takes_a_safety_snapshot_and_is_one_entry_a_batch(store: kiromi.Store) -> None:
    ids = fill(store, 5)
    seq = store.seq
    report = migrate(store, SECOND, batch_size=2)
    (snapshot,) = store.snapshots()
    assert (snapshot.id, snapshot.seq, snapshot.is_safety) == (report.snapshot, seq, True)
    entries = list(store.audit(seq))
    assert [entry.op for entry in entries] == ["snapshot", "migrate_begin", *["migrate"] * 3, "migrate_end"]
    assert [entry.detail["moved"] for entry in entries if entry.op == "migrate"] == [2, 2, 1]
    versions = store.history(ids[0])
    assert [(version.info.version, version.info.scheme) for version in versions] == [(1, 2), (1, 1)]


def test_the_past_is_shown_as_it_was(store: kiromi.Store) -> None:
    fill(store, 6)
    seq = store.seq
    before = [(info.id, info.partition, info.attributes) for info in store.list().items]
    report = migrate(store, "area={area}", set={"area": "{user:lower}"})
    view = store.at(seq)
    assert [(info.id, info.partition, info.attributes) for info in view.list().items] == before
    assert view.scheme == FIRST
    assert view.count(within={"user": "U0"}) == 2
    assert view.get(before[0][0]).text == "text 0"
    assert report.snapshot is not None
    assert store.at(report.snapshot).count(within={"user": "U1"}) == 2
    changed = store.diff(seq, "live").changed
    assert len(changed) == 6
    assert store.diff(seq, seq + 1).changed == ()


def test_within_moves_a_part_and_a_later_migration_the_rest(store: kiromi.Store, root: Path) -> None:
    fill(store, 9)
    report = migrate(store, SECOND, within={"user": "U1"})
    assert report.moved == 3
    assert {info.scheme for info in store.list(within={"user": "U0"}).items} == {1}
    assert store.count(within={"user": "U1"}) == store.count(where={"user": "U1"}) == 3
    assert store.count(within={"topic": "t1"}) == store.count(where={"topic": "t1"}) == 4
    check(store)
    assert plan(store, SECOND).moved == 6
    report = migrate(store, SECOND)
    assert (report.moved, report.unmoved) == (6, 0)
    assert {info.scheme for info in store.list().items} == {2}
    check(store)


def test_there_and_back_again(store: kiromi.Store, root: Path) -> None:
    fill(store, 7)
    before = tree(root)
    for template in (SECOND, FIRST, SECOND, FIRST):
        migrate(store, template, batch_size=3)
        check(store)
    assert tree(root) == before
    assert {info.scheme for info in store.list().items} == {1}


def test_transforms_of_built_ins(store: kiromi.Store) -> None:
    for month in (1, 1, 2):
        store.append("x", {"user": "a"}, event_at=datetime(2026, month, 5, tzinfo=UTC))
    migrate(store, MONTHS)
    assert {part.path: part.count for part in store.partitions()} == {
        "user=a/month=2026-01": 2,
        "user=a/month=2026-02": 1,
    }
    migrate(store, "shard={id:bucket(16)}/user={user}/{key|none}")
    check(store)


def test_an_empty_store_can_be_migrated(store: kiromi.Store) -> None:
    report = migrate(store, SECOND)
    assert (report.moved, report.status, store.scheme) == (0, "done", SECOND)


def test_expired_memories_move_too(store: kiromi.Store) -> None:
    store.append("x", {"user": "a"}, expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert migrate(store, SECOND).moved == 1
    check(store)


def test_pending_renames_are_merged(store: kiromi.Store, root: Path) -> None:
    """A blob that could not be moved yet is found, and moved by the next batch that comes along."""
    ids = fill(store, 3)
    folder = root / "default" / "data" / "topic=t0"
    folder.write_text("in the way")
    migrate(store, SECOND)
    assert store.get(ids[0]).text == "text 0"
    assert store.stats().pending > 0
    folder.unlink()
    migrate(store, "{n}")
    assert store.get(ids[0]).text == "text 0"
    check(store)


# -- stops and resumes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop_after", [1, 2, 3, 4])
def test_a_run_that_was_stopped_goes_on_with_its_stored_plan(store: kiromi.Store, root: Path, stop_after: int) -> None:
    ids = fill(store, 8)
    calls: list[str] = []

    def mapper(info: kiromi.MemoryInfo) -> dict[str, str]:
        calls.append(info.id)
        return {"tag": info.id[-1]}

    with pytest.raises(Stopped):
        store.migrate_scheme("tag={tag}/{topic}", mapper=mapper, batch_size=2, on_progress=after_batches(stop_after))
    status = store.migration_status()
    assert status is not None
    assert (status.status, status.done, status.total, status.attempts) == ("running", 2 * stop_after, 8, 1)
    assert status.last_error == "Stopped: "
    check(store)
    store.close()
    with kiromi.open(root) as again:
        report = again.resume_migration(batch_size=3)
        assert (report.moved, report.status, len(calls)) == (8, "done", 8)
        assert {info.id: info.partition["tag"] for info in again.list().items} == {each: each[-1] for each in ids}
        found = again.migration_status()
        assert found is not None
        assert (found.status, found.done, found.attempts) == ("done", 8, 2)
        check(again)


def test_nothing_else_begins_while_a_migration_is_unfinished(store: kiromi.Store) -> None:
    fill(store, 6)
    with pytest.raises(Stopped):
        store.migrate_scheme(SECOND, batch_size=2, on_progress=after_batches(1))
    for template in ("{n}", SECOND):
        with pytest.raises(MigrationConflict, match=r"2 of 6 done\).*resume_migration.*rollback_migration"):
            store.migrate_scheme(template)
    with pytest.raises(MigrationConflict, match="begun and not ended"):
        store.evolve_scheme("{n}")
    assert plan(store, "{n}").moved == 6  # looking is allowed
    store.resume_migration()
    migrate(store, "{n}")  # what is finished is history: nothing has to be cleared
    with pytest.raises(MigrationConflict, match="no migration is under way"):
        store.resume_migration()
    with pytest.raises(MigrationConflict, match="no migration is under way"):
        store.pause_migration()


def test_a_paused_run_stops_after_its_batch_and_goes_on_later(store: kiromi.Store) -> None:
    fill(store, 6)
    report = migrate(store, SECOND, batch_size=2, on_progress=after_batches(1, store.pause_migration))
    assert (report.status, report.moved) == ("paused", 2)
    status = store.migration_status()
    assert status is not None
    assert status.status == "paused"
    assert store.pause_migration().status == "paused"
    with pytest.raises(MigrationConflict, match="paused"):
        store.migrate_scheme("{n}")
    check(store)
    assert store.resume_migration().moved == 6


def test_only_one_call_goes_on_with_a_migration(store: kiromi.Store) -> None:
    fill(store, 6)

    def go_on() -> None:
        with pytest.raises(Stopped):
            store.resume_migration(batch_size=1, on_progress=after_batches(1))

    with pytest.raises(MigrationConflict, match="another call"):
        store.migrate_scheme(SECOND, batch_size=2, on_progress=after_batches(1, go_on))
    assert store.resume_migration().moved == 6
    check(store)


def test_a_run_that_another_call_has_finished_is_done(store: kiromi.Store) -> None:
    fill(store, 6)
    report = migrate(store, SECOND, batch_size=2, on_progress=after_batches(1, store.resume_migration))
    assert (report.status, report.moved) == ("done", 6)
    check(store)


def test_a_migration_cannot_begin_within_a_transaction(store: kiromi.Store) -> None:
    fill(store, 2)
    with store.transaction():
        with pytest.raises(InvalidInput, match="transaction"):
            store.migrate_scheme(SECOND)
        for call in (store.resume_migration, store.rollback_migration):
            with pytest.raises(InvalidInput, match="transaction"):
                call()


def test_attributes_that_are_set_are_of_the_row(store: kiromi.Store) -> None:
    ids = fill(store, 3)
    migrate(store, SECOND, set={"x": "{n}"})
    assert {memory_id: each["x"] for memory_id, each in attributes(store).items()} == dict(zip(ids, "012", strict=True))
    assert store.list_ids(where={"x": "1"}) == [ids[1]]


def test_blobs_that_something_is_in_the_way_of_are_told(store: kiromi.Store, root: Path) -> None:
    fill(store, 4)
    in_the_way = root / "default" / "data" / "topic=t0"
    in_the_way.write_text("a file of somebody else")
    before = contents(store)
    assert migrate(store, SECOND).pending == 2
    assert contents(store) == before
    in_the_way.unlink()
    assert store.rollback_migration().pending == 0
    assert contents(store) == before
    check(store)


def test_a_run_can_be_stopped_while_it_pauses(store: kiromi.Store) -> None:
    fill(store, 4)
    started = time.monotonic()
    with pytest.raises(Stopped):
        store.migrate_scheme(SECOND, batch_size=2, pause_s=600.0, on_progress=after_batches(2))
    assert time.monotonic() - started < 60
    status = store.migration_status()
    assert status is not None
    assert status.done == 2


def test_a_callback_that_fails_after_the_end_is_no_failure_of_the_run(store: kiromi.Store) -> None:
    fill(store, 2)
    with pytest.raises(Stopped):
        store.migrate_scheme(SECOND, on_progress=after_batches(2))
    status = store.migration_status()
    assert status is not None
    assert (status.status, status.last_error) == ("done", None)
    assert {entry.op for entry in store.audit()}.isdisjoint({"migrate_stop"})
