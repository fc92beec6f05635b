"""Import and export."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal

from kiromi.reports.transfer import ExportReport, ImportReport
from kiromi.reports.writing import BatchReport
from kiromi.store.handle import Handle


class Transfer(Handle):
    """Brings memories in and out; a part of :class:`kiromi.Store`."""

    def import_from(
        self,
        source: str | os.PathLike[str],
        *,
        format: str | None = None,  # noqa: A002
        source_name: str | None = None,
        rename: Mapping[str, str] | None = None,
        prune: bool = False,
        on_error: Literal["abort", "skip"] = "abort",
        dry_run: bool = False,
        batch_size: int = 1_000,
        types: Mapping[str, str] | None = None,
        on_batch: Callable[[BatchReport], None] | None = None,
        on_progress: Callable[[int, int | None], None] | None = None,
    ) -> ImportReport:
        """Bring every record of a folder or file into the store: new ones are added, changed ones get a new version.

        A record is found again by its key (of a file in a folder: the path below it) in its namespace, or by its id;
        one with neither is always added. An id that was deleted comes back. First all records are read and checked,
        and nothing is written if one is bad: not readable, refused by a guard, without a field that the scheme needs,
        with a key or id that stands twice or belongs to another memory. Then they are committed in batches, each all
        or nothing. After a kill, import again: what was committed is unchanged then.

        Args:
            source: a folder of Markdown, text and JSON files; or a JSONL, CSV or Parquet file (or folder of such).
            format: ``markdown``, ``jsonl``, ``csv`` or ``parquet``; None lets the name decide.
            source_name: the namespace of keys that name none; None takes the folder's name, or the file's stem.
            rename: for front matter, from new names to keys (``{"event_at": "created"}``).
            prune: also delete the memories of that namespace whose keys are not in the source any more.
            on_error: ``"skip"`` goes on without the bad records and reports them.
            dry_run: only report what would be done.
            batch_size: records per batch; a batch also ends at 64 MiB of content.
            types: of a CSV file's columns that are attributes: str, int, float, decimal, bool, date or datetime.
            on_batch: called when a batch is durable, with its seq and the ids that were written or deleted; may raise
                to stop there.
            on_progress: called with (records read, None) while they are checked, then with (records done, in all).

        Raises:
            InvalidInput: a record is bad (``details["bad"]`` lists all of them with their reasons), or an argument is
                refused. If the source or the store changed meanwhile, earlier batches may be committed; the message
                says so.
        """
        # Here, because the codecs take as long to load as opening a store.
        from kiromi.operations import importing
        from kiromi.portable.formats import open_source

        opened = open_source(Path(source), format, source_name, rename, types)
        options = importing.Options(prune, on_error, dry_run, batch_size, on_batch, on_progress)
        return importing.import_from(self._caller(), opened, options)

    def export_to(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        *,
        format: str | None = None,  # noqa: A002
        metadata: bool = False,
        partitioned: bool = False,
        within: Mapping[str, Any] | None = None,
        where: Any = None,
        dry_run: bool = False,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> ExportReport:
        """Write memories as files: exactly as they are at the moment when the export begins.

        Args:
            target: an absent or empty folder, an absent file, or (JSONL and CSV) a binary stream.
            format: ``markdown``, ``jsonl``, ``csv`` or ``parquet``; None lets the name's ending decide: a name without
                one is a folder of Markdown.
            metadata: with Markdown, add ``.kiromi.jsonl``, with which nothing that a caller gave is lost.
            partitioned: with Parquet, write a hive-partitioned folder.
            within: segment or field names to exact values.
            where: a filter, as a mapping or as text.
            dry_run: only report how many memories and bytes would be written.
            on_progress: called with (memories written, in all).

        Raises:
            InvalidInput: an argument is refused, or something lies at the target.
            BlobMissing, ChecksumMismatch: a blob was removed or changed behind kiromi's back.
            StorageError: the target could not be written.
        """
        # Here, because the codecs take as long to load as opening a store.
        from kiromi.operations import exporting

        with self._call() as caller:
            found = exporting.Target.of(target, format, metadata=metadata, partitioned=partitioned)
            return exporting.export_to(caller, found, within, where, dry_run=dry_run, on_progress=on_progress)
