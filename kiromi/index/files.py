"""Files of a derived index: checksums by block, and one manifest that names them and is replaced atomically.

Every file has a name of its own that is never used again, so a new state of an index is its new files and then one
rename of ``manifest.json``; a process killed in between leaves the former state, whole. Nothing is synced: what a power
loss tears has a wrong checksum, and the index is built anew. Leaves to its users which bytes they check when.
"""

import json
import os
import secrets
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kiromi.errors import IndexCorrupt

BLOCK_BYTES = 1 << 20
MANIFEST = "manifest.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class FileSum:
    """What a file must be."""

    size: int
    """Bytes."""
    blocks: tuple[int, ...]
    """CRC-32 of each block of ``BLOCK_BYTES``; the last may be shorter."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an index says of itself."""

    facts: Mapping[str, Any]
    """Watermark, model, settings: whatever its user put there."""
    files: Mapping[str, FileSum]


def new_name(stem: str, suffix: str) -> str:
    """Return a file name that was never used, such as ``matrix-9f86d081884c7d65.f32``."""
    return f"{stem}-{secrets.token_hex(8)}.{suffix}"


def sum_bytes(data: bytes | memoryview) -> FileSum:
    """Return what a file with these bytes must be."""
    view = memoryview(data).cast("B")
    starts = range(0, len(view), BLOCK_BYTES)
    return FileSum(len(view), tuple(zlib.crc32(view[start : start + BLOCK_BYTES]) for start in starts))


def sum_file(path: Path) -> FileSum:
    """Return the checksums of a file as it is now."""
    size = 0
    blocks = []
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            size += len(block)
            blocks.append(zlib.crc32(block))
    return FileSum(size, tuple(blocks))


def check_file(folder: Path, name: str, manifest: Manifest) -> None:
    """Read a file through and compare it with the manifest.

    Raises:
        IndexCorrupt: it is not there, or not what the manifest says.
    """
    wanted = manifest.files.get(name)
    try:
        found = sum_file(folder / name)
    except OSError as error:
        raise IndexCorrupt(f"the index file {name} cannot be read: {error}", file=name) from error
    if wanted is None or found != wanted:
        raise IndexCorrupt(f"the index file {name} is not what was written: its checksum differs", file=name)


def load_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of an index folder, or None if there is none.

    Raises:
        IndexCorrupt: it is damaged, or of another format.
    """
    try:
        raw = (folder / MANIFEST).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise IndexCorrupt(f"the index in {folder.name} cannot be read: {error}", file=MANIFEST) from error
    checksum, _, body = raw.partition(b"\n")
    try:
        if int(checksum, 16) != zlib.crc32(body):
            raise ValueError("its checksum differs")
        document = json.loads(body)
        if document["format"] != _FORMAT:
            raise ValueError(f"it has format {document['format']}")
        files = {name: FileSum(size, tuple(blocks)) for name, (size, blocks) in document["files"].items()}
        return Manifest(document["facts"], files)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IndexCorrupt(f"the manifest of the index in {folder.name} is damaged: {error}", file=MANIFEST) from error


def store_manifest(folder: Path, facts: Mapping[str, Any], files: Mapping[str, FileSum]) -> Manifest:
    """Make these files the state of the index, atomically; then remove every other file of the folder.

    Args:
        folder: where the files lie already.
        facts: JSON-friendly.
        files: by name.
    """
    document = {"format": _FORMAT, "facts": facts, "files": {name: (s.size, s.blocks) for name, s in files.items()}}
    body = json.dumps(document, separators=(",", ":")).encode()
    partial = folder / new_name("manifest", "partial")
    partial.write_bytes(b"%08x\n%b" % (zlib.crc32(body), body))
    os.replace(partial, folder / MANIFEST)
    remove_others(folder, {MANIFEST, *files})
    return Manifest(facts, dict(files))


def remove_others(folder: Path, kept: Iterable[str]) -> None:
    """Remove the files of a folder that are not named; folders in it stay."""
    names = set(kept)
    for entry in os.scandir(folder):
        if entry.name not in names and entry.is_file(follow_symlinks=False):
            Path(entry.path).unlink(missing_ok=True)
