"""A handle on one tenant: its life, who writes through it, and how its calls reach the session."""

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from kiromi.errors import InvalidInput
from kiromi.operations.caller import Caller, check_text
from kiromi.operations.opening import check_actor
from kiromi.session.operation import Context
from kiromi.session.registry import release
from kiromi.session.session import Session
from kiromi.store.calls import Calls

_context: ContextVar[Mapping[Session, Mapping[str, str]] | None] = ContextVar("kiromi_context", default=None)


class Handle(Calls):
    """What the parts of :class:`kiromi.Store` stand on; its calls are about the present."""

    def __init__(self, caller: Caller, parent: "Handle | None" = None) -> None:
        self._base = caller
        self._parent = parent
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        session = self._base.session
        return f"<kiromi.Store {session.root.url!r} tenant={session.tenant!r}>"

    @contextlib.contextmanager
    def context(
        self, *, actor: str | None = None, run_id: str | None = None, reason: str | None = None
    ) -> Iterator[None]:
        """Record who writes, in which run and why, for this thread's or task's writes to the tenant; blocks nest."""
        if actor is not None:
            check_actor(actor)
        given: dict[str, Any] = {"actor": actor, "run_id": run_id, "reason": reason}
        given = {name: check_text(value, name) for name, value in given.items() if value is not None}
        outer = _context.get() or {}
        session = self._base.session
        token = _context.set({**outer, session: {**outer.get(session, {}), **given}})
        try:
            yield
        finally:
            _context.reset(token)

    @property
    def scheme(self) -> str:
        """The template that new memories follow."""
        with self._call() as caller:
            return caller.session.schemes[caller.session.active_scheme].template

    @property
    def seq(self) -> int:
        """The last operation."""
        with self._call() as caller:
            return caller.session.view.seq

    @property
    def tenant(self) -> str:
        """The tenant's name."""
        return self._base.session.tenant

    def close(self) -> None:
        """Wait for calls in progress and let go of the store; nothing is lost without it. Closing twice is fine."""
        if not self._is_closed:
            self._base.session.lease.check_outside()
            self._is_closed = True
            if self._parent is None:
                release(self._base.session)

    def _caller(self) -> Caller:
        handle: Handle | None = self
        while handle is not None:
            if handle._is_closed:
                raise InvalidInput("the store is closed")
            handle = handle._parent
        given = (_context.get() or {}).get(self._base.session)
        if not given:
            return self._base
        base = self._base.context
        return replace(
            self._base, context=Context(given.get("actor") or base.actor, given.get("run_id"), given.get("reason"))
        )

    @contextlib.contextmanager
    def _call(self) -> Iterator[Caller]:
        caller = self._caller()
        with caller.session.lease:
            yield caller
