"""Queries that other people wrote: is it one SELECT that reads nothing but the names it was given?

DuckDB's own parser gives the syntax tree, and everything in it must be known here: statements, table sources and
expressions by the kind of their node, table functions by name, other functions by what DuckDB says of them. What a
later DuckDB adds is therefore refused until somebody has looked at it. Names are resolved as DuckDB does, innermost
WITH first, so that a name which stands for a WITH clause in one place cannot reach a table of that name in another.

What lies behind the names, and in which transaction, is the caller's affair.
"""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import duckdb

from kiromi.errors import InvalidInput

_EXPRESSIONS = frozenset(
    {
        "BETWEEN",
        "CASE",
        "CAST",
        "COLLATE",
        "COLUMN_REF",
        "COMPARISON",
        "CONJUNCTION",
        "CONSTANT",
        "FUNCTION",
        "LAMBDA",
        "OPERATOR",
        "PARAMETER",
        "POSITIONAL_REFERENCE",
        "STAR",
        "SUBQUERY",
        "TYPE",
        "WINDOW",
    }
)
_NODES = frozenset(
    {
        "SELECT_NODE",
        "SET_OPERATION_NODE",
        "RECURSIVE_CTE_NODE",
        "BASE_TABLE",
        "EMPTY",
        "EXPRESSION_LIST",
        "JOIN",
        "PIVOT",
        "SHOW_REF",
        "SUBQUERY",
        "TABLE_FUNCTION",
        "DISTINCT_MODIFIER",
        "LIMIT_MODIFIER",
        "ORDER_MODIFIER",
        "ASCENDING",
        "DESCENDING",
        "ORDER_DEFAULT",
    }
)
_TABLE_FUNCTIONS = frozenset({"generate_series", "json_each", "json_tree", "range", "unnest"})
_CLOCK_AND_CHANCE = frozenset(
    {
        "current_date",
        "current_localtime",
        "current_localtimestamp",
        "error",
        "gen_random_uuid",
        "get_current_time",
        "get_current_timestamp",
        "now",
        "random",
        "today",
        "transaction_timestamp",
        "uuid",
        "uuidv4",
        "uuidv7",
    }
)
# DuckDB says that these depend on their arguments alone, but they look into the catalog, wait, or take raw states of
# other functions, which a query over views has no use for and a wrong one of which may do anything.
_REACHING_OUT = frozenset(
    {
        "combine",
        "combine_aggr",
        "finalize",
        "index_key",
        "json_serialize_plan",
        "pg_sleep",
        "remap_struct",
        "to_aggregate_state",
        "variant_bytes_to_variant",
    }
)


def check_select(
    cursor: duckdb.DuckDBPyConnection, query: str, names: Iterable[str]
) -> tuple[duckdb.Statement, frozenset[str]]:
    """Return the query, parsed, and which of ``names`` (lower-case) it may read.

    Raises:
        InvalidInput: it is not exactly one SELECT, or it reads something else.
    """
    try:
        query.encode()
        statements = cursor.extract_statements(query)
        ((text,),) = cursor.execute("SELECT json_serialize_sql(?)", [query]).fetchall()
        tree = json.loads(text)
    except (duckdb.Error, UnicodeEncodeError) as error:
        raise InvalidInput(f"sql cannot read the query: {error}") from error
    except RecursionError:
        raise InvalidInput("sql takes one SELECT; this one is nested too deeply") from None
    kinds = [str(statement.type.name) for statement in statements]
    if kinds != ["SELECT"] or tree["error"]:
        raise InvalidInput(f"sql takes exactly one SELECT; this is {', '.join(kinds) or 'nothing'}")
    walk = _Walk(frozenset(names))
    walk.check(tree["statements"])
    return statements[0], frozenset(walk.read)


