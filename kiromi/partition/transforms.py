"""Field value to the text of a segment: identity, year, month, day, hour, strftime, bucket, truncate, lower.

Promises: the text depends on the value and the transform alone, never on locale, platform, time zone or process.
Transforms follow the Iceberg table spec (https://iceberg.apache.org/spec/#partition-transforms and its appendix B);
times read as Iceberg's human strings, in UTC. Whether a text can be a folder name is left to ``encoding``.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from reprlib import repr as brief
from typing import Literal, TypeAlias

from kiromi.errors import InvalidInput
from kiromi.partition.murmur3 import murmur3

FieldValue: TypeAlias = str | int | float | Decimal | bool | date | datetime | None
TransformName: TypeAlias = Literal["year", "month", "day", "hour", "strftime", "bucket", "truncate", "lower"]

_PLAIN: tuple[TransformName, ...] = ("year", "month", "day", "hour", "lower")
_ACCEPTED = "year, month, day, hour, a strftime pattern such as %Y-%m, bucket(N), truncate(W) or lower"
MAX_BUCKETS = 65_536
MAX_WIDTH = 2**31 - 1
_CALL = re.compile(r"(bucket|truncate)\(\s*([0-9]{1,18})\s*\)")
_DIRECTIVE = re.compile(r"%(.?)", re.DOTALL)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INT64 = 2**63
_DECIMAL_DIGITS = 255
# How much of "2017-11-16T22:31:08" each of them keeps; such texts sort like the times they stand for.
TIME_LENGTHS = {"year": 4, "month": 7, "day": 10, "hour": 13}

_DIRECTIVES: dict[str, Callable[[datetime], str]] = {
    "Y": lambda t: f"{t.year:04d}",
    "m": lambda t: f"{t.month:02d}",
    "d": lambda t: f"{t.day:02d}",
    "H": lambda t: f"{t.hour:02d}",
    "M": lambda t: f"{t.minute:02d}",
    "S": lambda t: f"{t.second:02d}",
    "f": lambda t: f"{t.microsecond:06d}",
    "j": lambda t: f"{_day_of_year(t):03d}",
    "U": lambda t: f"{(_day_of_year(t) + 6 - t.isoweekday() % 7) // 7:02d}",
    "W": lambda t: f"{(_day_of_year(t) + 6 - t.weekday()) // 7:02d}",
    "V": lambda t: f"{t.isocalendar().week:02d}",
    "G": lambda t: f"{t.isocalendar().year:04d}",
    "u": lambda t: str(t.isoweekday()),
    "w": lambda t: str(t.isoweekday() % 7),
    "y": lambda t: f"{t.year % 100:02d}",
    "%": lambda t: "%",
}


@dataclass(frozen=True, slots=True)
class Transform:
    """What a segment does to its field's value."""

    name: TransformName
    argument: int | str | None = None
    """N of ``bucket(N)``, W of ``truncate(W)``, the pattern of ``strftime``; else None."""

    @staticmethod
    def parse(text: str) -> "Transform":
        """Return the transform that ``text`` names in a template.

        Raises:
            InvalidInput: it names none; N is not in ``[1, 65_536]``, W not in ``[1, 2_147_483_647]``; a strftime
                directive depends on locale or platform.
        """
        if "%" in text:
            return Transform("strftime", _check_pattern(text))
        for name in _PLAIN:
            if text == name:
                return Transform(name)
        call = _CALL.fullmatch(text)
        if call is None:
            raise InvalidInput(f"transform {text!r} is unknown; expected {_ACCEPTED}", transform=text)
        number = int(call[2])
        limit = MAX_BUCKETS if call[1] == "bucket" else MAX_WIDTH
        if not 1 <= number <= limit:
            raise InvalidInput(f"transform {text!r} is out of range; expected 1 to {limit}", transform=text)
        return Transform("bucket" if call[1] == "bucket" else "truncate", number)

    def __str__(self) -> str:
        """Return the canonical text for a template."""
        if isinstance(self.argument, int):
            return f"{self.name}({self.argument})"
        return self.argument or self.name

    def apply(self, value: object, field: str) -> str:
        """Return the text of ``value``, which is not None; ``field`` is for messages.

        Raises:
            InvalidInput: the transform is not defined for such a value.
        """
        match self.name:
            case "lower":
                return identity_text(value, field).lower()
            case "bucket":
                return str((murmur3(_hashed_bytes(value, field)) & 0x7FFFFFFF) % int(self.argument or 1))
            case "truncate":
                return _truncate(value, int(self.argument or 1), field)
            case "strftime":
                return _strftime(value, str(self.argument), field)
            case _:
                moment = _moment(value, field, self.name, needs_time=self.name == "hour")
                return moment.isoformat()[: TIME_LENGTHS[self.name]].replace("T", "-")


def identity_text(value: object, field: str) -> str:
    """Return the text of ``value`` as it is; ``field`` is for messages.

    ``str`` itself; ``int`` in decimal; ``float`` as its shortest repr; ``Decimal`` in fixed point with its own scale;
    ``true``/``false``; dates as ``2017-11-16``; datetimes in UTC as ``2017-11-16T22:31:08.000000+00:00``.

    Raises:
        InvalidInput: a list or another type, a number that is not finite or over 64 bits, a naive datetime.
    """
    match value:
        case str():
            return str.__str__(value)
        case bool():
            return "true" if value else "false"
        case int():
            return int.__repr__(_int64(value, field))
        # Subclasses such as numpy's float64 have a repr of their own.
        case float():
            return float.__repr__(_finite(value, field))
        case Decimal():
            unscaled, scale = _unscaled(value, field)
            return _decimal_text(unscaled, scale)
        case datetime():
            return to_utc(value, field).isoformat(timespec="microseconds")
        case date():
            return value.isoformat()
    raise _wrong_type(value, field)


