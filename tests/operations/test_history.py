"""history: every version, with the interval in which it was the live one."""

from datetime import UTC, datetime

import pytest

import kiromi

ANA = {"user": "ana"}


def test_every_version_is_there(store: kiromi.Store) -> None:
    m = store.append("one", ANA, tags=["a"], attributes={"n": 1})
    store.append("between", ANA)
    store.update(m.id, content="two", attributes={"user": "bob"})
    store.delete(m.id)
    assert [(v.info.version, v.begin_seq, v.end_seq) for v in store.history(m.id)] == [(2, 3, 4), (1, 1, 3)]
    store.undelete(m.id)
    versions = store.history(m.id)
    assert [(v.info.version, v.begin_seq, v.end_seq) for v in versions] == [(3, 5, None), (2, 3, 4), (1, 1, 3)]
    first = versions[-1].info
    assert (first.tags, first.attributes, first.size) == (("a",), {"user": "ana", "n": 1}, 3)
    assert first.partition == {"user": "ana", "topic": "inbox"}
    assert first.path == f"attic/{m.id[-2:]}/{m.id}.1.md"
    assert versions[0].info == store.get(m.id).info()
    assert all(v.info.seq == v.begin_seq for v in versions)
    assert all(v.info.created_at == m.created_at for v in versions)


def test_a_path_is_where_the_content_lies(store: kiromi.Store) -> None:
    m = store.append("one", ANA)
    attic = f"attic/{m.id[-2:]}/{m.id}"
    store.update(m.id, title="t")
    at_first = f"data/user=ana/topic=inbox/{m.id}.1.md"
    assert [v.info.path for v in store.history(m.id)] == [at_first, at_first] == [m.path] * 2
    moved = store.update(m.id, attributes={"topic": "home"})
    assert [v.info.path for v in store.history(m.id)] == [f"data/user=ana/topic=home/{m.id}.1.md"] * 3
    assert store.history(m.id)[-1].info.partition == {"user": "ana", "topic": "inbox"}
    changed = store.update(m.id, content="two")
    assert [v.info.path for v in store.history(m.id)] == [changed.path, *[f"{attic}.1.md"] * 3]
    assert store.delete(m.id).path == f"{attic}.2.md"
    assert [v.info.path for v in store.history(m.id)] == [f"{attic}.2.md", *[f"{attic}.1.md"] * 3]
    store.undelete(m.id)
    assert [v.info.path for v in store.history(m.id)] == [*[changed.path] * 2, *[f"{attic}.1.md"] * 3]
    assert moved.path != changed.path


def test_a_path_does_not_tell_a_scope_where_a_memory_went(store: kiromi.Store) -> None:
    m = store.append("one", ANA)
    store.update(m.id, title="t")
    ana = store.scoped(ANA)
    assert [v.info.path for v in ana.history(m.id)] == [m.path] * 2
    moved = store.update(m.id, attributes={"user": "bob"})
    assert [v.info.path for v in ana.history(m.id)] == [f"attic/{m.id[-2:]}/{m.id}.1.md"] * 2
    assert [v.info.path for v in store.history(m.id)] == [moved.path] * 3


def test_it_survives_reopening(store: kiromi.Store) -> None:
    m = store.append("one", ANA)
    for i in range(5):
        store.update(m.id, content=str(i))
    before = store.history(m.id)
    root = store._base.session.root.url
    store.close()
    with kiromi.open(root) as again:
        assert again.history(m.id) == before


def test_bulk_and_journal_are_told_in_one_order(store: kiromi.Store) -> None:
    store.append_many([{"content": str(i), "partition": ANA, "key": str(i)} for i in range(100)])
    m = store.get(key="7")
    for i in range(3):
        store.update(m.id, title=str(i))
    assert [v.info.title for v in store.history(m.id)] == ["2", "1", "0", None]
    assert [v.end_seq for v in store.history(m.id)] == [None, 4, 3, 2]


def test_an_expired_memory_has_a_history(store: kiromi.Store) -> None:
    m = store.append("x", ANA, expires_at=datetime(2000, 1, 1, tzinfo=UTC))
    assert len(store.history(m.id)) == 1


def test_what_never_was_has_none(store: kiromi.Store) -> None:
    with pytest.raises(kiromi.MemoryNotFound):
        store.history("01ARZ3NDEKTSV4RRFFQ69G5FAV")
    with pytest.raises(kiromi.InvalidInput, match="ULID"):
        store.history("x")
