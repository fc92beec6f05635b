"""Where a text may be cut, by its structure: the beginnings of lines, and how good a place each is.

A scanner of lines that knows as much of Markdown (CommonMark's blocks, the tables of GitHub, front matter) as it needs
to tell a section from a paragraph, an item or a line of code; it builds no tree, takes linear time and finds something
sensible in any text. Sentences and what is smaller are left to :mod:`kiromi.embed.passages.sentences`.
"""

import re
from collections.abc import Iterator
from enum import IntEnum

from kiromi.embed.passages.sentences import ends_sentence


class Level(IntEnum):
    """How good a place for a cut is; a higher one is better."""

    CHARACTER = 0
    WORD = 1
    CLAUSE = 2
    SENTENCE = 3
    ITEM = 4
    """A list item, a row of a table, a block of code after a blank line."""
    PARAGRAPH = 5
    HEADING = 6


_LINE = re.compile(r"[^\r\n]*+(?:\r\n|\r|\n)|[^\r\n]+")
_FRONT_MATTER = re.compile(r"\ufeff?---[ \t]*(?:\r\n|\r|\n)(?:[^\r\n]*+(?:\r\n|\r|\n)){0,999}?---[ \t]*(?:[\r\n]|\Z)")
_QUOTE = re.compile(r"(?: {0,3}>)++ ?")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-+)$")
_SHAPE = re.compile(
    r"""
    (?P<heading>  [ ]{0,3} \#{1,6} (?:[ \t]|$) )
    | (?P<code>   [ \t]* (?P<fence> `{3,}+ (?!.*`) | ~{3,}+ ) )
    | (?P<rule>   [ ]{0,3} (?: (?:\*[ \t]*+){3,} | (?:-[ \t]*+){3,} | (?:_[ \t]*+){3,} ) $ )
    | (?P<item>   [ \t]?  (?:[-*+]|\d{1,9}[.)]) [ \t] )
    | (?P<nested> [ \t]++ (?:[-*+]|\d{1,9}[.)]) [ \t] )
    | (?P<row>    [ \t]*+ \| )
    | (?P<indented> [ \t]+ )
    | (?P<text>)
    """,
    re.VERBOSE,
)
_JSON = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]|[\n,]\s*+', re.DOTALL)


def boundaries(text: str, media_type: str) -> dict[int, Level]:
    """Return where lines (or, of JSON, elements) begin, in characters, and how good a place for a cut that is.

    Args:
        text: the content.
        media_type: Markdown and JSON have structure; anything else is plain text, with paragraphs and lines.
    """
    subtype = media_type.partition(";")[0].strip().lower()
    if subtype.endswith("json"):
        return dict(_json_elements(text))
    if subtype == "text/markdown":
        return _Markdown(text).scan()
    return _plain_lines(text)


def _plain_lines(text: str) -> dict[int, Level]:
    marks = {}
    before = ""
    for match in _LINE.finditer(text):
        if line := match.group().strip():
            marks[match.start()] = _after(before) if before else Level.PARAGRAPH
        before = line
    return marks


def _after(line: str) -> Level:
    """Return how good a cut is between a line and the next one of the same paragraph."""
    return Level.SENTENCE if ends_sentence(line) else Level.CLAUSE


def _json_elements(text: str) -> Iterator[tuple[int, Level]]:
    """Yield what follows a comma or a line's end, outside of strings: the better the less deep it lies."""
    levels = (Level.PARAGRAPH, Level.PARAGRAPH, Level.SENTENCE, Level.CLAUSE)
    depth = 0
    for match in _JSON.finditer(text):
        match match.group()[0]:
            case "[" | "{":
                depth += 1
            case "]" | "}":
                depth = max(depth - 1, 0)
            case "," | "\n":
                yield match.end(), levels[min(depth, 3)]


class _Markdown:
    """One pass over the lines of a Markdown text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._marks: dict[int, Level] = {}
        self._before = ""
        """The line before, without its quote marks; empty after a blank one and at the beginning."""
        self._block = ""
        """What that line, or the last one before blank ones, belongs to: text, list, row, heading, rule or code."""
        self._paragraph = 0
        """Where the text at hand begins: an underline makes it a heading."""
        self._fence = ""
        """What closes the code at hand; empty outside of code."""
        self._quotes = 0
        self._leads_in = False
        """Whether the last line ended in a colon, so that what comes next belongs to it."""

    def scan(self) -> dict[int, Level]:
        matter = _FRONT_MATTER.match(self._text)
        begin = matter.end() if matter else 0
        for match in _LINE.finditer(self._text, begin):
            self._read(match.start(), match.group().rstrip())
        if self._marks:
            self._marks[min(self._marks)] = Level.HEADING
        return self._marks | {line.start(): Level.ITEM for line in _LINE.finditer(self._text, 0, begin)}

    def _read(self, at: int, line: str) -> None:
        quote = _QUOTE.match(line) if self._quotes or not self._fence else None
        quotes = quote.group().count(">") if quote else 0
        if quotes != self._quotes:
            self._quotes, self._before, self._block, self._fence = quotes, "", "", ""
        if quote:
            line = line[quote.end() :]
        if line:
            self._marks[at] = self._read_code(line) if self._fence else self._read_line(at, line)
        self._before = line.strip()

    def _read_code(self, line: str) -> Level:
        """Return the level of a line of code, and end the code if that is what the line does."""
        inner = line.strip()
        if inner.startswith(self._fence) and not inner.strip(self._fence[0]):
            self._fence = ""
            return Level.WORD
        return Level.SENTENCE if self._before else Level.ITEM

    def _read_line(self, at: int, line: str) -> Level:
        block, leads_in = self._block, self._leads_in
        if block == "text" and self._before and _UNDERLINE.match(line):
            self._block = "heading"
            if self._marks[self._paragraph] == Level.PARAGRAPH:
                self._marks[self._paragraph] = Level.HEADING
            return Level.WORD
        found = _SHAPE.match(line)
        shape = str(found and found.lastgroup)
        level = self._level(shape)
        if shape in ("item", "nested"):
            self._block = "list"
        elif shape not in ("indented", "text"):
            self._block = shape
        elif level == Level.PARAGRAPH:
            self._block, self._paragraph = "text", at
        self._fence = str(found and found["fence"]) if shape == "code" else ""
        self._leads_in = line.endswith((":", "：")) and self._block in ("text", "list")
        is_bound = block == "heading" or (leads_in and level != Level.HEADING)
        return min(level, Level.WORD) if is_bound else level

    def _level(self, shape: str) -> Level:
        if shape == "heading":
            return Level.HEADING
        if shape in ("code", "rule"):
            return Level.PARAGRAPH
        if shape == "row":
            return Level.ITEM if self._block == "row" and self._before else Level.PARAGRAPH
        if shape in ("item", "nested"):
            if self._block != "list" and not self._before:
                return Level.PARAGRAPH
            return Level.ITEM if shape == "item" else Level.SENTENCE
        if self._before and self._block in ("text", "list"):
            return _after(self._before)
        return Level.SENTENCE if self._block == "list" and shape == "indented" else Level.PARAGRAPH
