"""Append: what is stored is what was given, ids and keys are unique, and what is refused leaves nothing behind."""

import hashlib
import json
import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

import kiromi
from tests.operations.tree import attic_files, data_files, staged_files

ANA = {"user": "ana", "topic": "travel"}
ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def test_text_is_a_markdown_file_at_the_rendered_path(store: kiromi.Store, root: Path) -> None:
    m = store.append("Prefers aisle seats.", ANA, tags=["pref"], attributes={"trip": 7})
    assert data_files(root) == {f"user=ana/topic=travel/{m.id}.1.md": b"Prefers aisle seats."}
    assert m.path == f"data/user=ana/topic=travel/{m.id}.1.md"
    assert (m.version, m.media_type, m.size, m.text) == (1, "text/markdown", 20, "Prefers aisle seats.")
    assert m.sha256 == hashlib.sha256(b"Prefers aisle seats.").hexdigest()
    assert m.partition == {"user": "ana", "topic": "travel"}
    assert m.attributes == {"trip": 7, "user": "ana", "topic": "travel"}
    assert re.fullmatch("[0-7][0-9A-HJKMNP-TV-Z]{25}", m.id)
    assert store.get(m.id) == m
    assert not attic_files(root)
    assert not staged_files(root)


def test_readable_with_plain_duckdb(store: kiromi.Store, root: Path) -> None:
    store.append("a", ANA)
    store.append("b", {"user": "ana"})
    store.append("c", {"user": "bob"})
    query = (
        "SELECT regexp_extract(filename, '/user=([^/]*)', 1) AS user, count(*)"
        f" FROM read_text('{root}/default/data/**/*.md') GROUP BY 1 ORDER BY 1"
    )
    with duckdb.connect() as connection:
        assert connection.execute(query).fetchall() == [("ana", 2), ("bob", 1)]


def test_defaults(store: kiromi.Store) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    m = store.append("x", {"user": "ana"})
    assert (m.kind, m.namespace, m.key, m.title, m.tags, m.language) == ("episodic", "", None, None, (), None)
    assert (m.importance, m.confidence, m.valid_from, m.valid_until, m.expires_at) == (None,) * 5
    assert m.event_at == m.created_at == m.updated_at
    assert before <= m.created_at <= datetime.now(UTC)
    assert m.seq == store.seq == 1
    assert m.partition["topic"] == "inbox"
    assert "topic" not in m.attributes, "a default fills the path only"


def test_every_field_comes_back(store: kiromi.Store) -> None:
    at = datetime(2020, 2, 29, 12, tzinfo=timezone(timedelta(hours=2)))
    fields: dict[str, Any] = {
        "id": ID,
        "key": "seat",
        "namespace": "prefs",
        "kind": "semantic",
        "title": "Seat",
        "tags": ("b", "a"),
        "language": "en",
        "importance": 0.25,
        "confidence": 1.0,
        "event_at": at,
        "valid_from": at,
        "valid_until": at + timedelta(days=1),
        "expires_at": datetime(9999, 1, 1, tzinfo=UTC),
        "created_at": at,
        "media_type": "text/plain",
    }
    m = store.append("x", ANA, **fields)
    again = store.get(ID)
    assert again == m
    for name, value in fields.items():
        assert getattr(again, name) == value
    assert again.created_at.utcoffset() == timedelta(0)
    assert m.path.endswith(f"/{ID}.1.txt")


@pytest.mark.parametrize(
    "value",
    [
        "text",
        "",
        "a\0b",
        "\U0001f9e0",
        -(2**63),
        2**63 - 1,
        0.1,
        -0.0,
        5.0,
        1e300,
        Decimal("1.10"),
        Decimal("12345678901234567890.123456789"),
        True,
        False,
        date(1, 1, 1),
        datetime(2026, 1, 31, 10, 0, 0, 1, tzinfo=UTC),
        ("a", 1, 2.0, Decimal("3.0"), True, date(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC)),
        (),
        None,
    ],
    ids=repr,
)
def test_attributes_keep_value_and_type(store: kiromi.Store, value: object) -> None:
    m = store.append("x", ANA, attributes={"v": value})
    for seen in (store.get(m.id), store.list().items[0], store.history(m.id)[0].info):
        found = seen.attributes["v"]
        assert repr(found) == repr(value)
        assert type(found) is type(value)


def test_a_list_comes_back_as_a_tuple(store: kiromi.Store) -> None:
    assert store.append("x", ANA, attributes={"v": ["a", 1]}).attributes["v"] == ("a", 1)


