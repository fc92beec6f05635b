"""One operation under construction: what it does to memories, kept in memory until the commit.

An operation reads through its own changes to the state it started from, so it can be planned, composed
(``transaction``) and thrown away without a trace. At the end :class:`CommitPlan` derives, from "row before" and "row
after" alone, which versions close, which bytes are new and which blobs have to move: no operation says itself where
files go.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from kiromi.blobs.base import NewBlob
from kiromi.catalog.audit import seal
from kiromi.catalog.changes import BlobKey, Changes, ContentRow, Head
from kiromi.catalog.moves import Moves
from kiromi.catalog.rows import Row
from kiromi.catalog.vectors import ContentVectors
from kiromi.model import Link

# Made once: making an encoder costs more than encoding the few facts of an entry.
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Context:
    """Who does something, in which run, and why; recorded in the audit log."""

    actor: str
    run_id: str | None = None
    reason: str | None = None


class State(Protocol):
    """What an operation can ask about the state before it."""

    def live(self, memory_id: str) -> Row | None:
        """Return a live memory's row, or None."""

    def find_key(self, namespace: str, key: str) -> str | None:
        """Return the id of the live memory with that key, or None."""

    def changed_keys(self) -> Mapping[tuple[str, str], str | None]:
        """Return the (namespace, key) pairs whose owner the catalog does not know yet: an id, or None if it is free."""

    def last_closed(self, memory_id: str) -> Row | None:
        """Return the version of a memory that ended last among those that the tables do not hold yet, or None."""


class Operation:
    """The changes of one seq."""

    def __init__(self, state: State, seq: int, at: int, context: Context) -> None:
        self.seq = seq
        self.at = at
        """Microseconds since 1970 UTC."""
        self.context = context
        self.before: dict[str, Row | None] = {}
        self.after: dict[str, Row | None] = {}
        self.removed: dict[str, Row] = {}
        """What each memory was when the operation removed it."""
        self.new_contents: dict[BlobKey, bytes] = {}
        self.vectors: list[ContentVectors] = []
        self.log: list[tuple[str, str | None, str]] = []
        self.statements: list[tuple[str, tuple[Any, ...]]] = []
        self.is_beside = False
        """Whether they are about tables alone that no journal entry feeds; such an operation is alone in its commit."""
        self.loads: list[tuple[str, pa.Table | pa.RecordBatchReader]] = []
        self.moves: Moves | None = None
        self.dropped: dict[BlobKey, tuple[str, ...]] = {}
        """Contents that its statements forget, with the places where their blobs may lie besides those known."""
        self.keys: dict[tuple[str, str], str | None] = {}
        self.links: dict[tuple[str, str, str], Link | None] = {}
        """What it did to links, by src, dst and kind: the one that holds, or None; the tables tell only afterwards."""
        self._state = state

    def live(self, memory_id: str) -> Row | None:
        """Return a live memory's row as this operation sees it, or None."""
        if memory_id in self.after:
            return self.after[memory_id]
        return self._state.live(memory_id)

    def find_key(self, namespace: str, key: str) -> str | None:
        """Return the id of the live memory with that key as this operation sees it, or None."""
        if (namespace, key) in self.keys:
            return self.keys[namespace, key]
        return self._state.find_key(namespace, key)

    def changed_keys(self) -> Mapping[tuple[str, str], str | None]:
        """Return the (namespace, key) pairs that the same commit gives to an id, or frees (None)."""
        return {**self._state.changed_keys(), **self.keys}

    def last_closed(self, memory_id: str) -> Row | None:
        """Return the version of a memory that an operation of the same commit ended last, or None."""
        return self.removed.get(memory_id) or self.before.get(memory_id) or self._state.last_closed(memory_id)

    def create(self, row: Row, data: bytes) -> None:
        """Make ``row`` a new memory; the caller knows that none of that id is live."""
        self.before[row.id] = None
        self.after[row.id] = row
        if row.key is not None:
            self.keys[row.namespace, row.key] = row.id
        self.new_contents[row.blob] = data

    def write(self, row: Row, data: bytes | None = None) -> None:
        """Make ``row`` the live version of its memory, with new content if ``data`` is given."""
        self._touch(row.id)
        self.after[row.id] = row
        if row.key is not None:
            self.keys[row.namespace, row.key] = row.id
        if data is not None:
            if row.blob in self.new_contents:  # what this very operation brought in before
                self.vectors = [item for item in self.vectors if (item.id, item.n) != row.blob]
            self.new_contents[row.blob] = data

    def remove(self, memory_id: str) -> None:
        """Make a memory no longer live."""
        current = self.live(memory_id)
        if current is not None:
            self.removed[memory_id] = current
        self._touch(memory_id)
        self.after[memory_id] = None

    def record(self, op: str, memory_id: str | None, detail: Mapping[str, Any] | str) -> None:
        """Add an entry to the audit log; ``detail`` holds facts, as a mapping or as its JSON text, never content."""
        self.log.append((op, memory_id, detail if isinstance(detail, str) else _to_json(detail)))

    def add_vectors(self, vectors: ContentVectors) -> None:
        """Bring in the vectors of a content that has none of that model."""
        self.vectors.append(vectors)

    def drop(self, key: BlobKey, *places: str) -> None:
        """Let the blob of a content belong nowhere; a statement of the operation takes the content from the tables."""
        self.dropped[key] = places

    def execute(self, sql: str, *parameters: Any) -> None:
        """Run a statement within the transaction of the commit; for what is rare, such as a model's registration."""
        self.statements.append((sql, parameters))

    def load(self, table: str, rows: pa.Table | pa.RecordBatchReader) -> None:
        """Add rows to a table of the catalog that no other call fills."""
        self.loads.append((table, rows))

    def move(self, moves: Moves) -> None:
        """Let many live rows lie elsewhere; the operation does nothing else to rows, and is alone in its commit."""
        self.moves = moves

    def _touch(self, memory_id: str) -> None:
        current = self.live(memory_id)
        if memory_id not in self.before:
            self.before[memory_id] = current
        if current is not None and current.key is not None:
            self.keys[current.namespace, current.key] = None


