"""From words on the command line to values: ``NAME=VALUE`` pairs, times, content, and references to memories.

Promises the rules that every command shares: ``NAME=VALUE`` is text, ``NAME:=JSON`` is typed, times without a zone are
UTC, ``-`` is stdin, ``key:NAME`` is the memory of that key. What the values may be is left to the store.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kiromi.errors import InvalidInput, MemoryNotFound

if TYPE_CHECKING:
    from kiromi.store import Store

KEY_PREFIX = "key:"


def pairs(words: Sequence[str], option: str) -> dict[str, Any]:
    """Return the names and values of ``NAME=VALUE`` and ``NAME:=JSON`` words.

    Args:
        words: what was given, one word each time the option stands there.
        option: the option's name, for errors.

    Raises:
        InvalidInput: a word has no name or no ``=``, a name comes twice, or the JSON is not a value that can be stored.
    """
    found: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        is_typed = name.endswith(":")
        name = name.removesuffix(":")
        if not equals or not name:
            raise InvalidInput(f"{option} {word!r}: expected NAME=VALUE for text, or NAME:=JSON for a typed value")
        if name in found:
            raise InvalidInput(f'{option}: {name!r} is given twice; a list is written {name}:=\'["a", "b"]\'')
        found[name] = typed(value, f"{option} {name}") if is_typed else value
    return found


def typed(text: str, subject: str) -> Any:
    """Return the value of JSON, where an object is a decimal, a date or a datetime, as in the files of an export.

    Raises:
        InvalidInput: it is no such JSON; ``subject`` begins the message.
    """
    from kiromi.attributes import decode_attributes
    from kiromi.portable.source import parse_json

    value = parse_json(text, f"{subject}: ")
    try:
        decoded = decode_attributes(json.dumps({"value": value}))["value"]
    except (KeyError, TypeError, ValueError, InvalidOperation) as error:
        raise InvalidInput(
            f"{subject}: {text} is no value; objects are "
            '{"decimal": "1.10"}, {"date": "2000-06-13"}, {"datetime": "2026-01-01T00:00:00Z"}'
        ) from error
    return moment(decoded.isoformat(), subject) if isinstance(decoded, datetime) else decoded


def moment(text: str | None, name: str) -> datetime | None:
    """Return a time in ISO 8601; a date is its midnight, and without a zone it is UTC.

    Raises:
        InvalidInput: it is not ISO 8601.
    """
    from kiromi.portable.source import read_time

    found: datetime | None = read_time(text, name)
    return found


def given(**fields: Any) -> dict[str, Any]:
    """Return the fields that were given: those that are neither None nor empty lists."""
    return {name: value for name, value in fields.items() if value is not None and value != []}


def content(text: str | None, file: Path | None, media_type: str | None) -> dict[str, Any]:
    """Return the fields ``content`` and ``media_type`` from an argument, a file or stdin; {} if none is given.

    Raises:
        InvalidInput: both are given, or the file cannot be read.
    """
    from kiromi.portable.source import open_source
    from kiromi.records import media_type_of

    if text is not None and file is not None:
        raise InvalidInput("content is given twice, as CONTENT and as --file: expected one")
    if file is not None:
        with open_source(file) as stream:
            return {"content": stream.read(), "media_type": media_type or media_type_of(file.suffix)}
    if text == "-":
        return {"content": sys.stdin.buffer.read(), "media_type": media_type or "text/markdown"}
    fields = {} if text is None else {"content": text}
    return fields if media_type is None else {**fields, "media_type": media_type}


def id_of(store: "Store", reference: str, namespace: str | None) -> str:
    """Return the id that a reference means: itself, or for ``key:NAME`` the memory that has, or last had, that key.

    Without a namespace any that has the key will do, as long as it is the only one.

    Raises:
        MemoryNotFound: no memory has or had that key.
        InvalidInput: memories of several namespaces have it.
    """
    if not reference.startswith(KEY_PREFIX):
        return reference
    key = reference.removeprefix(KEY_PREFIX)
    wanted = "WHERE key = $1 AND ($2 IS NULL OR namespace = $2)"
    for query in (
        f"SELECT id, namespace FROM memories {wanted} ORDER BY namespace",
        f"SELECT arg_max(id, end_seq) AS id, namespace FROM history {wanted} GROUP BY namespace ORDER BY namespace",
    ):
        found = store.sql(query, [key, namespace])
        spaces = found.column("namespace").to_pylist()
        if len(spaces) > 1:
            raise InvalidInput(
                f"key {key!r} is in use in the namespaces {', '.join(map(repr, spaces))}: say which with --namespace",
                key=key,
                namespaces=spaces,
            )
        if spaces:
            return str(found.column("id")[0].as_py())
    where = "" if namespace is None else f" in namespace {namespace!r}"
    raise MemoryNotFound(f"no memory has the key {key!r}{where}", key=key, namespace=namespace)


def selection(within: Sequence[str], where: str | None) -> Mapping[str, Any]:
    """Return ``within`` and ``where`` as the store's methods take them, None for what is not given."""
    return {"within": pairs(within, "--within") or None, "where": where}
