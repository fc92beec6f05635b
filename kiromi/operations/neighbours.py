"""Neighbours: the memories that links lead to, breadth first, bounded, both directions told apart.

One query per step away from the start, over the links of what the step before found. Partitions and foreign URIs are
no memories: they are not listed and not passed through, but one can start from them.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Literal

import duckdb

from kiromi.errors import InvalidInput
from kiromi.filters import Condition
from kiromi.model import Link, Neighbour
from kiromi.operations.caller import Caller, is_expired
from kiromi.operations.ends import PARTITION, is_partition_visible, memory_of, parse_end
from kiromi.operations.get import find
from kiromi.operations.links import LINK_COLUMNS, Direction, check_direction, check_kind, holds, link_of
from kiromi.operations.present import info_of

MAX_DEPTH = 16
MAX_LIMIT = 10_000
_FETCHED = 1_000


def neighbours(
    caller: Caller,
    start: str,
    *,
    depth: int,
    direction: Direction,
    kinds: Iterable[str] | None,
    limit: int,
    valid_at: datetime | None,
) -> list[Neighbour]:
    """Return the memories that links lead to, nearest first; see ``Store.neighbours``."""
    _check_range(depth, "depth", MAX_DEPTH)
    _check_range(limit, "limit", MAX_LIMIT)
    check_direction(direction)
    conditions = [holds(valid_at), *_of_kinds(kinds)]
    origin = parse_end(caller.session, start, "id")
    memory_id = memory_of(origin)
    if memory_id is not None:
        find(caller, memory_id)
    elif origin.startswith(PARTITION) and not is_partition_visible(caller, origin):
        return []
    found: list[Neighbour] = []
    with caller.reading() as (view, cursor):
        paths: dict[str, tuple[Link, ...]] = {origin: ()}
        frontier = [origin]
        for step in range(1, depth + 1):
            reached: dict[str, tuple[Link, ...]] = {}
            told: set[tuple[str, str]] = set()
            for near, far, way, link in _steps(cursor, frontier, direction, conditions):
                if far in paths or (far, way) in told:
                    continue
                row = view.get(memory_of(far) or "")
                if row is None or not caller.sees(row) or is_expired(row, caller.now):
                    continue
                told.add((far, way))
                path = (*paths[near], link)
                reached.setdefault(far, path)
                found.append(Neighbour(info_of(row, caller.session.schemes), step, way, path))
                if len(found) == limit:
                    return found
            paths |= reached
            frontier = list(reached)
    return found


def _steps(
    cursor: duckdb.DuckDBPyConnection,
    frontier: Sequence[str],
    direction: Direction,
    conditions: Sequence[Condition],
) -> Iterator[tuple[str, str, Literal["out", "in"], Link]]:
    """Yield the links at some ends, heaviest first, each with its near and far end and the way from here to there."""
    ways: dict[Direction, tuple[tuple[str, Literal["out", "in"]], ...]] = {
        "out": (("src", "out"),),
        "in": (("dst", "in"),),
        "both": (("src", "out"), ("dst", "in")),
    }
    condition = " AND ".join(part.sql for part in conditions)
    parameters = [value for part in conditions for value in part.parameters]
    selects = [
        f"SELECT '{way}' AS way, {LINK_COLUMNS} FROM links l WHERE l.{near} IN (SELECT unnest(?)) AND {condition}"
        for near, way in ways[direction]
    ]
    cursor.execute(
        f"FROM ({' UNION ALL '.join(selects)}) ORDER BY weight DESC NULLS LAST, begin_seq, src, dst, kind, way",
        [value for _ in selects for value in (frontier, *parameters)],
    )
    while rows := cursor.fetchmany(_FETCHED):
        for way, *values in rows:
            found = link_of(tuple(values))
            near, far = (found.src, found.dst) if way == "out" else (found.dst, found.src)
            yield near, far, way, found


def _of_kinds(kinds: Iterable[str] | None) -> list[Condition]:
    if kinds is None:
        return []
    if isinstance(kinds, str | bytes) or not isinstance(kinds, Iterable):
        raise InvalidInput(f"kinds={kinds!r} is not a list of kinds, or None for all")
    return [Condition("l.kind IN (SELECT unnest(?::VARCHAR[]))", ([check_kind(kind) for kind in kinds],))]


def _check_range(value: Any, name: str, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise InvalidInput(f"{name}={value!r} is not a whole number from 1 to {most:,}")
