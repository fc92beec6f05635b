"""The words of the text form of filters: names, operators and literals, each with its position.

What a literal looks like is settled here for both directions, reading (:func:`tokenize`) and printing
(:func:`literal_text`, :func:`name_text`); how words make a filter is left to the parser.
"""

import json
import re
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum

from kiromi.errors import InvalidInput
from kiromi.filters.tree import ATTRIBUTE_PREFIX, COLUMN_TYPES, Name
from kiromi.model import Scalar

KEYWORDS = frozenset({"and", "or", "not", "in", "contains", "exists", "true", "false"})

# No literal may run on into a letter, digit, point, colon or minus: 2026-13x or 5a are mistakes, not two words.
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<quoted>`(?:[^`]|``)+`)
    | (?P<datetime>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?
      (?:Z|[+-][0-9]{2}:[0-9]{2})?)(?![\w.:-])
    | (?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})(?![\w.:-])
    | (?P<decimal>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)d(?![\w.:-])
    | (?P<float>[+-]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+))(?![\w.:-])
    | (?P<int>[+-]?[0-9]+)(?![\w.:-])
    | (?P<word>[^\W\d][\w.-]*)
    | (?P<symbol>==|!=|>=|<=|=|>|<|\(|\)|,)""",
    re.VERBOSE | re.DOTALL,
)
_BARE = re.compile(r"[^\W\d][\w.-]*")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "\\": "\\", "/": "/", '"': '"', "'": "'"}


class Kind(Enum):
    """What a word can be in the grammar."""

    NAME = "a name"
    LITERAL = "a value"
    SYMBOL = "an operator"
    KEYWORD = "a keyword"
    END = "the end"


@dataclass(frozen=True, slots=True)
class Token:
    """One word."""

    kind: Kind
    text: str
    """A keyword in lower case, a name without backticks, else as it was written."""
    position: int
    """Of its first character, from 1."""
    value: Scalar = ""
    """Of a literal."""


def tokenize(text: str) -> Iterator[Token]:
    """Yield the words of ``text`` and an END.

    Raises:
        InvalidInput: something is no word; the message has its position.
    """
    offset = 0
    while offset < len(text):
        match = _TOKEN.match(text, offset)
        if match is None:
            raise error_at(offset + 1, "a name, value or operator", reprlib.repr(text[offset:]))
        offset = match.end()
        if match.lastgroup != "space":
            yield _token(str(match.lastgroup), match.group(), match.start() + 1)
    yield Token(Kind.END, "", len(text) + 1)


def error_at(position: int, expected: str, found: str) -> InvalidInput:
    """Return the error that names a position in the text, what was expected there, and what stands there."""
    return InvalidInput(f"filter text, position {position}: expected {expected}, found {found}", position=position)


def _token(group: str, text: str, position: int) -> Token:
    match group:
        case "symbol":
            return Token(Kind.SYMBOL, "=" if text == "==" else text, position)
        case "quoted":
            return Token(Kind.NAME, text[1:-1].replace("``", "`"), position)
        case "word" if text.lower() in ("true", "false"):
            return Token(Kind.LITERAL, text, position, text.lower() == "true")
        case "word" if text.lower() in KEYWORDS:
            return Token(Kind.KEYWORD, text.lower(), position)
        case "word":
            return Token(Kind.NAME, text, position)
        case _:
            return Token(Kind.LITERAL, text, position, _literal(group, text, position))


def _literal(group: str, text: str, position: int) -> Scalar:
    try:
        match group:
            case "string":
                return _unescape(text[1:-1])
            case "datetime":
                value = datetime.fromisoformat(text)
                return value if value.tzinfo else value.replace(tzinfo=UTC)
            case "date":
                return date.fromisoformat(text)
            case "decimal":
                return Decimal(text[:-1])
            case "float":
                return float(text)
            case _:
                return int(text)
    except InvalidOperation as error:
        raise error_at(position, "a decimal with an exponent of ordinary size", reprlib.repr(text)) from error
    except ValueError as error:
        raise error_at(position, f"a valid {group}", f"{reprlib.repr(text)} ({error})") from error


def _unescape(text: str) -> str:
    def character(match: re.Match[str]) -> str:
        escape = match[1]
        if len(escape) == 5:
            return chr(int(escape[1:], 16))
        if escape not in _ESCAPES:
            raise ValueError(rf"unknown escape \{escape}; known are \n \t \r \b \f \\ \/ \" \' \uXXXX")
        return _ESCAPES[escape]

    # Two \u escapes may be the halves of one character; a lone half is refused with the other values.
    unescaped = _ESCAPE.sub(character, text)
    return unescaped.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def name_text(name: Name) -> str:
    """Return how a name is written."""
    text = name.text
    if name.is_attribute and (text in COLUMN_TYPES or text.startswith(ATTRIBUTE_PREFIX)):
        text = ATTRIBUTE_PREFIX + text
    if _BARE.fullmatch(text) and text.lower() not in KEYWORDS:
        return text
    return "`" + text.replace("`", "``") + "`"


def literal_text(value: Scalar) -> str:
    """Return how a value is written."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False)
        case Decimal():
            return f"{value}d"
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case _:
            return repr(value)
