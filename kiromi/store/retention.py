"""Forgetting: gc and erase."""

from collections.abc import Callable
from datetime import timedelta

from kiromi.reports.gc import GcReport
from kiromi.store.handle import Handle


class Retention(Handle):
    """Forgetting: gc and erase; a part of :class:`kiromi.Store`."""

    def gc(
        self,
        retain: str | timedelta = "30d",
        *,
        dry_run: bool = True,
        grace: str | timedelta = "1d",
        expired: bool = False,
        on_progress: Callable[[str, int, int], None] | None = None,
    ) -> GcReport:
        """Remove closed versions that nothing needs any more, with their contents, and blobs that nobody knows.

        Kept is what is live, what a snapshot shows, what any moment of the last ``retain`` shows, what an unfinished
        job needs, and the whole audit log. Older moments can be read afterwards only where a snapshot is, and what was
        deleted before them cannot be undeleted. Reads and writes go on meanwhile. Killed at any point, the next call
        first finishes what was begun.

        Args:
            retain: how far back every moment stays: ``90s``, ``15m``, ``12h``, ``30d``, ``8w``, ``0``, or a timedelta.
            dry_run: only report what would go (the default).
            grace: blobs unknown to the catalog go when they are older than this by the storage's own clock.
            expired: also delete, as :meth:`delete_where` does, live memories whose ``expires_at`` passed more than
                ``retain`` ago; what they were stays in the history like that of others.
            on_progress: called with what is being removed, how much is done, how much there is.

        Raises:
            InvalidInput: an argument is refused, or the handle is scoped: gc is about the whole tenant.
            MigrationConflict: another gc is running in this process.
        """
        from kiromi.operations import gc

        options = gc.Options.of(retain, grace, expired=expired)
        return gc.gc(self._caller(), options, dry_run=dry_run, on_progress=on_progress or _unseen)


def _unseen(what: str, done: int, total: int) -> None:
    """Show no progress."""
