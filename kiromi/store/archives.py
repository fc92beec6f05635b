"""Archives: moments of a store in files of their own."""

import os
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from kiromi.model import Snapshot
from kiromi.operations import archive_keeping as _keeping
from kiromi.reports.archives import ArchiveReport
from kiromi.store.handle import Handle


class Archives(Handle):
    """Takes moments of the store elsewhere; a part of :class:`kiromi.Store`."""

    def close(self) -> None:
        """Wait for calls in progress and let go of the store; nothing is lost without it. Closing twice is fine.

        If an archive is kept beside the store, it is brought up to date first.
        """
        if not self._is_closed and self._parent is None and self._base.keeper is not None:
            self._base.session.lease.check_outside()
            _keeping.keep(self._base)
        super().close()

    def export_archive(
        self,
        ref: Snapshot | str | int | datetime,
        url: str | os.PathLike[str],
        *,
        since: Snapshot | str | int | datetime | None = None,
        contents: bool = True,
        storage_options: Mapping[str, Any] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> ArchiveReport:
        """Write a moment as an archive: a folder of Parquet files with a manifest, readable without kiromi.

        Others write meanwhile. An export that was killed leaves nothing that counts; the next one starts over.

        Args:
            ref: the moment, as for :meth:`at`.
            url: a folder that is absent or empty, local or of any filesystem that fsspec knows.
            since: a moment of which there is an archive already: only what came after it is written, as an increment.
            contents: whether the bytes of the memories go into it; without, it can be recovered from, not imported.
            storage_options: passed to the fsspec driver of ``url``.
            on_progress: called with (memories whose contents are written, in all).

        Raises:
            SnapshotNotFound: there is no such moment, or ``gc`` has removed what only it showed.
            AlreadyExists: a finished archive lies there.
            InvalidInput: an argument is refused, or the handle is scoped.
            BlobMissing, ChecksumMismatch: a blob was removed or changed behind kiromi's back.
        """
        # Here, because Parquet takes as long to load as opening a store.
        from kiromi.operations import archiving

        with self._call() as caller:
            return archiving.export_archive(
                caller,
                ref,
                url,
                since=since,
                contents=contents,
                storage_options=storage_options,
                on_progress=on_progress,
            )

    def restore_to(
        self,
        ref: Snapshot | str | int | datetime,
        root: str | os.PathLike[str],
        *,
        tenant: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
        catalog: str | os.PathLike[str] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> ArchiveReport:
        """Make a new store of a moment elsewhere, and leave this one as it is.

        It is an archive in a temporary folder, which is imported: :func:`kiromi.import_archive` says what comes over.

        Args:
            ref: the moment, as for :meth:`at`.
            root: where the new store is to be, as for :func:`kiromi.open`.
            tenant: its tenant; of the same name as this one if not said.
            storage_options: passed to the fsspec driver of ``root``.
            catalog: as for :func:`kiromi.open`.
            on_progress: called with (memories, in all), first of the export, then of the import.

        Raises:
            SnapshotNotFound: there is no such moment, or ``gc`` has removed what only it showed.
            AlreadyExists: there is such a tenant.
        """
        from kiromi.operations import restoring_elsewhere

        with self._call() as caller:
            return restoring_elsewhere.restore_to(
                caller,
                ref,
                root,
                tenant=tenant,
                storage_options=storage_options,
                catalog=catalog,
                on_progress=on_progress,
            )
