"""Snapshots, views of past moments, and what differs between two."""

import builtins
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from kiromi.model import Snapshot
from kiromi.operations import archive_keeping as _keeping
from kiromi.operations import asof as _asof
from kiromi.operations import diff as _diff
from kiromi.operations import prune as _prune
from kiromi.operations import snapshots as _snapshots
from kiromi.reports.diff import Diff
from kiromi.reports.pruning import PruneReport
from kiromi.reports.restoring import RestoreReport
from kiromi.store.handle import Handle
from kiromi.store.view import StoreView


class Moments(Handle):
    """Names and shows moments; a part of :class:`kiromi.Store`."""

    def snapshot(self, tag: str | None = None, reason: str | None = None, *, if_changed: bool = False) -> Snapshot:
        """Give the present moment a name, so that ``gc`` keeps all that it shows. Costs the same for any store.

        Args:
            tag: text of 1 to 64 characters that no other snapshot has.
            reason: why; without one, that of :meth:`context`.
            if_changed: take none, and return the last one, if nothing but snapshots was written since that one. Those
                that operations take for safety do not count.

        Raises:
            AlreadyExists: another snapshot has the tag.
            InvalidInput: an argument is refused, or the handle is scoped: snapshots are of the whole tenant.
        """
        with self._call() as caller:
            made = _snapshots.create_snapshot(caller, tag, reason, if_changed=if_changed)
        _keeping.keep(caller)  # with no call in progress: an erasure waits for these, and keeps the archive as it is
        return made

    def snapshots(self) -> builtins.list[Snapshot]:
        """Return all snapshots, oldest first."""
        with self._call() as caller:
            return _snapshots.snapshots(caller)

    def snapshot_info(self, ref: Snapshot | str | int | datetime) -> Snapshot:
        """Return the snapshot that has an id, a tag, or a seq (the last of several), or the last one up to a time.

        Raises:
            SnapshotNotFound: there is none.
        """
        with self._call() as caller:
            return _snapshots.snapshot_info(caller, ref)

    def delete_snapshot(self, ref: Snapshot | str) -> Snapshot:
        """Delete a snapshot by id or tag, and return it. What it shows stays until ``gc`` removes it.

        Raises:
            SnapshotNotFound: there is none.
        """
        with self._call() as caller:
            return _snapshots.delete_snapshot(caller, ref)

    def prune_snapshots(
        self,
        *,
        keep_last: int | None = None,
        keep_daily: int | None = None,
        keep_weekly: int | None = None,
        keep_monthly: int | None = None,
        keep_safety_days: int = _prune.KEEP_SAFETY_DAYS,
        dry_run: bool = True,
    ) -> PruneReport:
        """Delete the snapshots that no rule keeps; at least one rule is needed, and tags protect none.

        Args:
            keep_last: the last so many.
            keep_daily: the last one of each of the last so many days, in UTC, that have any.
            keep_weekly: likewise of ISO weeks.
            keep_monthly: likewise of months.
            keep_safety_days: those that operations took for safety count for no rule and stay so many days; all of
                them stay while a job is unfinished.
            dry_run: only report what would be deleted (the default).
        """
        rules = _prune.Rules(keep_last, keep_daily, keep_weekly, keep_monthly, keep_safety_days)
        with self._call() as caller:
            return _prune.prune_snapshots(caller, rules, dry_run=dry_run)

    def at(self, ref: Snapshot | str | int | datetime) -> StoreView:
        """Return a read-only view of the store as it was at a moment.

        Args:
            ref: a snapshot, its id or tag; a seq, as a number or ``"seq:123"``; ``"live"`` for what is now; or an aware
                time, which means the last operation up to then.

        Raises:
            SnapshotNotFound: there is no such snapshot or moment, or ``gc`` has removed what only it showed.
            InvalidInput: it is none of these, or in the future.
        """
        with self._call() as caller:
            moment = _asof.resolve(caller, ref)
            return StoreView(self._call, moment, caller.session.schemes[moment.scheme].template)

    def diff(
        self,
        a: Snapshot | str | int | datetime,
        b: Snapshot | str | int | datetime = "live",
        within: Mapping[str, Any] | None = None,
        *,
        content: bool = False,
    ) -> Diff:
        """Return what differs between two moments, each given as for :meth:`at`. Costs what changed between them.

        Expired memories count like others. What was changed and changed back is no difference. A memory that moved
        into ``within`` is added, one that left it is removed.

        Args:
            a: the first moment; it may be the later one.
            b: the second moment.
            within: segment or field names to exact values.
            content: also give the unified diffs of contents that are text.
        """
        with self._call() as caller:
            return _diff.diff(caller, a, b, within, content=content)

    def restore(
        self,
        ref: Snapshot | str | int | datetime,
        *,
        within: Mapping[str, Any] | None = None,
        ids: Iterable[str] | None = None,
        dry_run: bool = False,
        on_progress: Callable[[str, int, int], None] | None = None,
    ) -> RestoreReport:
        """Make the store, or a part of it, what it was at a moment: contents, fields, places, supersession and links.

        What was not there then is deleted, what is gone comes back, what differs becomes what it was, all as new
        operations: nothing of the history is lost, versions go on counting, and what is as it was then is not touched.
        A restore of everything also brings back the scheme that new memories followed. Others read, search and write
        meanwhile; what they change after it began is left alone and reported. Costs what changed since then.

        A safety snapshot is taken first: restoring it undoes the restore. After a kill, call it again with the same
        arguments to go on, or with the safety snapshot to take back what was done.

        Args:
            ref: the moment, as for :meth:`at`.
            within: only what lies within these exact values now, or lay there then, and the links among it.
            ids: only these memories, and their links.
            dry_run: only report what would be done.
            on_progress: called after each batch with what is done (``memories``, ``vectors``), how much, and how much
                there is. What it raises ends the call; calling it again goes on.

        Raises:
            SnapshotNotFound: there is no such moment, or ``gc`` has removed what only it showed.
            MemoryNotFound: no memory of one of the ids was ever here.
            MigrationConflict: a migration, or a restore of something else, was begun and not ended.
            InvalidInput: an argument is refused.
        """
        from kiromi.operations.restore import restore

        caller = self._caller()
        return restore(caller, ref, within, ids, on_progress or (lambda what, done, total: None), dry_run=dry_run)
