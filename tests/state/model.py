"""What a store should hold, in plain Python: small enough to be obviously right.

It keeps every state that the store was in, by seq. So a view of the past, a difference and a restore are lookups, and
what ``gc`` leaves is what the states that are kept hold.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from tests.state.states import ERASED, PLACE, Difference, Fields, Held, LinkKey, State


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
        """Of all memories that ever were, but for those forgotten."""
        self.forgotten: set[str] = set()
        """Of those of which nothing is left: they may be used again."""
        self.cut: set[str] = set()
        """Deleted memories whose last version is gone while a snapshot shows an older one: they are not undeleted."""
        self.versions: dict[str, int] = {}
        """The highest that each of those memories ever had."""
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

    def become(self, seq: int, state: State, ended: Mapping[str, int] | None = None) -> None:
        """Be in a state from an operation on; ``ended`` says which former ones ended what is not there any more."""
        for memory_id, held in self.now.memories.items():
            after = state.memories.get(memory_id)
            if after is None or after.begin != held.begin:
                self._ends[memory_id, held.begin] = (ended or {}).get(memory_id, seq) if after is None else after.begin
        for memory_id, held in state.memories.items():
            self.versions[memory_id] = max(held.version, self.versions.get(memory_id, 0))
        self.ids |= state.memories.keys()
        self.forgotten -= self.ids
        self.cut -= state.memories.keys()
        self.states[seq] = state
        self.seq = seq

    def stay(self, seq: int) -> None:
        """Be as it is up to an operation: those in between changed nothing that is compared."""
        for between in range(self.seq + 1, seq + 1):
            self.states[between] = self.now
        self.seq = seq

    def number(self, memory_id: str) -> int:
        """Return the next n of a memory; none comes twice."""
        self._numbers[memory_id] = self._numbers.get(memory_id, 0) + 1
        return self._numbers[memory_id]

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
        fields = {i: held.differing(after.memories[i]) for i, held in before.memories.items() if i in after.memories}
        links = {
            key
            for key in before.links.keys() | after.links.keys()
            if before.links.get(key, (None,))[0] != after.links.get(key, (None,))[0]
        }
        return Difference(
            added=set(after.memories.keys() - before.memories.keys()),
            removed=set(before.memories.keys() - after.memories.keys()),
            changed={i: names for i, names in fields.items() if names - PLACE},
            moved={i: names for i, names in fields.items() if names and not names - PLACE},
            links=links,
        )

    # -- forgetting ----------------------------------------------------------------------------------------------------

    def collect(self, floor: int) -> None:
        """Forget what no snapshot and no moment from ``floor`` on shows."""
        self.floor = floor
        self.states = {seq: self.states[seq] for seq in self.moments}
        left = {i for state in self.states.values() for i in state.memories}
        self.forgotten |= self.ids - left
        self.ids = left
        self.versions = {i: self.versions[i] for i in left}
        kept = {(i, held.begin) for state in self.states.values() for i, held in state.memories.items()}
        newest: dict[str, int] = {}
        for memory_id, begin in self._ends:
            newest[memory_id] = max(begin, newest.get(memory_id, 0))
        self.cut = {i for i in left - self.now.memories.keys() if (i, newest[i]) not in kept}

    def erase(self, ids: Iterable[str], seq: int, head: int) -> None:
        """Forget memories, and links that name them, as if they had never been; ``seq`` did it, up to ``head``."""
        gone = set(ids)
        live = self.now.memories
        self.states = {moment: _without(state, gone) for moment, state in self.states.items()}
        self.ids -= gone
        self.cut -= gone
        self.versions = {i: self.versions[i] for i in self.ids}
        self.forgotten |= gone
        orphaned = {i for i, held in live.items() if held.superseded is not None and held.superseded[0] in gone}
        memories = {i: replace(held, begin=seq) if i in orphaned else held for i, held in self.now.memories.items()}
        self.become(seq, replace(self.now, memories=memories))
        self.stay(head)

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


def _without(state: State, gone: set[str]) -> State:
    """Return a state in which some memories never were."""
    uris = {f"kiromi://memory/{memory_id}" for memory_id in gone}
    memories = {
        i: replace(held, superseded=(ERASED, held.superseded[1]))
        if held.superseded is not None and held.superseded[0] in gone
        else held
        for i, held in state.memories.items()
        if i not in gone
    }
    return State(memories, {key: said for key, said in state.links.items() if not uris & set(key[:2])}, state.scheme)
