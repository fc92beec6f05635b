"""What ``verify`` and ``audit_verify`` give back."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that ``verify`` found."""

    kind: str
    """A stable name, such as ``blob_missing``, ``orphan``, ``checksum_mismatch``, ``audit_broken``."""
    subject: str
    """The id or path it is about."""
    message: str
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What ``verify`` looked at and found."""

    problems: tuple[Problem, ...]
    memories: int
    blobs: int
    """Blobs compared with the catalog, live and attic."""
    bytes_read: int
    audit_entries: int
    seconds: float

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong that was not fixed."""
        return all(problem.fixed for problem in self.problems)


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The result of checking the audit chain."""

    entries: int
    head: str
    """Hash of the last entry, lower-case hex; keep it to detect a cut tail later."""
    problems: tuple[Problem, ...]

    @property
    def is_clean(self) -> bool:
        """Whether the chain is whole."""
        return not self.problems
