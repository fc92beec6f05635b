"""Queries of others: names mean what DuckDB takes them to mean, whatever WITH clauses do to them."""

import contextlib
from collections.abc import Callable, Iterator

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiromi.catalog.queries import check_select
from kiromi.errors import InvalidInput

TABLES = ("memories", "history", "secret", "other")
VIEWS = frozenset(TABLES[:2])

_names = st.sampled_from([*TABLES, "Secret", '"SECRET"', '"memories"', "q"])


def _grow(queries: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    clause = st.tuples(_names, queries).map(lambda pair: f"{pair[0]} AS ({pair[1]})")
    recursive = st.tuples(_names, queries, queries, st.sampled_from(["", " ALL"])).map(
        lambda parts: f"{parts[0]} AS ({parts[1]} UNION{parts[3]} {parts[2]})"
    )
    return st.one_of(
        st.tuples(st.lists(clause, min_size=1, max_size=3).map(_distinct), queries).map(_with("WITH ")),
        st.tuples(st.lists(recursive | clause, min_size=1, max_size=3).map(_distinct), queries).map(
            _with("WITH RECURSIVE ")
        ),
        st.tuples(queries, queries).map(lambda pair: f"({pair[0]}) UNION ALL ({pair[1]})"),
        st.tuples(queries, queries).map(lambda pair: f"SELECT 1 FROM ({pair[0]}) a WHERE EXISTS ({pair[1]})"),
        st.tuples(queries, queries).map(lambda pair: f"SELECT ({pair[0]}) FROM ({pair[1]}) b"),
        st.tuples(_names, queries).map(lambda pair: f"SELECT 1 FROM {pair[0]}, LATERAL ({pair[1]}) c"),
        # Short ones only: doubled again and again, one fills the screen when hypothesis prints it.
        queries.filter(lambda query: len(query) < 500).map(
            lambda query: f"SELECT 1 FROM memories ORDER BY ({query}) LIMIT ({query})"
        ),
    )


def _with(start: str) -> Callable[[tuple[list[str], str]], str]:
    return lambda pair: f"{start}{', '.join(pair[0])} {pair[1]}"


def _distinct(clauses: list[str]) -> list[str]:
    """Return the clauses without those whose name another has: unique_by would print the whole strategy."""
    return [*{clause.split()[0].strip('"').lower(): clause for clause in clauses}.values()]


_queries = st.recursive(_names.map(lambda name: f"SELECT 1 FROM {name}"), _grow, max_leaves=6)


@pytest.fixture(scope="module")
def cursor() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as connection:
        for name in TABLES:
            connection.execute(f"CREATE TABLE {name} (x INTEGER)")
        yield connection


@given(_queries)
def test_what_is_admitted_reads_no_table_but_those_named(cursor: duckdb.DuckDBPyConnection, query: str) -> None:
    try:
        _, read = check_select(cursor, query, VIEWS)
    except InvalidInput:
        return
    assert read <= VIEWS
    with contextlib.suppress(duckdb.Error):  # it cannot be bound, so it reads nothing
        assert {name.strip('"').lower() for name in cursor.get_table_names(query)} <= read


@pytest.mark.parametrize(
    ("query", "read"),
    [
        ("WITH secret AS (SELECT 1 FROM memories) SELECT 1 FROM secret, Secret AS other", {"memories"}),
        ("WITH a AS (SELECT 1), secret AS (FROM a) SELECT (SELECT 1 FROM secret) FROM HISTORY", {"history"}),
        ("WITH RECURSIVE secret AS (FROM memories UNION FROM secret) FROM secret", {"memories"}),
        ("WITH memories AS (FROM memories) FROM memories", {"memories"}),
        ("WITH secret AS (SELECT 1) (FROM secret) UNION (WITH other AS (FROM secret) FROM other)", set()),
    ],
)
def test_names_of_with_clauses_are_no_tables(cursor: duckdb.DuckDBPyConnection, query: str, read: set[str]) -> None:
    assert check_select(cursor, query, VIEWS)[1] == read


@pytest.mark.parametrize(
    "query",
    [
        "SELECT (WITH secret AS (SELECT 1) SELECT 1), * FROM secret",
        "WITH secret AS (FROM secret) FROM secret",
        "WITH RECURSIVE secret AS (FROM secret UNION FROM secret) FROM secret",
        "WITH RECURSIVE secret AS (FROM secret) FROM secret",
        "WITH a AS (FROM secret), secret AS (SELECT 1) FROM a",
        "(WITH secret AS (SELECT 1) FROM secret) UNION ALL FROM secret",
        "FROM (WITH secret AS (SELECT 1) FROM secret) a, secret b",
    ],
)
def test_a_with_clause_gives_no_name_outside_of_it(cursor: duckdb.DuckDBPyConnection, query: str) -> None:
    with pytest.raises(InvalidInput, match="cannot read secret; it reads the views history, memories"):
        check_select(cursor, query, VIEWS)