@dataclass(slots=True)
class CommitPlan:
    """Operations combined into one commit: its changes and the bytes that it brings in."""

    changes: Changes
    known_places: Callable[[BlobKey], tuple[str, ...]]
    """Where a blob that is already pending may lie."""
    has_staging: bool
    new_blobs: list[NewBlob] = field(default_factory=list)
    facts: dict[BlobKey, tuple[str, int] | None] = field(default_factory=dict)
    """Extension and size of every blob named in ``changes.places``; None of those that are to be nowhere."""

    def add(self, operation: Operation) -> None:
        """Add a finished operation; they are added in the order of their seqs."""
        for memory_id, after in operation.after.items():
            before = operation.before[memory_id]
            if before is None and after is None:
                continue
            self.changes.live[memory_id] = after
            if before is not None:
                self.changes.closed.append((before, operation.seq))
                self._move_former(before, after)
            if after is not None and (before is None or after.n != before.n):
                self._place_current(after, operation.new_contents.get(after.blob))
        for key, places in operation.dropped.items():
            known = self.changes.places.get(key) or self.known_places(key)
            self.changes.places[key] = tuple(dict.fromkeys((*known, *places)))
            self.facts[key] = None
        self.changes.vectors.extend(
            (item, operation.seq)
            for item in operation.vectors
            if item.id not in operation.after or _is_content(operation.after[item.id], item.n)
        )
        self.changes.statements.extend(operation.statements)
        self.changes.is_beside = operation.is_beside
        self.changes.loads.extend(operation.loads)
        if operation.moves is not None and len(operation.moves):
            self._move(operation.moves)
        self._chain(operation)

    def _move(self, moves: Moves) -> None:
        self.changes.moves = moves
        keys, sources, goals, sizes, exts = moves.relocated().paths()
        places: dict[BlobKey, tuple[str, ...]] = dict(zip(keys, ((source,) for source in sources), strict=True))
        for key in keys:
            known = self.known_places(key)
            if known:
                places[key] = (*known, *(place for place in places[key] if place not in known))
        self.changes.places.update(places)
        self.changes.goals = dict(zip(keys, goals, strict=True))
        self.facts.update(zip(keys, zip(exts, sizes, strict=True), strict=True))

    def _move_former(self, before: Row, after: Row | None) -> None:
        goal = after.live_path if after is not None and after.n == before.n else before.attic_path
        if goal != before.live_path:
            self._expect(before, before.live_path)

    def _place_current(self, after: Row, data: bytes | None) -> None:
        if data is None:
            self._expect(after, after.attic_path)
            return
        goal = after.live_path
        staged = f"staging/{after.id}.{after.n}.{after.ext}" if self.has_staging else goal
        self.changes.contents.append(
            ContentRow(after.id, after.n, after.ext, after.media_type, after.size, after.sha256)
        )
        self.new_blobs.append(NewBlob(staged, goal, data))
        self._expect(after, staged)

    def _expect(self, row: Row, place: str) -> None:
        key = row.blob
        places = self.changes.places.get(key)
        if places is None:
            places = self.known_places(key)
        self.changes.places[key] = (*places, place) if place not in places else places
        self.facts[key] = (row.ext, row.size)

    def _chain(self, operation: Operation) -> None:
        head, context, log = self.changes.head, operation.context, operation.log
        who = (context.actor, context.run_id, context.reason)
        sealed = seal(head.hash, operation.seq, operation.at, who, log)
        self.changes.audit.extend(sealed)
        last = sealed[-1].hash if sealed else head.hash
        self.changes.head = Head(operation.seq, operation.at, last, head.entries + len(log))


def _is_content(row: Row | None, n: int) -> bool:
    """Tell whether a row that an operation leaves has that content; others that it made on the way are not stored."""
    return row is not None and row.n == n
