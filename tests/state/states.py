"""The model's values: what a memory is, all that is there at a moment, and what differs between two."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

SCHEMES = ("user={user}/topic={topic|inbox}", "n={n}/topic={topic|none}", "owner={user}/topic={topic|inbox}")
DEFAULT_TOPICS = ("inbox", "none", "inbox")
PLACE = {"partition", "scheme"}
NO_EDITS = PLACE | {"superseded_by", "superseded_at"}
"""What differs without a new version."""
ERASED = "0" * 26
"""Stands where a memory was superseded by one that was erased."""
LinkKey = tuple[str, str, str]
"""From, to, kind."""


@dataclass(frozen=True)
class Fields:
    """What a caller sets."""

    text: str
    user: str
    topic: str | None = None
    key: str | None = None
    n: int = 0
    is_expired: bool = False


@dataclass(frozen=True)
class Held:
    """One version of a memory: what it was from an operation on."""

    fields: Fields
    version: int
    content: int
    """The n of its content."""
    begin: int
    scheme: int
    """Its place in ``SCHEMES``."""
    superseded: tuple[str, int | None] | None = None
    """By what, and the operation that said so; None there: it takes effect in the far future."""

    @property
    def partition(self) -> str:
        topic = (self.fields.topic or DEFAULT_TOPICS[self.scheme]).replace("%", "%25")
        first = (f"user={self.fields.user}", f"n={self.fields.n}", f"owner={self.fields.user}")[self.scheme]
        return f"{first}/topic={topic}"

    @property
    def is_found(self) -> bool:
        """Whether searches show it."""
        return not self.fields.is_expired and (self.superseded is None or self.superseded[1] is None)

    def path(self, memory_id: str) -> str:
        return f"{self.partition}/{memory_id}.{self.content}.md"

    def differing(self, other: "Held") -> frozenset[str]:
        """Return the names of what another version does not have in common."""
        mine, its = self.fields, other.fields
        pairs: dict[str, tuple[Any, Any]] = {
            "content": (mine.text, its.text),
            "attributes.user": (mine.user, its.user),
            "attributes.topic": (mine.topic, its.topic),
            "attributes.n": (mine.n, its.n),
            "key": (mine.key, its.key),
            "expires_at": (mine.is_expired, its.is_expired),
            "partition": (self.partition, other.partition),
            "scheme": (self.scheme, other.scheme),
            "superseded_by": (self.superseded and self.superseded[0], other.superseded and other.superseded[0]),
            "superseded_at": (self.superseded and self.superseded[1:], other.superseded and other.superseded[1:]),
        }
        return frozenset(name for name, (one, another) in pairs.items() if one != another)


@dataclass(frozen=True)
class State:
    """All that is there at a moment."""

    memories: Mapping[str, Held] = field(default_factory=dict)
    links: Mapping[LinkKey, tuple[float, int]] = field(default_factory=dict)
    """Their weights, and the operations that made them so."""
    scheme: int = 0

    @property
    def shown(self) -> dict[str, Held]:
        return {i: held for i, held in self.memories.items() if not held.fields.is_expired}

    def holder(self, key: str | None) -> str | None:
        """Return the live memory that has a key."""
        return next((i for i, held in self.memories.items() if key is not None and held.fields.key == key), None)

    def found(self, word: str) -> set[str]:
        """Return the memories that a search for a word finds."""
        return {i for i, held in self.memories.items() if held.is_found and word in held.fields.text.split()}


@dataclass(frozen=True)
class Difference:
    """What differs between two states."""

    added: set[str]
    removed: set[str]
    changed: dict[str, frozenset[str]]
    moved: dict[str, frozenset[str]]
    links: set[LinkKey]

    @property
    def is_empty(self) -> bool:
        return not (self.added or self.removed or self.changed or self.moved or self.links)


def with_changes(fields: Fields, changes: Mapping[str, Any]) -> Fields:
    """Return fields after an update of some of them."""
    return replace(fields, **changes)
