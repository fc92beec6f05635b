"""What ``prune_snapshots`` gives back."""

from dataclasses import dataclass

from kiromi.model import Snapshot


@dataclass(frozen=True, slots=True)
class KeptSnapshot:
    """A snapshot that ``prune_snapshots`` leaves."""

    snapshot: Snapshot
    reasons: tuple[str, ...]
    """Which rules keep it: ``last``, ``daily 2026-01-31``, ``weekly 2026-W05``, ``monthly 2026-01`` or ``safety``."""


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What ``prune_snapshots`` did, or would do."""

    applied: bool
    kept: tuple[KeptSnapshot, ...]
    """Oldest first."""
    removed: tuple[Snapshot, ...]
