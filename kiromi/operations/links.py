"""Links: typed, weighted, noted and directed relations between memories, partitions and what lies outside the store.

A link is a row of ``links`` that holds from ``begin_seq`` up to ``end_seq``; at most one of a kind holds from one end
to another. Reading a table within a plan misses what other operations of the same commit are about to write there, so
whoever plans a link is alone in its commit. Links outlive the memories that they name.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal, TypeAlias

import duckdb

from kiromi.catalog.last import last_rows
from kiromi.catalog.past import Rows
from kiromi.errors import InvalidInput
from kiromi.filters import Condition
from kiromi.model import Link
from kiromi.operations.caller import Caller, check_moment, check_text
from kiromi.operations.ends import is_foreign, is_partition_visible, memory_of, parse_end
from kiromi.operations.supersession import there
from kiromi.records import MAX_SHORT_TEXT_CHARS
from kiromi.session.commit import transaction
from kiromi.session.operation import Operation
from kiromi.times import from_micros, to_micros

MAX_NOTE_CHARS = 10_000
Direction: TypeAlias = Literal["out", "in", "both"]
_DIRECTIONS = ("out", "in", "both")
LINK_COLUMNS = (
    "l.src, l.dst, l.kind, l.weight, l.note, epoch_us(l.valid_from), epoch_us(l.valid_until), l.begin_seq, l.actor"
)
"""What :func:`link_of` takes, of ``links l``."""
_END = "UPDATE links SET end_seq = ? WHERE src = ? AND dst = ? AND kind = ? AND end_seq IS NULL"
_DROP = "DELETE FROM links WHERE src = ? AND dst = ? AND kind = ? AND begin_seq = ?"
_MAKE = "INSERT INTO links VALUES (?, ?, ?, ?, ?, make_timestamptz(?::BIGINT), make_timestamptz(?::BIGINT), ?, NULL, ?)"


def link(caller: Caller, src: str, dst: str, kind: str, **facts: Any) -> Link:
    """Make a link, or make it what is given; see ``Store.link``."""
    caller.check_writable()
    with transaction(caller.session, caller.context) as operation:
        return plan_link(caller, operation, src, dst, kind, **facts)


def plan_link(
    caller: Caller,
    operation: Operation,
    src: str,
    dst: str,
    kind: str,
    *,
    weight: float | None = None,
    note: str | None = None,
    valid_from: datetime | None = None,
    valid_until: datetime | None = None,
) -> Link:
    """Plan a link, in the place of the one of that kind between these ends; the same again changes nothing.

    Raises:
        MemoryNotFound: a memory that it names is not there, or not in the caller's scope.
        InvalidInput: an argument is refused.
    """
    ends = _ends(caller, src, dst)
    wished = Link(
        *ends,
        check_kind(kind),
        _weight(weight),
        _note(note),
        _moment(valid_from, "valid_from"),
        _moment(valid_until, "valid_until"),
        operation.seq,
        operation.context.actor,
    )
    if wished.valid_from is not None and wished.valid_until is not None and wished.valid_from >= wished.valid_until:
        raise InvalidInput(f"valid_from {wished.valid_from} is not before valid_until {wished.valid_until}")
    for uri in ends:
        _check_end(caller, operation, uri)
    current = _between(caller, operation, *ends).get(kind)
    if current is not None:
        if replace(wished, seq=current.seq, actor=current.actor) == current:
            return current
        _end(operation, current)
    times = (None if moment is None else to_micros(moment) for moment in (wished.valid_from, wished.valid_until))
    operation.execute(_MAKE, *ends, kind, wished.weight, wished.note, *times, wished.seq, wished.actor)
    operation.links[*ends, kind] = wished
    changed = [
        name
        for name in ("weight", "note", "valid_from", "valid_until")
        if getattr(wished, name) != getattr(current, name, None)
    ]
    _record(operation, "link", wished, {"changed": changed} if current is not None else {})
    return wished


def unlink(caller: Caller, src: str, dst: str, kind: str | None) -> int:
    """End the links between two ends; see ``Store.unlink``."""
    caller.check_writable()
    with transaction(caller.session, caller.context) as operation:
        return plan_unlink(caller, operation, src, dst, kind)


def plan_unlink(caller: Caller, operation: Operation, src: str, dst: str, kind: str | None = None) -> int:
    """Plan to end the links from one end to another, of one kind or of all; return how many.

    Raises:
        InvalidInput: an argument is refused.
    """
    ends = tuple(parse_end(caller.session, value, what) for value, what in ((src, "src"), (dst, "dst")))
    if kind is not None:
        check_kind(kind)
    found = [link for name, link in _between(caller, operation, *ends).items() if kind in (None, name)]
    for former in found:
        _end(operation, former)
        operation.links[former.src, former.dst, former.kind] = None
        _record(operation, "unlink", former, {})
    return len(found)


def links(
    caller: Caller, end: str | None, direction: Direction, kind: str | None, valid_at: datetime | None
) -> list[Link]:
    """Return the links that hold, oldest first; see ``Store.links``."""
    check_direction(direction)
    conditions = [holds(valid_at)]
    if end is not None:
        uri = parse_end(caller.session, end, "id")
        conditions.append(
            Condition({"out": "l.src = ?", "in": "l.dst = ?", "both": "? IN (l.src, l.dst)"}[direction], (uri,))
        )
    if kind is not None:
        conditions.append(Condition("l.kind = ?", (check_kind(kind),)))
    with caller.reading() as (view, cursor):
        found = _select(cursor, conditions)
        return visible_links(caller, view, cursor, found)


def link_of(values: tuple[Any, ...]) -> Link:
    """Return the link of a row of :data:`LINK_COLUMNS`."""
    src, dst, kind, weight, note, valid_from, valid_until, seq, actor = values
    first, last = (None if moment is None else from_micros(moment) for moment in (valid_from, valid_until))
    return Link(src, dst, kind, weight, note, first, last, seq, actor)


def holds(valid_at: datetime | None) -> Condition:
    """Return the condition on ``links l`` of what holds now, and says something about a moment if one is given."""
    if valid_at is None:
        return Condition("l.end_seq IS NULL")
    moment = check_moment(valid_at, "valid_at")
    return Condition(
        "l.end_seq IS NULL AND (l.valid_from IS NULL OR l.valid_from <= make_timestamptz(?))"
        " AND (l.valid_until IS NULL OR l.valid_until > make_timestamptz(?))",
        (moment, moment),
    )


def check_direction(direction: Any) -> None:
    """Refuse what is no direction."""
    if direction not in _DIRECTIONS:
        raise InvalidInput(f"direction={direction!r}; accepted: {', '.join(map(repr, _DIRECTIONS))}")


def check_kind(kind: Any) -> str:
    """Return ``kind`` if a link can have it.

    Raises:
        InvalidInput: it is no text of 1 to 64 characters.
    """
    text = check_text(kind, "kind")
    if not 1 <= len(text) <= MAX_SHORT_TEXT_CHARS:
        raise InvalidInput(f"kind={text[:80]!r}; accepted: text of 1 to {MAX_SHORT_TEXT_CHARS} characters")
    return text


# -- ends --------------------------------------------------------------------------------------------------------------


def _ends(caller: Caller, src: str, dst: str) -> tuple[str, str]:
    """Return the URIs of the ends of a new link."""
    ends = parse_end(caller.session, src, "src"), parse_end(caller.session, dst, "dst")
    if ends[0] == ends[1]:
        raise InvalidInput(f"{ends[0]} cannot be linked to itself")
    if all(map(is_foreign, ends)):
        raise InvalidInput(f"a link begins or ends in the store; {ends[0]} and {ends[1]} are both outside")
    return ends


def _check_end(caller: Caller, operation: Operation, uri: str) -> None:
    memory_id = memory_of(uri)
    if memory_id is not None:
        there(caller, operation, memory_id)
    elif not is_foreign(uri) and not is_partition_visible(caller, uri):
        raise InvalidInput(f"the partition {uri} is outside the scope of this handle")


def visible_links(caller: Caller, view: Rows, cursor: duckdb.DuckDBPyConnection, found: list[Link]) -> list[Link]:
    """Return the links of which no end lies outside the caller's scope; a deleted memory lies where it last was."""
    if not caller.scope.wanted:
        return found
    uris = {uri for link in found for uri in (link.src, link.dst)}
    seen = {uri for uri in uris if memory_of(uri) is None and (is_foreign(uri) or is_partition_visible(caller, uri))}
    ids = {memory_id: uri for uri in uris if (memory_id := memory_of(uri)) is not None}
    rows = {row.id: row for row in view.rows(ids)}
    gone = [memory_id for memory_id in ids if memory_id not in rows]
    if gone:
        rows |= last_rows(cursor, gone)
    seen |= {ids[row.id] for row in rows.values() if caller.sees(row)}
    return [link for link in found if link.src in seen and link.dst in seen]


