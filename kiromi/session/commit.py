"""The write protocol: stage, commit, settle. Every change of every operation goes through :func:`commit`.

Threads that write at the same time are combined: whoever gets the writer's lock first plans all waiting requests one
after the other, each upon the state that the ones before it leave, and commits them together. A request whose plan
raises leaves no trace in the commit. Each has its own seq and audit entries.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import duckdb

from kiromi.blobs.base import SyncFailed
from kiromi.catalog.changes import BlobKey, Changes
from kiromi.catalog.rows import Row
from kiromi.errors import InvalidInput, StorageError
from kiromi.session.operation import CommitPlan, Context, Operation
from kiromi.session.session import Session
from kiromi.times import now_micros

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Request(Generic[T]):
    plan: Callable[[Operation], T]
    context: Context
    is_done: bool = False
    results: list[T] = field(default_factory=list)
    error: BaseException | None = None


def run(session: Session, context: Context, plan: Callable[[Operation], T]) -> T:
    """Plan an operation and commit it, together with those of other threads that wait; return what ``plan`` returned.

    ``plan`` may be called once, by any thread, with the writer's lock held.

    Raises:
        StorageError: the bytes could not be stored or the catalog failed; nothing was changed.
        KiromiError: whatever ``plan`` raised; nothing was changed.
    """
    refuse_within_transaction(session)
    request = _Request(plan, context)
    if session.turns.wait(request):
        try:
            session.turns.gather()
            with session.writer:
                _commit_waiting(session)
        finally:
            session.turns.finish(request)
    if request.error is not None:
        raise request.error
    return request.results[0]


@contextlib.contextmanager
def transaction(session: Session, context: Context) -> Iterator[Operation]:
    """Give one operation that the caller composes; commit it when the block ends, drop it if the block raises.

    Other threads' writes wait meanwhile.
    """
    refuse_within_transaction(session)
    with session.writer:
        group = _Group(session)
        operation = group.begin(context)
        session.composer = threading.get_ident()
        try:
            yield operation
        finally:
            session.composer = None
        group.add(operation)
        group.commit()


def refuse_within_transaction(session: Session) -> None:
    """Refuse a write beside the transaction that this thread composes: it could not see what the transaction did."""
    if session.composer == threading.get_ident():
        raise InvalidInput(
            "a transaction is open in this thread: write through it (tx.append, tx.update, ...); a guard must not write"
        )


def _commit_waiting(session: Session) -> None:
    group = _Group(session)
    requests: list[_Request[Any]] = []
    session.composer = threading.get_ident()  # a guard that writes to the store would wait for itself
    try:
        while (request := session.turns.next()) is not None:
            requests.append(request)
            operation = group.begin(request.context)
            try:
                request.results.append(request.plan(operation))
            except Exception as error:  # noqa: BLE001 - it is raised where the request came from
                request.error = error
                continue
            group.add(operation)
        session.composer = None
        group.commit()
    except BaseException as error:
        for request in requests:
            request.error = request.error or _told_others(error)
        raise
    finally:
        session.composer = None
        for request in requests:
            request.is_done = True


def _told_others(error: BaseException) -> BaseException:
    """Return what the other threads of a group are told: a Ctrl-C is for the thread that it reached."""
    if isinstance(error, Exception):
        return error
    return StorageError("the commit that this write was part of was interrupted: look whether it took place")


class _Group:
    """The operations of one commit; the state that the next of them sees."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._view = session.view
        self._keys: dict[tuple[str, str], str | None] = {}
        self.plan = CommitPlan(Changes(session.head), session.pending.known_places, session.blobs.has_staging)

    def live(self, memory_id: str) -> Row | None:
        """Return a live memory's row, or None."""
        live = self.plan.changes.live
        return live[memory_id] if memory_id in live else self._view.get(memory_id)

    def find_key(self, namespace: str, key: str) -> str | None:
        """Return the id of the live memory with that key, or None."""
        if (namespace, key) in self._keys:
            return self._keys[namespace, key]
        return self._session.find_key(namespace, key)

    def changed_keys(self) -> Mapping[tuple[str, str], str | None]:
        """Return the (namespace, key) pairs that operations of the group gave to an id, or freed (None)."""
        return self._keys

    def last_closed(self, memory_id: str) -> Row | None:
        """Return the version of a memory that an operation of the group ended last, or None."""
        closed = self.plan.changes.closed
        return next((row for row, _ in reversed(closed) if row.id == memory_id), None)

    def begin(self, context: Context) -> Operation:
        """Return a new operation upon what the group holds so far."""
        head = self.plan.changes.head
        return Operation(self, head.seq + 1, max(now_micros(), head.at), context)

    def add(self, operation: Operation) -> None:
        """Take an operation in; one that does nothing leaves no trace."""
        if operation.log:
            self.plan.add(operation)
            self._keys.update(operation.keys)

    def commit(self) -> None:
        """Make the group's operations durable and visible, all or none."""
        if self.plan.changes.audit:
            commit(self._session, self.plan)


