"""Forgetting: gc and erase."""

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any

from kiromi.operations import erase as _erase
from kiromi.reports.erasing import EraseReport
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

    def erase(
        self,
        ids: Iterable[str] | None = None,
        within: Mapping[str, Any] | None = None,
        where: Any = None,
        *,
        archives: Iterable[str | os.PathLike[str]] = (),
        dry_run: bool = True,
    ) -> EraseReport:
        """Remove memories so that no copy of anything of them is left, in the past neither; nothing brings them back.

        Other calls of this process wait meanwhile, and it waits for those in progress. It costs a copy of the catalog;
        the indices go, and the next search makes them anew.

        Args:
            ids: live or deleted memories.
            within: segment or field names to exact values; of deleted memories the last version counts.
            where: a filter; ``{}`` matches all.
            archives: paths or URLs of archives of this store that are rewritten without them too; of a chain, all.
                They are reached with what their driver finds in the environment. The one that ``archive=`` of
                :func:`kiromi.open` keeps is rewritten anyway.
            dry_run: only report what would be erased (the default).

        Give ``ids``, or ``within`` and ``where`` or one of them, which also mean expired and deleted memories.

        Raises:
            MemoryNotFound: one of the ``ids`` never was a memory here.
            NotFound: one of the ``archives`` is not there.
            MigrationConflict: an unfinished job was told to do something with one of the memories.
            InvalidInput: an argument is refused, or this is called within another call or transaction.
            StorageError: something could not be removed or written. What was begun goes on when the store is opened,
                or with the next erasure.
        """
        return _erase.erase(self._caller(), ids, within, where, archives, dry_run=dry_run)


def _unseen(what: str, done: int, total: int) -> None:
    """Show no progress."""
