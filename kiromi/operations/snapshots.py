"""Snapshots: give a moment a name, so that ``gc`` keeps what it shows; list, find and forget them.

A snapshot is a row: making one costs the same whatever the store holds. It is an operation itself, with a seq and an
audit entry of its own, and holds the moment before it. Taking or deleting snapshots changes nothing that they show, so
it does not count when one is taken only if something changed. Their rows are never in the journal, so looking for them
needs no fold, and neither does taking one.
"""

from typing import Any

import duckdb

from kiromi.errors import AlreadyExists, InvalidInput
from kiromi.model import Snapshot
from kiromi.operations.asof import LIVE, SEQ_PREFIX, all_snapshots, find_snapshot, is_id, snapshot_missing
from kiromi.operations.caller import Caller, check_text
from kiromi.records import MAX_SHORT_TEXT_CHARS
from kiromi.session.commit import transaction
from kiromi.session.operation import Operation
from kiromi.times import from_micros

CREATED, DELETED = "snapshot", "delete_snapshot"
"""In the audit log."""
MAX_REASON_CHARS = 10_000
_INSERT = "INSERT INTO snapshots VALUES (?, ?, ?, ?, make_timestamptz(?), ?)"
_HAS_CHANGED = "SELECT EXISTS (SELECT 1 FROM audit_log WHERE seq > ? AND op NOT IN (?, ?))"


def create_snapshot(caller: Caller, tag: str | None, reason: str | None, *, if_changed: bool = False) -> Snapshot:
    """Take a snapshot; see ``Store.snapshot``."""
    _check(caller)
    caller.check_writable()
    if tag is not None:
        check_tag(tag)
    if reason is not None and len(check_text(reason, "reason")) > MAX_REASON_CHARS:
        raise InvalidInput(f"reason has {len(reason):,} characters; accepted: at most {MAX_REASON_CHARS:,}")
    with transaction(caller.session, caller.context) as operation:
        if if_changed:
            last = _unchanged(caller)
            if last is not None:
                return last
        operation.is_beside = True
        return plan_snapshot(caller, operation, tag, reason)


def plan_snapshot(
    caller: Caller, operation: Operation, tag: str | None, reason: str | None, *, is_safety: bool = False
) -> Snapshot:
    """Plan a snapshot of the moment before an operation, which is alone in its commit.

    Args:
        caller: whose store it is.
        operation: what the snapshot is taken in, and taken before.
        tag: a name that no other snapshot has.
        reason: why; without one, that of the operation.
        is_safety: whether it is taken on behalf of an operation that is about to change much.

    Raises:
        AlreadyExists: another snapshot has the tag.
    """
    session = caller.session
    if tag is not None:
        with session.catalog.snapshot() as cursor:
            other = find_snapshot(cursor, tag)
        if other is not None:
            raise AlreadyExists(f"snapshot {other.id} has the tag {tag!r} already", tag=tag, id=other.id)
    reason = operation.context.reason if reason is None else reason
    made = Snapshot(session.ids.make(), operation.seq - 1, tag, reason, from_micros(operation.at), is_safety)
    operation.execute(_INSERT, made.id, made.seq, tag, reason, operation.at, is_safety)
    operation.record(CREATED, None, {"id": made.id, "seq": made.seq, "tag": tag, "is_safety": is_safety})
    return made


def snapshots(caller: Caller) -> list[Snapshot]:
    """Return all snapshots, oldest first; see ``Store.snapshots``."""
    _check(caller)
    with caller.session.catalog.snapshot() as cursor:
        return all_snapshots(cursor)


def snapshot_info(caller: Caller, ref: Any) -> Snapshot:
    """Return one snapshot; see ``Store.snapshot_info``."""
    _check(caller)
    with caller.session.catalog.snapshot() as cursor:
        return _found(cursor, ref)


def delete_snapshot(caller: Caller, ref: Any) -> Snapshot:
    """Delete a snapshot; see ``Store.delete_snapshot``."""
    _check(caller)
    caller.check_writable()
    if not isinstance(ref, Snapshot | str):
        raise InvalidInput(f"{ref!r} is a {type(ref).__name__}; accepted to delete: a snapshot, its id or its tag")
    with transaction(caller.session, caller.context) as operation:
        with caller.session.catalog.snapshot() as cursor:
            found = _found(cursor, ref)
        operation.is_beside = True
        plan_delete_snapshot(operation, found)
    return found


def plan_delete_snapshot(operation: Operation, snapshot: Snapshot) -> None:
    """Plan to delete a snapshot that is there."""
    operation.execute("DELETE FROM snapshots WHERE id = ?", snapshot.id)
    operation.record(DELETED, None, {"id": snapshot.id, "seq": snapshot.seq, "tag": snapshot.tag})


def check_tag(tag: Any) -> str:
    """Return a tag that a snapshot can have: one that is taken for nothing else where a moment is asked for.

    Raises:
        InvalidInput: it is none.
    """
    text = check_text(tag, "tag")
    if not 1 <= len(text) <= MAX_SHORT_TEXT_CHARS or not text.isprintable() or text != text.strip():
        raise InvalidInput(
            f"tag={text[:80]!r}; accepted: text of 1 to {MAX_SHORT_TEXT_CHARS} printable characters, no space around it"
        )
    if text == LIVE or text.startswith(SEQ_PREFIX) or text.isdecimal() or is_id(text):
        raise InvalidInput(f"tag={text!r} reads as the present, a seq or an id; choose another")
    return text


def _check(caller: Caller) -> None:
    if caller.scope.wanted:
        raise InvalidInput("snapshots are of the whole tenant: ask an unscoped handle")


def _found(cursor: duckdb.DuckDBPyConnection, ref: Any) -> Snapshot:
    found = find_snapshot(cursor, ref)
    if found is None:
        raise snapshot_missing(ref)
    return found


def _unchanged(caller: Caller) -> Snapshot | None:
    """Return the last snapshot that was asked for if nothing changed since, else None."""
    catalog = caller.session.catalog
    if not catalog.is_folded:
        caller.session.fold()
    with catalog.snapshot() as cursor:
        asked_for = [snapshot for snapshot in all_snapshots(cursor) if not snapshot.is_safety]
        if not asked_for:
            return None
        ((has_changed,),) = cursor.execute(_HAS_CHANGED, [asked_for[-1].seq, CREATED, DELETED]).fetchall()
    return None if has_changed else asked_for[-1]
