"""The codec between typed attributes and the JSON text that the catalog keeps.

Plain JSON loses decimals, times and the difference between 5 and 5.0; this text does not: what is decoded has the types
and the exact values of what was encoded, and equal attributes have one text. Decimals carry a second text whose code
point order is the order of the numbers, so that SQL can compare them. Filtering on that text is left to
:mod:`kiromi.filters`.

::

    str, bool, null  as in JSON                     int       digits only
    float            always with a point or an e    list      JSON array of these
    Decimal          {"decimal":"1.10","order":"2500011"}
    date             {"date":"2000-06-13"}          datetime  {"datetime":"2026-01-01T00:00:00.000000Z"}
"""

import json
import math
import reprlib
import unicodedata
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any

from kiromi.errors import InvalidInput
from kiromi.model import Attributes, AttributeValue, Scalar

NAME_BYTES = 255
INT_MIN, INT_MAX = -(2**63), 2**63 - 1
DECIMAL_DIGITS = 38
DECIMAL_EXPONENT = 128
# Adjusted exponents of floats and of accepted decimals lie within +-400; the offset makes them positive four-digit
# numbers.
_ORDER_OFFSET = 5_000
_COMPLEMENT = str.maketrans("0123456789", "9876543210")
_ACCEPTED = "str, int, float, Decimal, bool, date, datetime, or a flat list of these"
_decode = json.JSONDecoder().raw_decode


