"""A moment of the store as another store, elsewhere: an archive that is made, imported and thrown away."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kiromi.operations.archive_import import Progress, import_archive
from kiromi.operations.archiving import export_archive
from kiromi.operations.asof import Ref
from kiromi.operations.caller import Caller
from kiromi.reports.archives import ArchiveReport


def restore_to(
    caller: Caller,
    ref: Ref,
    root: str | os.PathLike[str],
    *,
    tenant: str | None,
    storage_options: Mapping[str, Any] | None,
    catalog: str | os.PathLike[str] | None,
    on_progress: Progress | None,
) -> ArchiveReport:
    """Make a new store of a moment; see ``Store.restore_to``."""
    with tempfile.TemporaryDirectory(prefix="kiromi-restore-") as folder:
        archive = Path(folder) / "archive"
        export_archive(caller, ref, archive, since=None, contents=True, storage_options=None, on_progress=on_progress)
        return import_archive(
            archive,
            root,
            tenant=caller.session.tenant if tenant is None else tenant,
            storage_options=storage_options,
            catalog=catalog,
            archive_options={},
            actor=caller.context.actor,
            on_progress=on_progress,
        )
