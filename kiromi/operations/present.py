"""Rows on their way out: to the value objects that callers get."""

from typing import Any

from kiromi.attributes import decode_attributes
from kiromi.catalog.rows import Row
from kiromi.model import Hit, Memory, MemoryInfo
from kiromi.operations.within import Schemes, partition_texts
from kiromi.times import from_micros


def info_of(row: Row, schemes: Schemes, *, is_live: bool = True) -> MemoryInfo:
    """Return what a row says; ``is_live`` decides whether ``path`` is under ``data/`` or ``attic/``."""
    return MemoryInfo(**_facts(row, schemes, row.live_path if is_live else row.attic_path))


def former_info_of(row: Row, live: Row | None, schemes: Schemes) -> MemoryInfo:
    """Return what a closed row says; ``live`` is the memory's live row, or None if there is none for the caller.

    ``path`` is the live row's if that has the same content, since a blob lies in one place only.
    """
    path = live.live_path if live is not None and live.blob == row.blob else row.attic_path
    return MemoryInfo(**_facts(row, schemes, path))


def memory_of(row: Row, data: bytes, schemes: Schemes) -> Memory:
    """Return a live row with its content."""
    return Memory(data=data, **_facts(row, schemes, row.live_path))


def hit_of(row: Row, data: bytes, schemes: Schemes, **found: Any) -> Hit:
    """Return a live row with its content and what a search found out about it."""
    return Hit(data=data, **found, **_facts(row, schemes, row.live_path))


def _facts(row: Row, schemes: Schemes, path: str) -> dict[str, Any]:
    return {
        "id": row.id,
        "version": row.version,
        "seq": row.begin_seq,
        "partition": dict(partition_texts(schemes[row.scheme], row.partition)),
        "path": path,
        "scheme": row.scheme,
        "key": row.key,
        "namespace": row.namespace,
        "kind": row.kind,
        "title": row.title,
        "tags": row.tags,
        "attributes": decode_attributes(row.attributes),
        "language": row.language,
        "importance": row.importance,
        "confidence": row.confidence,
        "event_at": from_micros(row.event_at),
        "valid_from": None if row.valid_from is None else from_micros(row.valid_from),
        "valid_until": None if row.valid_until is None else from_micros(row.valid_until),
        "expires_at": None if row.expires_at is None else from_micros(row.expires_at),
        "created_at": from_micros(row.created_at),
        "updated_at": from_micros(row.updated_at),
        "run_id": row.run_id,
        "superseded_by": row.superseded_by,
        "superseded_at": None if row.superseded_at is None else from_micros(row.superseded_at),
        "media_type": row.media_type,
        "size": row.size,
        "sha256": row.sha256.hex(),
    }
