"""``Store.sql``: what the documented views hold, parameters, and what one may write in a SELECT."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import kiromi
from tests.operations.conftest import SCHEME
from tests.operations.tree import attic_files, data_files

_VERSION = (
    "id version seq n scheme partition path title key namespace kind language tags attributes importance confidence"
    " event_at valid_from valid_until expires_at created_at updated_at run_id superseded_by"
    " superseded_at media_type size sha256"
)
COLUMNS = {
    "memories": _VERSION,
    "history": f"{_VERSION} begin_seq end_seq",
    "contents": "id n ext media_type size sha256",
    "audit_log": "seq i at actor run_id reason op memory_id detail hash",
    "schemes": "number template created_at is_active",
    "partitions": "scheme path count size_bytes",
}
# What `MemoryInfo` shows in another form than SQL.
_OTHER_FORM = {"partition", "attributes"}


def rows(store: kiromi.Store, query: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in store.sql(query, parameters).to_pylist()]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sql") / "memories"


@pytest.fixture(scope="module")
def lived(root: Path) -> Iterator[kiromi.Store]:
    """A store with a past, for reading only."""
    with kiromi.open(root, scheme=SCHEME, actor="tester") as store:
        live_through(store)
        yield store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[kiromi.Store]:
    with kiromi.open(tmp_path / "memories", scheme=SCHEME) as store:
        yield store


def live_through(store: kiromi.Store) -> None:
    """Change, move, delete and let expire."""
    first = store.append(
        "one",
        {"user": "ana", "topic": "travel"},
        title="One's",
        key="k",
        namespace="n",
        tags=["b", "a"],
        attributes={"trip": 7, "cost": 1.5},
        importance=0.5,
        confidence=0.25,
        language="en",
        event_at=datetime(2020, 1, 2, 3, 4, 5, 678901, UTC),
        valid_from=datetime(2020, 1, 1, tzinfo=UTC),
        valid_until=datetime(2030, 1, 1, tzinfo=UTC),
    )
    store.update(first.id, content="one, changed")
    with store.context(run_id="r1", reason="moving"):
        store.update(first.id, attributes={"topic": "old % trips"})
    gone = store.append(b"\x00\xff", {"user": "bob"}, media_type="application/octet-stream")
    store.delete(gone.id)
    store.append("past", {"user": "ana"}, expires_at=datetime.now(UTC) - timedelta(days=1))


@pytest.mark.parametrize("view", COLUMNS)
def test_the_views_have_the_documented_columns(lived: kiromi.Store, view: str) -> None:
    for handle in (lived, lived.scoped({"user": "ana"})):
        assert handle.sql(f"FROM {view}").column_names == COLUMNS[view].split()


def test_memories_and_history_say_what_the_library_says(lived: kiromi.Store) -> None:
    ids = [memory_id for (memory_id,) in rows(lived, "SELECT id FROM memories UNION SELECT id FROM history")]
    assert len(ids) == 3
    versions = [version for memory_id in ids for version in lived.history(memory_id)]
    live = {row["id"]: row for row in lived.sql("FROM memories").to_pylist()}
    former = {(row["id"], row["begin_seq"]): row for row in lived.sql("FROM history").to_pylist()}
    for version in versions:
        info = version.info
        row = live.pop(info.id) if version.end_seq is None else former.pop((info.id, version.begin_seq))
        for name in _VERSION.split():
            if name not in {*_OTHER_FORM, "n"}:
                said = getattr(info, name)
                assert row[name] == (list(said) if name == "tags" else said)
        assert row.get("end_seq") == version.end_seq
        assert json.loads(row["attributes"]) == dict(info.attributes)
        assert row["path"].endswith(f"{info.id}.{row['n']}.{'bin' if row['size'] == 2 else 'md'}")
    assert not live
    assert not former


def test_paths_are_where_the_blobs_lie(lived: kiromi.Store, root: Path) -> None:
    shown = {path for (path,) in rows(lived, "SELECT path FROM memories")}
    assert shown == {f"data/{path}" for path in data_files(root)}
    former = {path for (path,) in rows(lived, "SELECT path FROM history")}
    attic = {f"attic/{path}" for path in attic_files(root)}
    assert attic < former <= attic | shown


@pytest.mark.parametrize("scheme", [SCHEME, "shard={user:bucket(1)}/topic={topic}"])
def test_a_former_path_is_the_live_one_within_the_scope(tmp_path: Path, scheme: str) -> None:
    with kiromi.open(tmp_path / "other", scheme=scheme) as store:
        stays = store.append("one", {"user": "ana", "topic": "a"})
        stays = store.update(stays.id, attributes={"topic": "b"})
        goes = store.append("two", {"user": "ana", "topic": "a"})
        gone = store.update(goes.id, attributes={"user": "bob", "topic": "bob's"})
        ana = store.scoped({"user": "ana"})
        query = "SELECT h.path FROM history h LEFT JOIN memories m USING (id) ORDER BY h.id"
        assert rows(store, query) == [(stays.path,), (gone.path,)]
        assert rows(ana, query) == [(stays.path,), (f"attic/{goes.id[-2:]}/{goes.id}.1.md",)]
        assert rows(ana, "SELECT path FROM history ORDER BY id") == rows(ana, query)
        for memory_id, path in rows(ana, "SELECT id, path FROM history"):
            assert ana.history(memory_id)[-1].info.path == path


def test_attributes_can_be_read_as_json(lived: kiromi.Store) -> None:
    found = rows(lived, "SELECT attributes->>'topic', (attributes->'trip')::INTEGER FROM memories WHERE key = 'k'")
    assert found == [("old % trips", 7)]


def test_contents_audit_log_schemes_and_partitions(lived: kiromi.Store) -> None:
    assert rows(lived, "SELECT n, ext, media_type, size FROM contents ORDER BY id, n") == [
        (1, "md", "text/markdown", 3),
        (2, "md", "text/markdown", 12),
        (1, "bin", "application/octet-stream", 2),
        (1, "md", "text/markdown", 4),
    ]
    audit = lived.audit()
    found = lived.sql("FROM audit_log ORDER BY seq, i").to_pylist()
    assert [{**row, "detail": json.loads(row["detail"])} for row in found] == [
        {name: getattr(entry, name) for name in COLUMNS["audit_log"].split()} for entry in audit
    ]
    assert rows(lived, "SELECT number, template, is_active FROM schemes") == [(1, SCHEME, True)]
    assert rows(lived, "SELECT path, count, size_bytes FROM partitions ORDER BY path") == [
        (node.path, node.count, node.size_bytes) for node in lived.partitions()
    ]


def test_sql_sees_every_acknowledged_write(store: kiromi.Store) -> None:
    for number in range(1, 4):
        store.append("x", {"user": "ana"})
        assert rows(store, "SELECT count(*), max(seq) FROM memories") == [(number, number)]


def test_parameters_are_values(lived: kiromi.Store) -> None:
    for value in ("One's", "nobody' OR '1'='1"):
        found = rows(lived, "SELECT title, ? FROM memories WHERE title = ?", [7, value])
        assert found == ([("One's", 7)] if value == "One's" else [])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert rows(lived, "SELECT ?, ?, ?", [None, now, ["a", "b"]]) == [(None, now, ["a", "b"])]


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("SELECT ?", None),
        ("SELECT ?", []),
        ("SELECT 1", [1]),
        ("SELECT $name", [1]),
        ("SELECT ?", [object()]),
        ("SELECT ?", [2**200]),
        ("SELECT ?", ["\ud800"]),
        ("SELECT ?", "a"),
        ("SELECT $name", {"name": 1}),
        ("SELECT ?", 1),
    ],
)
def test_parameters_that_do_not_fit_are_refused(store: kiromi.Store, query: str, parameters: Any) -> None:
    with pytest.raises(kiromi.InvalidInput):
        store.sql(query, parameters)


@pytest.mark.parametrize("query", [None, 1, b"SELECT 1", "", ";", "-- nothing", "SELECT '\ud800'", "SELEC 1"])
def test_what_is_no_query_is_refused(store: kiromi.Store, query: Any) -> None:
    with pytest.raises(kiromi.InvalidInput, match=r"SELECT|Parser Error|surrogates"):
        store.sql(query)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT nope FROM memories", 'Referenced column "nope" not found'),
        ("SELECT title::INTEGER FROM memories WHERE title IS NOT NULL", "Could not convert string"),
        ("SELECT error('mine')", "mine"),
        ("SELECT FROM WHERE", "syntax error"),
        ("SELECT " + "(SELECT " * 400 + "1" + ")" * 400, "nested too deeply"),
        ("SELECT " + "(" * 5000 + "1" + ")" * 5000, "depth"),
    ],
)
def test_duckdbs_own_errors_say_what_is_wrong(lived: kiromi.Store, query: str, message: str) -> None:
    with pytest.raises(kiromi.InvalidInput, match=re.escape(message)):
        lived.sql(query)
    assert rows(lived, "SELECT count(*) FROM memories") == [(2,)]


SHAPES = r"""
FROM memories

