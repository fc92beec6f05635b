"""From drafts to rows: what append, put and update share."""

import hashlib
from collections.abc import Mapping, Set
from dataclasses import fields
from datetime import datetime
from json.encoder import encode_basestring as quoted
from typing import Any

from kiromi.attributes import encode_attributes
from kiromi.catalog.rows import Row
from kiromi.errors import AlreadyExists, InvalidInput, VersionConflict
from kiromi.model import Draft
from kiromi.operations.caller import Caller
from kiromi.operations.embedding import Embedded, attach, has_stored_vector, is_embedded_with_title, prepared_for
from kiromi.partition import BUILT_INS
from kiromi.records import extension, parse_record
from kiromi.session.operation import Operation
from kiromi.session.session import Session
from kiromi.times import from_micros, to_micros


def screened(caller: Caller, draft: Draft) -> Draft:
    """Return a draft as the caller's guards let it pass, checked anew if one of them changed it."""
    passed = draft
    for guard in caller.guards:
        passed = guard(passed)
        if not isinstance(passed, Draft):
            raise InvalidInput(f"guard {guard!r} returned {type(passed).__name__}; it must return a Draft or raise")
    if passed is draft:
        return draft
    return parse_record({field.name: getattr(passed, field.name) for field in fields(Draft)})


def check_partition(session: Session, partition: Mapping[str, Any] | None) -> None:
    """Refuse partition names that no scheme of the store reads: a misspelt one would be stored as a mere attribute."""
    if partition is None or not isinstance(partition, Mapping):
        return
    known = session.fields
    unknown = [name for name in partition if name not in known and name not in BUILT_INS]
    if unknown:
        raise InvalidInput(
            f"partition names {unknown[0]!r}, which no scheme of this store reads; accepted: {', '.join(sorted(known))}"
            f" (other values go into attributes)",
            name=str(unknown[0]),
        )


def create(
    caller: Caller,
    operation: Operation,
    draft: Draft,
    memory_id: str,
    embedded: Embedded | None = None,
    last_n: int = 0,
) -> Row:
    """Make a draft a new live memory within an operation, and record it; its vectors, if prepared, go with it.

    ``last_n`` is how far the contents of that id were numbered, if it was that of a memory of which nothing is left.
    """
    session = caller.session
    created_at = operation.at if draft.created_at is None else to_micros(draft.created_at)
    event_at = created_at if draft.event_at is None else to_micros(draft.event_at)
    attributes = draft.attributes
    if caller.scope.wanted:
        attributes = {**caller.scope.defaults(), **attributes}
    number = session.active_scheme
    content = draft.content
    n = last_n + 1
    if session.supplied.segments:
        attributes = _supplied(session, attributes, memory_id, draft.key, draft.kind, created_at, event_at)
    # By position, in the order of Row: by name it takes twice as long, and bulk appends are made of this.
    row = Row(
        memory_id,
        1,
        n,
        n,
        operation.seq,
        number,
        _render(session, number, attributes, memory_id, draft.key, draft.kind, created_at, event_at),
        draft.title,
        draft.key,
        draft.namespace,
        draft.kind,
        draft.language,
        draft.tags,
        encode_attributes(attributes),
        draft.importance,
        draft.confidence,
        event_at,
        _micros(draft.valid_from),
        _micros(draft.valid_until),
        _micros(draft.expires_at),
        created_at,
        operation.at if draft.updated_at is None else to_micros(draft.updated_at),
        operation.context.run_id,
        None,
        None,
        extension(draft.media_type),
        draft.media_type,
        len(content),
        hashlib.sha256(content).digest(),
    )
    if caller.scope.wanted:
        caller.check_within(row)
    embedded = prepared_for(caller, draft, embedded)
    operation.create(row, draft.content)
    attach(operation, row, embedded)
    # Written out, because bulk appends spend a noticeable part of their time here.
    facts = f'{{"version":1,"n":{n},"path":{quoted(row.partition)},"size":{row.size},"sha256":"{row.sha256.hex()}"}}'
    operation.record("append", memory_id, facts)
    return row


