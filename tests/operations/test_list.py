"""list, list_ids, count: order, pages and filters."""

import base64
import json
import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

import kiromi

ANA = {"user": "ana"}
AT = datetime(2026, 1, 1, tzinfo=UTC)
COLUMNS = (
    "id",
    "key",
    "namespace",
    "kind",
    "title",
    "language",
    "run_id",
    "media_type",
    "sha256",
    "version",
    "seq",
    "size",
    "scheme",
    "importance",
    "confidence",
    "event_at",
    "valid_from",
    "valid_until",
    "expires_at",
    "created_at",
    "updated_at",
)


def filled(store: kiromi.Store, count: int = 40) -> dict[str, kiromi.MemoryInfo]:
    """Memories with every column varied, with nulls and with ties."""
    rng = random.Random(7)

    def maybe(value: Any) -> Any:
        return rng.choice([None, value])

    for i in range(count):
        with store.context(run_id=f"run{i % 4}" if i % 3 else None):
            m = store.append(
                rng.choice(["a", "bb", "\u00e9", ""]),
                {"user": rng.choice(["ana", "bob"])},
                key=maybe(f"k{rng.random()}"),
                namespace=rng.choice(["", "n"]),
                kind=rng.choice(["semantic", "working"]),
                title=maybe(rng.choice(["Z", "a", "\u00e4", "\U0001f9e0", "\uffee"])),
                language=maybe(rng.choice(["en", "de"])),
                media_type=rng.choice(["text/plain", "text/markdown"]),
                importance=maybe(rng.choice([0.1, 0.5])),
                confidence=maybe(rng.choice([0, 1.0])),
                event_at=AT + timedelta(microseconds=rng.randrange(-3, 3)),
                valid_from=maybe(datetime(1, 1, 1, tzinfo=UTC) + timedelta(days=rng.randrange(3))),
                valid_until=maybe(datetime(9998, 1, 1, tzinfo=UTC) + timedelta(days=rng.randrange(3))),
                expires_at=maybe(datetime(9999, 1, 1, tzinfo=UTC)),
                created_at=AT + timedelta(days=rng.randrange(3)),
                attributes={"i": i},
            )
            if rng.random() < 0.5:
                store.update(m.id, attributes={"u": True})
    items = store.list(limit=10_000).items
    assert len(items) == count
    return {item.id: item for item in items}


def pages(store: kiromi.Store, limit: int, **arguments: Any) -> list[kiromi.MemoryInfo]:
    items: list[kiromi.MemoryInfo] = []
    cursor = None
    while True:
        page = store.list(limit=limit, cursor=cursor, **arguments)
        items += page.items
        assert len(page.items) == limit or page.next_cursor is None
        cursor = page.next_cursor
        if cursor is None:
            return items


def ordered(items: Any, column: str, *, descending: bool) -> list[str]:
    """The model: nulls last, ties by id."""
    by_id = sorted(items, key=lambda item: item.id)
    known = [item for item in by_id if getattr(item, column) is not None]
    known.sort(key=lambda item: getattr(item, column), reverse=descending)  # keeps the order of ties, reversed or not
    return [item.id for item in known] + [item.id for item in by_id if getattr(item, column) is None]


def test_every_column_orders_both_ways_on_any_page_size(store: kiromi.Store) -> None:
    memories = filled(store)
    for column in COLUMNS:
        for sign in ("", "-"):
            expected = ordered(memories.values(), column, descending=sign == "-")
            whole = store.list(order_by=sign + column, limit=100)
            assert [item.id for item in whole.items] == expected, sign + column
            assert whole.next_cursor is None
            assert [item.id for item in pages(store, 7, order_by=sign + column)] == expected, sign + column


@pytest.mark.parametrize("order_by", ["tags", "nope", "", "-", "--id", "attributes", "ID", "id desc", None, 5, ["id"]])
def test_other_orders_are_refused(store: kiromi.Store, order_by: Any) -> None:
    with pytest.raises(kiromi.InvalidInput, match="order_by"):
        store.list(order_by=order_by)


