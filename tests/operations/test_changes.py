"""changes and audit: every event once, in order, from any seq on."""

from collections.abc import Callable
from typing import Any

import pytest

import kiromi
from kiromi.operations import history

ANA = {"user": "ana"}


def story(store: kiromi.Store) -> list[tuple[int, int, str, str]]:
    """What happened: (seq, i, op, id)."""
    a = store.append("a", ANA)
    b = store.append("b", ANA)
    store.update(a.id, content="a2")
    store.update(a.id, content="a2")  # changes nothing
    with store.transaction() as tx:
        tx.update(a.id, title="t")
        tx.delete(b.id)
        c = tx.append("c", ANA)
    reports: list[kiromi.BatchReport] = []
    store.append_many(({"content": "m", "partition": ANA} for _ in range(5)), batch_size=3, on_batch=reports.append)
    store.undelete(b.id)
    store.delete_where({"user": "ana"}, {"title": "t"}, dry_run=False)
    return [
        (1, 0, "append", a.id),
        (2, 0, "append", b.id),
        (3, 0, "update", a.id),
        (4, 0, "update", a.id),
        (4, 1, "delete", b.id),
        (4, 2, "append", c.id),
        *((5, i, "append", memory_id) for i, memory_id in enumerate(reports[0].ids)),
        *((6, i, "append", memory_id) for i, memory_id in enumerate(reports[1].ids)),
        (7, 0, "undelete", b.id),
        (8, 0, "delete", a.id),
    ]


def seen(changes: Any) -> list[tuple[int, int, str, str | None]]:
    return [(c.seq, c.i, c.op, c.id) for c in changes]


def test_everything_from_any_seq_on(store: kiromi.Store) -> None:
    expected = story(store)
    for since in range(10):
        assert seen(store.changes(since)) == [event for event in expected if event[0] > since]


@pytest.mark.parametrize("page", [1, 2, 3, 4, 100])
def test_pages_never_cut_an_operation(store: kiromi.Store, monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    expected = story(store)
    monkeypatch.setattr(history, "_PAGE", page)
    assert seen(store.changes()) == expected
    handled = 0
    got: list[Any] = []
    while True:  # a consumer that is restarted after every event and goes on after the last whole seq
        change = next(store.changes(handled), None)
        if change is None:
            break
        got += [event for event in seen(store.changes(handled)) if event[0] == change.seq]
        handled = change.seq
    assert got == expected


def test_what_happens_while_reading_is_not_missed(store: kiromi.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "_PAGE", 2)
    for i in range(4):
        store.append(str(i), ANA)
    got = []
    for change in store.changes():
        got.append(change.seq)
        if change.seq <= 4:
            store.append("more", ANA)
    assert got == list(range(1, 9))


def test_it_survives_reopening(store: kiromi.Store) -> None:
    story(store)
    before = list(store.changes())
    root = store._base.session.root.url
    store.close()
    with kiromi.open(root) as again:
        assert list(again.changes()) == before


def test_the_audit_of_one_memory(store: kiromi.Store) -> None:
    expected = story(store)
    memory_id = expected[0][3]
    entries = store.audit(id=memory_id)
    assert [(e.seq, e.i, e.op, e.memory_id) for e in entries] == [e for e in expected if e[3] == memory_id]
    assert [e.seq for e in store.audit(3, id=memory_id)] == [4, 8]
    assert [(e.seq, e.i) for e in store.audit(limit=4)] == [event[:2] for event in expected[:4]]
    assert store.audit(limit=0) == []
    assert store.audit(100) == []


def test_times_never_decrease_and_hashes_differ(store: kiromi.Store) -> None:
    story(store)
    entries = store.audit()
    assert [e.at for e in entries] == sorted(e.at for e in entries)
    assert len({e.hash for e in entries}) == len(entries)
    assert all(e.actor == "tester" for e in entries)


def test_detail_holds_facts_never_content(store: kiromi.Store) -> None:
    m = store.append("hush hush", ANA, title="hush", tags=["hush"], attributes={"hush": "hush"})
    store.update(m.id, content="hush!", title="hush!", attributes={"hush": "hush!"})
    store.delete(m.id)
    assert [set(e.detail) for e in store.audit()] == [
        {"version", "n", "path", "size", "sha256"},
        {"version", "changed", "n", "sha256"},
        {"version", "path"},
    ]
    assert "hush" not in str([e.detail for e in store.audit()])


@pytest.mark.parametrize("since", [-1, 1.5, "1", None, True, 2**63, 2**200], ids=repr)
def test_since_is_a_seq(store: kiromi.Store, since: Any) -> None:
    calls: list[Callable[..., Any]] = [store.audit, lambda since: list(store.changes(since))]
    for call in calls:
        with pytest.raises(kiromi.InvalidInput, match="since="):
            call(since)


@pytest.mark.parametrize("limit", [-1, 1.5, "1", True], ids=repr)
def test_limit_is_a_count(store: kiromi.Store, limit: Any) -> None:
    with pytest.raises(kiromi.InvalidInput, match="limit="):
        store.audit(limit=limit)


def test_an_unknown_memory_has_no_entries(store: kiromi.Store) -> None:
    assert store.audit(id="01ARZ3NDEKTSV4RRFFQ69G5FAV") == []
    with pytest.raises(kiromi.InvalidInput, match="ULID"):
        store.audit(id="x")
