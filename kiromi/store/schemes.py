"""Schemes: where memories lie, and moving them."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from kiromi.errors import InvalidInput
from kiromi.reports.migration import MigrationPlan, MigrationReport, MigrationStatus
from kiromi.store.handle import Handle

if TYPE_CHECKING:
    from kiromi.operations.migrate.batches import Pace
    from kiromi.operations.migrate.mapping import Mapper

DEFAULT_BATCH = 5_000


class Schemes(Handle):
    """Schemes: where memories lie, and moving them; a part of :class:`kiromi.Store`."""

    def evolve_scheme(self, new: str) -> None:
        """Let new memories follow another scheme from now on, or an earlier one again.

        Only the catalog changes. What is there stays where it lies, under the scheme that it follows; ``within`` and
        filters reach both. :meth:`migrate_scheme` moves the rest.

        Raises:
            InvalidInput: the template is refused.
            MigrationConflict: a migration was begun and not ended.
        """
        from kiromi.operations.evolve import evolve

        with self._call() as caller:
            evolve(caller, new)

    def migrate_scheme(
        self,
        new: str | None = None,
        *,
        set: Mapping[str, str] | None = None,  # noqa: A002
        mapper: "Mapper | None" = None,
        within: Mapping[str, Any] | None = None,
        on_error: Literal["abort", "skip"] = "abort",
        dry_run: bool = False,
        plan: MigrationPlan | None = None,
        batch_size: int = DEFAULT_BATCH,
        pause_s: float = 0.0,
        reindex: bool = True,
        on_progress: Callable[[str, int, int], None] | None = None,
    ) -> MigrationPlan | MigrationReport:
        """Move every live memory in scope to where a new scheme puts it, while the store is in use.

        First everything is planned, and nothing is moved if a memory cannot be mapped. Then, in one operation: a safety
        snapshot, the new scheme for all new memories, and the stored plan. Then batches, each one operation. Reads,
        searches and writes go on; who was changed meanwhile goes where its present attributes say. Versions do not
        change. A killed run goes on with :meth:`resume_migration`; :meth:`rollback_migration` brings all back.

        Args:
            new: the template; leave it out with ``plan``.
            set: attributes to fill, as segments of the scheme's grammar: ``{"topic": "{category:lower|inbox}"}``. New
                memories that do not say them get them too, as long as the scheme is active.
            mapper: called once per memory with its :class:`MemoryInfo` (its :class:`Memory`, if the parameter is
                annotated so); returns attributes to set over those of ``set``, of which None removes one. It is called
                again only for what changed between planning and the first move. It may read the store, not write.
            within: move only these; new memories follow the new scheme all the same.
            on_error: ``"skip"`` leaves memories that cannot be mapped where they are, and reports them.
            dry_run: only plan; nothing is written.
            plan: carry out this plan, made by a dry run (perhaps kept in a file meanwhile): what changed since is
                planned anew, and a mapper whose text changed is refused. Then the arguments above, but for
                ``mapper``, are left out.
            batch_size: memories per operation.
            pause_s: seconds to wait between batches, to leave more of the disk to others.
            reindex: bring the indices that there are up to date at the end: vectors sorted by partition again.
            on_progress: called with ``plan``, ``move`` or what is indexed, how much is done, how much there is, and
                every half second of a pause; may raise to stop there.

        Returns:
            The plan of a dry run, else what was done; its status is ``paused`` if :meth:`pause_migration` was called.

        Raises:
            InvalidInput: an argument is refused, or memories cannot be mapped (``details["unmapped"]``).
            MigrationConflict: another migration was begun and not ended, or the plan is of another active scheme.
        """
        from kiromi.operations.migrate.run import Asked, plan_migration, run_migration

        pace = _pace(batch_size, pause_s, on_progress)
        if plan is None:
            if new is None:
                raise InvalidInput("migrate_scheme needs a template, or plan=")
            asked = Asked.of(new, set, mapper, within, on_error)
        elif (new, set, within, on_error) != (None, None, None, "abort"):
            raise InvalidInput("plan= says template, set, within and on_error already: leave them out")
        else:
            asked = Asked.by_plan(plan, mapper)
        caller = self._caller()
        if dry_run:
            return plan_migration(caller, asked, pace.on_progress)
        report = run_migration(caller, asked, pace)
        self._refresh(report, pace, reindex=reindex)
        return report

    def migration_status(self) -> MigrationStatus | None:
        """Return how far the last migration or rollback is; None if there was none."""
        from kiromi.operations.migrate.status import status

        with self._call() as caller:
            return status(caller)

    def pause_migration(self) -> MigrationStatus:
        """Ask the migration that another thread or process carries out to stop after its batch.

        Raises:
            MigrationConflict: none is under way.
        """
        from kiromi.operations.migrate.status import pause

        with self._call() as caller:
            return pause(caller)

    def resume_migration(
        self,
        *,
        batch_size: int = DEFAULT_BATCH,
        pause_s: float = 0.0,
        reindex: bool = True,
        on_progress: Callable[[str, int, int], None] | None = None,
    ) -> MigrationReport:
        """Go on with a migration, or a rollback, that was paused or killed; what was planned is stored.

        Raises:
            MigrationConflict: none is under way.
        """
        from kiromi.operations.migrate.rollback import resume

        pace = _pace(batch_size, pause_s, on_progress)
        report = resume(self._caller(), pace)
        self._refresh(report, pace, reindex=reindex)
        return report

    def rollback_migration(
        self,
        *,
        batch_size: int = DEFAULT_BATCH,
        pause_s: float = 0.0,
        reindex: bool = True,
        on_progress: Callable[[str, int, int], None] | None = None,
    ) -> MigrationReport:
        """Bring back what the last migration moved, whether it is done or in the middle.

        What nobody changed since goes back to exactly where it was, with the attributes that it had. What was changed
        goes to where its present attributes, without those that the migration added, put it under its former scheme; if
        they put it nowhere it stays and is reported. New memories stay under the scheme that they were written under.
        The former scheme becomes active again.

        Raises:
            MigrationConflict: there was no migration, or it was rolled back already.
        """
        from kiromi.operations.migrate.rollback import rollback

        pace = _pace(batch_size, pause_s, on_progress)
        report = rollback(self._caller(), pace)
        self._refresh(report, pace, reindex=reindex)
        return report

    def _refresh(self, report: MigrationReport, pace: "Pace", *, reindex: bool) -> None:
        from kiromi.operations.migrate.indices import refresh

        if reindex and report.status == "done" and report.moved + report.unmoved:
            refresh(self._caller(), pace.on_progress)


def _pace(batch_size: int, pause_s: float, on_progress: Callable[[str, int, int], None] | None) -> "Pace":
    from kiromi.operations.migrate.batches import Pace

    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise InvalidInput(f"batch_size={batch_size!r} is not a whole number of at least 1")
    if isinstance(pause_s, bool) or not isinstance(pause_s, int | float) or not 0 <= pause_s < math.inf:
        raise InvalidInput(f"pause_s={pause_s!r} is not a number of seconds of at least 0")
    return Pace(batch_size, pause_s, on_progress or _unseen)


def _unseen(what: str, done: int, total: int) -> None:
    """Show no progress."""
