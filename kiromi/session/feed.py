"""The feed: what the last commits of this process changed, so that derived indices need not ask the tables.

Kept only while somebody listens, and only as much as fits; who comes too late, or has missed something, is told so and
reads the tables instead.
"""

import threading
from collections import deque

from kiromi.catalog.changes import Changes

_MAX_ROWS = 20_000
"""Rows and passages that are kept; reading more than this from the tables is as quick."""


class Feed:
    """Changes in the order of their commits; safe to use from several threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._changes: deque[tuple[int, Changes]] = deque()
        self._rows = 0
        self._since: int | None = None

    def listen(self, seq: int) -> None:
        """Keep what is committed after ``seq``, the last operation that the listener knows."""
        with self._guard:
            self._reset(seq)

    def stop(self) -> None:
        """Forget everything, and keep nothing until somebody listens again."""
        with self._guard:
            self._reset(None)

    def add(self, changes: Changes) -> None:
        """Take a commit in."""
        with self._guard:
            if self._since is None:
                return
            rows = changes.touched() + sum(len(item.spans) for item, _ in changes.vectors)
            self._changes.append((rows, changes))
            self._rows += rows
            if self._rows > _MAX_ROWS:
                self._reset(None)

    def take(self, seq: int) -> list[Changes] | None:
        """Return and forget the changes after ``seq``, oldest first; None if some are not here."""
        with self._guard:
            if self._since is None or seq < self._since:
                return None
            found = [changes for _, changes in self._changes if changes.head.seq > seq]
            self._reset(found[-1].head.seq if found else max(seq, self._since))
            return found

    def _reset(self, since: int | None) -> None:
        self._changes.clear()
        self._rows = 0
        self._since = since