_UNCOMPARED = frozenset({"version", "begin_seq", "updated_at", "run_id", "n", "last_n"})


def replace(
    caller: Caller,
    operation: Operation,
    row: Row,
    draft: Draft,
    content: bytes | None,
    op: str,
    *,
    is_live: bool = True,
    expected_version: int | None = None,
    embedded: Embedded | None = None,
) -> Row:
    """Make a draft the next version of a memory within an operation, and record it.

    ``content`` is None to keep the bytes that are there. If nothing changes, the row is returned as it is. A row that
    is not live is the last version of a deleted memory: it comes back, changed or not. What vectors depend on is a new
    content, be its bytes the same: vectors belong to (id, n).
    """
    session = caller.session
    changed = _redrafted(caller, row, draft, content)
    names = [name for name in Row._fields if name not in _UNCOMPARED and getattr(row, name) != getattr(changed, name)]
    has_new_vector = draft.vector is not None and not (
        changed.sha256 == row.sha256 and has_stored_vector(session, row, draft)
    )
    if not names and not has_new_vector and is_live:
        return row
    # Before anything is written: a transaction goes on if its block catches the error.
    check_version(row, expected_version)
    is_new_content = changed.sha256 != row.sha256 or changed.media_type != row.media_type or has_new_vector
    is_new_content |= changed.title != row.title and content is not None and is_embedded_with_title(session)
    changed = _next_version(operation, row, changed, is_new_content=is_new_content)
    caller.check_within(changed)
    embedded = prepared_for(caller, draft, embedded) if is_new_content else None
    operation.write(changed, content if is_new_content else None)
    attach(operation, changed, embedded)
    operation.record(op, row.id, _difference(row, changed, names))
    return changed


def _redrafted(caller: Caller, row: Row, draft: Draft, content: bytes | None) -> Row:
    """Return a row with what a draft says, at the place that this gives it; its version and content number stay."""
    session = caller.session
    event_at = row.created_at if draft.event_at is None else to_micros(draft.event_at)
    attributes = draft.attributes
    if caller.scope.wanted:
        attributes = {**caller.scope.defaults(), **attributes}
    if session.supplied.segments and row.scheme == session.active_scheme:
        attributes = _supplied(session, attributes, row.id, draft.key, draft.kind, row.created_at, event_at)
    encoded = encode_attributes(attributes)
    # A memory keeps the scheme under which its path was made until a migration moves it.
    partition = _render(session, row.scheme, attributes, row.id, draft.key, draft.kind, row.created_at, event_at)
    changed = row._replace(
        partition=partition,
        title=draft.title,
        key=draft.key,
        namespace=draft.namespace,
        kind=draft.kind,
        language=draft.language,
        tags=draft.tags,
        attributes=encoded,
        importance=draft.importance,
        confidence=draft.confidence,
        event_at=event_at,
        valid_from=_micros(draft.valid_from),
        valid_until=_micros(draft.valid_until),
        expires_at=_micros(draft.expires_at),
    )
    if content is None:
        return changed
    return changed._replace(
        ext=extension(draft.media_type),
        media_type=draft.media_type,
        size=len(content),
        sha256=hashlib.sha256(content).digest(),
    )


def _next_version(operation: Operation, row: Row, changed: Row, *, is_new_content: bool) -> Row:
    """Return the row that follows ``row`` in an operation, numbered; a second edit in it makes no further version."""
    n = row.n
    if is_new_content and row.blob not in operation.new_contents:
        n = row.last_n + 1
    before = operation.before.get(row.id)
    # Not every row that began with this operation is an edit: a supersession is none.
    is_own = row.begin_seq == operation.seq and (before is None or before.version < row.version)
    return changed._replace(
        version=row.version if is_own else row.version + 1,
        n=n,
        last_n=max(row.last_n, n),
        begin_seq=operation.seq,
        updated_at=operation.at,
        run_id=operation.context.run_id,
    )


