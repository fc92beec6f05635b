"""The digest of a state: equal for two states exactly if no read of what is stored could tell them apart.

SHA-256 over lines of JSON: a heading, one line for each live memory in the order of ids, one for each link that holds
in the order of its ends and kind. A line has what ``diff`` compares: contents by their SHA-256 and no ``n``, the
template of the scheme and no number, no version and no seq. So a store that was restored, imported or moved to another
disk has the digest of what it was made from. The partition's path is not in it: it follows from scheme and attributes.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

MEMORY_FIELDS = (
    "id",
    "sha256",
    "media_type",
    "scheme",
    "namespace",
    "key",
    "kind",
    "title",
    "tags",
    "language",
    "attributes",
    "importance",
    "confidence",
    "event_at",
    "valid_from",
    "valid_until",
    "expires_at",
    "created_at",
    "superseded_by",
    "superseded_at",
)
"""In the order of a line. ``sha256`` is hex, ``scheme`` its template, times are microseconds since 1970 UTC."""
LINK_FIELDS = ("src", "dst", "kind", "weight", "note", "valid_from", "valid_until")
_HEADING = b"kiromi state 1\n"
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_SHA256, _SCHEME = MEMORY_FIELDS.index("sha256"), MEMORY_FIELDS.index("scheme")


class StateDigest:
    """Takes a state in, memories first, and gives its digest."""

    def __init__(self, schemes: Mapping[int, str]) -> None:
        """``schemes`` are templates by number."""
        self._hash = hashlib.sha256(_HEADING)
        self._schemes = schemes

    def add_memories(self, batch: pa.RecordBatch | pa.Table) -> None:
        """Take memories in, in the order of ids; the columns are found by their names."""
        columns = [_plain(batch.column(name)) for name in MEMORY_FIELDS]
        columns[_SHA256] = [value.hex() for value in columns[_SHA256]]
        columns[_SCHEME] = [self._schemes[number] for number in columns[_SCHEME]]
        self._add(zip(*columns, strict=True))

    def add_links(self, batch: pa.RecordBatch | pa.Table) -> None:
        """Take links in, in the order of src, dst and kind."""
        self._add(zip(*(_plain(batch.column(name)) for name in LINK_FIELDS), strict=True))

    def hexdigest(self) -> str:
        """Return the digest of what was taken in."""
        return self._hash.hexdigest()

    def _add(self, rows: Iterable[tuple[Any, ...]]) -> None:
        text = "".join([_encode(row) + "\n" for row in rows])
        self._hash.update(text.encode())


def _plain(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    values: list[Any] = column.to_pylist()
    return values
