"""Scopes: which memories a ``within`` mapping, or a scoped handle, admits.

A name is a segment's (left of ``=``, else its field) or a field's. A segment's name is compared with the text that
the segment renders; a field's with the text that the plain value has in a path. Matching is exact: no prefix, no case
folding, no wildcard. Rows under a scheme without that segment are matched by what their attributes would give. For
SQL, partitions are sorted out by their distinct paths first (the hidden partitioning), and only what paths cannot
decide is looked at row by row.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import duckdb

from kiromi.attributes import check_scalar, decode_attributes
from kiromi.catalog.rows import Row
from kiromi.errors import InvalidInput
from kiromi.filters import Condition
from kiromi.model import Scalar
from kiromi.partition import BUILT_INS, Scheme, Segment, identity_text
from kiromi.times import from_micros

Schemes = Mapping[int, Scheme]
DEFAULT_KIND = "episodic"


@dataclass(frozen=True, slots=True)
class Within:
    """A conjunction of exact values."""

    wanted: tuple[tuple[Segment, str | None], ...]
    """What each segment (a field on its own is a segment without transform) has to render."""
    given: tuple[tuple[str, Scalar | None], ...] = ()
    """The values, with their types, of the fields for which that says all."""

    def matches(self, row: Row) -> bool:
        """Tell whether a row, live or closed, lies within."""
        return not self.wanted or _matches(row_values(row), self.wanted)

    def condition(self, cursor: duckdb.DuckDBPyConnection, schemes: Schemes, table: str = "memories") -> Condition:
        """Return the condition on ``m``, an alias of ``table``, that the rows within satisfy."""
        if not self.wanted:
            return Condition("TRUE")
        decided: list[tuple[int, str]] = []
        undecided: list[tuple[int, str, tuple[tuple[Segment, str | None], ...]]] = []
        for number, path in cursor.execute(f"SELECT DISTINCT scheme, partition FROM {table}").fetchall():
            rest = _undecided(schemes[number], path, self.wanted)
            if rest == ():
                decided.append((number, path))
            elif rest is not None:
                undecided.append((number, path, rest))
        conditions = [_in_partitions(decided)]
        if undecided:
            conditions.append(_by_row(cursor, undecided, table))
        return Condition(
            " OR ".join(f"({condition.sql})" for condition in conditions),
            tuple(parameter for condition in conditions for parameter in condition.parameters),
        )

    def defaults(self) -> dict[str, Scalar | None]:
        """Return the attributes that a new memory within must have, where a value says so plainly."""
        return {field: value for field, value in self.given if field not in BUILT_INS}

    @property
    def kind(self) -> str:
        """The kind of a new memory within that does not name one."""
        return next((value for field, value in self.given if field == "kind" and isinstance(value, str)), DEFAULT_KIND)

    def __and__(self, other: "Within") -> "Within":
        """Return what lies within both."""
        return Within((*self.wanted, *other.wanted), (*self.given, *other.given))


EVERYTHING = Within(())


def parse_within(within: Mapping[str, Any] | None, schemes: Schemes, active: int) -> Within:
    """Check and resolve a ``within`` mapping.

    Raises:
        InvalidInput: a name is no segment or field of any of the store's schemes, or a value is not one plain value.
    """
    if not within:
        return EVERYTHING
    if not isinstance(within, Mapping):
        raise InvalidInput(f"within={within!r} is not a mapping of segment or field names to values")
    wanted = []
    given = []
    for name, value in within.items():
        segment = _resolve(name, schemes, active)
        wanted.append((segment, _text(name, value)))
        if segment.field is not None and segment.transform is None:
            given.append((segment.field, None if value is None else check_scalar(value, f"within {name!r}")))
    return Within(tuple(wanted), tuple(given))


def row_values(row: Row) -> dict[str, Any]:
    """Return what a scheme renders a row's path from: its attributes and the built-ins."""
    values: dict[str, Any] = dict(decode_attributes(row.attributes))
    values["id"] = row.id
    values["kind"] = row.kind
    values["created_at"] = from_micros(row.created_at)
    values["event_at"] = from_micros(row.event_at)
    if row.key is not None:
        values["key"] = row.key
    else:
        values.pop("key", None)
    return values


