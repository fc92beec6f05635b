"""The part of the machine that names moments."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.state.driving import Driver
from tests.state.values import picks

_MOST = 3
"""Snapshots at once: all are looked at after every step."""


class Moments(Driver):
    """Rules about snapshots."""

    @precondition(lambda self: len(self.model.snapshots) < _MOST)
    @rule(has_tag=st.booleans())
    def snapshot(self, has_tag: bool) -> None:
        made = self.store.snapshot(f"tag {self.model.seq}" if has_tag else None)
        assert made.seq == self.model.seq
        self.model.snapshots[made.id] = made.seq
        self.views[made.id] = self.store.at(made)
        with self.model.step() as step:
            step.nothing()

    @precondition(lambda self: self.model.snapshots)
    @rule(pick=picks)
    def delete_snapshot(self, pick: int) -> None:
        names = sorted(self.model.snapshots)
        name = names[pick % len(names)]
        self.store.delete_snapshot(name)
        del self.model.snapshots[name]
        self.views.pop(name, None)
        with self.model.step() as step:
            step.nothing()
