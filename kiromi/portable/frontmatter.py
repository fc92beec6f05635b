"""YAML front matter: the fields that stand between ``---`` lines at the start of a text.

Promises that reading it is safe and quick whatever it holds: events are taken one by one from YAML's parser (YAML 1.1
as PyYAML resolves it), so nothing nests, no alias is followed and no object is built. Values are flat: text, int,
float, bool, date, datetime (naive ones are UTC), None, or a list of these. Whether a value can be stored is left to
:mod:`kiromi.records`. One departure from YAML 1.1: ``12:30`` is text, as in YAML 1.2, not the number 750.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from reprlib import repr as brief
from typing import Any

import yaml

from kiromi.errors import InvalidInput
from kiromi.portable.source import read_time

MAX_BYTES = 65_536
"""The largest front matter that is read."""
COLUMNS = (
    *("title", "tags", "kind", "language", "importance", "confidence"),
    *("event_at", "valid_from", "valid_until", "expires_at"),
)
"""The keys that set a memory's field of that name; every other key is an attribute."""

_OPENING = re.compile(r"\ufeff?---[ \t]*\r?\n")
_CLOSING = re.compile(r"^---[ \t]*(?:\r?\n|\Z)", re.MULTILINE)
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_YAML = "tag:yaml.org,2002:"
_TYPED = frozenset(_YAML + name for name in ("null", "bool", "int", "float", "timestamp"))
_FLAT = "expected text, a number, a boolean, a date, a time or a flat list of these"


def parse(text: str) -> tuple[dict[str, Any], int]:
    """Return the fields of a text's front matter, and the offset in characters at which its body begins.

    A text without front matter gives ``({}, 0)``. So does one that only begins with a thematic break: no ``---`` line
    follows, or what stands between the two is no mapping. Keys are taken as they are written (``2024:`` is ``"2024"``).

    Raises:
        InvalidInput: the front matter is over 64 KiB or not YAML; a key stands twice; a value is nested, an alias,
            of an explicit type, or no value of its form (``2024-02-30``). The message names the key or the line.
    """
    opening = _OPENING.match(text)
    closing = _CLOSING.search(text, opening.end()) if opening else None
    if opening is None or closing is None:
        return {}, 0
    block = text[opening.end() : closing.start()]
    try:
        size = len(block.encode())
        if size > MAX_BYTES:
            raise InvalidInput(f"front matter of {size:,} bytes; at most {MAX_BYTES:,} are read")
        fields = _read_block(block)
    except UnicodeEncodeError as error:
        raise InvalidInput(f"front matter: a lone surrogate at character {error.start}") from error
    except yaml.YAMLError as error:
        raise InvalidInput(f"front matter is not YAML: {_explain(error)}") from error
    return ({}, 0) if fields is None else (fields, closing.end())