TABLE memories

VALUES (1), (2)

SELECT 1 AS one; -- the end

SELECT m.id FROM "Memories" AS m /* a comment */ WHERE m.size > 1 -- another

SELECT m FROM MEMORIES m

SELECT a: title, * EXCLUDE (title) REPLACE (upper(kind) AS kind), COLUMNS('.*_at') FROM memories

SELECT kind, count(*), sum(size) FILTER (WHERE size > 1), string_agg(title, ',' ORDER BY seq) FROM memories GROUP BY
ROLLUP (kind) HAVING count(*) > 0 ORDER BY ALL

SELECT id, row_number() OVER w, lag(size, 1) OVER w FROM memories WINDOW w AS (PARTITION BY kind ORDER BY seq) QUALIFY
row_number() OVER w = 1

SELECT DISTINCT ON (kind) kind, id FROM memories ORDER BY kind DESC NULLS LAST LIMIT 10% OFFSET 0

FROM memories JOIN contents USING (id, n) LEFT JOIN history h ON memories.id = h.id ASOF JOIN audit_log a ON a.at <=
memories.created_at

FROM memories SEMI JOIN history USING (id)

FROM memories ANTI JOIN history USING (id)

FROM memories POSITIONAL JOIN contents

FROM memories m, LATERAL (SELECT m.size + 1) t(x)

