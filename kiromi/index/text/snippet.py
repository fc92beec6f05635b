"""Snippets: the part of a text that shows best why it matches, and where the matches are, character by character."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from kiromi.index.text.analysis import Token, fold, scan
from kiromi.index.text.compiler import wording
from kiromi.index.text.languages import detect, stems
from kiromi.index.text.query import Form, TextQuery, leaves

WIDTH = 240
"""Characters of a snippet at most, unless a single token is longer."""
_LEAD = 60
"""Characters before the first match."""
_LOOKED_AT = 200_000
"""Characters of a text that are looked at."""


_STARTS = 2_000
"""Matches that a snippet may begin at."""


@dataclass(frozen=True, slots=True)
class Snippet:
    """A part of a text, with what matched."""

    text: str
    begin: int
    """Where it begins in the whole text, in characters."""
    highlights: tuple[tuple[int, int], ...]
    """Spans ``[begin, end)`` of ``text``, in order, apart from each other; add ``begin`` for the whole text."""

    @property
    def end(self) -> int:
        """Where it ends in the whole text."""
        return self.begin + len(self.text)


@dataclass(slots=True)
class _Wanted:
    """What a query looks for, as sets to compare tokens with."""

    words: set[str] = field(default_factory=set)
    stems: set[str] = field(default_factory=set)
    runs: list[tuple[str, ...]] = field(default_factory=list)
    """Tokens side by side."""
    prefixes: list[str] = field(default_factory=list)


def make_snippet(query: TextQuery, text: str, code: str | None, codes: Sequence[str]) -> Snippet:
    """Return the snippet of a text.

    Args:
        query: what was searched for.
        text: the whole text.
        code: its language; None to detect it.
        codes: the languages in the index: a word of the query may have been found as a word of each.
    """
    tokens = scan(text[:_LOOKED_AT])
    spans = _join(text, [tokens[i] for i in sorted(_matching(_wanted(query, codes), tokens, code))])
    begin, end = _window(text, tokens, spans)
    inside = tuple((start - begin, stop - begin) for start, stop in spans if start >= begin and stop <= end)
    return Snippet(text[begin:end], begin, inside)


@lru_cache(maxsize=64)  # the same for every hit of a search
def _wanted(query: TextQuery, codes: Sequence[str]) -> _Wanted:
    wanted = _Wanted()
    loose: list[str] = []
    for leaf in leaves(query.root):
        if leaf.field not in (None, "content"):
            continue
        words = tuple(token.text for token in scan(leaf.text))
        if leaf.form is Form.WORDS:
            loose.append(leaf.text)
        elif leaf.form is Form.PREFIX and len(words) == 1:
            wanted.prefixes.append(words[0])
        elif words:
            wanted.runs.append(words)
    found = wording(" ".join(loose), codes)
    for i, token in enumerate(found.tokens):
        if found.is_dropped[i]:
            continue
        if not token.is_dense:
            wanted.words.add(token.text)
            wanted.stems.update(found.variants[i])
            continue
        follower = found.tokens[i + 1] if i + 1 < len(found.tokens) else None
        if follower is not None and follower.is_dense and follower.begin == token.end:
            wanted.runs.append((token.text, follower.text))
        elif not (i and found.tokens[i - 1].is_dense and found.tokens[i - 1].end == token.begin):
            wanted.words.add(token.text)
    return wanted


def _matching(wanted: _Wanted, tokens: Sequence[Token], code: str | None) -> set[int]:
    """Return the places of the tokens that match."""
    words = [token.text for token in tokens]
    distinct = list(dict.fromkeys(words))
    language = code or detect(words)
    stemmed = dict(zip(distinct, stems(distinct, language), strict=True))
    good = {
        word
        for word in distinct
        if word in wanted.words
        or fold(stemmed[word]) in wanted.stems
        or any(word.startswith(prefix) for prefix in wanted.prefixes)
    }
    found = {i for i, word in enumerate(words) if word in good}
    starts: dict[str, list[tuple[str, ...]]] = {}
    for run in wanted.runs:
        starts.setdefault(run[0], []).append(run)
    for i, word in enumerate(words):
        for run in starts.get(word, ()):
            if tuple(words[i : i + len(run)]) == run:
                found.update(range(i, i + len(run)))
    return found


def _join(text: str, matches: Sequence[Token]) -> list[tuple[int, int]]:
    """Return spans of the tokens; characters of a script without spaces that touch make one span."""
    spans: list[tuple[int, int]] = []
    was_dense = False
    for token in matches:
        if spans and was_dense and token.is_dense and spans[-1][1] == token.begin:
            spans[-1] = (spans[-1][0], token.end)
        else:
            spans.append((token.begin, token.end))
        was_dense = token.is_dense
    return spans


def _window(text: str, tokens: Sequence[Token], spans: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the part with most different matches, and of those the most matches; the first of equals."""
    if len(text) <= WIDTH:
        return 0, len(text)
    if not spans:
        return 0, _cut(tokens, 0, WIDTH)
    best, chosen, last = (0, 0), 0, 0
    for first in range(min(len(spans), _STARTS)):
        last = max(last, first)
        while last < len(spans) and spans[last][1] - spans[first][0] <= WIDTH - _LEAD:
            last += 1
        seen = {text[start:stop].casefold() for start, stop in spans[first:last]}
        if (len(seen), last - first) > best:
            best, chosen = (len(seen), last - first), first
    start, stop = spans[chosen]
    earliest = max(0, min(start - _LEAD, len(text) - WIDTH))
    begin = 0 if earliest == 0 else min((token.begin for token in tokens if token.begin >= earliest), default=start)
    begin = min(begin, start)
    return begin, max(_cut(tokens, begin, begin + WIDTH) if begin + WIDTH < len(text) else len(text), stop)


def _cut(tokens: Sequence[Token], begin: int, end: int) -> int:
    """Return the last place up to ``end`` that is not within a token."""
    for token in reversed(tokens):
        if token.begin < end:
            return end if token.end <= end or token.begin <= begin else token.begin
    return end
