"""kiromi: an embedded memory store for AI agents. Start with :func:`kiromi.open`.

Importing the package costs nothing: a name is loaded when it is first used (PEP 562), because DuckDB, Arrow and the
rest take a third of a second that the help of the command line should not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kiromi.embed.base import Embedder
    from kiromi.embed.given import CallerVectors
    from kiromi.errors import (
        AlreadyExists,
        ArchiveWarning,
        BlobMissing,
        ChecksumMismatch,
        Conflict,
        EmbedderError,
        EmbedderMismatch,
        EmbedderWarning,
        IndexCorrupt,
        IndexWarning,
        IntegrityError,
        InvalidInput,
        KiromiError,
        KiromiWarning,
        MemoryDeleted,
        MemoryExpired,
        MemoryNotFound,
        MigrationConflict,
        NotFound,
        SchemeMismatch,
        SnapshotNotFound,
        StorageError,
        StoreLocked,
        StoreNotFound,
        UnsupportedFormat,
        VersionConflict,
    )
    from kiromi.model import (
        AuditEntry,
        Change,
        Draft,
        Hit,
        Link,
        Memory,
        MemoryInfo,
        ModelInfo,
        Neighbour,
        Page,
        PartitionInfo,
        Snapshot,
        Supersession,
        Version,
    )
    from kiromi.operations.archive_check import verify_archive
    from kiromi.operations.archive_import import import_archive
    from kiromi.operations.recovering import recover
    from kiromi.operations.tenants import drop_tenant, rename_tenant, tenants
    from kiromi.reports.archives import ArchiveCheck, ArchiveReport, RecoveredMemory, RecoverReport
    from kiromi.reports.checking import AuditReport, Problem, VerifyReport
    from kiromi.reports.diff import Diff, Difference, LinkDifference
    from kiromi.reports.erasing import EraseReport
    from kiromi.reports.gc import GcReport
    from kiromi.reports.indexing import ReembedReport, ReindexReport
    from kiromi.reports.migration import (
        Layout,
        MigrationCost,
        MigrationPlan,
        MigrationReport,
        MigrationStatus,
        PartitionSize,
        Relocation,
        Unmapped,
    )
    from kiromi.reports.pruning import KeptSnapshot, PruneReport
    from kiromi.reports.restoring import LeftAlone, RestoreReport
    from kiromi.reports.stats import StoreStats
    from kiromi.reports.tenants import DropReport
    from kiromi.reports.transfer import ExportReport, ImportReport
    from kiromi.reports.writing import AppendReport, BatchReport, DeleteReport
    from kiromi.search.ranking import Profile
    from kiromi.store import Store, StoreView, Transaction, open

__version__ = "0.1.0"

__all__ = [
    "AlreadyExists",
    "AppendReport",
    "ArchiveCheck",
    "ArchiveReport",
    "ArchiveWarning",
    "AuditEntry",
    "AuditReport",
    "BatchReport",
    "BlobMissing",
    "CallerVectors",
    "Change",
    "ChecksumMismatch",
    "Conflict",
    "DeleteReport",
    "Diff",
    "Difference",
    "Draft",
    "DropReport",
    "Embedder",
    "EmbedderError",
    "EmbedderMismatch",
    "EmbedderWarning",
    "EraseReport",
    "ExportReport",
    "GcReport",
    "Hit",
    "ImportReport",
    "IndexCorrupt",
    "IndexWarning",
    "IntegrityError",
    "InvalidInput",
    "KeptSnapshot",
    "KiromiError",
    "KiromiWarning",
    "Layout",
    "LeftAlone",
    "Link",
    "LinkDifference",
    "Memory",
    "MemoryDeleted",
    "MemoryExpired",
    "MemoryInfo",
    "MemoryNotFound",
    "MigrationConflict",
    "MigrationCost",
    "MigrationPlan",
    "MigrationReport",
    "MigrationStatus",
    "ModelInfo",
    "Neighbour",
    "NotFound",
    "Page",
    "PartitionInfo",
    "PartitionSize",
    "Problem",
    "Profile",
    "PruneReport",
    "RecoverReport",
    "RecoveredMemory",
    "ReembedReport",
    "ReindexReport",
    "Relocation",
    "RestoreReport",
    "SchemeMismatch",
    "Snapshot",
    "SnapshotNotFound",
    "StorageError",
    "Store",
    "StoreLocked",
    "StoreNotFound",
    "StoreStats",
    "StoreView",
    "Supersession",
    "Transaction",
    "Unmapped",
    "UnsupportedFormat",
    "VerifyReport",
    "Version",
    "VersionConflict",
    "drop_tenant",
    "import_archive",
    "open",
    "recover",
    "rename_tenant",
    "tenants",
    "verify_archive",
]

if not TYPE_CHECKING:  # a type checker would take every unknown name for Any
    # In the order of their cost.
    _MODULES = (
        "kiromi.errors",
        "kiromi.model",
        "kiromi.reports.writing",
        "kiromi.reports.diff",
        "kiromi.reports.pruning",
        "kiromi.reports.indexing",
        "kiromi.reports.transfer",
        "kiromi.reports.checking",
        "kiromi.reports.stats",
        "kiromi.reports.tenants",
        "kiromi.reports.restoring",
        "kiromi.reports.gc",
        "kiromi.reports.erasing",
        "kiromi.reports.archives",
        "kiromi.embed.base",
        "kiromi.embed.given",
        "kiromi.reports.migration",
        "kiromi.search.ranking",
        "kiromi.store",
        "kiromi.operations.tenants",
        "kiromi.operations.archive_import",
        "kiromi.operations.archive_check",
        "kiromi.operations.recovering",
    )

    def __getattr__(name: str) -> Any:
        if name in __all__:
            for module in map(import_module, _MODULES):
                if name in vars(module):
                    return globals().setdefault(name, vars(module)[name])
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return [*__all__, "__version__"]
