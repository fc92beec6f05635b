"""Arrow: the memories of a listing as one table, all of them at once, with or without contents."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from kiromi.catalog.rows import LIVE_ROWS, to_rows
from kiromi.errors import InvalidInput
from kiromi.operations.caller import Caller
from kiromi.operations.select import COLUMNS, Selection

CONTENT = "content"
EXPRESSIONS: Mapping[str, str] = MappingProxyType(
    {name: column.sql for name, column in COLUMNS.items()}
    | {
        "partition": "m.partition",
        "path": "'data/' || m.partition || '/' || m.id || '.' || m.n || '.' || c.ext",
    }
)
"""The columns of a table, and what each is in a query over ``memories m JOIN contents c USING (id, n)``."""
_READ_AT_ONCE = 256


def to_arrow(
    caller: Caller, within: Mapping[str, Any] | None, where: Any, columns: Sequence[str] | None, *, with_content: bool
) -> pa.Table:
    """Return the memories within a scope that match a filter; see ``Store.to_arrow``."""
    names = _names(columns)
    selection = Selection.of(caller, within, where)
    with caller.reading() as (_, cursor):
        condition = selection.condition(cursor)
        selected = ", ".join(f'{EXPRESSIONS[name]} AS "{name}"' for name in names)
        query = f"SELECT m.id AS sorted_by, {selected} FROM memories m JOIN contents c USING (id, n)"
        parameters = list(condition.parameters)
        table = cursor.sql(f"{query} WHERE {condition.sql} ORDER BY m.id", params=parameters).to_arrow_table()
        ids = table.column("sorted_by")
        rows = {}
        if with_content:
            found = cursor.sql(f"{LIVE_ROWS} WHERE {condition.sql}", params=parameters).to_arrow_table()
            rows = {row.id: row for row in to_rows(found)}
    table = table.drop_columns(["sorted_by"])
    if not with_content:
        return table
    ordered = [rows[memory_id] for memory_id in ids.to_pylist()]
    contents: list[bytes] = []
    for start in range(0, len(ordered), _READ_AT_ONCE):
        part = ordered[start : start + _READ_AT_ONCE]
        read = caller.session.blobs.read_many([caller.place_of(row) for row in part])
        contents += [caller.checked(row, data) for row, data in zip(part, read, strict=True)]
    return table.append_column(CONTENT, pa.array(contents, pa.large_binary()))


def _names(columns: Sequence[str] | None) -> list[str]:
    """Return the columns that are asked for.

    Raises:
        InvalidInput: one is not known, or comes twice.
    """
    if columns is None:
        return list(EXPRESSIONS)
    if isinstance(columns, str) or not isinstance(columns, Sequence):
        raise InvalidInput(f"columns={columns!r} is not a list of names, or None for all")
    unknown = [name for name in columns if name not in EXPRESSIONS]
    if unknown or not columns or len(set(columns)) < len(columns):
        wrong = repr(unknown[0]) if unknown else "none, or one twice"
        raise InvalidInput(f"columns names {wrong}; accepted: {', '.join(EXPRESSIONS)}")
    return list(columns)
