"""Random histories of a store, compared after every step with a model in plain Python, catalog and disk alike."""

import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import kiromi
from tests.operations.tree import attic_files, data_files, staged_files
from tests.state.model import Entry, Fields, Model, with_changes

USERS = ("acme", "acme-corp", "ACME")
TOPICS = (None, "t", "%")
KEYS = (None, None, "a", "b", "A")
PAST = datetime(2000, 1, 1, tzinfo=UTC)

texts = st.sampled_from(("", "one", "two", "three"))
fields = st.builds(
    Fields,
    text=texts,
    user=st.sampled_from(USERS),
    topic=st.sampled_from(TOPICS),
    key=st.sampled_from(KEYS),
    n=st.integers(0, 3),
    is_expired=st.sampled_from((False, False, False, True)),
)
changes = st.fixed_dictionaries(
    {},
    optional={
        "text": texts,
        "user": st.sampled_from(USERS),
        "topic": st.sampled_from(TOPICS),
        "key": st.sampled_from(KEYS),
        "n": st.integers(0, 3),
        "is_expired": st.booleans(),
    },
)
picks = st.integers(0, 1_000)


def record_of(wanted: Fields) -> dict[str, Any]:
    partition = {"user": wanted.user} if wanted.topic is None else {"user": wanted.user, "topic": wanted.topic}
    return {
        "content": wanted.text,
        "partition": partition,
        "attributes": {"n": wanted.n},
        "key": wanted.key,
        "expires_at": PAST if wanted.is_expired else None,
    }


