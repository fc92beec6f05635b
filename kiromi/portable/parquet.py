"""Parquet: one record per row, for analysis and for moving whole stores.

What is written keeps everything that a caller gave; ``attributes`` and ``links`` are JSON text, content is binary. Row
groups are bounded by bytes, so neither side needs memory for more than one. What is read may come from anywhere: known
columns are fields, every other one is an attribute of its Arrow type, and so are the folders of a hive-partitioned
data set (https://hive.apache.org, ``name=value``), whose values are text. In files of our own these folders repeat
what the rows say and are not read.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kiromi.attributes import encode_attributes
from kiromi.errors import InvalidInput
from kiromi.model import Memory
from kiromi.partition.encoding import HIVE_DEFAULT, encode_component
from kiromi.portable.lines import encode_json, plain_fields
from kiromi.portable.source import BadRecord, Found, check_record, columns_to_fields
from kiromi.portable.target import LinksOf, new_file, new_folder
from kiromi.records import TIME_FIELDS
from kiromi.reports.transfer import ExportReport

ROW_GROUP_BYTES = 32 * 2**20
"""How much content a row group holds at most, unless one content alone is larger."""
_BATCH_ROWS = 256
_ROW_BYTES = 512
_UTC = pa.timestamp("us", tz="UTC")
_OURS = b"kiromi.format"
SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("id", "namespace", "key", "kind", "title")]
    + [("tags", pa.list_(pa.string())), ("attributes", pa.string()), ("language", pa.string())]
    + [("importance", pa.float64()), ("confidence", pa.float64())]
    + [(name, _UTC) for name in TIME_FIELDS]
    + [("superseded_by", pa.string()), ("superseded_at", _UTC)]
    + [("media_type", pa.string()), ("sha256", pa.string()), ("links", pa.string()), ("content", pa.large_binary())],
    metadata={_OURS: b"1"},
)
"""The columns that are written."""


def read_parquet(path: Path, *, namespace: str = "") -> Iterator[Found]:
    """Return the records of a Parquet file, or of all ``*.parquet`` files below a folder in the order of their paths.

    Args:
        path: the file or folder; hidden files, and those that begin with ``_``, are passed over.
        namespace: of records that name none.

    Raises:
        InvalidInput: nothing lies at the path, or no Parquet file below it.
    """
    if path.is_file():
        return _read_file(path, "", {}, namespace)
    files = sorted(found for found in path.rglob("*.parquet") if found.is_file() and _is_data(found.relative_to(path)))
    if not files:
        raise InvalidInput(f"{str(path)!r} is no Parquet file, and no folder that holds one", path=str(path))
    return _read_files(path, files, namespace)


def write_parquet(
    memories: Iterable[Memory], out: Path, *, partitioned: bool = False, links_of: LinksOf | None = None
) -> ExportReport:
    """Write memories as one Parquet file, or as a hive-partitioned folder; nothing that a caller gave is lost.

    Args:
        memories: taken one by one. For a partitioned folder they come best in the order of their partitions: each
            32 MiB of content makes one file in every partition that it touches.
        out: a file that is absent, or, partitioned, a folder that is absent or empty.
        partitioned: whether to write below ``name=value/…`` of each memory's partition.
        links_of: gives the links to write with a memory.

    Raises:
        InvalidInput: something lies at ``out``.
        StorageError: the filesystem failed.
    """
    count = size_bytes = 0
    if partitioned:
        new_folder(out)
        for number, rows in enumerate(_groups(memories)):
            for partition, members in _by_partition(rows).items():
                with new_file(out / partition / f"part-{number:05d}.parquet", parents=True) as stream:
                    pq.write_table(_table(members, links_of), stream, compression="zstd")
            count, size_bytes = count + len(rows), size_bytes + sum(memory.size for memory in rows)
    else:
        with new_file(out) as stream, pq.ParquetWriter(stream, SCHEMA, compression="zstd") as writer:
            for rows in _groups(memories):
                writer.write_table(_table(rows, links_of))
                count, size_bytes = count + len(rows), size_bytes + sum(memory.size for memory in rows)
    return ExportReport(count, size_bytes)


def batch_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return the rows of an Arrow batch, as :func:`~kiromi.portable.source.columns_to_fields` takes them.

    Times are UTC (naive ones are read so); what is finer than microseconds is cut.

    Raises:
        InvalidInput: two columns have one name.
        ValueError, OverflowError, pyarrow.ArrowException: a value that Python cannot hold, such as the year 10,000.
    """
    names = batch.schema.names
    if len(set(names)) < len(names):
        raise InvalidInput(f"two columns have one name: {', '.join(sorted(names))}")
    to_utc = pc.CastOptions(target_type=_UTC, allow_time_truncate=True)
    arrays = [column.cast(options=to_utc) if pa.types.is_timestamp(column.type) else column for column in batch.columns]
    rows: list[dict[str, Any]] = pa.RecordBatch.from_arrays(arrays, names=names).to_pylist()
    return rows


def _read_files(root: Path, files: list[Path], namespace: str) -> Iterator[Found]:
    for file in files:
        relative = file.relative_to(root)
        folders = dict(_hive_value(part) for part in relative.parts[:-1] if "=" in part)
        yield from _read_file(file, f"{relative.as_posix()} ", folders, namespace)


def _read_file(file: Path, prefix: str, folders: dict[str, str | None], namespace: str) -> Iterator[Found]:
    number = 0
    try:
        with pq.ParquetFile(file, pre_buffer=False) as parquet:
            more = {} if _OURS in (parquet.schema_arrow.metadata or {}) else folders
            for batch in parquet.iter_batches(_BATCH_ROWS):
                for row in batch_rows(batch):
                    number += 1
                    yield _read_row({**more, **row}, f"{prefix}row {number}", namespace)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        # What follows a place that cannot be decoded cannot be found either.
        problem = str(error).partition("\n")[0][:200]
        yield BadRecord(f"{prefix}row {number + 1}", f"not readable as Parquet from here: {problem}")


def _read_row(row: dict[str, Any], position: str, namespace: str) -> Found:
    try:
        return check_record(columns_to_fields(row), position, namespace)
    except InvalidInput as error:
        return BadRecord(position, error.message)


def _is_data(path: Path) -> bool:
    return not any(part.startswith((".", "_")) for part in path.parts)


def _hive_value(part: str) -> tuple[str, str | None]:
    name, _, value = part.partition("=")
    return unquote(name), None if value == HIVE_DEFAULT else unquote(value)


def _groups(memories: Iterable[Memory]) -> Iterator[list[Memory]]:
    rows: list[Memory] = []
    size_bytes = 0
    for memory in memories:
        if rows and size_bytes + memory.size > ROW_GROUP_BYTES:
            yield rows
            rows, size_bytes = [], 0
        rows.append(memory)
        # The fields of a row count too, or tiny contents would never fill a group.
        size_bytes += memory.size + _ROW_BYTES
    if rows:
        yield rows


def _by_partition(rows: list[Memory]) -> dict[str, list[Memory]]:
    partitions = defaultdict(list)
    for memory in rows:
        components = [encode_component(name, value, False) for name, value in memory.partition.items()]
        partitions["/".join(components)].append(memory)
    return partitions


def _table(rows: list[Memory], links_of: LinksOf | None) -> pa.Table:
    records = []
    for memory in rows:
        links = links_of(memory.id) if links_of else ()
        records.append(
            {
                **plain_fields(memory),
                "attributes": encode_attributes(memory.attributes),
                "links": encode_json(list(links)) if links else None,
                "content": memory.data,
            }
        )
    return pa.Table.from_pylist(records, schema=SCHEMA)
