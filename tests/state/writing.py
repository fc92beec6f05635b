"""The part of the machine that writes memories, as users do."""

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

import kiromi
from tests.state.driving import Driver
from tests.state.states import Fields, with_changes
from tests.state.values import USERS, changes, fields, picks, record_of, texts, update_of

_MOST = 25
"""Memories at once; more of them show nothing new."""


class Writing(Driver):
    """Rules that write memories."""

    @precondition(lambda self: len(self.model.now.memories) < _MOST)
    @rule(wanted=fields)
    def append(self, wanted: Fields) -> None:
        if self.model.now.holder(wanted.key) is not None:
            with pytest.raises(kiromi.AlreadyExists):
                self.store.append(**record_of(wanted))
            return
        memory_id = self.store.append(**record_of(wanted)).id
        with self.model.step() as step:
            step.append(memory_id, wanted)

    @precondition(lambda self: len(self.model.now.memories) < _MOST)
    @rule(many=st.lists(fields, min_size=1, max_size=4))
    def append_many(self, many: list[Fields]) -> None:
        keys = [wanted.key for wanted in many if wanted.key is not None]
        if len(set(keys)) < len(keys) or any(self.model.now.holder(key) for key in keys):
            with pytest.raises(kiromi.AlreadyExists):
                self.store.append_many(map(record_of, many))
            return
        reports: list[kiromi.BatchReport] = []
        self.store.append_many(map(record_of, many), on_batch=reports.append)
        with self.model.step() as step:
            for memory_id, wanted in zip(reports[0].ids, many, strict=True):
                step.append(memory_id, wanted)

    @precondition(lambda self: self.model.ids)
    @rule(pick=picks, wanted=fields)
    def append_an_id_that_is_in_use(self, pick: int, wanted: Fields) -> None:
        with pytest.raises(kiromi.AlreadyExists):
            self.store.append(**record_of(with_changes(wanted, {"key": None})), id=self.pick(pick))

    @rule(wanted=fields, key=st.sampled_from(("a", "b", "A")))
    def put(self, wanted: Fields, key: str) -> None:
        wanted = with_changes(wanted, {"key": key})
        holder = self.model.now.holder(key)
        memory_id = self.store.put(**record_of(wanted)).id
        with self.model.step() as step:
            if holder is None:
                step.append(memory_id, wanted)
            else:
                assert memory_id == holder
                step.change(holder, wanted)

    @precondition(lambda self: self.model.ids)
    @rule(pick=picks, changed=changes, is_stale=st.booleans())
    def update(self, pick: int, changed: dict[str, Any], is_stale: bool) -> None:
        memory_id = self.pick(pick)
        held = self.model.now.memories.get(memory_id)
        if held is None:
            with self.raises_gone(memory_id):
                self.store.update(memory_id, **update_of(changed))
            return
        expected = held.version + 1 if is_stale else held.version
        wanted = with_changes(held.fields, changed)
        error: type[Exception] | None = None
        if self.model.now.holder(wanted.key) not in (None, memory_id):
            error = kiromi.AlreadyExists
        elif is_stale and wanted != held.fields:
            error = kiromi.VersionConflict
        if error is not None:
            with pytest.raises(error):
                self.store.update(memory_id, expected_version=expected, **update_of(changed))
            return
        m = self.store.update(memory_id, expected_version=expected, **update_of(changed))
        with self.model.step() as step:
            step.change(memory_id, wanted)
        assert (m.version, m.text) == (self.model.now.memories[memory_id].version, wanted.text)

    @precondition(lambda self: self.model.now.memories)
    @rule(pick=picks, text=texts)
    def update_the_content(self, pick: int, text: str) -> None:
        memory_id = self.pick_live(pick)
        self.store.update(memory_id, content=text)
        with self.model.step() as step:
            step.change(memory_id, with_changes(step.memories[memory_id].fields, {"text": text}))

    @precondition(lambda self: self.model.ids)
    @rule(pick=picks)
    def delete(self, pick: int) -> None:
        memory_id = self.pick(pick)
        self.store.delete(memory_id)
        with self.model.step() as step:
            step.delete(memory_id)

    @precondition(lambda self: self.model.ids)
    @rule(pick=picks)
    def undelete(self, pick: int) -> None:
        memory_id = self.pick(pick)
        if memory_id in self.model.cut:
            with pytest.raises(kiromi.MemoryNotFound, match="gc"):
                self.store.undelete(memory_id)
            return
        key = (self.model.now.memories.get(memory_id) or self.model.last(memory_id)).fields.key
        if self.model.now.holder(key) not in (None, memory_id):
            with pytest.raises(kiromi.AlreadyExists):
                self.store.undelete(memory_id)
            return
        self.store.undelete(memory_id)
        with self.model.step() as step:
            step.undelete(memory_id)

    @rule(user=st.sampled_from(USERS), n=st.integers(0, 3), dry_run=st.booleans())
    def delete_where(self, user: str, n: int, dry_run: bool) -> None:
        live = self.model.now.memories
        chosen = sorted(i for i, held in live.items() if held.fields.user == user and held.fields.n >= n)
        report = self.store.delete_where({"user": user}, {"n": {"$gte": n}}, dry_run=dry_run)
        assert (report.applied, report.ids) == (not dry_run, tuple(chosen))
        if not dry_run:
            with self.model.step() as step:
                for memory_id in chosen:
                    step.delete(memory_id)

    @precondition(lambda self: len(self.model.now.memories) >= 2)
    @rule(wanted=fields, changed=changes, pick=picks, fails=st.booleans())
    def transaction(self, wanted: Fields, changed: dict[str, Any], pick: int, fails: bool) -> None:
        victim, other = self.pick_live(pick), self.pick_live(pick + 1)
        wanted = with_changes(wanted, {"key": self.model.now.memories[victim].fields.key, "is_expired": False})
        changed = {name: value for name, value in changed.items() if name not in ("key", "is_expired")}
        try:
            with self.store.transaction() as tx:
                tx.delete(victim)
                new = tx.append(**record_of(wanted)).id
                tx.update(other, **update_of(changed))
                tx.supersede(other, new)
                tx.link(new, "https://example.org/x", weight=1)
                if fails:
                    raise RuntimeError("fails")
        except RuntimeError:
            return
        with self.model.step() as step:
            step.delete(victim)
            step.append(new, wanted)
            step.change(other, with_changes(step.memories[other].fields, changed))
            step.supersede(other, new, is_later=False)
            step.link((f"kiromi://memory/{new}", "https://example.org/x", "explicit"), 1)
