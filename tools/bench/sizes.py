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


FULL = Sizes(
    rounds=5, bulk=20_000, singles=150, per_thread=75, warm=20_000, reads=1_000, opened=100_000, scanned=20_000
)
QUICK = Sizes(rounds=3, bulk=3_000, singles=50, per_thread=25, warm=3_000, reads=300, opened=5_000, scanned=20_000)
