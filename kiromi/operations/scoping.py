"""Scopes of searches: what ``within``, filters and time admit, in the terms of the indices, and checked row by row.

The indices narrow a search down; whether a memory may be shown is decided on its live row alone, so an index that is a
moment behind, or wrong, cannot show what is out of scope.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from kiromi.catalog.rows import Row, id_matrix
from kiromi.filters import Condition
from kiromi.index.items import Ids, Place
from kiromi.operations.caller import Caller, check_moment, check_text
from kiromi.operations.select import Selection
from kiromi.operations.sources import mark
from kiromi.operations.within import Schemes, Within, is_same_segment, partition_texts


@dataclass(frozen=True, slots=True)
class Scope:
    """What one search admits."""

    within: Within
    now: int
    """What has expired, or is superseded, by this moment is left out."""
    with_superseded: bool
    marks: tuple[tuple[str, ...], ...] | None
    """What a memory's path has to say: all of one of these; None for any."""
    ids: Ids | None
    """The memories that match what only SQL can tell, in order; None if there is no such condition."""
    as_of: int | None
    """The operation at which ``ids`` were found."""

    @classmethod
    def of(
        cls,
        caller: Caller,
        within: Mapping[str, Any] | None,
        where: Any,
        kind: str | None,
        valid_at: datetime | None,
        *,
        with_superseded: bool,
    ) -> "Scope":
        """Resolve the arguments of a search.

        Raises:
            InvalidInput: one is refused.
        """
        selection = Selection.of(caller, within, where, with_expired=True)
        extra = _conditions(kind, valid_at)
        marks = marks_within(selection.within, selection.schemes)
        now = caller.now
        if selection.where is None and not extra and (marks is not None or not selection.within.wanted):
            return cls(selection.within, now, with_superseded, marks, None, None)
        with caller.reading() as (view, cursor):
            condition = selection.condition(cursor)
            ids = _ids(cursor, [condition, *extra])
        return cls(selection.within, now, with_superseded, marks, ids, view.seq)

    @property
    def texts(self) -> frozenset[str] | None:
        """``ids`` as texts."""
        return None if self.ids is None else frozenset(memory_id.decode() for memory_id in self.ids.tolist())

    def is_stale(self, row: Row | None) -> bool:
        """Tell whether a memory changed after its filters were looked at."""
        return self.as_of is not None and row is not None and row.begin_seq > self.as_of

    def admits(self, row: Row | None) -> bool:
        """Tell whether a live row may be shown."""
        return (
            row is not None
            and (row.expires_at is None or row.expires_at > self.now)
            and (self.with_superseded or row.superseded_at is None or row.superseded_at > self.now)
            and self.within.matches(row)
        )


@dataclass(slots=True)
class PlaceCodes:
    """Which of a vector index's places say what, by segment: scopes become codes without a look at every place."""

    version: tuple[str, int] | None = None
    _by_segment: dict[str, set[int]] = field(default_factory=dict)

    def refresh(self, version: tuple[str, int], places: Sequence[Place], schemes: Schemes) -> None:
        """Take the index's places in, if they changed."""
        if version == self.version:
            return
        self._by_segment = {}
        for code, (scheme, path) in enumerate(places):
            for name, text in partition_texts(schemes[scheme], path).items():
                self._by_segment.setdefault(mark(scheme, name, text), set()).add(code)
        self.version = version

    def codes(self, marks: tuple[tuple[str, ...], ...]) -> npt.NDArray[np.int32]:
        """Return the codes of the places that say all of one of these."""
        found: set[int] = set()
        for every in marks:
            found |= set.intersection(*(self._by_segment.get(text, set()) for text in every))
        return np.array(sorted(found), np.int32)


def marks_within(within: Within, schemes: Schemes) -> tuple[tuple[str, ...], ...] | None:
    """Return what a path within has to say under each scheme; None if that is all, or paths cannot tell."""
    if not within.wanted:
        return None
    found = []
    for number, scheme in schemes.items():
        every = []
        for segment, text in within.wanted:
            own = scheme.segment(segment.name)
            if own is None or not is_same_segment(own, segment):
                return None
            every.append(mark(number, own.name, text))
        found.append(tuple(every))
    return tuple(found)


def _conditions(kind: str | None, valid_at: datetime | None) -> list[Condition]:
    found = []
    if kind is not None:
        found.append(Condition("m.kind = ?", (check_text(kind, "kind"),)))
    if valid_at is not None:
        moment = check_moment(valid_at, "valid_at")
        found.append(Condition("m.valid_from IS NULL OR m.valid_from <= make_timestamptz(?)", (moment,)))
        found.append(Condition("m.valid_until IS NULL OR m.valid_until > make_timestamptz(?)", (moment,)))
    return found


def _ids(cursor: duckdb.DuckDBPyConnection, conditions: Sequence[Condition]) -> Ids:
    sql = " AND ".join(f"({condition.sql})" for condition in conditions)
    parameters = [value for condition in conditions for value in condition.parameters]
    found = cursor.sql(f"SELECT m.id FROM memories m JOIN contents c USING (id, n) WHERE {sql}", params=parameters)
    return np.sort(id_matrix(found.to_arrow_table().column("id")))
