"""Random names, values, rows and filters, few enough of each that they often meet."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from kiromi.filters import COLUMN_TYPES, ColumnType

ODD_NAMES = [
    *[
        "trip",
        "topic",
        "0",
        "a.b",
        'a"b',
        "a'b",
        "a/b",
        "~",
        "~1",
        "~0",
        "a~1b",
        "$x",
        "$",
        "*",
        "[0]",
        "a\\b",
        " ",
        "#",
    ],
    *["é", "e\u0301", "\U0001f600", "名", "kind", "tags", "attributes", "attributes.x", "decimal", "order", "date"],
    *["datetime", "and", "True", "v", "item", "?", "' OR TRUE --", "-", "`", "a``b", "\u2028", "$[*]", "/"],
]
TEXTS = [
    *["", "a", "ab", "A", "b", "travel", "5", "5.0", "true", "null", '"', "\\", "%", "_", "*", "a%b", "a\x00b", "\x1f"],
    *["\x7f", "\uffff", "\U0001f600", "é", "e\u0301", '{"date":"2026-01-01"}', '{"decimal":"5","order":"250005"}'],
    *["[]", '["a"]', "2026-01-01", "' OR 1=1 --", "?", "\n"],
]
INTS = [0, 1, -1, 5, -5, 10, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), -(2**63) + 1, 9007199254740993, 10**18]
FLOATS = [0.0, -0.0, 0.1, 0.3, 5.0, -5.0, 5.5, 1e16, 2.0**53, 2.0**63, -(2.0**63), 5e-324, 1.7976931348623157e308, 1e23]
DECIMALS = [
    Decimal(text)
    for text in [
        *["0", "-0", "0.00", "0.1", "0.10", "5", "5.00", "-5", "5.5", "1E+1", "1E+128", "-1E-128", "-1.1", "-1.11"],
        *[
            "9223372036854775807",
            "9223372036854775808",
            "9007199254740993.0",
            "0.1000000000000000055511151231257827021",
        ],
        *["-9223372036854775808.5", "9223372036854775807.5", "1E+23", "0.30000000000000004"],
    ]
]
DATES = [date(1, 1, 1), date(2026, 1, 1), date(2026, 1, 2), date(9999, 12, 31)]
TIMES = [
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(2026, 1, 1, tzinfo=UTC),
    datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
    datetime(2026, 1, 1, 10, tzinfo=timezone(timedelta(hours=2))),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
]

names = st.one_of(
    st.sampled_from(ODD_NAMES), st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)
)
texts = st.one_of(st.sampled_from(TEXTS), st.text(max_size=5))
ints = st.one_of(st.sampled_from(INTS), st.integers(-(2**63), 2**63 - 1), st.integers(-3, 3))
floats = st.one_of(st.sampled_from(FLOATS), st.floats(allow_nan=False, allow_infinity=False))
decimals = st.one_of(
    st.sampled_from(DECIMALS),
    st.builds(
        lambda sign, digits, exponent: Decimal((sign, digits, exponent)),
        st.integers(0, 1),
        st.lists(st.integers(0, 9), min_size=1, max_size=38).map(tuple),
        st.one_of(st.integers(-4, 4), st.integers(-128, 128)),
    ),
)
dates = st.one_of(st.sampled_from(DATES), st.dates())
times = st.one_of(
    st.sampled_from(TIMES),
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(timezone(timedelta(hours=-7)))),  # noqa: DTZ001
)
scalars = st.one_of(texts, ints, floats, decimals, st.booleans(), dates, times)
lists = st.lists(scalars, max_size=4)
values = st.one_of(scalars, lists, st.none())
attributes = st.dictionaries(names, values, max_size=5)

# Filters look mostly at three names, so that their conditions are often about the same value.
few_names = ["trip", 'a"b', "a/b"]
_COLUMN_VALUES = {
    ColumnType.TEXT: texts,
    ColumnType.INTEGER: ints,
    ColumnType.FLOAT: floats,
    ColumnType.TIMESTAMP: times,
    ColumnType.TEXT_LIST: st.lists(texts, max_size=3).map(tuple),
}
rows: st.SearchStrategy[dict[str, Any]] = st.builds(
    lambda columns, held: {**columns, "attributes": held},
    st.fixed_dictionaries({}, optional={name: _COLUMN_VALUES[kind] for name, kind in COLUMN_TYPES.items()}),
    st.dictionaries(st.one_of(st.sampled_from(few_names), names), values, max_size=5),
)

_COLUMN_NAMES = ["id", "kind", "tags", "version", "importance", "event_at", "expires_at", "title"]
_TIME_COLUMNS = {name for name, kind in COLUMN_TYPES.items() if kind is ColumnType.TIMESTAMP}


def _written(name: str) -> str:
    """An attribute's name as it is written in a filter."""
    return f"attributes.{name}" if name in COLUMN_TYPES or name.startswith(("attributes.", "$")) else name


written_names = st.one_of(
    st.sampled_from(few_names),
    st.sampled_from(_COLUMN_NAMES),
    st.one_of(st.sampled_from(few_names), names).map(_written),
)


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    name = draw(written_names)
    one = st.one_of(ints, floats, decimals, st.booleans(), dates, times) if name in _TIME_COLUMNS else scalars
    ordered = one.filter(lambda value: not isinstance(value, bool))
    many = st.lists(one, max_size=4)
    operators = {
        "$eq": st.one_of(one, many),
        "$ne": st.one_of(one, many),
        "$in": many,
        "$nin": many,
        "$contains": one,
        "$exists": st.booleans(),
        **dict.fromkeys(("$gt", "$gte", "$lt", "$lte"), ordered),
    }
    operator = draw(st.sampled_from(sorted(operators)))
    operand = draw(operators[operator])
    form = draw(st.integers(0, 3))
    if form == 0 and operator == "$eq":
        return {name: operand}
    if form == 1:
        return {name: {"$not": {operator: operand}}}
    return {name: {operator: operand}}


wheres: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.one_of(conditions(), conditions(), st.just({})),
    lambda inner: st.one_of(
        st.builds(lambda parts: {"$and": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda parts: {"$or": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: {"$not": part}, inner),
        st.builds(lambda one, other: {**one, **other}, inner, inner),
    ),
    max_leaves=6,
)
