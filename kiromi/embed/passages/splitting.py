"""The passages of a text: units between good places for a cut, packed into spans that fit the embedder's window.

The text is taken apart at headings, blocks, lines and sentences, and what is larger than an eighth of the window at
clauses, words and at last characters. Passages are then filled one after the other: each ends at the place that is
best by kind and by how even it leaves the rest, and the next one begins a sentence or a few before it. Each passage is
counted whole in the end, because tokenizers do not add up; the rare one that is too long is halved until it fits.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from kiromi.embed.passages.packing import pack
from kiromi.embed.passages.sentences import is_joined, sentence_starts
from kiromi.embed.passages.structure import Level, boundaries
from kiromi.embed.passages.tokens import Count, count_all, estimate_tokens
from kiromi.embed.passages.units import divide, take_apart, tear
from kiromi.errors import InvalidInput

_CONTEXT_SHARE = 4
"""The title in front has at most so small a part of the window."""


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a text."""

    begin: int
    """In characters of the text, from 0."""
    end: int
    """Where it ends, in characters; not included."""


def context_line(title: str | None, limit: int | None, count: Count | None = None) -> str:
    """Return what stands in front of every passage: the title, at most a quarter of the window of it; else ``""``.

    A passage is found better when it says what it is from: Karpukhin et al. 2020 (Dense Passage Retrieval, 4.1) put
    the article's title in front of each passage.

    Args:
        title: the memory's; its whitespace becomes single spaces.
        limit: the embedder's window in tokens; None for no limit.
        count: the embedder's count of tokens; None for an estimate.
    """
    line = " ".join((title or "").split())
    if not line or limit is None:
        return line
    first = split(line, "text/plain", max(limit // _CONTEXT_SHARE, 1), count)[0]
    return line[first.begin : first.end]


def passage_text(context: str, text: str, span: Span) -> str:
    """Return what the embedder gets for a passage: the context line if there is one, an empty line, the passage."""
    passage = text[span.begin : span.end]
    return f"{context}\n\n{passage}" if context else passage


def split(text: str, media_type: str, limit: int | None, count: Count | None = None, context: str = "") -> list[Span]:
    """Return the passages of a text, in order: each fits the window, together with the context line in front of it.

    A text that fits is one span that covers it all. Otherwise every character that is no whitespace is in a span, and
    none begins or ends with whitespace; both begins and ends strictly increase; a sequence that people see as one
    character is cut only if it alone does not fit. Neighbours share a sixth of the window or less, in whole sentences
    where that is possible, but nothing across a heading. Only a single character may exceed the window. A long text of
    nothing but whitespace gives one empty span. Takes time linear in the length of the text.

    Args:
        text: the content; may hold anything, lone surrogates too.
        media_type: Markdown and JSON are cut along their structure, anything else as plain text.
        limit: the window in tokens, as ``count`` counts; None for no limit.
        count: takes many texts and returns how many tokens each has; None for :func:`estimate_tokens`.
        context: what :func:`context_line` returned for the same limit and count.

    Raises:
        InvalidInput: ``limit`` is below 1.
        EmbedderError: ``count`` does not give one whole number from 0 for each text.
    """
    whole = Span(0, len(text))
    if limit is None:
        return [whole]
    if limit < 1:
        raise InvalidInput(f"limit={limit!r} is no number of tokens; accepted: a whole number from 1, or None")
    count = count or estimate_tokens
    head = passage_text(context, text, Span(0, 0))
    size, fixed, empty = count_all([head + text, head, ""], count)
    if size <= limit:
        return [whole]

    def measure(parts: Sequence[tuple[int, int]]) -> list[int]:
        return [max(tokens - empty, 0) for tokens in count_all((text[begin:end] for begin, end in parts), count)]

    room = max(limit - fixed, 1)
    units = take_apart(text, _places(text, media_type), room, measure)
    ends = [*units.begins[1:], len(text)]
    spans = [_trim(text, units.begins[first], ends[last - 1]) for first, last in pack(units, room)]
    return _fit(text, spans, limit, head, count) or [Span(0, 0)]


def _places(text: str, media_type: str) -> dict[int, Level]:
    """Return where a text may be cut by its structure and its sentences."""
    marks = dict.fromkeys(sentence_starts(text), Level.SENTENCE) | boundaries(text, media_type)
    return {at: level for at, level in marks.items() if not is_joined(text, at)}


def _fit(text: str, spans: Iterable[Span], limit: int, head: str, count: Count) -> list[Span]:
    """Return spans that cover the same, each of which fits: those that do not are halved, again and again."""
    fitting = []
    undecided = [span for span in spans if span.end > span.begin]
    while undecided:
        counts = count_all((head + text[span.begin : span.end] for span in undecided), count)
        parts, undecided = undecided, []
        for span, tokens in zip(parts, counts, strict=True):
            if tokens <= limit or span.end - span.begin == 1:
                fitting.append(span)
                continue
            cuts = divide(text, span.begin, span.end, 2) or tear(span.begin, span.end, 2)
            edges = [span.begin, *(at for at, _ in cuts), span.end]
            halves = [_trim(text, begin, end) for begin, end in pairwise(edges)]
            undecided += [half for half in halves if half.end > half.begin]
    return _without_contained(fitting)


def _without_contained(spans: Iterable[Span]) -> list[Span]:
    """Return the spans in order, without those that lie in another one."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.begin, -span.end)):
        if not kept or span.end > kept[-1].end:
            kept.append(span)
    return kept


def _trim(text: str, begin: int, end: int) -> Span:
    """Return a part without the whitespace at its ends, except where a character begins with it."""
    part = text[begin:end]
    end = begin + len(part.rstrip())
    first = min(end, begin + len(part) - len(part.lstrip()))
    if begin < first < end and is_joined(text, first):
        first -= 1
    return Span(first, end)
