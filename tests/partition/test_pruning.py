"""Pruning never loses a partition that holds a selected row, and does skip those that cannot."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kiromi.errors import InvalidInput
from kiromi.partition import Bound, FieldValue, Scheme, may_match, pruner

RangeOp = Literal["lt", "lte", "gt", "gte"]
NEW_YEAR = datetime(2018, 1, 1, tzinfo=UTC)
PST = timezone(timedelta(hours=-8))
TRANSFORMS: dict[str, Sequence[str]] = {
    "text": ("", ":lower", ":truncate(2)", ":bucket(4)"),
    "number": ("", ":lower", ":truncate(3)", ":truncate(10)", ":bucket(4)"),
    "float": ("", ":lower", ":bucket(4)"),
    "bool": ("", ":lower", ":bucket(4)"),
    "date": ("", ":lower", ":bucket(4)", ":year", ":month", ":day", ":%G-%V"),
    "time": ("", ":lower", ":bucket(4)", ":year", ":month", ":day", ":hour", ":%Y-%m-%d %H"),
}
VALUES: dict[str, st.SearchStrategy[FieldValue]] = {
    "text": st.text("abA2017-é", min_size=1, max_size=4) | st.sampled_from(["true", "7", "7.0", "2018-01-01"]),
    "number": st.integers(-30, 30)
    | st.integers(2**53 - 2, 2**53 + 2)
    | st.integers(-(2**63), 2**63 - 1)
    | st.decimals(-30, 30, places=0)
    | st.decimals(-30, 30, places=2)
    | st.decimals(-1, 1, places=20),
    "float": st.integers(-9, 9).map(float) | st.floats(allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
    "date": st.dates() | st.dates(date(2017, 12, 28), date(2018, 1, 3)),
    "time": st.builds(
        datetime.combine, st.dates(date(1, 1, 3), date(9999, 12, 29)), st.times(timezones=st.sampled_from([UTC, PST]))
    )
    | st.integers(-2, 2).map(lambda ticks: NEW_YEAR + timedelta(microseconds=ticks))
    | st.dates(date(2017, 12, 28), date(2018, 1, 3)).map(lambda day: datetime.combine(day, time(), UTC)),
}


def is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def satisfies(value: FieldValue, bound: Bound) -> bool:
    """Whether any filter that a caller may build would select the value: the widest reading of each comparison."""
    if value is None:
        return False
    return any(compares(value, bound.op, other) for other in bound.values)


def compares(value: Any, op: str, other: Any) -> bool:
    if is_number(value) and is_number(other):
        pairs = [(value, other), (float(value), float(other))]
    elif isinstance(value, date) and isinstance(other, date):
        pairs = [(midnight(value), midnight(other))]
    elif type(value) is type(other):
        pairs = [(value, other)]
    else:
        return False
    return any(
        {"eq": a == b, "in": a == b, "lt": a < b, "lte": a <= b, "gt": a > b, "gte": a >= b}[op] for a, b in pairs
    )


def midnight(value: date) -> datetime:
    return value if isinstance(value, datetime) else datetime.combine(value, time(), UTC)


@st.composite
def near(draw: st.DrawFn, value: FieldValue, kind: str) -> FieldValue:
    """Draw something that compares with ``value``, often equal or close to it."""
    same: list[FieldValue] = [value]
    if is_number(value):
        same += [float(value), Decimal(str(value)), Decimal(str(value)) * Decimal("1.00")]  # type: ignore[arg-type]
        if value == int(value):  # type: ignore[arg-type]
            same.append(int(value))  # type: ignore[arg-type]
    if isinstance(value, datetime):
        same += [value + timedelta(microseconds=1), value - timedelta(hours=9), value.date(), value.astimezone(UTC)]
    elif isinstance(value, date):
        same += [midnight(value), NEW_YEAR]
    return draw(st.sampled_from(same) | VALUES[kind])


@st.composite
def selected_rows(draw: st.DrawFn) -> tuple[Scheme, Mapping[str, FieldValue], Mapping[str, list[Bound]]]:
    kinds = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=3))
    row: dict[str, FieldValue] = {}
    bounds: dict[str, list[Bound]] = {}
    segments = []
    for i, kind in enumerate(kinds):
        field = f"f{i}"
        row[field] = draw(VALUES[kind])
        default = draw(st.sampled_from(["", "|7", "|2018-01-01", "|none"]))
        for j, transform in enumerate(draw(st.lists(st.sampled_from(TRANSFORMS[kind]), min_size=1, max_size=2))):
            segments.append(f"s{i}_{j}={{{field}{transform}{default}}}")
        for _ in range(draw(st.integers(0, 2))):
            op: Any = draw(st.sampled_from(["eq", "in", "lt", "lte", "gt", "gte"]))
            others = draw(st.lists(near(row[field], kind), min_size=1, max_size=3 if op == "in" else 1))
            bound = Bound(op, tuple(others))
            if satisfies(row[field], bound):
                bounds.setdefault(field, []).append(bound)
    return Scheme.parse("/".join(segments)), row, bounds


@given(selected_rows())
def test_the_partition_of_a_selected_row_is_kept(
    case: tuple[Scheme, Mapping[str, FieldValue], Mapping[str, list[Bound]]],
) -> None:
    scheme, row, bounds = case
    assert may_match(scheme, scheme.render(row).values, bounds)


def keeps(template: str, row: Mapping[str, object], **bounds: Bound) -> bool:
    scheme = Scheme.parse(template)
    return may_match(scheme, scheme.render(row).values, {field: [bound] for field, bound in bounds.items()})


def eq(value: FieldValue) -> Bound:
    return Bound("eq", (value,))


@pytest.mark.parametrize(
    ("template", "other", "wanted"),
    [
        ("user={user}", "acme-corp", "acme"),
        ("{user:lower}", "ANA", "Bob"),
        ("{user:truncate(2)}", "bob", "ana"),
        ("{user:bucket(1000)}", "ana", "bob"),
        ("{user}", 8, 7),
        ("{user}", Decimal("7.01"), 7.0),
        ("{user}", "seven", 7),
        ("{user}", None, 7),
        ("{user}", "1", True),
        ("{user}", False, True),
        ("{user:truncate(10)}", 12, 7),
        ("{user:truncate(10)}", Decimal("7.15"), 7),
        ("{user:truncate(10)}", "ten", 7),
        ("{user:truncate(10)}", None, 7),
        ("{user:bucket(1000)}", date(2018, 1, 1), date(2018, 1, 2)),
        ("{user:year}", date(2018, 1, 1), date(2017, 12, 31)),
        ("{user:%V}", date(2018, 1, 1), NEW_YEAR - timedelta(days=1)),
    ],
)
def test_equality_prunes(template: str, other: object, wanted: FieldValue) -> None:
    assert not keeps(template, {"user": other}, user=eq(wanted))
    assert not keeps(template, {"user": other}, user=Bound("in", (wanted, wanted)))


def test_equality_of_numbers_is_no_stricter_than_that_of_doubles() -> None:
    # The double next to 0.3 is below it.
    assert keeps("{f:truncate(1)}", {"f": Decimal("0.3")}, f=eq(Decimal("0.3")))
    assert keeps("{f:truncate(1)}", {"f": Decimal("0.3")}, f=eq(0.3))
    assert keeps("{f}", {"f": 2**53 + 1}, f=eq(float(2**53)))


def test_in_keeps_each_alternative() -> None:
    wanted = Bound("in", ("ana", 7, date(2018, 1, 1)))
    for value in ("ana", 7.0, Decimal("7.00"), NEW_YEAR, date(2018, 1, 1)):
        assert keeps("{user}", {"user": value}, user=wanted)
    assert not keeps("{user}", {"user": "bob"}, user=wanted)
    assert not keeps("{user}", {"user": "bob"}, user=Bound("in", ()))


@pytest.mark.parametrize("transform", ["year", "month", "day", "hour"])
@pytest.mark.parametrize("op", ["lt", "lte", "gt", "gte"])
def test_ranges_prune_times(transform: str, op: RangeOp) -> None:
    template = f"{{event_at:{transform}}}"
    wanted = Bound(op, (NEW_YEAR,))
    tick = timedelta(microseconds=1)
    assert keeps(template, {"event_at": NEW_YEAR - tick}, event_at=wanted) == (op in ("lt", "lte"))
    # A day later is another year only if the year is already over.
    assert keeps(template, {"event_at": NEW_YEAR}, event_at=wanted) == (op != "lt")
    next_year = {"event_at": NEW_YEAR.replace(year=2019)}
    assert keeps(template, next_year, event_at=wanted) == (op in ("gt", "gte"))


def test_ranges_prune_plain_times_by_their_day() -> None:
    below = Bound("lt", (date(2018, 1, 1),))
    assert not keeps("{day}", {"day": date(2018, 1, 1)}, day=below)
    assert keeps("{day}", {"day": date(2017, 12, 31)}, day=below)
    assert not keeps("{day}", {"day": NEW_YEAR}, day=below)
    assert not keeps("{day}", {"day": None}, day=below)
    assert not keeps("{day}", {"day": None}, day=Bound("gt", (date(2018, 1, 1),)))


def test_ranges_are_not_an_hour_off_when_the_clocks_change() -> None:
    # 03:00 is one hour and a tick after 02:59:59.999999 by the first of the two passes of that hour.
    bound = Bound("lt", (datetime(2024, 10, 27, 3, tzinfo=ZoneInfo("Europe/Berlin")),))
    assert keeps("{event_at:hour}", {"event_at": datetime(2024, 10, 27, 1, 30, tzinfo=UTC)}, event_at=bound)
    assert not keeps("{event_at:hour}", {"event_at": datetime(2024, 10, 27, 2, tzinfo=UTC)}, event_at=bound)


@pytest.mark.parametrize(
    ("template", "bound"),
    [
        ("{f:bucket(64)}", eq(7)),
        ("{f:year|x}", eq(7)),
        ("{f}", eq(None)),
        ("{f}", Bound("in", ("nobody", None))),
        ("{f}", Bound("in", ("nobody", 10**400))),
        ("{f}", eq(Decimal("sNaN"))),
        ("{f:truncate(2)}", eq(True)),
        ("{f:year}", eq("2017")),
        ("{f:hour}", eq(date(2017, 1, 1))),
        ("{f}", eq(datetime(2017, 1, 1))),  # noqa: DTZ001
        ("{f}", eq(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))))),
        ("{f:year}", Bound("gt", (datetime(2030, 1, 1),))),  # noqa: DTZ001
        ("{f:hour}", Bound("gt", (date(2030, 1, 1),))),
        ("{f:%Y}", Bound("gt", (NEW_YEAR.replace(year=2030),))),
        ("{f:day}", Bound("lt", (date(1, 1, 1),))),
        ("{f:day}", Bound("gt", ("2030",))),
        ("{f}", Bound("gt", (2030,))),
        ("{f:bucket(64)}", Bound("gt", (NEW_YEAR,))),
    ],
)
def test_what_is_in_doubt_is_kept(template: str, bound: Bound) -> None:
    assert may_match(Scheme.parse(template), {"f": "2018-01-01"}, {"f": [bound]})


def test_any_subset_of_fields_prunes() -> None:
    scheme = Scheme.parse("notes/user={user}/month={event_at:%Y-%m}/y={event_at:year}")
    may = pruner(scheme, {"event_at": [Bound("gte", (NEW_YEAR,)), eq(NEW_YEAR)], "elsewhere": [eq("x")]})
    assert may({"user": "ana", "month": "2018-01", "y": "2018"})
    assert not may({"user": "ana", "month": "2018-02", "y": "2018"})
    assert not may({"month": "2018-01", "y": "2017"})
    assert may({"user": "ana"})
    assert not may({"y": None})
    assert pruner(scheme, {})({"user": "ana", "month": "2018-01", "y": "2018"})


@given(st.text("ab1.", min_size=1, max_size=3), st.text("ab1.", min_size=1, max_size=3))
def test_a_default_is_kept_only_for_what_it_could_be_taken_for(default: str, wanted: str) -> None:
    scheme = Scheme.parse(f"{{user|{default}}}")
    assume(default != wanted)
    assert not may_match(scheme, scheme.render({}).values, {"user": [eq(wanted)]})
    assert may_match(scheme, scheme.render({}).values, {"user": [eq(default)]})


@pytest.mark.parametrize("values", [(), (1, 2)])
def test_a_comparison_takes_one_value(values: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match=f"lt takes one value, not {len(values)}"):
        Bound("lt", values)
