"""JSON Lines: one record per line (https://jsonlines.org), the format that keeps everything and that people can read.

A line is an object with the fields of :func:`~kiromi.records.parse_record`. Content that is not UTF-8 stands as
``content_base64``; attributes and partition may hold ``{"decimal": …}``, ``{"date": …}`` and ``{"datetime": …}``;
``links`` is a list of objects that is handed on. A ``sha256``, if given, must be that of the content.
"""

import base64
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from kiromi.errors import InvalidInput
from kiromi.model import Memory
from kiromi.portable.lines import MAX_LINE_BYTES, bounded_lines, encode_line
from kiromi.portable.source import BadRecord, Found, check_record, open_source, parse_json
from kiromi.portable.target import LinksOf
from kiromi.reports.transfer import ExportReport


def read_jsonl(path: Path, *, namespace: str = "", max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[Found]:
    """Yield the records of a JSONL file; blank lines are skipped, bad ones reported and passed over.

    Args:
        path: the file, UTF-8 with or without a byte order mark.
        namespace: of records that name none.
        max_line_bytes: a longer line is bad; it is never held in memory.

    Raises:
        InvalidInput: the file cannot be opened.
    """
    with open_source(path) as stream:
        for number, line in enumerate(bounded_lines(stream, max_line_bytes), start=1):
            position = f"line {number}"
            if line is None:
                yield BadRecord(position, f"longer than {max_line_bytes:,} bytes")
            elif line.strip():
                yield _read_line(line, position, namespace)


def write_jsonl(memories: Iterable[Memory], out: BinaryIO, *, links_of: LinksOf | None = None) -> ExportReport:
    """Write memories as JSON lines; nothing that a caller gave is lost.

    Args:
        memories: taken one by one.
        out: a binary stream, such as :func:`~kiromi.portable.target.new_file` gives.
        links_of: gives the links to write with a memory.
    """
    count = size_bytes = 0
    for memory in memories:
        links = links_of(memory.id) if links_of else ()
        try:
            content = {"content": memory.data.decode()}
        except UnicodeDecodeError:
            content = {"content_base64": base64.b64encode(memory.data).decode()}
        out.write(encode_line(memory, links, **content))
        count += 1
        size_bytes += memory.size
    return ExportReport(count, size_bytes)


def _read_line(line: bytes, position: str, namespace: str) -> Found:
    try:
        fields = parse_json(line)
    except InvalidInput as error:
        return BadRecord(position, error.message)
    if not isinstance(fields, dict):
        return BadRecord(position, f"a {type(fields).__name__}; expected an object with the fields of a record")
    return check_record(fields, position, namespace)
