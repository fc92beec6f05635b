"""Prune snapshots: which ones to keep by count, day, week and month, and which to delete.

The choice is a pure function of the snapshots, the rules and the time. Safety snapshots, which operations take before
they change much, do not count for the rules: they stay for a time of their own, and as long as any job is unfinished.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from kiromi.errors import InvalidInput
from kiromi.model import Snapshot
from kiromi.operations.asof import all_snapshots
from kiromi.operations.caller import Caller
from kiromi.operations.snapshots import plan_delete_snapshot
from kiromi.reports.pruning import KeptSnapshot, PruneReport
from kiromi.session.commit import transaction
from kiromi.times import from_micros, now_micros

KEEP_SAFETY_DAYS = 30
_MOST = 1_000_000
_HAS_JOB = "SELECT EXISTS (SELECT 1 FROM migration_state WHERE status IN ('running', 'paused'))"


@dataclass(frozen=True, slots=True)
class Rules:
    """What is kept: a snapshot stays if any rule names it."""

    last: int | None
    """The last so many."""
    daily: int | None
    """The last one of each of the last so many days (UTC) that have any."""
    weekly: int | None
    """Likewise of ISO weeks."""
    monthly: int | None
    safety_days: int
    """Safety snapshots stay so many days."""

    def __post_init__(self) -> None:
        for name, least in (("last", 1), ("daily", 1), ("weekly", 1), ("monthly", 1), ("safety_days", 0)):
            value = getattr(self, name)
            if value is None and name != "safety_days":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST:
                raise InvalidInput(f"keep_{name}={value!r} is not a whole number from {least} to {_MOST:,}")
        if (self.last, self.daily, self.weekly, self.monthly) == (None, None, None, None):
            raise InvalidInput(
                "say what to keep: keep_last, keep_daily, keep_weekly, keep_monthly, or several of these"
            )


def prune_snapshots(caller: Caller, rules: Rules, *, dry_run: bool) -> PruneReport:
    """Delete the snapshots that no rule keeps; see ``Store.prune_snapshots``."""
    if caller.scope.wanted:
        raise InvalidInput("snapshots are of the whole tenant: ask an unscoped handle")
    if dry_run:
        return _plan(caller, rules, is_applied=False)
    caller.check_writable()
    with transaction(caller.session, caller.context) as operation:
        report = _plan(caller, rules, is_applied=True)
        for snapshot in report.removed:
            plan_delete_snapshot(operation, snapshot)
    return report


def choose(found: Iterable[Snapshot], rules: Rules, now: datetime) -> Mapping[str, tuple[str, ...]]:
    """Return why each snapshot that stays does so, by id: ``last``, ``daily 2026-01-31``, ``safety`` and so on."""
    newest_first = sorted(found, key=lambda snapshot: (snapshot.created_at, snapshot.id), reverse=True)
    reasons: dict[str, tuple[str, ...]] = {
        snapshot.id: ("safety",)
        for snapshot in newest_first
        if snapshot.is_safety and snapshot.created_at > now - timedelta(days=rules.safety_days)
    }
    asked_for = [snapshot for snapshot in newest_first if not snapshot.is_safety]
    for snapshot in asked_for[: rules.last or 0]:
        reasons[snapshot.id] = ("last",)
    for name, count, period in (
        ("daily", rules.daily, _day),
        ("weekly", rules.weekly, _week),
        ("monthly", rules.monthly, _month),
    ):
        for value, snapshot in _last_of_each(asked_for, period)[: count or 0]:
            reasons[snapshot.id] = (*reasons.get(snapshot.id, ()), f"{name} {value}")
    return reasons


def _plan(caller: Caller, rules: Rules, *, is_applied: bool) -> PruneReport:
    with caller.session.catalog.snapshot() as cursor:
        found = all_snapshots(cursor)
        ((has_job,),) = cursor.execute(_HAS_JOB).fetchall()
    reasons = dict(choose(found, rules, from_micros(now_micros())))
    if has_job:
        reasons |= {one.id: ("safety",) for one in found if one.is_safety}
    return PruneReport(
        is_applied,
        tuple(KeptSnapshot(one, reasons[one.id]) for one in found if one.id in reasons),
        tuple(one for one in found if one.id not in reasons),
    )


def _last_of_each(newest_first: Iterable[Snapshot], period: Callable[[datetime], str]) -> list[tuple[str, Snapshot]]:
    """Return the last snapshot of each period, the last period first."""
    last: dict[str, Snapshot] = {}
    for snapshot in newest_first:
        last.setdefault(period(snapshot.created_at), snapshot)
    return list(last.items())


def _day(moment: datetime) -> str:
    return moment.date().isoformat()


def _week(moment: datetime) -> str:
    year, week, _ = moment.isocalendar()
    return f"{year}-W{week:02d}"


def _month(moment: datetime) -> str:
    return f"{moment.year}-{moment.month:02d}"
