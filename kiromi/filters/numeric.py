"""Exact comparison of numbers of different types in a database that would compare them as rounded floats.

A stored number is an int64, a float or a decimal, and the operand any of the three. Instead of converting what is
stored, the operand is converted, once, to the nearest value of each stored type, and the comparison adjusted so that
the answer is that for the exact values: ``x > 0.5`` over integers is ``x > 0``. The value of a float is the decimal
that ``repr`` prints.
"""

import math
from decimal import Decimal
from typing import TypeAlias

from kiromi.filters.tree import Op

Number: TypeAlias = int | float | Decimal


def exact(value: Number) -> Decimal:
    """Return the exact value of a number; of a float, the shortest decimal that reads back as it."""
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def equal_int(value: Number) -> int | None:
    """Return the int that equals ``value``, if there is one."""
    number = exact(value)
    return math.floor(number) if math.floor(number) == number else None


def equal_float(value: Number) -> float | None:
    """Return the float that equals ``value``, if there is one."""
    number = exact(value)
    return float(number) if exact(float(number)) == number else None


def int_bound(op: Op, value: Number) -> tuple[Op, int]:
    """Return a range comparison with an int that every int answers as it would ``op value``."""
    number = exact(value)
    return op, math.floor(number) if op in (Op.GT, Op.LTE) else math.ceil(number)


def float_bound(op: Op, value: Number) -> tuple[Op, float]:
    """Return a range comparison with a float that every float answers as it would ``op value``.

    Rounding to the nearest float keeps order, so no float lies between ``value`` and that float: it alone can answer
    differently, and whether the bound includes it follows from comparing it with ``value`` exactly.
    """
    number = exact(value)
    nearest = float(number)
    difference = exact(nearest).compare(number)
    if op in (Op.GT, Op.GTE):
        return (Op.GTE if difference > 0 or (difference == 0 and op is Op.GTE) else Op.GT), nearest
    return (Op.LTE if difference < 0 or (difference == 0 and op is Op.LTE) else Op.LT), nearest
