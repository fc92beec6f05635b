"""The query language of text search: a pure parser, for which no text is an error.

::

    red shoes          either word; more of them rank higher        title:red  tags:(a b)   only in that field
    "red shoes"        the words as written, side by side           (red OR blue) AND shoe* groups
    shoe*              words that begin so                          +red -shoes             must have, must not have
    red AND shoes      both;  red OR shoes: one of them;  red NOT shoes: the second excludes

Operators are upper case. AND binds more tightly than OR, OR more than standing side by side. What is excluded is
excluded from the group that it stands in. Whatever makes no sense as an operator is plain text: unbalanced quotes and
brackets, unknown fields (``http://x``), a sign before a space or a number (``-5``). Leaves to :mod:`.compiler` what the
words mean to an index.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Literal, TypeAlias

Field: TypeAlias = Literal["title", "tags", "content"]
MAX_LEAVES = 512
"""Words, phrases and prefixes of a query that count; later ones are not looked at."""
_MAX_CHARACTERS = 16_384
_MAX_DEPTH = 16
_FIELDS: dict[str, Field] = {"title": "title", "tag": "tags", "tags": "tags", "content": "content"}
_FIELD = re.compile(r"(title|tags?|content):(?=[^\s:)])", re.IGNORECASE)
_QUOTES = {'"': '"', "“": "”", "„": "“”", "«": "»", "「": "」"}
_WORD = re.compile(r'[^\s()"“”„«»「」]+')


class Form(Enum):
    """How a leaf wants to be matched."""

    WORDS = "words"
    PHRASE = "phrase"
    PREFIX = "prefix"


@dataclass(frozen=True, slots=True)
class Leaf:
    """Text to look for."""

    text: str
    form: Form = Form.WORDS
    field: Field | None = None
    """None for all of them."""


@dataclass(frozen=True, slots=True)
class Group:
    """Parts of a query; without ``must`` at least one of ``should`` has to match."""

    must: tuple["Node", ...] = ()
    should: tuple["Node", ...] = ()
    must_not: tuple["Node", ...] = ()


Node: TypeAlias = Leaf | Group


@dataclass(frozen=True, slots=True)
class TextQuery:
    """A query that was understood."""

    text: str
    """As the user typed it."""
    root: Group
    """An empty group, and one that only excludes, find nothing."""


class Sign(Enum):
    """Whether a part of a group is wanted."""

    NONE = ""
    MUST = "+"
    NOT = "-"


@dataclass(frozen=True, slots=True)
class _Open:
    sign: Sign
    field: Field | None


@dataclass(frozen=True, slots=True)
class _Operand:
    sign: Sign
    leaf: Leaf
    is_bare: bool = False
    """Whether it stood there as nothing but a word, so that AND, OR and NOT may be operators."""


_Close: TypeAlias = Literal[")"]
_Lexeme: TypeAlias = _Open | _Operand | _Close
_Clause: TypeAlias = tuple[Sign, Node]
_Part: TypeAlias = Callable[[Field | None], "_Clause | None"]


def parse_query(text: str) -> TextQuery:
    """Return what a query means; every text means something.

    Args:
        text: as a user typed it; of a very long one the beginning counts.
    """
    lexemes = list(_lex(text[:_MAX_CHARACTERS].encode("utf-8", "replace").decode()))  # no term has a lone surrogate
    return TextQuery(text, _Parser(lexemes).sequence(None))


def leaves(node: Node) -> Iterator[Leaf]:
    """Return the leaves that a match may be shown by: all but excluded ones."""
    if isinstance(node, Leaf):
        yield node
    else:
        for part in (*node.must, *node.should):
            yield from leaves(part)


def _lex(text: str) -> Iterator[_Lexeme]:
    at, depth, ignored, count = 0, 0, 0, 0
    while at < len(text) and count < MAX_LEAVES:
        if text[at].isspace():
            at += 1
        elif text[at] == ")":
            at += 1
            if ignored:
                ignored -= 1
            elif depth:
                depth -= 1
                yield ")"
        else:
            count += 1
            begin = at
            sign, at = _sign(text, at)
            field, at = _field(text, at)
            if at < len(text) and text[at] == "(":
                at += 1
                if depth == _MAX_DEPTH:
                    ignored += 1
                else:
                    depth += 1
                    yield _Open(sign, field)
            else:
                leaf, at = _leaf(text, at, field)
                if leaf is not None:
                    yield _Operand(sign, leaf, text[begin:at] == leaf.text)


def _sign(text: str, at: int) -> tuple[Sign, int]:
    follower = text[at + 1 : at + 2]
    if text[at] in "+-" and follower and not follower.isspace() and not follower.isdigit() and follower not in "+-)":
        return Sign(text[at]), at + 1
    return Sign.NONE, at


def _field(text: str, at: int) -> tuple[Field | None, int]:
    match = _FIELD.match(text, at)
    return (_FIELDS[match[1].lower()], match.end()) if match else (None, at)


def _leaf(text: str, at: int, field: Field | None) -> tuple[Leaf | None, int]:
    closing = _QUOTES.get(text[at])
    if closing is not None:
        ends = [end for end in (text.find(quote, at + 1) for quote in closing) if end > 0]
        if ends:
            return Leaf(text[at + 1 : min(ends)], Form.PHRASE, field), min(ends) + 1
    match = _WORD.match(text, at)
    if match is None:
        return None, at + 1
    word = match[0]
    if word.endswith("*") and not word.startswith("*") and not word.endswith("**"):
        return Leaf(word[:-1], Form.PREFIX, field), match.end()
    return Leaf(word, Form.WORDS, field), match.end()


class _Parser:
    """Recursive descent; as deep as the lexer lets brackets be."""

    def __init__(self, lexemes: list[_Lexeme]) -> None:
        self._lexemes = lexemes
        self._at = 0

    def sequence(self, field: Field | None) -> Group:
        """Read up to the closing bracket, or the end."""
        clauses: list[_Clause] = []
        while not self._is_at_end():
            clause = self._either(field)
            if clause is not None:
                clauses.append(clause)
        self._at += 1
        return _group(clauses)

    def _either(self, field: Field | None) -> _Clause | None:
        return self._chain("OR", field, self._both, Sign.NONE)

    def _both(self, field: Field | None) -> _Clause | None:
        return self._chain("AND", field, self._single, Sign.MUST)

    def _chain(self, operator: str, field: Field | None, part: _Part, wanted: Sign) -> _Clause | None:
        clauses = [part(field)]
        while self._is_operator(operator):
            self._at += 1
            clauses.append(part(field))
        if len(clauses) == 1:
            return clauses[0]
        signed = [(sign if sign is Sign.NOT else wanted, node) for sign, node in filter(None, clauses)]
        return (wanted, _group(signed)) if signed else None

    def _single(self, field: Field | None) -> _Clause | None:
        negated = False
        while self._is_operator("NOT"):
            negated = not negated
            self._at += 1
        lexeme = self._lexemes[self._at]
        self._at += 1
        node: Node
        if isinstance(lexeme, _Open):
            sign, node = lexeme.sign, self.sequence(lexeme.field or field)
            if node == Group():
                return None
        elif isinstance(lexeme, _Operand):
            sign, leaf = lexeme.sign, lexeme.leaf
            node = leaf if leaf.field or not field else Leaf(leaf.text, leaf.form, field)
        else:
            raise AssertionError("a bracket closes where an operand was promised")
        if negated:
            sign = Sign.NONE if sign is Sign.NOT else Sign.NOT
        return sign, node

    def _is_at_end(self) -> bool:
        return self._at >= len(self._lexemes) or self._lexemes[self._at] == ")"

    def _is_operator(self, name: str) -> bool:
        """Whether the operator stands here, with something after it; else it is a word."""
        if self._is_at_end():
            return False
        lexeme = self._lexemes[self._at]
        follower = self._lexemes[self._at + 1] if self._at + 1 < len(self._lexemes) else ")"
        return isinstance(lexeme, _Operand) and lexeme.is_bare and lexeme.leaf.text == name and follower != ")"


def _group(clauses: list[_Clause]) -> Group:
    if len(clauses) == 1 and isinstance(clauses[0][1], Group) and clauses[0][0] is not Sign.NOT:
        return clauses[0][1]
    by_sign = {sign: tuple(node for other, node in clauses if other is sign) for sign in Sign}
    return Group(by_sign[Sign.MUST], by_sign[Sign.NONE], by_sign[Sign.NOT])
