"""What ``erase`` gives back."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseReport:
    """The plan of an erasure, or its receipt."""

    applied: bool
    memories: int
    ids: tuple[str, ...]
    """The first thousand of them. A receipt that is kept should not keep these."""
    former: tuple[str, ...]
    """Memories that stay because only former versions of them match: erase them by id, if they are meant too."""
    versions: int
    """Of these memories, live and former."""
    blobs: int
    size_bytes: int
    """Of the blobs."""
    vectors: int
    links: int
    supersessions: int
    audit_entries: int
    """Entries of the audit log that do not say any more what they were about."""
    archives: tuple[str, ...]
    """The archives that are rewritten without them."""
    copies: int
    """Copies of the catalog, made before upgrades of its format."""
    index: bool
    """Whether there was an index; the next search makes another."""
    seq: int | None
    """The erasure; None if nothing was erased."""
    head: str
    """The hash of the last audit entry, in hex; ``audit_verify(expect=…)`` takes it."""
