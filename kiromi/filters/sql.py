"""The compiler from a filter to a SQL condition of DuckDB whose values and attribute names are all parameters.

Each comparison yields TRUE or FALSE, never NULL, so NOT is the exact complement. An attribute is taken out of the JSON
text once, as a JSON value, and named by a lambda over a list of one; what is asked of a value inside a lambda may be
NULL, for ``list_filter`` keeps only what is TRUE. NOT therefore never stands inside a lambda. What texts there are is
settled by :mod:`kiromi.attributes`; the conditions rely on it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from kiromi.attributes import INT_MAX, INT_MIN, encode_value, order_key
from kiromi.errors import InvalidInput
from kiromi.filters.numeric import Number, equal_float, equal_int, exact, float_bound, int_bound
from kiromi.filters.tree import And, ColumnType, Comparison, Filter, Not, Op, Operand, Or
from kiromi.model import Scalar

_SYMBOLS = {Op.GT: ">", Op.GTE: ">=", Op.LT: "<", Op.LTE: "<="}
_POSITIVE = {Op.NE: Op.EQ, Op.NIN: Op.IN}


@dataclass(frozen=True, slots=True)
class Column:
    """Where a column lies in the query."""

    sql: str
    """An expression, such as ``m.kind``."""
    type: ColumnType
    """INTEGER is a BIGINT, FLOAT a DOUBLE, TIMESTAMP a TIMESTAMPTZ, TEXT_LIST a VARCHAR[], ATTRIBUTES JSON text."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A boolean SQL expression, and the values of its ``?`` from left to right."""

    sql: str
    parameters: tuple[Any, ...] = ()


_TRUE = Condition("TRUE")
_FALSE = Condition("FALSE")


def compile_filter(tree: Filter, columns: Mapping[str, Column]) -> Condition:
    """Return the condition of a filter over columns by their documented names, the attributes under ``attributes``.

    Raises:
        InvalidInput: the filter names a column that is not among ``columns``.
    """
    match tree:
        case And(children):
            return _all([compile_filter(child, columns) for child in children])
        case Or(children):
            return _any([compile_filter(child, columns) for child in children])
        case Not(child):
            return _not(compile_filter(child, columns))
        case Comparison(name, op, value) if op in _POSITIVE:
            return _not(compile_filter(Comparison(name, _POSITIVE[op], value), columns))
        case Comparison(name, Op.EXISTS, False):
            return _not(compile_filter(Comparison(name, Op.EXISTS, True), columns))
        case Comparison(name, op, value):
            column = columns.get("attributes" if name.is_attribute else name.text)
            if column is None:
                raise InvalidInput(f"{name.text!r} cannot be filtered by here; known are {' '.join(sorted(columns))}")
            return _attribute(column.sql, name.text, op, value) if name.is_attribute else _column(column, op, value)


def _all(conditions: Iterable[Condition]) -> Condition:
    return _join(" AND ", [condition for condition in conditions if condition != _TRUE], _TRUE, _FALSE)


def _any(conditions: Iterable[Condition]) -> Condition:
    return _join(" OR ", [condition for condition in conditions if condition != _FALSE], _FALSE, _TRUE)


def _join(word: str, conditions: list[Condition], empty: Condition, decisive: Condition) -> Condition:
    if decisive in conditions:
        return decisive
    if len(conditions) < 2:
        return conditions[0] if conditions else empty
    parameters = tuple([parameter for condition in conditions for parameter in condition.parameters])
    return Condition("(" + word.join([condition.sql for condition in conditions]) + ")", parameters)


def _not(condition: Condition) -> Condition:
    if condition in (_TRUE, _FALSE):
        return _FALSE if condition == _TRUE else _TRUE
    return Condition(f"(NOT {condition.sql})", condition.parameters)


def _in(expression: str, values: Iterable[Any]) -> Condition:
    """``expression`` is one of ``values``; FALSE if there are none."""
    parameters = tuple(values)
    if not parameters:
        return _FALSE
    if len(parameters) == 1:
        return Condition(f"{expression} = ?", parameters)
    return Condition(f"{expression} IN ({', '.join('?' * len(parameters))})", parameters)


