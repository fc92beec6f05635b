"""Exit codes, and how an error is told: the one table from errors to codes, and the JSON form of an error.

==== ================================================  ==== ====================================
code meaning                                           code meaning
==== ================================================  ==== ====================================
0    done                                              6    the embedding model failed
1    unexpected: a bug, please report it               7    conflict or mismatch
2    wrong usage or a refused value                    8    integrity problems found
3    not found                                         9    locked by another process
4    deleted or expired                                130  stopped by Ctrl-C
5    the filesystem or the catalog failed
==== ================================================  ==== ====================================
"""

from collections.abc import Mapping
from typing import Any

from kiromi.errors import (
    Conflict,
    EmbedderError,
    IntegrityError,
    InvalidInput,
    KiromiError,
    MemoryDeleted,
    MemoryExpired,
    NotFound,
    StoreLocked,
)

UNEXPECTED, USAGE, EMBEDDER_FAILED, PROBLEMS_FOUND, INTERRUPTED = 1, 2, 6, 8, 130

# The first class that fits counts: a narrower one stands before the wider.
_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (InvalidInput, USAGE),
    (MemoryDeleted, 4),
    (MemoryExpired, 4),
    (NotFound, 3),
    (EmbedderError, EMBEDDER_FAILED),
    (StoreLocked, 9),
    (Conflict, 7),
    (IntegrityError, PROBLEMS_FOUND),
    (OSError, 5),  # StorageError, and what reading and writing the caller's own files raises
    (KeyboardInterrupt, INTERRUPTED),
)


def exit_code(error: BaseException) -> int:
    """Return the exit code for what ended a command."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), UNEXPECTED)


def error_document(error: BaseException) -> Mapping[str, Any]:
    """Return the JSON form of an error: ``{"error": {"kind": …, "message": …, …details}}``."""
    if isinstance(error, KiromiError):
        return {"error": {**error.details, "kind": error.kind, "message": error.message}}
    if isinstance(error, OSError):
        return {"error": {"kind": "storage_error", "message": str(error)}}
    if isinstance(error, KeyboardInterrupt):
        return {"error": {"kind": "interrupted", "message": str(error) or "interrupted"}}
    return {"error": {"kind": "unexpected", "message": f"{type(error).__name__}: {error}"}}
