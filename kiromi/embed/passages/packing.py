"""Which units make a passage: even fillings, ends at the best places, overlaps of whole sentences."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

from kiromi.embed.passages.structure import Level
from kiromi.embed.passages.units import Units

_OVERLAP_SHARE = 6
"""An overlap has at most so small a part of the window: one or two sentences of 256 tokens."""
_GAINS = {
    Level.CHARACTER: 0.0,
    Level.WORD: 0.05,
    Level.CLAUSE: 0.1,
    Level.SENTENCE: 0.3,
    Level.ITEM: 0.35,
    Level.PARAGRAPH: 0.5,
    Level.HEADING: 1.0,
}
"""How far from an even filling a passage may end for the sake of a better place, in windows."""


def pack(units: Units, room: int) -> Iterator[tuple[int, int]]:
    """Yield the passages as ranges of units, in order; together they have all units.

    Each fills the window of ``room`` tokens at most, except where one unit hardly fits it alone. Ends are chosen so
    that what is left divides evenly: no short passage at the end.
    """
    totals = [0, *accumulate(units.tokens)]
    count = len(units.tokens)
    start = fresh = 0
    while totals[count] - totals[start] > room:
        end = _choose_end(units.levels, totals, fresh, room - (totals[fresh] - totals[start]), room)
        yield start, end
        start, fresh = _choose_start(units.levels, totals, end, room), end
    if fresh < count:
        yield start, count


def _choose_end(levels: Sequence[int], totals: Sequence[int], fresh: int, left: int, room: int) -> int:
    """Return the unit before which a passage ends: after ``fresh``, its first unit that is new."""
    used = totals[fresh]
    rest = totals[-1] - used
    last = min(bisect_right(totals, used + left) - 1, len(levels) - 1)
    target = rest / max(2, -(-rest // (room - room // _OVERLAP_SHARE)))
    first = max(bisect_left(totals, used + target / 2), fresh + 1)
    last_even = bisect_right(totals, totals[-1] - target / 2) - 1
    places = range(first, min(last, last_even) + 1)

    def worth(place: int) -> float:
        return _GAINS[Level(levels[place])] - abs(totals[place] - used - target) / room

    return max(places, key=worth, default=max(last, fresh + 1))


def _choose_start(levels: Sequence[int], totals: Sequence[int], end: int, room: int) -> int:
    """Return the unit with which the passage begins that follows one which ends before ``end``."""
    if end == len(levels) or levels[end] == Level.HEADING:
        return end
    first = bisect_left(totals, totals[end] - room // _OVERLAP_SHARE)
    return max(range(first, end), key=lambda place: min(levels[place], Level.ITEM), default=end)
