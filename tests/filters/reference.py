"""What a filter means, in plain Python, as slowly and plainly as can be; and a table of rows to ask DuckDB the same."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb

from kiromi.attributes import encode_attributes
from kiromi.filters import COLUMN_TYPES, And, Column, ColumnType, Comparison, Filter, Not, Op, Or, compile_filter

Row = Mapping[str, Any]  # column names to values; "attributes" to a mapping

SQL_TYPES = {
    ColumnType.TEXT: "VARCHAR",
    ColumnType.INTEGER: "BIGINT",
    ColumnType.FLOAT: "DOUBLE",
    ColumnType.TIMESTAMP: "TIMESTAMPTZ",
    ColumnType.TEXT_LIST: "VARCHAR[]",
}
COLUMNS = {name: Column(f"m.{name}", kind) for name, kind in COLUMN_TYPES.items()} | {
    "attributes": Column("m.attributes", ColumnType.ATTRIBUTES)
}


def matches(tree: Filter, row: Row) -> bool:
    match tree:
        case And(children):
            return all(matches(child, row) for child in children)
        case Or(children):
            return any(matches(child, row) for child in children)
        case Not(child):
            return not matches(child, row)
        case Comparison(name, op, value):
            return compares((row["attributes"] if name.is_attribute else row).get(name.text), op, value)


def compares(stored: Any, op: Op, value: Any) -> bool:
    match op:
        case Op.EXISTS:
            return (stored is not None) is value
        case Op.NE:
            return not compares(stored, Op.EQ, value)
        case Op.NIN:
            return not compares(stored, Op.IN, value)
        case Op.EQ:
            return equal(stored, value)
        case Op.IN:
            return any(equal(stored, item) for item in value)
        case Op.CONTAINS if isinstance(stored, tuple):
            return any(equal(item, value) for item in stored)
        case Op.CONTAINS:
            return isinstance(stored, str) and isinstance(value, str) and value in stored
    if family(stored) != family(value) or family(stored) in ("null", "list", "bool"):
        return False
    one, other = exact(stored), exact(value)
    return bool({Op.GT: one > other, Op.GTE: one >= other, Op.LT: one < other, Op.LTE: one <= other}[op])


def equal(one: Any, other: Any) -> bool:
    if family(one) != family(other) or one is None:
        return False
    if isinstance(one, tuple):
        return len(one) == len(other) and all(equal(a, b) for a, b in zip(one, other, strict=True))
    return bool(exact(one) == exact(other))


def family(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case str():
            return "text"
        case int() | float() | Decimal():
            return "number"
        case datetime():
            return "datetime"
        case date():
            return "date"
    return "list"


def exact(value: Any) -> Any:
    """Numbers as the decimal that they print as; everything else as it is. Python compares str by code point."""
    return Decimal(repr(value)) if isinstance(value, float) else value


class Table:
    """Rows in DuckDB, as the catalog keeps them."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._connection = duckdb.connect(config={"autoinstall_known_extensions": False, "threads": 1})
        names = list(COLUMN_TYPES)
        types = ", ".join(f"{name} {SQL_TYPES[kind]}" for name, kind in COLUMN_TYPES.items())
        self._connection.execute(f"CREATE TABLE memories (position INTEGER, {types}, attributes VARCHAR)")
        marks = ", ".join("?" * (len(names) + 2))
        for position, row in enumerate(rows):
            values = [row.get(name) for name in names]
            listed = [list(value) if isinstance(value, tuple) else value for value in values]
            text = encode_attributes(row["attributes"])
            self._connection.execute(f"INSERT INTO memories VALUES ({marks})", [position, *listed, text])

    def close(self) -> None:
        self._connection.close()

    def select(self, tree: Filter) -> list[int]:
        condition = compile_filter(tree, COLUMNS)
        assert condition.sql.count("?") == len(condition.parameters)
        sql = f"SELECT position FROM memories m WHERE {condition.sql} ORDER BY position"
        found = [row[0] for row in self._connection.execute(sql, condition.parameters).fetchall()]
        null = f"SELECT count(*) FROM memories m WHERE ({condition.sql}) IS NULL"
        assert self._connection.execute(null, condition.parameters).fetchall() == [(0,)]
        return found
