"""Export: one moment of a store as files, in each format, and what is refused."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

import kiromi
from kiromi import ChecksumMismatch, InvalidInput, Store
from kiromi.operations import exporting


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with kiromi.open(tmp_path / "store", scheme="user={user}", durability="relaxed") as opened:
        for number in range(6):
            opened.append(
                f"text {number}",
                {"user": "ana" if number % 2 else "bob"},
                key=f"deep/{number}.md",
                attributes={"n": number},
            )
        yield opened


def lines(text: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_markdown_is_the_stored_bytes_under_the_keys(store: Store, tmp_path: Path) -> None:
    store.append(b"\xff\x00", {"user": "ana"}, id="01J000000000000000000000AA")
    store.append("again", {"user": "ana"}, key="deep/0.md", namespace="other")
    report = store.export_to(tmp_path / "out")
    files = {
        path.relative_to(tmp_path / "out").as_posix(): path.read_bytes() for path in (tmp_path / "out").rglob("*.*")
    }
    [renamed] = report.renamed
    assert files == {f"deep/{number}.md": f"text {number}".encode() for number in range(6)} | {
        "01J000000000000000000000AA.bin": b"\xff\x00",
        renamed.file: b"again",
    }
    assert (report.applied, report.count, report.size_bytes, report.seq) == (True, 8, 43, 8)
    assert report.lost


@pytest.mark.parametrize("name", ["out.jsonl", "out.ndjson", "out.JSONL"])
def test_the_ending_says_the_format(store: Store, tmp_path: Path, name: str) -> None:
    store.export_to(tmp_path / name)
    assert [line["content"] for line in lines((tmp_path / name).read_bytes())] == [f"text {n}" for n in range(6)]


def test_a_given_format_goes_before_the_ending(store: Store, tmp_path: Path) -> None:
    store.export_to(tmp_path / "out.txt", format="csv")
    assert (tmp_path / "out.txt").read_text().startswith("id,namespace,key,")
    store.export_to(tmp_path / "out.jsonl", format="markdown")
    assert (tmp_path / "out.jsonl" / "deep" / "1.md").read_text() == "text 1"


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_stream_gets_what_a_file_gets(store: Store, tmp_path: Path, form: str) -> None:
    stream = io.BytesIO()
    report = store.export_to(stream, format=form)
    store.export_to(tmp_path / f"out.{form}")
    assert stream.getvalue() == (tmp_path / f"out.{form}").read_bytes()
    assert report.count == 6
    assert not stream.closed


def test_only_what_lies_within_and_matches_is_written(store: Store) -> None:
    stream = io.BytesIO()
    report = store.export_to(stream, format="jsonl", within={"user": "ana"}, where="n > 1")
    assert [line["content"] for line in lines(stream.getvalue())] == ["text 3", "text 5"]
    assert report.count == 2
    scoped = io.BytesIO()
    store.scoped({"user": "bob"}).export_to(scoped, format="jsonl")
    assert [line["attributes"]["user"] for line in lines(scoped.getvalue())] == ["bob"] * 3


def test_a_dry_run_counts_and_writes_nothing(store: Store, tmp_path: Path) -> None:
    report = store.export_to(tmp_path / "out", within={"user": "ana"}, dry_run=True)
    assert (report.applied, report.count, report.size_bytes, report.seq) == (False, 3, 18, 6)
    assert not (tmp_path / "out").exists()


def test_partitioned_parquet_is_a_hive_data_set(store: Store, tmp_path: Path) -> None:
    store.export_to(tmp_path / "out", partitioned=True)
    files = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.parquet")}
    assert files == {"user=ana/part-00000.parquet", "user=bob/part-00000.parquet"}
    table = ds.dataset(tmp_path / "out", partitioning="hive").to_table()
    assert sorted(zip(table["user"].to_pylist(), table["content"].to_pylist(), strict=True)) == sorted(
        ("ana" if number % 2 else "bob", f"text {number}".encode()) for number in range(6)
    )


def test_partitioned_parquet_comes_in_the_order_of_the_partitions(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kiromi.portable.parquet.ROW_GROUP_BYTES", 3 * (512 + 6))
    store.export_to(tmp_path / "out", partitioned=True)
    files = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.parquet"))
    assert files == ["user=ana/part-00000.parquet", "user=bob/part-00001.parquet"]


@pytest.mark.parametrize("is_small", [True, False])
def test_an_export_is_one_moment(store: Store, monkeypatch: pytest.MonkeyPatch, is_small: bool) -> None:
    monkeypatch.setattr(exporting, "CHUNK_ROWS", 1 if is_small else 256)
    monkeypatch.setattr(exporting, "CHUNK_BYTES", 1 << 20 if is_small else 6)
    ids = store.list_ids()
    progress: list[tuple[int, int]] = []

    def change(done: int, total: int) -> None:
        progress.append((done, total))
        if done == 1:
            store.update(ids[2], content="changed", attributes={"user": "eve"})
            store.delete(ids[3])
            store.append("new", {"user": "ana"})

    stream = io.BytesIO()
    report = store.export_to(stream, format="jsonl", on_progress=change)
    assert [line["content"] for line in lines(stream.getvalue())] == [f"text {number}" for number in range(6)]
    assert [line["attributes"]["user"] for line in lines(stream.getvalue())] == ["bob", "ana"] * 3
    assert progress == [(number, 6) for number in range(1, 7)]
    assert report.seq == 6


def test_a_spoilt_blob_stops_an_export_and_leaves_no_file(store: Store, tmp_path: Path) -> None:
    path = store.get(store.list_ids()[3]).path
    (tmp_path / "store" / "default" / path).write_text("spoilt")
    with pytest.raises(ChecksumMismatch):
        store.export_to(tmp_path / "out.jsonl")
    assert {path.name for path in tmp_path.iterdir()} == {"store"}


def test_an_empty_selection_is_an_empty_file(store: Store, tmp_path: Path) -> None:
    report = store.export_to(tmp_path / "out.parquet", where="n > 99")
    assert (report.count, report.size_bytes) == (0, 0)
    assert ds.dataset(tmp_path / "out.parquet").count_rows() == 0


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("out.zip", {}, "does not say its format"),
        ("out.jsonl", {"format": "yaml"}, "format 'yaml'"),
        ("out.jsonl", {"metadata": True}, "metadata=True is for markdown"),
        ("out.jsonl", {"partitioned": True, "format": "jsonl"}, "partitioned=True is for parquet"),
        ("out.jsonl", {"within": {"town": "x"}}, "within names 'town'"),
        ("full", {}, "is not empty"),
        ("full/file", {"format": "jsonl"}, "exists; an export does not overwrite"),
        ("absent/out.jsonl", {}, "is not there; create it first"),
    ],
)
def test_refused_arguments(store: Store, tmp_path: Path, name: str, arguments: dict[str, Any], message: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("precious")
    with pytest.raises(InvalidInput, match=message):
        store.export_to(tmp_path / name, **arguments)
    assert {path.name for path in tmp_path.iterdir()} == {"store", "full"}
    assert (tmp_path / "full" / "file").read_text() == "precious"


@pytest.mark.parametrize("form", [None, "markdown", "parquet"])
def test_a_stream_takes_lines_only(store: Store, form: str | None) -> None:
    with pytest.raises(InvalidInput, match="a stream takes one of jsonl, csv"):
        store.export_to(io.BytesIO(), format=form)
