"""As of: which moment a caller means by a snapshot, a tag, a seq or a time.

A moment is found once and then stays the same whatever is written. A time means the last operation up to then, and is
itself the clock of what is read. The clock of a snapshot is that of its making, that of a seq its operation's.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeAlias

import duckdb

from kiromi.attributes import INT_MAX
from kiromi.catalog.past import Moment, check_kept
from kiromi.errors import InvalidInput, SnapshotNotFound
from kiromi.ids import check_id
from kiromi.model import Snapshot
from kiromi.operations.caller import Caller, check_moment, check_text
from kiromi.times import from_micros, now_micros, to_micros

LIVE = "live"
"""Means the present where a moment is asked for."""
SEQ_PREFIX = "seq:"
Ref: TypeAlias = Snapshot | str | int | datetime
"""A snapshot, its id or tag, a seq (a number, or ``seq:123``), ``live``, or an aware time."""

_COLUMNS = "id, seq, tag, reason, epoch_us(created_at), is_safety"
_AT = 'SELECT epoch_us("at") FROM audit_log WHERE seq = ? LIMIT 1'
_UP_TO = 'SELECT max(seq) FROM audit_log WHERE "at" <= make_timestamptz(?)'
_ACTIVE = "SELECT {what} FROM {what}_events WHERE seq <= ? ORDER BY seq DESC LIMIT 1"
_LAST_SCHEME = "SELECT max(scheme) FROM scheme_events WHERE seq <= ?"


def resolve(caller: Caller, ref: Any) -> Moment:
    """Return the moment that is meant.

    Raises:
        SnapshotNotFound: there is no such snapshot or moment, or ``gc`` has removed what only it showed.
        InvalidInput: it is none of what :data:`Ref` names.
    """
    with caller.session.snapshot() as (view, cursor):
        seq, now = _point(caller, cursor, view.seq, ref)
        check_kept(cursor, seq)
        scheme = _active(cursor, "scheme", seq)
        ((last_scheme,),) = cursor.execute(_LAST_SCHEME, [seq]).fetchall()
        return Moment(seq, now, 0 if scheme is None else scheme, _active(cursor, "model", seq), last_scheme or 0)


def find_snapshot(cursor: duckdb.DuckDBPyConnection, ref: Any) -> Snapshot | None:
    """Return the snapshot that is meant by itself, its id, its tag, its seq or a time; None if there is none.

    Of several with one seq it is the last; a time means the last one that was taken up to then.

    Raises:
        InvalidInput: it is none of these.
    """
    if isinstance(ref, Snapshot):
        return _first(cursor, "id = ?", ref.id)
    if isinstance(ref, datetime):
        up_to = "created_at <= make_timestamptz(?) ORDER BY created_at DESC, id DESC"
        return _first(cursor, up_to, check_moment(ref, "snapshot"))
    if isinstance(ref, int) and not isinstance(ref, bool):
        return _first(cursor, "seq = ? ORDER BY created_at DESC, id DESC", max(-1, min(ref, INT_MAX)))
    text = check_text(ref, "snapshot")
    seq = seq_of(text)
    if seq is not None:
        return find_snapshot(cursor, seq)
    return _first(cursor, "id = ?" if is_id(text) else "tag = ?", text)


def all_snapshots(cursor: duckdb.DuckDBPyConnection) -> list[Snapshot]:
    """Return all snapshots, oldest first."""
    found = cursor.execute(f"SELECT {_COLUMNS} FROM snapshots ORDER BY seq, created_at, id").fetchall()
    return [_snapshot(values) for values in found]


def seq_of(text: str) -> int | None:
    """Return the number of ``seq:123``, None if the text is none.

    Raises:
        InvalidInput: no number follows.
    """
    if not text.startswith(SEQ_PREFIX):
        return None
    digits = text.removeprefix(SEQ_PREFIX)
    if not digits.isascii() or not digits.isdigit():
        raise InvalidInput(f"{text[:80]!r}: expected a whole number after {SEQ_PREFIX}, as in seq:123")
    return min(int(digits[:20]), INT_MAX)


def is_id(text: str) -> bool:
    """Tell whether a text has the form of an id."""
    try:
        check_id(text)
    except InvalidInput:
        return False
    return True


def snapshot_missing(ref: Any) -> SnapshotNotFound:
    """Return the error for a snapshot that is not there."""
    name = ref.id if isinstance(ref, Snapshot) else str(ref)
    return SnapshotNotFound(f"no snapshot is found by {name!r}", ref=name)


def _point(caller: Caller, cursor: duckdb.DuckDBPyConnection, head: int, ref: Any) -> tuple[int, int]:
    """Return the seq and the clock of what is meant."""
    if isinstance(ref, datetime):
        return _at_time(caller, cursor, check_moment(ref, "at"))
    if isinstance(ref, str):
        seq = seq_of(ref)
        if ref == LIVE:
            return head, max(now_micros(), caller.session.head.at)
        if seq is not None:
            ref = seq
    if isinstance(ref, int) and not isinstance(ref, bool):
        if not 0 <= ref <= head:
            raise SnapshotNotFound(f"no moment has the seq {ref}: they go from 0 to {head}", seq=ref, head=head)
        return ref, _time_of(caller, cursor, ref)
    if not isinstance(ref, Snapshot | str):
        raise InvalidInput(
            f"{ref!r} is a {type(ref).__name__}; accepted: a snapshot, its id or tag, a seq, or an aware datetime"
        )
    snapshot = find_snapshot(cursor, ref)
    if snapshot is None:
        raise snapshot_missing(ref)
    return snapshot.seq, to_micros(snapshot.created_at)


def _at_time(caller: Caller, cursor: duckdb.DuckDBPyConnection, moment: int) -> tuple[int, int]:
    session = caller.session
    if moment < session.meta.created_at:
        raise SnapshotNotFound(
            f"there was no store at {from_micros(moment).isoformat()}: it was made at"
            f" {from_micros(session.meta.created_at).isoformat()}"
        )
    if moment > max(now_micros(), session.head.at):
        raise InvalidInput(f"{from_micros(moment).isoformat()} is in the future: what will be is not known")
    ((seq,),) = cursor.execute(_UP_TO, [moment]).fetchall()
    return seq or 0, moment


def _time_of(caller: Caller, cursor: duckdb.DuckDBPyConnection, seq: int) -> int:
    found = cursor.execute(_AT, [seq]).fetchall()
    return int(found[0][0]) if found else caller.session.meta.created_at


def _active(cursor: duckdb.DuckDBPyConnection, what: str, seq: int) -> int | None:
    found = cursor.execute(_ACTIVE.format(what=what), [seq]).fetchall()
    return int(found[0][0]) if found else None


def _first(cursor: duckdb.DuckDBPyConnection, condition: str, value: Any) -> Snapshot | None:
    found = cursor.execute(f"SELECT {_COLUMNS} FROM snapshots WHERE {condition} LIMIT 1", [value]).fetchall()
    return _snapshot(found[0]) if found else None


def _snapshot(values: Sequence[Any]) -> Snapshot:
    snapshot_id, seq, tag, reason, created_at, is_safety = values
    return Snapshot(snapshot_id, seq, tag, reason, from_micros(created_at), is_safety)