class _Walk:
    """A pass over a syntax tree, without recursion."""

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names
        self.read: set[str] = set()
        self._todo: list[tuple[Any, frozenset[str]]] = []
        """Parts of the tree, each with the names that WITH clauses give it."""

    def check(self, tree: Any) -> None:
        self._todo.append((tree, frozenset()))
        while self._todo:
            node, given = self._todo.pop()
            if isinstance(node, list):
                self._todo += [(item, given) for item in node]
            elif isinstance(node, dict):
                self._check_node(node, given)

    def _check_node(self, node: Mapping[str, Any], given: frozenset[str]) -> None:
        kind = node.get("type")
        if "class" in node:
            if node["class"] not in _EXPRESSIONS:
                raise InvalidInput(f"sql does not admit {node['class']} expressions")
            if node["class"] == "CONSTANT":
                return
            if "function_name" in node:
                _check_function(node["function_name"])
        elif isinstance(kind, str):
            if kind not in _NODES:
                raise InvalidInput(f"sql only reads: it does not admit {kind}")
            if kind == "BASE_TABLE":
                self._check_table(node["qualified_name"]["path"], given)
            elif kind == "SHOW_REF" and node["query"] is None:
                raise self._refusal("SHOW")
            elif kind == "TABLE_FUNCTION":
                node = self._table_function(node, given)
        self._follow(node, given)

    def _check_table(self, path: list[str], given: frozenset[str]) -> None:
        name = _fold(path[0])
        if len(path) == 1 and name in given:
            return
        if len(path) != 1 or name not in self.names:
            raise self._refusal(".".join(path))
        self.read.add(name)

    def _table_function(self, node: Mapping[str, Any], given: frozenset[str]) -> Mapping[str, Any]:
        """Check a table function; return what is left to look at."""
        function = node["function"]
        if function.get("class") != "FUNCTION" or _fold(function["function_name"]) not in _TABLE_FUNCTIONS:
            raise self._refusal(f"{function.get('function_name', 'this')}()")
        self._follow(function, given)
        return {name: value for name, value in node.items() if name != "function"}

    def _follow(self, node: Mapping[str, Any], given: frozenset[str]) -> None:
        rest = dict(node)
        if "cte_map" in node:
            for entry in rest.pop("cte_map")["map"]:
                # A WITH clause sees those before it; itself only in the recursive part.
                self._todo.append((entry["value"], given))
                given |= {_fold(entry["key"])}
        if node.get("type") == "RECURSIVE_CTE_NODE":
            self._todo.append((rest.pop("right"), given | {_fold(node["cte_name"])}))
        self._todo += [(value, given) for value in rest.values() if isinstance(value, dict | list)]

    def _refusal(self, what: str) -> InvalidInput:
        return InvalidInput(
            f"sql cannot read {what}; it reads the views {', '.join(sorted(self.names))},"
            f" and the functions {', '.join(sorted(_TABLE_FUNCTIONS))}",
            name=what,
        )


def _check_function(name: str) -> None:
    if _fold(name) not in _admitted_functions():
        raise InvalidInput(
            f"sql does not admit the function {name}: there is none of that name, or it does more than compute",
            name=name,
        )


@cache
def _admitted_functions() -> frozenset[str]:
    """Return the functions that depend on their arguments alone, or on clock and chance, and change nothing."""
    with duckdb.connect(":memory:") as connection:
        found = connection.execute(
            "SELECT lower(function_name) FROM duckdb_functions()"
            " WHERE function_type IN ('scalar', 'aggregate', 'window', 'macro') GROUP BY ALL HAVING bool_and("
            "CASE function_type WHEN 'macro' THEN macro_definition NOT ILIKE '%select%' ELSE NOT has_side_effects"
            # Some forms of + and - depend on the time zone too, which is the same within a query.
            " AND stability IN ('CONSISTENT', 'CONSISTENT_WITHIN_QUERY') END)"
            " AND (bool_or(stability = 'CONSISTENT') OR bool_and(function_type = 'macro'))"
        ).fetchall()
    pure = {name for (name,) in found if not name.startswith("__")}
    return frozenset(pure - _REACHING_OUT | _CLOCK_AND_CHANCE | {"unnest"})


def _fold(name: str) -> str:
    """Return a name as DuckDB compares it: ASCII letters in lower case, others as they are."""
    return name.encode().lower().decode()
