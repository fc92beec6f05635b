"""The kernel lock that decides which process may use a tenant's catalog, and how it is handed over.

Two ``flock`` files: ``lock`` is owned by whoever has the catalog open (shared by read-only processes); ``lock.ask``
is held by the one process that waits for it next, which also makes taking turns fair: nobody can overtake the one who
asks. The owner looks at ``lock.ask`` now and then, finishes what it does and lets go. Files are never unlinked; the
kernel drops both locks when a process dies.
"""

import contextlib
import fcntl
import json
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path

from kiromi.errors import StorageError, StoreLocked

_POLL_S = 0.003


def lock_path(catalog: Path) -> Path:
    """Return where the lock of a catalog lies: beside it."""
    return catalog.with_name("lock" if catalog.name == "catalog.duckdb" else f"{catalog.stem}.lock")


class StoreLock:
    """The lock of one tenant, as one process sees it."""

    def __init__(self, path: Path, *, shared: bool) -> None:
        self.path = path
        self._shared = shared
        self._named_by: int | None = None
        try:
            self._lock = os.open(path, os.O_RDONLY | os.O_CREAT if shared else os.O_RDWR | os.O_CREAT, 0o666)
            self._ask = os.open(f"{path}.ask", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise StorageError(f"cannot open the lock {path}: {error}", path=str(path)) from error

    def acquire(self, timeout_s: float) -> None:
        """Take the lock, waiting up to ``timeout_s`` seconds for whoever holds it to hand it over.

        Raises:
            StoreLocked: it was not handed over in time; the message names the holder.
        """
        deadline = time.monotonic() + timeout_s
        self._wait(self._ask, fcntl.LOCK_EX, deadline, timeout_s)
        try:
            self._wait(self._lock, fcntl.LOCK_SH if self._shared else fcntl.LOCK_EX, deadline, timeout_s)
        finally:
            fcntl.flock(self._ask, fcntl.LOCK_UN)
        if not self._shared:
            self._write_holder()

    def release(self) -> None:
        """Let go of the lock."""
        self._clear_holder()
        fcntl.flock(self._lock, fcntl.LOCK_UN)

    def is_wanted(self) -> bool:
        """Tell whether another process waits for the lock."""
        if not _try(self._ask, fcntl.LOCK_EX):
            return True
        fcntl.flock(self._ask, fcntl.LOCK_UN)
        return False

    def close(self) -> None:
        """Close the files, which drops the lock unless a forked child still has them open."""
        self._clear_holder()
        os.close(self._lock)
        os.close(self._ask)

    def _wait(self, descriptor: int, mode: int, deadline: float, timeout_s: float) -> None:
        while not _try(descriptor, mode):
            if time.monotonic() >= deadline:
                holder = self._holder()
                raise StoreLocked(
                    f"the store is in use by {holder} and was not handed over within {timeout_s:g} s ({self.path})",
                    holder=holder,
                    path=str(self.path),
                )
            time.sleep(_POLL_S)

    def _write_holder(self) -> None:
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._named_by = os.getpid()
        # For people only: a full disk must not stop who holds the lock.
        with contextlib.suppress(OSError):
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, json.dumps(holder).encode() + b"\n", 0)

    def _clear_holder(self) -> None:
        """Remove the name before the lock goes: a read-only process, which cannot write its own, may have it next."""
        if self._named_by == os.getpid():  # a forked child's copy of the lock must not unname its parent
            with contextlib.suppress(OSError):
                os.ftruncate(self._lock, 0)
        self._named_by = None

    def _holder(self) -> str:
        try:
            text = os.pread(self._lock, 4096, 0)
            if not text:
                return "read-only processes or a process that is closing"
            holder = json.loads(text)
            return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
        except (ValueError, KeyError, TypeError):
            return "another process"


def _try(descriptor: int, mode: int) -> bool:
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
