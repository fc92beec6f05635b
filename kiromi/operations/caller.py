"""Who calls: the session behind a handle, the wall of its scope, and the name under which it writes.

Every operation gets a caller and asks it, and nothing else, whether a row may be seen or written; so a scoped handle
is a wall by construction. A caller may also look at a past moment: whatever reads through :meth:`Caller.reading`, with
:attr:`Caller.now` as its clock, then answers as the store did at that moment.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import duckdb

from kiromi.attributes import check_scalar
from kiromi.catalog.past import Moment, Rows, check_kept, look_back
from kiromi.catalog.rows import Row
from kiromi.embed.base import Embedder
from kiromi.errors import BlobMissing, InvalidInput
from kiromi.model import Draft
from kiromi.operations.within import EVERYTHING, Within, parse_within
from kiromi.session import contents
from kiromi.session.operation import Context
from kiromi.session.session import Session
from kiromi.times import now_micros, to_micros

if TYPE_CHECKING:
    from kiromi.operations.archive_keeping import Keeper

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
    embedder: Embedder | None = None
    """The handle's own; without one, the store's model is made from its name where that can be."""
    embeds: bool = True
    """Whether what is planned gets vectors; not when the plan is only looked at."""
    keeper: "Keeper | None" = None
    """Keeps an archive beside the store, if the handle was opened with one."""
    moment: Moment | None = None
    """The past moment that it reads; None for the present. Whoever looks back does not write."""

    @property
    def now(self) -> int:
        """The clock by which memories expire and are superseded: microseconds since 1970 UTC."""
        return now_micros() if self.moment is None else self.moment.now

    @property
    def active_scheme(self) -> int:
        """The number of the scheme that new memories follow, or followed."""
        return self.session.active_scheme if self.moment is None else self.moment.scheme

    @property
    def active_model(self) -> int | None:
        """The number of the embedding model whose vectors are searched, or were."""
        return self.session.active_model if self.moment is None else self.moment.model

    @contextlib.contextmanager
    def reading(self) -> Iterator[tuple[Rows, duckdb.DuckDBPyConnection]]:
        """Give rows and a cursor over the tables that show the same moment, the present or a past one, for a block.

        Raises:
            SnapshotNotFound: ``gc`` has removed what only that moment showed.
        """
        with self.session.snapshot() as (view, cursor):
            yield (view if self.moment is None else look_back(cursor, self.moment.seq)), cursor

    def rows_of(self, ids: Iterable[str]) -> dict[str, Row]:
        """Return the rows of those ids that are live, in scope or not."""
        if self.moment is None:
            return {row.id: row for row in self.session.view.rows(ids)}
        with self.reading() as (rows, _):
            return {row.id: row for row in rows.rows(ids)}

    def place_of(self, row: Row) -> str:
        """Return where the content of a row that was read belongs now."""
        return row.live_path if self.moment is None else contents.place_of(self.session, row)

    def checked(self, row: Row, data: bytes | None = None) -> bytes:
        """Return the content of a row that was read, checked; ``data`` is what a first look found.

        Raises:
            SnapshotNotFound: the row is of a past moment that ``gc`` has removed meanwhile.
            BlobMissing, ChecksumMismatch: as :func:`kiromi.session.contents.read_blob`.
        """
        try:
            return contents.checked(self.session, row, data)
        except BlobMissing:
            if self.moment is not None:
                with self.session.catalog.snapshot() as cursor:  # gc writes nothing to the journal
                    check_kept(cursor, self.moment.seq)
            raise

    def has_changed(self, row: Row) -> bool:
        """Tell whether a live row is no longer what it was: ``gc`` may then have taken the content that it named."""
        return self.moment is None and self.session.live(row.id) != row

    def sees(self, row: Row | None) -> bool:
        """Tell whether a row is there and within the caller's scope."""
        return row is not None and self.scope.matches(row)

    def visible(self, memory_id: str) -> Row | None:
        """Return a live memory's row if it is within the caller's scope, expired or not."""
        row = self.rows_of([memory_id]).get(memory_id)
        return row if self.sees(row) else None

    def within(self, within: Mapping[str, Any] | None) -> Within:
        """Return a ``within`` mapping resolved and cut by the caller's scope."""
        schemes = self.session.schemes
        if self.moment is not None:  # what a name means is not changed by schemes that came later
            schemes = {number: schemes[number] for number in schemes if number <= self.moment.last_scheme}
        return self.scope & parse_within(within, schemes, self.active_scheme)

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


def check_moment(value: Any, what: str) -> int:
    """Return an aware datetime in microseconds since 1970 UTC; ``what`` names it in the message.

    Raises:
        InvalidInput: it is something else, or beyond the years 1 to 9999 in UTC.
    """
    if not isinstance(value, datetime):
        raise InvalidInput(f"{what}={value!r} is a {type(value).__name__}; accepted: an aware datetime")
    return to_micros(cast(datetime, check_scalar(value, what)))


def is_expired(row: Row, now: int | None = None) -> bool:
    """Tell whether a row is past its ``expires_at``; ``now`` in microseconds since 1970 UTC."""
    return row.expires_at is not None and row.expires_at <= (now_micros() if now is None else now)
