"""The mapping form of filters, as users know it from Chroma, LangChain and LangGraph: ``{"trip": {"$gte": 5}}``.

Several names in one mapping are ANDed, several operators under one name too; a plain value is ``$eq``; ``{}`` matches
all. ``$and`` and ``$or`` take lists of filters, ``$not`` a filter, or operators if it stands under a name.
"""

import reprlib
from collections.abc import Mapping
from typing import Any

from kiromi.errors import InvalidInput
from kiromi.filters.tree import (
    Filter,
    Name,
    Not,
    Op,
    check_depth,
    check_limits,
    compare,
    conjunction,
    disjunction,
    resolve_name,
)

_OPS = {op.value: op for op in Op}
_KNOWN = " ".join([*_OPS, "$and", "$or", "$not"])


def parse_where(where: Mapping[str, Any]) -> Filter:
    """Return the tree of a filter in mapping form.

    Raises:
        InvalidInput: an unknown operator, an operand that the operator does not take, or a filter beyond the limits.
    """
    return check_limits(_filter(where, 1))


def _filter(where: Any, level: int) -> Filter:
    check_depth(level)
    if not isinstance(where, Mapping):
        raise InvalidInput(f"a filter is a mapping such as {{'trip': {{'$gte': 5}}}}, not {reprlib.repr(where)}")
    return conjunction([_entry(key, value, level) for key, value in where.items()])


def _entry(key: Any, value: Any, level: int) -> Filter:
    if not isinstance(key, str):
        raise InvalidInput(f"a filter's keys are names and operators, not {reprlib.repr(key)}")
    match key:
        case "$and":
            return conjunction(_filters(key, value, level))
        case "$or":
            return disjunction(_filters(key, value, level))
        case "$not":
            return Not(_filter(value, level + 1))
    if key in _OPS:
        raise InvalidInput(f"operator {key} stands under a name, as in {{'trip': {{'{key}': ...}}}}")
    if key.startswith("$"):
        raise _unknown(key)
    name = resolve_name(key)
    return _conditions(name, value, level + 1) if isinstance(value, Mapping) else compare(name, Op.EQ, value)


def _filters(operator: str, value: Any, level: int) -> list[Filter]:
    if not isinstance(value, list | tuple) or not value:
        raise InvalidInput(f"operator {operator} takes a list of at least one filter, not {reprlib.repr(value)}")
    return [_filter(item, level + 1) for item in value]


def _conditions(name: Name, operators: Mapping[Any, Any], level: int) -> Filter:
    check_depth(level)
    if not operators:
        raise InvalidInput(f"no operator under {name.text!r}; give a value, or one of {' '.join(_OPS)} $not")
    return conjunction([_condition(name, key, value, level) for key, value in operators.items()])


def _condition(name: Name, key: Any, value: Any, level: int) -> Filter:
    if key == "$not":
        if not isinstance(value, Mapping):
            raise InvalidInput(
                f"operator $not on {name.text!r} takes operators, not {reprlib.repr(value)}; see also $ne"
            )
        return Not(_conditions(name, value, level + 1))
    if key in _OPS:
        return compare(name, _OPS[key], value)
    if isinstance(key, str) and key.startswith("$"):
        raise _unknown(key, name)
    raise InvalidInput(f"{reprlib.repr(key)} under {name.text!r} is no operator, and attributes are not nested")


def _unknown(operator: str, name: Name | None = None) -> InvalidInput:
    place = f" on {name.text!r}" if name else ""
    return InvalidInput(f"unknown operator {operator}{place}; known are {_KNOWN}")
