"""The two written forms of filters: they make one tree, text round-trips, and errors say where and what."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings

from kiromi.errors import InvalidInput
from kiromi.filters import And, Comparison, Name, Not, Op, Or, parse_where, parse_where_text, to_text
from tests.filters import strategies


@settings(max_examples=500, deadline=None)
@given(strategies.wheres)
def test_text_round_trips(where: dict[str, Any]) -> None:
    tree = parse_where(where)
    # By repr, for 1 == 1.0 and Decimal("1.1") == Decimal("1.10").
    assert repr(parse_where_text(to_text(tree))) == repr(tree)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('trip >= 5 and tags contains "pref"', {"trip": {"$gte": 5}, "tags": {"$contains": "pref"}}),
        ("not (kind = 'semantic')", {"$not": {"kind": "semantic"}}),
        ("a=1 or b==2 and c!=3", {"$or": [{"a": 1}, {"b": 2, "c": {"$ne": 3}}]}),
        (
            "(a>1 OR b<2) AND c<=-3.5",
            {"$and": [{"$or": [{"a": {"$gt": 1}}, {"b": {"$lt": 2}}]}, {"c": {"$lte": -3.5}}]},
        ),
        ("a in (1, 'x', 2.5) and b not in ()", {"a": {"$in": [1, "x", 2.5]}, "b": {"$nin": []}}),
        ("a exists and b not exists", {"a": {"$exists": True}, "b": {"$exists": False}}),
        ("a = (1, 2) and b != ()", {"a": [1, 2], "b": {"$ne": []}}),
        ("a = true and b = FALSE", {"a": True, "b": False}),
        ("true", {}),
        ("not true", {"$not": {}}),
        ("not not a = 1", {"$not": {"$not": {"a": 1}}}),
        ("a = 1.10d and b = 5d and c = 1e3 and d = .5", {"a": Decimal("1.10"), "b": Decimal(5), "c": 1e3, "d": 0.5}),
        ("a = 2026-01-31", {"a": date(2026, 1, 31)}),
        ("a = 2026-01-31T10:00Z", {"a": datetime(2026, 1, 31, 10, tzinfo=UTC)}),
        ("a = 2026-01-31T10:00:00.5+02:00", {"a": datetime(2026, 1, 31, 8, 0, 0, 500_000, tzinfo=UTC)}),
        ("a = 2026-01-31T10:00", {"a": datetime(2026, 1, 31, 10, tzinfo=UTC)}),
        ("event_at < 2026-01-31", {"event_at": {"$lt": datetime(2026, 1, 31, tzinfo=UTC)}}),
        ("event_at < '2026-01-31'", {"event_at": {"$lt": datetime(2026, 1, 31, tzinfo=UTC)}}),
        (r"""a = "it's \"x\"\n\u00e9\ud83d\ude00" """, {"a": 'it\'s "x"\né\U0001f600'}),
        (r"a = 'say \'hi\' \\ \/ \t\r\b\f'", {"a": "say 'hi' \\ / \t\r\b\f"}),
        ("`a b` = 1 and `x``y` = 2 and `and` = 3", {"a b": 1, "x`y": 2, "and": 3}),
        ("attributes.kind = 1 and user-id = 2 and naïve.x = 3", {"attributes.kind": 1, "user-id": 2, "naïve.x": 3}),
        ("`attributes.$x` = 1", {"attributes.$x": 1}),
        ("\n a\t=\n1 ", {"a": 1}),
    ],
)
def test_text_and_mapping_make_one_tree(text: str, where: dict[str, Any]) -> None:
    tree = parse_where_text(text)
    assert repr(tree) == repr(parse_where(where))
    assert repr(parse_where_text(to_text(tree))) == repr(tree)


def test_trees_are_as_written() -> None:
    a, b = (Comparison(Name(name, is_attribute=True), Op.EQ, 1) for name in "ab")
    assert parse_where({}) == And(())
    assert parse_where({"$and": [{"a": 1}]}) == a
    assert parse_where({"a": {"$not": {"$eq": 1}}}) == Not(a)
    assert parse_where({"$or": [{"a": 1, "b": 1}, {"a": 1}]}) == Or((And((a, b)), a))
    assert parse_where_text("a = 1 and (b = 1 and a = 1)") == And((a, And((b, a))))
    assert parse_where({"a": (1, 2)}) == Comparison(Name("a", is_attribute=True), Op.EQ, (1, 2))


def test_text_is_for_people() -> None:
    where = {"$or": [{"trip": {"$gte": 5}, "tags": {"$contains": "pref"}}, {"$not": {"kind": {"$nin": ["a", "b"]}}}]}
    assert to_text(parse_where(where)) == '(trip >= 5 and tags contains "pref") or not (kind not in ("a", "b"))'
    assert to_text(parse_where({"attributes.kind": "x", "a b": 1.0})) == 'attributes.kind = "x" and `a b` = 1.0'


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"trip": {"$ge": 5}}, r"unknown operator \$ge on 'trip'; known are \$eq \$ne .*\$exists \$and \$or \$not"),
        ({"$nor": []}, r"unknown operator \$nor; known are"),
        ({"$gte": 5}, r"operator \$gte stands under a name"),
        ({"$and": []}, r"operator \$and takes a list of at least one filter, not \[\]"),
        ({"$or": {"a": 1}}, r"operator \$or takes a list of at least one filter"),
        ({"$not": [{"a": 1}]}, r"a filter is a mapping such as .* not \[\{'a': 1\}\]"),
        ([], r"a filter is a mapping"),
        ({5: 1}, r"keys are names and operators, not 5"),
        ({"": 1}, r"attribute name is empty"),
        ({"attributes.": 1}, r"attribute name is empty"),
        ({"a": {}}, r"no operator under 'a'"),
        ({"a": {"b": 1}}, r"'b' under 'a' is no operator, and attributes are not nested"),
        ({"a": {5: 1}}, r"5 under 'a' is no operator"),
        ({"a": {"$not": 5}}, r"operator \$not on 'a' takes operators, not 5"),
        ({"a": None}, r"operator \$eq on 'a' takes a value, not null; .* \$exists: false"),
        ({"a": {"$in": [None]}}, r"operator \$in on 'a' item 0: None is a NoneType"),
        ({"a": {"$in": "x"}}, r"operator \$in on 'a' takes a list of values, not 'x'"),
        ({"a": {"$nin": {1}}}, r"operator \$nin on 'a' takes a list of values, not \{1\}"),
        ({"a": {"$gte": [1]}}, r"operator \$gte on 'a' takes one value, not the list \[1\]"),
        ({"a": {"$contains": ["x"]}}, r"operator \$contains on 'a' takes one value"),
        ({"a": {"$lt": True}}, r"operator \$lt on 'a' takes something with an order, not True"),
        ({"a": {"$exists": 1}}, r"operator \$exists on 'a' takes true or false, not 1"),
        ({"a": [[1]]}, r"operator \$eq on 'a' item 0: \[1\] is a list"),
        ({"a": float("nan")}, r"operator \$eq on 'a': nan is not finite"),
        ({"a": 2**63}, r"operator \$eq on 'a': 9223372036854775808 is outside int64"),
        ({"a": datetime(2026, 1, 1)}, r"operator \$eq on 'a': naive datetime 2026-01-01T00:00:00; attach"),  # noqa: DTZ001
        ({"event_at": {"$gt": "soon"}}, r"operator \$gt on 'event_at': 'soon' is no time; give a datetime"),
        ({"event_at": {"$gt": "2026-01-01T10:00"}}, r"'2026-01-01T10:00' has no timezone; end it in Z"),
        ({"event_at": {"$in": ["20260101"]}}, r"\$in on 'event_at' item 0: '20260101' has no timezone"),
    ],
)
def test_errors_of_mappings_name_the_operator(where: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse_where(where)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"position 1: expected a condition, .* found the end"),
        ("a", r"position 2: expected an operator after 'a': = .* found the end"),
        ("a =", r"position 4: expected a value: .* found the end"),
        ("a in 5", r'position 6: expected "\(", found 5'),
        ("a in (1 2)", r'position 9: expected "\)", found 2'),
        ("(a = 1", r'position 7: expected "\)", found the end'),
        ("a = 1 b = 2", r"position 7: expected and, or, or the end, found b"),
        ("a not 5", r'position 7: expected "in" or "exists", found 5'),
        ("a = `(`", r"position 5: expected a value"),
        ("a > (1)", r"position 5: expected a value"),
        ("false", r"position 1: expected a condition"),
        ("exists", r"position 1: expected a condition"),
        ("a = null", r"position 5: expected a value: .* found null"),
        ('a = "x', r"position 5: expected a name, value or operator, found '\"x'"),
        ("a = 5a", r"position 5: expected a name, value or operator, found '5a'"),
        ("a = 2026-13-01", r"position 5: expected a valid date, found '2026-13-01'"),
        (r"a = '\q'", r"position 5: expected a valid string, .*unknown escape \\q"),
        ("a = 1e9999999999999999999d", r"position 5: expected a decimal with an exponent of ordinary size"),
        ("a = " + "9" * 5_000, r"position 5: expected a valid int"),
        ("a = 1e999", r"position 1: operator \$eq on 'a': inf is not finite"),
        ("b = 1 and a > true", r"position 11: operator \$gt on 'a' takes something with an order"),
        (r"a = '\ud800'", r"position 1: .*lone surrogate"),
        ("b = 1 and attributes. = 1", r"position 11: an attribute name is empty"),
    ],
)
def test_errors_of_texts_name_the_position(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=f"filter text, {message}"):
        parse_where_text(text)


def test_depth_is_limited() -> None:
    nested: dict[str, Any] = {"a": 1}
    for _ in range(63):
        nested = {"$not": nested}
    assert repr(parse_where_text(to_text(parse_where(nested)))) == repr(parse_where(nested))
    for deeper in ({"$not": nested}, {"$or": [{}, nested]}):
        with pytest.raises(InvalidInput, match="nested deeper than 64 levels"):
            parse_where(deeper)


@pytest.mark.parametrize("text", ["(" * 100_000 + "a = 1", "not " * 100_000 + "a = 1"])
def test_deep_texts_are_refused_and_do_not_overflow(text: str) -> None:
    with pytest.raises(InvalidInput, match="nested deeper than 64 levels"):
        parse_where_text(text)


def test_deep_mappings_are_refused_and_do_not_overflow() -> None:
    nested: dict[str, Any] = {"a": 1}
    operators: dict[str, Any] = {"$eq": 1}
    for _ in range(5_000):
        nested = {"$and": [nested]}
        operators = {"$not": operators}
    for deep in (nested, {"a": operators}):
        with pytest.raises(InvalidInput, match="nested deeper than 64 levels"):
            parse_where(deep)


def test_size_is_limited() -> None:
    with pytest.raises(InvalidInput, match="10001 conditions and list items; at most 10000"):
        parse_where({"a": {"$in": list(range(10_000))}})
    with pytest.raises(InvalidInput, match="10001 conditions and list items"):
        parse_where_text(" or ".join(["a = 1"] * 10_000))
    parse_where({"a": {"$in": list(range(9_999))}})