# -- rows --------------------------------------------------------------------------------------------------------------


def _select(cursor: duckdb.DuckDBPyConnection, conditions: Iterable[Condition]) -> list[Link]:
    parts = list(conditions)
    rows = cursor.execute(
        f"SELECT {LINK_COLUMNS} FROM links l WHERE {' AND '.join(part.sql for part in parts)}"
        " ORDER BY l.begin_seq, l.src, l.dst, l.kind",
        [value for part in parts for value in part.parameters],
    ).fetchall()
    return [link_of(row) for row in rows]


def _between(caller: Caller, operation: Operation, src: str, dst: str) -> dict[str, Link]:
    """Return the links from one end to another by kind, as an operation sees them, if the caller may see the ends."""
    with caller.session.snapshot() as (view, cursor):
        tabled = _select(cursor, [holds(None), Condition("l.src = ? AND l.dst = ?", (src, dst))])
        found = {link.kind: link for link in visible_links(caller, view, cursor, tabled)}
    for (*ends, kind), planned in operation.links.items():
        if ends == [src, dst]:
            if planned is None:
                found.pop(kind, None)
            else:
                found[kind] = planned
    return found


def _end(operation: Operation, former: Link) -> None:
    key = (former.src, former.dst, former.kind)
    if former.seq == operation.seq:  # it never held
        operation.execute(_DROP, *key, former.seq)
    else:
        operation.execute(_END, operation.seq, *key)


def _record(operation: Operation, op: str, link: Link, more: Mapping[str, Any]) -> None:
    facts = {"src": link.src, "dst": link.dst, "kind": link.kind}
    operation.record(op, memory_of(link.src) or memory_of(link.dst), {**facts, **more})


# -- arguments ---------------------------------------------------------------------------------------------------------


def _weight(weight: Any) -> float | None:
    if weight is None:
        return None
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
        raise InvalidInput(f"weight={weight!r}; accepted: a finite number, or None")
    return float(weight)


def _note(note: Any) -> str | None:
    if note is not None and len(check_text(note, "note")) > MAX_NOTE_CHARS:
        raise InvalidInput(f"note has {len(note):,} characters; accepted: at most {MAX_NOTE_CHARS:,}")
    return note  # type: ignore[no-any-return]


def _moment(value: Any, what: str) -> datetime | None:
    return None if value is None else from_micros(check_moment(value, what))
