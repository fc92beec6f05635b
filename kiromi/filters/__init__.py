"""The ``where`` language: parsed from a mapping or from text to one tree, printed, compiled to parametrised SQL.

A tree is checked when it is parsed, so whatever compiles is sound; it knows no database. Which columns exist and where
they lie in a query is the catalog's business; which partitions :func:`necessary_bounds` prunes is the partitions'.
"""

from kiromi.filters.mapping import parse_where
from kiromi.filters.printer import to_text
from kiromi.filters.sql import Column, Condition, compile_filter
from kiromi.filters.text import parse_where_text
from kiromi.filters.tree import (
    COLUMN_TYPES,
    And,
    ColumnType,
    Comparison,
    Filter,
    Name,
    Not,
    Op,
    Operand,
    Or,
    names,
    necessary_bounds,
)

__all__ = [
    "COLUMN_TYPES",
    "And",
    "Column",
    "ColumnType",
    "Comparison",
    "Condition",
    "Filter",
    "Name",
    "Not",
    "Op",
    "Operand",
    "Or",
    "compile_filter",
    "names",
    "necessary_bounds",
    "parse_where",
    "parse_where_text",
    "to_text",
]
