"""Update: make the next version of a memory from what is there and what is given."""

import hashlib
import threading
from collections.abc import Mapping
from typing import Any

from kiromi.attributes import decode_attributes
from kiromi.catalog.rows import Row
from kiromi.errors import InvalidInput
from kiromi.ids import check_id
from kiromi.model import Draft, Memory
from kiromi.operations.caller import Caller
from kiromi.operations.drafting import check_expected, check_key_free, check_partition, record_of, replace, screened
from kiromi.operations.embedding import Embedded, is_embedded_with_title, prepare
from kiromi.operations.get import missing
from kiromi.operations.present import memory_of
from kiromi.partition import BUILT_INS
from kiromi.records import FIELDS, parse_record
from kiromi.session.commit import run
from kiromi.session.contents import read_blob
from kiromi.session.operation import Operation

_FIXED = ("id", "created_at", "updated_at")
UPDATABLE = tuple(name for name in FIELDS if name not in _FIXED)
"""What ``update`` takes."""


def update(caller: Caller, memory_id: str, given: Mapping[str, Any], expected_version: int | None) -> Memory:
    """Make the next version of a memory; see ``Store.update``."""
    caller.check_writable()
    embedded = _prepare(caller, memory_id, given)
    row, data = run(
        caller.session,
        caller.context,
        lambda operation: plan_update(caller, operation, memory_id, given, expected_version, embedded),
    )
    content = read_blob(caller.session, row) if data is None else data
    return memory_of(row, content, caller.session.schemes)


def plan_update(
    caller: Caller,
    operation: Operation,
    memory_id: str,
    given: Mapping[str, Any],
    expected_version: int | None = None,
    embedded: Embedded | None = None,
) -> tuple[Row, bytes | None]:
    """Plan an update; return the new row, and the content if it is at hand. ``embedded`` are its vectors, if prepared.

    Guards run here, with the writer waiting: they see the whole draft as it is about to be stored.

    Raises:
        MemoryNotFound: there is no such memory in the caller's scope.
        VersionConflict: ``expected_version`` is not its version, and it is not already as wished.
        InvalidInput: a field cannot be updated or its value is refused.
    """
    _check_names(given)
    check_expected(expected_version)
    row = operation.live(check_id(memory_id))
    if row is None or not caller.sees(row):
        raise missing(caller, memory_id)
    check_partition(caller.session, given.get("partition"))
    # The content facts of (id, n) never change, so another media type needs the same bytes again under a new n.
    needs_content = (
        "content" in given
        or bool(caller.guards)
        or given.get("vector") is not None
        or (given.get("media_type") or row.media_type) != row.media_type
        or ("title" in given and is_embedded_with_title(caller.session))
    )
    content = given["content"] if "content" in given else _current(caller, operation, row) if needs_content else b""
    record = record_of(row, _merged(row, given), content)
    for name in ("kind", "key", "event_at"):
        if name in (given.get("partition") or {}):
            del record[name]  # the partition sets it
    for name, value in given.items():
        if name not in ("content", "attributes") and (name, value) != ("media_type", None):
            record[name] = value
    if "content" in given and given.get("media_type") is None and isinstance(content, str) is _is_binary(row):
        record["media_type"] = (
            None  # text given for bytes, or the other way round: what the new content is follows from it
        )
    draft = _screened_within(caller, parse_record(record))
    if (draft.namespace, draft.key) != (row.namespace, row.key):
        check_key_free(operation, draft.namespace, draft.key)
    data = draft.content if needs_content else None
    new = replace(caller, operation, row, draft, data, "update", expected_version=expected_version, embedded=embedded)
    return new, draft.content if needs_content else operation.new_contents.get(new.blob)


def _prepare(caller: Caller, memory_id: str, given: Mapping[str, Any]) -> Embedded | None:
    """Make the vectors that the update will most likely need, before others have to wait."""
    if not is_embedded_with_title(caller.session) or given.get("vector") is not None:
        return None
    row = caller.visible(check_id(memory_id)) if {"content", "title", "media_type"} & given.keys() else None
    if row is None:
        return None
    content = given["content"] if "content" in given else read_blob(caller.session, row)
    title = given.get("title") if "title" in given else row.title
    media_type = given.get("media_type") or row.media_type
    if "content" in given and given.get("media_type") is None and isinstance(content, str) is _is_binary(row):
        media_type = "text/markdown" if isinstance(content, str) else "application/octet-stream"
    if not isinstance(content, str | bytes) or not isinstance(title, str | None) or not isinstance(media_type, str):
        return None  # the plan refuses it
    try:
        data = content.encode() if isinstance(content, str) else content
        data.decode()
    except UnicodeError:
        return None  # the plan refuses it, or stores bytes, of which there is nothing to embed
    if (hashlib.sha256(data).digest(), title, media_type) == (row.sha256, row.title, row.media_type):
        return None
    return prepare(caller, [Draft(data, media_type, title=title)])[0]


def _screened_within(caller: Caller, draft: Draft) -> Draft:
    """Let the guards pass a draft while a commit is being planned: a write of theirs would wait for its own end."""
    session = caller.session
    composer, session.composer = session.composer, threading.get_ident()
    try:
        return screened(caller, draft)
    finally:
        session.composer = composer


def _check_names(given: Mapping[str, Any]) -> None:
    for name in given:
        if name not in UPDATABLE:
            raise InvalidInput(f"update cannot change {name!r}; accepted: {', '.join(UPDATABLE)}", name=name)


def _merged(row: Row, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes after the update, without those that the partition sets: there, None is a value."""
    attributes: dict[str, Any] = decode_attributes(row.attributes)
    changes = _mapping(given, "attributes")
    partition = _mapping(given, "partition")
    for name in partition:
        if name not in BUILT_INS:
            attributes.pop(name, None)
    for name, value in changes.items():
        if value is None and name not in partition:
            attributes.pop(name, None)
        else:
            attributes[name] = value
    return attributes


def _mapping(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = given.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise InvalidInput(f"{name}={value!r} is not a mapping of names to values")
    return value or {}


def _current(caller: Caller, operation: Operation, row: Row) -> bytes:
    staged = operation.new_contents.get(row.blob)
    return read_blob(caller.session, row) if staged is None else staged


def _is_binary(row: Row) -> bool:
    return row.ext == "bin"
