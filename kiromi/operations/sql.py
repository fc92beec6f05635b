"""SQL: one SELECT over documented views, read-only, within the caller's scope.

``memories``: id, version, seq, n, scheme, partition, path, title, key, namespace, kind, language, tags, attributes
(JSON text), importance, confidence, event_at, valid_from, valid_until, expires_at, created_at, updated_at, run_id,
superseded_by, superseded_at, media_type, size, sha256 (lower-case hex). Live memories, expired ones included; ``path``
is below ``data/``.
``history``: the same of closed versions, and begin_seq, end_seq; ``path`` is that of the live row with the same (id, n)
if there is one that the caller may see, else in the attic.
``contents``: id, n, ext, media_type, size, sha256.
``audit_log``: seq, i, at, actor, run_id, reason, op, memory_id, detail (JSON text), hash (lower-case hex).
``schemes``: number, template, created_at, is_active. ``partitions``: scheme, path, count, size_bytes of live memories.

The query must pass :func:`check_select`, and runs in a transaction that is rolled back, on a connection without access
to files and network. A scoped handle gets copies of its rows and no view: in a view, DuckDB may try the query's own
expressions on rows that the scope is about to drop, and show their values in an error message.
"""

from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow as pa

from kiromi.catalog.queries import check_select
from kiromi.errors import InvalidInput
from kiromi.filters import Condition
from kiromi.operations.caller import Caller
from kiromi.operations.history import audit_condition, audit_detail

_VERSION = (
    "m.id, m.version, m.begin_seq AS seq, m.n, m.scheme, m.partition, {path} AS path, m.title, m.key, m.namespace,"
    " m.kind, m.language, m.tags, m.attributes, m.importance, m.confidence, m.event_at, m.valid_from, m.valid_until,"
    " m.expires_at, m.created_at, m.updated_at, m.run_id, m.superseded_by, m.superseded_at, c.media_type, c.size,"
    " lower(hex(c.sha256)) AS sha256"
)
_LIVE_PATH = "'data/' || m.partition || '/' || m.id || '.' || m.n || '.' || c.ext"
_FORMER_PATH = (
    "coalesce('data/' || live.partition, 'attic/' || right(m.id, 2)) || '/' || m.id || '.' || m.n || '.' || c.ext"
)
# In this order, because conditions name the tables that the last two hide: that of history may name memories.
_VIEWS = {
    "audit_log": "SELECT a.seq, a.i, a.at, a.actor, a.run_id, a.reason, a.op, a.memory_id, {inner} AS detail,"
    " lower(hex(a.hash)) AS hash FROM {db}.audit_log a WHERE {condition}",
    "contents": "SELECT c.id, c.n, c.ext, c.media_type, c.size, lower(hex(c.sha256)) AS sha256"
    " FROM {db}.contents c WHERE {condition}",
    "partitions": "SELECT m.scheme, m.partition AS path, count(*) AS count, sum(c.size)::BIGINT AS size_bytes"
    " FROM {db}.memories m JOIN {db}.contents c USING (id, n) WHERE {condition} GROUP BY ALL",
    "schemes": "SELECT number, template, created_at,"
    " number = (SELECT scheme FROM {db}.scheme_events ORDER BY seq DESC LIMIT 1) AS is_active"
    " FROM {db}.schemes WHERE {condition}",
    "history": f"SELECT {_VERSION.format(path=_FORMER_PATH)}, m.begin_seq, m.end_seq"
    " FROM {db}.history m JOIN {db}.contents c USING (id, n)"
    " LEFT JOIN (SELECT m.id, m.n, m.partition FROM {db}.memories m WHERE {inner}) live"
    " ON live.id = m.id AND live.n = m.n WHERE {condition}",
    "memories": f"SELECT {_VERSION.format(path=_LIVE_PATH)}"
    " FROM {db}.memories m JOIN {db}.contents c USING (id, n) WHERE {condition}",
}


def run_sql(caller: Caller, query: str, parameters: Sequence[Any] | None) -> pa.Table:
    """Return the result of one SELECT over the documented views; see ``Store.sql``.

    Args:
        caller: whose scope bounds every view.
        query: the SELECT, in DuckDB's SQL.
        parameters: the values of its ``?`` placeholders, in order.

    Raises:
        InvalidInput: the query is refused, here or by DuckDB; the message is DuckDB's.
    """
    if not isinstance(query, str):
        raise InvalidInput(f"query={query!r} is not text; accepted: one SELECT")
    if parameters is not None and not isinstance(parameters, list | tuple):
        raise InvalidInput(f"parameters={parameters!r} is not a list; accepted: one value for each ? of the query")
    with caller.session.snapshot() as (_, cursor):
        statement, read = check_select(cursor, query, _VIEWS)
        for name in _VIEWS:
            if name in read:
                _create(caller, cursor, name)
        try:
            # With params, even none: DuckDB then runs the statement itself and not a query around it.
            return cursor.sql(statement, params=list(parameters or ())).to_arrow_table()
        except duckdb.Error as error:
            raise InvalidInput(f"DuckDB refuses the query: {error}") from error


def _create(caller: Caller, cursor: duckdb.DuckDBPyConnection, name: str) -> None:
    """Make one view of the transaction."""
    ((database,),) = cursor.execute("SELECT current_database()").fetchall()
    db = '"' + database.replace('"', '""') + '".main'
    inner = _inner(caller, cursor, name)
    if not caller.scope.wanted:
        select = _VIEWS[name].format(db=db, condition="TRUE", inner=inner.sql)
        cursor.execute(f"CREATE TEMP VIEW {name} AS {select}").fetchall()
        return
    condition = _condition(caller, cursor, name)
    select = _VIEWS[name].format(db=db, condition=condition.sql, inner=inner.sql)
    cursor.execute(f"CREATE TEMP TABLE {name} AS {select}", (*inner.parameters, *condition.parameters)).fetchall()


def _inner(caller: Caller, cursor: duckdb.DuckDBPyConnection, name: str) -> Condition:
    """Return what the scope makes of a view's SELECT before its WHERE: the details and live rows that may be shown."""
    match name:
        case "audit_log":
            return audit_detail(caller, cursor)
        case "history":
            return caller.scope.condition(cursor, caller.session.schemes)
        case _:
            return Condition("")


def _condition(caller: Caller, cursor: duckdb.DuckDBPyConnection, name: str) -> Condition:
    """Return the condition of the rows that the caller may see."""
    schemes = caller.session.schemes
    match name:
        case "memories" | "partitions":
            return caller.scope.condition(cursor, schemes)
        case "history":
            return caller.scope.condition(cursor, schemes, "history")
        case "audit_log":
            return audit_condition(caller, cursor)
        case "contents":
            live = caller.scope.condition(cursor, schemes)
            former = caller.scope.condition(cursor, schemes, "history")
            return Condition(
                f"(c.id, c.n) IN (SELECT m.id, m.n FROM memories m WHERE {live.sql})"
                f" OR (c.id, c.n) IN (SELECT m.id, m.n FROM history m WHERE {former.sql})",
                (*live.parameters, *former.parameters),
            )
        case _:
            return Condition("TRUE")
