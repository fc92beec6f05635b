"""JSON Lines: what a line may hold, and what a bad one says."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from kiromi.errors import InvalidInput
from kiromi.portable.jsonl import read_jsonl, write_jsonl
from kiromi.portable.source import BadRecord, Found, SourceRecord
from kiromi.portable.target import new_file
from tests.portable.strategies import simple


def read(tmp_path: Path, *lines: str | bytes | dict[str, Any], **options: Any) -> list[Found]:
    raw = [json.dumps(line) if isinstance(line, dict) else line for line in lines]
    (tmp_path / "in.jsonl").write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in raw))
    return list(read_jsonl(tmp_path / "in.jsonl", **options))


def test_a_line_is_a_record(tmp_path: Path) -> None:
    [found] = read(
        tmp_path,
        {
            "content": "x",
            "partition": {"user": "ana", "kind": "semantic"},
            "attributes": {
                "price": {"decimal": "1.10"},
                "day": {"date": "2026-01-02"},
                "at": {"datetime": "2026-01-02T03:04:05"},
                "many": [{"decimal": "2"}, 1, "a"],
                "nothing": None,
            },
            "event_at": "2026-01-02",
            "expires_at": "2026-01-02T03:04:05+02:00",
            "created_at": "2026-01-02T03:04:05Z",
            "links": [{"dst": "kiromi://x", "kind": "about"}],
        },
    )
    assert isinstance(found, SourceRecord)
    assert found.position == "line 1"
    assert found.links == ({"dst": "kiromi://x", "kind": "about"},)
    draft = found.draft
    assert (draft.kind, draft.media_type) == ("semantic", "text/markdown")
    assert draft.attributes == {
        "user": "ana",
        "price": Decimal("1.10"),
        "day": date(2026, 1, 2),
        "at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "many": (Decimal(2), 1, "a"),
        "nothing": None,
    }
    assert draft.event_at == datetime(2026, 1, 2, tzinfo=UTC)
    assert draft.expires_at == datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)
    assert draft.created_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_the_namespace_is_for_records_that_name_none(tmp_path: Path) -> None:
    lines = [{"content": "x"}, {"content": "x", "namespace": ""}, {"content": "x", "namespace": "own"}]
    found = read(tmp_path, *lines, namespace="ns")
    assert [record.draft.namespace for record in found if isinstance(record, SourceRecord)] == ["ns", "", "own"]


def test_blank_lines_and_a_byte_order_mark_are_passed_over(tmp_path: Path) -> None:
    found = read(tmp_path, b'\xef\xbb\xbf{"content": "a"}\r', "", "  \t", {"content": "b"}, "")
    assert [(record.position, type(record)) for record in found] == [("line 1", SourceRecord), ("line 4", SourceRecord)]


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("{", "not JSON"),
        (b'{"content": "\xff"}', "not UTF-8 at byte 13"),
        ("[1]", "a list; expected an object"),
        ("5", "a int; expected an object"),
        ('{"content": "a", "content": "b"}', "the name 'content' stands twice"),
        ('{"content": "a", "importance": NaN}', "NaN is no JSON number"),
        ('{"content": "a", "attributes": {"n": 1e999}}', "attribute 'n'"),
        ('{"content": "a", "attributes": {"n": 99999999999999999999}}', "int64"),
        (f'{{"content": "a", "attributes": {{"n": {"9" * 5000}}}}}', "not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"content": "\\ud800"}', "lone surrogate"),
        ('{"content": "a", "\\ud800": 1}', "unknown field"),
        ('{"content": "a", "attributes": {"n": {"decimal": "x"}}}', "attribute 'n'"),
        ('{"content": "a", "attributes": {"n": {"decimal": "1", "more": 2}}}', "is an object"),
        ('{"content": "a", "attributes": {"n": {"date": 5}}}', "is an object"),
        ('{"content": "a", "attributes": {"n": {"date": "soon"}}}', "attribute 'n'"),
        ('{"content": "a", "attributes": {"n": {"datetime": "soon"}}}', "attribute 'n'"),
        ('{"content": "a", "attributes": {"n": [[1]]}}', "attribute 'n'"),
        ('{"content": "a", "attributes": [1]}', "attributes [1]: expected a mapping"),
        ('{"content": "a", "event_at": "soon"}', "event_at 'soon': expected an ISO 8601 date or time"),
        ('{"content": "a", "event_at": 5}', "event_at 5"),
        ('{"content": "a", "links": {}}', "links {}: expected a list of objects"),
        ('{"content": "a", "links": [1]}', "links [1]: expected a list of objects"),
        ('{"content": "a", "content_base64": "YQ=="}', "both given"),
        ('{"content_base64": "Y"}', "expected base64"),
        ('{"content_base64": 5}', "expected base64"),
        ('{"content_base64": "é"}', "expected base64"),
        ('{"content": "a", "sha256": "00"}', "sha256 '00': the content has ca978112"),
        ("{}", "content is missing"),
    ],
)
def test_a_bad_line_says_why_and_the_others_are_read(tmp_path: Path, line: str | bytes, named: str) -> None:
    first, bad, last = read(tmp_path, {"content": "a"}, line, {"content": "z"})
    assert isinstance(bad, BadRecord)
    assert bad.position == "line 2"
    assert named in bad.reason
    assert isinstance(first, SourceRecord)
    assert isinstance(last, SourceRecord)


def test_a_line_over_the_limit_is_passed_over(tmp_path: Path) -> None:
    fits = '{"content": "12345678"}'
    found = read(tmp_path, fits, " " + fits, "x" * 3_000_000, fits, " " + fits, max_line_bytes=len(fits))
    assert [type(record) for record in found] == [SourceRecord, BadRecord, BadRecord, SourceRecord, BadRecord]
    assert found[1] == BadRecord("line 2", "longer than 23 bytes")


def test_the_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"absent\.jsonl' cannot be read: No such file"):
        list(read_jsonl(tmp_path / "absent.jsonl"))


def test_records_are_read_one_by_one(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"content": "a"}\n{"content": "b"}\n')
    records = read_jsonl(source)
    assert next(records).position == "line 1"
    records.close()  # type: ignore[attr-defined]


def test_text_is_written_as_text_and_bytes_in_base64(tmp_path: Path) -> None:
    with new_file(tmp_path / "out.jsonl") as stream:
        report = write_jsonl([simple("é\n", 1), simple(b"\xff", 2, media_type="image/png")], stream)
    text, binary = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert (text["content"], binary["content_base64"]) == ("é\n", "/w==")
    assert (report.count, report.size_bytes, report.lost) == (2, 4, ())


def test_links_may_be_any_mapping_and_hold_times(tmp_path: Path) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    with new_file(tmp_path / "out.jsonl") as stream:
        write_jsonl([simple()], stream, links_of=lambda _: [MappingProxyType({"dst": "x", "valid_from": at})])
    [found] = read_jsonl(tmp_path / "out.jsonl")
    assert isinstance(found, SourceRecord)
    assert found.links == ({"dst": "x", "valid_from": "2026-01-01T00:00:00+00:00"},)


def test_a_link_that_has_no_json_form_is_an_error_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="no JSON form"), new_file(tmp_path / "out.jsonl") as stream:
        write_jsonl([simple()], stream, links_of=lambda _: [{"dst": object()}])
    assert list(tmp_path.iterdir()) == []