@pytest.mark.parametrize("limit", [0, -1, 10_001, 1.5, "5", True, None])
def test_limits_are_bounded(store: kiromi.Store, limit: Any) -> None:
    with pytest.raises(kiromi.InvalidInput, match="limit="):
        store.list(limit=limit)


def test_a_full_last_page_has_no_cursor(store: kiromi.Store) -> None:
    for _ in range(4):
        store.append("x", ANA)
    first = store.list(limit=2)
    assert first.next_cursor is not None
    assert store.list(limit=2, cursor=first.next_cursor).next_cursor is None
    assert store.list(limit=1).next_cursor is not None
    assert store.list(limit=10_000).next_cursor is None


@pytest.mark.parametrize("order_by", ["id", "-updated_at", "title", "-size", "seq"])
def test_a_memory_unchanged_throughout_comes_exactly_once(store: kiromi.Store, order_by: str) -> None:
    memories = filled(store, 30)
    rng = random.Random(order_by)
    touched: set[str] = set()
    seen: list[str] = []
    cursor = None
    while True:
        page = store.list(order_by=order_by, limit=3, cursor=cursor)
        seen += [item.id for item in page.items]
        if (cursor := page.next_cursor) is None:
            break
        untouched = sorted(memories.keys() - touched)
        if len(untouched) < 12:
            continue
        victims = rng.sample(untouched, 2)
        touched.update(victims)
        store.delete(victims[0])
        store.update(victims[1], content="changed" * rng.randrange(3), title=rng.choice([None, "A", "zz"]))
        store.append("new", ANA, title=rng.choice([None, "B"]))
    for memory_id in memories.keys() - touched:
        assert seen.count(memory_id) == 1


def test_a_cursor_belongs_to_its_query(store: kiromi.Store) -> None:
    filled(store, 10)
    arguments: dict[str, Any] = {"within": {"user": "ana", "topic": "inbox"}, "where": {"i": {"$gte": 0}}, "limit": 2}
    cursor = store.list(**arguments).next_cursor
    assert cursor is not None
    same: list[dict[str, Any]] = [
        {},
        {"limit": 5},
        {"within": {"topic": "inbox", "user": "ana"}},
        {"where": "i >= 0"},
        {"order_by": "id"},
    ]
    for change in same:
        assert store.list(**{**arguments, **change}, cursor=cursor).items
    other: list[dict[str, Any]] = [
        {"within": {"user": "bob", "topic": "inbox"}},
        {"within": None},
        {"where": None},
        {"where": {"i": {"$gte": 1}}},
        {"order_by": "-id"},
        {"order_by": "seq"},
    ]
    for change in other:
        with pytest.raises(kiromi.InvalidInput, match="another listing"):
            store.list(**{**arguments, **change}, cursor=cursor)
    with pytest.raises(kiromi.InvalidInput, match="another listing"):
        store.scoped({"user": "bob"}).list(**{**arguments, "within": None}, cursor=cursor)


@pytest.mark.parametrize("cursor", ["", "x", "\u00e9", "bm9uc2Vuc2U=", 5, b"x", "e30=", "WzEsMiwzXQ=="], ids=repr)
def test_malformed_cursors_are_refused(store: kiromi.Store, cursor: Any) -> None:
    filled(store, 3)
    with pytest.raises(kiromi.InvalidInput, match="cursor"):
        store.list(cursor=cursor)


@pytest.mark.parametrize("order_by", ["id", "size", "importance", "-event_at"])
@pytest.mark.parametrize("value", ["\ud800", 2**80, True, [], {}, float("nan")], ids=repr)
def test_tampered_cursors_are_refused(store: kiromi.Store, order_by: str, value: Any) -> None:
    filled(store, 6)
    cursor = store.list(order_by=order_by, limit=2).next_cursor
    assert cursor is not None
    query, _, memory_id = json.loads(base64.urlsafe_b64decode(cursor))
    for forged in ([query, value, memory_id], [query, 1, "x"], [query, 1], [query, 1, None]):
        with pytest.raises(kiromi.InvalidInput, match="cursor"):
            store.list(
                order_by=order_by, limit=2, cursor=base64.urlsafe_b64encode(json.dumps(forged).encode()).decode()
            )


