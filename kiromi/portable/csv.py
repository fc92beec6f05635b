"""CSV (RFC 4180): one record per row, for spreadsheets. Lossy: see :func:`write_csv`.

The first row names the columns: those of a record, ``content_base64``, ``attributes`` and ``links`` as JSON text,
``tags`` as a JSON list or separated by commas; every other column is an attribute. CSV knows no types, so such an
attribute is text unless the reader is told otherwise. An empty cell is an absent value, but for the empty namespace.
"""

import base64
import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from reprlib import repr as brief
from typing import Any, BinaryIO

from kiromi.attributes import encode_attributes
from kiromi.errors import InvalidInput
from kiromi.model import Memory
from kiromi.portable.lines import MAX_LINE_BYTES, SUPERSEDED, bounded_lines, encode_json, plain_fields
from kiromi.portable.source import BadRecord, Found, check_record, columns_to_fields, open_source, parse_json, read_time
from kiromi.records import TIME_FIELDS
from kiromi.reports.transfer import ExportReport

HEADER = (
    *("id", "namespace", "key", "kind", "title", "tags", "language", "importance", "confidence"),
    *(*TIME_FIELDS, *SUPERSEDED),
    *("media_type", "sha256", "attributes", "content", "content_base64"),
)
"""The columns that are written."""
_LOST = ("links are not written", "an empty title reads back as none")
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}
_TYPES: dict[str, Callable[[str], Any]] = {
    "str": str,
    "int": int,
    "float": float,
    "decimal": Decimal,
    "bool": lambda cell: _BOOLEANS[cell.lower()],
    "date": date.fromisoformat,
    "datetime": lambda cell: read_time(datetime.fromisoformat(cell), ""),
}


def read_csv(
    path: Path, *, namespace: str = "", types: Mapping[str, str] | None = None, max_line_bytes: int = MAX_LINE_BYTES
) -> Iterator[Found]:
    """Return the records of a CSV file, read one by one; the position is the line on which a row ends.

    Raises the process's ``csv.field_size_limit`` to ``max_line_bytes`` if it is lower.

    Args:
        path: the file, UTF-8 with or without a byte order mark, comma-separated, quoted with ``"``.
        namespace: of records that name none.
        types: from columns that are attributes to their type: str, int, float, decimal, bool, date or datetime.
        max_line_bytes: the largest cell; a longer line ends the reading, as a bad record.

    Raises:
        InvalidInput: a type is unknown; or, with the first record, the file cannot be opened.
    """
    wanted = types or {}
    for name, kind in wanted.items():
        if kind not in _TYPES:
            raise InvalidInput(f"type {kind!r} of column {name!r}: expected one of {', '.join(_TYPES)}", column=name)
    csv.field_size_limit(max(csv.field_size_limit(), max_line_bytes))
    return _read(path, namespace, wanted, max_line_bytes)


def write_csv(memories: Iterable[Memory], out: BinaryIO) -> ExportReport:
    """Write memories as CSV with the columns of ``HEADER``; content that is not UTF-8 stands in ``content_base64``.

    Lost are links, and the difference between an empty title and none. Attributes keep their types, as JSON text.

    Args:
        memories: taken one by one.
        out: a binary stream, such as :func:`~kiromi.portable.target.new_file` gives.
    """
    text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
    count = size_bytes = 0
    try:
        writer = csv.DictWriter(text, HEADER)
        writer.writeheader()
        for memory in memories:
            writer.writerow(_row(memory))
            count += 1
            size_bytes += memory.size
    finally:
        text.detach()
    return ExportReport(count, size_bytes, _LOST)


def _read(path: Path, namespace: str, types: Mapping[str, str], max_line_bytes: int) -> Iterator[Found]:
    with open_source(path) as stream:
        rows = csv.reader(_text_lines(stream, max_line_bytes), strict=True)
        header: list[str] | None = None
        while True:
            try:
                row = next(rows, None)
                if row is None:
                    return
                if header is None:
                    header = _check_header(row, types)
                    continue
                fields = _fields(header, row, types) if row else None
            except _LineTooLong:
                yield BadRecord(f"line {rows.line_num + 1}", f"longer than {max_line_bytes:,} bytes; reading ends here")
                return
            except (csv.Error, InvalidInput) as error:
                yield BadRecord(f"line {rows.line_num}", str(error))
                if header is None:
                    return
            else:
                if fields is not None:
                    yield check_record(fields, f"line {rows.line_num}", namespace)


class _LineTooLong(Exception):
    """A line is longer than the limit."""


def _text_lines(stream: BinaryIO, limit: int) -> Iterator[str]:
    for line in bounded_lines(stream, limit):
        if line is None:
            raise _LineTooLong
        # Bytes that are not UTF-8 pass as lone surrogates, so that only the row that has them is bad.
        yield line.decode(errors="surrogateescape") + "\n"


def _check_header(header: list[str], types: Mapping[str, str]) -> list[str]:
    if len(set(header)) < len(header):
        raise InvalidInput(f"the header names a column twice: {brief(sorted(header))}")
    if "content" not in header and "content_base64" not in header:
        raise InvalidInput(f"the header has no column content: {brief(header)}")
    absent = [name for name in types if name not in header]
    if absent:
        raise InvalidInput(f"the header has no column {absent[0]!r}, for which a type is given")
    return header


def _fields(header: list[str], row: list[str], types: Mapping[str, str]) -> dict[str, Any]:
    if len(row) != len(header):
        raise InvalidInput(f"{len(row)} cells; the header has {len(header)}")
    columns: dict[str, Any] = {}
    for name, cell in zip(header, row, strict=True):
        try:
            cell.encode()
            if cell or name == "namespace":
                columns[name] = _value(name, cell, types)
        except UnicodeEncodeError as error:
            raise InvalidInput(f"column {name!r} is not UTF-8") from error
        except (ValueError, KeyError, InvalidOperation) as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput(f"column {name!r}: {brief(cell)} is no {types.get(name, 'number')}") from error
    if "content_base64" not in columns:
        columns.setdefault("content", "")
    return columns_to_fields(columns)


def _value(name: str, cell: str, types: Mapping[str, str]) -> Any:
    if name in ("importance", "confidence"):
        return float(cell)
    if name == "tags":
        if cell.startswith("["):
            return parse_json(cell, "tags: ")
        return [tag for part in cell.split(",") if (tag := part.strip())]
    return _TYPES[types.get(name, "str")](cell)


def _row(memory: Memory) -> dict[str, Any]:
    row = plain_fields(memory)
    for name in (*TIME_FIELDS, "superseded_at"):
        if name in row:
            row[name] = row[name].isoformat()
    row["tags"] = encode_json(memory.tags) if memory.tags else ""
    row["attributes"] = encode_attributes(memory.attributes)
    try:
        row["content"] = memory.data.decode()
    except UnicodeDecodeError:
        row["content_base64"] = base64.b64encode(memory.data).decode()
    return row
