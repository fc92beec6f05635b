"""Archives that build on each other: a full one, then increments in order, checked as far as their manifests tell."""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from kiromi.errors import InvalidInput, NotFound
from kiromi.portable.archive.manifest import NAME, Manifest, Part, read_manifest
from kiromi.portable.archive.parts import check_part, read_part
from kiromi.portable.archive.place import Place

_KEPT = re.compile(r"[0-9]{20}")
"""How the folders of archives are called that are kept beside a store: by their seq."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A finished archive."""

    place: Place
    manifest: Manifest

    @classmethod
    def at(cls, place: Place) -> "Archive":
        """Return the archive that lies at a place."""
        return cls(place, read_manifest(place))

    def batches(self, kind: str, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows of all parts of a kind, in order."""
        for part in self.manifest.parts_of(kind):
            yield from self.batches_of(part, columns)

    def batches_of(self, part: Part, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows of one part."""
        yield from read_part(self.place, part, columns)

    def check_parts(self) -> None:
        """Read every part and compare it with the manifest.

        Raises:
            IntegrityError: one is missing or damaged; the message names it.
        """
        for part in self.manifest.parts:
            check_part(self.place, part)


def folder_name(seq: int) -> str:
    """Return the name of the folder of an archive that is kept beside a store."""
    return f"{seq:020}"


def kept_names(place: Place) -> list[str]:
    """Return the names of the folders in which archives are kept beside a store, finished or not, by their seqs."""
    return [name for name in place.names() if _KEPT.fullmatch(name)]


def kept_at(place: Place) -> list[Archive]:
    """Return the finished archives in a folder that keeps them beside a store, in the order of their seqs."""
    found = []
    for name in kept_names(place):
        with contextlib.suppress(NotFound):
            found.append(Archive.at(place.below(name)))
    return found


def newest_chain(archives: Sequence[Archive]) -> list[Archive]:
    """Return the newest full archive of those kept, and the increments that build on it."""
    starts = [i for i, archive in enumerate(archives) if archive.manifest.since is None]
    if not starts:
        return []
    chain = [archives[starts[-1]]]
    for archive in archives[starts[-1] + 1 :]:
        since = archive.manifest.since
        if since is not None and since.audit_head == chain[-1].manifest.audit_head:
            chain.append(archive)
    return chain


def open_chain(
    urls: Sequence[str | os.PathLike[str]], storage_options: Mapping[str, Any] | None = None
) -> list[Archive]:
    """Return the archives at some URLs: a full one, then its increments in order. One URL may keep a whole chain.

    Raises:
        NotFound: no finished archive lies at one of them.
        InvalidInput: they do not follow one another; the message says which one does not.
        UnsupportedFormat: a manifest is not readable, or of a newer format.
    """
    chain: list[Archive] = []
    for url in urls:
        place = Place.of(url, storage_options)
        kept = [] if place.read(NAME) is not None else newest_chain(kept_at(place))
        chain += kept or [Archive.at(place)]
    if not chain:
        raise InvalidInput("no archive was named; accepted: a full one, then its increments in order")
    for before, archive in zip([None, *chain[:-1]], chain, strict=True):
        _check_follows(before, archive)
    return chain


def _check_follows(before: Archive | None, archive: Archive) -> None:
    since, url = archive.manifest.since, archive.place.url
    if before is None:
        if since is not None:
            raise InvalidInput(
                f"{url} is an increment since seq {since.seq}: name the archive of that moment before it", url=url
            )
        return
    former = before.manifest
    if since is None:
        raise InvalidInput(f"{url} is a full archive: it stands first, or alone", url=url)
    if archive.manifest.store_id != former.store_id:
        raise InvalidInput(
            f"{url} is an increment of store {archive.manifest.store_id}, {before.place.url} is of store"
            f" {former.store_id}",
            url=url,
        )
    if since.seq != former.seq:
        raise InvalidInput(
            f"{url} is an increment since seq {since.seq}, but {before.place.url} before it shows seq {former.seq}:"
            " one is missing, or they are not in order",
            url=url,
        )
    if since.audit_head != former.audit_head or (
        None not in (since.digest, former.digest) and since.digest != former.digest and not former.forgotten
    ):
        raise InvalidInput(
            f"{url} builds on another state of seq {since.seq} than {before.place.url} shows: it is of another copy of"
            " the store, or what it builds on was erased since",
            url=url,
        )
