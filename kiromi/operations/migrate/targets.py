"""Targets: what is to become of each memory, kept in a temporary file until it goes into the catalog in one commit.

A plan over a million memories must not need memory for a million targets.
"""

import tempfile
import weakref
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from kiromi.catalog.rows import id_matrix

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("begin_seq", pa.int64()),
        ("partition", pa.string()),
        ("attributes", pa.string()),
        ("reason", pa.string()),
    ]
)
"""What is known of a target before it is stored; ``scheme`` may be among the columns."""
_STORED = pa.schema([("job", pa.string()), ("position", pa.int64()), *SCHEMA, ("scheme", pa.int32())])


class Targets:
    """Tables of targets in the order in which they are to be carried out, in an unnamed temporary file."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the object
        weakref.finalize(self, self._file.close)
        self._writer: pa.RecordBatchFileWriter | None = None
        self.count = 0

    def add(self, table: pa.Table) -> None:
        """Add targets; all tables have the same columns."""
        if not len(table):
            return
        if self._writer is None:
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            self._writer = pa.ipc.new_stream(pa.PythonFile(self._file, "w"), table.schema, options=options)
        self._writer.write_table(table)
        self.count += len(table)

    def tables(self) -> Iterator[pa.Table]:
        """Yield what was added; may be called again, and ends the adding."""
        if self._writer is None:
            return
        self._writer.close()
        self._file.seek(0)
        for batch in pa.ipc.open_stream(pa.PythonFile(self._file, "r")):
            yield pa.Table.from_batches([batch])

    def without(self, ids: np.ndarray) -> Iterator[pa.Table]:
        """Yield what was added but for those ids."""
        for table in self.tables():
            kept = np.isin(id_matrix(table.column("id")), ids, invert=True)
            yield table if kept.all() else table.filter(pa.array(kept))


def among(table: pa.Table, ids: np.ndarray) -> pa.Table:
    """Return those of a table of targets whose ids are among others, which are in order."""
    if not len(ids):
        return table.slice(0, 0)
    own = id_matrix(table.column("id"))
    places = np.minimum(ids.searchsorted(own), len(ids) - 1)
    return table.filter(pa.array(ids[places] == own))


def stored(job: str, scheme: int | None, tables: Iterator[pa.Table]) -> pa.RecordBatchReader:
    """Return targets as the table ``migration_targets`` takes them; ``scheme`` is that of all, if they do not say."""

    def batches() -> Iterator[pa.RecordBatch]:
        position = 0
        for table in tables:
            count = len(table)
            if scheme is not None:
                table = table.append_column("scheme", pa.repeat(pa.scalar(scheme, pa.int32()), count))
            table = table.append_column("job", pa.repeat(pa.scalar(job), count))
            table = table.append_column("position", pa.array(np.arange(position, position + count)))
            position += count
            yield from table.select(_STORED.names).cast(_STORED).to_batches()

    return pa.RecordBatchReader.from_batches(_STORED, batches())