def _range(expression: str, op: Op, value: Any) -> Condition:
    return Condition(f"{expression} {_SYMBOLS[op]} ?", (value,))


# --- columns ----------------------------------------------------------------------------------------------------------


def _column(column: Column, op: Op, value: Operand) -> Condition:
    present = Condition(f"{column.sql} IS NOT NULL")
    if op is Op.EXISTS:
        return present
    # NULL AND FALSE is FALSE; and unlike with coalesce, DuckDB can still skip row groups by their minimum and maximum.
    return _all([_column_test(column, op, value), present])


def _column_test(column: Column, op: Op, value: Operand) -> Condition:
    if column.type is ColumnType.TEXT_LIST:
        return _text_list(column.sql, op, value)
    if isinstance(value, tuple):
        return _in(column.sql, _column_values(column.type, value)) if op is Op.IN else _FALSE
    if op is Op.CONTAINS:
        is_text = column.type is ColumnType.TEXT and isinstance(value, str)
        return Condition(f"contains({column.sql}, ?)", (value,)) if is_text else _FALSE
    if op is Op.EQ:
        return _in(column.sql, _column_values(column.type, (value,)))
    match column.type, value:
        case ColumnType.TEXT, str():
            return _range(column.sql, op, value)
        case ColumnType.TIMESTAMP, datetime():
            return _range(column.sql, op, value)
        case ColumnType.INTEGER, int() | float() | Decimal():
            return _int_range(column.sql, op, value)
        case ColumnType.FLOAT, int() | float() | Decimal():
            return _range(column.sql, *float_bound(op, value))
    return _FALSE


def _column_values(kind: ColumnType, values: tuple[Scalar, ...]) -> list[Any]:
    """Return those of the values that a column of that type can equal, as it would hold them."""
    match kind:
        case ColumnType.TEXT:
            return [value for value in values if isinstance(value, str)]
        case ColumnType.TIMESTAMP:
            return [value for value in values if isinstance(value, datetime)]
        case ColumnType.INTEGER:
            return _ints(_numbers(values))
        case _:
            return _floats(_numbers(values))


def _text_list(expression: str, op: Op, value: Operand) -> Condition:
    if op is Op.CONTAINS and isinstance(value, str):
        return Condition(f"list_contains({expression}, ?)", (value,))
    if op is Op.EQ and isinstance(value, tuple) and all(isinstance(item, str) for item in value):
        return Condition(f"{expression} = CAST(? AS VARCHAR[])", (list(value),))
    return _FALSE


# --- attributes -------------------------------------------------------------------------------------------------------


def _attribute(expression: str, name: str, op: Op, value: Operand) -> Condition:
    # A JSON pointer (RFC 6901) names any key literally, given these two escapes; a JSON path would not.
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    if op is Op.EXISTS:
        return Condition(f"coalesce(json_type({expression}, ?) <> 'NULL', FALSE)", (pointer,))
    test = _value_test("v", op, value)
    if test == _FALSE:
        return _FALSE
    return Condition(
        f"(len(list_filter([json_extract({expression}, ?)], lambda v: {test.sql})) = 1)", (pointer, *test.parameters)
    )


def _value_test(v: str, op: Op, value: Operand) -> Condition:
    """What ``op value`` asks of the JSON value ``v``; TRUE, FALSE or NULL."""
    if isinstance(value, tuple):
        return _equals_one_of(v, value) if op is Op.IN else _equals_list(v, value)
    if op is Op.EQ:
        return _equals_one_of(v, (value,))
    if op is Op.CONTAINS:
        return _value_contains(v, value)
    match value:
        case str():
            return _all([_is(v, "VARCHAR"), _range(_text(v), op, value)])
        case int() | float() | Decimal():
            in_ints, in_floats = _int_range(f"TRY_CAST({v} AS BIGINT)", op, value), float_bound(op, value)
            in_decimals = _range(_order(v), op, order_key(exact(value)))
            return _by_number_type(v, in_ints, _range(f"TRY_CAST({v} AS DOUBLE)", *in_floats), in_decimals)
        case _:
            # {"date":"..."} and {"datetime":"..."} have a fixed width, so their whole texts are in the order of time.
            text = encode_value(value)
            prefix = Condition(f"starts_with(CAST({v} AS VARCHAR), ?)", (text[: text.index(":")],))
            return _all([prefix, _range(f"CAST({v} AS VARCHAR)", op, text)])


