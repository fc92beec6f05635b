"""A filesystem that fails on demand: errors, lost answers and slow calls in front of any other fsspec filesystem.

Give one to a store to see what your application does when the object store below it misbehaves::

    store = kiromi.open("s3://bucket/memories", scheme=..., catalog=...)
    faulty = FaultyFileSystem.below(store)
    faulty.faults = [Fault("cp_file", TimeoutError("no answer"), after=True)]
"""

import threading
import time
from dataclasses import dataclass
from typing import Any

from fsspec import AbstractFileSystem

from kiromi.blobs.objects import ObjectBlobs
from kiromi.errors import InvalidInput
from kiromi.store import Store


@dataclass(slots=True)
class Fault:
    """One thing that goes wrong."""

    call: str
    """Name of the filesystem's method: ``pipe_file``, ``cp_file``, ``rm_file``, ``info``, ``cat_file`` or ``find``."""
    error: Exception | None = None
    """What the call raises; None: nothing, it is only slow."""
    after: bool = False
    """Whether the call takes place and only its answer is lost."""
    times: int = 1
    """How many calls it hits."""
    skip: int = 0
    """How many calls pass before."""
    delay_s: float = 0.0
    """Seconds that the call takes longer."""


class FaultyFileSystem:
    """Passes every call on to another filesystem, but for what ``faults`` says; safe to use from many threads."""

    def __init__(self, filesystem: AbstractFileSystem) -> None:
        self.faults: list[Fault] = []
        """What is to go wrong; a fault that has hit as often as it should is dropped."""
        self._filesystem = filesystem
        self._guard = threading.Lock()

    @classmethod
    def below(cls, store: Store) -> "FaultyFileSystem":
        """Put a faulty filesystem, without faults yet, below an open store.

        Raises:
            InvalidInput: the store lies in a local folder, which is not used through fsspec.
        """
        blobs = store._base.session.blobs
        if not isinstance(blobs, ObjectBlobs):
            raise InvalidInput("only a store on an object store or memory:// lies on an fsspec filesystem")
        faulty = cls(blobs.filesystem)
        blobs.filesystem = faulty
        return faulty

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._filesystem, name)
        return self._faulty(name, real) if callable(real) else real

    def _faulty(self, name: str, real: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            fault = self._hit(name)
            if fault is None:
                return real(*args, **options)
            time.sleep(fault.delay_s)
            if fault.error is None:
                return real(*args, **options)
            if fault.after:
                real(*args, **options)
            raise fault.error

        return call

    def _hit(self, name: str) -> Fault | None:
        with self._guard:
            for fault in self.faults:
                if fault.call != name:
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    return None
                fault.times -= 1
                if fault.times == 0:
                    self.faults.remove(fault)
                return fault
            return None
