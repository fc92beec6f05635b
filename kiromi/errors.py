"""Every error that kiromi raises, as one tree grouped by what a caller would do about it.

::

    KiromiError
    ├── InvalidInput (ValueError)      fix the call: the message names the value and what would be accepted
    ├── NotFound (KeyError)            look elsewhere: nothing of that name is here now
    │   ├── StoreNotFound
    │   ├── MemoryNotFound
    │   │   ├── MemoryDeleted          it was here; `undelete` or `history` still reach it
    │   │   └── MemoryExpired          it is here, past its `expires_at`
    │   └── SnapshotNotFound
    ├── Conflict                       read again and retry, wait, or choose another name
    │   ├── AlreadyExists
    │   ├── VersionConflict
    │   ├── StoreLocked
    │   ├── SchemeMismatch
    │   ├── EmbedderMismatch
    │   └── MigrationConflict
    ├── EmbedderError                  the embedding model failed; memories are stored all the same
    ├── IntegrityError                 call an operator: what is on disk is not what was written
    │   ├── BlobMissing
    │   ├── ChecksumMismatch
    │   ├── IndexCorrupt
    │   └── UnsupportedFormat
    └── StorageError (OSError)         the filesystem or the catalog failed underneath

Each class has a stable, machine-readable ``kind``; the facts named in a message are also in ``details``.
"""

from typing import Any, ClassVar


class KiromiWarning(UserWarning):
    """Base of all warnings that kiromi gives: the call did what it says, but somebody should know."""


class EmbedderWarning(KiromiWarning):
    """The embedder failed: what was stored is found by text only until ``reindex`` has made its vectors."""


class IndexWarning(KiromiWarning):
    """A derived index was missing a file or damaged, and is built anew from the catalog and the blobs."""


class ArchiveWarning(KiromiWarning):
    """The archive that is kept beside a store could not be brought up to date; it is tried again the next time."""


class KiromiError(Exception):
    """Base of all errors raised by kiromi.

    Attributes:
        kind: stable machine-readable name of the class, such as ``"version_conflict"``.
        message: one sentence for people, naming the value and what would be accepted.
        details: the facts in the message, as JSON-friendly values.
    """

    kind: ClassVar[str] = "error"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def __str__(self) -> str:
        return self.message


class InvalidInput(KiromiError, ValueError):
    """A value was refused; nothing was changed."""

    kind = "invalid_input"


class NotFound(KiromiError, KeyError):
    """Nothing of that name is here now."""

    kind = "not_found"


class StoreNotFound(NotFound):
    """No store lies at the root, and no scheme was given to create one."""

    kind = "store_not_found"


class MemoryNotFound(NotFound):
    """No memory of that id or key is in this tenant and scope."""

    kind = "memory_not_found"


class MemoryDeleted(MemoryNotFound):
    """The memory was deleted; its history remains."""

    kind = "memory_deleted"


class MemoryExpired(MemoryNotFound):
    """The memory is past its ``expires_at``."""

    kind = "memory_expired"


class SnapshotNotFound(NotFound):
    """No snapshot of that id or tag, and no moment of that number."""

    kind = "snapshot_not_found"


class Conflict(KiromiError):
    """Somebody else's state stands in the way."""

    kind = "conflict"


class AlreadyExists(Conflict):
    """A memory, store or tenant of that name is already there."""

    kind = "already_exists"


class VersionConflict(Conflict):
    """``expected_version`` is not the memory's version."""

    kind = "version_conflict"


class StoreLocked(Conflict):
    """Another process holds the store and did not hand it over in time."""

    kind = "store_locked"


class SchemeMismatch(Conflict):
    """The scheme given to ``open`` was never a scheme of this store."""

    kind = "scheme_mismatch"


class EmbedderMismatch(Conflict):
    """The embedder is not the one whose vectors the store holds."""

    kind = "embedder_mismatch"


class MigrationConflict(Conflict):
    """A scheme migration or restore is under way and does not admit this call."""

    kind = "migration_conflict"


class EmbedderError(KiromiError):
    """The embedding model failed."""

    kind = "embedder_error"


class IntegrityError(KiromiError):
    """What is on disk is not what was written."""

    kind = "integrity_error"


class BlobMissing(IntegrityError):
    """A blob is at none of the places where it may lie."""

    kind = "blob_missing"


class ChecksumMismatch(IntegrityError):
    """A blob's bytes do not have the SHA-256 under which they were stored."""

    kind = "checksum_mismatch"


class IndexCorrupt(IntegrityError):
    """A derived index failed its checks; it can be rebuilt."""

    kind = "index_corrupt"


class UnsupportedFormat(IntegrityError):
    """The store was written by a newer kiromi, or is not a kiromi store."""

    kind = "unsupported_format"


class StorageError(KiromiError, OSError):
    """The filesystem or the catalog failed underneath."""

    kind = "storage_error"
