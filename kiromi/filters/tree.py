"""The tree of a filter, and the rules that every way of writing one shares.

:func:`resolve_name` and :func:`compare` are the only makers of leaves: they settle what a name means and which operands
an operator takes, so both syntaxes refuse the same things in the same words. What a comparison means for a row:

- A name that a row lacks, or holds as null, is matched by ``$ne``, ``$nin`` and ``$exists: false`` alone.
- Values of another type never match; int, float and Decimal are one type and compare exactly, a float as the
  decimal that ``repr`` prints. A bool is no number, a date no datetime. Text compares by code point.
- ``$contains`` is an element of a list or a substring of a text; ``$eq`` with a list compares the whole list.
"""

import re
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum, StrEnum, auto
from types import MappingProxyType
from typing import Any, TypeAlias

from kiromi.attributes import check_name, check_scalar
from kiromi.errors import InvalidInput
from kiromi.model import Scalar

MAX_DEPTH = 64
"""Levels of nesting that a filter may have."""
MAX_NODES = 10_000
"""Comparisons, junctions and list items that a filter may have."""
ATTRIBUTE_PREFIX = "attributes."

Operand: TypeAlias = Scalar | tuple[Scalar, ...]


class Op(StrEnum):
    """What a comparison asks, named as in the mapping form."""

    EQ = "$eq"
    NE = "$ne"
    GT = "$gt"
    GTE = "$gte"
    LT = "$lt"
    LTE = "$lte"
    IN = "$in"
    NIN = "$nin"
    CONTAINS = "$contains"
    EXISTS = "$exists"


RANGE_OPS = frozenset({Op.GT, Op.GTE, Op.LT, Op.LTE})


class ColumnType(Enum):
    """What a column holds, and so which values can match it."""

    TEXT = auto()
    INTEGER = auto()
    """64-bit signed."""
    FLOAT = auto()
    """64-bit."""
    TIMESTAMP = auto()
    """With time zone."""
    TEXT_LIST = auto()
    ATTRIBUTES = auto()
    """The JSON text of :mod:`kiromi.attributes`."""


def _column_types() -> Iterator[tuple[str, ColumnType]]:
    for name in ("id", "key", "namespace", "kind", "title", "language"):
        yield name, ColumnType.TEXT
    for name in ("run_id", "superseded_by", "media_type", "sha256"):
        yield name, ColumnType.TEXT
    for name in ("version", "seq", "size", "scheme"):
        yield name, ColumnType.INTEGER
    for name in ("importance", "confidence"):
        yield name, ColumnType.FLOAT
    for name in ("event_at", "valid_from", "valid_until", "expires_at", "created_at", "updated_at", "superseded_at"):
        yield name, ColumnType.TIMESTAMP
    yield "tags", ColumnType.TEXT_LIST


COLUMN_TYPES: Mapping[str, ColumnType] = MappingProxyType(dict(_column_types()))
"""The documented columns: a bare name among these is the column, any other an attribute."""
PARTITION_COLUMNS = frozenset({"id", "key", "kind", "created_at", "event_at"})
"""The built-ins that a scheme may read."""


@dataclass(frozen=True, slots=True)
class Name:
    """What a comparison looks at."""

    text: str
    is_attribute: bool
    """Whether it is an attribute; else a column of :data:`COLUMN_TYPES`."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A leaf, made by :func:`compare`."""

    name: Name
    op: Op
    value: Operand
    """A tuple for in and nin, a bool for exists, a scalar or a tuple for eq and ne, else a scalar."""


@dataclass(frozen=True, slots=True)
class And:
    """Matches if all children match; with none, every row."""

    children: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Matches if a child matches; it has two or more."""

    children: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Matches exactly the rows that the child does not."""

    child: "Filter"


Filter: TypeAlias = Comparison | And | Or | Not


def resolve_name(text: str) -> Name:
    """Return what a name means: ``attributes.x`` the attribute x, a column's name the column, any other an attribute.

    Raises:
        InvalidInput: no attribute can have that name.
    """
    if text in COLUMN_TYPES:
        return Name(text, is_attribute=False)
    return Name(check_name(text.removeprefix(ATTRIBUTE_PREFIX)), is_attribute=True)


