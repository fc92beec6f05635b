"""The part of the machine that says what replaced what, and links."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

import kiromi
from tests.state.driving import Driver
from tests.state.values import FOREIGN, FUTURE, kinds, picks, weights


class Relating(Driver):
    """Rules about supersession and links."""

    @precondition(lambda self: self.model.ids)
    @rule(old=picks, new=picks, is_later=st.booleans())
    def supersede(self, old: int, new: int, is_later: bool) -> None:
        loser, winner = self.pick(old), self.pick(new)
        at = FUTURE if is_later else None
        for memory_id in (loser, winner):
            if memory_id not in self.model.now.memories:
                with self.raises_gone(memory_id):
                    self.store.supersede(loser, winner, at)
                return
        error: type[Exception] | None = None
        if self.model.now.memories[winner].fields.is_expired:
            error = kiromi.MemoryExpired
        elif self._leads(winner, loser):
            error = kiromi.InvalidInput
        if error is not None:
            with pytest.raises(error):
                self.store.supersede(loser, winner, at)
            return
        self.store.supersede(loser, winner, at)
        with self.model.step() as step:
            step.supersede(loser, winner, is_later=is_later)

    def _leads(self, start: str, end: str) -> bool:
        """Tell whether a memory is another, or was replaced by it, directly or through others."""
        passed: set[str] = set()
        following: str | None = start
        while following is not None and following not in passed:
            if following == end:
                return True
            passed.add(following)
            if following not in self.model.ids:
                return False
            held = self.model.now.memories.get(following) or self.model.last(following)
            following = None if held.superseded is None else held.superseded[0]
        return False

    @precondition(lambda self: self.model.ids)
    @rule(pick=picks)
    def unsupersede(self, pick: int) -> None:
        memory_id = self.pick(pick)
        if memory_id not in self.model.now.memories:
            with self.raises_gone(memory_id):
                self.store.unsupersede(memory_id)
            return
        self.store.unsupersede(memory_id)
        with self.model.step() as step:
            step.unsupersede(memory_id)

    @precondition(lambda self: self.model.ids)
    @rule(src=picks, dst=picks, kind=kinds, weight=weights, leads_out=st.booleans())
    def link(self, src: int, dst: int, kind: str, weight: float, leads_out: bool) -> None:
        begin, end = self.pick(src), FOREIGN if leads_out else self.pick(dst)
        shown = self.model.now.shown
        if begin == end or begin not in shown or (end not in shown and not leads_out):
            with pytest.raises((kiromi.InvalidInput, kiromi.MemoryNotFound)):
                self.store.link(begin, end, kind, weight=weight)
            return
        made = self.store.link(begin, end, kind, weight=weight)
        with self.model.step() as step:
            step.link((made.src, made.dst, made.kind), weight)

    @precondition(lambda self: self.model.now.links)
    @rule(pick=picks, has_kind=st.booleans())
    def unlink(self, pick: int, has_kind: bool) -> None:
        links = sorted(self.model.now.links)
        src, dst, kind = links[pick % len(links)]
        count = self.store.unlink(src, dst, kind if has_kind else None)
        with self.model.step() as step:
            assert count == step.unlink(src, dst, kind if has_kind else None)

    @precondition(lambda self: self.model.now.shown)
    @rule(pick=picks)
    def neighbours(self, pick: int) -> None:
        shown = self.model.now.shown
        start = sorted(shown)[pick % len(shown)]
        uri = f"kiromi://memory/{start}"
        near = {(dst, "out") for src, dst, _ in self.model.now.links if src == uri}
        near |= {(src, "in") for src, dst, _ in self.model.now.links if dst == uri}
        expected = {(end.removeprefix("kiromi://memory/"), way) for end, way in near}
        found = {(one.info.id, one.direction) for one in self.store.neighbours(start, limit=1_000)}
        assert found == {(memory_id, way) for memory_id, way in expected if memory_id in shown}
