"""The part of the machine that goes back, forgets, and moves: restore, gc, erase, other schemes."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.state import comparing
from tests.state.driving import Driver
from tests.state.parts import PartOf
from tests.state.states import NO_EDITS, SCHEMES, Fields, Held, State, with_changes
from tests.state.values import fields, picks, record_of, users

_SCHEMES = st.sampled_from(range(len(SCHEMES)))


class Keeping(Driver):
    """Rules about what reaches into the past, or moves memories; each only now and then, for all is compared then."""

    # -- restore ------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.steps % 4 == 0)
    @rule(pick=picks, is_planned=st.booleans(), is_undone=st.booleans())
    def restore(self, pick: int, is_planned: bool, is_undone: bool) -> None:
        base = self.model.seq
        seq = self.pick_moment(pick)
        if is_planned:
            assert not self.call("restore", seq, dry_run=True).applied
            assert self.store.seq == base
        report = self._restore(seq)
        if is_undone and report.snapshot is not None:
            assert report.snapshot.seq == base
            self._restore(base, report.snapshot)
            assert self.model.difference(base, self.model.seq).is_empty

    def _restore(self, seq: int, ref: Any = None) -> Any:
        """Restore a moment; require that the store is what it was then, and that nothing else was touched."""
        model, before, then = self.model, self.model.now, self.model.states[seq]
        is_same = model.difference(model.seq, seq).is_empty and before.scheme == then.scheme
        report = self.call("restore", seq if ref is None else ref)
        assert (report.applied, report.seq, report.left) == (True, seq, ())
        assert (self.store.seq == model.seq) == is_same == (report.snapshot is None)
        if not is_same:
            memories = {i: self._restored(i, held) for i, held in then.memories.items()}
            links = {
                key: before.links[key] if before.links.get(key, (None,))[0] == weight else (weight, -1)
                for key, (weight, _) in then.links.items()
            }
            self.take_over(State(memories, links, then.scheme), is_scheme_first=False)
        return report

    def _restored(self, memory_id: str, then: Held) -> Held:
        """Return what a memory is after a restore, its beginning not known yet: a new one only if it differs."""
        now = self.model.now.memories.get(memory_id)
        if now is not None and not then.differing(now):
            return now
        is_edit = now is None or bool(then.differing(now) - NO_EDITS)
        last = self.model.versions[memory_id] if now is None else now.version
        return replace(then, version=last + is_edit, begin=-1)

    @precondition(lambda self: self.steps % 4 == 2)
    @rule(pick=picks, user=users, ways=st.sampled_from(("within", "scoped", "ids")))
    def restore_a_part(self, pick: int, user: str, ways: str) -> None:
        """Restore some memories; require that these are what they were then, and that nothing else was touched."""
        seq = self.pick_moment(pick)
        part = PartOf(self.model, seq, None if ways == "ids" else user, self._some_ids(pick, seq), ways == "scoped")
        if ways == "ids":
            report = self.call("restore", seq, ids=sorted(part.ids))
        elif ways == "within":
            report = self.call("restore", seq, within={"user": user})
        else:
            report = self.store.scoped({"user": user}).restore(seq)
        assert {left.id for left in report.left} == part.left
        assert (report.snapshot is None) == part.is_nothing == (self.store.seq == self.model.seq)
        if not part.is_nothing:
            memories = dict(self.model.now.memories)
            for memory_id, then in part.ready.items():
                if then is None:
                    memories.pop(memory_id, None)
                else:
                    memories[memory_id] = self._restored(memory_id, then)
            state = State(memories, part.links, self.model.now.scheme)
            self.take_over(state, is_scheme_first=False)

    def _some_ids(self, pick: int, seq: int) -> set[str]:
        """Return some of the memories that were there at a moment or are there now."""
        ids = sorted(self.model.states[seq].memories.keys() | self.model.now.memories.keys())
        return {memory_id for place, memory_id in enumerate(ids) if pick >> place % 10 & 1}

    # -- gc -----------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.steps % 4 == 1)
    @rule(pick=picks, keeps_some=st.booleans(), is_planned=st.booleans())
    def gc(self, pick: int, keeps_some: bool, is_planned: bool) -> None:
        head, floor = self.model.seq, self.model.floor
        retain = timedelta(0)
        if keeps_some:
            retain = self.store.at(head).at - self.store.at(self.pick_moment(pick)).at
        with patch("kiromi.operations.gc.now_micros", lambda: 0):  # it takes the time of the last operation then
            if is_planned:
                assert not self.call("gc", retain=retain).applied
                assert self.store.seq == head
            report = self.call("gc", retain=retain, dry_run=False)
        assert report.applied
        assert floor <= report.floor <= head
        if not keeps_some:
            assert report.floor in (floor, head), "it rises if something goes"
        self.model.stay(self.store.seq)
        self.model.collect(report.floor)
        comparing.check_thoroughly(self.store, self.model, self.root)

    # -- erase --------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.steps % 4 == 2)
    @precondition(lambda self: self.model.ids)
    @rule(pick=picks, both=st.booleans(), is_planned=st.booleans())
    def erase(self, pick: int, both: bool, is_planned: bool) -> None:
        ids = {self.pick(pick), self.pick(pick + 1)} if both else {self.pick(pick)}
        if is_planned:
            plan = self.call("erase", ids=sorted(ids))
            assert (plan.applied, plan.memories, self.store.seq) == (False, len(ids), self.model.seq)
        report = self.call("erase", ids=sorted(ids), dry_run=False)
        assert (report.applied, report.memories) == (True, len(ids))
        self.model.erase(ids, report.seq, self.store.seq)
        comparing.check_thoroughly(self.store, self.model, self.root)

    @precondition(lambda self: self.steps % 4 == 3)
    @rule(user=users, n=st.integers(0, 3))
    def erase_by_a_filter(self, user: str, n: int) -> None:
        live = self.model.now.memories
        last = {i: (live.get(i) or self.model.last(i)).fields for i in self.model.ids}
        ids = {i for i, held in last.items() if held.user == user and held.n >= n}
        report = self.call("erase", within={"user": user}, where={"n": {"$gte": n}}, dry_run=False)
        assert (report.applied, set(report.ids)) == (True, ids)
        if ids:
            self.model.erase(ids, report.seq, self.store.seq)
        comparing.check_thoroughly(self.store, self.model, self.root)

    @precondition(lambda self: self.model.forgotten)
    @rule(pick=picks, wanted=fields)
    def append_a_forgotten_id(self, pick: int, wanted: Fields) -> None:
        ids = sorted(self.model.forgotten)
        memory_id = ids[pick % len(ids)]
        wanted = with_changes(wanted, {"key": None})
        self.store.append(**record_of(wanted), id=memory_id)
        with self.model.step() as step:
            step.append(memory_id, wanted)

    # -- schemes ------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.steps > 3)
    @rule(scheme=_SCHEMES)
    def evolve_scheme(self, scheme: int) -> None:
        if scheme == self.model.now.scheme:
            return
        self.store.evolve_scheme(SCHEMES[scheme])
        with self.model.step() as step:
            step.evolve(scheme)

    @precondition(lambda self: self.steps % 4 == 3)
    @precondition(lambda self: self.steps > 3)
    @rule(scheme=_SCHEMES, is_planned=st.booleans())
    def migrate_scheme(self, scheme: int, is_planned: bool) -> None:
        base, before = self.model.seq, self.model.now
        if is_planned:
            self.call("migrate_scheme", SCHEMES[scheme], dry_run=True)
            assert self.store.seq == base
        self.call("migrate_scheme", SCHEMES[scheme])
        if self.store.seq == base:
            assert before.scheme == scheme
            assert all(held.scheme == scheme for held in before.memories.values())
            return
        memories = {
            i: held if held.scheme == scheme else replace(held, scheme=scheme, begin=-1)
            for i, held in before.memories.items()
        }
        self.take_over(State(memories, before.links, scheme), is_scheme_first=True)

    # -- what a job wrote ---------------------------------------------------------------------------------------------

    def call(self, name: str, *arguments: Any, **more: Any) -> Any:
        return getattr(self.store, name)(*arguments, **more)

    def take_over(self, state: State, *, is_scheme_first: bool) -> None:
        """Be in a state that a job made in its own operations; take over their seqs, where -1 stands.

        Links change in the last of them; the scheme too, or in the first.
        """
        model, store, before = self.model, self.store, self.model.now
        base, head = model.seq, store.seq
        begun = {i: store.history(i)[0].begin_seq for i, held in state.memories.items() if held.begin < 0}
        ended = {i: store.history(i)[0].end_seq or -1 for i in before.memories.keys() - state.memories.keys()}
        assert all(base < seq <= head for seq in (*begun.values(), *ended.values()))
        memories = {i: replace(held, begin=begun.get(i, held.begin)) for i, held in state.memories.items()}
        links = {key: (weight, head if seq < 0 else seq) for key, (weight, seq) in state.links.items()}
        for seq in range(base + 1, head):
            former = {i: held for i, held in before.memories.items() if ended.get(i, head) > seq}
            later = {i: held for i, held in memories.items() if held.begin <= seq}
            scheme = state.scheme if is_scheme_first else before.scheme
            model.states[seq] = State({**former, **later}, before.links, scheme)
        model.become(head, State(memories, links, state.scheme), ended)
        for snapshot in store.snapshots():
            if snapshot.id not in model.snapshots:
                assert (snapshot.is_safety, snapshot.seq) == (True, base)
                model.snapshots[snapshot.id] = snapshot.seq
        comparing.check_thoroughly(store, model, self.root)