def test_the_filter_language(store: kiromi.Store) -> None:
    ids = {
        "int": store.append("x", ANA, attributes={"v": 5}, tags=["pref", "seat"], title="A%b").id,
        "float": store.append("x", ANA, attributes={"v": 5.0}, title="axb").id,
        "decimal": store.append("x", ANA, attributes={"v": Decimal("5.00")}, kind="semantic").id,
        "text": store.append("x", ANA, attributes={"v": "5"}).id,
        "bool": store.append("x", ANA, attributes={"v": True}).id,
        "date": store.append("x", ANA, attributes={"v": date(2026, 1, 1)}).id,
        "list": store.append("x", ANA, attributes={"v": ["5", 5]}).id,
        "none": store.append("x", ANA, attributes={"v": None}).id,
        "absent": store.append("x", {"user": "bob"}).id,
    }
    numbers = {"int", "float", "decimal"}
    everything = set(ids)
    cases: list[tuple[Any, set[str]]] = [
        ({}, everything),
        ({"v": 5}, numbers),
        ({"v": Decimal("5.0")}, numbers),
        ({"v": "5"}, {"text"}),
        ({"v": True}, {"bool"}),
        ({"v": {"$ne": 5}}, everything - numbers),
        ({"v": {"$nin": [5, "5"]}}, everything - numbers - {"text"}),
        ({"v": {"$in": []}}, set()),
        ({"v": {"$gte": 5, "$lt": 5.5}}, numbers),
        ({"v": {"$gt": 5}}, set()),
        ({"v": {"$gt": "4"}}, {"text"}),
        ({"v": {"$gte": date(2026, 1, 1)}}, {"date"}),
        ({"v": {"$contains": 5}}, {"list"}),
        ({"v": {"$contains": "5"}}, {"list", "text"}),
        ({"v": {"$exists": False}}, {"none", "absent"}),
        ({"v": {"$exists": True}}, everything - {"none", "absent"}),
        ({"$not": {"v": 5}}, everything - numbers),
        ({"$or": [{"v": True}, {"user": "bob"}]}, {"bool", "absent"}),
        ({"$and": [{"v": 5}, {"kind": "semantic"}]}, {"decimal"}),
        ({"tags": {"$contains": "pref"}}, {"int"}),
        ({"title": {"$contains": "%"}}, {"int"}),
        ({"title": {"$contains": "A_b"}}, set()),
        ({"attributes.user": "bob"}, {"absent"}),
        ('v = 5 and kind != "semantic"', {"int", "float"}),
        ('v >= 5 and tags contains "pref"', {"int"}),
        ("not (v exists)", {"none", "absent"}),
        ("true", everything),
    ]
    for where, expected in cases:
        wanted = sorted(ids[name] for name in expected)
        assert store.list_ids(where=where) == wanted, where
        assert [item.id for item in store.list(where=where).items] == wanted, where
        assert store.count(where=where) == len(wanted), where


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"v": {"$near": 1}}, r"\$near"),
        ({"v": None}, r"\$exists: false"),
        ({"$and": []}, r"\$and"),
        ({"v": {"$in": 5}}, r"\$in"),
        ("v >", "position"),
        ("v = 'x'; DROP TABLE memories", "position"),
        (5, "where is a int"),
        ([], "where is a list"),
    ],
    ids=repr,
)
def test_filters_that_make_no_sense_are_refused(store: kiromi.Store, where: Any, message: str) -> None:
    calls: list[Callable[..., Any]] = [store.list, store.list_ids, store.count]
    for call in calls:
        with pytest.raises(kiromi.InvalidInput, match=message):
            call(where=where)


def test_within_and_where_are_both_needed(store: kiromi.Store) -> None:
    m = store.append("x", ANA, attributes={"n": 1})
    store.append("x", {"user": "bob"}, attributes={"n": 1})
    store.append("x", ANA, attributes={"n": 2})
    assert store.list_ids({"user": "ana"}, {"n": 1}) == [m.id]
    assert store.count({"user": "ana"}, "n = 1") == 1


def test_a_listing_shows_what_get_shows(store: kiromi.Store) -> None:
    for memory_id, item in filled(store, 10).items():
        assert store.get(memory_id).info() == item