def check_attributes(attributes: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Return attributes as they will come back from the store: lists as tuples, times in UTC, subclasses as their base.

    Raises:
        InvalidInput: a name or value that cannot be stored; the message names both and what would be accepted.
    """
    if not isinstance(attributes, Mapping):
        raise InvalidInput(f"attributes must be a mapping from names to values, not {reprlib.repr(attributes)}")
    checked: dict[str, AttributeValue] = {}
    for name, value in attributes.items():
        checked_name = check_name(name)
        # Most attributes are short ASCII texts: spare them the walk through the types.
        if value is None or (type(value) is str and value.isascii()):
            checked[checked_name] = value
        elif isinstance(value, list | tuple):
            checked[checked_name] = tuple(
                [check_scalar(item, f"attribute {name!r} item {i}") for i, item in enumerate(value)]
            )
        else:
            checked[checked_name] = check_scalar(value, f"attribute {name!r}")
    return checked


def check_name(name: str) -> str:
    """Return ``name`` as a plain str if an attribute may have it: 1 to 255 bytes of UTF-8 without control characters.

    Raises:
        InvalidInput: it may not.
    """
    if type(name) is str and 0 < len(name) <= NAME_BYTES and name.isascii() and name.isprintable():
        return name
    if not isinstance(name, str):
        raise InvalidInput(f"attribute name {reprlib.repr(name)} is a {type(name).__name__}; names are str")
    if not name:
        raise InvalidInput("an attribute name is empty; give it at least one character")
    if _has_surrogate(name):
        raise InvalidInput(f"attribute name {reprlib.repr(name)} has a lone surrogate; names are valid Unicode")
    if any(unicodedata.category(character) == "Cc" for character in name):
        raise InvalidInput(f"attribute name {reprlib.repr(name)} has a control character; use printable ones")
    if len(name.encode()) > NAME_BYTES:
        raise InvalidInput(f"attribute name {reprlib.repr(name)} is over {NAME_BYTES} bytes of UTF-8")
    return str.__str__(name)


def check_scalar(value: object, subject: str) -> Scalar:
    """Return one value as it will be stored and compared; ``subject`` begins the message if it is refused.

    Raises:
        InvalidInput: of another type, an int outside int64, a float or Decimal that is not finite, a Decimal of
            more than 38 digits or with an exponent beyond 128, a naive datetime, a str with lone surrogates.
    """
    # The order matters: bool is an int, and datetime is a date.
    match value:
        case bool():
            return value
        case str():
            if _has_surrogate(value):
                raise InvalidInput(f"{subject}: {reprlib.repr(value)} has a lone surrogate; text must be valid Unicode")
            return str.__str__(value)
        case int():
            return _check_int(int(value), subject)
        case float():
            if not math.isfinite(value):
                raise InvalidInput(f"{subject}: {float(value)!r} is not finite; leave the attribute out instead")
            return float(value)
        case Decimal():
            return _check_decimal(Decimal(value), subject)
        case datetime():
            return _check_datetime(value, subject)
        case date():
            return date(value.year, value.month, value.day)
        case _:
            hint = "; .item() gives a Python value" if hasattr(value, "item") else ""
            raise InvalidInput(
                f"{subject}: {reprlib.repr(value)} is a {type(value).__name__}; accepted are {_ACCEPTED}{hint}"
            )


def encode_attributes(attributes: Attributes) -> str:
    """Return the canonical JSON text of attributes as :func:`check_attributes` returns them; equal ones share it."""
    parts = []
    for name in sorted(attributes):
        value = attributes[name]
        if type(value) is str:
            parts.append(f"{encode_basestring(name)}:{encode_basestring(value)}")
        elif type(value) is int:
            parts.append(f"{encode_basestring(name)}:{value}")
        else:
            parts.append(f"{encode_basestring(name)}:{encode_value(value)}")
    return "{" + ",".join(parts) + "}"


def encode_value(value: AttributeValue) -> str:
    """Return the JSON text of one value, as it stands in the text of its attributes."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return encode_basestring(value)
        case int() | float():
            return repr(value)
        case Decimal():
            return f'{{"decimal":"{value}","order":"{order_key(value)}"}}'
        case datetime():
            # UTC offsets print as +00:00, always six characters.
            return f'{{"datetime":"{value.isoformat(timespec="microseconds")[:-6]}Z"}}'
        case date():
            return f'{{"date":"{value.isoformat()}"}}'
        case _:
            return "[" + ",".join([encode_value(item) for item in value]) + "]"


def decode_attributes(text: str) -> dict[str, AttributeValue]:
    """Return the attributes of a text that :func:`encode_attributes` made, with their types; lists come as tuples.

    Raises:
        ValueError: the text is not JSON.
    """
    attributes: dict[str, Any] = _decode(text)[0]
    for name, value in attributes.items():
        if type(value) is dict:
            attributes[name] = _decode_object(value)
        elif type(value) is list:
            attributes[name] = tuple([_decode_object(item) if type(item) is dict else item for item in value])
    return attributes


def order_key(value: Decimal) -> str:
    """Return a text whose code point order is the order of the numbers; numbers that are equal share it.

    Sign (0 negative, 1 zero, 2 positive), decimal exponent of the first digit as four digits, then the digits without
    trailing zeros. For negative numbers the digits are complemented to nine and closed by a ``~``, which sorts after
    them.
    """
    negative, digits, _ = value.as_tuple()
    significant = "".join(map(str, digits)).strip("0")
    if not significant:
        return "1"
    magnitude = f"{value.adjusted() + _ORDER_OFFSET:04d}{significant}"
    return f"0{magnitude.translate(_COMPLEMENT)}~" if negative else f"2{magnitude}"


def _decode_object(value: dict[str, str]) -> Scalar:
    match value:
        case {"decimal": text}:
            return Decimal(text)
        case {"datetime": text}:
            return datetime.fromisoformat(text)
        case _:
            return date.fromisoformat(value["date"])


def _has_surrogate(text: str) -> bool:
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _check_int(value: int, subject: str) -> int:
    if not INT_MIN <= value <= INT_MAX:
        # Python refuses to print integers of more than 4,300 digits.
        shown = value if value.bit_length() <= 256 else f"an integer of {value.bit_length()} bits"
        raise InvalidInput(f"{subject}: {shown} is outside int64 ({INT_MIN} to {INT_MAX}); use a Decimal or a str")
    return value


def _check_decimal(value: Decimal, subject: str) -> Decimal:
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise InvalidInput(f"{subject}: Decimal {value} is not finite; leave the attribute out instead")
    if len(value.as_tuple().digits) > DECIMAL_DIGITS:
        raise InvalidInput(f"{subject}: {reprlib.repr(value)} has more than {DECIMAL_DIGITS} digits; round it first")
    if abs(exponent) > DECIMAL_EXPONENT:
        raise InvalidInput(
            f"{subject}: {value!r} has an exponent outside -{DECIMAL_EXPONENT} to {DECIMAL_EXPONENT}; use a float"
        )
    return value


def _check_datetime(value: datetime, subject: str) -> datetime:
    if value.utcoffset() is None:
        raise InvalidInput(
            f"{subject}: naive datetime {value.isoformat()}; attach a timezone, as in .replace(tzinfo=timezone.utc)"
        )
    try:
        moved = value.astimezone(UTC)
    except OverflowError as error:
        raise InvalidInput(f"{subject}: {value.isoformat()} is outside the years 1 to 9999 in UTC") from error
    return datetime(
        moved.year, moved.month, moved.day, moved.hour, moved.minute, moved.second, moved.microsecond, tzinfo=UTC
    )
