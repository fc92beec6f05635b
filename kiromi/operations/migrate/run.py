"""Run: plan, then one transaction that begins (snapshot, job, scheme, targets), then batches until all is moved."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from kiromi.blobs.local import LocalBlobs
from kiromi.errors import InvalidInput, MigrationConflict
from kiromi.operations import jobs
from kiromi.operations.caller import Caller
from kiromi.operations.evolve import number_of, plan_activate
from kiromi.operations.migrate.batches import KIND, Pace, carry_out
from kiromi.operations.migrate.mapping import Mapper, Rule, digest_of, load_mapper, reference_of
from kiromi.operations.migrate.plan import Drawn, Kept, draw
from kiromi.operations.migrate.status import refuse_beside_migration, refuse_scoped, report_of
from kiromi.operations.migrate.targets import among, stored
from kiromi.operations.snapshots import plan_snapshot
from kiromi.partition import Assignments, Scheme
from kiromi.reports.migration import MigrationPlan, MigrationReport, Unmapped
from kiromi.session.commit import refuse_within_transaction, transaction
from kiromi.session.operation import Operation

_FEW = 1_000
"""What changed while the plan was made is planned with writers waiting once it is so little."""
_ROUNDS = 5
_NAMED = 5
"""Unmappable memories that an error message names; its details hold all."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a migration is asked to do."""

    scheme: Scheme
    sets: Assignments
    mapper: Mapper | None
    mapper_name: str | None
    within: Mapping[str, Any]
    on_error: Literal["abort", "skip"]
    plan: MigrationPlan | None = None
    """The plan that is to be carried out, if one was made before."""

    @classmethod
    def of(cls, template: str, sets: Any, mapper: Mapper | None, within: Any, on_error: Any) -> "Asked":
        """Check the arguments of a call.

        Raises:
            InvalidInput: one is refused.
        """
        if on_error not in ("abort", "skip"):
            raise InvalidInput(f"on_error={on_error!r}; accepted: 'abort', 'skip'")
        if within is not None and not isinstance(within, Mapping):
            raise InvalidInput(f"within={within!r} is not a mapping of segment or field names to values")
        scheme, assigned = Scheme.parse(template), Assignments.parse(sets)
        return cls(scheme, assigned, mapper, reference_of(mapper), dict(within or {}), on_error)

    @classmethod
    def by_plan(cls, plan: MigrationPlan, mapper: Mapper | None) -> "Asked":
        """Return what a plan says; its mapper is loaded by name unless it is given.

        Raises:
            InvalidInput: another mapper is given, or the plan's cannot be loaded or is not what it was.
        """
        if not isinstance(plan, MigrationPlan):
            raise InvalidInput(f"plan={plan!r} is a {type(plan).__name__}; accepted: the MigrationPlan of a dry run")
        if mapper is not None and reference_of(mapper) != plan.mapper:
            raise InvalidInput(f"the plan was made with the mapper {plan.mapper!r}, not {reference_of(mapper)!r}")
        if mapper is None and plan.mapper is not None:
            mapper = load_mapper(plan.mapper)
        if mapper is not None and digest_of(mapper) != plan.mapper_digest:
            raise InvalidInput(f"the mapper {plan.mapper!r} is not what it was when the plan was made: plan anew")
        return replace(cls.of(plan.template, plan.set, mapper, plan.within, plan.on_error), plan=plan)


def plan_migration(caller: Caller, asked: Asked, on_progress: Callable[[str, int, int], None]) -> MigrationPlan:
    """Plan a migration and write nothing; see ``Store.migrate_scheme``."""
    _check(caller)
    session = caller.session
    with session.lease:
        former = session.schemes[session.active_scheme].template
    drawn = _draw(caller, asked, on_progress)
    before, after = drawn.layouts()
    plan = MigrationPlan(
        template=asked.scheme.template,
        former=former,
        set=asked.sets.as_mapping(),
        mapper=asked.mapper_name,
        mapper_digest=None if asked.mapper is None else digest_of(asked.mapper),
        within=asked.within,
        on_error=asked.on_error,
        store=session.meta.store_id,
        seq=drawn.seq,
        moved=drawn.moved,
        unmoved=drawn.unmoved,
        size_bytes=drawn.size_bytes,
        before=before,
        after=after,
        samples=tuple(drawn.samples),
        unmapped=tuple(drawn.unmapped.values()),
        cost=drawn.cost(is_local=isinstance(session.blobs, LocalBlobs)),
    )
    return replace(plan, targets=Kept(drawn, plan.digest))


def run_migration(caller: Caller, asked: Asked, pace: Pace) -> MigrationReport:
    """Migrate; see ``Store.migrate_scheme``."""
    _check(caller)
    caller.check_writable()
    refuse_within_transaction(caller.session)
    with caller.session.lease:
        refuse_beside_migration(caller)
        if asked.plan is not None:
            _check_plan(caller, asked.plan)
    job = _started(caller, asked, pace)  # apart, so that nothing of the plan is held while it is carried out
    carry_out(caller, job, pace)
    return report_of(caller, job)


def _started(caller: Caller, asked: Asked, pace: Pace) -> str:
    """Plan, and begin; return the job's id."""
    drawn = _kept(asked.plan) or _draw(caller, asked, pace.on_progress)
    parts = [drawn]
    for _ in range(_ROUNDS):  # what changes meanwhile becomes less and less
        with caller.session.lease:
            _refuse_unmapped(caller, asked, parts)
            few = _count_since(caller, parts[-1].seq) <= _FEW
        if few:
            break
        parts.append(_draw(caller, asked, pace.on_progress, since=parts[-1].seq))
    with caller.session.lease, transaction(caller.session, caller.context) as operation:
        return _begin(caller, operation, asked, parts)


