"""What filters select: DuckDB against the plain reference, over random rows and filters and over the known traps."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kiromi.attributes import check_attributes
from kiromi.errors import InvalidInput
from kiromi.filters import Name, Op, compile_filter, names, necessary_bounds, parse_where, parse_where_text
from tests.filters import strategies
from tests.filters.reference import COLUMNS, Row, Table, compares, matches

PARTITION_COLUMNS = {"id", "key", "kind", "created_at", "event_at"}
OPS = ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$contains", "$exists"]


def checked(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "attributes": check_attributes(row["attributes"])} for row in rows]


def select(where: dict[str, Any], rows: list[Row]) -> list[int]:
    table = Table(rows)
    try:
        return table.select(parse_where(where))
    finally:
        table.close()


def attribute_rows(*values: Any) -> list[Row]:
    """One row for each value of the attribute x; a row without it for ``...``."""
    return [{"attributes": check_attributes({} if value is ... else {"x": value})} for value in values]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(strategies.rows, min_size=1, max_size=8), st.lists(strategies.wheres, min_size=1, max_size=8))
def test_selects_what_the_reference_selects(rows: list[dict[str, Any]], wheres: list[dict[str, Any]]) -> None:
    rows = checked(rows)
    table = Table(rows)
    try:
        for where in wheres:
            tree = parse_where(where)
            assert table.select(tree) == [i for i, row in enumerate(rows) if matches(tree, row)]
    finally:
        table.close()


@pytest.fixture(scope="module")
def zoo() -> Iterator[tuple[Table, list[Row]]]:
    """Every known value, alone, in a list, beside others, and no value, under x."""
    scalars = [
        *(strategies.TEXTS + strategies.INTS + strategies.FLOATS + strategies.DECIMALS),
        *(strategies.DATES + strategies.TIMES),
        *[True, False],
    ]
    rows = attribute_rows(*scalars, *[[scalar] for scalar in scalars], [], [1, "a", 1.5, True], None, ...)
    table = Table(rows)
    yield table, rows
    table.close()


@pytest.mark.parametrize("op", OPS)
def test_every_known_value_against_every_other(zoo: tuple[Table, list[Row]], op: str) -> None:
    table, rows = zoo
    for row in rows:
        value = row["attributes"].get("x")
        if op == "$exists":
            value = value is not None
        elif op in ("$in", "$nin"):
            value = value if isinstance(value, tuple) else () if value is None else (value, "a", 5)
        elif (
            value is None
            or (isinstance(value, tuple) and op not in ("$eq", "$ne"))
            or (isinstance(value, bool) and op in ("$gt", "$gte", "$lt", "$lte"))
        ):
            continue
        tree = parse_where({"x": {op: value}})
        expected = [i for i, other in enumerate(rows) if compares(other["attributes"].get("x"), Op(op), value)]
        assert table.select(tree) == expected, value


def test_large_integers_are_not_rounded() -> None:
    rows = attribute_rows(2**53, 2**53 + 1, 2**63 - 1, 2.0**53, Decimal(2**53 + 1))
    assert select({"x": 2.0**53}, rows) == [0, 3]
    assert select({"x": 2**53 + 1}, rows) == [1, 4]
    assert select({"x": {"$gt": 2.0**53}}, rows) == [1, 2, 4]
    assert select({"x": {"$lt": 2.0**63}}, rows) == [0, 1, 2, 3, 4]
    assert select({"x": {"$gt": Decimal("9223372036854775806.5")}}, rows) == [2]


def test_a_float_is_the_decimal_that_it_prints_as() -> None:
    rows = attribute_rows(0.1, Decimal("0.10"), Decimal("0.1000000000000000055511151231257827021"))
    assert select({"x": 0.1}, rows) == [0, 1]
    assert select({"x": {"$gt": 0.1}}, rows) == [2]
    assert select({"x": {"$lt": Decimal("0.1000000000000000055511151231257827021")}}, rows) == [0, 1]


def test_values_of_another_type_never_match() -> None:
    rows = attribute_rows("5", 5, True, 1, date(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01", ["5"])
    assert select({"x": "5"}, rows) == [0]
    assert select({"x": 5}, rows) == [1]
    assert select({"x": True}, rows) == [2]
    assert select({"x": 1}, rows) == [3]
    assert select({"x": date(2026, 1, 1)}, rows) == [4]
    assert select({"x": {"$gte": datetime(2020, 1, 1, tzinfo=UTC)}}, rows) == [5]
    assert select({"x": {"$gte": ""}}, rows) == [0, 6]
    assert select({"x": {"$ne": "5"}}, rows) == [1, 2, 3, 4, 5, 6, 7]


def test_missing_and_null_match_only_the_negative_operators() -> None:
    rows = attribute_rows(..., None, 5)
    assert select({"x": {"$ne": 5}}, rows) == [0, 1]
    assert select({"x": {"$nin": [5]}}, rows) == [0, 1]
    assert select({"x": {"$exists": False}}, rows) == [0, 1]
    assert select({"x": {"$exists": True}}, rows) == [2]
    assert select({"$not": {"x": {"$gt": 7}}}, rows) == [0, 1, 2]
    assert select({"x": {"$lt": 7}}, rows) == [2]


def test_contains_is_an_element_or_a_literal_substring() -> None:
    rows = attribute_rows("100% pure", "100 pure", ["100%", 5.0], ["100"], "a_b*c", Decimal(5))
    assert select({"x": {"$contains": "100%"}}, rows) == [0, 2]
    assert select({"x": {"$contains": "_"}}, rows) == [4]
    assert select({"x": {"$contains": "*"}}, rows) == [4]
    assert select({"x": {"$contains": "PURE"}}, rows) == []
    assert select({"x": {"$contains": 5}}, rows) == [2]


def test_lists_compare_whole_with_eq_and_by_element_with_contains() -> None:
    rows = attribute_rows([1, "a"], [1.0, "a"], ["a", 1], [1], 1, [])
    assert select({"x": [Decimal("1.0"), "a"]}, rows) == [0, 1]
    assert select({"x": []}, rows) == [5]
    assert select({"x": {"$in": [1]}}, rows) == [4]
    assert select({"x": {"$in": []}}, rows) == []
    assert select({"x": {"$nin": []}}, rows) == [0, 1, 2, 3, 4, 5]


def test_text_ranges_go_by_code_point() -> None:
    rows = attribute_rows("Z", "a", "z", "é", "\uffff", "\U0001f600")
    assert select({"x": {"$gt": "z"}}, rows) == [3, 4, 5]
    assert select({"x": {"$gt": "\uffff"}}, rows) == [5]


@pytest.mark.parametrize("name", strategies.ODD_NAMES)
def test_any_name_is_that_name_only(name: str) -> None:
    # An attribute of every other name stands beside, so that a pointer that goes astray finds something.
    others = dict.fromkeys(strategies.ODD_NAMES, "other")
    rows: list[Row] = [{"attributes": {**others, name: "this"}}, {"attributes": others}]
    rows.append({"attributes": {other: "this" for other in others if other != name}})
    assert select({f"attributes.{name}": "this"}, rows) == [0]
    assert select({f"attributes.{name}": {"$exists": True}}, rows) == [0, 1]


def test_an_index_into_a_list_is_no_name() -> None:
    rows: list[Row] = [{"attributes": {"a": ("this",), "b": Decimal(1)}}]
    for name in ("0", "a/0", "a.0", "a[0]", "b/order", "b.order"):
        assert select({name: {"$exists": True}}, rows) == []


def test_columns_and_attributes_of_one_name_are_apart() -> None:
    rows: list[Row] = [{"kind": "a", "attributes": {"kind": "b"}}, {"kind": "b", "attributes": {"kind": "a"}}]
    assert select({"kind": "a"}, rows) == [0]
    assert select({"attributes.kind": "a"}, rows) == [1]


def test_columns_compare_by_their_type() -> None:
    rows: list[Row] = [
        {"tags": ("pref", "a"), "title": "5", "version": 5, "importance": 0.5, "attributes": {}},
        {"tags": (), "version": 2**53 + 1, "event_at": datetime(2026, 1, 1, tzinfo=UTC), "attributes": {}},
    ]
    assert select({"tags": {"$contains": "pref"}}, rows) == [0]
    assert select({"tags": ["pref", "a"]}, rows) == [0]
    assert select({"tags": []}, rows) == [1]
    assert select({"tags": ["pref", 1]}, rows) == []
    assert select({"tags": {"$gt": "a"}}, rows) == []
    assert select({"title": {"$ne": "5"}}, rows) == [1]
    assert select({"title": 5}, rows) == []
    assert select({"title": ["5"]}, rows) == []
    assert select({"title": {"$gte": "4", "$lt": "50"}}, rows) == [0]
    assert select({"title": {"$contains": ""}}, rows) == [0]
    assert select({"title": {"$contains": 5}}, rows) == []
    assert select({"version": {"$gt": 2.0**53}}, rows) == [1]
    assert select({"version": {"$gte": 4.5, "$lt": Decimal("5.1")}}, rows) == [0]
    assert select({"version": {"$lt": 1e30}}, rows) == [0, 1]
    assert select({"version": {"$gt": 1e30}}, rows) == []
    assert select({"version": True}, rows) == []
    assert select({"importance": {"$in": [Decimal("0.50"), "x"]}}, rows) == [0]
    assert select({"importance": {"$gt": Decimal("0.4999999999999999999999999999999999")}}, rows) == [0]
    assert select({"importance": {"$exists": False}}, rows) == [1]
    assert select({"event_at": {"$in": [datetime(2026, 1, 1, tzinfo=UTC), 5]}}, rows) == [1]


@pytest.mark.parametrize(
    "moment", [date(2026, 1, 1), "2026-01-01", "2026-01-01T00:00:00Z", "2026-01-01T02:00:00+02:00"]
)
def test_times_of_columns_may_be_dates_and_iso_texts(moment: Any) -> None:
    rows: list[Row] = [
        {"event_at": datetime(2025, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), "attributes": {}},
        {"event_at": datetime(2026, 1, 1, tzinfo=UTC), "attributes": {}},
    ]
    assert select({"event_at": moment}, rows) == [1]
    assert select({"event_at": {"$lt": moment}}, rows) == [0]
    assert select({"event_at": {"$in": [moment]}}, rows) == [1]


@pytest.mark.parametrize("text", ["' OR 1=1 --", '"; DROP TABLE memories; --', "?", "x) OR (TRUE", "$1", "{}"])
def test_nothing_of_a_filter_becomes_sql(text: str) -> None:
    tree = parse_where({f"attributes.{text}": {"$ne": text}, "x": {"$contains": text, "$in": [text]}, "kind": text})
    condition = compile_filter(tree, COLUMNS)
    plain = parse_where({"attributes.y": {"$ne": "z"}, "x": {"$contains": "z", "$in": ["z"]}, "kind": "z"})
    assert condition.sql == compile_filter(plain, COLUMNS).sql
    row: Row = {"kind": text, "attributes": {text: "other", "x": text}}
    assert select(
        {f"attributes.{text}": {"$ne": text}, "x": {"$contains": text, "$in": [text]}, "kind": text}, [row]
    ) == [0]


def test_several_names_and_operators_are_anded_and_the_empty_filter_matches_all() -> None:
    rows = [{"kind": kind, "attributes": {"x": x}} for kind in ("a", "b") for x in (1, 5, 9)]
    assert select({"x": {"$gt": 1, "$lt": 9}, "kind": "b"}, list(rows)) == [4]
    assert select({"$or": [{"x": 1}, {"kind": "b"}]}, list(rows)) == [0, 3, 4, 5]
    assert select({}, list(rows)) == [0, 1, 2, 3, 4, 5]
    assert select({"$not": {}}, list(rows)) == []
    assert select({"$and": [{}, {"x": 1}, {"$not": {"$not": {}}}]}, list(rows)) == [0, 3]
    assert select({"$or": [{}, {"x": 1}]}, list(rows)) == [0, 1, 2, 3, 4, 5]
    assert select({"$and": [{"$not": {}}, {"x": 1}]}, list(rows)) == []


def test_the_largest_filters_run() -> None:
    rows = attribute_rows(3, 10**6)
    assert select({"x": {"$in": list(range(9_999))}}, rows) == [0]
    assert select({"id": {"$in": [str(number) for number in range(9_999)]}}, [{"id": "7", "attributes": {}}]) == [0]
    nested: dict[str, Any] = {"x": 3}
    for _ in range(63):
        nested = {"$not": nested}
    assert select(nested, rows) == [1]
    wide = {"$or": [{"version": number} for number in range(5_000)]}
    assert select(wide, [{"version": 4_999, "attributes": {}}]) == [0]


def test_a_column_that_the_query_lacks_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"'title' cannot be filtered by here; known are attributes kind"):
        compile_filter(parse_where({"title": "x"}), {name: COLUMNS[name] for name in ("kind", "attributes")})


def test_names_are_all_that_the_filter_looks_at() -> None:
    tree = parse_where({"$or": [{"kind": "a"}, {"$not": {"x": 1}}], "attributes.kind": 5})
    assert names(tree) == {Name("kind", False), Name("x", True), Name("kind", True)}


def test_bounds_are_the_conditions_that_and_alone_leads_to() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    tree = parse_where_text(
        'user = "ana" and (trip >= 5 and trip < 9) and kind in ("a", "b") and event_at >= 2026-01-01 and title = "t"'
        ' and (x = 1 or y = 2) and not (z = 1) and attributes.kind = "c" and attributes.title = "d" and w != 5'
        ' and v exists and u contains "x" and l = (1, 2) and empty in ()'
    )
    assert necessary_bounds(tree) == {
        "user": [(Op.EQ, ("ana",))],
        "trip": [(Op.GTE, (5,)), (Op.LT, (9,))],
        "kind": [(Op.IN, ("a", "b"))],
        "event_at": [(Op.GTE, (moment,))],
        "title": [(Op.EQ, ("d",))],
        "empty": [(Op.IN, ())],
    }


@settings(max_examples=300, deadline=None)
@given(strategies.rows, strategies.wheres)
def test_bounds_are_necessary(row: dict[str, Any], where: dict[str, Any]) -> None:
    [row] = checked([row])
    tree = parse_where(where)
    for name, bounds in necessary_bounds(tree).items():
        for op, values in bounds:
            held = (row if name in PARTITION_COLUMNS else row["attributes"]).get(name)
            if not compares(held, op, values if op is Op.IN else values[0]):
                assert not matches(tree, row)
