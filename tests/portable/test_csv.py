"""CSV: columns, types, and what a bad row says."""

import csv
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kiromi.errors import InvalidInput
from kiromi.portable.csv import HEADER, read_csv, write_csv
from kiromi.portable.source import BadRecord, Found, SourceRecord
from kiromi.portable.target import new_file
from tests.portable.strategies import simple


def read(tmp_path: Path, text: str | bytes, **options: Any) -> list[Found]:
    (tmp_path / "in.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return list(read_csv(tmp_path / "in.csv", **options))


def test_known_columns_are_fields_and_others_attributes(tmp_path: Path) -> None:
    [found] = read(
        tmp_path,
        "\ufeffcontent,user,tags,importance,event_at,attributes,partition,links,trip\r\n"
        'hello,ana,"a, b",0.5,2026-01-02,"{""n"": 1}","{""kind"": ""semantic""}","[{""dst"": ""x""}]",\r\n',
    )
    assert isinstance(found, SourceRecord)
    assert (found.position, found.links) == ("line 2", ({"dst": "x"},))
    draft = found.draft
    assert (draft.content, draft.tags, draft.importance, draft.kind) == (b"hello", ("a", "b"), 0.5, "semantic")
    assert draft.event_at == datetime(2026, 1, 2, tzinfo=UTC)
    assert draft.attributes == {"n": 1, "user": "ana"}


def test_attributes_are_text_unless_a_type_is_given(tmp_path: Path) -> None:
    text = "content,a,b,c,d,e,f,g\nx,7,7,0.5,1.10,TRUE,2026-01-02,2026-01-02T03:04\n"
    types = {"b": "int", "c": "float", "d": "decimal", "e": "bool", "f": "date", "g": "datetime"}
    [plain] = read(tmp_path, text)
    [typed] = read(tmp_path, text, types=types)
    assert isinstance(plain, SourceRecord)
    assert isinstance(typed, SourceRecord)
    assert set(map(type, plain.draft.attributes.values())) == {str}
    assert typed.draft.attributes == {
        "a": "7",
        "b": 7,
        "c": 0.5,
        "d": Decimal("1.10"),
        "e": True,
        "f": date(2026, 1, 2),
        "g": datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
    }


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ("x,1,0.5,", "column 'n': '1' is no date"),
        ("x,,half,", "column 'importance': 'half' is no number"),
        ("x,,7,", "importance 7.0: expected a number from 0 to 1"),
        ("x,,", "3 cells; the header has 4"),
        ("x,,,,", "5 cells; the header has 4"),
        ('x,,,"[1"', "tags: not JSON"),
        ('x,,,"[1]"', "tags [1]"),
        ('"x"y,,,', "expected after"),
        (b"\xff,,,", "column 'content' is not UTF-8"),
    ],
)
def test_a_bad_row_says_why_and_the_others_are_read(tmp_path: Path, row: str | bytes, named: str) -> None:
    raw = row.encode() if isinstance(row, str) else row
    first, bad, last = read(tmp_path, b"content,n,importance,tags\na,,,\n" + raw + b"\n\nz,,,\n", types={"n": "date"})
    assert isinstance(bad, BadRecord)
    assert bad.position == "line 3"
    assert named in bad.reason
    assert isinstance(first, SourceRecord)
    assert (type(last), last.position) == (SourceRecord, "line 5")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("content,a,a\nx,1,2\n", "names a column twice"),
        ("a,b\nx,1\n", "no column content"),
        ("content\nx\n", "no column 'n', for which a type is given"),
        ('"content\nx\n', "unexpected end of data"),
    ],
)
def test_a_bad_header_ends_the_reading(tmp_path: Path, text: str, named: str) -> None:
    [bad] = read(tmp_path, text, types={"n": "int"})
    assert isinstance(bad, BadRecord)
    assert named in bad.reason


def test_json_cells_must_be_json(tmp_path: Path) -> None:
    [bad, also] = read(tmp_path, 'content,attributes,partition,n\nx,{,,1\nx,,"[1]",1\n')
    assert isinstance(bad, BadRecord)
    assert "attributes: not JSON" in bad.reason
    assert isinstance(also, BadRecord)
    assert "partition [1]: expected a mapping" in also.reason


def test_one_attribute_cannot_have_two_values(tmp_path: Path) -> None:
    [bad] = read(tmp_path, 'content,attributes,n\nx,"{""n"": 1}",2\n')
    assert isinstance(bad, BadRecord)
    assert "'n' has two values" in bad.reason


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    assert read(tmp_path, "") == []


def test_a_type_must_be_known(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="type 'uuid' of column 'a': expected one of str, int"):
        read_csv(tmp_path / "in.csv", types={"a": "uuid"})


def test_a_line_over_the_limit_ends_the_reading(tmp_path: Path) -> None:
    found = read(tmp_path, "content\nshort\n" + "x" * 100 + "\nshort\n", max_line_bytes=20)
    assert [type(record) for record in found] == [SourceRecord, BadRecord]
    assert found[1] == BadRecord("line 3", "longer than 20 bytes; reading ends here")


def test_large_cells_are_read(tmp_path: Path) -> None:
    memory = simple("é,\r\n" * 100_000)
    with new_file(tmp_path / "out.csv") as stream:
        write_csv([memory], stream)
    [found] = read_csv(tmp_path / "out.csv")
    assert isinstance(found, SourceRecord)
    assert found.draft.content == memory.data


def test_other_readers_of_csv_find_the_columns(tmp_path: Path) -> None:
    with new_file(tmp_path / "out.csv") as stream:
        report = write_csv([simple("a\nb", key="k", tags=("x,y",), attributes={"n": 1}), simple(b"\xff", 2)], stream)
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as text:
        first, second = csv.DictReader(text)
    assert tuple(first) == HEADER
    assert (first["content"], first["key"], first["tags"], first["attributes"]) == ("a\nb", "k", '["x,y"]', '{"n":1}')
    assert (second["content"], second["content_base64"]) == ("", "/w==")
    assert (report.count, report.size_bytes) == (2, 4)
