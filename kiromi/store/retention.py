"""Forgetting: gc and erase."""

from collections.abc import Iterable, Mapping
from typing import Any

from kiromi.operations import erase as _erase
from kiromi.reports.erasing import EraseReport
from kiromi.store.handle import Handle


class Retention(Handle):
    """Forgetting: gc and erase; a part of :class:`kiromi.Store`."""

    def erase(
        self,
        ids: Iterable[str] | None = None,
        within: Mapping[str, Any] | None = None,
        where: Any = None,
        *,
        dry_run: bool = True,
    ) -> EraseReport:
        """Remove memories so that no copy of anything of them is left, in the past neither; nothing brings them back.

        Other calls of this process wait meanwhile, and it waits for those in progress. It costs a copy of the catalog;
        the indices go, and the next search makes them anew.

        Args:
            ids: live or deleted memories.
            within: segment or field names to exact values; of deleted memories the last version counts.
            where: a filter; ``{}`` matches all.
            dry_run: only report what would be erased (the default).

        Give ``ids``, or ``within`` and ``where`` or one of them, which also mean expired and deleted memories.

        Raises:
            MemoryNotFound: one of the ``ids`` never was a memory here.
            MigrationConflict: an unfinished job was told to do something with one of the memories.
            InvalidInput: an argument is refused, or this is called within another call or transaction.
            StorageError: something could not be removed or written. What was begun goes on when the store is opened,
                or with the next erasure.
        """
        return _erase.erase(self._caller(), ids, within, where, dry_run=dry_run)
