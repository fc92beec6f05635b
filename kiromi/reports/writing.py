"""What appends and deletions give back."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AppendReport:
    """What ``append_many`` did."""

    appended: int
    batches: int
    first_seq: int | None
    last_seq: int | None


@dataclass(frozen=True, slots=True)
class BatchReport:
    """One acknowledged batch of ``append_many`` or an import: durable when it is reported."""

    number: int
    """1 for the first batch."""
    seq: int
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeleteReport:
    """What ``delete_where`` deleted, or would."""

    applied: bool
    count: int
    ids: tuple[str, ...]
    """All of them if applied or planned below the sample limit, else the first ones."""
    size_bytes: int