def check_expected(expected: int | None) -> None:
    """Refuse an ``expected_version`` that no memory can have because it is no whole number."""
    if expected is not None and (isinstance(expected, bool) or not isinstance(expected, int)):
        raise InvalidInput(f"expected_version={expected!r} is not a whole number, or None for any version")


def check_version(row: Row, expected: int | None) -> None:
    """Refuse a row of another version than the caller expects, if it expects one.

    Raises:
        VersionConflict: it has another.
        InvalidInput: what is expected is no version.
    """
    check_expected(expected)
    if expected not in (None, row.version):
        raise VersionConflict(
            f"memory {row.id} has version {row.version}, not {expected}: read it again",
            id=row.id,
            version=row.version,
            expected_version=expected,
        )


def check_key_free(operation: Operation, namespace: str, key: str | None) -> None:
    """Refuse a key that a live memory of the namespace has.

    Raises:
        AlreadyExists: one has it.
    """
    if key is not None and operation.find_key(namespace, key) is not None:
        raise AlreadyExists(
            f"key {key!r} is in use in namespace {namespace!r}: put() updates by key", key=key, namespace=namespace
        )


def record_of(row: Row, attributes: Mapping[str, Any], content: bytes) -> dict[str, Any]:
    """Return a row as the record that would make it."""
    return {
        "content": content,
        "media_type": row.media_type,
        "attributes": attributes,
        "key": row.key,
        "namespace": row.namespace,
        "kind": row.kind,
        "title": row.title,
        "tags": row.tags,
        "language": row.language,
        "importance": row.importance,
        "confidence": row.confidence,
        "event_at": from_micros(row.event_at),
        "valid_from": _moment(row.valid_from),
        "valid_until": _moment(row.valid_until),
        "expires_at": _moment(row.expires_at),
    }


def _render(
    session: Session,
    number: int,
    attributes: Mapping[str, Any],
    memory_id: str,
    key: str | None,
    kind: str,
    created_at: int,
    event_at: int,
) -> str:
    values = _values(session.built_ins[number], attributes, memory_id, key, kind, created_at, event_at)
    try:
        return session.schemes[number].render(values, fold_case=session.meta.fold_case).path
    except InvalidInput as error:
        former = session.former_scheme
        if number != session.active_scheme or former is None:
            raise
        template = session.schemes[former].template
        raise InvalidInput(f"{error.message} (until lately the scheme was {template!r})", **error.details) from error


def _values(
    built_ins: Set[str],
    attributes: Mapping[str, Any],
    memory_id: str,
    key: str | None,
    kind: str,
    created_at: int,
    event_at: int,
) -> Mapping[str, Any]:
    """Return what templates are rendered from: attributes, and those built-ins that they read."""
    if not built_ins:
        return attributes
    given: dict[str, Any] = {"id": memory_id, "kind": kind}
    if key is not None:
        given["key"] = key
    if "created_at" in built_ins:
        given["created_at"] = from_micros(created_at)
    if "event_at" in built_ins:
        given["event_at"] = from_micros(event_at)
    # A built-in hides an attribute of its name, also where the memory has no key.
    return {name: value for name, value in attributes.items() if name not in built_ins} | given


def _supplied(
    session: Session,
    attributes: Mapping[str, Any],
    memory_id: str,
    key: str | None,
    kind: str,
    created_at: int,
    event_at: int,
) -> Mapping[str, Any]:
    """Return attributes with those that the migration to the active scheme set, where they are not said."""
    missing = [name for name, _ in session.supplied.segments if name not in attributes]
    if not missing:
        return attributes
    values = _values(frozenset(BUILT_INS), attributes, memory_id, key, kind, created_at, event_at)
    return {**attributes, **session.supplied.supplied(values, missing)}


def _difference(before: Row, after: Row, names: list[str]) -> dict[str, Any]:
    facts: dict[str, Any] = {"version": [before.version, after.version], "changed": names}
    if before.n != after.n:
        facts["n"] = [before.n, after.n]
        facts["sha256"] = [before.sha256.hex(), after.sha256.hex()]
    if before.partition != after.partition:
        facts["path"] = [before.partition, after.partition]
    return facts


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)