def _kept(plan: MigrationPlan | None) -> Drawn | None:
    kept = None if plan is None else plan.targets
    return kept.of(plan.digest) if plan is not None and isinstance(kept, Kept) else None


def _draw(
    caller: Caller, asked: Asked, on_progress: Callable[[str, int, int], None], since: int | None = None
) -> Drawn:
    session = caller.session
    rule = Rule(asked.scheme, asked.sets, session.meta.fold_case)
    number = number_of(session, asked.scheme)
    return draw(caller, rule, number, asked.mapper, asked.within, on_progress, since)


def _begin(caller: Caller, operation: Operation, asked: Asked, parts: list[Drawn]) -> str:
    """Plan the operation that begins a migration; return the job's id."""
    session = caller.session
    refuse_beside_migration(caller)
    if asked.plan is not None:
        _check_plan(caller, asked.plan)
    last = _draw(caller, asked, _unseen, since=parts[-1].seq)  # writers wait now, so nothing can be left out
    parts = [*parts, last]
    _refuse_unmapped(caller, asked, parts)
    why = f"before the migration to {asked.scheme.template}"
    snapshot = plan_snapshot(caller, operation, None, why, is_safety=True)
    former, former_set = session.active_scheme, session.supplied.as_mapping()
    number = plan_activate(session, operation, asked.scheme, asked.sets.as_mapping())
    job_id = session.ids.make()
    params = {
        "template": asked.scheme.template,
        "number": number,
        "former": former,
        "former_set": former_set,
        "set": asked.sets.as_mapping(),
        "mapper": asked.mapper_name,
        "within": sorted(asked.within),  # names only: this row outlives an erasure of what the values name
        "on_error": asked.on_error,
        "seq": parts[0].seq,
        "plan": None if asked.plan is None else asked.plan.digest,
        "snapshot": snapshot.id,
        "rollback_of": None,
        "pins": [snapshot.seq],
    }
    plan_begin(operation, job_id, params, stored(job_id, number, _final(caller, parts)))
    facts = {"job": job_id, "scheme": [former, number], "snapshot": snapshot.id}
    operation.record("migrate_begin", None, facts)
    return job_id


def plan_begin(operation: Operation, job_id: str, params: Mapping[str, Any], targets: pa.RecordBatchReader) -> None:
    """Plan to record a job with its targets, in place of what is stored of earlier ones."""
    operation.load("migration_targets", targets)
    kept = (KIND, params["rollback_of"] or "")  # a rollback needs to know the batches of what it undoes
    operation.execute(
        "DELETE FROM migration_targets WHERE job IN (SELECT id FROM migration_state WHERE kind = ?)", KIND
    )
    operation.execute(
        "DELETE FROM migration_batches WHERE job IN (SELECT id FROM migration_state WHERE kind = ?) AND job <> ?", *kept
    )
    jobs.begin(operation, job_id, KIND, params, 0)
    operation.execute(
        "UPDATE migration_state SET total = (SELECT count(*) FROM migration_targets WHERE job = $1 AND reason IS NULL)"
        " WHERE id = $1",
        job_id,
    )


def _final(caller: Caller, parts: list[Drawn]) -> Iterator[pa.Table]:
    """Yield the targets of several rounds of planning, of which later ones count.

    A memory that was erased meanwhile must not come back, be it as a target.
    """
    session = caller.session
    live = session.view.ids() if session.erased_seq > parts[0].seq else None
    for i, part in enumerate(parts):
        later = [each.changed for each in parts[i + 1 :] if len(each.changed)]
        tables = part.targets.without(np.concatenate(later)) if later else part.targets.tables()
        yield from tables if live is None else (among(table, live) for table in tables)


def _refuse_unmapped(caller: Caller, asked: Asked, parts: list[Drawn]) -> None:
    """Refuse to go on with what cannot be mapped; what changed since a part was drawn is for the next one to say."""
    if asked.on_error == "skip":
        return
    unmapped: list[Unmapped] = []
    for part in parts:
        rows = caller.session.view.rows(part.unmapped)
        unmapped += [part.unmapped[row.id] for row in rows if row.begin_seq <= part.seq]
    if unmapped:
        named = "; ".join(f"{each.id}: {each.reason}" for each in unmapped[:_NAMED])
        raise InvalidInput(
            f"{len(unmapped):,} of the memories cannot be mapped to {asked.scheme.template!r}, nothing was moved:"
            f" {named}",
            unmapped=[(each.id, each.path, each.reason) for each in unmapped],
        )


def _check(caller: Caller) -> None:
    refuse_scoped(caller)
    if caller.moment is not None:
        raise InvalidInput("a view of the past cannot be migrated")


def _check_plan(caller: Caller, plan: MigrationPlan) -> None:
    session = caller.session
    if plan.store != session.meta.store_id:
        raise InvalidInput(f"the plan is another store's: of {plan.store}, this is {session.meta.store_id}")
    if plan.seq > session.view.seq:
        raise InvalidInput(
            f"the plan saw operation {plan.seq}, this store is at {session.view.seq}: it is of another copy"
        )
    active = session.schemes[session.active_scheme].template
    if active != plan.former:
        raise MigrationConflict(
            f"the plan was made under the scheme {plan.former!r}, the active one is {active!r} now: plan anew"
        )


def _count_since(caller: Caller, seq: int) -> int:
    with caller.session.snapshot() as (_, cursor):
        ((count,),) = cursor.execute("SELECT count(*) FROM memories WHERE begin_seq > ?", [seq]).fetchall()
    return int(count)


def _unseen(what: str, done: int, total: int) -> None:
    """Show no progress."""
