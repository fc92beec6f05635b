"""The units of a text: what passages are made of, each small against the window and whole if that is possible."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeAlias

from kiromi.embed.passages.sentences import is_joined, last_cut
from kiromi.embed.passages.structure import Level

Measure: TypeAlias = Callable[[Sequence[tuple[int, int]]], Sequence[int]]
"""The tokens of each part of the text, given by begin and end in characters."""

_SHARE = 8
"""A unit has at most so small a part of the window, so that an overlap can always be had."""
_SPARE = 1.25
"""A part that is too large is divided for pieces this much smaller than needed, since they turn out uneven."""


@dataclass(frozen=True, slots=True)
class Units:
    """Adjacent parts of a text that together are all of it; lists of equal length, one entry for each."""

    begins: list[int] = field(default_factory=list)
    """In characters; a unit ends where the next one begins."""
    levels: list[int] = field(default_factory=list)
    """How good a cut before the unit is."""
    tokens: list[int] = field(default_factory=list)


def take_apart(text: str, marks: Mapping[int, int], room: int, measure: Measure) -> Units:
    """Return the units of a text.

    Args:
        text: not empty.
        marks: where it may be cut, and how good each place is.
        room: the window in tokens. What has more than an eighth of it is divided; but what people see as one character
            only if it does not fit the window.
        measure: called once for all that is undecided, a few times altogether.
    """
    begins = sorted({0, *(at for at in marks if at < len(text))})
    undecided = [
        (begin, end, int(marks.get(begin, 0))) for begin, end in zip(begins, [*begins[1:], len(text)], strict=True)
    ]
    decided: list[tuple[int, int, int]] = []
    most = max(room // _SHARE, 1)
    while undecided:
        counts = measure([(begin, end) for begin, end, _ in undecided])
        parts, undecided = undecided, []
        for (begin, end, level), tokens in zip(parts, counts, strict=True):
            cuts: list[tuple[int, int]] = []
            if tokens > most and end - begin > 1:
                pieces = int(tokens * _SPARE / most) + 1
                cuts = divide(text, begin, end, pieces) or (tear(begin, end, pieces) if tokens > room else [])
            if cuts:
                starts = [(begin, level), *cuts]
                ends = [*(at for at, _ in cuts), end]
                undecided += [(at, stop, quality) for (at, quality), stop in zip(starts, ends, strict=True)]
            else:
                decided.append((begin, level, tokens))
    decided.sort()
    return Units(*(list(column) for column in zip(*decided, strict=True)))


def divide(text: str, begin: int, end: int, pieces: int) -> list[tuple[int, int]]:
    """Return about ``pieces - 1`` places, ascending, that cut a part evenly, and how good each is.

    They lie at ends of clauses, else of words, else between characters. None if it is one character.
    """
    step = -(-(end - begin) // max(pieces, 2))
    cuts: list[tuple[int, int]] = []
    at = begin
    while end - at > step:
        cut = last_cut(text, at, at + (step + 1) // 2, at + step) or _any_cut(text, at, at + step, end)
        if cut is None:
            break
        cuts.append(cut)
        at = cut[0]
    return cuts


def tear(begin: int, end: int, pieces: int) -> list[tuple[int, int]]:
    """Return places that cut a part evenly whatever stands there."""
    step = -(-(end - begin) // max(pieces, 2))
    return [(at, int(Level.CHARACTER)) for at in range(begin + step, end, step)]


def _any_cut(text: str, begin: int, middle: int, end: int) -> tuple[int, int] | None:
    """Return a place inside of a part where no character is torn: the first from the middle on, else one before."""
    places = chain(range(middle, end), range(middle - 1, begin, -1))
    at = next((at for at in places if not is_joined(text, at, begin)), None)
    return None if at is None else (at, int(Level.CHARACTER))
