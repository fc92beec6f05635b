"""restore beside others: what they write stays, what they read is always there, and who stops goes on (P5, P6)."""

import threading
from pathlib import Path
from typing import Any

import pytest

import kiromi
from kiromi.operations import jobs
from kiromi.operations.restore import plan as plan_module
from kiromi.session.commit import transaction
from tests.operations.restoring import ANA, BOB, check_sound, counts, plain, reasons


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "BATCH", 2)


@pytest.mark.usefixtures("small_batches")
def test_what_others_changed_meanwhile_is_left_and_reported(store: kiromi.Store) -> None:
    made = [store.append(f"{i}", ANA) for i in range(8)]
    gone, unknown = store.append("gone", ANA), store.append("other", BOB)
    store.link(made[0].id, made[1].id)
    store.snapshot("then")
    for memory in made:
        store.update(memory.id, content="changed")
    store.delete(gone.id)
    store.delete(unknown.id)
    store.unlink(made[0].id, made[1].id)
    is_first = threading.Event()

    def meanwhile() -> None:
        store.update(made[5].id, content="theirs")
        store.delete(made[6].id)
        store.update(made[7].id, content="7")  # what it was, but another content
        store.undelete(gone.id)  # what it was
        store.undelete(unknown.id)
        store.delete(unknown.id)
        store.link(made[0].id, made[1].id, note="theirs")

    def on_progress(what: str, done: int, total: int) -> None:
        if not is_first.is_set():
            is_first.set()
            other = threading.Thread(target=meanwhile)
            other.start()
            other.join()

    report = store.restore("then", on_progress=on_progress)
    assert reasons(report).keys() == {made[5].id, made[6].id, made[7].id, unknown.id, None}
    assert all("changed after the restore began" in reason for reason in reasons(report).values())
    assert [store.get(memory.id).text for memory in made[:6]] == [*"01234", "theirs"]
    assert not store.exists(made[6].id)
    assert store.get(gone.id).text == "gone"
    assert store.links()[0].note == "theirs"
    check_sound(store)


class Stop(Exception):
    pass


def stop_after(batches: int) -> Any:
    left = iter(range(batches - 1))

    def on_progress(what: str, done: int, total: int) -> None:
        if next(left, None) is None:
            raise Stop

    return on_progress


@pytest.fixture
def stopped(store: kiromi.Store, small_batches: None) -> kiromi.Store:
    """A store of which a restore to ``then`` was stopped after two of five batches."""
    made = [store.append(f"{i}", ANA) for i in range(10)]
    store.link(made[0].id, made[1].id)
    store.snapshot("then")
    for memory in made:
        store.update(memory.id, content="changed")
    store.unlink(made[0].id, made[1].id)
    with pytest.raises(Stop):
        store.restore("then", on_progress=stop_after(2))
    return store


def test_it_goes_on_where_it_was(stopped: kiromi.Store, root: Path) -> None:
    assert sum(memory.text == "changed" for memory in stopped.get_many(stopped.list_ids())) == 6
    stopped.close()
    with kiromi.open(root) as store:
        [safety] = [snapshot for snapshot in store.snapshots() if snapshot.is_safety]
        report = store.restore("then")
        assert (report.is_resumed, report.snapshot, counts(report)) == (True, safety, (0, 0, 6, 0, 1))
        assert report.batches == 3
        assert store.diff("then").is_empty
        check_sound(store)
        assert counts(store.restore(safety)) == (0, 0, 10, 0, 1)


def test_nothing_else_is_restored_meanwhile(stopped: kiromi.Store) -> None:
    for ref, scope in ((0, {}), ("then", {"within": ANA}), ("then", {"ids": stopped.list_ids()[:1]})):
        with pytest.raises(kiromi.MigrationConflict, match=r"a restore of seq 11 .*4 of 10 memories done") as caught:
            stopped.restore(ref, **scope)
        assert caught.value.details["target"] == 11
    assert counts(stopped.restore(0, dry_run=True))[0] == 10
    stopped.restore("then")
    assert stopped.restore(0).removed == 10


def test_a_stopped_one_is_taken_back_by_its_safety_snapshot(stopped: kiromi.Store) -> None:
    [safety] = [snapshot for snapshot in stopped.snapshots() if snapshot.is_safety]
    report = stopped.restore(safety)
    assert (report.is_resumed, counts(report)) == (False, (0, 0, 4, 0, 0))
    assert stopped.diff(safety).is_empty
    assert counts(stopped.restore("then")) == (0, 0, 10, 0, 1)  # anew


def test_it_is_refused_while_a_migration_is_unfinished(store: kiromi.Store) -> None:
    memory = store.append("one", ANA)
    store.snapshot("then")
    store.delete(memory.id)
    caller = store._caller()
    with caller.session.lease, transaction(caller.session, caller.context) as operation:
        jobs.begin(operation, caller.session.ids.make(), "migrate", {}, 1)
        operation.record("migrate", None, {})
    with pytest.raises(kiromi.MigrationConflict, match="a scheme migration was begun"):
        store.restore("then")
    assert store.restore("then", dry_run=True).back == 1


def test_two_threads_that_restore_the_same_share_the_work(store: kiromi.Store, small_batches: None) -> None:
    made = [store.append(f"{i}", ANA) for i in range(40)]
    store.snapshot("then")
    for memory in made:
        store.update(memory.id, content="changed")
    reports: list[kiromi.RestoreReport] = []
    workers = [threading.Thread(target=lambda: reports.append(store.restore("then"))) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sum(report.changed for report in reports) == 40
    assert {left for report in reports for left in report.left} == set()
    assert store.diff("then").is_empty
    assert sum(snapshot.is_safety for snapshot in store.snapshots()) == 1


def test_it_is_refused_in_a_transaction_and_through_a_reader(store: kiromi.Store, root: Path) -> None:
    memory = store.append("one", ANA)
    store.delete(memory.id)
    with store.transaction(), pytest.raises(kiromi.InvalidInput, match="transaction"):
        store.restore(1)
    store.close()
    with kiromi.open(root, read_only=True) as reader:
        assert reader.restore(1, dry_run=True).back == 1
        with pytest.raises(kiromi.InvalidInput, match="read-only"):
            reader.restore(1)


def test_readers_find_every_memory_at_every_moment(store: kiromi.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "BATCH", 150)
    store.append_many({"content": f"seat {i}", "attributes": ANA, "key": f"k{i}"} for i in range(2_000))
    store.snapshot("then")
    ids = store.list_ids()
    then = {memory.id: plain(memory) for memory in store.get_many(ids)}
    with store.transaction() as tx:
        for i, memory_id in enumerate(ids):
            if i % 3 == 0:
                tx.update(memory_id, content=f"other {i}")
            elif i % 3 == 1:
                tx.update(memory_id, partition=BOB)
    now = {memory.id: plain(memory) for memory in store.get_many(ids)}
    is_over = threading.Event()
    misses: list[str] = []
    rounds = 0

    def read() -> None:
        nonlocal rounds
        while not is_over.is_set() or not rounds:
            for memory_id in ids[rounds % 7 :: 7]:
                found = plain(store.get(memory_id))
                if found not in (then[memory_id], now[memory_id]):
                    misses.append(memory_id)
            if store.count() != len(ids) or len(store.search("seat", k=5)) != 5:
                misses.append("count")
            rounds += 1

    reader = threading.Thread(target=read)
    reader.start()
    report = store.restore("then")
    is_over.set()
    reader.join()
    assert (misses, report.left) == ([], ())
    assert rounds > 0
    assert {memory.id: plain(memory) for memory in store.get_many(ids)} == then
