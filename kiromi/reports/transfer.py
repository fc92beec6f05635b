"""What imports and exports of files give back."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What ``import_from`` did, or would do."""

    applied: bool
    namespace: str
    """In which the keys of the source are unique; the name of the source."""
    read: int
    """Records in the source, bad ones included."""
    added: int
    """Memories that were not there, or were deleted and are there again."""
    changed: int
    """Memories that got a new version."""
    unchanged: int
    pruned: int
    """Memories deleted because they disappeared from the source."""
    skipped: tuple[tuple[str, str], ...]
    """(position, reason) of every record that was left out."""
    links_ignored: int
    """Links of the records read; they are not stored."""
    batches: int
    """Operations committed, those that prune included."""
    first_seq: int | None
    last_seq: int | None


@dataclass(frozen=True, slots=True)
class Renamed:
    """A memory whose key could not be its file's path."""

    id: str
    key: str
    file: str
    """Where it was written instead, relative to the folder."""
    reason: str


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export wrote, or would write."""

    count: int
    size_bytes: int
    """Of the contents."""
    lost: tuple[str, ...] = ()
    """What the format cannot hold, in words."""
    renamed: tuple[Renamed, ...] = ()
    applied: bool = True
    seq: int | None = None
    """The moment that was exported; None from a writer that knows no store."""
