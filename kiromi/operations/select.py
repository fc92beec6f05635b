"""Selections: scope, filter and expiry as one SQL condition, with partitions pruned where the filter allows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import duckdb

from kiromi.errors import InvalidInput
from kiromi.filters import (
    COLUMN_TYPES,
    Column,
    ColumnType,
    Condition,
    Filter,
    Op,
    compile_filter,
    necessary_bounds,
    parse_where,
    parse_where_text,
)
from kiromi.operations.caller import Caller
from kiromi.operations.within import Schemes, Within, partition_texts
from kiromi.partition import Bound, pruner
from kiromi.session.session import Session

_IN_CONTENTS = ("media_type", "size", "sha256")


def _column(name: str, kind: ColumnType) -> Column:
    if name == "seq":
        return Column("m.begin_seq", kind)
    if name == "sha256":
        return Column("lower(hex(c.sha256))", kind)
    if name in ("version", "scheme"):
        return Column(f"m.{name}::BIGINT", kind)
    return Column(f"{'c' if name in _IN_CONTENTS else 'm'}.{name}", kind)


COLUMNS: Mapping[str, Column] = MappingProxyType(
    {name: _column(name, kind) for name, kind in COLUMN_TYPES.items()}
    | {"attributes": Column("m.attributes", ColumnType.ATTRIBUTES)}
)
"""Where the documented columns lie in a query over ``memories m JOIN contents c USING (id, n)``."""

_BOUND_OPS = {Op.EQ: "eq", Op.IN: "in", Op.LT: "lt", Op.LTE: "lte", Op.GT: "gt", Op.GTE: "gte"}


@dataclass(frozen=True, slots=True)
class Selection:
    """Which live memories a call is about."""

    session: Session
    within: Within
    where: Filter | None
    now: int | None
    """Leave out what has expired by this moment (microseconds since 1970 UTC); None keeps expired memories."""

    @classmethod
    def of(
        cls, caller: Caller, within: Mapping[str, Any] | None, where: Any, *, with_expired: bool = False
    ) -> "Selection":
        """Resolve the arguments of a call.

        Raises:
            InvalidInput: ``within`` or ``where`` is refused.
        """
        return cls(caller.session, caller.within(within), filter_of(where), None if with_expired else caller.now)

    @property
    def schemes(self) -> Schemes:
        """All that there are: what a cursor shows may follow one that came after the arguments were resolved."""
        return self.session.schemes

    def condition(self, cursor: duckdb.DuckDBPyConnection) -> Condition:
        """Return the condition over ``memories m JOIN contents c USING (id, n)``."""
        schemes = self.schemes
        parts = [self.within.condition(cursor, schemes)]
        if self.where is not None:
            pruned = _pruned(cursor, schemes, self.where)
            if pruned is not None:
                parts.append(pruned)
            parts.append(compile_filter(self.where, COLUMNS))
        if self.now is not None:
            parts.append(Condition("m.expires_at IS NULL OR m.expires_at > make_timestamptz(?)", (self.now,)))
        return Condition(
            " AND ".join(f"({part.sql})" for part in parts), tuple(value for part in parts for value in part.parameters)
        )


def filter_of(where: Any) -> Filter | None:
    """Return the tree of a ``where`` argument: None, a mapping, or the text form.

    Raises:
        InvalidInput: it is none of these, or is refused.
    """
    if where is None:
        return None
    if isinstance(where, str):
        return parse_where_text(where)
    if isinstance(where, Mapping):
        return parse_where(where)
    raise InvalidInput(
        f"where is a {type(where).__name__}; accepted: a mapping such as {{'trip': {{'$gte': 5}}}}, or text"
    )


def _pruned(cursor: duckdb.DuckDBPyConnection, schemes: Schemes, where: Filter) -> Condition | None:
    """Return the condition that leaves out partitions in which no row can match, or None if that leaves out nothing."""
    bounds = {
        name: [Bound(_BOUND_OPS[op], values) for op, values in found]  # type: ignore[arg-type]
        for name, found in necessary_bounds(where).items()
    }
    if not any(name in scheme.fields for scheme in schemes.values() for name in bounds):
        return None
    kept: dict[int, list[str]] = {}
    left_out = 0
    for number in schemes:
        may = pruner(schemes[number], bounds)
        found = cursor.execute("SELECT DISTINCT partition FROM memories WHERE scheme = ?", [number]).fetchall()
        paths = [path for (path,) in found if may(partition_texts(schemes[number], path))]
        left_out += len(found) - len(paths)
        if paths:
            kept[number] = paths
    if not left_out:
        return None
    if not kept:
        return Condition("FALSE")
    sql = " OR ".join("(m.scheme = ? AND m.partition IN (SELECT unnest(?)))" for _ in kept)
    return Condition(sql, tuple(value for item in kept.items() for value in item))
