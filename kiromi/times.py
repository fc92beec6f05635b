"""Times as the catalog keeps them: microseconds since 1970-01-01 UTC."""

import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """Return an aware datetime as microseconds, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return microseconds as an aware UTC datetime, exactly."""
    return _EPOCH + timedelta(microseconds=micros)


def now_micros() -> int:
    """Return the current time in microseconds."""
    return time.time_ns() // 1000
