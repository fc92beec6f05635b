"""Check of an archive by itself: its parts against the manifest, its contents, its digest and its audit entries."""

import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from kiromi.catalog.audit import check_chain, genesis
from kiromi.catalog.rows import AUDIT_SCHEMA, AuditRow, integer_times
from kiromi.errors import IntegrityError
from kiromi.portable.archive.chain import Archive
from kiromi.portable.archive.parts import check_part
from kiromi.portable.archive.place import Place
from kiromi.portable.archive.proof import archive_digest
from kiromi.portable.archive.tables import PART_NAME
from kiromi.reports.archives import ArchiveCheck
from kiromi.reports.checking import Problem


def verify_archive(url: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None) -> ArchiveCheck:
    """Check an archive, for which no store is needed: every part, every content, the audit chain, the state's digest.

    Reads all of it once, and a second time what it understands. An increment is checked by itself: whether it fits to
    what it builds on shows when it is imported.

    Args:
        url: of the archive.
        storage_options: passed to the fsspec driver.

    Raises:
        NotFound: there is no finished archive.
        UnsupportedFormat: the manifest is not readable, or of a newer format.
    """
    started = time.monotonic()
    archive = Archive.at(Place.of(url, storage_options))
    problems = list(_part_problems(archive))
    if not problems:
        try:
            problems = [*_row_problems(archive), *_content_problems(archive), *_state_problems(archive)]
            problems += check_chain(_entries(archive), _hash_before(archive))
        except IntegrityError as error:
            problems.append(Problem("unreadable", str(error.details.get("part", "")), error.message))
    manifest = archive.manifest
    return ArchiveCheck(
        url=archive.place.url,
        store_id=manifest.store_id,
        tenant=manifest.tenant,
        seq=manifest.seq,
        since=None if manifest.since is None else manifest.since.seq,
        digest=manifest.digest,
        contents=manifest.contents,
        memories=manifest.counts["memories"],
        parts=len(manifest.parts),
        rows=sum(part.rows for part in manifest.parts),
        size_bytes=sum(part.bytes for part in manifest.parts),
        problems=tuple(problems),
        seconds=time.monotonic() - started,
    )


def _part_problems(archive: Archive) -> Iterator[Problem]:
    for part in archive.manifest.parts:
        try:
            check_part(archive.place, part)
        except IntegrityError as error:
            kind = "part_missing" if error.kind == "blob_missing" else "part_damaged"
            yield Problem(kind, part.name, error.message)
    named = {part.name for part in archive.manifest.parts}
    for name in archive.place.names():
        if PART_NAME.fullmatch(name) and name not in named:
            yield Problem("part_unknown", name, f"{name} is not in the manifest")


def _row_problems(archive: Archive) -> Iterator[Problem]:
    for part in archive.manifest.parts:
        rows = sum(batch.num_rows for batch in archive.batches_of(part, [_FIRST_COLUMN.get(part.kind, "id")]))
        if rows != part.rows:
            yield Problem("part_damaged", part.name, f"{part.name} has {rows:,} rows; {part.rows:,} were written")


_FIRST_COLUMN = {"links": "src", "supersessions": "seq", "audit": "seq", "retired": "digest"}


def _content_problems(archive: Archive) -> Iterator[Problem]:
    for part in archive.manifest.parts_of("contents"):
        for batch in archive.batches_of(part, ["id", "n", "sha256", "data"]):
            columns = (column.to_pylist() for column in batch.columns)
            for memory_id, n, digest, data in zip(*columns, strict=True):
                if hashlib.sha256(data).digest() != digest:
                    name = f"{memory_id}.{n}"
                    yield Problem("checksum_mismatch", name, f"{part.name}: {name} is not what its SHA-256 says")


def _state_problems(archive: Archive) -> Iterator[Problem]:
    manifest = archive.manifest
    if manifest.since is None and manifest.digest is not None:
        found = archive_digest(archive)
        if found != manifest.digest:
            message = f"the state has the digest {found}, the manifest says {manifest.digest}"
            yield Problem("digest_mismatch", "manifest.json", message)


def _entries(archive: Archive) -> Iterator[AuditRow]:
    for batch in archive.batches("audit"):
        table = integer_times(pa.Table.from_batches([batch]).select(AUDIT_SCHEMA.names))
        yield from map(AuditRow._make, zip(*(column.to_pylist() for column in table.columns), strict=True))


def _hash_before(archive: Archive) -> bytes:
    since = archive.manifest.since
    return genesis(archive.manifest.store_id) if since is None else bytes.fromhex(since.audit_head)
