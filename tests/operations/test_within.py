"""within: exact, literal matching by segment and by field, pruned by paths and decided by rows alike (P7)."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import kiromi

AT = datetime(2026, 1, 31, 23, 30, tzinfo=UTC)
AWKWARD = (
    "acme",
    "acme-corp",
    "acme ",
    "Acme",
    "ACME",
    "acm",
    "acme/x",
    "acme\\x",
    "acme%",
    "acme%2Fx",
    "%",
    "_",
    "acm_",
    "*",
    "?",
    "[a]",
    ".",
    "..",
    "../acme",
    "acme/..",
    "~",
    "a=b",
    "user=acme",
    "caf\u00e9",
    "cafe\u0301",
    "\u212b",
    "\u00c5",
    "A\u030a",
    "\u00df",
    "ss",
    "\u0130",
    "i",
    "\U0001f9e0",
    "null",
    "None",
    "__HIVE_DEFAULT_PARTITION__",
    "a'b",
    'a"b',
    "a\0b",
    "a\nb",
    " ",
    "0",
    "00",
    "-",
)


@pytest.mark.parametrize(
    "scheme", ["user={user}", "{user}", "u={user}/x", "shard={user:bucket(4)}", "low={user:lower}"]
)
def test_values_are_literal_and_exact(tmp_path: Path, scheme: str) -> None:
    with kiromi.open(tmp_path / "s", scheme=scheme, durability="relaxed") as store:
        store.append_many({"content": user, "partition": {"user": user}} for user in AWKWARD)
        for user in AWKWARD:
            page = store.list({"user": user}).items
            assert [store.get(m.id).text for m in page] == [user]
            assert page[0].attributes == {"user": user}
            assert store.count({"user": user}, where={"user": user}) == 1
        assert store.count({"user": "acme-"}) == store.count({"user": ""}) == store.count({"user": None}) == 0


@pytest.mark.parametrize("scheme", ["v={v}", "shard={v:bucket(8)}"])
def test_values_are_typed_by_their_text(tmp_path: Path, scheme: str) -> None:
    values = (7, 7.5, True, False, Decimal("7.50"), date(2026, 1, 31), AT, None, "x", -1, "none")
    with kiromi.open(tmp_path / "s", scheme=scheme, durability="relaxed") as store:
        ids = {repr(v): store.append("x", {"v": v}).id for v in values}
        for v in values:
            assert store.list_ids({"v": v}) == [ids[repr(v)]], v
        assert store.list_ids({"v": "true"}) == [ids["True"]], "text is compared as it reads in a path"
        assert store.count({"v": "True"}) == store.count({"v": 8}) == 0


def test_segments_by_name_and_fields_by_name(tmp_path: Path) -> None:
    scheme = "month={event_at:month}/shard={user:bucket(8)}/who={user:lower}/topic={topic|inbox}"
    with kiromi.open(tmp_path / "s", scheme=scheme) as store:
        ana = store.append("x", {"user": "Ana"}, event_at=AT)
        low = store.append("x", {"user": "ana", "topic": "inbox"}, event_at=AT + timedelta(hours=1))
        none = store.append("x", {"user": None, "topic": None}, event_at=AT)

        def found(**within: Any) -> set[str]:
            ids = store.list_ids(within)
            assert store.count(within) == len(ids)
            assert {m.id for m in store.list(within).items} == set(ids)
            return set(ids)

        assert found(month="2026-01") == {ana.id, none.id}
        assert found(month="2026-02") == {low.id}
        assert found(month="2026") == set()
        assert found(who="ana") == {ana.id, low.id}
        assert found(user="Ana") == {ana.id}
        assert found(user="ana") == {low.id}
        assert found(user="ana", who="ana", month="2026-02") == {low.id}
        assert found(user="Ana", month="2026-02") == set()
        assert found(user=None) == found(who=None) == found(shard=None) == {none.id}
        assert found(topic="inbox") == {ana.id, low.id}, "a default counts, given or not"
        assert found(topic=None) == {none.id}
        assert found(event_at=AT) == {ana.id, none.id}
        assert found(event_at=AT + timedelta(microseconds=1)) == set()
        shard = ana.partition["shard"]
        assert ana.id in found(shard=shard)
        assert isinstance(shard, str)
        assert found(shard=int(shard)) == found(shard=shard)


def test_a_field_behind_a_default_and_a_transform(tmp_path: Path) -> None:
    with kiromi.open(tmp_path / "s", scheme="t={topic:lower|none}/k={key|no}") as store:
        absent = store.append("x")
        given = store.append("x", {"topic": "None"}, key="no")
        assert store.list_ids({"t": "none"}) == [absent.id, given.id]
        assert store.list_ids({"topic": "None"}) == [given.id]
        assert store.list_ids({"topic": None}) == []
        assert store.list_ids({"k": "no"}) == [absent.id, given.id]
        assert store.list_ids({"key": "no"}) == [given.id]


@pytest.mark.parametrize(
    ("within", "message"),
    [
        ({"nope": 1}, "'nope'.*accepted: topic, user"),
        ({"usr": "ana"}, "'usr'"),
        ({"USER": "ana"}, "'USER'"),
        ({"id": "x"}, "'id'"),
        ({"user": ["a", "b"]}, "list"),
        ({"user": {"$in": ["a"]}}, "dict"),
        ({"user": float("nan")}, "nan"),
        ({"user": datetime(2026, 1, 1)}, "time zone"),  # noqa: DTZ001
        ("user=ana", "mapping"),
        ([("user", "ana")], "mapping"),
        ({5: "x"}, "5"),
    ],
    ids=repr,
)
def test_what_no_scheme_has_is_refused(store: kiromi.Store, within: Any, message: str) -> None:
    store.append("x", {"user": "ana"})
    for call in (store.list, store.list_ids, store.count, store.partitions, store.delete_where, store.scoped):
        with pytest.raises(kiromi.InvalidInput, match=message):
            call(within)


@pytest.mark.parametrize("within", [None, {}])
def test_nothing_is_everything(store: kiromi.Store, within: Mapping[str, Any] | None) -> None:
    m = store.append("x", {"user": "ana"})
    assert store.list_ids(within) == [m.id]


def test_a_row_is_found_where_it_moved(store: kiromi.Store) -> None:
    m = store.append("x", {"user": "acme"})
    store.update(m.id, attributes={"user": "acme-corp"})
    assert store.list_ids({"user": "acme"}) == []
    assert store.list_ids({"user": "acme-corp"}) == [m.id]


# -- hidden partitioning: filters give the same answer whatever the scheme --------------------------------------------

SCHEMES = (
    "all",
    "user={user}/n={n|none}",
    "user={user:lower}/n={n:bucket(3)|x}",
    "n={n:truncate(10)|none}",
    "day={event_at:day}/user={user:truncate(1)}",
    "when={event_at:%Y-%m}/kind={kind}",
    "y={event_at:year}/h={event_at:hour}",
    "id={id:bucket(5)}/key={key|none}",
    "at={at:month|none}",
)
WHERES: tuple[Any, ...] = (
    {"user": "Ana"},
    {"user": {"$in": ["ana", "bob", "nobody"]}},
    {"user": {"$ne": "ana"}},
    {"user": {"$gt": "ana"}},
    {"user": {"$contains": "n"}},
    {"user": {"$exists": False}},
    {"n": 7},
    {"n": 7.0},
    {"n": Decimal("7.000")},
    {"n": {"$gte": 5, "$lt": 30}},
    {"n": {"$in": [7, "7"]}},
    {"n": "7"},
    {"n": {"$exists": False}},
    {"$not": {"n": 7}},
    {"$or": [{"n": 7}, {"user": "bob"}]},
    {"$and": [{"n": {"$gt": 0}}, {"user": {"$in": ["Ana", "ana"]}}]},
    {"event_at": {"$gte": AT}},
    {"event_at": {"$lt": AT}},
    {"event_at": {"$gt": AT, "$lte": AT + timedelta(hours=1)}},
    {"event_at": AT},
    {"event_at": {"$gte": "2026-02-01"}},
    {"kind": "semantic"},
    {"key": {"$in": ["k1", "k2"]}},
    {"at": date(2026, 1, 1)},
    {"at": datetime(2026, 1, 1, tzinfo=UTC)},
    {"at": {"$gte": date(2026, 1, 15)}},
    {"n": {"$in": []}},
)


def records() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    users = ("Ana", "ana", "bob", "\u00c4nne", "b", None)
    numbers: tuple[Any, ...] = (7, 7, 17, 0, -3, Decimal("7.00"), Decimal("17.5"))
    for i in range(60):
        attributes: dict[str, Any] = {"user": users[i % len(users)]}
        if i % 5:
            attributes["n"] = numbers[i % len(numbers)]
        if i % 3:
            attributes["at"] = date(2026, 1, 1) + timedelta(days=i % 40)
        found.append(
            {
                "content": str(i),
                "attributes": attributes,
                "kind": ("semantic", "working")[i % 2],
                "event_at": AT + timedelta(minutes=i - 30),
                "key": f"k{i}",
            }
        )
    return found


@pytest.mark.parametrize("scheme", SCHEMES[1:])
def test_pruning_never_changes_an_answer(tmp_path: Path, scheme: str) -> None:
    plain, partitioned = (
        kiromi.open(tmp_path / name, scheme=template, durability="relaxed")
        for name, template in (("plain", SCHEMES[0]), ("partitioned", scheme))
    )
    with plain, partitioned:
        for opened in (plain, partitioned):
            opened.append_many(records())

        def keys(opened: kiromi.Store, where: Any) -> list[str | None]:
            return [m.key for m in opened.list(where=where, limit=100).items]

        for where in WHERES:
            assert keys(partitioned, where) == keys(plain, where), where
        assert any(keys(plain, where) for where in WHERES)
