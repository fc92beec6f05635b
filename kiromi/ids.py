"""Memory ids: ULIDs (https://github.com/ulid/spec) in upper-case Crockford base 32.

An id sorts by the millisecond of its making; ids made by one :class:`IdSource` sort in the order they were made.
"""

import os
import re
import threading
import time

from kiromi.errors import InvalidInput

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_RANDOM_BITS = 80
ERASED_ID = "0" * 26
"""Stands where the id of an erased memory stood, if what it says has to be kept."""
# Pairs of digits at once: a third of the time of a digit-by-digit loop, and ids are made by the hundred thousand.
_PAIRS = tuple(high + low for high in _ALPHABET for low in _ALPHABET)


def check_id(value: str) -> str:
    """Return ``value`` if it is an upper-case ULID.

    Raises:
        InvalidInput: it is not 26 characters of upper-case Crockford base 32, or is over 128 bits.
    """
    if not isinstance(value, str) or _ULID.fullmatch(value) is None:
        raise InvalidInput(
            f"id {value!r} is not an upper-case ULID (26 characters of 0-9 A-Z without I L O U, the first at most 7)",
            id=str(value),
        )
    return value


def check_new_id(value: str) -> str:
    """Return ``value`` if a memory can be given it as its id.

    Raises:
        InvalidInput: it is no id, or the one that stands for those of erased memories.
    """
    if check_id(value) == ERASED_ID:
        raise InvalidInput(f"the id {value} stands for erased memories, no memory can have it", id=value)
    return value


def format_id(number: int) -> str:
    """Return the ULID text of a 128-bit number."""
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)])


class IdSource:
    """Makes ids; safe to use from many threads.

    Within one millisecond the random part counts up by one (the ULID spec's monotonic mode), so that the order of ids
    is the order of making even when the clock stands still or steps back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def make(self) -> str:
        """Return a new id."""
        return self.make_many(1)[0]

    def make_many(self, count: int) -> list[str]:
        """Return ``count`` new ids in ascending order."""
        milliseconds = time.time_ns() // 1_000_000
        # The top random bit stays clear so that counting up never overflows into the time part.
        fresh = (milliseconds << _RANDOM_BITS) | (int.from_bytes(os.urandom(10)) >> 1)
        with self._lock:
            first = max(fresh, self._last + 1)
            self._last = first + count - 1
        return [format_id(number) for number in range(first, first + count)]
