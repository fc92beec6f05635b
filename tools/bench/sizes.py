"""How much each benchmark does: the sizes that the budget names, and smaller ones to try things out."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """Amounts of work; a round measures kiromi and the raw limits one after the other."""

    rounds: int
    bulk: int
    """Memories, or bare files, written in bulk in a round."""
    singles: int
    """Durable appends, one by one, in a round."""
    per_thread: int
    """Durable appends of each thread in a round."""
    warm: int
    """Memories of the store that is read from."""
    reads: int
    """Reads in a round."""
    opened: int
    """Memories of the store that is opened."""
    scanned: int
    """Vectors in the exact scan."""
    searched: int
    """Memories with vectors in the store that is searched."""
    searches: int
    """Searches in a round."""
    followed: int
    """Appends in a round that are each followed by a search."""
    migrated: int
    """Memories that are migrated to another scheme in a round."""
    million: int
    """Memories with vectors in the store that is searched by graph."""


FULL = Sizes(
    rounds=5,
    bulk=20_000,
    singles=150,
    per_thread=75,
    warm=20_000,
    reads=1_000,
    opened=100_000,
    scanned=20_000,
    searched=20_000,
    searches=200,
    followed=50,
    migrated=100_000,
    million=1_000_000,
)
QUICK = Sizes(
    rounds=3,
    bulk=3_000,
    singles=50,
    per_thread=25,
    warm=3_000,
    reads=300,
    opened=5_000,
    scanned=20_000,
    searched=3_000,
    searches=50,
    followed=20,
    migrated=3_000,
    million=30_000,
)
