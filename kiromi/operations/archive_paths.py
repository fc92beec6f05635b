"""Paths of rows that come from an archive, rendered anew for a filesystem that ignores case."""

from collections.abc import Mapping
from typing import Any

import duckdb
import pyarrow as pa

from kiromi.attributes import decode_attributes
from kiromi.catalog.building import run_with
from kiromi.partition import Scheme
from kiromi.times import from_micros

_ROWS = (
    "SELECT id, begin_seq, scheme, attributes, kind, key, epoch_us(created_at), epoch_us(event_at) FROM {table}"
    " ORDER BY id, begin_seq"
)


def render_again(cursor: duckdb.DuckDBPyConnection, schemes: Mapping[int, str]) -> None:
    """Give every row that came the path that its scheme makes where upper case is encoded."""
    parsed = {number: Scheme.parse(template) for number, template in schemes.items()}
    for table in ("came_memories", "came_history"):
        rows = cursor.execute(_ROWS.format(table=table)).fetchall()
        paths = [parsed[row[2]].render(values_of(*row[:1], *row[3:]), fold_case=True).path for row in rows]
        found = pa.table({"id": [r[0] for r in rows], "begin_seq": [r[1] for r in rows], "path": paths})
        if rows:
            run_with(
                cursor,
                found,
                f"UPDATE {table} SET partition = i.path FROM incoming i"
                f" WHERE {table}.id = i.id AND {table}.begin_seq = i.begin_seq",
            )


def values_of(
    memory_id: str, attributes: str, kind: str, key: str | None, created_at: int, event_at: int
) -> dict[str, Any]:
    """Return what a scheme reads of a row: its attributes and built-ins."""
    values: dict[str, Any] = decode_attributes(attributes)
    values.update(id=memory_id, kind=kind, created_at=from_micros(created_at), event_at=from_micros(event_at))
    values.pop("key", None)
    if key is not None:
        values["key"] = key
    return values