@pytest.mark.parametrize(
    ("content", "fields", "extension", "media_type"),
    [
        ("", {}, "md", "text/markdown"),
        (b"", {}, "bin", "application/octet-stream"),
        (b"\xff\0", {}, "bin", "application/octet-stream"),
        (bytearray(b"ab"), {"media_type": "image/png"}, "bin", "image/png"),
        ("{}", {"media_type": "application/json"}, "json", "application/json"),
        ("ä\r\n", {"media_type": "text/plain; charset=utf-8"}, "txt", "text/plain; charset=utf-8"),
        (b"# ok", {"media_type": "text/markdown"}, "md", "text/markdown"),
    ],
    ids=repr,
)
def test_content_is_kept_byte_for_byte(
    store: kiromi.Store, root: Path, content: str | bytes, fields: dict[str, Any], extension: str, media_type: str
) -> None:
    m = store.append(content, ANA, **fields)
    expected = content.encode() if isinstance(content, str) else bytes(content)
    assert store.get(m.id).data == m.data == expected
    assert m.media_type == media_type
    assert list(data_files(root).items()) == [(f"user=ana/topic=travel/{m.id}.1.{extension}", expected)]


def test_bytes_that_are_no_text_have_no_text(store: kiromi.Store) -> None:
    with pytest.raises(kiromi.InvalidInput, match="not UTF-8"):
        _ = store.append(b"\xff", ANA).text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"content": b"\xff", "media_type": "text/plain"}, "not UTF-8 at byte 0"),
        ({"content": "\ud800"}, "lone surrogate"),
        ({"content": 5}, "content 5"),
        ({"content": None}, "content None"),
        ({"partition": {"user": "ana", "nope": 1}}, "'nope'.*accepted: topic, user"),
        ({"partition": {"topic": "x"}}, "'user' is absent"),
        ({"partition": None}, "'user' is absent"),
        ({"partition": {"user": ""}}, "empty"),
        ({"partition": {"user": "\ud800"}}, "surrogate"),
        ({"partition": {"user": "x" * 251}}, "at most 255"),
        ({"partition": {"user": ["a"]}}, "list"),
        ({"partition": "user=ana"}, "partition"),
        ({"partition": {"user": "ana", "id": ID}}, "'id' is a built-in"),
        ({"partition": {"user": "ana", "kind": "x"}, "kind": "y"}, "two values"),
        ({"attributes": {"user": "bob"}}, "'user' has two values"),
        ({"attributes": {"v": float("nan")}}, "not finite"),
        ({"attributes": {"v": 2**63}}, "int64"),
        ({"attributes": {"v": datetime(2026, 1, 1)}}, "naive datetime"),  # noqa: DTZ001
        ({"attributes": {"v": {"nested": 1}}}, "dict"),
        ({"id": ID.lower()}, "upper-case ULID"),
        ({"id": "x"}, "upper-case ULID"),
        ({"key": ""}, "key ''"),
        ({"key": "x" * 1025}, "1,024 bytes"),
        ({"importance": 1.5}, "from 0 to 1"),
        ({"event_at": datetime(2026, 1, 1)}, "timezone-aware"),  # noqa: DTZ001
        ({"media_type": "md"}, "media type"),
        ({"kind": ""}, "1 to 64"),
        ({"tags": "pref"}, "list of non-empty"),
        ({"colour": "red"}, "unknown field 'colour'"),
    ],
    ids=repr,
)
def test_what_is_refused_changes_nothing(store: kiromi.Store, root: Path, fields: dict[str, Any], message: str) -> None:
    record = {"content": "x", "partition": ANA, **fields}
    with pytest.raises(kiromi.InvalidInput, match=message) as refusal:
        store.append(**record)
    json.dumps(refusal.value.details, default=str)
    assert store.seq == 0
    assert not data_files(root)
    assert not staged_files(root)


def test_equal_values_in_partition_and_attributes_are_one(store: kiromi.Store) -> None:
    assert store.append("x", ANA, attributes={"user": "ana"}).attributes == ANA


def test_values_of_another_type_are_another_value(store: kiromi.Store) -> None:
    with pytest.raises(kiromi.InvalidInput, match="two values"):
        store.append("x", {"user": 1}, attributes={"user": True})


def test_typed_partition_values(store: kiromi.Store) -> None:
    m = store.append("x", {"user": 7, "topic": date(2026, 1, 2)})
    assert m.partition == {"user": "7", "topic": "2026-01-02"}
    assert m.attributes == {"user": 7, "topic": date(2026, 1, 2)}


def test_none_is_a_partition_value(store: kiromi.Store, root: Path) -> None:
    m = store.append("x", {"user": None})
    assert m.partition == {"user": None, "topic": "inbox"}
    assert m.attributes == {"user": None}
    literal = store.append("y", {"user": "__HIVE_DEFAULT_PARTITION__"})
    assert literal.partition["user"] == "__HIVE_DEFAULT_PARTITION__"
    assert len({path.split("/")[0] for path in data_files(root)}) == 2


