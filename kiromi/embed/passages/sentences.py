"""Where a text may be cut inside of a line: after sentences, clauses and words, and never inside of a character.

Sentences are found by their punctuation, of many scripts, with what commonly stands between a full stop and the end of
a sentence taken into account: abbreviations, initials, ordinals, a lower-case letter that follows. That is the
approach of rule-based segmenters (Punkt's features, Kiss and Strunk 2006, without its training). A wrong guess costs
little: a cut is a bit less good there.
"""

import re
import unicodedata
from collections.abc import Iterator

_CLOSING = r"[\"'”’»›)\]*_]*+"
_IN_LINE = r"[^\S\r\n]"
_SENTENCE = re.compile(
    rf"(?<![.!?…])(?P<stop>[.!?…؟۔।॥።։]++){_CLOSING}{_IN_LINE}++(?=\S)"
    rf"|(?<![。！？｡])[。！？｡]++[」』）】》”’\"')]*+{_IN_LINE}*+(?=\S)"
)
_ENDS = re.compile(rf"(?P<stop>[.!?…؟۔।॥።։。！？｡]){_CLOSING}[」』）】》]*\Z")
_LAST_WORD = re.compile(r"[^\W_][\w.]*\Z")
_CLAUSE = re.compile(r"[,;:—–،؛]\s++|[，、；：]\s*+|[)\]}>]\s++")
_SPACE = re.compile(r"\s++")
# English, German, French, Spanish, Italian: such as are followed by a name or a number, so by no small letter.
_ABBREVIATIONS = re.compile(
    r"(?:mr|mrs|ms|dr|prof|st|mt|rev|hon|sr|jr|gen|col|capt|lt|sgt|gov|sen|vs|figs?|eqs?|sec|ch|vol|pp?|eds?|al|inc"
    r"|ltd|co|corp|dept|approx|ca|cf|viz|e\.g|i\.e|u\.s|u\.k|a\.m|p\.m|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec"
    r"|nr|bzw|usw|z\.b|d\.h|u\.a|s\.o|s\.u|vgl|evtl|ggf|inkl|tel|abb|bsp|hr|frl|mme|mlle|av|sra|srta|uds?|pág|núm"
    r"|dott|sigg?)",
    re.IGNORECASE,
)
_WINDOW = 24
"""How far back a word is looked at, in characters: longer than any abbreviation."""


def sentence_starts(text: str) -> Iterator[int]:
    """Yield where sentences begin that follow another one on the same line, ascending, in characters."""
    for match in _SENTENCE.finditer(text):
        end = match.end()
        if match["stop"] and (text[end].islower() or _is_abbreviated(text, match.start("stop"), match["stop"])):
            continue
        yield end


def ends_sentence(line: str) -> bool:
    """Return whether a line, without whitespace at its end, ends a sentence."""
    match = _ENDS.search(line, max(0, len(line) - _WINDOW))
    return match is not None and not _is_abbreviated(line, match.start(), match["stop"])


def last_cut(text: str, begin: int, first: int, last: int) -> tuple[int, int] | None:
    """Return the best place for a cut in ``[first, last]``, and how good it is: 2 clause, 1 word, 0 character.

    Of the best ones it is the last. None if each would tear a character.

    Args:
        text: the content.
        begin: where a character begins, before ``first``.
        first: the first place allowed, in characters.
        last: the last one.
    """
    window = text[begin:last]
    for quality, pattern in ((2, _CLAUSE), (1, _SPACE)):
        cuts = [begin + match.end() for match in pattern.finditer(window, first - begin - 1)]
        for cut in reversed(cuts):
            if cut >= first and not is_joined(text, cut, begin):
                return cut, quality
    places = range(last, first - 1, -1)
    return next(((cut, 0) for cut in places if not is_joined(text, cut, begin)), None)


def is_joined(text: str, at: int, begin: int = 0) -> bool:
    """Return whether the characters around ``at`` belong together: a cut there would tear what people see as one.

    A line's CR LF, a surrogate pair, a letter and its marks, Hangul jamo, emoji with modifiers or joiners, two regional
    indicators: the cases of Unicode's grapheme clusters (UAX 29) that occur in practice.

    Args:
        text: the content.
        at: a place, in characters; its ends are never joined.
        begin: where a character begins, at or before ``at``.
    """
    if not 0 < at < len(text):
        return False
    before, after = text[at - 1], text[at]
    if before.isascii() and after.isascii():
        return before == "\r" and after == "\n"
    if "\U0001f1e6" <= after <= "\U0001f1ff":
        start = at
        while start > begin and "\U0001f1e6" <= text[start - 1] <= "\U0001f1ff":
            start -= 1
        return (at - start) % 2 == 1
    return (
        (before == "\u200d" and not after.isspace())
        or after == "\u200d"
        or (unicodedata.category(after) in ("Mn", "Mc", "Me") and before not in "\r\n")
        or "\u1160" <= after <= "\u11ff"
        or "\U0001f3fb" <= after <= "\U0001f3ff"
        or ("\ud800" <= before <= "\udbff" and "\udc00" <= after <= "\udfff")
    )


def _is_abbreviated(text: str, stop: int, mark: str) -> bool:
    """Return whether the full stop at ``stop`` belongs to the word before it."""
    if mark != ".":
        return False
    found = _LAST_WORD.search(text, max(0, stop - _WINDOW), stop)
    if found is None:
        return False
    word = found.group()
    if word.isdigit():
        return len(word) < 3
    return (len(word) == 1 and word.isupper()) or _ABBREVIATIONS.fullmatch(word) is not None