def commit(session: Session, plan: CommitPlan) -> None:
    """Stage the new bytes, commit the rows, settle the blobs.

    Raises:
        StorageError: nothing was changed, or (the message says so) the session must be opened again.
    """
    session.lease.check()
    changes, pending = plan.changes, session.pending
    if changes.moves is not None:
        # Moves go to the tables at once. What the last batch settled is made durable first: its pending rows go with
        # this commit, so a migration syncs once a batch.
        if session.catalog.is_folded:
            session.sync_settled()
        else:
            session.fold()
    pending.reopen(changes.places)

    # Stage: new bytes are durable before any row names them.
    put: dict[BlobKey, str] = {}
    if plan.new_blobs:
        if not session.blobs.has_staging:
            put = _intend(session, plan)
        _stage(session, plan)

    # Commit: rows, history, audit entries and pending places, in one transaction; then readers see all of it.
    with session.publishing(), session.failing():
        try:
            is_folded = session.catalog.commit(changes, pending.cleared)
        except duckdb.Error as error:
            doubt: duckdb.Error | None = error
            session.reopen()
        else:
            doubt = None
            if is_folded:
                pending.forget_cleared()
            pending.add(changes.places, dict(plan.facts))
            session.publish_changes(changes)
    if doubt is not None:
        # Reopening has recovered; what remains is to see whether the commit took place.
        if session.head.hash != changes.head.hash:
            raise StorageError(f"the catalog refused the commit, nothing was changed: {doubt}") from doubt
        return

    # Settle: each blob to the one place where it belongs. What fails here stays pending; the operation has succeeded.
    session.settle(changes.live, put, None if changes.moves is None else changes.goals)


def _stage(session: Session, plan: CommitPlan) -> None:
    try:
        if session.blobs.write(plan.new_blobs):
            session.pending.mark_durable()
    except SyncFailed:
        # The kernel reports a failed sync once: the next one would call durable what is lost.
        with session.failing():
            raise


def _intend(session: Session, plan: CommitPlan) -> dict[BlobKey, str]:
    """Commit where new bytes are about to be put, so that a killed process leaves no object that nobody knows of.

    Returns:
        Where each is put: not always where it belongs, as a later operation of the same commit may have replaced it.
    """
    put = {
        (content.id, content.n): blob.goal for content, blob in zip(plan.changes.contents, plan.new_blobs, strict=True)
    }
    places = {key: plan.changes.places[key] for key in put}
    with session.failing():
        if session.catalog.commit(Changes(session.head, places=places), session.pending.cleared):
            session.pending.forget_cleared()
    # Until the commit names them these bytes belong nowhere: if it never comes, settle deletes them.
    session.pending.add(places, dict.fromkeys(places))
    return put
