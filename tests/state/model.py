"""What a store should hold, in plain Python: small enough to be obviously right.

It keeps every state that the store was in, by seq. So a view of the past, a difference and a restore are lookups, and
what ``gc`` leaves is what the states that are kept hold.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

SCHEMES = ("user={user}/topic={topic|inbox}", "n={n}/topic={topic|none}", "owner={user}/topic={topic|inbox}")
DEFAULT_TOPICS = ("inbox", "none", "inbox")
LinkKey = tuple[str, str, str]
"""From, to, kind."""


@dataclass(frozen=True)
class Fields:
    """What a caller sets."""

    text: str
    user: str
    topic: str | None = None
    key: str | None = None
    n: int = 0
    is_expired: bool = False


@dataclass(frozen=True)
class Held:
    """One version of a memory: what it was from an operation on."""

    fields: Fields
    version: int
    content: int
    """The n of its content."""
    begin: int
    scheme: int
    """Its place in ``SCHEMES``."""
    superseded: tuple[str, int | None] | None = None
    """By what, and the operation that said so; None there: it takes effect in the far future."""

    @property
    def partition(self) -> str:
        topic = (self.fields.topic or DEFAULT_TOPICS[self.scheme]).replace("%", "%25")
        first = (f"user={self.fields.user}", f"n={self.fields.n}", f"owner={self.fields.user}")[self.scheme]
        return f"{first}/topic={topic}"

    @property
    def is_found(self) -> bool:
        """Whether searches show it."""
        return not self.fields.is_expired and (self.superseded is None or self.superseded[1] is None)

    def path(self, memory_id: str) -> str:
        return f"{self.partition}/{memory_id}.{self.content}.md"

    def is_like(self, other: "Held | None") -> bool:
        """Tell whether another version says and lies the same."""
        return other is not None and _what_is_restored(self) == _what_is_restored(other)


@dataclass(frozen=True)
class State:
    """All that is there at a moment."""

    memories: Mapping[str, Held] = field(default_factory=dict)
    links: Mapping[LinkKey, tuple[float, int]] = field(default_factory=dict)
    """Their weights, and the operations that made them so."""
    scheme: int = 0

    @property
    def shown(self) -> dict[str, Held]:
        return {i: held for i, held in self.memories.items() if not held.fields.is_expired}

    def holder(self, key: str | None) -> str | None:
        """Return the live memory that has a key."""
        return next((i for i, held in self.memories.items() if key is not None and held.fields.key == key), None)

    def found(self, word: str) -> set[str]:
        """Return the memories that a search for a word finds."""
        return {i for i, held in self.memories.items() if held.is_found and word in held.fields.text.split()}


class Step:
    """An operation under construction, upon the state that is there."""

    def __init__(self, model: "Model") -> None:
        now = model.now
        self.seq = model.seq + 1
        self.memories = dict(now.memories)
        self.links = dict(now.links)
        self.scheme = now.scheme
        self.model = model
        self.is_nothing = True

    def append(self, memory_id: str, fields: Fields) -> None:
        self._write(memory_id, Held(fields, 1, self.model.number(memory_id), self.seq, self.scheme))

    def change(self, memory_id: str, fields: Fields) -> None:
        held = self.memories[memory_id]
        if fields == held.fields:
            return
        content = held.content if fields.text == held.fields.text else self.model.number(memory_id)
        self._write(memory_id, replace(held, fields=fields, version=held.version + 1, content=content))

    def delete(self, memory_id: str) -> None:
        if self.memories.pop(memory_id, None) is not None:
            self.is_nothing = False

    def undelete(self, memory_id: str) -> None:
        if memory_id not in self.memories:
            last = self.model.last(memory_id)
            self._write(memory_id, replace(last, version=last.version + 1))

    def supersede(self, old: str, new: str, *, is_later: bool) -> None:
        superseded = self.memories[old].superseded
        if superseded is None or superseded[0] != new or (superseded[1] is None) != is_later:
            self._write(old, replace(self.memories[old], superseded=(new, None if is_later else self.seq)))

    def unsupersede(self, old: str) -> None:
        if self.memories[old].superseded is not None:
            self._write(old, replace(self.memories[old], superseded=None))

    def link(self, key: LinkKey, weight: float) -> None:
        if key not in self.links or self.links[key][0] != weight:
            self.links[key] = (weight, self.seq)
            self.is_nothing = False

    def unlink(self, src: str, dst: str, kind: str | None) -> int:
        ended = [key for key in self.links if key[:2] == (src, dst) and kind in (None, key[2])]
        for key in ended:
            del self.links[key]
            self.is_nothing = False
        return len(ended)

    def evolve(self, scheme: int) -> None:
        if scheme != self.scheme:
            self.scheme = scheme
            self.is_nothing = False

    def nothing(self) -> None:
        """Be an operation that changes nothing that is compared."""
        self.is_nothing = False

    def _write(self, memory_id: str, held: Held) -> None:
        self.memories[memory_id] = replace(held, begin=self.seq)
        self.is_nothing = False


class Model:
    """Every state by the seq of the operation that made it."""

    def __init__(self) -> None:
        self.states: dict[int, State] = {0: State()}
        self.seq = 0
        self.floor = 0
        """Below it only snapshots can be read."""
        self.snapshots: dict[str, int] = {}
        """Their seqs by their ids."""
        self.ids: set[str] = set()
        """Of all memories that ever were, but for those that were erased."""
        self.erased: set[str] = set()
        self._ends: dict[tuple[str, int], int] = {}
        """When versions ended, by id and beginning."""
        self._numbers: dict[str, int] = {}

    @property
    def now(self) -> State:
        return self.states[self.seq]

    @contextlib.contextmanager
    def step(self) -> Iterator[Step]:
        """Give an operation to compose; one that does nothing, or raises, leaves no trace."""
        step = Step(self)
        yield step
        if not step.is_nothing:
            self.become(step.seq, State(step.memories, step.links, step.scheme))

    def become(self, seq: int, state: State) -> None:
        """Be in a state from an operation on."""
        for memory_id, held in self.now.memories.items():
            after = state.memories.get(memory_id)
            if after is None or after.begin != held.begin:
                self._ends[memory_id, held.begin] = seq if after is None else after.begin
        self.ids |= state.memories.keys()
        self.states[seq] = state
        self.seq = seq

    def number(self, memory_id: str) -> int:
        """Return the next n of a memory; none comes twice."""
        self._numbers[memory_id] = self._numbers.get(memory_id, 0) + 1
        return self._numbers[memory_id]

    def highest_number(self, memory_id: str) -> int:
        return self._numbers.get(memory_id, 0)

    def adopt_number(self, memory_id: str, n: int) -> None:
        """Take note of an n that the store chose."""
        self._numbers[memory_id] = max(n, self.highest_number(memory_id))

    # -- the past ----------------------------------------------------------------------------------------------------

    @property
    def moments(self) -> list[int]:
        """The seqs that can be read and are known."""
        held = set(self.snapshots.values())
        return sorted(seq for seq in self.states if seq >= self.floor or seq in held)

    def last(self, memory_id: str) -> Held:
        """Return the version of a memory that ended last, of those that are kept."""
        return next(held for held, end in self.history(memory_id, self.seq) if end is not None)

    def history(self, memory_id: str, seq: int) -> list[tuple[Held, int | None]]:
        """Return what a memory had been at a moment, newest first, with the ends of the versions that had ended."""
        found: dict[int, Held] = {}
        for moment, state in self.states.items():
            held = state.memories.get(memory_id)
            if held is not None and held.begin <= seq and moment >= held.begin:
                found[held.begin] = held
        ends = {begin: self._ends.get((memory_id, begin)) for begin in found}
        return [
            (found[begin], end if end is not None and end <= seq else None)
            for begin, end in sorted(ends.items(), reverse=True)
        ]

    def difference(self, a: int, b: int) -> "Difference":
        before, after = self.states[a], self.states[b]
        fields = {
            i: frozenset(_differing(held, after.memories[i]))
            for i, held in before.memories.items()
            if i in after.memories
        }
        links = {
            key
            for key in before.links.keys() | after.links.keys()
            if before.links.get(key, (None,))[0] != after.links.get(key, (None,))[0]
        }
        return Difference(
            added=set(after.memories.keys() - before.memories.keys()),
            removed=set(before.memories.keys() - after.memories.keys()),
            changed={i: names for i, names in fields.items() if names - _PLACE},
            moved={i: names for i, names in fields.items() if names and not names - _PLACE},
            links=links,
        )

    # -- forgetting ----------------------------------------------------------------------------------------------------

    def collect(self, floor: int) -> None:
        """Forget what no snapshot and no moment from ``floor`` on shows."""
        self.floor = floor
        self.states = {seq: self.states[seq] for seq in self.moments}
        if self.seq not in self.states:
            raise AssertionError("the present is never collected")

    def erase(self, ids: Iterable[str]) -> None:
        """Forget memories, and links that name them, as if they had never been."""
        gone = set(ids)
        uris = {f"kiromi://memory/{memory_id}" for memory_id in gone}
        self.ids -= gone
        self.erased |= gone
        for seq, state in self.states.items():
            self.states[seq] = State(
                {i: held for i, held in state.memories.items() if i not in gone},
                {key: said for key, said in state.links.items() if not uris & set(key[:2])},
                state.scheme,
            )

    # -- the disk ------------------------------------------------------------------------------------------------------

    def data(self) -> dict[str, bytes]:
        """Return the files that should lie below ``data/``."""
        return {held.path(i): held.fields.text.encode() for i, held in self.now.memories.items()}

    def attic(self) -> dict[str, bytes]:
        """Return the files that should lie below ``attic/``: the contents of all states but the present one."""
        live = {(i, held.content) for i, held in self.now.memories.items()}
        return {
            f"{i[-2:]}/{i}.{held.content}.md": held.fields.text.encode()
            for state in self.states.values()
            for i, held in state.memories.items()
            if (i, held.content) not in live
        }


@dataclass(frozen=True)
class Difference:
    """What differs between two states."""

    added: set[str]
    removed: set[str]
    changed: dict[str, frozenset[str]]
    moved: dict[str, frozenset[str]]
    links: set[LinkKey]


_PLACE = {"partition", "scheme"}


def with_changes(fields: Fields, changes: Mapping[str, Any]) -> Fields:
    """Return fields after an update of some of them."""
    return replace(fields, **changes)


def _what_is_restored(held: Held) -> tuple[Any, ...]:
    return held.fields, held.scheme, held.superseded


def _differing(a: Held, b: Held) -> Iterator[str]:
    pairs: dict[str, tuple[Any, Any]] = {
        "content": (a.fields.text, b.fields.text),
        "attributes.user": (a.fields.user, b.fields.user),
        "attributes.topic": (a.fields.topic, b.fields.topic),
        "attributes.n": (a.fields.n, b.fields.n),
        "key": (a.fields.key, b.fields.key),
        "expires_at": (a.fields.is_expired, b.fields.is_expired),
        "partition": (a.partition, b.partition),
        "scheme": (a.scheme, b.scheme),
        "superseded_by": (a.superseded and a.superseded[0], b.superseded and b.superseded[0]),
        "superseded_at": (a.superseded and a.superseded[1:], b.superseded and b.superseded[1:]),
    }
    return (name for name, (one, other) in pairs.items() if one != other)
