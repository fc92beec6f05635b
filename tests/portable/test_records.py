"""The edge: what a record may hold, what it becomes, and how a refusal reads."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiromi.errors import InvalidInput
from kiromi.model import Draft
from kiromi.records import FIELDS, extension, media_type_of, parse_draft, parse_record

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def refusal(**fields: Any) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        parse_record({"content": "x", **fields}, position=17)
    assert str(caught.value).startswith("record 17: ")
    assert caught.value.details["position"] == 17
    return caught.value


def test_text_alone_is_a_markdown_memory() -> None:
    assert parse_draft(content="héllo") == Draft("héllo".encode(), "text/markdown")


def test_the_default_kind_is_for_records_that_name_none() -> None:
    assert parse_record({"content": "x"}, default_kind="working").kind == "working"
    assert parse_record({"content": "x", "kind": "semantic"}, default_kind="working").kind == "semantic"
    assert parse_draft(content="x", default_kind="working").kind == "working"


@pytest.mark.parametrize("content", [b"\xff\x00", bytearray(b"\xff\x00"), memoryview(b"\xff\x00")])
def test_bytes_are_kept_as_bytes(content: object) -> None:
    draft = parse_draft(content=content)
    assert (draft.content, draft.media_type) == (b"\xff\x00", "application/octet-stream")
    assert type(draft.content) is bytes


def test_every_field_arrives() -> None:
    berlin = timezone(timedelta(hours=1))
    fields: dict[str, Any] = {
        "content": "{}",
        "media_type": "application/json",
        "partition": {"user": "ana"},
        "attributes": {"trip": 7, "seats": ["a", "b"]},
        "id": ID,
        "key": "k",
        "namespace": "n",
        "kind": "semantic",
        "title": "T",
        "tags": ["b", "a", "b"],
        "language": "de-CH",
        "importance": 1,
        "confidence": 0.5,
        "event_at": NOON.astimezone(berlin),
        "valid_from": NOON,
        "valid_until": NOON + timedelta(days=1),
        "expires_at": NOON + timedelta(days=2),
        "created_at": NOON - timedelta(days=1),
        "updated_at": NOON,
        "vector": [1, -0.5, 1e-3],
    }
    assert set(fields) == set(FIELDS)
    draft = parse_record(fields)
    assert (draft.vector == np.array([1, -0.5, 1e-3], np.float32)).all()
    assert draft == Draft(
        b"{}",
        "application/json",
        {"user": "ana", "trip": 7, "seats": ("a", "b")},
        ID,
        "k",
        "n",
        "semantic",
        "T",
        ("b", "a"),
        "de-CH",
        1.0,
        0.5,
        NOON,
        NOON,
        NOON + timedelta(days=1),
        NOON + timedelta(days=2),
        NOON - timedelta(days=1),
        NOON,
    )
    assert draft.event_at is not None
    assert draft.event_at.tzinfo is UTC


def test_none_is_the_same_as_absent() -> None:
    assert parse_record({**dict.fromkeys(FIELDS), "content": "x"}) == parse_record({"content": "x"})


def test_the_record_is_left_as_it_was() -> None:
    record = {"content": "x", "partition": {"user": "ana", "kind": "semantic"}}
    parse_record(record)
    assert record == {"content": "x", "partition": {"user": "ana", "kind": "semantic"}}


def test_built_ins_in_the_partition_set_the_field() -> None:
    draft = parse_draft(content="x", partition={"kind": "semantic", "key": "k", "event_at": NOON, "user": "ana"})
    assert (draft.kind, draft.key, draft.event_at, draft.attributes) == ("semantic", "k", NOON, {"user": "ana"})
    assert parse_draft(content="x", partition={"key": None}).key is None
    assert parse_draft(content="x", partition={"kind": "semantic"}, kind="semantic").kind == "semantic"


@pytest.mark.parametrize("same", ["ana", 7, None, NOON, ["a", 1]])
def test_a_name_may_stand_in_both_mappings_with_one_value(same: object) -> None:
    both = parse_draft(content="x", partition={"user": same, "a": 1}, attributes={"user": same, "b": 2})
    assert both == parse_draft(content="x", attributes={"a": 1, "b": 2, "user": same})


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"content": 5}, "content 5: expected text"),
        ({"content": None}, "content None: expected text"),
        ({"content": "a\ud800"}, "lone surrogate at character 1"),
        ({"content": b"a\xff", "media_type": "text/plain"}, "not UTF-8 at byte 1, so it is not text/plain"),
        ({"content": b"\xff", "media_type": "Application/JSON; charset=x"}, "not UTF-8"),
        ({"media_type": "markdown"}, "media_type 'markdown': expected a media type"),
        ({"partition": [1]}, "partition [1]: expected a mapping"),
        ({"attributes": "a"}, "attributes 'a': expected a mapping"),
        ({"attributes": {"trip": {"n": 1}}}, "attribute 'trip'"),
        ({"partition": {"trip": object}}, "attribute 'trip'"),
        ({"partition": {"id": ID}}, "partition name 'id' is a built-in; give id as a field"),
        ({"partition": {"created_at": NOON}}, "partition name 'created_at' is a built-in"),
        ({"partition": {"kind": None}}, "partition value None of 'kind'"),
        ({"partition": {"kind": "a"}, "kind": "b"}, "'kind' has two values: 'b', and 'a' in the partition"),
        ({"partition": {"n": 1}, "attributes": {"n": 1.0}}, "'n' has two values: 1.0, and 1 in the partition"),
        ({"partition": {"n": True}, "attributes": {"n": 1}}, "'n' has two values"),
        ({"id": ID.lower()}, "expected an upper-case ULID"),
        ({"key": ""}, "key '': expected text of 1 to 1,024 bytes"),
        ({"key": "é" * 513}, "expected text of 1 to 1,024 bytes"),
        ({"key": "a\ud800"}, r"key 'a\ud800'"),
        ({"namespace": "n" * 1025}, "expected text of at most 1,024 bytes"),
        ({"kind": ""}, "kind '': expected text of 1 to 64 characters"),
        ({"kind": "k" * 65}, "expected text of 1 to 64 characters"),
        ({"title": "t" * 10_001}, "expected text of at most 10,000 characters"),
        ({"title": 5}, "title 5: expected text"),
        ({"tags": "ab"}, "tags 'ab': expected a list of non-empty texts"),
        ({"tags": ["a", ""]}, "tags ['a', '']"),
        ({"tags": [5]}, "tags [5]"),
        ({"tags": ["\udfff"]}, r"tags ['\udfff']"),
        ({"language": ""}, "BCP 47"),
        ({"importance": 1.01}, "importance 1.01: expected a number from 0 to 1"),
        ({"importance": True}, "importance True"),
        ({"confidence": float("nan")}, "confidence nan"),
        ({"confidence": "0.5"}, "confidence '0.5'"),
        ({"vector": [1.0, float("nan")]}, "vector [1.0, nan]"),
        ({"vector": [1e39]}, "vector [1e+39]"),
        ({"vector": []}, "vector []"),
        ({"vector": "1 2"}, "vector '1 2'"),
        ({"vector": [[1.0]]}, "vector [[1.0]]"),
        ({"vector": [True]}, "vector [True]"),
        ({"event_at": NOON.replace(tzinfo=None)}, "expected a timezone-aware datetime"),
        ({"event_at": NOON.date()}, "expected a timezone-aware datetime"),
        ({"expires_at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))}, "years 1 to 9999"),
        ({"valid_from": NOON, "valid_until": NOON}, "is not before valid_until"),
        ({"colour": 5}, "unknown field 'colour': expected one of content, media_type,"),
        ({"a\ud800": 5}, "unknown field"),
    ],
)
def test_a_refusal_names_the_field_the_value_and_what_is_accepted(fields: dict[str, Any], named: str) -> None:
    error = refusal(**fields)
    assert named in str(error)
    assert error.details["errors"][0]["message"] in str(error)
    assert error.details["errors"][0]["field"] == error.details["field"]
    str(error).encode()


def test_all_refusals_are_in_the_details_and_the_first_in_the_message() -> None:
    error = refusal(kind="", title=3, colour=5)
    assert [item["field"] for item in error.details["errors"]] == ["kind", "title", "colour"]
    assert "title" not in str(error)


def test_content_is_needed() -> None:
    with pytest.raises(InvalidInput, match=r"^content is missing: expected text"):
        parse_record({})


def test_a_long_value_is_shown_in_short() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_draft(content="x", media_type="m" * 10**6)
    assert len(str(caught.value)) < 300
    with pytest.raises(InvalidInput) as caught:
        parse_draft(content="x", key=b"k" * 10**6)
    assert len(str(caught.value)) < 300


@given(st.text(), st.text(min_size=1), st.decimals(-9, 9, places=2))
def test_any_text_is_kept_as_it_is(content: str, name: str, number: Decimal) -> None:
    draft = parse_draft(
        content=content, title=name, tags=[name], namespace=name, attributes={"a": number, "b": content}
    )
    assert (draft.content.decode(), draft.title, draft.tags, draft.namespace) == (content, name, (name,), name)
    assert str(draft.attributes["a"]) == str(number)


@pytest.mark.parametrize("ending", ["md", "txt", "json", "bin"])
def test_extensions_and_media_types_mirror_each_other(ending: str) -> None:
    assert extension(media_type_of(ending)) == ending
    assert media_type_of("." + ending.upper()) == media_type_of(ending)


def test_extensions_ignore_parameters_and_case() -> None:
    assert extension("Text/Markdown ; charset=utf-8") == "md"
    assert extension("image/png") == "bin"
    assert media_type_of("markdown") == "text/markdown"