def compare(name: Name, op: Op, value: Any) -> Comparison:
    """Return a comparison with its operand checked and made plain.

    For a timestamp column a date means its midnight in UTC, and a str is read as ISO 8601 (JSON has no times).

    Raises:
        InvalidInput: the operator does not take such a value; the message names operator, name and value.
    """
    subject = f"operator {op} on {name.text!r}"
    is_list = isinstance(value, list | tuple)
    if op is Op.EXISTS:
        if not isinstance(value, bool):
            raise InvalidInput(f"{subject} takes true or false, not {reprlib.repr(value)}")
        return Comparison(name, op, value)
    if value is None:
        raise InvalidInput(f"{subject} takes a value, not null; to find memories without it use $exists: false")
    if op in (Op.IN, Op.NIN) and not is_list:
        raise InvalidInput(f"{subject} takes a list of values, not {reprlib.repr(value)}")
    if is_list:
        if op not in (Op.EQ, Op.NE, Op.IN, Op.NIN):
            raise InvalidInput(f"{subject} takes one value, not the list {reprlib.repr(value)}")
        return Comparison(
            name, op, tuple([_operand(name, item, f"{subject} item {i}") for i, item in enumerate(value)])
        )
    if op in RANGE_OPS and isinstance(value, bool):
        raise InvalidInput(f"{subject} takes something with an order, not {value}; a bool has $eq $ne $in $nin")
    return Comparison(name, op, _operand(name, value, subject))


def _operand(name: Name, value: Any, subject: str) -> Scalar:
    scalar = check_scalar(value, subject)
    if name.is_attribute or COLUMN_TYPES[name.text] is not ColumnType.TIMESTAMP:
        return scalar
    if isinstance(scalar, str):
        return check_scalar(_iso_time(scalar, subject), subject)
    if isinstance(scalar, date) and not isinstance(scalar, datetime):
        return datetime(scalar.year, scalar.month, scalar.day, tzinfo=UTC)
    return scalar


def _iso_time(text: str, subject: str) -> datetime:
    try:
        value = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(
            f"{subject}: {reprlib.repr(text)} is no time; give a datetime, a date, or ISO 8601 as 2026-01-31T10:00:00Z"
        ) from error
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return value.replace(tzinfo=UTC)
    if value.tzinfo is None:
        raise InvalidInput(f"{subject}: {text!r} has no timezone; end it in Z or in an offset such as +02:00")
    return value


def conjunction(children: list[Filter]) -> Filter:
    """Return what matches if all children match; a single child is itself."""
    return children[0] if len(children) == 1 else And(tuple(children))


def disjunction(children: list[Filter]) -> Filter:
    """Return what matches if one of the children matches; a single child is itself."""
    return children[0] if len(children) == 1 else Or(tuple(children))


def walk(tree: Filter) -> Iterator[tuple[Filter, int]]:
    """Yield every node, parents first, with its level from 1."""
    stack = [(tree, 1)]
    while stack:
        node, level = stack.pop()
        yield node, level
        match node:
            case And(children) | Or(children):
                stack += [(child, level + 1) for child in reversed(children)]
            case Not(child):
                stack.append((child, level + 1))


def check_limits(tree: Filter) -> Filter:
    """Return ``tree`` if it is small enough to run.

    Raises:
        InvalidInput: more than ``MAX_DEPTH`` levels, or more than ``MAX_NODES`` nodes and list items.
    """
    nodes = 0
    for node, level in walk(tree):
        check_depth(level)
        nodes += 1 + (len(node.value) if isinstance(node, Comparison) and isinstance(node.value, tuple) else 0)
    if nodes > MAX_NODES:
        raise InvalidInput(f"the filter has {nodes} conditions and list items; at most {MAX_NODES} are accepted")
    return tree


def check_depth(level: int) -> None:
    """Refuse a level of nesting that is too deep.

    Raises:
        InvalidInput: beyond ``MAX_DEPTH``.
    """
    if level > MAX_DEPTH:
        raise InvalidInput(f"the filter is nested deeper than {MAX_DEPTH} levels")


def names(tree: Filter) -> frozenset[Name]:
    """Return all names that a filter looks at."""
    return frozenset(node.name for node, _ in walk(tree) if isinstance(node, Comparison))


def necessary_bounds(tree: Filter) -> dict[str, list[tuple[Op, tuple[Scalar, ...]]]]:
    """Return, by the field names of schemes, conditions that every matching row satisfies, for pruning partitions.

    Only what is reached through And is necessary. The operators are eq, in (all values; with none, no row matches), gt,
    gte, lt and lte. Fields are attributes and the built-ins of schemes; an attribute named like a built-in is left out,
    since no scheme can read it, and so are comparisons with whole lists. Equality is that of filters: 5, 5.0 and
    ``Decimal("5.00")`` are equal although they render to different paths.
    """
    bounds: dict[str, list[tuple[Op, tuple[Scalar, ...]]]] = {}
    stack: list[Filter] = [tree]
    while stack:
        match stack.pop():
            case And(children):
                stack += reversed(children)
            case Comparison(name, op, value) if name.is_attribute != (name.text in PARTITION_COLUMNS):
                if op is Op.IN and isinstance(value, tuple):
                    bounds.setdefault(name.text, []).append((op, value))
                elif (op is Op.EQ or op in RANGE_OPS) and not isinstance(value, tuple):
                    bounds.setdefault(name.text, []).append((op, (value,)))
    return bounds