def update_of(changed: dict[str, Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    attributes = {name: changed[name] for name in ("user", "topic", "n") if name in changed}
    if attributes:
        arguments["attributes"] = attributes
    if "text" in changed:
        arguments["content"] = changed["text"]
    if "key" in changed:
        arguments["key"] = changed["key"]
    if "is_expired" in changed:
        arguments["expires_at"] = PAST if changed["is_expired"] else None
    return arguments


def fields_of(info: kiromi.MemoryInfo, text: str) -> Fields:
    attributes: Any = info.attributes
    return Fields(
        text, attributes["user"], attributes.get("topic"), info.key, attributes["n"], info.expires_at is not None
    )


class StoreMachine(RuleBasedStateMachine):
    """Drives a store and the model side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="kiromi-state-"))
        self.root = self.folder / "s"
        self.model = Model()

    @initialize()
    def create(self) -> None:
        self.store = kiromi.open(self.root, scheme="user={user}/topic={topic|inbox}", durability="relaxed")

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
        shutil.rmtree(self.folder)

    def pick(self, pick: int) -> str:
        ids = sorted(self.model.entries)
        return ids[pick % len(ids)]

    # -- what users do --------------------------------------------------------------------------------------------

    @rule(wanted=fields)
    def append(self, wanted: Fields) -> None:
        if self.model.holder(wanted.key) is not None:
            with pytest.raises(kiromi.AlreadyExists):
                self.store.append(**record_of(wanted))
            return
        self.model.append(self.store.append(**record_of(wanted)).id, wanted)
        self.model.seq += 1

    @rule(many=st.lists(fields, min_size=1, max_size=5))
    def append_many(self, many: list[Fields]) -> None:
        keys = [wanted.key for wanted in many if wanted.key is not None]
        if len(set(keys)) < len(keys) or any(self.model.holder(key) for key in keys):
            with pytest.raises(kiromi.AlreadyExists):
                self.store.append_many(map(record_of, many))
            return
        reports: list[kiromi.BatchReport] = []
        self.store.append_many(map(record_of, many), on_batch=reports.append)
        for memory_id, wanted in zip(reports[0].ids, many, strict=True):
            self.model.append(memory_id, wanted)
        self.model.seq += 1

    @rule(wanted=fields, key=st.sampled_from(("a", "b", "A")))
    def put(self, wanted: Fields, key: str) -> None:
        wanted = with_changes(wanted, {"key": key})
        holder = self.model.holder(key)
        m = self.store.put(**record_of(wanted))
        if holder is None:
            self.model.append(m.id, wanted)
            self.model.seq += 1
        else:
            assert m.id == holder
            self.model.seq += self.model.change(holder, wanted)

    @precondition(lambda self: self.model.entries)
    @rule(pick=picks, changed=changes, is_stale=st.booleans())
    def update(self, pick: int, changed: dict[str, Any], is_stale: bool) -> None:
        memory_id = self.pick(pick)
        entry = self.model.entries[memory_id]
        expected = entry.version + 1 if is_stale else entry.version
        wanted = with_changes(entry.fields, changed)
        if not entry.is_live:
            error: type[Exception] | None = kiromi.MemoryDeleted
        elif self.model.holder(wanted.key) not in (None, memory_id):
            error = kiromi.AlreadyExists
        elif is_stale and wanted != entry.fields:
            error = kiromi.VersionConflict
        else:
            error = None
        if error is not None:
            with pytest.raises(error):
                self.store.update(memory_id, expected_version=expected, **update_of(changed))
            return
        m = self.store.update(memory_id, expected_version=expected, **update_of(changed))
        self.model.seq += self.model.change(memory_id, wanted)
        assert (m.version, m.text) == (entry.version, wanted.text)

    @precondition(lambda self: self.model.entries)
    @rule(pick=picks)
    def delete(self, pick: int) -> None:
        memory_id = self.pick(pick)
        self.store.delete(memory_id)
        self.model.seq += self.model.delete(memory_id)

    @precondition(lambda self: self.model.entries)
    @rule(pick=picks)
    def undelete(self, pick: int) -> None:
        memory_id = self.pick(pick)
        entry = self.model.entries[memory_id]
        if self.model.holder(entry.fields.key) not in (None, memory_id):
            with pytest.raises(kiromi.AlreadyExists):
                self.store.undelete(memory_id)
            return
        self.store.undelete(memory_id)
        self.model.seq += self.model.undelete(memory_id)

    @rule(user=st.sampled_from(USERS), n=st.integers(0, 3), dry_run=st.booleans())
    def delete_where(self, user: str, n: int, dry_run: bool) -> None:
        chosen = sorted(i for i, e in self.model.live.items() if e.fields.user == user and e.fields.n >= n)
        report = self.store.delete_where({"user": user}, {"n": {"$gte": n}}, dry_run=dry_run)
        assert (report.applied, report.ids) == (not dry_run, tuple(chosen))
        if not dry_run:
            for memory_id in chosen:
                self.model.delete(memory_id)
            self.model.seq += bool(chosen)

    @precondition(lambda self: len(self.model.live) >= 2)
    @rule(wanted=fields, changed=changes, pick=picks, fails=st.booleans())
    def transaction(self, wanted: Fields, changed: dict[str, Any], pick: int, fails: bool) -> None:
        ids = sorted(self.model.live)
        victim, other = ids[pick % len(ids)], ids[(pick + 1) % len(ids)]
        wanted = with_changes(wanted, {"key": self.model.entries[victim].fields.key})
        changed = {name: value for name, value in changed.items() if name != "key"}
        try:
            with self.store.transaction() as tx:
                tx.delete(victim)
                new = tx.append(**record_of(wanted))
                tx.update(other, **update_of(changed))
                if fails:
                    raise RuntimeError("fails")
        except RuntimeError:
            return
        self.model.delete(victim)
        self.model.append(new.id, wanted)
        self.model.change(other, with_changes(self.model.entries[other].fields, changed))
        self.model.seq += 1

    @rule(dry_run=st.booleans())
    def gc(self, dry_run: bool) -> None:
        live = sorted(self.model.live)
        report = self.store.gc("0", dry_run=dry_run)
        if dry_run:
            assert report.memories == len(self.model.entries) - len(live)
        else:
            assert report.versions == self.model.collect()
            self.model.seq += 3 if report.versions else 0

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = kiromi.open(self.root, durability="relaxed")

    # -- what has to hold -----------------------------------------------------------------------------------------

    @invariant()
    def the_disk_shows_the_live_memories(self) -> None:
        assert data_files(self.root) == self.model.data()
        assert attic_files(self.root) == self.model.attic()
        assert not staged_files(self.root)

    @invariant()
    def listings_agree(self) -> None:
        shown = self.model.shown

        def ids(test: Any) -> list[str]:
            return sorted(memory_id for memory_id, entry in shown.items() if test(entry.fields))

        assert self.store.seq == self.model.seq
        assert self.store.list_ids() == ids(lambda f: True)
        for user in USERS:
            expected = ids(lambda f, user=user: f.user == user)
            scoped = self.store.scoped({"user": user})
            assert self.store.list_ids({"user": user}) == scoped.list_ids() == expected
            assert scoped.count(where={"n": {"$gte": 2}}) == len(ids(lambda f, user=user: f.user == user and f.n >= 2))
        assert self.store.list_ids({"topic": "%"}) == ids(lambda f: f.topic == "%")
        assert self.store.list_ids({"topic": "inbox"}) == ids(lambda f: f.topic is None)
        assert self.store.count(where={"topic": {"$exists": True}}) == len(ids(lambda f: f.topic is not None))
        items = self.store.list(order_by="-size", limit=100).items
        by_size = sorted(ids(lambda f: True), key=lambda i: -len(shown[i].fields.text))
        assert [m.id for m in items] == by_size
        counts = {p.path: p.count for p in self.store.partitions()}
        folders = [path.rpartition("/")[0] for path in self.model.data()]
        assert counts == {folder: folders.count(folder) for folder in folders}

    @invariant()
    def every_memory_agrees(self) -> None:
        for memory_id, entry in self.model.entries.items():
            versions = self.store.history(memory_id)
            former = [(v.info.version, fields_of(v.info, "")) for v in reversed(versions) if v.end_seq is not None]
            assert former == [(version, with_changes(f, {"text": ""})) for version, f in entry.closed]
            self.one_memory_agrees(memory_id, entry)
        for key in ("a", "b", "A"):
            holder = self.model.holder(key)
            if holder in self.model.shown:
                assert self.store.get(key=key).id == holder
            else:
                assert not self.store.exists(key=key)

    def one_memory_agrees(self, memory_id: str, entry: Entry) -> None:
        if entry.is_live and not entry.fields.is_expired:
            m = self.store.get(memory_id)
            assert fields_of(m, m.text) == entry.fields
            assert (m.version, m.path) == (entry.version, f"data/{entry.path(memory_id)}")
            return
        expected = kiromi.MemoryExpired if entry.is_live else kiromi.MemoryDeleted
        with pytest.raises(expected):
            self.store.get(memory_id)
        assert not self.store.exists(memory_id)


BASE = settings(deadline=None, suppress_health_check=list(HealthCheck))


def test_any_history() -> None:
    run_state_machine_as_test(StoreMachine, settings=settings(BASE, max_examples=15, stateful_step_count=15))


@pytest.mark.torture
def test_many_long_histories() -> None:
    run_state_machine_as_test(StoreMachine, settings=settings(BASE, max_examples=400, stateful_step_count=60))
