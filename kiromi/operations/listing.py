"""List, count and enumerate live memories."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kiromi.attributes import check_scalar
from kiromi.errors import InvalidInput
from kiromi.filters import COLUMN_TYPES, ColumnType, Condition
from kiromi.ids import check_id
from kiromi.model import Page
from kiromi.operations.caller import Caller
from kiromi.operations.present import info_of
from kiromi.operations.select import COLUMNS, Selection

MAX_LIMIT = 10_000
_CURSOR_TYPES = {
    ColumnType.TEXT: str,
    ColumnType.INTEGER: int,
    ColumnType.FLOAT: float,
    ColumnType.TIMESTAMP: int,
}
_FROM = "FROM memories m JOIN contents c USING (id, n)"


@dataclass(frozen=True, slots=True)
class Order:
    """By which column a listing is ordered; ties go by id, nulls last."""

    column: str
    is_descending: bool

    @classmethod
    def parse(cls, text: str) -> "Order":
        """Parse ``event_at`` or ``-event_at``.

        Raises:
            InvalidInput: it is no column that can order.
        """
        name = text.removeprefix("-") if isinstance(text, str) else ""
        accepted = [column for column, kind in COLUMN_TYPES.items() if kind is not ColumnType.TEXT_LIST]
        if name not in accepted:
            raise InvalidInput(f"order_by={text!r}; accepted, with - in front for descending: {', '.join(accepted)}")
        return cls(name, text.startswith("-"))

    @property
    def sql(self) -> str:
        """The ordered expression; times as microseconds, so that they fit into a cursor exactly."""
        expression = COLUMNS[self.column].sql
        return f"epoch_us({expression})" if COLUMN_TYPES[self.column] is ColumnType.TIMESTAMP else expression

    @property
    def clause(self) -> str:
        """The ORDER BY clause."""
        direction = "DESC" if self.is_descending else "ASC"
        return f"ORDER BY {self.sql} {direction} NULLS LAST, m.id"

    def after(self, value: Any, memory_id: str) -> Condition:
        """Return the condition of what comes after a row in this order."""
        if value is None:
            return Condition(f"{self.sql} IS NULL AND m.id > ?", (memory_id,))
        sign = "<" if self.is_descending else ">"
        return Condition(
            f"{self.sql} {sign} ? OR {self.sql} IS NULL OR ({self.sql} = ? AND m.id > ?)", (value, value, memory_id)
        )


def list_memories(
    caller: Caller, within: Mapping[str, Any] | None, where: Any, order_by: str, limit: int, cursor: str | None
) -> Page:
    """Return one page of live memories; see ``Store.list``."""
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MAX_LIMIT:
        raise InvalidInput(f"limit={limit!r} is not a whole number from 1 to {MAX_LIMIT:,}")
    order = Order.parse(order_by)
    selection = Selection.of(caller, within, where)
    query = _digest(selection, order)
    resumed = None if cursor is None else order.after(*_decode(cursor, query, order))
    with caller.reading() as (view, connection):
        condition = selection.condition(connection)
        sql, parameters = condition.sql, condition.parameters
        if resumed is not None:
            sql, parameters = f"{sql} AND ({resumed.sql})", (*parameters, *resumed.parameters)
        found = connection.execute(
            f"SELECT m.id, {order.sql} {_FROM} WHERE {sql} {order.clause} LIMIT ?", (*parameters, limit + 1)
        ).fetchall()
        rows = list(view.rows(memory_id for memory_id, _ in found[:limit]))
    items = tuple(info_of(row, caller.session.schemes) for row in rows)
    next_cursor = _encode(found[limit - 1][1], found[limit - 1][0], query) if len(found) > limit else None
    return Page(items, next_cursor)


def count(caller: Caller, within: Mapping[str, Any] | None, where: Any) -> int:
    """Return how many live memories lie within a scope and match a filter."""
    selection = Selection.of(caller, within, where)
    with caller.reading() as (_, connection):
        condition = selection.condition(connection)
        found = connection.execute(f"SELECT count(*) {_FROM} WHERE {condition.sql}", condition.parameters).fetchall()
    return int(found[0][0])


def list_ids(caller: Caller, within: Mapping[str, Any] | None, where: Any) -> list[str]:
    """Return the ids of live memories within a scope that match a filter, in order."""
    selection = Selection.of(caller, within, where)
    with caller.reading() as (_, connection):
        condition = selection.condition(connection)
        found = connection.sql(
            f"SELECT m.id {_FROM} WHERE {condition.sql} ORDER BY m.id", params=list(condition.parameters)
        )
        ids: list[str] = found.to_arrow_table().column("id").to_pylist()
    return ids


def _digest(selection: Selection, order: Order) -> str:
    """Return what tells a cursor's query from another."""
    facts = repr((sorted(map(repr, selection.within.wanted)), selection.where, order))
    return hashlib.sha256(facts.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _encode(value: Any, memory_id: str, query: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([query, value, memory_id]).encode()).decode()


def _decode(cursor: str, query: str, order: Order) -> tuple[Any, str]:
    try:
        made_for, value, memory_id = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))
        check_id(memory_id)
        if value is not None:
            check_scalar(value, "cursor")
    except (AttributeError, ValueError, TypeError, RecursionError) as error:
        raise InvalidInput(f"cursor {cursor!r} was not made by this store") from error
    if made_for != query:
        raise InvalidInput("the cursor belongs to another listing: pass the same within, where and order_by")
    if value is not None and type(value) is not _CURSOR_TYPES[COLUMN_TYPES[order.column]]:
        raise InvalidInput(f"cursor {cursor!r} was not made by this store")
    return value, memory_id