def _wrong_type(value: object, field: str) -> InvalidInput:
    if isinstance(value, list | tuple | set | frozenset):
        problem = "a list cannot fill a segment; expected one value"
    else:
        problem = (
            f"a {type(value).__name__} cannot fill a segment; expected str, int, float, Decimal, bool, date or datetime"
        )
    return InvalidInput(f"field {field!r} is {brief(value)}: {problem}", field=field, value=str(value))


def _int64(value: int, field: str) -> int:
    if not -_INT64 <= value < _INT64:
        raise InvalidInput(f"field {field!r} is an integer of over 64 bits; expected a Decimal or text", field=field)
    return value


def _finite(value: float, field: str) -> float:
    if value - value != 0:
        raise InvalidInput(f"field {field!r} is {value!r}; expected a finite number", field=field, value=repr(value))
    return value


def _unscaled(value: Decimal, field: str) -> tuple[int, int]:
    """Return (n, scale) with ``value == n / 10**scale`` and a scale of at least 0."""
    if not value.is_finite():
        raise InvalidInput(f"field {field!r} is {value!r}; expected a finite number", field=field, value=str(value))
    sign, digits, exponent = value.as_tuple()
    exponent = int(exponent)
    # Checked before the digits are written out: Decimal("1E+999999999") is small, its text is not.
    if len(digits) + abs(exponent) > _DECIMAL_DIGITS:
        raise InvalidInput(
            f"field {field!r} is a Decimal of over {_DECIMAL_DIGITS} digits", field=field, value=str(value)
        )
    magnitude = int("".join(map(str, digits))) * 10 ** max(exponent, 0)
    return (-magnitude if sign else magnitude), max(-exponent, 0)


def _decimal_text(unscaled: int, scale: int) -> str:
    # By tuple: arithmetic on Decimals would round to the context's precision.
    digits = tuple(map(int, str(abs(unscaled))))
    return format(Decimal((int(unscaled < 0), digits, -scale)), "f")


def to_utc(value: datetime, field: str) -> datetime:
    """Return the same moment in UTC; ``field`` is for messages.

    Raises:
        InvalidInput: it has no time zone, or leaves the years 1 to 9999.
    """
    if value.utcoffset() is None:
        raise InvalidInput(f"field {field!r} is {value!r}; expected a datetime with a time zone", field=field)
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise InvalidInput(f"field {field!r} is {value!r}, beyond the years 1 to 9999 in UTC", field=field) from error


def _moment(value: object, field: str, transform: str, *, needs_time: bool) -> datetime:
    if isinstance(value, datetime):
        return to_utc(value, field)
    if isinstance(value, date) and not needs_time:
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    expected = "a datetime" if needs_time else "a date or datetime"
    hint = "; text is not read as a time" if isinstance(value, str) else ""
    raise InvalidInput(
        f"field {field!r} is {brief(value)}; {transform} needs {expected}{hint}", field=field, value=str(value)
    )


def _check_pattern(pattern: str) -> str:
    for directive in _DIRECTIVE.finditer(pattern):
        if directive[1] not in _DIRECTIVES:
            allowed = " ".join(f"%{letter}" for letter in _DIRECTIVES)
            raise InvalidInput(
                f"{directive[0]!r} in {pattern!r} is not possible; expected {allowed}", transform=pattern
            )
    if "/" in pattern:
        raise InvalidInput(f"the pattern {pattern!r} holds '/'; write one segment for each level", transform=pattern)
    return pattern


def _strftime(value: object, pattern: str, field: str) -> str:
    needs_time = any(directive[1] in "HMSf" for directive in _DIRECTIVE.finditer(pattern))
    moment = _moment(value, field, f"the pattern {pattern!r}", needs_time=needs_time)
    return _DIRECTIVE.sub(lambda directive: _DIRECTIVES[directive[1]](moment), pattern)


def _day_of_year(moment: datetime) -> int:
    return moment.timetuple().tm_yday


def _truncate(value: object, width: int, field: str) -> str:
    match value:
        case str():
            return str.__str__(value)[:width]
        case int() if not isinstance(value, bool):
            return str(_int64(value, field) // width * width)
        case Decimal():
            unscaled, scale = _unscaled(value, field)
            return _decimal_text(unscaled // width * width, scale)
    raise InvalidInput(
        f"field {field!r} is {brief(value)}; truncate needs text, an int or a Decimal", field=field, value=str(value)
    )


def _hashed_bytes(value: object, field: str) -> bytes:
    """Return the bytes that Iceberg's appendix B hashes for a value of this type.

    Booleans and floats are there too, for completeness: the spec defines their hash but lets no table bucket by them.
    """
    match value:
        case str():
            return _utf8(value, field)
        case int():
            return _long(_int64(value, field))
        case float():
            # Adding 0.0 turns -0.0 into 0.0.
            return struct.pack("<d", _finite(value, field) + 0.0)
        case Decimal():
            unscaled, _ = _unscaled(value, field)
            magnitude = unscaled if unscaled >= 0 else ~unscaled
            return unscaled.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True)
        case datetime():
            return _long((to_utc(value, field) - _EPOCH) // timedelta(microseconds=1))
        case date():
            return _long(value.toordinal() - _EPOCH.toordinal())
    raise _wrong_type(value, field)


def _long(number: int) -> bytes:
    return number.to_bytes(8, "little", signed=True)


def _utf8(value: str, field: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"field {field!r} holds a lone surrogate: {value!a}", field=field, value=ascii(value)
        ) from error
