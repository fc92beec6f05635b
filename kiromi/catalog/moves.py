"""Moves: many rows of one commit that lie elsewhere from now on, by column.

The rows of a batch of a scheme migration differ from what they were in scheme, partition, attributes and seq only, and
they come from the view as Arrow columns; so they go as columns to history, table and view, and no row becomes a tuple.
It is another form of what :class:`Changes` says with ``live`` and ``closed``, and means the same.
"""

from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from kiromi.catalog.rows import HISTORY_SCHEMA, MEMORY_SCHEMA

Column: TypeAlias = pa.Array | pa.ChunkedArray


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """Live rows before and after, ordered by id, with the columns of ``ROW_SCHEMA`` and times as integers."""

    former: pa.Table
    rows: pa.Table

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of(cls, former: pa.Table, schemes: Column, partitions: Column, attributes: Column, seq: int) -> "Moves":
        """Return the moves of rows to what is given for each; no attributes (null) means that they stay."""
        kept = former.column("attributes")
        columns = {
            "begin_seq": pa.repeat(pa.scalar(seq, pa.int64()), len(former)),
            "scheme": schemes.cast(pa.int32()),
            "partition": partitions.cast(pa.string()),
            "attributes": kept if attributes.null_count == len(attributes) else pc.coalesce(attributes, kept),
        }
        rows = former
        for name, column in columns.items():
            rows = rows.set_column(rows.schema.get_field_index(name), name, column)
        return cls(former, rows)

    def closed(self) -> pa.Table:
        """Return the closed rows as ``history`` takes them."""
        table = self.former.select(MEMORY_SCHEMA.names).cast(MEMORY_SCHEMA)
        return pa.table([*table.columns, self.rows.column("begin_seq")], schema=HISTORY_SCHEMA)

    def live(self) -> pa.Table:
        """Return the rows as ``memories`` takes them."""
        return self.rows.select(MEMORY_SCHEMA.names).cast(MEMORY_SCHEMA)

    def relocated(self) -> "Moves":
        """Return those whose path changes."""
        is_other = pc.not_equal(self.former.column("partition"), self.rows.column("partition"))
        if pc.all(is_other).as_py():
            return self
        return Moves(self.former.filter(is_other), self.rows.filter(is_other))

    def paths(self) -> tuple[list[tuple[str, int]], list[str], list[str], list[int], list[str]]:
        """Return, for each row, the blob's key, the places where it was and belongs now, its size and extension."""
        names = ("id", "n", "ext", "size")
        ids, ns, exts, sizes = (self.rows.column(name).to_pylist() for name in names)
        old, new = (table.column("partition").to_pylist() for table in (self.former, self.rows))
        files = [f"/{memory_id}.{n}.{ext}" for memory_id, n, ext in zip(ids, ns, exts, strict=True)]
        sources = [f"data/{folder}{file}" for folder, file in zip(old, files, strict=True)]
        goals = [f"data/{folder}{file}" for folder, file in zip(new, files, strict=True)]
        return list(zip(ids, ns, strict=True)), sources, goals, sizes, exts
