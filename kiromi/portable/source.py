"""What every reader yields, and the last step that they share: plain fields of a file to a checked draft.

Promises that nothing in a file raises: what is wrong with a record becomes a :class:`BadRecord` with its reason. Times
are read leniently here and only here: ISO 8601 texts, dates (midnight) and naive datetimes are taken as UTC.
"""

import base64
import binascii
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from pathlib import Path
from reprlib import repr as brief
from typing import Any, BinaryIO, TypeAlias, cast

from kiromi.attributes import check_scalar
from kiromi.errors import InvalidInput
from kiromi.ids import check_id
from kiromi.model import Draft
from kiromi.records import FIELDS, TIME_FIELDS, parse_record

Link: TypeAlias = Mapping[str, Any]

_ALSO_READ = ("content_base64", "links", "sha256", "superseded_by", "superseded_at")
COLUMNS = frozenset(FIELDS) | frozenset(_ALSO_READ)
"""The names that have a meaning of their own in a table or a JSON line; any other column of a table is an attribute."""


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One record of a source, checked and ready to be stored."""

    position: str
    """Where it stands: a path relative to the folder, ``line 3`` or ``row 3``."""
    draft: Draft
    links: tuple[Link, ...] = ()
    """The links that the source gives it, as they stand there."""
    superseded: tuple[str, datetime] | None = None
    """The id of the memory that replaced this one, and from when on; None if the source does not say so."""


@dataclass(frozen=True, slots=True)
class BadRecord:
    """One record of a source that cannot be stored as it is."""

    position: str
    reason: str
    """One line for people: the field or key, its value, and what would be accepted."""


Found: TypeAlias = SourceRecord | BadRecord


def check_record(fields: Mapping[str, Any], position: str, namespace: str) -> Found:
    """Return the record that plain fields make, or why they make none.

    Args:
        fields: as :func:`~kiromi.records.parse_record` takes them, with attributes in their JSON form or as Python
            values; also ``content_base64`` in place of ``content``, ``links`` (a list of objects), and ``sha256``,
            which the content must have; and ``superseded_by`` with ``superseded_at``.
        position: where the record stands.
        namespace: of a record that names none.
    """
    try:
        record = {name: value for name, value in fields.items() if name not in _ALSO_READ}
        if fields.get("content_base64") is not None:
            record["content"] = _from_base64(fields)
        for name in TIME_FIELDS:
            if name in record:
                record[name] = read_time(record[name], name)
        for name in ("attributes", "partition"):
            if isinstance(record.get(name), Mapping):
                record[name] = {key: _typed(key, value) for key, value in record[name].items()}
        if record.get("namespace") is None:
            record["namespace"] = namespace
        draft = parse_record(record)
        _check_sha256(draft, fields.get("sha256"))
        return SourceRecord(position, draft, _links(fields.get("links")), _superseded(fields))
    except InvalidInput as error:
        return BadRecord(position, error.message)


def columns_to_fields(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of one row of a table: known columns are fields, every other one is an attribute.

    ``attributes``, ``partition`` and ``links`` may hold JSON text.

    Raises:
        InvalidInput: that text is not JSON.
    """
    fields = {name: value for name, value in columns.items() if name in COLUMNS}
    for name in ("attributes", "partition", "links"):
        if isinstance(fields.get(name), str):
            fields[name] = parse_json(fields[name], f"{name}: ")
    loose = {name: value for name, value in columns.items() if name not in COLUMNS}
    if loose:
        # Merged like a partition, so that an attribute with two different values is refused, not overwritten.
        given = fields.get("partition") or {}
        fields["partition"] = {**loose, **given} if isinstance(given, Mapping) else given
    return fields


def open_source(path: Path) -> BinaryIO:
    """Open a file that a caller named.

    Raises:
        InvalidInput: there is no such file, or it cannot be opened.
    """
    try:
        return path.open("rb")
    except OSError as error:
        raise InvalidInput(f"{str(path)!r} cannot be read: {error.strerror}", path=str(path)) from error


def read_time(value: Any, name: str) -> Any:
    """Return a time of a file in UTC: an ISO 8601 text, a date (its midnight) or a datetime (naive ones are UTC).

    Other values are returned as they are, for the record's check to refuse.

    Raises:
        InvalidInput: a text is not ISO 8601.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise InvalidInput(f"{name} {brief(value)}: expected an ISO 8601 date or time") from error
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value
    return datetime.combine(value, time(), UTC) if isinstance(value, date) else value


def parse_json(text: str | bytes, subject: str = "") -> Any:
    """Return the value of a JSON text (RFC 8259); an object that has a name twice and NaN are refused.

    Raises:
        InvalidInput: it is not JSON, or not UTF-8; ``subject`` begins the message.
    """
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        return json.loads(decoded, object_pairs_hook=_distinct_names, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{subject}not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise InvalidInput(f"{subject}nested too deeply") from error
    except ValueError as error:
        raise InvalidInput(f"{subject}not JSON: {error}") from error


def _distinct_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the name {brief(twice)} stands twice in one object")
    return names


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")


def _from_base64(fields: Mapping[str, Any]) -> bytes:
    if fields.get("content") is not None:
        raise InvalidInput("content and content_base64 are both given; expected one")
    text = fields["content_base64"]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise InvalidInput(f"content_base64 {brief(text)}: expected base64 (RFC 4648, section 4)") from error


def _typed(name: str, value: Any) -> Any:
    """Return the Python value of an attribute's JSON form in :mod:`kiromi.attributes`, which checks what has none."""
    if isinstance(value, list):
        return [_typed(name, item) for item in value]
    if isinstance(value, datetime):
        return read_time(value, name)
    if not isinstance(value, Mapping):
        return value
    try:
        match dict(value):
            case {"decimal": str(text), **rest} if rest.keys() <= {"order"}:
                return Decimal(text)
            case {"date": str(text), **rest} if not rest:
                return date.fromisoformat(text)
            case {"datetime": str(text), **rest} if not rest:
                return read_time(text, name)
    except (ValueError, InvalidOperation) as error:
        raise InvalidInput(f"attribute {brief(name)}: {brief(value)} is no decimal, date or datetime") from error
    raise InvalidInput(
        f"attribute {brief(name)}: {brief(value)} is an object; expected text, a number, a boolean, a list of these, "
        'or {"decimal": "1.10"}, {"date": "2000-06-13"}, {"datetime": "2026-01-01T00:00:00Z"}'
    )


def _check_sha256(draft: Draft, expected: Any) -> None:
    if expected is not None:
        found = sha256(draft.content).hexdigest()
        if found != expected:
            raise InvalidInput(f"sha256 {brief(expected)}: the content has {found}; it was changed since then")


def _superseded(fields: Mapping[str, Any]) -> tuple[str, datetime] | None:
    winner, at = fields.get("superseded_by"), fields.get("superseded_at")
    if winner is None and at is None:
        return None
    if winner is None or at is None:
        raise InvalidInput("superseded_by and superseded_at come together: the id of a memory, and a time")
    moment = read_time(at, "superseded_at")
    if not isinstance(moment, datetime):
        raise InvalidInput(f"superseded_at {brief(at)}: expected an ISO 8601 date or time")
    try:
        check_id(winner)
    except InvalidInput as error:
        raise InvalidInput(f"superseded_by: {error.message}") from error
    return winner, cast(datetime, check_scalar(moment, "superseded_at"))


def _links(value: Any) -> tuple[Link, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(link, Mapping) for link in value):
        raise InvalidInput(f"links {brief(value)}: expected a list of objects")
    return tuple(value)
