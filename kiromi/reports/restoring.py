"""What a restore did, or would do."""

from dataclasses import dataclass

from kiromi.model import Snapshot
from kiromi.reports.diff import Difference


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """Something that a restore did not touch, though it is not as it was then."""

    id: str | None
    """The memory; None for a link, or the scheme that new memories follow."""
    what: str
    """The id, the link as ``src -> dst (kind)``, or ``scheme``."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreReport:
    """What ``restore`` did, or would do; a resumed call counts what it did itself."""

    applied: bool
    seq: int
    """The moment whose state is restored."""
    base_seq: int
    """The moment before the restore: what others changed after it is left alone."""
    snapshot: Snapshot | None
    """Taken for safety before anything was changed: restoring it undoes this. None if there was nothing to do."""
    removed: int
    """Memories that are there now and were not then: deleted, and in the attic like others."""
    back: int
    """Memories that were there then and are not now."""
    changed: int
    """Memories that differ in more than where they lie."""
    moved: int
    """Memories that differ in nothing but where they lie."""
    links: int
    """Links that are made again, ended, or changed."""
    size_bytes: int
    """Of the contents that come back from the attic."""
    scheme: str | None
    """The template that new memories follow again; None if that does not change."""
    left: tuple[LeftAlone, ...]
    pending: int
    """Memories among those restored whose vectors are still to be made: ``reindex`` makes them."""
    sample: tuple[Difference, ...]
    """The first hundred memories of the plan: ``before`` is how it is, ``after`` how it was then."""
    batches: int
    """Operations that changed memories."""
    is_resumed: bool
    """Whether an earlier call had begun it."""
