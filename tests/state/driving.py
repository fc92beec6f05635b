"""What the parts of the machine share: a store, the model beside it, and how both are opened and compared."""

import contextlib
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import kiromi
from tests.state import comparing
from tests.state.model import Model
from tests.state.states import SCHEMES
from tests.state.values import WORDS


class Driver(RuleBasedStateMachine):
    """Drives a store and the model side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="kiromi-state-"))
        self.root = self.folder / "s"
        self.model = Model()
        self.views: dict[str, kiromi.StoreView] = {}
        """One for each snapshot, made when it was taken."""
        self.steps = 0

    @initialize()
    def create(self) -> None:
        self.store = kiromi.open(self.root, scheme=SCHEMES[0], durability="relaxed")

    def teardown(self) -> None:
        try:
            if hasattr(self, "store"):
                comparing.check_thoroughly(self.store, self.model, self.root)
                assert self.store.verify(read_data=True).is_clean
                assert self.store.audit_verify().is_clean
        finally:
            if hasattr(self, "store"):
                self.store.close()
            shutil.rmtree(self.folder)

    @precondition(lambda self: self.steps % 4 == 0)  # it takes as long as several other steps
    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = kiromi.open(self.root, durability="relaxed")
        self.views = {name: self.store.at(name) for name in self.views}

    # -- picking -------------------------------------------------------------------------------------------------------

    def pick(self, pick: int) -> str:
        """Return a memory, live or deleted."""
        ids = sorted(self.model.ids)
        return ids[pick % len(ids)]

    def pick_live(self, pick: int) -> str:
        ids = sorted(self.model.now.memories)
        return ids[pick % len(ids)]

    def pick_moment(self, pick: int) -> int:
        moments = self.model.moments
        return moments[pick % len(moments)]

    @contextlib.contextmanager
    def raises_gone(self, memory_id: str) -> Iterator[None]:
        """Require the error for a memory that is not live."""
        with pytest.raises(kiromi.MemoryDeleted, match=memory_id):
            yield

    # -- what has to hold ----------------------------------------------------------------------------------------------

    @invariant()
    def all_agrees(self) -> None:
        """Compare the disk and what is published; after every other step also the tables and, by turns, something else.

        What a step does to the past stays, so what is asked by turns is found soon. Between, nothing asks the tables:
        operations meet what former ones left in the journal.
        """
        comparing.check_disk(self.root, self.model)
        comparing.check_seen(self.store, self.model)
        self.steps += 1
        if self.steps % 2 == 0:
            comparing.check_present(self.store, self.model)
            self._ask(self.steps // 2)

    def _ask(self, turn: int) -> None:
        model, store = self.model, self.store
        some, further = random.Random(turn), turn // 6
        match turn % 6:
            case 0:
                comparing.check_listings(store, model.now, further)
                comparing.check_scoped(store, model.now, further)
            case 1:
                comparing.check_keys(store, model.now, further)
                for memory_id in sorted(model.ids)[-2:]:
                    comparing.check_history(store, model, memory_id, model.seq)
            case 2:
                comparing.check_search(store, model.now, some.choice(WORDS))
            case 3:
                comparing.check_diff(store, model, some.choice(model.moments), some.choice(model.moments))
            case 4 if self.views:
                name = sorted(self.views)[further % len(self.views)]
                comparing.check_moment(self.views[name], model, model.snapshots[name], further)
            case _:
                seq = some.choice(model.moments)
                comparing.check_moment(store.at(seq), model, seq, further)