def _equals_one_of(v: str, values: tuple[Scalar, ...]) -> Condition:
    texts = [value for value in values if isinstance(value, str)]
    numbers = _numbers(values)
    # The JSON text of bools, dates and datetimes is their value.
    others = [encode_value(value) for value in values if isinstance(value, bool | date)]
    tests = [_all([_is(v, "VARCHAR"), _in(_text(v), texts)]), _in(f"CAST({v} AS VARCHAR)", others)]
    if numbers:
        in_ints = _in(f"TRY_CAST({v} AS BIGINT)", _ints(numbers))
        in_floats = _in(f"TRY_CAST({v} AS DOUBLE)", _floats(numbers))
        in_decimals = _in(_order(v), [order_key(exact(number)) for number in numbers])
        tests.append(_by_number_type(v, in_ints, in_floats, in_decimals))
    return _any(tests)


def _equals_list(v: str, values: tuple[Scalar, ...]) -> Condition:
    length = Condition(f"json_array_length({v}) = ?", (len(values),))
    items = [_equals_one_of(f"json_extract({v}, '/{i}')", (value,)) for i, value in enumerate(values)]
    return _all([_is(v, "ARRAY"), length, *items])


def _value_contains(v: str, value: Scalar) -> Condition:
    item = _equals_one_of("item", (value,))
    in_list = Condition(f"len(list_filter(json_extract({v}, '$[*]'), lambda item: {item.sql})) > 0", item.parameters)
    tests = [_all([_is(v, "ARRAY"), in_list])]
    if isinstance(value, str):
        tests.append(_all([_is(v, "VARCHAR"), Condition(f"contains({_text(v)}, ?)", (value,))]))
    return _any(tests)


def _is(v: str, json_type: str) -> Condition:
    return Condition(f"json_type({v}) = '{json_type}'")


def _text(v: str) -> str:
    return f"json_extract_string({v}, '$')"


def _order(v: str) -> str:
    return f"json_extract_string({v}, '/order')"


def _by_number_type(v: str, in_ints: Condition, in_floats: Condition, in_decimals: Condition) -> Condition:
    """Ask a number by how it is stored; NULL for a date or datetime, which are objects without an order."""
    return Condition(
        f"CASE json_type({v}) WHEN 'UBIGINT' THEN {in_ints.sql} WHEN 'BIGINT' THEN {in_ints.sql}"
        f" WHEN 'DOUBLE' THEN {in_floats.sql} WHEN 'OBJECT' THEN {in_decimals.sql} ELSE FALSE END",
        (*in_ints.parameters, *in_ints.parameters, *in_floats.parameters, *in_decimals.parameters),
    )


# --- numbers ----------------------------------------------------------------------------------------------------------


def _numbers(values: tuple[Scalar, ...]) -> list[Number]:
    return [value for value in values if isinstance(value, int | float | Decimal) and not isinstance(value, bool)]


def _ints(numbers: list[Number]) -> list[int]:
    equals = [equal_int(number) for number in numbers]
    return [number for number in equals if number is not None and INT_MIN <= number <= INT_MAX]


def _floats(numbers: list[Number]) -> list[float]:
    equals = [equal_float(number) for number in numbers]
    return [number for number in equals if number is not None]


def _int_range(expression: str, op: Op, value: Number) -> Condition:
    op, bound = int_bound(op, value)
    if INT_MIN <= bound <= INT_MAX:
        return _range(expression, op, bound)
    return _TRUE if (bound > INT_MAX) == (op in (Op.LT, Op.LTE)) else _FALSE
