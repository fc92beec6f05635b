"""What the shipped embedders refuse when they are made."""

from typing import Any

from kiromi.embed.base import MAX_DIMENSION
from kiromi.errors import InvalidInput


def check_dimension(value: Any) -> None:
    """Check that a vector may have this length.

    Raises:
        InvalidInput: it is not a whole number from 1 to 16,384.
    """
    check_whole("dimension", value, least=1, most=MAX_DIMENSION)


def check_whole(name: str, value: Any, *, least: int, most: int | None = None) -> None:
    """Check that an argument is a whole number in a range; both ends belong to it.

    Raises:
        InvalidInput: it is not; the message names the argument, the value and the range.
    """
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or value < least or (most is not None and value > most):
        accepted = f"from {least:,} up" if most is None else f"from {least:,} to {most:,}"
        raise InvalidInput(f"{name}={value!r}; accepted: a whole number {accepted}")


def check_name(name: str, value: Any) -> None:
    """Check that an argument can name a model in one line of text.

    Raises:
        InvalidInput: it is no text, empty, not printable, or has spaces around it.
    """
    if not isinstance(value, str) or not value.isprintable() or not value.strip() or value != value.strip():
        raise InvalidInput(f"{name}={value!r}; accepted: a printable text without spaces around it")