@lru_cache(maxsize=65_536)
def partition_texts(scheme: Scheme, path: str) -> Mapping[str, str | None]:
    """Return the segment values of a partition path; do not change them."""
    return scheme.parse_path(path).values


def _resolve(name: str, schemes: Schemes, active: int) -> Segment:
    numbers = [active, *(number for number in sorted(schemes, reverse=True) if number != active)]
    for number in numbers:
        segment = schemes[number].segment(name)
        if segment is not None:
            return segment
    for number in numbers:
        if name in schemes[number].fields:
            return Segment(name, name)
    known = sorted(
        {
            name
            for scheme in schemes.values()
            for name in (*(s.name for s in scheme.segments if s.field), *scheme.fields)
        }
    )
    raise InvalidInput(
        f"within names {name!r}, which no scheme of this store has; accepted: {', '.join(known)}", name=str(name)
    )


def _text(name: str, value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else identity_text(value, name)


def _matches(values: Mapping[str, Any], wanted: Iterable[tuple[Segment, str | None]]) -> bool:
    for segment, text in wanted:
        try:
            if segment.text(values) != text:
                return False
        except InvalidInput:  # the row lacks the field, or holds what this segment cannot render: it is not within
            return False
    return True


def _undecided(
    scheme: Scheme, path: str, wanted: Sequence[tuple[Segment, str | None]]
) -> tuple[tuple[Segment, str | None], ...] | None:
    """Return what the path leaves open, () if all its rows are within, None if none is."""
    texts = partition_texts(scheme, path)
    rest = []
    for segment, text in wanted:
        own = scheme.segment(segment.name)
        if own is not None and is_same_segment(own, segment):
            if texts[own.name] != text:
                return None
        else:
            rest.append((segment, text))
    return tuple(rest)


def is_same_segment(one: Segment, other: Segment) -> bool:
    """Tell whether two segments render every memory alike."""
    return (one.field, one.transform, one.default) == (other.field, other.transform, other.default)


def _in_partitions(partitions: Sequence[tuple[int, str]]) -> Condition:
    if not partitions:
        return Condition("FALSE")
    by_scheme: dict[int, list[str]] = {}
    for number, path in partitions:
        by_scheme.setdefault(number, []).append(path)
    sql = " OR ".join("(m.scheme = ? AND m.partition IN (SELECT unnest(?)))" for _ in by_scheme)
    return Condition(sql, tuple(parameter for item in by_scheme.items() for parameter in item))


def _by_row(
    cursor: duckdb.DuckDBPyConnection,
    undecided: Sequence[tuple[int, str, tuple[tuple[Segment, str | None], ...]]],
    table: str,
) -> Condition:
    """Return the condition that names the rows within, found by rendering each row that a path does not decide."""
    rest_of = {(number, path): rest for number, path, rest in undecided}
    candidates = _in_partitions([(number, path) for number, path, _ in undecided])
    found: list[str] = []
    seqs: list[int] = []
    cursor.execute(
        "SELECT m.scheme, m.partition, m.id, m.begin_seq, m.attributes, m.kind, m.key, epoch_us(m.created_at),"
        f" epoch_us(m.event_at) FROM {table} m WHERE ({candidates.sql})",
        candidates.parameters,
    )
    while rows := cursor.fetchmany(10_000):
        for number, path, memory_id, begin_seq, attributes, kind, key, created_at, event_at in rows:
            values: dict[str, Any] = dict(decode_attributes(attributes))
            values.update(id=memory_id, kind=kind, created_at=from_micros(created_at), event_at=from_micros(event_at))
            values.pop("key", None)
            if key is not None:
                values["key"] = key
            if _matches(values, rest_of[number, path]):
                found.append(memory_id)
                seqs.append(begin_seq)
    return Condition("(m.id, m.begin_seq) IN (SELECT unnest(?), unnest(?))", (found, seqs))
