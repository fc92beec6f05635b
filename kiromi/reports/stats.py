"""What ``stats`` gives back."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoreStats:
    """Counts and sizes of a tenant."""

    tenant: str
    root: str
    scheme: str
    seq: int
    memories: int
    """Live ones, expired ones included."""
    expired: int
    history: int
    """Closed versions."""
    contents: int
    size_bytes: int
    """Of the live contents."""
    attic_bytes: int
    partitions: int
    pending: int
    """Blobs not yet where they belong; 0 when all is well."""
    audit_entries: int
    catalog_bytes: int
    schemes: int
    archive: str | None = None
    """Where an archive is kept beside the store, if one is."""
    archive_seq: int | None = None
    """The operation up to which it is known to reach."""
    archive_problem: str | None = None
    """Why it could not be brought up to date the last time; None when all is well."""
