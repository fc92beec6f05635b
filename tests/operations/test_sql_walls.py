"""Attempts to get through ``Store.sql``: to write, to reach files and internal tables, to leave a scope."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

import kiromi
from tests.operations.conftest import SCHEME
from tests.operations.tree import attic_files, data_files

VIEWS = ("memories", "history", "contents", "audit_log", "schemes", "partitions")
# None of these words is in what ana may see.
SECRETS = ("bob", "launch", "4711", "hush", "codes", "the-writer", "napalm")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("walls") / "memories"


@pytest.fixture(scope="module")
def store(root: Path) -> Iterator[kiromi.Store]:
    """A store that has to be the same after all that is done to it."""
    with kiromi.open(root, scheme=SCHEME, actor="tester") as store:
        fill(store)
    before = everything(root)
    with kiromi.open(root) as store:
        yield store
    assert everything(root) == before


def fill(store: kiromi.Store) -> None:
    store.append("mine", {"user": "ana", "topic": "1"}, title="1", key="1")
    shared = store.append("ours", {"user": "ana", "topic": "2"}, title="2")
    store.update(shared.id, content="ours, changed")
    with store.context(actor="the-writer"):
        theirs = store.append(
            "the launch code",
            {"user": "bob", "topic": "codes"},
            title="launch",
            tags=["hush"],
            attributes={"pin": 4711},
        )
        store.update(theirs.id, title="launch!", content="4711")
        gone = store.append("napalm", {"user": "bob"}, title="napalm", key="napalm", language="hush")
        store.delete(gone.id)
        store.update(shared.id, attributes={"user": "bob"}, title="launch", content="taken away")


def everything(root: Path) -> tuple[dict[str, bytes], dict[str, pa.Table]]:
    with duckdb.connect(str(root / "default" / "catalog.duckdb"), read_only=True) as catalog:
        names = [name for (name,) in catalog.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall()]
        tables = {name: catalog.sql(f'FROM "{name}" ORDER BY ALL').to_arrow_table() for name in names}
    return data_files(root) | attic_files(root), tables


@pytest.fixture(scope="module")
def ana(store: kiromi.Store) -> kiromi.Store:
    return store.scoped({"user": "ana"})


def assert_refused(handle: kiromi.Store, query: str) -> str:
    """Return the message of the refusal."""
    with pytest.raises(kiromi.InvalidInput) as refusal:
        handle.sql(query)
    return str(refusal.value)


STATEMENTS = [
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE memories",
    "SELECT 1;; DELETE FROM memories",
    "SELECT 1 --\n; DELETE FROM memories",
    "SELECT 1 /* /* */ */; DELETE FROM memories",
    "SELECT '\\'; DELETE FROM memories; --'",
    "SELECT $$a$$; DELETE FROM memories",
    "SELECT 1\0; DELETE FROM memories",
    "DELETE FROM memories",
    "INSERT INTO memories SELECT * FROM memories",
    "UPDATE memories SET title = 'x'",
    "MERGE INTO memories USING history ON true WHEN MATCHED THEN DELETE",
    "TRUNCATE memories",
    "DROP TABLE main.memories",
    "ALTER TABLE memories DROP COLUMN title",
    "CREATE TABLE x AS SELECT 1",
    "CREATE TEMP VIEW x AS SELECT * FROM meta",
    "CREATE MACRO x() AS TABLE FROM meta",
    "CREATE SECRET (TYPE s3)",
    "COPY memories TO 'out.csv'",
    "COPY (SELECT 1) TO '/dev/stderr'",
    "COPY memories FROM '/etc/passwd'",
    "EXPORT DATABASE 'out'",
    "IMPORT DATABASE 'out'",
    "ATTACH ':memory:' AS other",
    "ATTACH '/tmp/other.duckdb'",
    "DETACH system",
    "USE system",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "SET VARIABLE x = 1",
    "RESET threads",
    "PRAGMA database_list",
    "PRAGMA table_info('memories')",
    "CALL pragma_version()",
    "CALL force_checkpoint()",
    "CHECKPOINT",
    "VACUUM",
    "ANALYZE",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "DEALLOCATE p",
    "EXPLAIN SELECT * FROM memories",
    "EXPLAIN ANALYZE DELETE FROM memories",
    "COMMENT ON TABLE memories IS 'x'",
    "PIVOT memories ON kind",
    "FROM (PIVOT meta ON store_id)",
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_only_one_select_is_run(store: kiromi.Store, statement: str) -> None:
    assert "exactly one SELECT" in assert_refused(store, statement)


@pytest.mark.parametrize(
    "query",
    [
        "WITH x AS (DELETE FROM memories RETURNING *) FROM x",
        "WITH x AS (DELETE FROM pending RETURNING *) FROM x",
        "WITH x AS (INSERT INTO journal VALUES (1, 'x') RETURNING *) FROM x",
        "WITH x AS (UPDATE meta SET head_seq = 0 RETURNING *) SELECT 1",
        "WITH x AS (TRUNCATE meta) SELECT 1",
        "SELECT (WITH x AS (DELETE FROM memories RETURNING 1) FROM x)",
    ],
)
def test_a_with_clause_cannot_write(store: kiromi.Store, query: str) -> None:
    message = assert_refused(store, query)
    assert "only reads" in message or "Parser Error" in message


SOURCES = [
    *("meta", "journal", "pending", "incoming", "scheme_events", "schema_migrations", '"Meta"', "META", "'meta'"),
    *("main.memories", "catalog.memories", "catalog.main.memories", '"catalog"."main"."memories"', "main.meta"),
    *("temp.memories", '"temp".main.memories', "system.main.duckdb_tables", "pg_temp.memories"),
    *("information_schema.tables", "information_schema.columns", "duckdb_tables", "duckdb_settings", "duckdb_columns"),
    *("sqlite_master", "pg_catalog.pg_class", "pg_class", "pg_tables", "pg_settings", "pragma_database_list"),
    *(
        "'secret.csv'",
        '"secret.csv"',
        "'/etc/passwd'",
        "'catalog.duckdb'",
        "'https://example.org/a.parquet'",
        "'*.csv'",
    ),
    *("duckdb", "root", "store", "cursor", "statement", "found", "caller"),
    *("mеmories", '"memories\u200b"', "ｍemories", "hiſtory", '"memories "', '"memories\0"', "memories.memories"),
]


@pytest.mark.parametrize("source", SOURCES)
def test_nothing_but_the_views_can_be_read(store: kiromi.Store, source: str) -> None:
    for query in (
        f"FROM {source}",
        f"SELECT count(*) FROM {source}",
        f"DESCRIBE {source}",
        f"SUMMARIZE {source}",
        f"FROM (DESCRIBE {source})",
        f"WITH x AS (FROM {source}) SELECT 1",
    ):
        message = assert_refused(store, query)
        assert "reads the views audit_log, contents, history, memories, partitions, schemes" in message, query


def test_a_name_that_is_a_with_clause_elsewhere_stays_refused(store: kiromi.Store) -> None:
    for query in (
        "SELECT (WITH meta AS (SELECT 1) SELECT 1), * FROM meta",
        "WITH meta AS (FROM meta) FROM meta",
        "WITH RECURSIVE meta AS (FROM meta UNION FROM meta) FROM meta",
        "FROM (WITH meta AS (SELECT 1) FROM meta) a, meta b",
    ):
        assert "cannot read meta" in assert_refused(store, query)
    assert store.sql("WITH meta AS (SELECT 1 AS x) FROM meta").to_pylist() == [{"x": 1}]


@pytest.mark.parametrize(
    "function",
    [
        *("read_text('{file}')", "read_blob('{file}')", "read_csv('{file}')", "read_csv_auto('{file}')"),
        *("read_json('{file}')", "read_json_objects('{file}')", "read_ndjson('{file}')", "read_parquet('{file}')"),
        *("read_duckdb('{file}')", "parquet_scan('{file}')", "parquet_metadata('{file}')", "sniff_csv('{file}')"),
        *("glob('/etc/*')", "glob('{file}')", "read_single_csv_file('{file}')", "system.main.read_text('{file}')"),
        *("query('FROM meta')", "query('DELETE FROM memories')", "query_table('meta')", "query_table(['meta'])"),
        *("json_execute_serialized_sql(json_serialize_sql('FROM meta'))", "seq_scan('meta')", "summary(['meta'])"),
        *("duckdb_settings()", "duckdb_secrets()", "duckdb_tables()", "duckdb_views()", "duckdb_databases()"),
        *(
            "duckdb_functions()",
            "duckdb_logs()",
            "duckdb_variables()",
            "duckdb_temporary_files()",
            "which_secret('a', 's3')",
        ),
        *(
            "pragma_table_info('meta')",
            "pragma_storage_info('memories')",
            "pragma_database_size()",
            "pragma_show('meta')",
        ),
        *("pragma_user_agent()", "histogram('meta', 'store_id')", "histogram_values('memories', title)"),
        *("enable_logging()", "enable_profiling()", "truncate_duckdb_logs()", "checkpoint()", "force_checkpoint()"),
        *(
            "pandas_scan(1)",
            "arrow_scan(1, 2, 3)",
            "python_map_function(1)",
            "sqlite_scan('{file}', 'x')",
            "\"QUERY\"('FROM meta')",
        ),
        *("test_all_types()", "repeat(1, 2)", "nosuch()", "\"read_text\"('{file}')", "create_external_resource('x')"),
    ],
)
def test_table_functions_that_reach_out_are_refused(store: kiromi.Store, root: Path, function: str) -> None:
    call = function.replace("{file}", str(root / "default" / "catalog.duckdb"))
    for query in (f"FROM {call}", f"SELECT 1 FROM memories, LATERAL {call}", f"SELECT (SELECT count(*) FROM {call})"):
        message = assert_refused(store, query)
        assert f"cannot read {function.split('(')[0].split('.')[-1].strip(chr(34)).lower()}()" in message.lower()
        assert "the views audit_log" in message


@pytest.mark.parametrize(
    "call",
    [
        *("getenv('HOME')", "current_setting('home_directory')", "system.main.current_setting('access_mode')"),
        *("getvariable('x')", "current_query()", "current_database()", "in_search_path('main', 'main')"),
        *(
            "nextval('s')",
            "currval('s')",
            "setval('s', 1)",
            "setseed(0.5)",
            "write_log('x')",
            "sleep_ms(1)",
            "pg_sleep(1)",
        ),
        *("json_serialize_plan('FROM meta')", "index_key({'table': 'meta'}, 'i')", "stats(1)", "txid_current()"),
        *("pg_get_viewdef(1)", "pg_get_constraintdef(1)", "get_block_size('catalog')", "format_type(1, 1)"),
        *(
            "read_text('/etc/passwd')",
            "query('FROM meta')",
            "finalize('x'::BLOB)",
            "__internal_barrier(1)",
            "nosuch(1)",
        ),
        *("\"CURRENT_SETTING\"('access_mode')", "'access_mode'.current_setting()", "sum(stats(1)) OVER ()"),
    ],
)
def test_functions_that_do_more_than_compute_are_refused(store: kiromi.Store, call: str) -> None:
    for query in (
        f"SELECT {call}",
        f"SELECT 1 FROM memories WHERE {call} IS NULL",
        f"SELECT 1 ORDER BY {call}",
        f"SELECT list_transform([1], lambda x: {call})",
        f"FROM range({call})",
        f"VALUES ({call})",
    ):
        assert "does not admit the function" in assert_refused(store, query)


@pytest.mark.parametrize(
    "place",
    [
        "SELECT ({q})",
        "SELECT 1 AS a, [({q})], {{'a': ({q})}}, CASE WHEN ({q}) = 1 THEN 2 END",
        "SELECT CAST(({q}) AS INTEGER) BETWEEN 1 AND 2",
        "SELECT 1 IN ({q}), 1 = ANY ({q})",
        "SELECT EXISTS ({q}), ARRAY({q})",
        "SELECT coalesce(NULL, ({q})), -({q}), NOT ({q})",
        "SELECT list_transform([1], lambda x: ({q}))",
        "SELECT [x FOR x IN [1] IF ({q}) = 1]",
        "SELECT sum(size) FILTER (WHERE ({q}) = 1), string_agg(title, ',' ORDER BY ({q})) FROM memories",
        "SELECT row_number() OVER (PARTITION BY ({q}) ORDER BY ({q})) FROM memories",
        "SELECT sum(size) OVER (ROWS BETWEEN ({q}) PRECEDING AND ({q}) FOLLOWING) FROM memories",
        "SELECT lag(size, ({q}), ({q})) OVER w FROM memories WINDOW w AS (ORDER BY ({q}))",
        "SELECT * REPLACE (({q}) AS id) FROM memories",
        "SELECT COLUMNS(lambda c: c = ({q})) FROM memories",
        "SELECT DISTINCT ON (({q})) 1 FROM memories",
        "FROM memories WHERE size = ({q})",
        "SELECT 1 FROM memories GROUP BY ({q})",
        "SELECT 1 FROM memories GROUP BY GROUPING SETS ((({q})))",
        "SELECT 1 FROM memories HAVING ({q}) = 1",
        "SELECT 1 FROM memories QUALIFY ({q}) = 1",
        "SELECT 1 ORDER BY ({q})",
        "SELECT 1 LIMIT ({q})",
        "SELECT 1 LIMIT 1 OFFSET ({q})",
        "FROM ({q})",
        "FROM memories, LATERAL ({q})",
        "FROM memories JOIN history ON memories.n = ({q})",
        "FROM memories LEFT JOIN ({q}) x ON true",
        "FROM memories SEMI JOIN ({q}) x ON true",
        "FROM memories POSITIONAL JOIN ({q}) x",
        "FROM range(({q}))",
        "FROM unnest([({q})])",
        "VALUES (({q}))",
        "FROM (VALUES (({q})))",
        "SELECT 1 UNION ({q})",
        "({q}) EXCEPT SELECT 1",
        "WITH x AS ({q}) FROM x",
        "WITH x AS MATERIALIZED ({q}) SELECT 1",
        "WITH RECURSIVE x AS ({q} UNION SELECT 1) FROM x",
        "WITH RECURSIVE x AS (SELECT 1 UNION {q}) FROM x",
        "WITH RECURSIVE x(a) USING KEY (a) AS (SELECT 1 UNION {q}) FROM x",
        "FROM (PIVOT ({q}) ON c IN (1))",
        "FROM (PIVOT memories ON kind IN ('a') USING sum(({q})))",
        "FROM (PIVOT memories ON kind IN (({q})))",
        "FROM (UNPIVOT ({q}) ON c)",
        "DESCRIBE {q}",
        "SUMMARIZE {q}",
        "FROM (SUMMARIZE {q})",
        "SELECT 1 FROM memories AT (VERSION => ({q}))",
        "SELECT ({q}).a, ({q})[1], ({q})::VARCHAR.upper()",
    ],
)
def test_no_place_of_a_query_is_overlooked(store: kiromi.Store, place: str) -> None:
    for query in ("SELECT count(*) AS c FROM meta", "SELECT count(*) AS c FROM read_text('/etc/passwd')"):
        message = assert_refused(store, place.format(q=query))
        assert "cannot read" in message or "Parser Error" in message or "exactly one SELECT" in message, message
    message = assert_refused(store, place.format(q="SELECT stats(1) AS c FROM memories"))
    assert "does not admit" in message or "Parser Error" in message or "exactly one SELECT" in message, message


def test_show_is_refused_as_a_source(store: kiromi.Store) -> None:
    for query in (
        "SHOW TABLES",
        "SHOW ALL TABLES",
        "SHOW DATABASES",
        "FROM (SHOW TABLES)",
        "SHOW memories",
        "DESCRIBE",
    ):
        assert "the views audit_log" in assert_refused(store, query), query


def test_default_is_no_value(store: kiromi.Store) -> None:
    assert "DEFAULT" in assert_refused(store, "SELECT default")


def test_the_connection_stays_as_it_is_after_refusals(store: kiromi.Store) -> None:
    for statement in ("SET lock_configuration = false", "CREATE TABLE x AS SELECT 1", "SELECT nope FROM memories"):
        assert_refused(store, statement)
    assert store.sql("SELECT count(*) AS n FROM memories").to_pylist() == [{"n": 3}]


# -- scopes ---------------------------------------------------------------------------------------------------------


def test_every_view_holds_the_scope_and_nothing_else(store: kiromi.Store, ana: kiromi.Store) -> None:
    seen = {view: ana.sql(f"FROM {view}").to_pylist() for view in VIEWS}
    assert [row["title"] for row in seen["memories"]] == ["1"]
    assert sorted((row["title"], row["begin_seq"], row["end_seq"]) for row in seen["history"]) == [
        ("2", 2, 3),
        ("2", 3, 8),
    ]
    assert sorted((row["size"], row["n"]) for row in seen["contents"]) == [(4, 1), (4, 1), (13, 2)]
    assert [(row["path"], row["count"], row["size_bytes"]) for row in seen["partitions"]] == [
        ("user=ana/topic=1", 1, 4)
    ]
    assert len(seen["schemes"]) == 1
    assert sorted((row["seq"], row["i"]) for row in seen["audit_log"]) == [(e.seq, e.i) for e in ana.audit()]
    for view in set(VIEWS) - {"audit_log"}:
        assert not [secret for secret in SECRETS if secret in str(seen[view])], view
    assert len(store.sql("FROM history")) > len(seen["history"])


@pytest.mark.parametrize(
    "query",
    [
        "WITH memories AS (FROM memories) FROM memories",
        "WITH memories AS (FROM history) FROM memories",
        "WITH RECURSIVE memories AS (FROM memories UNION ALL SELECT * FROM memories WHERE false) FROM memories",
        "SELECT (SELECT max(h.title) FROM history h WHERE h.id <> m.id) FROM memories m",
        "SELECT m.title, (SELECT list(x.title) FROM memories x WHERE x.size > m.size) FROM memories m",
        "SELECT * FROM memories m, LATERAL (SELECT * FROM contents c WHERE c.id <> m.id)",
        "FROM memories FULL JOIN history USING (id) FULL JOIN contents USING (id)",
        "FROM memories POSITIONAL JOIN history POSITIONAL JOIN contents",
        "SELECT * FROM memories WHERE true OR title = 'launch'",
        "SELECT * FROM memories WHERE user = 'bob' OR 1 = 1 -- AND user = 'ana'",
        "SELECT * FROM memories UNION ALL BY NAME SELECT * FROM history",
        'SELECT * FROM "MEMORIES" NATURAL JOIN "Contents"',
        "SELECT title::INTEGER + 0, key::INTEGER, sum(n) FROM memories WHERE title::INTEGER > 0 GROUP BY ALL",
        "SELECT * FROM history WHERE title::INTEGER > 0 AND CASE WHEN title LIKE 'l%' THEN error(title) END IS NULL",
        "SELECT * FROM memories WHERE CASE WHEN kind <> 'x' AND title <> '1' THEN error(title) END IS NULL",
        "SELECT * FROM memories WHERE language IS NULL OR error(language) IS NULL",
        "SELECT * FROM contents WHERE CASE WHEN size > 13 OR size IN (5, 6, 10) THEN error(sha256) END IS NULL",
        "SELECT * FROM partitions WHERE CASE WHEN path LIKE '%bob%' THEN error(path) END IS NULL",
        "SELECT seq FROM audit_log WHERE CASE WHEN seq IN (4, 5, 6, 7) THEN error(detail) END IS NULL",
        "SUMMARIZE memories",
        "SUMMARIZE history",
        "SUMMARIZE contents",
        "SELECT min(id), max(title), approx_count_distinct(title), mode(title) FROM memories",
        "FROM memories TABLESAMPLE 100%",
        "SELECT rowid, * FROM memories",
        "SELECT to_json(m) FROM memories m",
        "SELECT * FROM (PIVOT memories ON title IN ('launch', 'launch!') USING max(path)) WHERE launch IS NOT NULL",
        "FROM memories ORDER BY title DESC LIMIT 1",
        "SELECT partition FROM memories WHERE partition LIKE 'user=%' ORDER BY partition DESC",
    ],
)
def test_a_scope_cannot_be_left(ana: kiromi.Store, query: str) -> None:
    found = str(ana.sql(query).to_pylist())
    # PIVOT names its columns after the query, which may hold any word.
    said = [secret for secret in SECRETS if secret in found.replace("'launch': ", "").replace("'launch!': ", "")]
    assert not said, found


@pytest.mark.parametrize(
    "source", ["meta", "main.memories", "catalog.main.history", "temp.main.memories", "read_text('x')"]
)
def test_a_scoped_handle_reaches_no_more_than_another(ana: kiromi.Store, source: str) -> None:
    message = assert_refused(ana, f"FROM {source}")
    assert not [secret for secret in SECRETS if secret in message]


def test_errors_of_a_scoped_handle_show_rows_of_the_scope_only(ana: kiromi.Store) -> None:
    message = assert_refused(ana, "SELECT kind::INTEGER, title::INTEGER FROM memories WHERE title::INTEGER > 0")
    assert "episodic" in message
    assert not [secret for secret in SECRETS if secret in message]


def test_scopes_that_paths_do_not_decide(tmp_path: Path) -> None:
    with kiromi.open(tmp_path / "other", scheme="shard={user:bucket(1)}") as store:
        for user in ("ana", "bob", "ana"):
            m = store.append(user, {"user": user}, title=user)
            store.update(m.id, title=user.upper())
        ana = store.scoped({"user": "ana"})
        nobody = store.scoped({"user": "eve"})
        for view, count in {"memories": 2, "history": 2, "contents": 2, "audit_log": 4, "partitions": 1}.items():
            assert len(ana.sql(f"FROM {view}")) == count, view
            assert len(nobody.sql(f"FROM {view}")) == 0, view
        joined = ana.sql("SELECT DISTINCT m.title FROM memories m, history h, contents c, audit_log a, partitions p")
        assert joined.to_pylist() == [{"title": "ANA"}]
