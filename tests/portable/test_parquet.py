"""Parquet: what other tools read from ours, and what we read from theirs."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from kiromi.errors import InvalidInput
from kiromi.model import Memory
from kiromi.portable import parquet
from kiromi.portable.parquet import read_parquet, write_parquet
from kiromi.portable.source import BadRecord, SourceRecord
from tests.portable.strategies import simple

NOON = datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=UTC)


def read_table(tmp_path: Path, columns: dict[str, Any]) -> list[SourceRecord]:
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    found = list(read_parquet(tmp_path / "in.parquet", namespace="ns"))
    assert all(isinstance(record, SourceRecord) for record in found), found
    return [record for record in found if isinstance(record, SourceRecord)]


def refusal(path: Path) -> str:
    [bad] = read_parquet(path)
    assert isinstance(bad, BadRecord)
    assert bad.position == "row 1"
    return bad.reason


def test_columns_become_fields_and_typed_attributes(tmp_path: Path) -> None:
    naive = datetime(2026, 1, 1, 12)  # noqa: DTZ001 - a column without time zone
    [found] = read_table(
        tmp_path,
        {
            "content": ["hello"],
            "tags": [["a", "b"]],
            "event_at": pa.array([naive], pa.timestamp("ms")),
            "created_at": pa.array([date(2026, 1, 2)]),
            "trip": pa.array([7], pa.int16()),
            "price": pa.array([Decimal("1.10")], pa.decimal128(10, 2)),
            "day": [date(2026, 1, 2)],
            "at": pa.array([NOON], pa.timestamp("us", tz="Europe/Berlin")),
            "nanos": pa.array([NOON.replace(tzinfo=None)], pa.timestamp("ns"))
            .cast(pa.int64())
            .cast(pa.timestamp("ns")),
            "yes": [True],
            "ratio": [0.5],
            "many": [[1, 2]],
            "when": pa.array([[naive]], pa.list_(pa.timestamp("us"))),
            "word": pa.array(["w"]).dictionary_encode(),
            "nothing": pa.array([None], pa.string()),
        },
    )
    draft = found.draft
    assert (found.position, draft.namespace, draft.tags) == ("row 1", "ns", ("a", "b"))
    assert (draft.content, draft.media_type) == (b"hello", "text/markdown")
    assert (draft.event_at, draft.created_at) == (naive.replace(tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
    assert draft.attributes == {
        "trip": 7,
        "price": Decimal("1.10"),
        "day": date(2026, 1, 2),
        "at": NOON,
        "nanos": NOON,
        "yes": True,
        "ratio": 0.5,
        "many": (1, 2),
        "when": (naive.replace(tzinfo=UTC),),
        "word": "w",
        "nothing": None,
    }


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"content": ["x"], "n": pa.array([2**64 - 1], pa.uint64())}, "attribute 'n'"),
        ({"content": ["x"], "n": [{"a": 1}]}, "attribute 'n'"),
        ({"content": ["x"], "n": [b"x"]}, "attribute 'n'"),
        ({"content": ["x"], "n": [float("nan")]}, "attribute 'n'"),
        ({"content": [None]}, "content None"),
        ({"text": ["x"]}, "content is missing"),
        ({"content": ["x"], "attributes": ["{"]}, "attributes: not JSON"),
        ({"content": ["x"], "links": ["5"]}, "links 5"),
        ({"content": ["x"], "n": pa.array([2**60], pa.timestamp("ms"))}, "not readable as Parquet"),
        ({"content": ["x"], "n": pa.array([2**30], pa.date32())}, "not readable as Parquet"),
    ],
)
def test_a_bad_row_says_why(tmp_path: Path, columns: dict[str, Any], named: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    assert named in refusal(tmp_path / "in.parquet")


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["x"]), pa.array([1]), pa.array([2])], names=["content", "n", "n"])
    pq.write_table(table, tmp_path / "in.parquet")
    assert "two columns have one name" in refusal(tmp_path / "in.parquet")


@pytest.mark.parametrize("cut", [0, 4, 100, -1])
def test_a_damaged_file_is_a_bad_record(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "in.parquet"
    write_parquet([simple()], path)
    path.write_bytes(path.read_bytes()[:cut])
    assert "not readable as Parquet" in refusal(path)


def test_the_path_must_hold_parquet(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InvalidInput, match="is no Parquet file"):
            read_parquet(path)


def test_folders_of_a_foreign_data_set_are_attributes(tmp_path: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(
            "COPY (SELECT 'x' AS content, 'a/b' AS \"user\", 7 AS trip, 'semantic' AS kind UNION ALL "
            "SELECT 'y', NULL, 8, 'procedural') TO ? (FORMAT parquet, PARTITION_BY (\"user\", kind))",
            [str(tmp_path / "set")],
        )
    (tmp_path / "set" / "_metadata.parquet").write_bytes(b"not read")
    (tmp_path / "set" / ".hidden.parquet").write_bytes(b"not read")
    found = [record for record in read_parquet(tmp_path / "set") if isinstance(record, SourceRecord)]
    drafts = {record.draft.content: record.draft for record in found}
    assert drafts[b"x"].attributes == {"user": "a/b", "trip": 7}
    assert drafts[b"y"].attributes == {"user": None, "trip": 8}
    assert [drafts[key].kind for key in (b"x", b"y")] == ["semantic", "procedural"]
    assert all(record.position.endswith(".parquet row 1") for record in found)


def test_a_column_wins_over_a_folder_of_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "n=1" / "plain"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"content": ["x"], "n": [1]}), folder / "a.parquet")
    [found] = read_parquet(tmp_path)
    assert isinstance(found, SourceRecord)
    assert found.draft.attributes == {"n": 1}


def partitioned(tmp_path: Path) -> Path:
    out = tmp_path / "out"
    values = [("a/b", "semantic"), ("é=%", "semantic"), (None, "x")]
    memories = [
        simple(f"{i}", i, partition={"user": user, "kind": kind}, kind=kind) for i, (user, kind) in enumerate(values)
    ]
    report = write_parquet(memories, out, partitioned=True)
    assert report.count == 3
    return out


def test_duckdb_reads_the_partitions(tmp_path: Path) -> None:
    out = partitioned(tmp_path)
    with duckdb.connect() as connection:
        rows = connection.execute(
            'SELECT "user", kind, decode(content) FROM read_parquet(?, hive_partitioning = true) ORDER BY id',
            [str(out / "**" / "*.parquet")],
        ).fetchall()
    assert rows == [("a/b", "semantic", "0"), ("é=%", "semantic", "1"), (None, "x", "2")]


def test_pyarrow_reads_the_partitions(tmp_path: Path) -> None:
    table = ds.dataset(partitioned(tmp_path), format="parquet", partitioning="hive").to_table()
    rows = sorted(table.select(["id", "user", "kind"]).to_pylist(), key=lambda row: str(row["id"]))
    assert [(row["user"], row["kind"]) for row in rows] == [("a/b", "semantic"), ("é=%", "semantic"), (None, "x")]


def test_a_memory_without_partition_lies_at_the_top(tmp_path: Path) -> None:
    write_parquet([simple()], tmp_path / "out", partitioned=True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["part-00000.parquet"]


@pytest.mark.parametrize("in_folders", [False, True])
def test_row_groups_are_bounded_by_bytes_and_written_as_they_fill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_folders: bool
) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_BYTES", 3_000)
    written: list[int] = []

    def memories() -> Iterator[Memory]:
        for i in range(7):
            written.append(sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()))
            yield simple(b"x" * (5_000 if i == 3 else 700), i)

    report = write_parquet(memories(), tmp_path / "out", partitioned=in_folders)
    assert (report.count, report.size_bytes) == (7, 6 * 700 + 5_000)
    files = sorted((tmp_path / "out").iterdir()) if in_folders else [tmp_path / "out"]
    groups: list[int] = []
    for file in files:
        with pq.ParquetFile(file) as opened:
            groups += [opened.metadata.row_group(i).num_rows for i in range(opened.num_row_groups)]
    assert groups == [2, 1, 1, 2, 1]
    assert len(list(read_parquet(tmp_path / "out"))) == 7
    assert written[-1] > written[0]


def test_a_file_that_fails_half_way_is_not_there(tmp_path: Path) -> None:
    def memories() -> Iterator[Memory]:
        yield simple()
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        write_parquet(memories(), tmp_path / "out.parquet")
    assert list(tmp_path.iterdir()) == []
