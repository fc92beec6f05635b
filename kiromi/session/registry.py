"""The sessions of this process: one per catalog, shared by every handle, closed with the last of them or at exit.

DuckDB admits one opening of a file per process, and the lock is the process's; so two handles on one store must share.
"""

import atexit
import contextlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from kiromi.errors import InvalidInput, KiromiError
from kiromi.session.lease import USED_AFTER_FORK
from kiromi.session.location import Root
from kiromi.session.session import Session


@dataclass(slots=True)
class _Shared:
    session: Session
    handles: int


_guard = threading.Lock()
_sessions: dict[tuple[Path, bool], _Shared] = {}
_inherited: set[Path] = set()
"""Catalogs that were open when this process was forked: DuckDB takes the parent's connection, whose threads are not
here, for one of this process, and opens no other."""


def acquire(root: Root, tenant: str, *, template: str | None, read_only: bool, durable: bool, wait_s: float) -> Session:
    """Return the process's session for a tenant, opening it if it is the first handle.

    Raises:
        InvalidInput: the same catalog is open in this process with another root, tenant or durability, or was open when
            this process was forked.
        KiromiError: whatever opening raises.
    """
    key = (root.catalog_path(tenant), read_only)
    if key[0] in _inherited:
        raise InvalidInput(USED_AFTER_FORK)
    with _guard:
        shared = _sessions.get((key[0], False)) or _sessions.get(key)
        if shared is None:
            shared = _Shared(Session(root, tenant, template=template, read_only=read_only, durable=durable), 0)
            _sessions[key] = shared
        session = shared.session
        if (session.root.path, session.tenant, session.durable) != (root.path, tenant, durable):
            raise InvalidInput(
                f"the catalog {key[0]} is open in this process for {session.root.url} (tenant {session.tenant!r},"
                f" durability {'sync' if session.durable else 'relaxed'}): open it the same way",
            )
        shared.handles += 1
        # The handles share the lease: none of them gives up before the time that it was opened with.
        session.lease.wait_s = max(session.lease.wait_s, wait_s)
    try:
        with session.lease:
            pass
    except BaseException:
        release(session)
        raise
    return session


def release(session: Session) -> None:
    """Give a handle's share of a session back; the last one closes it."""
    with _guard:
        key = next((key for key, shared in _sessions.items() if shared.session is session), None)
        if key is None:
            return
        _sessions[key].handles -= 1
        if _sessions[key].handles > 0:
            return
        del _sessions[key]
    # Not under the guard: closing waits for calls in progress, and one of them may be opening another store.
    session.close()


def is_open(catalog_path: Path) -> bool:
    """Tell whether this process has the catalog open."""
    with _guard:
        return any(path == catalog_path for path, _ in _sessions)


def _close_all() -> None:
    with _guard:
        for shared in _sessions.values():
            with contextlib.suppress(KiromiError):
                shared.session.close()
        _sessions.clear()


def _abandon_all() -> None:
    # The parent's threads do not exist here, and one of them may have held the guard.
    global _guard
    _guard = threading.Lock()
    for (path, _), shared in _sessions.items():
        shared.session.abandon()
        _inherited.add(path)
    _sessions.clear()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_abandon_all)
