"""What archives and recovery give back."""

from collections.abc import Mapping
from dataclasses import dataclass

from kiromi.reports.checking import Problem


@dataclass(frozen=True, slots=True)
class ArchiveReport:
    """What an export wrote, or an import read."""

    url: str
    """Of the archive, or of the last one of a chain."""
    store_id: str
    seq: int
    """The moment that it shows."""
    since: int | None
    """What it builds on; None for a full one."""
    digest: str | None
    """Of the state at ``seq``, as :meth:`kiromi.Store.digest` gives it; None if it was not computed."""
    memories: int
    """Live ones at ``seq``."""
    parts: int
    size_bytes: int
    """Of the parts."""
    left_out: Mapping[str, int]
    """Of an import: ``former_versions`` whose contents are not in the archive, ``snapshots`` of moments that are not,
    and ``audit_facts``: entries that came without what they said, because of an erasure."""
    seconds: float


@dataclass(frozen=True, slots=True)
class ArchiveCheck:
    """What ``verify_archive`` found."""

    url: str
    store_id: str
    tenant: str
    seq: int
    since: int | None
    digest: str | None
    contents: bool
    """Whether the bytes of the memories are in it."""
    memories: int
    parts: int
    rows: int
    size_bytes: int
    problems: tuple[Problem, ...]
    seconds: float

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class ForgetReport:
    """What ``forget`` took out of an archive."""

    url: str
    rows: int
    parts: int
    """That were written anew."""


@dataclass(frozen=True, slots=True)
class RecoveredMemory:
    """What became of a memory that did not come back whole, and what could not be known of it."""

    id: str
    outcome: str
    """``changed`` (content, place or both are newer than the archive), ``back`` (deleted in the archive, live now),
    ``new`` (unknown to it), ``deleted`` (live in it, in the attic now), ``kept`` (only former contents are left),
    ``lost`` (no content is left)."""
    path: str | None
    """Where its content lies or will lie, if there is one."""
    unknown: tuple[str, ...]
    """What is not known of it any more, in words."""


@dataclass(frozen=True, slots=True)
class RecoverReport:
    """How a catalog was made anew, or would be."""

    applied: bool
    store_id: str
    archive_seq: int | None
    """What the archive shows; None without one."""
    seq: int
    """The last operation of the catalog that was made."""
    whole: int
    """Live memories of which nothing was lost."""
    changed: int
    back: int
    new: int
    deleted: int
    kept: int
    lost: int
    former: int
    """Closed versions of the archive whose contents are there."""
    former_lost: int
    """Closed versions of the archive whose contents are gone."""
    snapshots_lost: int
    """Snapshots whose moments cannot be shown any more."""
    strangers: tuple[str, ...]
    """Files that are no blob's, and other contents under the name of one; they stay where they are."""
    damaged: tuple[str, ...]
    """Blobs that lie where the archive says but are of another size; ``verify`` reports them."""
    memories: tuple[RecoveredMemory, ...]
    """Those that did not come back whole, in the order of their ids."""
    seconds: float
