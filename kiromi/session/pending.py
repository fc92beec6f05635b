"""Which blobs are not known to lie where they belong, kept in step with the catalog's ``pending`` table.

A blob is pending from the commit that changes where it belongs until it was settled there and that was made durable.
Only then may its row go, with a later commit. Readers look here when a blob is not at its goal.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from kiromi.blobs.base import Settlement
from kiromi.catalog.changes import BlobKey
from kiromi.catalog.rows import Row, attic_path

Live: TypeAlias = Callable[[str], Row | None]
"""Gives the live row of a memory, or None."""


@dataclass(slots=True)
class Pending:
    """The blobs in motion."""

    places: dict[BlobKey, tuple[str, ...]] = field(default_factory=dict)
    """Every place where each may lie."""
    facts: dict[BlobKey, tuple[str, int] | None] = field(default_factory=dict)
    """Extension and size; None for bytes that no committed content names."""
    unsettled: dict[BlobKey, str] = field(default_factory=dict)
    """Those that a settle has not brought home yet, with the reason if one failed."""
    settled: set[BlobKey] = field(default_factory=set)
    """Where they belong, but a power loss may still undo it."""
    cleared: set[BlobKey] = field(default_factory=set)
    """Durably where they belong; their rows may go."""

    def known_places(self, key: BlobKey) -> tuple[str, ...]:
        """Return where a blob may lie besides its goal."""
        return () if key in self.cleared else self.places.get(key, ())

    def add(self, places: dict[BlobKey, tuple[str, ...]], facts: dict[BlobKey, tuple[str, int] | None]) -> None:
        """Note blobs whose rightful place has changed."""
        self.places.update(places)
        self.facts.update(facts)
        self.settled.difference_update(places)
        self.cleared.difference_update(places)
        self.unsettled.update(dict.fromkeys(places, ""))

    def reopen(self, keys: Iterable[BlobKey]) -> None:
        """Keep the rows of these blobs: they are about to belong elsewhere."""
        for key in keys:
            if key in self.places:
                self.settled.discard(key)
                self.cleared.discard(key)
                self.unsettled.setdefault(key, "")

    def mark_durable(self) -> None:
        """Note that everything settled so far is durable."""
        self.cleared |= self.settled
        self.settled = set()

    def forget_cleared(self) -> None:
        """Drop what is durably home; its rows are gone from the catalog."""
        for key in self.cleared:
            del self.places[key], self.facts[key]
        self.cleared = set()

    def settlements(
        self, live: Live, just_put: Mapping[BlobKey, str], goals: Mapping[BlobKey, str]
    ) -> list[Settlement]:
        """Return what is to be settled, with the goal of each blob computed from the live rows.

        ``just_put`` says where the session itself has just put whole blobs, ``goals`` what is computed already.
        """
        settlements = []
        for key in self.unsettled:
            facts = self.facts[key]
            goal = goals[key] if key in goals else goal_of(key, facts, live)
            is_put = goal is not None and just_put.get(key) == goal
            settlements.append(Settlement(*key, goal, self.places[key], _size(facts), is_put))
        return settlements


def goal_of(key: BlobKey, facts: tuple[str, int] | None, live: Live) -> str | None:
    """Return the only place where a blob belongs: the live row's path, the attic, or nowhere."""
    if facts is None:
        return None
    row = live(key[0])
    if row is not None and row.n == key[1]:
        return row.live_path
    return attic_path(*key, facts[0])


def _size(facts: tuple[str, int] | None) -> int:
    return 0 if facts is None else facts[1]
