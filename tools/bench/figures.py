"""What a benchmark reports: series of measured values, and checks of such values against a bound of the budget.

Pure values. Absolute figures do not travel between machines, ratios of one run do, so most checks are ratios, one for
each round in which both sides were measured. How they are printed is left to :mod:`tools.bench.report`.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Bound(Enum):
    """On which side of the bound the budget wants the value."""

    AT_LEAST = "at least"
    AT_MOST = "at most"


@dataclass(frozen=True, slots=True)
class Series:
    """Values of one quantity, one for each round."""

    name: str
    unit: str
    """``ms``, ``/s``, ``s``, ``MB``, ``x`` for a ratio, or empty for a share."""
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        """The least value."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The greatest value."""
        return max(self.values)


@dataclass(frozen=True, slots=True)
class Check:
    """A line of the budget: a series whose median has to lie on one side of a number."""

    series: Series
    bound: Bound
    limit: float

    @property
    def is_met(self) -> bool:
        """Whether the median is within the budget."""
        if self.bound is Bound.AT_LEAST:
            return self.series.median >= self.limit
        return self.series.median <= self.limit


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """A line of the budget that this machine cannot tell anything about."""

    name: str
    bound: Bound
    limit: float
    reason: str


@dataclass(frozen=True, slots=True)
class Result:
    """What one benchmark found."""

    series: tuple[Series, ...]
    checks: tuple[Check, ...] = ()
    unmeasured: tuple[Unmeasured, ...] = ()


def rates(count: int, seconds: Sequence[float]) -> tuple[float, ...]:
    """Return how many of ``count`` things were done per second in each round."""
    return tuple(count / value for value in seconds)


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> tuple[float, ...]:
    """Return the ratio of each round; both sides have one value for each."""
    return tuple(above / below for above, below in zip(numerators, denominators, strict=True))


def milliseconds(seconds: Sequence[float]) -> tuple[float, ...]:
    """Return seconds as milliseconds."""
    return tuple(value * 1_000 for value in seconds)
