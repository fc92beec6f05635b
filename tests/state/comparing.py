"""Comparisons of a store with the model: the present, the disk, past moments, and what differs between two."""

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import kiromi
from tests.operations.tree import attic_files, data_files, staged_files
from tests.state.model import Model
from tests.state.states import DEFAULT_TOPICS, SCHEMES, Difference, Held, State
from tests.state.values import FUTURE, USERS, WORDS, facts_expected, facts_of

_ALL = 10_000
_COLUMNS = ("id", "version", "seq", "path", "superseded_by", "superseded_at")


def check_disk(root: Path, model: Model) -> None:
    assert data_files(root) == model.data()
    assert attic_files(root) == model.attic()
    assert not staged_files(root)


def check_seen(store: kiromi.Store, model: Model) -> None:
    """Compare all live memories with their contents, as they are published: no SQL, so what is in the journal stays."""
    assert store.seq == model.seq
    shown = sorted(model.now.shown.items())
    found = store.get_many(sorted(model.ids), missing="skip")
    assert [(m.id, facts_of(m), m.path, m.text) for m in found] == [
        (i, facts_expected(held), f"data/{held.path(i)}", held.fields.text) for i, held in shown
    ]


def check_present(store: kiromi.Store, model: Model) -> None:
    """Compare all live memories with their contents, and the links, as the tables have them."""
    check_seen(store, model)
    _check_memories(store, model.now)
    _check_links(store, model.now)


def check_table(view: kiromi.StoreView, model: Model, seq: int) -> None:
    """Compare all memories of a moment, with their contents, in one call, and the links."""
    state = model.states[seq]
    found = view.to_arrow(columns=_COLUMNS, with_content=True).to_pylist()
    assert [(row["id"], row["version"], row["seq"], row["path"], row["content"]) for row in found] == [
        (i, held.version, held.begin, f"data/{held.path(i)}", held.fields.text.encode())
        for i, held in sorted(state.shown.items())
    ]
    assert {row["id"]: (row["superseded_by"], row["superseded_at"] == FUTURE) for row in found} == {
        i: (held.superseded[0], held.superseded[1] is None) if held.superseded else (None, False)
        for i, held in state.shown.items()
    }
    _check_links(view, state)


