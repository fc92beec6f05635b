"""What a restore tells: from its plan alone, or from what one call did."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from kiromi.model import Snapshot
from kiromi.operations.caller import Caller
from kiromi.operations.diff import differing
from kiromi.operations.present import info_of
from kiromi.operations.restore.plan import Effect, Item, Plan
from kiromi.reports.diff import Difference
from kiromi.reports.restoring import LeftAlone, RestoreReport

SAMPLE = 100
OUTSIDE = "it lies, or lay, outside the scope of this handle"


@dataclass(slots=True)
class Tally:
    """What one call did."""

    snapshot: Snapshot | None = None
    is_resumed: bool = False
    touched: dict[Effect, int] = field(default_factory=lambda: dict.fromkeys(Effect, 0))
    links: int = 0
    size_bytes: int = 0
    scheme: int | None = None
    left: list[LeftAlone] = field(default_factory=list)
    pending: int = 0
    batches: int = 0

    def add(self, touched: Iterable[Item], left: Iterable[LeftAlone]) -> None:
        """Count a batch."""
        self.batches += 1
        self.left += left
        for item in touched:
            self.touched[item.effect] += 1
            if item.then is not None and (item.now is None or item.now.n != item.then.n):
                self.size_bytes += item.then.size


def planned(caller: Caller, plan: Plan) -> RestoreReport:
    """Return what a restore would do."""
    tally = Tally(
        touched={effect: plan.count(effect) for effect in Effect},
        links=len(plan.links.differences),
        size_bytes=plan.size_bytes,
        scheme=plan.scheme,
    )
    return _report(caller, plan, tally, is_applied=False)


def done(caller: Caller, plan: Plan, tally: Tally) -> RestoreReport:
    """Return what a call did."""
    return _report(caller, plan, tally, is_applied=True)


def _report(caller: Caller, plan: Plan, tally: Tally, *, is_applied: bool) -> RestoreReport:
    touched, schemes = tally.touched, caller.session.schemes
    outside = (LeftAlone(memory_id, memory_id, OUTSIDE) for memory_id in plan.outside)
    return RestoreReport(
        applied=is_applied,
        seq=plan.target.seq,
        base_seq=plan.base.seq,
        snapshot=tally.snapshot,
        removed=touched[Effect.REMOVED],
        back=touched[Effect.BACK],
        changed=touched[Effect.EDITED] + touched[Effect.MARKED],
        moved=touched[Effect.MOVED],
        links=tally.links,
        size_bytes=tally.size_bytes,
        scheme=None if tally.scheme is None else schemes[tally.scheme].template,
        left=(*outside, *tally.left),
        pending=tally.pending,
        sample=tuple(_difference(caller, item) for item in plan.items(range(min(SAMPLE, len(plan))))),
        batches=tally.batches,
        is_resumed=tally.is_resumed,
    )


def _difference(caller: Caller, item: Item) -> Difference:
    before, after = (None if row is None else info_of(row, caller.session.schemes) for row in (item.now, item.then))
    fields: tuple[str, ...] = ()
    if item.now is not None and item.then is not None:
        # A content that was given another vector, and is else the same, differs in nothing that diff looks at.
        fields = tuple(differing(item.now, item.then)) or ("vector",)
    return Difference(id=item.id, before=before, after=after, fields=fields, text=None)
