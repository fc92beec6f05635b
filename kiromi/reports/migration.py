"""What scheme migrations say: their plan, how far they are, and what they did."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from kiromi.errors import InvalidInput

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Unmapped:
    """A memory that stays where it is."""

    id: str
    path: str | None
    """Its partition path; None if it is not known any more."""
    reason: str


@dataclass(frozen=True, slots=True)
class Relocation:
    """Where one memory goes."""

    id: str
    source: str
    """Its partition path."""
    target: str


@dataclass(frozen=True, slots=True)
class PartitionSize:
    """One partition path and what lies there."""

    path: str
    count: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Layout:
    """How memories are spread over partitions."""

    partitions: int
    count: int
    """Memories."""
    size_bytes: int
    largest: PartitionSize | None
    """By memories; None if there is none."""
    smallest: PartitionSize | None
    median: float
    """Memories of the partition in the middle."""
    shown: tuple[PartitionSize, ...] = ()
    """The largest ones, at most 1,000, by path."""


@dataclass(frozen=True, slots=True)
class MigrationCost:
    """What a migration would cost on the store's filesystem."""

    renames: int
    """On a local filesystem."""
    copies: int
    """On an object store, where a blob is copied and then deleted."""
    requests: int
    """To an object store, all told."""
    copied_bytes: int


