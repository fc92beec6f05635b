"""From values to what is shown: JSON for programs; columns, sizes and times for people.

JSON has no decimals, times or bytes: a Decimal is its text, a time is ISO 8601 in UTC with microseconds and ``Z``, a
date is ISO 8601, bytes are base64, and a float that is not finite is its name as text. For people, characters that
would command a terminal are shown as escapes.
"""

import base64
import dataclasses
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from kiromi.model import Hit, Memory, MemoryInfo

# Controls, line separators, what turns the direction of a line, and lone surrogates.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_SIZES = ("B", "kB", "MB", "GB", "TB", "PB")


def plain(value: Any) -> Any:
    """Return a value as JSON knows it."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return moment_text(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode("ascii")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return str(value)


def is_text(info: MemoryInfo) -> bool:
    """Tell whether the content's media type is text."""
    essence = info.media_type.partition(";")[0].strip().lower()
    return essence.startswith("text/") or essence == "application/json"


def memory_document(memory: Memory) -> dict[str, Any]:
    """Return a memory with its content: ``content`` if its media type is text, else ``content_base64``."""
    document: dict[str, Any] = plain(memory.info())
    if is_text(memory):
        return {**document, "content": memory.text}
    return {**document, "content_base64": plain(memory.data)}


def hit_document(hit: Hit) -> dict[str, Any]:
    """Return a hit: what :func:`memory_document` returns, and then what the search says of it."""
    own = {name: plain(getattr(hit, name)) for name in ("score", "span", "snippet", "highlights", "explanation")}
    return {**memory_document(hit), **own}


def json_text(value: Any) -> str:
    """Return the JSON of a value on one line, letters of all scripts readable."""
    return json.dumps(plain(value), ensure_ascii=False)


def moment_text(moment: datetime) -> str:
    """Return a time as ISO 8601 in UTC; one without a zone (SQL has such) keeps none."""
    if moment.tzinfo is None:
        return moment.isoformat(timespec="microseconds")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def brief_moment(moment: datetime) -> str:
    """Return a time for people, in UTC to the second: ``2026-01-31 12:00:00Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def size_text(size: int) -> str:
    """Return a number of bytes for people: ``999 B``, ``1.2 kB``, ``64 MB``; a kilobyte is 1,000 bytes."""
    amount, unit = float(size), 0
    while amount >= 999.5 and unit < len(_SIZES) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.1f} {_SIZES[unit]}" if unit and amount < 9.95 else f"{amount:.0f} {_SIZES[unit]}"


def count_text(count: int, noun: str) -> str:
    """Return ``1 memory``, ``2 memories``, ``1,000 blobs``."""
    plural = noun.removesuffix("y") + "ies" if noun.endswith("y") else noun + "s"
    return f"{count:,} {noun if count == 1 else plural}"


def safe(text: str) -> str:
    """Return a text with every character escaped that would command a terminal or end the line."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def cell(value: Any) -> str:
    """Return a value as it stands in a column: nothing for None, JSON for lists and mappings, hex for bytes."""
    if value is None:
        return ""
    if isinstance(value, str):
        return safe(value)
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    found = plain(value)
    return safe(found if isinstance(found, str) else json.dumps(found, ensure_ascii=False))


def columns(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> Iterator[str]:
    """Yield rows of cells as lines with aligned columns, two spaces apart; columns in ``right`` end aligned."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = []
        for i, (text, width) in enumerate(zip(row, widths, strict=True)):
            space = " " * (width - cell_len(text))
            padded.append(space + text if i in right else text + space)
        yield "  ".join(padded).rstrip()


def facts(info: MemoryInfo) -> list[tuple[str, str]]:
    """Return what is known of a memory as names and values for people; what is empty is left out."""
    found = [(field.name, getattr(info, field.name)) for field in dataclasses.fields(MemoryInfo)]
    return [
        (name, f"{size_text(value)} ({value:,} bytes)" if name == "size" and value >= 1000 else cell(value))
        for name, value in found
        if value not in (None, "", (), {})
    ]
