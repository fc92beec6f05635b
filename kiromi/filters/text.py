"""The parser of the text form of filters, for command lines: ``trip >= 5 and not (kind = "x" or title exists)``.

::

    filter     = conjunct *( "or" conjunct )
    conjunct   = negation *( "and" negation )
    negation   = *( "not" ) ( "(" filter ")" / "true" / comparison )
    comparison = name ( ( "=" / "==" / "!=" ) ( value / list ) / ( ">" / ">=" / "<" / "<=" / "contains" ) value
                      / [ "not" ] "in" list / [ "not" ] "exists" )
    list       = "(" [ value *( "," value ) ] ")"
    value      = "text" / 'text' / 5 / 1.5 / 1.10d / true / false / 2026-01-31 / 2026-01-31T10:00Z
    name       = letters, digits, "_", "." and "-", a letter or "_" first / anything in backticks, a backtick doubled

Keywords in any case; ``true`` alone matches all; a time without zone is read as UTC. It makes the tree of the mapping
form.
"""

from kiromi.errors import InvalidInput
from kiromi.filters.tokens import Kind, Token, error_at, tokenize
from kiromi.filters.tree import (
    And,
    Comparison,
    Filter,
    Not,
    Op,
    check_depth,
    check_limits,
    compare,
    conjunction,
    disjunction,
    resolve_name,
)
from kiromi.model import Scalar

_SYMBOLS = {"=": Op.EQ, "!=": Op.NE, ">": Op.GT, ">=": Op.GTE, "<": Op.LT, "<=": Op.LTE}
_OPERATORS = "= != > >= < <= in, not in, contains, exists or not exists"


def parse_where_text(text: str) -> Filter:
    """Return the tree of a filter in text form.

    Raises:
        InvalidInput: the text is no filter, with the position and what was expected there; or as :func:`parse_where`.
    """
    parser = _Parser(text)
    tree = parser.filter(1)
    if parser.next.kind is not Kind.END:
        raise parser.error("and, or, or the end")
    return check_limits(tree)


class _Parser:
    """A recursive descent with one word of lookahead."""

    def __init__(self, text: str) -> None:
        self._tokens = tokenize(text)
        self.next: Token = next(self._tokens)

    def error(self, expected: str) -> InvalidInput:
        found = self.next.text if self.next.kind is not Kind.END else self.next.kind.value
        return error_at(self.next.position, expected, found)

    def filter(self, level: int) -> Filter:
        children = [self._conjunct(level)]
        while self._accept(Kind.KEYWORD, "or"):
            children.append(self._conjunct(level))
        return disjunction(children)

    def _conjunct(self, level: int) -> Filter:
        children = [self._negation(level)]
        while self._accept(Kind.KEYWORD, "and"):
            children.append(self._negation(level))
        return conjunction(children)

    def _negation(self, level: int) -> Filter:
        if self._accept(Kind.KEYWORD, "not"):
            check_depth(level)
            return Not(self._negation(level + 1))
        if self._accept(Kind.SYMBOL, "("):
            check_depth(level)
            inner = self.filter(level + 1)
            self._expect(")")
            return inner
        if self.next.kind is Kind.LITERAL and self.next.value is True:
            self._take()
            return And(())
        return self._comparison()

    def _comparison(self) -> Comparison:
        if self.next.kind is not Kind.NAME:
            raise self.error('a condition, such as trip >= 5, "not", "(" or true')
        position = self.next.position
        written = self._take().text
        op, value = self._condition(written)
        try:
            return compare(resolve_name(written), op, value)
        except InvalidInput as error:
            raise InvalidInput(f"filter text, position {position}: {error}", position=position) from error

    def _condition(self, written: str) -> tuple[Op, Scalar | list[Scalar]]:
        if self.next.kind is Kind.SYMBOL and self.next.text in _SYMBOLS:
            op = _SYMBOLS[self._take().text]
            is_list = op in (Op.EQ, Op.NE) and (self.next.kind, self.next.text) == (Kind.SYMBOL, "(")
            return op, self._list() if is_list else self._value()
        if self._accept(Kind.KEYWORD, "contains"):
            return Op.CONTAINS, self._value()
        negated = self._accept(Kind.KEYWORD, "not")
        if self._accept(Kind.KEYWORD, "in"):
            return Op.NIN if negated else Op.IN, self._list()
        if self._accept(Kind.KEYWORD, "exists"):
            return Op.EXISTS, not negated
        raise self.error('"in" or "exists"' if negated else f"an operator after {written!r}: {_OPERATORS}")

    def _list(self) -> list[Scalar]:
        self._expect("(")
        values: list[Scalar] = []
        if self._accept(Kind.SYMBOL, ")"):
            return values
        values.append(self._value())
        while self._accept(Kind.SYMBOL, ","):
            values.append(self._value())
        self._expect(")")
        return values

    def _value(self) -> Scalar:
        if self.next.kind is not Kind.LITERAL:
            raise self.error('a value: "text", 5, 1.5, 1.10d, true, 2026-01-31 or 2026-01-31T10:00Z')
        return self._take().value

    def _take(self) -> Token:
        token = self.next
        self.next = next(self._tokens)
        return token

    def _accept(self, kind: Kind, text: str) -> bool:
        if self.next.kind is kind and self.next.text == text:
            self._take()
            return True
        return False

    def _expect(self, symbol: str) -> None:
        if not self._accept(Kind.SYMBOL, symbol):
            raise self.error(f'"{symbol}"')
