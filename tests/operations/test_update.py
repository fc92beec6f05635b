"""update: what is given replaces, the rest stays; the blob follows the row in the same operation."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import kiromi
from tests.operations.tree import attic_files, data_files, staged_files

ANA = {"user": "ana", "topic": "travel"}
AT = datetime(2020, 1, 2, tzinfo=UTC)
FULL: dict[str, Any] = {
    "key": "k",
    "namespace": "n",
    "kind": "semantic",
    "title": "t",
    "tags": ("a",),
    "language": "en",
    "importance": 0.5,
    "confidence": 0.5,
    "event_at": AT,
    "valid_from": AT,
    "valid_until": datetime(2021, 1, 1, tzinfo=UTC),
    "expires_at": datetime(9999, 1, 1, tzinfo=UTC),
}


def test_new_content_is_a_new_blob_and_the_old_one_rests(store: kiromi.Store, root: Path) -> None:
    m = store.append("one", ANA, tags=["a"])
    u = store.update(m.id, content="two")
    assert (u.version, u.text, u.tags, u.seq, u.created_at) == (2, "two", ("a",), 2, m.created_at)
    assert u.updated_at >= m.updated_at
    assert store.get(m.id) == u
    assert data_files(root) == {f"user=ana/topic=travel/{m.id}.2.md": b"two"}
    assert attic_files(root) == {f"{m.id[-2:]}/{m.id}.1.md": b"one"}
    assert not staged_files(root)


def test_metadata_keeps_the_blob(store: kiromi.Store, root: Path) -> None:
    m = store.append("one", ANA)
    before = data_files(root)
    u = store.update(m.id, title="t", attributes={"trip": 7})
    assert (u.version, u.text) == (2, "one")
    assert data_files(root) == before
    assert not attic_files(root)


def test_attributes_are_merged_and_none_removes(store: kiromi.Store) -> None:
    m = store.append("x", ANA, attributes={"a": 1, "b": 2})
    u = store.update(m.id, attributes={"a": None, "c": Decimal("3.0"), "never": None})
    assert u.attributes == {"user": "ana", "topic": "travel", "b": 2, "c": Decimal("3.0")}
    assert store.get(m.id).attributes == u.attributes


@pytest.mark.parametrize("name", [name for name in FULL if name not in ("kind", "namespace", "event_at", "tags")])
def test_none_clears(store: kiromi.Store, name: str) -> None:
    m = store.append("x", ANA, **FULL)
    u = store.update(m.id, **{name: None})
    assert getattr(u, name) is None
    assert u.version == 2
    for other in FULL:
        assert other == name or getattr(u, other) == FULL[other]


@pytest.mark.parametrize(("name", "cleared"), [("kind", "episodic"), ("namespace", ""), ("tags", ())])
def test_none_clears_to_the_default(store: kiromi.Store, name: str, cleared: object) -> None:
    m = store.append("x", ANA, **FULL)
    assert getattr(store.update(m.id, **{name: None}), name) == cleared


def test_event_at_clears_to_created_at(store: kiromi.Store) -> None:
    m = store.append("x", ANA, event_at=AT)
    assert store.update(m.id, event_at=None).event_at == m.created_at


def test_an_attribute_that_the_scheme_reads_moves_the_blob(store: kiromi.Store, root: Path) -> None:
    m = store.append("x", ANA)
    u = store.update(m.id, attributes={"topic": "food"})
    assert u.partition == {"user": "ana", "topic": "food"}
    assert u.version == 2
    assert data_files(root) == {f"user=ana/topic=food/{m.id}.1.md": b"x"}
    assert not (root / "default/data/user=ana/topic=travel").exists(), "an empty folder goes"
    assert store.list_ids(within={"topic": "travel"}) == []
    assert store.list_ids(within={"topic": "food"}) == [m.id]


def test_removing_it_takes_the_default_or_is_refused(store: kiromi.Store, root: Path) -> None:
    m = store.append("x", ANA)
    assert store.update(m.id, attributes={"topic": None}).partition["topic"] == "inbox"
    with pytest.raises(kiromi.InvalidInput, match="'user' is absent"):
        store.update(m.id, attributes={"user": None})
    assert store.get(m.id).version == 2
    assert list(data_files(root)) == [f"user=ana/topic=inbox/{m.id}.1.md"]


def test_partition_names_and_values(store: kiromi.Store) -> None:
    m = store.append("x", ANA, attributes={"a": 1})
    assert store.update(m.id, partition={"topic": "food"}).attributes == {"user": "ana", "topic": "food", "a": 1}
    assert store.update(m.id, partition={"topic": None}).attributes["topic"] is None, "None is a value of a partition"
    assert store.get(m.id).partition["topic"] is None
    with pytest.raises(kiromi.InvalidInput, match="'nope'"):
        store.update(m.id, partition={"nope": 1})
    with pytest.raises(kiromi.InvalidInput, match="two values"):
        store.update(m.id, partition={"topic": "a"}, attributes={"topic": "b"})
    with pytest.raises(kiromi.InvalidInput, match="two values"):
        store.update(m.id, partition={"topic": 1}, attributes={"topic": True})
    with pytest.raises(kiromi.InvalidInput, match="two values"):
        store.update(m.id, partition={"topic": "a"}, attributes={"topic": None})
    assert store.update(m.id, partition={"topic": "c"}, attributes={"topic": "c"}).partition["topic"] == "c"


def test_built_ins_in_the_partition_set_the_field(tmp_path: Path) -> None:
    with kiromi.open(tmp_path / "s", scheme="kind={kind}/day={event_at:day}/key={key|none}") as store:
        m = store.append("x", attributes={"kind": "an attribute of that name"})
        u = store.update(m.id, partition={"kind": "semantic", "event_at": AT, "key": "k"})
        assert (u.kind, u.event_at, u.key) == ("semantic", AT, "k")
        assert u.partition == {"kind": "semantic", "day": "2020-01-02", "key": "k"}
        assert u.attributes == {"kind": "an attribute of that name"}
        assert store.update(m.id, partition={"kind": "semantic"}).version == u.version
        with pytest.raises(kiromi.InvalidInput, match="two values"):
            store.update(m.id, partition={"kind": "a"}, kind="b")
        with pytest.raises(kiromi.InvalidInput, match="'id' is a built-in"):
            store.update(m.id, partition={"id": m.id})


def test_built_in_fields_move_too(tmp_path: Path) -> None:
    root = tmp_path / "s"
    with kiromi.open(root, scheme="kind={kind}/month={event_at:month}") as store:
        m = store.append("x", event_at=AT)
        store.update(m.id, kind="working", event_at=datetime(2021, 5, 1, tzinfo=UTC))
        assert list(data_files(root)) == [f"kind=working/month=2021-05/{m.id}.1.md"]


def test_there_and_back_again(store: kiromi.Store, root: Path) -> None:
    m = store.append("x", ANA)
    for user in ("bob", "ana", "eve", "ana"):
        store.update(m.id, attributes={"user": user})
        assert list(data_files(root)) == [f"user={user}/topic=travel/{m.id}.1.md"]
    assert store.get(m.id).version == 5
    assert not attic_files(root)


def test_content_there_and_back_again(store: kiromi.Store, root: Path) -> None:
    m = store.append("one", ANA)
    store.update(m.id, content="two")
    u = store.update(m.id, content="one")
    assert u.version == 3
    assert data_files(root) == {f"user=ana/topic=travel/{m.id}.3.md": b"one"}
    assert sorted(attic_files(root).values()) == [b"one", b"two"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"content": "one"},
        {"tags": ["a"]},
        {"attributes": {"user": "ana", "n": 1}},
        {"attributes": {"never": None}},
        {"attributes": None},
        {"partition": {"topic": "travel"}},
        {"partition": None},
        {"title": None, "kind": "episodic", "namespace": ""},
        {"media_type": "text/markdown"},
    ],
    ids=repr,
)
def test_nothing_new_makes_no_version(store: kiromi.Store, root: Path, fields: dict[str, Any]) -> None:
    m = store.append("one", ANA, tags=["a"], attributes={"n": 1})
    assert store.update(m.id, **fields) == m
    assert store.update(m.id, expected_version=99, **fields) == m, "already as wished"
    assert store.seq == 1
    assert len(store.history(m.id)) == len(store.audit()) == len(data_files(root)) == 1


def test_a_value_of_another_type_is_a_change(store: kiromi.Store) -> None:
    m = store.append("one", ANA, attributes={"n": 1})
    assert repr(store.update(m.id, attributes={"n": 1.0}).attributes["n"]) == "1.0"
    assert repr(store.update(m.id, attributes={"n": True}).attributes["n"]) == "True"
    assert store.get(m.id).version == 3


def test_expected_version(store: kiromi.Store) -> None:
    m = store.append("one", ANA)
    assert store.update(m.id, expected_version=1, title="a").version == 2
    with pytest.raises(kiromi.VersionConflict, match="has version 2, not 1") as conflict:
        store.update(m.id, expected_version=1, title="b")
    assert conflict.value.details == {"id": m.id, "version": 2, "expected_version": 1}
    assert store.get(m.id).title == "a"
    assert store.seq == 2
    assert store.update(m.id, expected_version=1, title="a").version == 2, "forgiven: already as wished"


def test_a_media_type_change_is_a_new_blob(store: kiromi.Store, root: Path) -> None:
    m = store.append('{"a": 1}', ANA)
    u = store.update(m.id, media_type="application/json")
    assert (u.version, u.text, u.sha256) == (2, m.text, m.sha256)
    assert list(data_files(root)) == [f"user=ana/topic=travel/{m.id}.2.json"]
    assert list(attic_files(root)) == [f"{m.id[-2:]}/{m.id}.1.md"]
    assert [v.info.media_type for v in store.history(m.id)] == ["application/json", "text/markdown"]


def test_a_media_type_has_to_suit_the_content(store: kiromi.Store) -> None:
    m = store.append(b"\xff", ANA)
    with pytest.raises(kiromi.InvalidInput, match="not UTF-8"):
        store.update(m.id, media_type="text/plain")
    text = store.append("ok", ANA, media_type="text/plain")
    with pytest.raises(kiromi.InvalidInput, match="not UTF-8"):
        store.update(text.id, content=b"\xff", media_type="text/plain")
    assert store.get(text.id).text == "ok"


@pytest.mark.parametrize(
    ("before", "media_type", "content", "after"),
    [
        ("text", None, b"\xff", "application/octet-stream"),
        ("text", None, bytearray(b"\xff"), "application/octet-stream"),
        (b"\xff", None, "text", "text/markdown"),
        (b"%PDF", "application/pdf", b"%PDF-2", "application/pdf"),
        (b"%PDF", "application/pdf", bytearray(b"%PDF-2"), "application/pdf"),
        (b"%PDF", "application/pdf", "text", "text/markdown"),
        ("{}", "application/json", "[]", "application/json"),
        ("a", "text/plain", "", "text/plain"),
    ],
    ids=repr,
)
def test_what_new_content_is_follows_from_its_type(
    store: kiromi.Store, before: Any, media_type: str | None, content: Any, after: str
) -> None:
    m = store.append(before, ANA, media_type=media_type)
    u = store.update(m.id, content=content)
    assert u.media_type == after
    assert store.get(m.id).data == (content.encode() if isinstance(content, str) else bytes(content))


def test_empty_content_and_back(store: kiromi.Store, root: Path) -> None:
    m = store.append("one", ANA)
    assert store.update(m.id, content="").size == 0
    assert list(data_files(root).values()) == [b""]
    assert store.update(m.id, content="one").text == "one"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"updated_at": AT}, "cannot change 'updated_at'"),
        ({"created_at": AT}, "cannot change 'created_at'"),
        ({"colour": 1}, "cannot change 'colour'"),
        ({"content": None}, "content None"),
        ({"content": "\ud800"}, "surrogate"),
        ({"attributes": []}, r"attributes=\[\] is not a mapping"),
        ({"attributes": {"user": ""}}, "empty"),
        ({"attributes": {"n": float("inf")}}, "not finite"),
        ({"partition": "x"}, "partition='x' is not a mapping"),
        ({"importance": 2}, "from 0 to 1"),
        ({"valid_from": AT, "valid_until": AT}, "not before"),
        ({"key": ""}, "key ''"),
    ],
    ids=repr,
)
def test_what_is_refused_changes_nothing(store: kiromi.Store, root: Path, fields: dict[str, Any], message: str) -> None:
    m = store.append("one", ANA)
    with pytest.raises(kiromi.InvalidInput, match=message):
        store.update(m.id, **fields)
    assert store.get(m.id) == m
    assert store.seq == 1
    assert list(data_files(root).values()) == [b"one"]


def test_keys(store: kiromi.Store) -> None:
    one, two = store.append("1", ANA, key="a"), store.append("2", ANA, key="b")
    with pytest.raises(kiromi.AlreadyExists, match="'b'"):
        store.update(one.id, key="b")
    store.update(one.id, namespace="n")
    store.update(two.id, key="a")
    assert store.get(key="a").id == two.id
    assert store.get(key="a", namespace="n").id == one.id
    with pytest.raises(kiromi.MemoryNotFound):
        store.get(key="b")
    with pytest.raises(kiromi.AlreadyExists):
        store.update(one.id, namespace=None)


def test_what_is_not_there_cannot_be_updated(store: kiromi.Store) -> None:
    m = store.append("x", ANA)
    store.delete(m.id)
    with pytest.raises(kiromi.MemoryDeleted):
        store.update(m.id, title="t")
    with pytest.raises(kiromi.MemoryNotFound):
        store.update("01ARZ3NDEKTSV4RRFFQ69G5FAV", title="t")


def test_an_expired_memory_can_be_prolonged(store: kiromi.Store) -> None:
    m = store.append("x", ANA, expires_at=AT)
    store.update(m.id, expires_at=None)
    assert store.get(m.id).text == "x"


def test_guards_see_the_whole_draft(root: Path) -> None:
    seen: list[kiromi.Draft] = []

    def guard(draft: kiromi.Draft) -> kiromi.Draft:
        seen.append(draft)
        if b"secret" in draft.content:
            raise ValueError("no")
        return draft

    with kiromi.open(root, scheme="user={user}", guards=[guard]) as store:
        m = store.append("one", {"user": "ana"}, tags=["a"], attributes={"n": 1})
        store.update(m.id, title="t")
        assert (seen[-1].content, seen[-1].title, seen[-1].tags) == (b"one", "t", ("a",))
        assert seen[-1].attributes == {"user": "ana", "n": 1}
        with pytest.raises(ValueError, match="no"):
            store.update(m.id, content="a secret")
        assert store.get(m.id).text == "one"
        assert store.get(m.id).version == 2


def test_guards_can_change_an_update(root: Path) -> None:
    def upper(draft: kiromi.Draft) -> kiromi.Draft:
        return kiromi.Draft(draft.content.upper(), draft.media_type, draft.attributes, title=draft.title)

    with kiromi.open(root, scheme="user={user}", guards=[upper]) as store:
        m = store.append("one", {"user": "ana"})
        assert store.update(m.id, content="two", title="t").text == "TWO"
        assert list(data_files(root).values()) == [b"TWO"]
        assert store.update(m.id, title="u").text == "TWO"


def test_the_audit_tells_what_changed_but_no_content(store: kiromi.Store) -> None:
    m = store.append("one", ANA)
    u = store.update(m.id, content="two", attributes={"topic": "food"}, title="t")
    entry = store.audit(since=1)[0]
    assert (entry.op, entry.memory_id, entry.seq, entry.actor) == ("update", m.id, 2, "tester")
    assert entry.detail["version"] == [1, 2]
    assert entry.detail["path"] == ["user=ana/topic=travel", "user=ana/topic=food"]
    assert entry.detail["sha256"] == [m.sha256, u.sha256]
    assert "two" not in str(entry.detail)


def test_no_media_type_leaves_it(store: kiromi.Store) -> None:
    m = store.append("x", {"user": "ana"}, media_type="text/plain")
    assert store.update(m.id, media_type=None).version == 1
    assert store.update(m.id, content="y", media_type=None).media_type == "text/plain"


@pytest.mark.parametrize("wrong", [5, None, "\ud800", "x"], ids=repr)
def test_an_id_is_a_ulid(store: kiromi.Store, wrong: Any) -> None:
    with pytest.raises(kiromi.InvalidInput, match="upper-case ULID"):
        store.update(wrong, title="t")
    with store.transaction() as tx:
        with pytest.raises(kiromi.InvalidInput, match="upper-case ULID"):
            tx.get(wrong)
        with pytest.raises(kiromi.InvalidInput, match="upper-case ULID"):
            tx.update(wrong, title="t")


@pytest.mark.parametrize("wrong", ["1", 1.0, True], ids=repr)
def test_an_expected_version_is_a_whole_number(store: kiromi.Store, wrong: Any) -> None:
    m = store.append("one", ANA, title="t")
    for title in ("t", "other"):
        with pytest.raises(kiromi.InvalidInput, match=f"expected_version={wrong!r} is not a whole number"):
            store.update(m.id, expected_version=wrong, title=title)
    with pytest.raises(kiromi.InvalidInput, match=f"expected_version={wrong!r} is not a whole number"):
        store.delete(m.id, expected_version=wrong)
    assert store.get(m.id).version == 1
