"""The printer of filters: text that parses back to the very same tree, for plans, logs and command lines."""

from kiromi.filters.tokens import literal_text, name_text
from kiromi.filters.tree import And, Comparison, Filter, Not, Op, Or

_SYMBOLS = {
    Op.EQ: "=",
    Op.NE: "!=",
    Op.GT: ">",
    Op.GTE: ">=",
    Op.LT: "<",
    Op.LTE: "<=",
    Op.IN: "in",
    Op.NIN: "not in",
    Op.CONTAINS: "contains",
}


def to_text(tree: Filter) -> str:
    """Return the text form; ``parse_where_text`` of it is ``tree`` again."""
    match tree:
        case And(()):
            return "true"
        case And(children):
            return " and ".join([_nested(child) for child in children])
        case Or(children):
            return " or ".join([_nested(child) for child in children])
        case Not(Not() as child):
            return f"not {to_text(child)}"
        case Not(And(())):
            return "not true"
        case Not(child):
            return f"not ({to_text(child)})"
        case Comparison():
            return _comparison(tree)


def _nested(tree: Filter) -> str:
    text = to_text(tree)
    return f"({text})" if isinstance(tree, Or) or (isinstance(tree, And) and tree.children) else text


def _comparison(comparison: Comparison) -> str:
    name, value = name_text(comparison.name), comparison.value
    if comparison.op is Op.EXISTS:
        return f"{name} exists" if value else f"{name} not exists"
    if isinstance(value, tuple):
        return f"{name} {_SYMBOLS[comparison.op]} ({', '.join([literal_text(item) for item in value])})"
    return f"{name} {_SYMBOLS[comparison.op]} {literal_text(value)}"
