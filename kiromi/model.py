"""The nouns of a store, which its calls take and return: drafts, memories, links, snapshots and what belongs to them.

All are frozen and know no database. Times are timezone-aware UTC datetimes with microseconds. What a call says about
its own work is in :mod:`kiromi.reports`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from kiromi.errors import InvalidInput

Scalar: TypeAlias = str | int | float | Decimal | bool | date | datetime
AttributeValue: TypeAlias = Scalar | tuple[Scalar, ...] | None
Attributes: TypeAlias = Mapping[str, AttributeValue]


@dataclass(frozen=True, slots=True)
class Draft:
    """A memory that is asked for but not stored yet; what guards see and return."""

    content: bytes
    """The bytes to store, exactly."""
    media_type: str
    """What the bytes are, such as ``text/markdown``; it decides the blob's extension."""
    attributes: Attributes = field(default_factory=dict)
    """Typed values by name, those of the partition included."""
    id: str | None = None
    """An upper-case ULID; None lets the store make one."""
    key: str | None = None
    """A name of the caller's own, unique among the live memories of its namespace."""
    namespace: str = ""
    """The space in which ``key`` is unique."""
    kind: str = "episodic"
    """episodic, semantic, procedural, archival, working, or any short text."""
    title: str | None = None
    tags: tuple[str, ...] = ()
    language: str | None = None
    """A BCP 47 language tag; None leaves it to detection."""
    importance: float | None = None
    """How much it matters, 0 to 1."""
    confidence: float | None = None
    """How sure it is, 0 to 1."""
    event_at: datetime | None = None
    """When the remembered thing happened; None means when it was stored."""
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    expires_at: datetime | None = None
    """From this moment on no read shows the memory."""
    created_at: datetime | None = None
    """When it was first stored; None means now. Imports give it to keep the original's."""
    updated_at: datetime | None = None
    vector: Any = field(default=None, compare=False)
    """The caller's own vector of the content: a NumPy array of 32-bit floats; None lets the store's model make it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryInfo:
    """All that is known of one version of a memory, without its content."""

    id: str
    """Upper-case ULID; never changes."""
    version: int
    """1 at first; counts the changes that a caller made (a move is none)."""
    seq: int
    """The operation that made this version what it is."""
    partition: Mapping[str, str | None]
    """The segment values that fill the scheme, by segment name, as they read in the path before encoding."""
    path: str
    """Where the blob belongs, relative to the tenant's folder: under ``data/`` if its content is live, else ``attic/``.

    So the path of a former version is the live one's as long as that has the same content and the handle may see it.
    """
    scheme: int
    """The number of the scheme under which the path was made."""
    key: str | None
    namespace: str
    kind: str
    title: str | None
    tags: tuple[str, ...]
    attributes: Attributes
    language: str | None
    importance: float | None
    confidence: float | None
    event_at: datetime
    valid_from: datetime | None
    valid_until: datetime | None
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime
    run_id: str | None
    """The agent run that made this version, from ``store.context``."""
    superseded_by: str | None
    """The id of the memory that replaced this one; searches leave such a memory out unless asked."""
    superseded_at: datetime | None
    """From when on it is superseded."""
    media_type: str
    size: int
    """Length of the content in bytes."""
    sha256: str
    """Of the content, in lower-case hex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory(MemoryInfo):
    """A memory with its content."""

    data: bytes
    """The content, byte for byte as it was given."""

    @property
    def text(self) -> str:
        """The content as text.

        Raises:
            InvalidInput: the content is not UTF-8; read ``data`` instead.
        """
        try:
            return self.data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidInput(
                f"memory {self.id} ({self.media_type}) is not UTF-8 text; read .data", id=self.id
            ) from error

    def info(self) -> MemoryInfo:
        """Return the same without the content."""
        return MemoryInfo(**{f.name: getattr(self, f.name) for f in fields(MemoryInfo)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit(Memory):
    """A memory that a search found."""

    score: float
    """What the hits are ordered by: the similarity (vector), BM25 (text), or the fused score (hybrid), after the
    profile and the reranker. Scores of different modes or queries do not compare."""
    span: tuple[int, int] | None
    """Where in ``text`` the match lies, in characters: the passage whose vector is nearest, else the snippet's place;
    None for content that is no text, and where only title or tags match."""
    snippet: str | None
    """A part of ``text`` around what the query's words matched; None if they matched nothing in it."""
    highlights: tuple[tuple[int, int], ...]
    """What the words matched, as spans of ``snippet``."""
    explanation: Mapping[str, Any] | None
    """Every component of ``score``, if it was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """An embedding model whose vectors the store holds."""

    number: int
    name: str
    """The embedder's id."""
    dimension: int
    metric: str
    fingerprint: str
    """SHA-256 of all that vectors depend on, in lower-case hex."""
    is_active: bool
    """Whether it is the one that is searched."""
    is_caller: bool
    """Whether its vectors are given by the caller."""
    vectors: int
    """Passages of live memories with a vector."""
    pending: int
    """Live memories whose vectors are still to be made."""


@dataclass(frozen=True, slots=True)
class Version:
    """One interval of a memory's history: what it was in ``[begin_seq, end_seq)``."""

    info: MemoryInfo
    begin_seq: int
    end_seq: int | None
    """None while it is the live version."""


@dataclass(frozen=True, slots=True)
class Supersession:
    """What was said about a memory that another replaced; such events stay when it is taken back."""

    seq: int
    """The operation that said it."""
    loser: str
    """The id of the memory that was replaced."""
    winner: str | None
    """The id of the one that replaced it; None: it was taken back."""
    at: datetime
    """From when on: when it was replaced, or when that was taken back."""
    actor: str
    reason: str | None
    """From ``store.context``."""


@dataclass(frozen=True, slots=True)
class Link:
    """A directed relation between two ends, at least one of which is a memory or a partition of the store."""

    src: str
    """Where it begins: ``kiromi://memory/<id>``, ``kiromi://partition/<path>``, or a foreign URI."""
    dst: str
    """Where it leads."""
    kind: str
    """explicit, supersedes, contradicts, derived, part_of, related, or any short text. It means nothing to the store:
    a link of kind ``supersedes`` hides nothing, as ``Store.supersede`` does."""
    weight: float | None
    """Any finite number; neighbours come heaviest first."""
    note: str | None
    valid_from: datetime | None
    valid_until: datetime | None
    seq: int
    """The operation that made it what it is."""
    actor: str
    """Who made it so."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A memory that links lead to from a start."""

    info: MemoryInfo
    depth: int
    """How many links away it is, from 1; there is no shorter way."""
    direction: Literal["out", "in"]
    """Whether the last link of ``path`` leads to it, or comes from it."""
    path: tuple[Link, ...]
    """A way from the start to it, ``depth`` links long."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A moment with a name: ``gc`` keeps what it shows."""

    id: str
    seq: int
    """The last operation that it shows; taking it was an operation of its own, after that."""
    tag: str | None
    """A name that no other snapshot has."""
    reason: str | None
    created_at: datetime
    """When it was taken: the clock by which what it shows had expired, or not."""
    is_safety: bool
    """Whether an operation took it before it changed much, such as a restore."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some items of a listing, and the cursor that continues it."""

    items: tuple[MemoryInfo, ...]
    next_cursor: str | None
    """Pass it as ``cursor=`` for the next page; None on the last."""


@dataclass(frozen=True, slots=True)
class PartitionInfo:
    """One node of the partition tree."""

    path: str
    """Below ``data/``, as it lies on disk."""
    values: Mapping[str, str | None]
    """Segment names to values, as far as the path goes."""
    count: int
    """Live memories at or below it."""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit log: a fact, never content."""

    seq: int
    i: int
    """Position within the operation, from 0."""
    at: datetime
    actor: str
    run_id: str | None
    reason: str | None
    op: str
    memory_id: str | None
    """None for operations on the store, and after an erasure."""
    detail: Mapping[str, Any]
    hash: str
    """Lower-case hex; the chain's head after this entry."""


@dataclass(frozen=True, slots=True)
class Change:
    """One event for a consumer of ``changes``; carries the audit's facts in the order of seq."""

    seq: int
    i: int
    op: str
    id: str | None
    at: datetime
    actor: str
    detail: Mapping[str, Any]