def draft_fields(fields: Mapping[str, Any], rename: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a record that front matter gives: those of ``COLUMNS``, and ``attributes``.

    Dates become the midnight, in UTC, with which they begin; ``tags: a, b`` is a list of two; ints and dates are texts
    where a text is wanted.

    Args:
        fields: as :func:`parse` returns them.
        rename: from new names to the keys of the front matter. A new name of ``COLUMNS`` takes the key's value, before
            a key of that name, and the key stays an attribute, because a scheme may use it (``event_at=created``); a
            key that is itself of ``COLUMNS`` moves. Any other new name renames the attribute. Keys that a text lacks
            are passed over.

    Raises:
        InvalidInput: a value has not the form of its column, or two keys claim one attribute; the message names
            the key.
    """
    taken = {new: old for new, old in rename.items() if old in fields}
    columns = {name: (name, fields[name]) for name in COLUMNS if name in fields and name not in taken.values()}
    columns |= {new: (old, fields[old]) for new, old in taken.items() if new in COLUMNS}
    renamed = {old for new, old in taken.items() if new not in COLUMNS}
    attributes = {name: value for name, value in fields.items() if name not in COLUMNS and name not in renamed}
    for new, old in taken.items():
        if new in COLUMNS:
            continue
        if new in attributes:
            raise InvalidInput(f"front matter: {old!r} cannot be renamed to {new!r}, which is there too")
        attributes[new] = fields[old]
    record = {column: _column_value(column, key, value) for column, (key, value) in columns.items()}
    return {**record, "attributes": attributes}


def _read_block(block: str) -> dict[str, Any] | None:
    """Return the mapping that a block of YAML holds, None if it holds something else."""
    loader = _LOADER(block)
    key: str | None = None
    try:
        events = iter(loader.get_event, None)
        next(events)
        if isinstance(next(events), yaml.StreamEndEvent):
            return {}
        if not isinstance(next(events), yaml.MappingStartEvent):
            return None
        fields: dict[str, Any] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise InvalidInput(f"front matter: a key on line {_line(event)} is no text")
            key = event.value
            if key in fields:
                raise InvalidInput(f"front matter: {key!r} stands twice, again on line {_line(event)}")
            fields[key] = _read_value(loader, events, key)
        next(events)
        if not isinstance(next(events), yaml.StreamEndEvent):
            raise InvalidInput("front matter: more than one YAML document; expected one mapping")
        return fields
    except yaml.scanner.ScannerError as error:
        # PyYAML 6.0.4 and later refuse deep nesting by themselves.
        if "nesting depth" not in str(error.problem):
            raise
        if key is None:
            return None
        raise InvalidInput(f"front matter: {key!r} holds a nested list; {_FLAT}") from error
    finally:
        loader.dispose()


def _read_value(loader: Any, events: Iterator[Any], key: str) -> Any:
    event = next(events)
    if isinstance(event, yaml.SequenceStartEvent) and event.implicit:
        items = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(_read_scalar(loader, event, key))
        return items
    return _read_scalar(loader, event, key)


def _read_scalar(loader: Any, event: Any, key: str) -> Any:
    if isinstance(event, yaml.AliasEvent):
        raise InvalidInput(f"front matter: {key!r} has the alias *{event.anchor}; write the value out")
    if not isinstance(event, yaml.ScalarEvent):
        shape = "a mapping" if isinstance(event, yaml.MappingStartEvent) else "a nested list"
        raise InvalidInput(f"front matter: {key!r} holds {shape}; {_FLAT}")
    if event.tag not in (None, "!", _YAML + "str"):
        raise InvalidInput(f"front matter: {key!r} has the explicit type {brief(event.tag)}; {_FLAT}")
    text: str = event.value
    tag = loader.resolve(yaml.ScalarNode, text, event.implicit) if event.tag is None else _YAML + "str"
    if tag in (_YAML + "int", _YAML + "float") and ":" in text:
        return text
    if tag not in _TYPED:
        return text
    try:
        value = loader.construct_object(yaml.ScalarNode(tag, text))
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"front matter: {key!r} has {brief(text)}, which is no value: {error}") from error
    return read_time(value, key) if isinstance(value, datetime) else value


def _column_value(column: str, key: str, value: Any) -> Any:
    if column == "tags" and isinstance(value, str):
        return [tag for part in value.split(",") if (tag := part.strip())]
    if column == "tags" and isinstance(value, list):
        return [_text(tag, key) for tag in value]
    if column in ("title", "kind", "language"):
        return _text(value, key)
    try:
        return read_time(value, key) if column.endswith(("_at", "_from", "_until")) else value
    except InvalidInput as error:
        raise InvalidInput(f"front matter: {error.message}") from error


def _text(value: Any, key: str) -> str | None:
    """Return a text that YAML took for something else, where nothing of it was lost."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    raise InvalidInput(f"front matter: {key!r} is {brief(value)}; expected text, put it in quotes")


def _line(event: Any) -> int:
    # Counted in the file, whose first line is the fence.
    return int(event.start_mark.line) + 2


def _explain(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None)
    return f"{problem} on line {mark.line + 2}" if mark and problem else str(error).partition("\n")[0]
