"""The manifest of an archive: what it holds, and by which it is known to be finished.

``manifest.json`` is written last. A folder without one is no archive, whatever parts lie in it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from kiromi.errors import AlreadyExists, ChecksumMismatch, InvalidInput, NotFound, UnsupportedFormat
from kiromi.portable.archive.place import Place
from kiromi.portable.archive.tables import PART_NAME

FORMAT = 1
NAME = "manifest.json"
_PARTIAL = f"{NAME}.partial"


@dataclass(frozen=True, slots=True)
class Part:
    """One Parquet file."""

    name: str
    kind: str
    rows: int
    bytes: int
    sha256: str
    """Of the file, in hex."""


@dataclass(frozen=True, slots=True)
class Since:
    """The archive that an increment builds on, by the moment that it shows."""

    seq: int
    digest: str | None
    """Of the state then; None if it was not computed."""
    audit_head: str
    """The audit chain's hash then, in hex: no other store has it."""


@dataclass(frozen=True, slots=True)
class ArchivedModel:
    """An embedding model of the registry."""

    number: int
    name: str
    dimension: int
    metric: str
    max_tokens: int | None
    spec: str | None
    is_caller: bool
    fingerprint: str
    created_at: int
    """Microseconds since 1970 UTC, as all times here."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What ``manifest.json`` says."""

    format: int
    kiromi: str
    """The version that wrote it."""
    store_id: str
    tenant: str
    fold_case: bool
    """Whether partition paths encode upper case."""
    store_created_at: int
    created_at: int
    """When the archive was made."""
    seq: int
    """The moment that it shows: the last operation that had taken place."""
    at: int
    """When that was."""
    since: Since | None
    """None for a full archive."""
    contents: bool
    """Whether the bytes of the memories are in it."""
    gc_floor: int
    schemes: Mapping[int, str]
    """Templates by number."""
    scheme_events: tuple[tuple[int, int, str | None], ...]
    """From which operation on new memories followed which scheme, and were supplied with what (JSON)."""
    models: tuple[ArchivedModel, ...]
    model_events: tuple[tuple[int, int], ...]
    settings: Mapping[str, str]
    """JSON by name."""
    digest: str | None
    """Of the state at ``seq``; None in an increment that was kept beside a store."""
    audit_head: str
    """The audit chain's hash at ``seq``, in hex."""
    audit_entries: int
    """How many entries there were up to then."""
    counts: Mapping[str, int]
    """Live memories and links at ``seq``, and their bytes."""
    parts: tuple[Part, ...]
    forgotten: bool = False
    """Whether memories were taken out of it later."""

    @property
    def active_scheme(self) -> int:
        """The number of the scheme that new memories followed."""
        return self.scheme_events[-1][1]

    def parts_of(self, kind: str) -> list[Part]:
        """Return the parts of a kind, in order."""
        return [part for part in self.parts if part.kind == kind]

    def to_json(self) -> bytes:
        """Return the text of the file; ``sha256`` is that of the rest, see :func:`_checksum`."""
        document = asdict(self)
        document["schemes"] = {str(number): template for number, template in self.schemes.items()}
        document["sha256"] = _checksum(document)
        return json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"


def read_manifest(place: Place) -> Manifest:
    """Return the manifest of a finished archive.

    Raises:
        NotFound: there is none.
        UnsupportedFormat: it is not readable, or of a newer format.
        ChecksumMismatch: it was changed.
    """
    data = place.read(NAME)
    if data is None:
        raise NotFound(f"no finished archive lies at {place.url}: there is no {NAME}", url=place.url)
    try:
        document = json.loads(data)
        number = document["format"]
        expected = document.pop("sha256")
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(place, error) from error
    if number != FORMAT:
        raise UnsupportedFormat(
            f"the archive {place.url} has format {number}, this kiromi reads {FORMAT}", url=place.url, format=number
        )
    if _checksum(document) != expected:
        raise ChecksumMismatch(f"{NAME} of the archive {place.url} is damaged: its SHA-256 differs", url=place.url)
    try:
        return _manifest_of(document)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(place, error) from error


def write_manifest(place: Place, manifest: Manifest) -> None:
    """Finish an archive."""
    place.write(NAME, manifest.to_json())


def prepare(place: Place) -> None:
    """Make a folder ready for a new archive: remove what a killed export left.

    Raises:
        AlreadyExists: a finished archive lies there.
        InvalidInput: something lies there that is no archive's.
    """
    names = place.names()
    if NAME in names:
        raise AlreadyExists(f"a finished archive lies at {place.url}: name another folder", url=place.url)
    strangers = [name for name in names if name != _PARTIAL and PART_NAME.fullmatch(name) is None]
    if strangers:
        raise InvalidInput(
            f"{place.url} holds {strangers[0]!r}, which is no archive's: name an empty or absent folder", url=place.url
        )
    place.remove(names)


def discard(place: Place) -> None:
    """Remove an archive, or what an export left that was killed; what is not an archive's stays, and then the folder.

    The manifest goes first: parts that are left after a kill belong to no archive.
    """
    names = place.names()
    place.remove([name for name in names if name == NAME])
    place.remove([name for name in names if name == _PARTIAL or PART_NAME.fullmatch(name)])
    place.remove_folder()


def with_parts(manifest: Manifest, parts: tuple[Part, ...], **changes: Any) -> Manifest:
    """Return a manifest with other parts."""
    return replace(manifest, parts=parts, **changes)


def _checksum(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest as compact JSON with its names sorted, in hex."""
    text = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _unreadable(place: Place, error: Exception) -> UnsupportedFormat:
    return UnsupportedFormat(f"{NAME} of the archive {place.url} is not readable: {error!r}", url=place.url)


def _manifest_of(document: Mapping[str, Any]) -> Manifest:
    since = document["since"]
    return Manifest(
        **{
            **document,
            "since": None if since is None else Since(**since),
            "schemes": {int(number): template for number, template in document["schemes"].items()},
            "scheme_events": tuple((seq, number, sets) for seq, number, sets in document["scheme_events"]),
            "models": tuple(ArchivedModel(**model) for model in document["models"]),
            "model_events": tuple((seq, number) for seq, number in document["model_events"]),
            "parts": tuple(Part(**part) for part in document["parts"]),
        }
    )
