"""Leases: calls in progress hold the process's lock on a tenant; between calls another process may have it.

A thread that already holds a lease gets another one at once, so that calls can nest without waiting for their own end.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType

from kiromi.errors import InvalidInput, KiromiError
from kiromi.session.lock import StoreLock

USED_AFTER_FORK = (
    "the store was open when this process was forked from another: close it before a fork, or start processes anew"
    " (multiprocessing: spawn or forkserver)"
)
_POLL_S = 0.02
_GRACE_S = 0.25
"""How long new calls wait for a hand-over that itself waits for a long one."""


class Lease:
    """Use as a context manager around everything that touches the catalog or relies on the view being current."""

    def __init__(self, lock: StoreLock, take: Callable[[], None], give: Callable[[], None]) -> None:
        """``take`` runs with the lock newly held, ``give`` before it is let go."""
        self.wait_s = 0.0
        self._lock = lock
        self._take = take
        self._give = give
        self._pid = os.getpid()
        self._condition = threading.Condition()
        self._depth = threading.local()
        self._active = 0
        self._is_held = False
        self._is_giving = False
        self._is_alone_wanted = False
        self._is_alone = False
        self._refusal: KiromiError | None = None
        self._watcher: threading.Thread | None = None

    def __enter__(self) -> None:
        depth = getattr(self._depth, "value", 0)
        if depth == 0:
            self._start()
        self._depth.value = depth + 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth.value -= 1
        if self._depth.value == 0:
            with self._condition:
                self._active -= 1
                if self._active == 0 and (self._is_giving or self._is_alone_wanted):
                    self._condition.notify_all()

    def refuse(self, reason: KiromiError) -> None:
        """Let every later lease raise ``reason``: the session failed or was closed."""
        self._refusal = reason

    def check(self) -> None:
        """Raise the refusal, if there is one: a call that began before it must not commit after it."""
        if self._refusal is not None:
            raise self._refusal

    @property
    def is_nested(self) -> bool:
        """Whether this thread has a lease already."""
        return bool(getattr(self._depth, "value", 0))

    def check_outside(self, what: str = "the store cannot be closed") -> None:
        """Refuse to do from within a call what would wait for its end; ``what`` begins the message."""
        if self.is_nested:
            raise InvalidInput(f"{what} within a call or transaction of the same thread")

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only call in progress for a block, with the lock held all the time.

        Waits for the calls in progress, and for a hand-over that was begun before; calls of other threads that begin
        meanwhile wait for the end of the block.

        Raises:
            InvalidInput: this thread is within a call, which would be waited for.
        """
        self.check_outside("this has to be the only call, and cannot be made")
        self._check_process()
        with self._condition:
            while self._is_alone_wanted:
                self._condition.wait()
            self._is_alone_wanted = True
            try:
                while self._active or self._is_giving:
                    self._condition.wait(_POLL_S)
                self.check()
                if not self._is_held:
                    self._acquire()
            except BaseException:
                self._end_alone()
                raise
            self._is_alone = True
            self._active = 1
        self._depth.value = 1
        try:
            yield
        finally:
            self._depth.value = 0
            with self._condition:
                self._active = 0
                self._end_alone()

    def close(self) -> None:
        """Wait for calls in progress, then give the lock up for good."""
        if os.getpid() != self._pid:
            return
        with self._condition:
            try:
                self._let_go()
            finally:
                self._refusal = self._refusal or InvalidInput("the store is closed")
                self._lock.close()
        if self._watcher is not None:
            self._watcher.join()

    def abandon(self) -> None:
        """In a forked child: close the copies of the lock's files, or they would keep the lock when the parent dies."""
        self._lock.close()

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise InvalidInput(USED_AFTER_FORK)

    def _end_alone(self) -> None:
        self._is_alone_wanted = self._is_alone = False
        self._condition.notify_all()

    def _start(self) -> None:
        self._check_process()
        with self._condition:
            self._wait_for_others()
            self.check()
            if not self._is_held:
                self._acquire()
            self._active += 1

    def _wait_for_others(self) -> None:
        """Let a hand-over, and who wants to be alone, go first.

        Not for ever, as long as they wait themselves: the call that they wait for may wait for this one.
        """
        deadline = time.monotonic() + _GRACE_S
        while (self._is_giving or self._is_alone_wanted) and (
            self._is_alone or self._active == 0 or time.monotonic() < deadline
        ):
            self._condition.wait(_POLL_S)

    def _acquire(self) -> None:
        self._lock.acquire(self.wait_s)
        try:
            self._take()
        except BaseException:
            self._lock.release()
            raise
        self._is_held = True
        self._watcher = threading.Thread(target=self._watch, name="kiromi-handover", daemon=True)
        self._watcher.start()

    def _watch(self) -> None:
        while True:
            with self._condition:
                self._condition.wait(_POLL_S)
                if not self._is_held:
                    return
                if self._lock.is_wanted() and self._let_go(is_needed=self._lock.is_wanted):
                    return

    def _let_go(self, is_needed: Callable[[], bool] = lambda: True) -> bool:
        """Wait for the calls in progress and give the lock up; return False if that was not needed any more."""
        while self._is_giving:
            self._condition.wait()
        if not self._is_held:
            return True
        self._is_giving = True
        while self._active:
            self._condition.wait(_POLL_S)
            if not is_needed():
                self._is_giving = False
                self._condition.notify_all()
                return False
        try:
            self._give()
        finally:
            self._lock.release()
            self._is_held = False
            self._is_giving = False
            self._condition.notify_all()
        return True
