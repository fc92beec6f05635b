"""What is exported comes back: every writer with its reader, over random memories."""

import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiromi.model import Memory
from kiromi.portable.csv import read_csv, write_csv
from kiromi.portable.jsonl import read_jsonl, write_jsonl
from kiromi.portable.markdown import read_folder, write_markdown
from kiromi.portable.parquet import read_parquet, write_parquet
from kiromi.portable.source import Found, SourceRecord
from kiromi.portable.target import new_file
from tests.portable.strategies import facts, links, memories

Links = dict[str, list[dict[str, Any]]]


def round_trip(form: str, written: list[Memory], links: Links, folder: Path) -> list[Found]:
    def links_of(memory_id: str) -> Sequence[Mapping[str, Any]]:
        return links.get(memory_id, [])

    out = folder / "out"
    if form == "jsonl":
        with new_file(out) as stream:
            report = write_jsonl(written, stream, links_of=links_of)
        found = list(read_jsonl(out))
    elif form == "markdown":
        report = write_markdown(written, out, metadata=True, links_of=links_of)
        found = list(read_folder(out, namespace="other"))
    else:
        report = write_parquet(written, out, partitioned=form == "hive", links_of=links_of)
        found = list(read_parquet(out)) if written or form == "parquet" else []
    assert report.count == len(written)
    assert report.size_bytes == sum(memory.size for memory in written)
    assert report.lost == ()
    return found


def by_id(found: list[Found]) -> dict[str | None, SourceRecord]:
    for record in found:
        assert isinstance(record, SourceRecord), record
    return {record.draft.id: record for record in found if isinstance(record, SourceRecord)}


def superseded(memory: Memory) -> tuple[str, datetime] | None:
    if memory.superseded_by is None or memory.superseded_at is None:
        return None
    return memory.superseded_by, memory.superseded_at


@pytest.mark.parametrize("form", ["jsonl", "parquet", "hive", "markdown"])
@given(data=st.data())
def test_a_lossless_format_gives_back_all_that_a_caller_gave(form: str, data: st.DataObject) -> None:
    written = data.draw(memories())
    linked: Links = {memory.id: data.draw(links) for memory in written}
    with tempfile.TemporaryDirectory() as folder:
        found = by_id(round_trip(form, written, linked, Path(folder)))
    assert len(found) == len(written)
    for memory in written:
        record = found[memory.id]
        assert facts(record.draft) == facts(memory)
        assert list(record.links) == linked[memory.id]
        assert record.superseded == superseded(memory)


@given(written=memories())
def test_csv_loses_only_what_it_says(written: list[Memory]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.csv"
        with new_file(out) as stream:
            report = write_csv(written, stream)
        found = by_id(list(read_csv(out)))
    assert report.count == len(written)
    assert [text.split()[0] for text in report.lost] == ["links", "an"]
    assert len(found) == len(written)
    for memory in written:
        record = found[memory.id]
        assert facts(record.draft) == {**facts(memory), "title": memory.title or None}
        assert record.superseded == superseded(memory)


@given(written=memories())
def test_markdown_writes_the_bytes_of_every_memory_inside_its_folder(written: list[Memory]) -> None:
    with tempfile.TemporaryDirectory() as outer:
        folder = Path(outer) / "inner" / "out"
        write_markdown(written, folder)
        files = [path for path in Path(outer).rglob("*") if path.is_file()]
        assert sorted(path.read_bytes() for path in files) == sorted(memory.data for memory in written)
        assert all(path.is_relative_to(folder) for path in files)
