"""The journal's text: an exact inverse, and what a killed process left in it is folded on opening."""

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import kiromi
from kiromi.catalog.changes import Changes, ContentRow, Head, combine, from_journal, to_journal
from kiromi.catalog.rows import AuditRow, Row
from kiromi.catalog.vectors import ContentVectors

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_maybe = st.none() | _texts
_micros = st.integers(-(2**50), 2**50)
_small = st.integers(1, 2**31 - 1)
_hashes = st.binary(min_size=32, max_size=32)
_rows = st.builds(
    Row, _texts, _small, _small, _small, _small, _small, _texts, _maybe, _maybe, _texts, _texts, _maybe,
    st.lists(_texts, max_size=3).map(tuple), _texts, st.none() | st.floats(0, 1), st.none() | st.floats(0, 1),
    _micros, st.none() | _micros, st.none() | _micros, st.none() | _micros, _micros, _micros, _maybe,
    _maybe, st.none() | _micros, _texts, _texts, _small, _hashes,
)  # fmt: skip
_floats = st.lists(st.floats(width=32, allow_nan=False), min_size=3, max_size=3)
_vectors = st.lists(st.tuples(st.integers(0, 9), st.integers(-1, 99), _floats), min_size=1, max_size=3).flatmap(
    lambda passages: st.builds(
        ContentVectors, _texts, _small, _small,
        st.just(tuple((begin, end) for begin, end, _ in passages)),
        st.just(np.array([floats for *_, floats in passages], np.float32)),
    )
)  # fmt: skip
_changes = st.builds(
    Changes,
    st.builds(Head, _small, _micros, _hashes, _small),
    live=st.dictionaries(_texts, st.none() | _rows, max_size=3),
    closed=st.lists(st.tuples(_rows, _small), max_size=3),
    contents=st.lists(st.builds(ContentRow, _texts, _small, _texts, _texts, _small, _hashes), max_size=3),
    audit=st.lists(
        st.builds(
            AuditRow, _small, _small, _micros, _texts, _maybe, _maybe, _texts, _maybe, _texts, _hashes, _hashes, _hashes
        ),
        max_size=3,
    ),
    places=st.dictionaries(st.tuples(_texts, _small), st.lists(_texts, max_size=3).map(tuple), max_size=3),
    vectors=st.lists(st.tuples(_vectors, _small), max_size=2),
)


@given(_changes)
def test_journal_round_trip(changes: Changes) -> None:
    assert from_journal(to_journal(changes)) == changes


@given(_rows)
def test_a_journal_of_a_kiromi_that_knew_fewer_columns_is_read(row: Row) -> None:
    former = row._replace(superseded_by=None, superseded_at=None)
    document = json.loads(to_journal(Changes(Head(1, 1, b"h", 1), live={"x": former})))
    values = document["live"][0][1]
    begin = Row._fields.index("superseded_by")
    del values[begin : begin + 2]
    del document["vectors"]
    assert from_journal(json.dumps(document)).live == {"x": former}


@given(st.lists(_changes, min_size=1, max_size=4))
def test_combined_changes_end_like_the_last_and_keep_everything(parts: list[Changes]) -> None:
    total = combine(parts)
    assert total.head == parts[-1].head
    assert total.audit == [entry for part in parts for entry in part.audit]
    assert total.closed == [pair for part in parts for pair in part.closed]
    assert set(total.live) == {memory_id for part in parts for memory_id in part.live}
    for memory_id, row in parts[-1].live.items():
        assert total.live[memory_id] == row


def test_a_killed_process_leaves_a_journal_that_opening_folds(tmp_path: Path) -> None:
    script = (
        "import kiromi, os, sys\n"
        "store = kiromi.open(sys.argv[1], scheme='user={user}')\n"
        "for number in range(5):\n"
        "    store.append(f'memory {number}', {'user': 'ana'}, key=str(number))\n"
        "os._exit(9)\n"
    )
    root = Path(kiromi.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], env=environment, check=False)
    assert killed.returncode == 9
    catalog = tmp_path / "default" / "catalog.duckdb"
    with duckdb.connect(str(catalog)) as connection:
        assert connection.execute("SELECT count(*) FROM memories").fetchall() == [(0,)]
        assert connection.execute("SELECT count(*) FROM journal").fetchall() == [(5,)]
    with kiromi.open(tmp_path) as store:
        assert [store.get(key=str(number)).text for number in range(5)] == [f"memory {number}" for number in range(5)]
        assert store.count() == 5
        assert store.seq == 5
    with duckdb.connect(str(catalog)) as connection:
        assert connection.execute("SELECT count(*) FROM memories").fetchall() == [(5,)]
        assert connection.execute("SELECT count(*) FROM journal").fetchall() == [(0,)]
        assert connection.execute("SELECT count(*) FROM pending").fetchall() == [(0,)]
