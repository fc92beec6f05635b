"""Times as the catalog keeps them, microseconds since 1970-01-01 UTC, and lengths of time as people write them."""

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from kiromi.errors import InvalidInput

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"([0-9]{1,9})([smhdw])|0")
_LONGEST = 100_000 * 366 * 86_400 * 1_000_000


def to_micros(moment: datetime) -> int:
    """Return an aware datetime as microseconds, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return microseconds as an aware UTC datetime, exactly."""
    return _EPOCH + timedelta(microseconds=micros)


def now_micros() -> int:
    """Return the current time in microseconds."""
    return time.time_ns() // 1000


def to_duration(value: Any, what: str) -> int:
    """Return a length of time in microseconds; ``what`` names it in the message.

    Args:
        value: text such as ``90s``, ``15m``, ``12h``, ``30d``, ``8w``, or ``0``; or a timedelta.
        what: the argument's name.

    Raises:
        InvalidInput: it is something else, below zero, or beyond 100,000 years.
    """
    found = -1
    if isinstance(value, timedelta):
        found = value // _MICROSECOND
    elif isinstance(value, str) and (match := _DURATION.fullmatch(value)) is not None:
        found = int(match[1] or 0) * _UNITS[match[2] or "s"] * 1_000_000
    elif isinstance(value, int) and not isinstance(value, bool) and value == 0:
        found = 0
    if not 0 <= found <= _LONGEST:
        raise InvalidInput(
            f"{what}={value!r}; accepted: a whole number with s, m, h, d or w, as in 90s, 15m, 12h, 30d, 8w; 0; or a"
            " timedelta that is not negative"
        )
    return found


def duration_text(micros: int) -> str:
    """Return a length of time as :func:`to_duration` reads it, in the largest unit that divides it."""
    seconds = micros // 1_000_000
    unit = next((unit for unit in "wdhm" if seconds and seconds % _UNITS[unit] == 0), "s")
    return f"{seconds // _UNITS[unit]}{unit}"
