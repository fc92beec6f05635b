"""Hidden partitioning: which partitions may hold rows that a filter on fields selects.

Promises: conservative. A partition of a row that satisfies the bounds is never pruned; whatever is in doubt is kept.
Any subset of a scheme's fields prunes, not only the first ones, also through transforms. Turning a filter into bounds
that every selected row satisfies, and checking the rows themselves, is left to the callers.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Literal, TypeAlias

from kiromi.errors import InvalidInput
from kiromi.partition.scheme import Scheme, Segment
from kiromi.partition.transforms import TIME_LENGTHS, FieldValue, Transform, to_utc

_Test: TypeAlias = Callable[[str | None], bool]
_NUMBER = re.compile(r"-?[0-9]+(?:\.([0-9]+))?")


@dataclass(frozen=True, slots=True)
class Bound:
    """A condition that a row's field must satisfy; a row that lacks the field, or has None there, satisfies none."""

    op: Literal["eq", "in", "lt", "lte", "gt", "gte"]
    values: tuple[FieldValue, ...]
    """The alternatives of ``in``; one value for every other operator."""

    def __post_init__(self) -> None:
        """Refuse what has no meaning.

        Raises:
            InvalidInput: an operator other than ``in`` has not exactly one value.
        """
        if self.op != "in" and len(self.values) != 1:
            raise InvalidInput(f"{self.op} takes one value, not {len(self.values)}")


def may_match(
    scheme: Scheme, partition_values: Mapping[str, str | None], bounds: Mapping[str, Sequence[Bound]]
) -> bool:
    """Return whether a partition may hold a row that satisfies all bounds.

    Args:
        scheme: the scheme under which the partition was made.
        partition_values: segment names to texts; segments that are left out (a prefix, say) do not prune.
        bounds: field names to the bounds that are all to hold; fields that the scheme does not read do not prune.
    """
    return pruner(scheme, bounds)(partition_values)


def pruner(scheme: Scheme, bounds: Mapping[str, Sequence[Bound]]) -> Callable[[Mapping[str, str | None]], bool]:
    """Return :func:`may_match` for many partitions of one scheme; the bounds are worked out once."""
    tests = [
        (segment.name, test)
        for segment in scheme.segments
        if segment.field is not None
        for bound in bounds.get(segment.field, ())
        if (test := _test(segment, segment.field, bound)) is not None
    ]

    def may(partition_values: Mapping[str, str | None]) -> bool:
        return all(test(partition_values[name]) for name, test in tests if name in partition_values)

    return may


def _test(segment: Segment, field: str, bound: Bound) -> _Test | None:
    """Return what the segment's text must pass, or None if the bound says nothing about it."""
    if bound.op in ("eq", "in"):
        return _equality_test(segment, field, bound.values)
    return _range_test(segment, field, bound.op, bound.values[0])


def _equality_test(segment: Segment, field: str, values: Sequence[FieldValue]) -> _Test | None:
    texts: set[str | None] = set()
    number_tests: list[_Test] = []
    for value in values:
        if value is None:
            return None
        if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            test = _number_test(segment.transform, value)
            if test is None:
                return None
            number_tests.append(test)
            continue
        try:
            texts.update(segment.text({field: same}) for same in _equal_values(value))
        except InvalidInput:
            return None
    return lambda text: text in texts or any(test(text) for test in number_tests)


def _equal_values(value: FieldValue) -> tuple[FieldValue, ...]:
    """Return the values, of whatever type, that a filter may take for equal: a date and its midnight in UTC."""
    if isinstance(value, datetime):
        moment = to_utc(value, "value")
        return (value, moment.date()) if moment.time() == time() else (value,)
    if isinstance(value, date):
        return (value, datetime.combine(value, time(), UTC))
    return (value,)


def _number_test(transform: Transform | None, number: int | float | Decimal) -> _Test | None:
    """Return whether a text may come from a number equal to ``number``: 7, 7.0 and Decimal("7.00") render differently.

    Numbers are compared as doubles, the coarsest comparison that a filter may make. A bucket says nothing: Iceberg
    hashes the unscaled value, so equal Decimals fall into as many buckets as they have scales.
    """
    try:
        wanted = float(number)
    except (OverflowError, ValueError):
        return None
    if transform is None or transform.name == "lower":
        return lambda text: text is not None and _is_double(text, wanted)
    if transform.name == "truncate":
        width = int(transform.argument or 1)
        return lambda text: text is not None and _is_truncated(text, width, wanted)
    return None


def _is_double(text: str, wanted: float) -> bool:
    try:
        return float(text) == wanted
    except ValueError:
        return False


def _is_truncated(text: str, width: int, wanted: float) -> bool:
    """Whether a number in ``[text, text + width)``, the width in units of text's last digit, may equal ``wanted``."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return False
    low, unit = Fraction(text), Fraction(1, 10 ** len(match[1] or ""))
    # As doubles on both sides: Decimal("0.3") is in [0.3, 0.4), the double next to it is not.
    return float(low) <= wanted <= float(low + width * unit)


def _range_test(segment: Segment, field: str, op: str, value: FieldValue) -> _Test | None:
    """Compare truncated times: if ``a <= b``, a's text is not after b's. A plain value is compared by its day."""
    transform = segment.transform or Transform("day")
    length = TIME_LENGTHS.get(transform.name)
    if length is None or not isinstance(value, date):
        return None
    try:
        if isinstance(value, datetime):
            # In UTC first: subtracting across a change of the clocks would be an hour off.
            value = to_utc(value, field)
        if op == "lt":
            # Before a moment means at most the tick before it, which may be another year, month, day or hour.
            value -= timedelta(microseconds=1) if isinstance(value, datetime) else timedelta(days=1)
        limit = transform.apply(value, field)
    except (InvalidInput, OverflowError):
        return None
    if op in ("lt", "lte"):
        return lambda text: text is not None and text[:length] <= limit
    return lambda text: text is not None and text[:length] >= limit
