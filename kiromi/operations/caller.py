"""Who calls: the session behind a handle, the wall of its scope, and the name under which it writes.

Every operation gets a caller and asks it, and nothing else, whether a row may be seen or written; so a scoped handle
is a wall by construction.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from kiromi.attributes import check_scalar
from kiromi.catalog.rows import Row
from kiromi.errors import InvalidInput
from kiromi.model import Draft
from kiromi.operations.within import EVERYTHING, Within, parse_within
from kiromi.session.operation import Context
from kiromi.session.session import Session
from kiromi.times import now_micros

Guard: TypeAlias = Callable[[Draft], Draft]
"""Looks at a draft before it is stored; returns it, or a changed one, or raises to refuse it."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A handle, as operations see it."""

    session: Session
    context: Context
    scope: Within = EVERYTHING
    guards: tuple[Guard, ...] = ()
    is_read_only: bool = False

    def sees(self, row: Row | None) -> bool:
        """Tell whether a row is there and within the caller's scope."""
        return row is not None and self.scope.matches(row)

    def visible(self, memory_id: str) -> Row | None:
        """Return a live memory's row if it is within the caller's scope, expired or not."""
        row = self.session.live(memory_id)
        return row if self.sees(row) else None

    def within(self, within: Mapping[str, Any] | None) -> Within:
        """Return a ``within`` mapping resolved and cut by the caller's scope."""
        return self.scope & parse_within(within, self.session.schemes, self.session.active_scheme)

    def check_writable(self) -> None:
        """Refuse a write through a read-only handle."""
        if self.is_read_only:
            raise InvalidInput("this handle is read-only: open the store without read_only=True to write")

    def check_within(self, row: Row) -> None:
        """Refuse to write a row outside the caller's scope."""
        if not self.sees(row):
            raise InvalidInput(
                f"the memory would lie at {row.partition}, outside the scope of this handle", path=row.partition
            )


def check_text(value: Any, what: str) -> str:
    """Return ``value`` if it is text that can be stored; ``what`` names it in the message.

    Raises:
        InvalidInput: it is of another type, or has a lone surrogate.
    """
    if not isinstance(value, str):
        raise InvalidInput(f"{what}={value!r} is a {type(value).__name__}; accepted: text")
    return str(check_scalar(value, what))


def is_expired(row: Row, now: int | None = None) -> bool:
    """Tell whether a row is past its ``expires_at``; ``now`` in microseconds since 1970 UTC."""
    return row.expires_at is not None and row.expires_at <= (now_micros() if now is None else now)