def test_built_ins_in_the_partition_set_the_field(tmp_path: Path) -> None:
    with kiromi.open(tmp_path / "s", scheme="kind={kind}/day={event_at:day}") as store:
        m = store.append("x", {"kind": "semantic", "event_at": datetime(2026, 1, 2, tzinfo=UTC), "key": "k"})
        assert (m.kind, m.key, m.event_at.day) == ("semantic", "k", 2)
        assert m.attributes == {}
        assert m.partition == {"kind": "semantic", "day": "2026-01-02"}
        assert store.append("y").partition["kind"] == "episodic"


def test_an_attribute_cannot_shadow_a_built_in(tmp_path: Path) -> None:
    with kiromi.open(tmp_path / "s", scheme="kind={kind}/key={key|none}") as store:
        m = store.append("x", attributes={"kind": "fake", "key": "fake"})
        assert m.partition == {"kind": "episodic", "key": "none"}
        assert m.attributes == {"kind": "fake", "key": "fake"}
        assert store.list_ids(within={"key": "fake"}) == []
        assert store.list_ids(where={"attributes.kind": "fake"}) == [m.id]


def test_an_id_is_given_once_and_for_all(store: kiromi.Store) -> None:
    store.append("x", ANA, id=ID)
    with pytest.raises(kiromi.AlreadyExists, match=ID):
        store.append("y", ANA, id=ID)
    store.delete(ID)
    with pytest.raises(kiromi.AlreadyExists, match=ID):
        store.append("y", ANA, id=ID)
    store.undelete(ID)
    assert store.get(ID).text == "x"


def test_a_key_is_unique_among_the_live_memories_of_its_namespace(store: kiromi.Store) -> None:
    first = store.append("x", ANA, key="k")
    with pytest.raises(kiromi.AlreadyExists, match="'k'"):
        store.append("y", {"user": "bob"}, key="k")
    other = store.append("y", ANA, key="k", namespace="n")
    assert store.get(key="k").id == first.id
    assert store.get(key="k", namespace="n").id == other.id
    store.delete(first.id)
    second = store.append("z", ANA, key="k")
    assert store.get(key="k").id == second.id
    with pytest.raises(kiromi.AlreadyExists, match="in use"):
        store.undelete(first.id)
    store.update(second.id, key=None)
    assert store.undelete(first.id).key == "k"
    assert store.get(key="k").id == first.id


def test_ids_rise(store: kiromi.Store) -> None:
    ids = [store.append("x", ANA).id for _ in range(20)]
    assert ids == sorted(ids) == store.list_ids()


def test_guards_change_and_refuse(root: Path) -> None:
    def screen(draft: kiromi.Draft) -> kiromi.Draft:
        if b"secret" in draft.content:
            raise ValueError("no secrets")
        return kiromi.Draft(
            content=draft.content.replace(b"4711", b"****"), media_type=draft.media_type, attributes=draft.attributes
        )

    with kiromi.open(root, scheme="user={user}", guards=[screen]) as store:
        assert store.append("pin 4711", {"user": "ana"}).text == "pin ****"
        with pytest.raises(ValueError, match="no secrets"):
            store.append("a secret", {"user": "ana"})
        with pytest.raises(ValueError, match="no secrets"):
            store.put("a secret", {"user": "ana"}, key="k")
        assert store.count() == 1
        assert list(data_files(root).values()) == [b"pin ****"]


def test_guards_run_in_order_and_their_work_is_checked(root: Path) -> None:
    seen: list[bytes] = []

    def first(draft: kiromi.Draft) -> kiromi.Draft:
        seen.append(draft.content)
        return kiromi.Draft(content=b"\xff", media_type="text/plain", attributes={"user": "ana"})

    def second(draft: kiromi.Draft) -> kiromi.Draft:
        seen.append(draft.content)
        return draft

    with kiromi.open(root, scheme="user={user}", guards=[first, second]) as store:
        with pytest.raises(kiromi.InvalidInput, match="not UTF-8"):
            store.append("x", {"user": "ana"})
        assert seen == [b"x", b"\xff"]


def test_a_guard_has_to_return_a_draft(root: Path) -> None:
    def forgetful(draft: kiromi.Draft) -> None:
        return None

    with kiromi.open(root, scheme="user={user}", guards=[forgetful]) as store:  # type: ignore[list-item]
        with pytest.raises(kiromi.InvalidInput, match="must return a Draft"):
            store.append("x", {"user": "ana"})
        assert store.seq == 0


def test_sha256_of_the_files_is_what_the_store_says(store: kiromi.Store, root: Path) -> None:
    memories = [store.append(f"memory {i}", ANA) for i in range(5)]
    for m in memories:
        assert hashlib.sha256((root / "default" / m.path).read_bytes()).hexdigest() == m.sha256