SELECT id, tag FROM memories CROSS JOIN unnest(tags) u(tag)

SELECT unnest(tags), generate_subscripts(tags, 1) FROM memories

SELECT m.id, e.key, e.value FROM memories m, json_each(m.attributes) e

FROM range(3) r(i), generate_series(1, 2), json_tree('{}') WITH ORDINALITY

SELECT * FROM memories m WHERE EXISTS (SELECT 1 FROM history h WHERE h.id = m.id)

SELECT list_transform(tags, lambda t: upper(t)), [t FOR t IN tags IF t > 'a'], tags[1], tags[:1], {'a': 1}.a, MAP
{'a': 1}['a'], title.upper(), ROW(1, 2) FROM memories

SELECT CASE WHEN size > 1 THEN 'a' ELSE 'b' END, size BETWEEN 1 AND 2, size NOT IN (1, 2), title IS NULL, title LIKE
'a%', title NOT ILIKE 'b', title ~ 'x', title SIMILAR TO 'x', title GLOB '*', NOT true, -size, size // 2, size ** 2,
3!, @size, title || 'x', title COLLATE nocase, try_cast(title AS INTEGER), try(title::INTEGER), coalesce(title, 'x'),
ifnull(title, 'x'), nullif(title, 'x'), if(true, 1, 2) FROM memories

SELECT extract(year FROM event_at), event_at AT TIME ZONE 'Europe/Berlin', date_trunc('month', event_at),
strftime(event_at, '%Y'), event_at + INTERVAL 3 DAY, ago(INTERVAL 1 HOUR), age(event_at) FROM memories

SELECT now(), current_date, current_timestamp, today(), localtimestamp, random(), uuid(), pi(), version()

SELECT 1::DECIMAL(18, 3), '1'::STRUCT(a INTEGER)[], 'a'::ENUM ('a', 'b'), DATE '2020-01-01', x'00', 1e3 LIMIT 0

FROM (PIVOT memories ON kind IN ('episodic', 'semantic') USING count(*) GROUP BY namespace)

UNPIVOT (SELECT id, title, key FROM memories) ON title, key INTO NAME name VALUE value

FROM memories TABLESAMPLE reservoir(50%) REPEATABLE (1)

(SELECT 1) UNION ALL (SELECT 2) EXCEPT SELECT 3 ORDER BY 1

SELECT 1 AS a UNION ALL BY NAME SELECT 2 AS b

WITH RECURSIVE tree(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM tree WHERE n < 5) SELECT sum(n) FROM tree

WITH a AS MATERIALIZED (FROM memories), b AS (FROM a) SELECT count(*) FROM b, a

DESCRIBE memories

DESCRIBE SELECT size FROM memories

SUMMARIZE memories

SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY size), median(size), approx_count_distinct(id) FROM memories

SELECT GROUPING(kind), kind FROM memories GROUP BY CUBE (kind)

SELECT #1, ARRAY(SELECT id FROM history ORDER BY ALL) FROM memories

SELECT size = ANY (SELECT size FROM history), size > ALL (SELECT 0) FROM memories
"""


@pytest.mark.parametrize("query", SHAPES.strip().split("\n\n"))
def test_selects_of_every_shape_work(lived: kiromi.Store, query: str) -> None:
    for handle in (lived, lived.scoped({"user": "ana"})):
        assert isinstance(handle.sql(query), pa.Table)


def test_two_columns_may_have_one_name_and_order_is_kept(lived: kiromi.Store) -> None:
    found = lived.sql("SELECT seq, seq FROM audit_log ORDER BY 1 DESC")
    assert found.column_names == ["seq", "seq"]
    assert found.column(0).to_pylist() == sorted(found.column(1).to_pylist(), reverse=True)


@pytest.mark.parametrize("name", ['we"ird name', "main", "memories"])
def test_the_name_of_the_catalog_file_does_not_matter(tmp_path: Path, name: str) -> None:
    catalog = tmp_path / f"{name}.duckdb"
    with kiromi.open(tmp_path / "root", scheme="user={user}", catalog=catalog) as store:
        store.append("x", {"user": "ana"})
        for handle in (store, store.scoped({"user": "ana"})):
            assert rows(handle, "SELECT count(*) FROM memories JOIN contents USING (id, n)") == [(1,)]


def test_read_only_handles(store: kiromi.Store, tmp_path: Path) -> None:
    live_through(store)
    expected = store.sql("FROM memories ORDER BY id")
    store.close()
    with kiromi.open(tmp_path / "memories", read_only=True) as reader:
        assert reader.sql("FROM memories ORDER BY id") == expected
        assert reader.scoped({"user": "ana"}).sql("FROM memories ORDER BY id") == expected
        with pytest.raises(kiromi.InvalidInput):
            reader.sql("CREATE TEMP TABLE x AS SELECT 1")
