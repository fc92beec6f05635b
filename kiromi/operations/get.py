"""Get: read memories by id or key, and say why one is not there."""

from collections.abc import Iterable
from typing import Literal

from kiromi.attributes import INT_MAX
from kiromi.catalog.last import last_rows
from kiromi.catalog.rows import Row
from kiromi.errors import BlobMissing, InvalidInput, MemoryDeleted, MemoryExpired, MemoryNotFound
from kiromi.ids import check_id
from kiromi.model import Memory
from kiromi.operations.caller import Caller, check_text, is_expired
from kiromi.operations.present import memory_of
from kiromi.times import from_micros

_ENDED_BY = (
    "SELECT op FROM audit_log WHERE memory_id = ? AND seq = ? AND op NOT IN ('link', 'unlink') ORDER BY i DESC LIMIT 1"
)
_TOUCHED = "SELECT max(seq) FROM audit_log WHERE memory_id = ? AND seq <= ? AND op NOT IN ('link', 'unlink')"


def get(caller: Caller, memory_id: str | None, key: str | None, namespace: str) -> Memory:
    """Return a live memory with its content; see ``Store.get``."""
    return _with_content(caller, find(caller, memory_id, key, namespace), None)


def get_many(caller: Caller, ids: Iterable[str], absent: Literal["raise", "skip"]) -> list[Memory]:
    """Return live memories in the order of ``ids``; see ``Store.get_many``."""
    if absent not in ("raise", "skip"):
        raise InvalidInput(f"missing={absent!r}; accepted: 'raise', 'skip'")
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable):
        raise InvalidInput(f"ids={ids!r} is not an iterable of ids")
    wanted = [check_id(memory_id) for memory_id in ids]
    live = caller.rows_of(wanted)
    rows = []
    for memory_id in wanted:
        row = live.get(memory_id)
        # Why one is not there takes queries to tell: it is not asked if nobody wants to know.
        if absent == "raise" or _is_shown(caller, row):
            rows.append(_shown(caller, memory_id, row))
    contents = caller.session.blobs.read_many([caller.place_of(row) for row in rows])
    memories = []
    for row, data in zip(rows, contents, strict=True):
        try:
            memories.append(_with_content(caller, row, data))
        except MemoryNotFound:  # it was deleted meanwhile
            if absent == "raise":
                raise
    return memories


def _with_content(caller: Caller, row: Row, data: bytes | None) -> Memory:
    """Return a memory with its content, of which ``data`` is what a first look found.

    Raises:
        MemoryNotFound: it was deleted meanwhile.
    """
    while True:
        try:
            return memory_of(row, caller.checked(row, data), caller.session.schemes)
        except BlobMissing:
            if not caller.has_changed(row):
                raise
        row, data = find(caller, row.id), None


def exists(caller: Caller, memory_id: str | None, key: str | None, namespace: str) -> bool:
    """Tell whether a live, unexpired memory is there."""
    if key is None and memory_id is not None:
        return _is_shown(caller, caller.rows_of([check_id(memory_id)]).get(memory_id))
    try:
        find(caller, memory_id, key, namespace)
    except MemoryNotFound:
        return False
    return True


def find(caller: Caller, memory_id: str | None, key: str | None = None, namespace: str = "") -> Row:
    """Return the row of a live, unexpired memory in the caller's scope, by id or key.

    Raises:
        MemoryNotFound: it is not there (MemoryDeleted, MemoryExpired say more).
        InvalidInput: neither or both of id and key are given, or the id is no ULID.
    """
    if key is None:
        if memory_id is None:
            raise InvalidInput("give either an id or key=")
    elif memory_id is None:
        memory_id = _id_of(caller, check_text(key, "key"), check_text(namespace, "namespace"))
    else:
        raise InvalidInput("give either an id or key=, not both")
    return _shown(caller, memory_id, caller.rows_of([check_id(memory_id)]).get(memory_id))


def missing(caller: Caller, memory_id: str) -> MemoryNotFound:
    """Return the error that says why no live memory has this id, as far as the caller's scope may know."""
    is_live = memory_id in caller.rows_of([memory_id])
    if is_live or last_version(caller, memory_id) is None:
        return MemoryNotFound(f"no memory {memory_id} here", id=memory_id)
    seq, is_whole = ended_at(caller, memory_id)
    hint = "undelete brings it back" if is_whole else "gc has removed its last version, snapshots show older ones"
    return MemoryDeleted(f"memory {memory_id} was deleted at seq {seq}: {hint}", id=memory_id, seq=seq)


def ended_at(caller: Caller, memory_id: str) -> tuple[int, bool]:
    """Return which operation ended a memory that was deleted, and whether its last version is still there.

    ``gc`` leaves only older ones if a snapshot shows these, and nothing the last one.
    """
    with caller.reading() as (_, cursor):
        ((seq,),) = cursor.execute("SELECT max(end_seq) FROM history WHERE id = ?", [memory_id]).fetchall()
        if seq > caller.session.gc_floor:
            return seq, True
        last = INT_MAX if caller.moment is None else caller.moment.seq
        ((touched,),) = cursor.execute(_TOUCHED, [memory_id, last]).fetchall()
        # What ended by anything else was replaced. Where nothing is told of it any more, what is told later decides.
        how = cursor.execute(_ENDED_BY, [memory_id, seq]).fetchall()
    is_whole = how == [("delete",)] if how else (touched or 0) <= seq
    return max(seq, touched or 0), is_whole


def last_version(caller: Caller, memory_id: str) -> Row | None:
    """Return the last closed version of a memory if it is within the caller's scope."""
    with caller.reading() as (_, cursor):
        row = last_rows(cursor, [memory_id]).get(memory_id)
    return row if caller.sees(row) else None


def _shown(caller: Caller, memory_id: str, row: Row | None) -> Row:
    """Return the live row of a memory if the caller may see it and it has not expired; see :func:`find`."""
    if row is None or not caller.sees(row):
        raise missing(caller, memory_id)
    if is_expired(row, caller.now):
        raise MemoryExpired(
            f"memory {memory_id} expired at {from_micros(row.expires_at or 0).isoformat()}", id=memory_id
        )
    return row


def _is_shown(caller: Caller, row: Row | None) -> bool:
    return row is not None and caller.sees(row) and not is_expired(row, caller.now)


def _id_of(caller: Caller, key: str, namespace: str) -> str:
    if caller.moment is None:
        with caller.session.writer:
            memory_id = caller.session.find_key(namespace, key)
    else:
        with caller.reading() as (_, cursor):
            sql = "SELECT id FROM memories WHERE key = ? AND namespace = ?"
            memory_id = next((found for (found,) in cursor.execute(sql, [key, namespace]).fetchall()), None)
    row = None if memory_id is None else caller.visible(memory_id)
    if row is None:
        raise MemoryNotFound(f"no memory has the key {key!r} in namespace {namespace!r}", key=key, namespace=namespace)
    return row.id
