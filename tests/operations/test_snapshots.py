"""snapshot, snapshots, snapshot_info, delete_snapshot, prune_snapshots: names for moments, and how long they stay."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kiromi
from kiromi.operations.prune import Rules, choose
from kiromi.operations.snapshots import plan_snapshot
from kiromi.session.commit import transaction
from tests.operations.conftest import SCHEME
from tests.operations.remembering import IDS

ANA = {"user": "ana"}
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def safety(store: kiromi.Store) -> kiromi.Snapshot:
    """Take a snapshot as an operation that is about to change much does."""
    caller = store._caller()
    with caller.session.lease, transaction(caller.session, caller.context) as operation:
        return plan_snapshot(caller, operation, None, "before a restore", is_safety=True)


# -- taking, finding, deleting -----------------------------------------------------------------------------------------


def test_a_snapshot_is_an_operation_that_holds_the_moment_before_it(store: kiromi.Store) -> None:
    store.append("one", ANA)
    with store.context(actor="cron", reason="nightly"):
        taken = store.snapshot("first")
    assert (taken.seq, taken.tag, taken.reason, taken.is_safety) == (1, "first", "nightly", False)
    assert store.seq == 2
    entry = store.audit()[-1]
    assert (entry.op, entry.seq, entry.actor, entry.memory_id) == ("snapshot", 2, "cron", None)
    assert entry.detail == {"id": taken.id, "seq": 1, "tag": "first", "is_safety": False}
    assert entry.at == taken.created_at
    assert store.snapshots() == [taken]
    assert store.snapshot(reason="mine").reason == "mine"
    assert store.audit_verify().is_clean


def test_an_empty_store_can_be_held_too(store: kiromi.Store) -> None:
    taken = store.snapshot()
    store.append("one", ANA)
    assert (taken.seq, store.at(taken).count()) == (0, 0)


def test_it_is_there_after_closing(root: Path) -> None:
    with kiromi.open(root, scheme=SCHEME) as store:
        store.append("one", ANA)
        taken = store.snapshot("first", "why")
    with kiromi.open(root) as store:
        assert store.snapshots() == [taken]


def test_ways_to_find_one(store: kiromi.Store) -> None:
    first = store.snapshot("first")
    store.append("one", ANA)
    second = store.snapshot()
    assert store.snapshots() == [first, second]
    for ref in (first, first.id, "first", 0, "seq:0", first.created_at):
        assert store.snapshot_info(ref) == first, ref
    for ref in (second, second.id, 2, "seq:2", datetime.now(UTC)):
        assert store.snapshot_info(ref) == second, ref
    for ref in ("other", IDS[0], 1, "seq:1", -1, 10**40, first.created_at - timedelta(microseconds=1)):
        with pytest.raises(kiromi.SnapshotNotFound):
            store.snapshot_info(ref)
    wrong: Any
    for wrong in (None, True, 1.0, b"first"):
        with pytest.raises(kiromi.InvalidInput):
            store.snapshot_info(wrong)


def test_a_tag_names_one_snapshot_only(store: kiromi.Store) -> None:
    first = store.snapshot("daily")
    with pytest.raises(kiromi.AlreadyExists, match=first.id):
        store.snapshot("daily")
    assert store.snapshots() == [first]
    assert store.seq == 1
    store.delete_snapshot("daily")
    assert store.snapshot("daily").id != first.id


@pytest.mark.parametrize(
    "tag",
    ["", " x", "x ", "a\nb", "\x1b[31m", "x" * 65, "live", "seq:1", "seq:", "120", "٣", IDS[0], 7, b"x", "\ud800"],
)
def test_tags_that_could_be_taken_for_something_else_are_refused(store: kiromi.Store, tag: Any) -> None:
    with pytest.raises(kiromi.InvalidInput, match="tag"):
        store.snapshot(tag)


@pytest.mark.parametrize("tag", ["x" * 64, "2026-01-31", "before import", "café/ß", "v1.0"])
def test_other_tags_are_accepted(store: kiromi.Store, tag: str) -> None:
    assert store.snapshot(tag) == store.snapshot_info(tag)
    assert store.at(tag).seq == 0


def test_reasons_are_bounded(store: kiromi.Store) -> None:
    assert store.snapshot(reason="r" * 10_000).reason == "r" * 10_000
    for reason in ("r" * 10_001, 7):
        with pytest.raises(kiromi.InvalidInput, match="reason"):
            store.snapshot(reason=reason)  # type: ignore[arg-type]


def test_deleting_one(store: kiromi.Store) -> None:
    first, second = store.snapshot("first"), store.snapshot()
    assert store.delete_snapshot("first") == first
    entry = store.audit()[-1]
    assert (entry.op, entry.detail) == ("delete_snapshot", {"id": first.id, "seq": 0, "tag": "first"})
    for ref in ("first", first.id, first):
        with pytest.raises(kiromi.SnapshotNotFound):
            store.delete_snapshot(ref)
    wrong: Any
    for wrong in (0, datetime.now(UTC)):
        with pytest.raises(kiromi.InvalidInput, match="accepted to delete"):
            store.delete_snapshot(wrong)
    assert store.snapshots() == [second]
    assert store.delete_snapshot(second) == second


def test_snapshots_are_no_matter_of_scoped_handles(store: kiromi.Store) -> None:
    store.snapshot("first")
    ana = store.scoped(ANA)
    calls: tuple[Callable[[], object], ...] = (
        ana.snapshot,
        ana.snapshots,
        lambda: ana.snapshot_info("first"),
        lambda: ana.delete_snapshot("first"),
        lambda: ana.prune_snapshots(keep_last=1),
    )
    for call in calls:
        with pytest.raises(kiromi.InvalidInput, match="unscoped"):
            call()


def test_a_snapshot_of_many_small_writes_and_of_threads(store: kiromi.Store) -> None:
    def write() -> None:
        for i in range(10):
            store.append(f"{i}", ANA)
            store.snapshot()

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = store.snapshots()
    assert len(taken) == 30
    ops = {entry.seq: entry.op for entry in store.audit()}
    for snapshot in taken:
        appended = sum(op == "append" for seq, op in ops.items() if seq <= snapshot.seq)
        assert store.at(snapshot).count() == appended


# -- if_changed --------------------------------------------------------------------------------------------------------


def test_none_is_taken_if_nothing_changed(store: kiromi.Store) -> None:
    first = store.snapshot("first", if_changed=True)
    seq = store.seq
    assert store.snapshot("again", "why", if_changed=True) == first
    assert store.snapshot("first", if_changed=True) == first
    store.delete_snapshot(store.snapshot())
    assert store.snapshot(if_changed=True) == first, "taking and deleting snapshots is no change"
    assert store.seq == seq + 2
    store.append("one", ANA)
    second = store.snapshot(if_changed=True)
    assert second.seq == store.seq - 1
    assert store.snapshot(if_changed=True) == second


@pytest.mark.parametrize("how", ["update", "delete", "supersede", "link", "many"])
def test_every_write_is_a_change(store: kiromi.Store, how: str) -> None:
    one, two = store.append("one", ANA), store.append("two", ANA)
    before = store.snapshot(if_changed=True)
    match how:
        case "update":
            store.update(one.id, title="t")
        case "delete":
            store.delete(one.id)
        case "many":
            store.append_many({"content": str(i), "partition": ANA} for i in range(100))
        case _:
            getattr(store, how)(one.id, two.id)
    assert store.snapshot(if_changed=True) != before


def test_safety_snapshots_do_not_count_as_the_last_one(store: kiromi.Store) -> None:
    store.append("one", ANA)
    taken = safety(store)
    assert taken.is_safety
    mine = store.snapshot(if_changed=True)
    assert mine.id != taken.id
    safety(store)
    assert store.snapshot(if_changed=True) == mine


# -- pruning -----------------------------------------------------------------------------------------------------------


def made(days: float, *, is_safety: bool = False) -> kiromi.Snapshot:
    """Return a snapshot that was taken so many days before NOW."""
    number = int(days * 1_000_000)
    return kiromi.Snapshot(f"{10**15 - number:026d}", 1, None, None, NOW - timedelta(days=days), is_safety)


def kept(found: list[kiromi.Snapshot], rules: Rules) -> dict[float, tuple[str, ...]]:
    """Return why each stays, by its age in days."""
    reasons = choose(found, rules, NOW)
    return {(NOW - one.created_at) / timedelta(days=1): reasons[one.id] for one in found if one.id in reasons}


def test_the_last_ones_are_kept() -> None:
    found = [made(days) for days in (0, 0.1, 5, 100)]
    assert kept(found, Rules(2, None, None, None, 30)) == {0: ("last",), 0.1: ("last",)}


def test_the_last_of_each_day_week_and_month_is_kept() -> None:
    found = [made(days) for days in (0, 0.25, 1, 1.25, 3, 7, 28, 29, 60)]
    rules = Rules(None, 3, 2, 3, 30)
    assert kept(found, rules) == {
        0: ("daily 2026-03-01", "weekly 2026-W09", "monthly 2026-03"),
        1: ("daily 2026-02-28", "monthly 2026-02"),
        3: ("daily 2026-02-26",),
        7: ("weekly 2026-W08",),
        29: ("monthly 2026-01",),
    }


def test_safety_snapshots_stay_so_many_days_and_count_for_nothing() -> None:
    found = [made(0, is_safety=True), made(1), made(29.9, is_safety=True), made(30, is_safety=True)]
    assert kept(found, Rules(1, None, None, None, 30)) == {0: ("safety",), 1: ("last",), 29.9: ("safety",)}
    assert kept(found, Rules(1, None, None, None, 0)) == {1: ("last",)}


@given(
    ages=st.lists(st.integers(0, 400), max_size=40),
    last=st.none() | st.integers(1, 5),
    daily=st.none() | st.integers(1, 5),
    weekly=st.none() | st.integers(1, 5),
    monthly=st.integers(1, 5),
)
def test_rules_keep_as_many_as_they_say(
    ages: list[int], last: int | None, daily: int | None, weekly: int | None, monthly: int
) -> None:
    found = [made(age + i / 100_000) for i, age in enumerate(ages)]
    rules = Rules(last, daily, weekly, monthly, 30)
    reasons = choose(found, rules, NOW)
    by_id = {one.id: one.created_at for one in found}
    newest = sorted(by_id.values(), reverse=True)
    periods: dict[str, Callable[[datetime], object]] = {
        "daily": lambda moment: moment.date(),
        "weekly": lambda moment: moment.isocalendar()[:2],
        "monthly": lambda moment: (moment.year, moment.month),
    }
    assert {by_id[i] for i, why in reasons.items() if "last" in why} == set(newest[: last or 0])
    for name, count in (("daily", daily), ("weekly", weekly), ("monthly", monthly)):
        named = sorted(by_id[i] for i, why in reasons.items() if any(one.startswith(name) for one in why))
        latest = {periods[name](moment): moment for moment in reversed(newest)}
        assert named == sorted(latest.values())[len(latest) - min(count or 0, len(latest)) :]


def test_pruning_shows_its_plan_and_then_does_it(store: kiromi.Store) -> None:
    taken = [store.snapshot(f"t{i}") for i in range(4)]
    safe = safety(store)
    seq = store.seq
    plan = store.prune_snapshots(keep_last=1, keep_daily=1)
    assert not plan.applied
    assert plan.removed == tuple(taken[:3])
    today = taken[3].created_at.date().isoformat()
    assert plan.kept == (
        kiromi.KeptSnapshot(taken[3], ("last", f"daily {today}")),
        kiromi.KeptSnapshot(safe, ("safety",)),
    )
    assert (store.seq, len(store.snapshots())) == (seq, 5)
    done = store.prune_snapshots(keep_last=1, keep_daily=1, dry_run=False)
    assert (done.applied, done.removed, done.kept) == (True, plan.removed, plan.kept)
    assert store.snapshots() == [taken[3], safe]
    assert [entry.op for entry in store.audit(seq)] == ["delete_snapshot"] * 3
    assert store.seq == seq + 1, "one operation"
    assert store.prune_snapshots(keep_last=1, keep_safety_days=0, dry_run=False).removed == (safe,)
    assert store.prune_snapshots(keep_last=1, dry_run=False).removed == ()
    assert store.seq == seq + 2, "what removes nothing is no operation"


def test_safety_snapshots_stay_while_a_job_is_unfinished(store: kiromi.Store) -> None:
    taken, safe = store.snapshot(), safety(store)
    caller = store._caller()
    with caller.session.lease, caller.session.catalog.transaction() as cursor:
        cursor.execute(
            "INSERT INTO migration_state VALUES ('j', 'restore', 'running', '', '', NULL, 0, 0, 1, NULL, now(), now())"
        )
    plan = store.prune_snapshots(keep_last=1, keep_safety_days=0)
    assert [one.snapshot for one in plan.kept] == [taken, safe]


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"keep_safety_days": 1},
        {"keep_last": 0},
        {"keep_daily": -1},
        {"keep_weekly": True},
        {"keep_monthly": 1.0},
        {"keep_last": "3"},
        {"keep_last": 1, "keep_safety_days": -1},
        {"keep_last": 1, "keep_safety_days": None},
        {"keep_last": 10**7},
    ],
    ids=str,
)
def test_rules_that_are_refused(store: kiromi.Store, rules: dict[str, Any]) -> None:
    with pytest.raises(kiromi.InvalidInput, match="keep"):
        store.prune_snapshots(**rules)
