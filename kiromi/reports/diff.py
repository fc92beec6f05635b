"""What ``diff`` gives back."""

from dataclasses import dataclass
from typing import cast

from kiromi.model import Link, MemoryInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A memory that is not the same at two moments."""

    id: str
    before: MemoryInfo | None
    """As it was at the first moment; None if it was not there, or out of scope. ``path`` is where it lay then."""
    after: MemoryInfo | None
    """As it was at the second one."""
    fields: tuple[str, ...]
    """What differs, if it is there at both: ``content``, ``attributes.<name>``, ``partition``, or another field."""
    text: str | None
    """The unified diff of the contents, if it was asked for and they differ and are text; it ends with a newline."""

    @property
    def last(self) -> MemoryInfo:
        """As it is at the second moment, or was at the first if it is there only."""
        return cast(MemoryInfo, self.after or self.before)


@dataclass(frozen=True, slots=True)
class LinkDifference:
    """A link that is not the same at two moments: another one of its kind between its ends counts as the same."""

    before: Link | None
    after: Link | None

    @property
    def last(self) -> Link:
        """As it is at the second moment, or was at the first if it is there only."""
        return cast(Link, self.after or self.before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """What differs between two moments, each part in the order of ids."""

    before_seq: int
    after_seq: int
    added: tuple[Difference, ...]
    """Memories that are there only at the second moment."""
    removed: tuple[Difference, ...]
    """Memories that are there only at the first."""
    changed: tuple[Difference, ...]
    """Memories that differ in more than where they lie."""
    moved: tuple[Difference, ...]
    """Memories that differ in nothing but ``partition``, or ``scheme``, under which they lie."""
    links: tuple[LinkDifference, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs."""
        return not (self.added or self.removed or self.changed or self.moved or self.links)
