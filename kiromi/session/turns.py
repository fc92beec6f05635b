"""Whose turn it is to commit: of the threads that want to, one leads and commits for all, the others wait for it.

The leader waits a moment for as many requests as the last group had: threads that write in a loop are back by then, and
one commit for all of them is worth more than the wait. A thread on its own never waits.
"""

import contextlib
import threading
import time
from collections import deque
from typing import Generic, Protocol, TypeVar

_GATHER_S = 0.0005
_STEP_S = 0.00002


class Waiting(Protocol):
    """What can wait for its turn."""

    is_done: bool


W = TypeVar("W", bound=Waiting)


class Turns(Generic[W]):
    """The queue of one session."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._queue: deque[W] = deque()
        self._has_leader = False
        self._last_size = 1

    def wait(self, request: W) -> bool:
        """Queue a request and wait; return whether the caller has to lead. If not, the request is done."""
        with self._condition:
            self._queue.append(request)
            try:
                while self._has_leader and not request.is_done:
                    self._condition.wait()
            except BaseException:
                # Such as Ctrl-C: what nobody has begun must not happen after its caller was told that it failed.
                self._withdraw(request)
                raise
            if request.is_done:
                return False
            self._has_leader = True
            return True

    def gather(self) -> None:
        """As the leader: give the threads of the last group a moment to come back."""
        deadline = time.perf_counter() + _GATHER_S
        while len(self._queue) < self._last_size and time.perf_counter() < deadline:
            time.sleep(_STEP_S)
        # Forget a thread that stopped writing after one group, not at once: it may just have been slow.
        self._last_size = max(len(self._queue), self._last_size - 1)

    def next(self) -> W | None:
        """As the leader: return the next request, or None if none waits."""
        return self._queue.popleft() if self._queue else None

    def finish(self, request: W) -> None:
        """As the leader, with its own request: wake the others; one whose request is not done leads next."""
        with self._condition:
            self._withdraw(request)
            self._has_leader = False
            self._condition.notify_all()

    def _withdraw(self, request: W) -> None:
        with contextlib.suppress(ValueError):
            self._queue.remove(request)