def check_moment(view: kiromi.StoreView, model: Model, seq: int, turn: int) -> None:
    """Compare a view of a moment: what it shows, and one of several groups of other questions, by turn."""
    state = model.states[seq]
    assert (view.seq, view.scheme) == (seq, SCHEMES[state.scheme])
    check_table(view, model, seq)
    match turn % 4:
        case 0:
            check_listings(view, state, turn // 4)
        case 1:
            check_search(view, state, WORDS[turn // 4 % len(WORDS)])
        case 2:
            for memory_id in _some(model.ids, turn // 4, 1):
                check_history(view, model, memory_id, seq)
        case 3:
            _check_memories(view, state)
            check_keys(view, state, turn // 4)


def check_listings(target: kiromi.Store | kiromi.StoreView, state: State, turn: int) -> None:
    """Compare one of several groups of scopes, filters and orders, by turn."""
    shown = state.shown

    def ids(test: Any) -> list[str]:
        return sorted(memory_id for memory_id, held in shown.items() if test(held.fields))

    user = USERS[turn % len(USERS)]
    assert target.list_ids({"user": user}) == ids(lambda f: f.user == user)
    if turn % 3 == 0:
        assert target.count(where={"topic": {"$exists": True}}) == len(ids(lambda f: f.topic is not None))
        items = target.list(order_by="-size", limit=_ALL).items
        assert [m.id for m in items] == sorted(ids(lambda f: True), key=lambda i: -len(shown[i].fields.text))
    elif turn % 3 == 1:
        assert target.list_ids({"topic": "%"}) == ids(lambda f: f.topic == "%")
        for topic in set(DEFAULT_TOPICS):
            is_default = topic == DEFAULT_TOPICS[state.scheme]
            assert target.list_ids({"topic": topic}) == (ids(lambda f: f.topic is None) if is_default else [])
        standing = [i for i, held in sorted(shown.items()) if held.superseded is None]
        assert target.list_ids(where={"superseded_by": {"$exists": False}}) == standing
    else:
        folders = [held.partition for held in state.memories.values()]
        counts = {p.path: p.count for p in target.partitions()}
        assert counts == {folder: folders.count(folder) for folder in folders}
        assert target.count({"user": user}, {"n": {"$gte": 2}}) == len(ids(lambda f: f.user == user and f.n >= 2))


def check_scoped(store: kiromi.Store, state: State, turn: int) -> None:
    user = USERS[turn % len(USERS)]
    scoped = store.scoped({"user": user})
    mine = sorted(i for i, held in state.shown.items() if held.fields.user == user)
    assert scoped.list_ids() == mine
    assert scoped.count(where={"n": {"$gte": 2}}) == sum(state.memories[i].fields.n >= 2 for i in mine)


def check_history(target: kiromi.Store | kiromi.StoreView, model: Model, memory_id: str, seq: int) -> None:
    """Compare the versions of a memory, and whether it can be got, at a moment."""
    expected = model.history(memory_id, seq)
    if not expected:
        for ask in (target.history, target.get):
            with pytest.raises(kiromi.MemoryNotFound) as missing:
                ask(memory_id)
            assert missing.type is kiromi.MemoryNotFound
        return
    live = model.states[seq].memories.get(memory_id)
    versions = target.history(memory_id)
    assert [(facts_of(v.info), v.info.path, v.begin_seq, v.end_seq) for v in versions] == [
        (facts_expected(held), _place(memory_id, held, live), held.begin, end) for held, end in expected
    ]
    if live is None or live.fields.is_expired:
        with pytest.raises(kiromi.MemoryDeleted if live is None else kiromi.MemoryExpired):
            target.get(memory_id)
        assert not target.exists(memory_id)
    else:
        m = target.get(memory_id)
        assert (m.text, facts_of(m)) == (live.fields.text, facts_expected(live))


def check_keys(target: kiromi.Store | kiromi.StoreView, state: State, turn: int) -> None:
    key = ("a", "b", "A")[turn % 3]
    holder = state.holder(key)
    if holder in state.shown:
        assert target.get(key=key).id == holder
    else:
        assert not target.exists(key=key)


def check_search(target: kiromi.Store | kiromi.StoreView, state: State, word: str) -> None:
    hits = target.search(word, mode="text", k=_ALL)
    assert {hit.id for hit in hits} == state.found(word)
    assert all(hit.text == state.memories[hit.id].fields.text for hit in hits)


def check_diff(store: kiromi.Store, model: Model, a: int, b: int) -> None:
    """Compare what differs between two moments."""
    told = store.diff(a, b)
    assert (told.before_seq, told.after_seq) == (a, b)
    found = Difference(
        added={one.id for one in told.added},
        removed={one.id for one in told.removed},
        changed={one.id: frozenset(one.fields) for one in told.changed},
        moved={one.id: frozenset(one.fields) for one in told.moved},
        links={(one.last.src, one.last.dst, one.last.kind) for one in told.links},
    )
    assert found == model.difference(a, b)
    for one in (*told.added, *told.removed, *told.changed, *told.moved):
        for info, seq in ((one.before, a), (one.after, b)):
            held = model.states[seq].memories.get(one.id)
            assert (None if info is None else facts_of(info)) == (None if held is None else facts_expected(held))


def check_thoroughly(store: kiromi.Store, model: Model, root: Path) -> None:
    """Compare the present in all ways, every snapshot, some of the other moments, those that cannot be read, and diffs.

    What a step does to the past stays: it is found sooner or later.
    """
    check_disk(root, model)
    check_present(store, model)
    for memory_id in sorted(model.ids | model.forgotten):
        check_history(store, model, memory_id, model.seq)
    for turn, word in enumerate(WORDS):
        check_keys(store, model.now, turn)
        check_listings(store, model.now, turn)
        check_search(store, model.now, word)
    moments = sorted({*model.snapshots.values(), *_some(model.moments, model.seq, 4), model.seq})
    for turn, seq in enumerate(moments):
        check_moment(store.at(seq), model, seq, turn + model.seq)
    for a, b in zip(moments, moments[1:] + moments[:1], strict=True):
        check_diff(store, model, a, b)
    for seq in _some(set(range(model.floor)) - set(model.moments), model.seq, 3):
        with pytest.raises(kiromi.SnapshotNotFound):
            store.at(seq)


def _some(of: Iterable[Any], turn: int, count: int) -> list[Any]:
    """Return a few of many, others by turn."""
    every = sorted(of)
    return random.Random(turn).sample(every, min(count, len(every)))


def _check_memories(target: kiromi.Store | kiromi.StoreView, state: State) -> None:
    shown = sorted(state.shown.items())
    items = target.list(limit=_ALL).items
    assert [(m.id, facts_of(m), m.path) for m in items] == [
        (i, facts_expected(held), f"data/{held.path(i)}") for i, held in shown
    ]
    assert [m.text for m in target.get_many([i for i, _ in shown])] == [held.fields.text for _, held in shown]


def _check_links(target: kiromi.Store | kiromi.StoreView, state: State) -> None:
    assert {(link.src, link.dst, link.kind): (link.weight, link.seq) for link in target.links()} == state.links


def _place(memory_id: str, held: Held, live: Held | None) -> str:
    """Return where the content of a version lies."""
    if live is not None and live.content == held.content:
        return f"data/{live.path(memory_id)}"
    return f"attic/{memory_id[-2:]}/{memory_id}.{held.content}.md"
