"""One memory as one JSON line, shared by JSONL and the metadata of a Markdown export; and lines of bounded length.

A line holds what a caller can give, nothing that the store derives (version, seq, path, size): absent names mean None
or empty. Attributes stand in the canonical text of :mod:`kiromi.attributes`, times in ISO 8601.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, BinaryIO

from kiromi.attributes import encode_attributes
from kiromi.model import MemoryInfo
from kiromi.records import TIME_FIELDS

MAX_LINE_BYTES = 512 * 2**20
"""The longest line that a reader takes into memory."""
_PLAIN = ("id", "namespace", "key", "kind", "title", "tags", "language", "importance", "confidence")
SUPERSEDED = ("superseded_by", "superseded_at")
"""What says that another memory replaced a record's; they come together."""


def plain_fields(memory: MemoryInfo) -> dict[str, Any]:
    """Return all that a record needs of a memory but content, attributes and links; times are still datetimes."""
    names = (*_PLAIN, *TIME_FIELDS, *SUPERSEDED, "media_type", "sha256")
    return {name: value for name in names if (value := getattr(memory, name)) is not None}


def encode_line(memory: MemoryInfo, links: Sequence[Mapping[str, Any]], **more: str) -> bytes:
    """Return the JSON line of a memory, with its line break; ``more`` comes first."""
    fields: dict[str, Any] = {**more, **plain_fields(memory)}
    if links:
        fields["links"] = links
    text = encode_json(fields)
    return f'{text[:-1]}, "attributes": {encode_attributes(memory.attributes)}}}\n'.encode()


def encode_json(value: Any) -> str:
    """Return JSON text; times become ISO 8601 texts, mappings objects."""
    return json.dumps(value, ensure_ascii=False, default=_plain, allow_nan=False)


def bounded_lines(stream: BinaryIO, limit: int) -> Iterator[bytes | None]:
    """Yield the lines of a stream without the line feed, None in place of one longer than ``limit`` bytes.

    A UTF-8 byte order mark at the start is dropped.
    """
    first = True
    while line := stream.readline(limit + 1):
        if first:
            line, first = line.removeprefix(b"\xef\xbb\xbf"), False
        if len(line) > limit and not line.endswith(b"\n"):
            while (rest := stream.readline(2**20)) and not rest.endswith(b"\n"):
                pass
            yield None
        else:
            yield line.removesuffix(b"\n")


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{value!r} has no JSON form")