@dataclass(frozen=True, slots=True)
class MigrationPlan:
    """What ``migrate_scheme`` would do; nothing was written for it."""

    template: str
    """The new scheme."""
    former: str
    """The scheme that is active."""
    set: Mapping[str, str]
    mapper: str | None
    """``module:function``."""
    mapper_digest: str | None
    """SHA-256 (hex) of the text of the mapper and of its module; None without a mapper, or if there is no text."""
    within: Mapping[str, Any]
    on_error: Literal["abort", "skip"]
    store: str
    """Id of the store (of this tenant) that it is for."""
    seq: int
    """The last operation that it saw."""
    moved: int
    """Memories whose path changes."""
    unmoved: int
    """Memories in scope that lie where they should; unmappable ones are not counted."""
    size_bytes: int
    """Of the blobs that move."""
    before: Layout
    """The memories in scope, as they lie."""
    after: Layout
    """The same, as they would lie."""
    samples: tuple[Relocation, ...]
    unmapped: tuple[Unmapped, ...]
    """Every memory for which no path can be made."""
    cost: MigrationCost
    targets: Any = field(default=None, repr=False, compare=False)
    """Where each memory goes: nothing is worked out again, nor a mapper called, if this very plan is carried out.

    Not part of the JSON, and in vain for a plan that differs from the one that it was made for.
    """

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of what binds the plan: template, set, mapper, scope, on_error, store and seq."""
        return _sha256(self._bound())

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain JSON values, to be kept in a file and reviewed."""
        counts = {"moved": self.moved, "unmoved": self.unmoved, "size_bytes": self.size_bytes}
        document = {
            "format": _FORMAT,
            "digest": self.digest,
            "former": self.former,
            **self._bound(),
            **counts,
            "before": _layout_out(self.before),
            "after": _layout_out(self.after),
            "samples": [[each.id, each.source, each.target] for each in self.samples],
            "unmapped": [[each.id, each.path, each.reason] for each in self.unmapped],
            "cost": [self.cost.renames, self.cost.copies, self.cost.requests, self.cost.copied_bytes],
        }
        return {**document, "checksum": _sha256(document)}

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> "MigrationPlan":
        """Return the plan that :meth:`to_json` gave.

        Raises:
            InvalidInput: it is no plan, or something in it was changed.
        """
        try:
            plan = MigrationPlan(
                template=document["template"],
                former=document["former"],
                set=dict(document["set"]),
                mapper=document["mapper"],
                mapper_digest=document["mapper_digest"],
                within={name: _value_in(value) for name, value in document["within"].items()},
                on_error=document["on_error"],
                store=document["store"],
                seq=document["seq"],
                moved=document["moved"],
                unmoved=document["unmoved"],
                size_bytes=document["size_bytes"],
                before=_layout_in(document["before"]),
                after=_layout_in(document["after"]),
                samples=tuple(Relocation(*values) for values in document["samples"]),
                unmapped=tuple(Unmapped(*values) for values in document["unmapped"]),
                cost=MigrationCost(*document["cost"]),
            )
            digest, number, checksum = document["digest"], document["format"], document["checksum"]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInput(f"this is no migration plan: {error!r}") from error
        if number != _FORMAT:
            raise InvalidInput(f"the plan has format {number!r}; this kiromi reads format {_FORMAT}")
        if plan.digest != digest:
            raise InvalidInput("the plan was changed after it was made: its digest does not fit; plan anew")
        if checksum != _sha256({name: value for name, value in document.items() if name != "checksum"}):
            raise InvalidInput("the plan was changed after it was made: its checksum does not fit; plan anew")
        return plan

    def _bound(self) -> dict[str, Any]:
        return {
            "template": self.template,
            "set": dict(self.set),
            "mapper": self.mapper,
            "mapper_digest": self.mapper_digest,
            "within": {name: _value_out(value) for name, value in self.within.items()},
            "on_error": self.on_error,
            "store": self.store,
            "seq": self.seq,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationReport:
    """What a migration or a rollback did up to now, earlier attempts included."""

    job: str
    is_rollback: bool
    status: str
    """``done``; ``paused``, or ``rolled_back`` by another call meanwhile."""
    template: str
    """The scheme that is active now."""
    snapshot: str | None
    """Id of the safety snapshot that was taken before the first move."""
    moved: int
    """Memories whose path changed."""
    unmoved: int
    """Memories that follow another scheme now and lie where they lay."""
    changed: int
    """Of both, those that somebody changed meanwhile, and that went where their present attributes say."""
    deleted: int
    """Memories that were deleted before their turn came."""
    left: tuple[Unmapped, ...]
    """Memories that stay where they are."""
    size_bytes: int
    """Of the blobs that moved."""
    batches: int
    pending: int
    """Blobs of the tenant that could not be brought to their place yet: they are read where they lie, every write tries
    again, and ``verify`` says what is in the way."""
    kept: int = 0
    """After a rollback: memories that were written under the scheme that was rolled back, and follow it still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationStatus:
    """How far the last migration is."""

    job: str
    is_rollback: bool
    status: str
    """``running`` (or stopped without its end: resume it), ``paused``, ``done``, ``rolled_back``."""
    template: str
    """The scheme that it brings in, or that a rollback brings back."""
    former: str
    """The scheme that was active before."""
    done: int
    total: int
    left: int
    attempts: int
    last_error: str | None
    started_at: datetime
    updated_at: datetime


def _sha256(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _layout_out(layout: Layout) -> dict[str, Any]:
    def out(size: PartitionSize | None) -> list[Any] | None:
        return None if size is None else [size.path, size.count, size.size_bytes]

    return {
        "partitions": layout.partitions,
        "count": layout.count,
        "size_bytes": layout.size_bytes,
        "largest": out(layout.largest),
        "smallest": out(layout.smallest),
        "median": layout.median,
        "shown": [out(size) for size in layout.shown],
    }


def _layout_in(document: Mapping[str, Any]) -> Layout:
    def read(values: Any) -> PartitionSize | None:
        return None if values is None else PartitionSize(*values)

    return Layout(
        document["partitions"],
        document["count"],
        document["size_bytes"],
        read(document["largest"]),
        read(document["smallest"]),
        document["median"],
        tuple(PartitionSize(*values) for values in document["shown"]),
    )


def _value_out(value: Any) -> Any:
    """Return a value of ``within`` as plain JSON that keeps its type."""
    match value:
        case datetime():
            return {"datetime": value.isoformat()}
        case date():
            return {"date": value.isoformat()}
        case Decimal():
            return {"decimal": str(value)}
        case float():
            return {"float": repr(value)}
    return value


def _value_in(value: Any) -> Any:
    match value:
        case {"datetime": text}:
            return datetime.fromisoformat(text)
        case {"date": text}:
            return date.fromisoformat(text)
        case {"decimal": text}:
            return Decimal(text)
        case {"float": text}:
            return float(text)
    return value
