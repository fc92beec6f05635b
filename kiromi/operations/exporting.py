"""Export: write memories and their contents as files of a format.

What is written is one moment: the ids, rows and contents of the seq at which the export began. A memory that is changed
or deleted meanwhile is written as it was, its bytes from the attic.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from kiromi.catalog.view import View
from kiromi.errors import InvalidInput
from kiromi.model import Memory
from kiromi.operations.caller import Caller
from kiromi.operations.present import memory_of
from kiromi.operations.select import Selection
from kiromi.portable.csv import write_csv
from kiromi.portable.formats import Format, format_of
from kiromi.portable.jsonl import write_jsonl
from kiromi.portable.markdown import write_markdown
from kiromi.portable.parquet import write_parquet
from kiromi.portable.target import new_file
from kiromi.reports.transfer import ExportReport
from kiromi.session.contents import checked

CHUNK_BYTES = 64 << 20
"""How much content is held in memory at a time, unless one content alone is larger."""
CHUNK_ROWS = 256


@dataclass(frozen=True, slots=True)
class Target:
    """Where an export goes."""

    place: Path | BinaryIO
    format: Format
    metadata: bool
    partitioned: bool

    @classmethod
    def of(
        cls, target: str | os.PathLike[str] | BinaryIO, format_name: str | None, *, metadata: bool, partitioned: bool
    ) -> "Target":
        """Resolve the arguments of a call.

        Raises:
            InvalidInput: the format is unknown, or the target or an option does not suit it.
        """
        place = Path(target) if isinstance(target, str | os.PathLike) else target
        if format_name is None and partitioned:
            format_name = "parquet"
        if isinstance(place, Path):
            found = format_of(place, format_name, is_folder=place.is_dir() or not place.suffix)
        else:
            if format_name not in ("jsonl", "csv"):
                raise InvalidInput(f"format={format_name!r}: a stream takes one of jsonl, csv")
            found = format_of(Path(), format_name, is_folder=False)
        if metadata and found != "markdown":
            raise InvalidInput(f"metadata=True is for markdown; {found} keeps the metadata by itself")
        if partitioned and found != "parquet":
            raise InvalidInput(f"partitioned=True is for parquet, not {found}")
        return cls(place, found, metadata, partitioned)


def export_to(
    caller: Caller,
    target: Target,
    within: Mapping[str, Any] | None,
    where: Any,
    *,
    dry_run: bool,
    on_progress: Callable[[int, int], None] | None,
) -> ExportReport:
    """Write the memories within a scope that match a filter; see ``Store.export_to``."""
    selection = Selection.of(caller, within, where)
    # Files of a partition lie side by side only if its rows come one after the other.
    order = "m.scheme, m.partition, m.id" if target.partitioned else "m.id"
    with caller.session.snapshot() as (view, cursor):
        condition = selection.condition(cursor)
        chosen = cursor.sql(
            f"SELECT m.id, c.size FROM memories m JOIN contents c USING (id, n) WHERE {condition.sql} ORDER BY {order}",
            params=list(condition.parameters),
        ).to_arrow_table()
    if dry_run:
        return ExportReport(len(chosen), sum(chosen.column("size").to_pylist()), applied=False, seq=view.seq)
    report = _write(target, _memories(caller, view, chosen, on_progress))
    return replace(report, seq=view.seq)


def _write(target: Target, memories: Iterator[Memory]) -> ExportReport:
    place = target.place
    if not isinstance(place, Path):
        return write_jsonl(memories, place) if target.format == "jsonl" else write_csv(memories, place)
    match target.format:
        case "markdown":
            return write_markdown(memories, place, metadata=target.metadata)
        case "parquet":
            return write_parquet(memories, place, partitioned=target.partitioned)
        case "jsonl":
            with new_file(place) as stream:
                return write_jsonl(memories, stream)
        case "csv":
            with new_file(place) as stream:
                return write_csv(memories, stream)


def _memories(
    caller: Caller, view: View, chosen: pa.Table, on_progress: Callable[[int, int], None] | None
) -> Iterator[Memory]:
    session = caller.session
    done = 0
    for ids in _chunks(chosen):
        rows = list(view.rows(ids))
        contents = session.blobs.read_many([row.live_path for row in rows])
        for row, data in zip(rows, contents, strict=True):
            yield memory_of(row, checked(session, row, data), session.schemes)
        done += len(ids)
        if on_progress is not None:
            on_progress(done, len(chosen))


def _chunks(chosen: pa.Table) -> Iterator[list[str]]:
    chunk: list[str] = []
    held_bytes = 0
    for batch in chosen.to_batches(max_chunksize=CHUNK_ROWS):
        for memory_id, size in zip(batch.column("id").to_pylist(), batch.column("size").to_pylist(), strict=True):
            if chunk and (len(chunk) == CHUNK_ROWS or held_bytes + size > CHUNK_BYTES):
                yield chunk
                chunk, held_bytes = [], 0
            chunk.append(memory_id)
            held_bytes += size
    if chunk:
        yield chunk
