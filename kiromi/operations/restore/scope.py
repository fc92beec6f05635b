"""What a restore is about: everything, a partition, or some memories; and the wall of the handle that asks."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kiromi.catalog.rows import Row
from kiromi.errors import InvalidInput, MemoryNotFound
from kiromi.ids import check_id
from kiromi.operations.caller import Caller
from kiromi.operations.history import version_condition
from kiromi.operations.within import Within, parse_within

_KNOWN = "SELECT DISTINCT a.memory_id FROM ({versions}) a WHERE {seen}"
_VERSIONS = (
    "SELECT id AS memory_id, begin_seq AS seq FROM memories WHERE id IN (SELECT unnest($1::VARCHAR[]))"
    " UNION ALL SELECT id, begin_seq FROM history WHERE id IN (SELECT unnest($1::VARCHAR[]))"
)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which memories and links a restore is about."""

    wall: Within
    """The handle's: no row on its other side is written or left behind."""
    within: Within
    """What was asked for: a memory is meant if it lies within now, or lay within then."""
    ids: frozenset[str] | None

    @property
    def is_whole(self) -> bool:
        """Whether everything is restored, and with it the scheme that new memories follow."""
        return not self.wall.wanted and not self.within.wanted and self.ids is None

    def means(self, sides: Iterable[Row]) -> bool:
        """Tell whether a memory with these rows, now and then, is meant as far as its place goes."""
        found = list(sides)
        return any(map(self.within.matches, found)) and any(map(self.wall.matches, found))

    def facts(self) -> dict[str, Any]:
        """Return what tells this scope from others, as JSON has it.

        Values and ids go into a digest only: a job's row and the audit log outlive an erasure of what they name.
        """
        wanted = sorted({(str(segment), text) for segment, text in (*self.wall.wanted, *self.within.wanted)}, key=str)
        ids = None if self.ids is None else sorted(self.ids)
        return {
            "within": sorted({segment.name for segment, _ in (*self.wall.wanted, *self.within.wanted)}),
            "ids": None if ids is None else len(ids),
            "sha256": hashlib.sha256(json.dumps([wanted, ids]).encode()).hexdigest(),
        }


def scope_of(caller: Caller, within: Mapping[str, Any] | None, ids: Iterable[str] | None) -> Scope:
    """Resolve the arguments of a restore; whether there are such memories is for :func:`check_known`.

    Raises:
        InvalidInput: an argument is refused.
    """
    session = caller.session
    wanted = parse_within(within, session.schemes, session.active_scheme)
    if ids is None:
        return Scope(caller.scope, wanted, None)
    if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
        raise InvalidInput(f"ids={ids!r} is not an iterable of ids")
    return Scope(caller.scope, wanted, frozenset(check_id(memory_id) for memory_id in ids))


def check_known(caller: Caller, scope: Scope) -> None:
    """Refuse ids that name nothing.

    Raises:
        MemoryNotFound: no memory of one of the ids was ever in the caller's scope, or it was erased.
    """
    chosen = scope.ids or frozenset()
    unknown = sorted(chosen - _known(caller, chosen)) if chosen else []
    if unknown:
        raise MemoryNotFound(f"no memory {unknown[0]} was ever here", id=unknown[0])


def told(facts: Mapping[str, Any]) -> str:
    """Return the facts of a scope in words, empty for everything."""
    parts = [f" within one {name}" for name in facts["within"]]
    if facts["ids"] is not None:
        parts.append(f" for {facts['ids']:,} ids")
    return "".join(parts)


def _known(caller: Caller, ids: frozenset[str]) -> set[str]:
    """Return those of the ids that have a version, live or closed, in the caller's scope."""
    with caller.session.snapshot() as (_, cursor):
        found = cursor.execute(_VERSIONS, [sorted(ids)]).fetchall()
        if caller.scope.wanted:
            seen = version_condition(caller, cursor)
            sql = _KNOWN.format(
                versions="SELECT unnest(?::VARCHAR[]) AS memory_id, unnest(?::BIGINT[]) AS seq", seen=seen.sql
            )
            versions = [[memory_id for memory_id, _ in found], [seq for _, seq in found]]
            found = cursor.execute(sql, [*versions, *seen.parameters]).fetchall()
    return {memory_id for memory_id, *_ in found}
