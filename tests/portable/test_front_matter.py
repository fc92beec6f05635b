"""YAML front matter: what is read, what it becomes, and what is refused."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiromi.errors import InvalidInput
from kiromi.portable.frontmatter import MAX_BYTES, draft_fields, parse

PLUS_TWO = timezone(timedelta(hours=2))


def read(block: str) -> dict[str, Any]:
    text = f"---\n{block}\n---\nbody"
    fields, offset = parse(text)
    assert text[offset:] == "body"
    return fields


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_the_body_begins_after_the_closing_line(line_end: str, start: str) -> None:
    text = start + line_end.join(["--- ", "a: 1", "b: x", "---\t", "body", "---", ""])
    fields, offset = parse(text)
    assert fields == {"a": 1, "b": "x"}
    assert text[offset:] == line_end.join(["body", "---", ""])


@pytest.mark.parametrize(
    "text",
    [
        *["", "a: 1", "----\na: 1\n---\n", " ---\na: 1\n---\n", "---", "---\n", "---\na: 1\n", "---\na: 1\n ---\n"],
        *[
            "---\nA chapter.\n---\nAnother.",
            "---\n- a\n- b\n---\n",
            "---\n" + "[" * 9_000 + "\n---\n",
            "x---\na: 1\n---\n",
        ],
    ],
)
def test_a_thematic_break_is_no_front_matter(text: str) -> None:
    assert parse(text) == ({}, 0)


@pytest.mark.parametrize("text", ["---\n---\nbody", "---\n\n---\nbody", "---\n# nothing\n---\nbody"])
def test_front_matter_may_be_empty(text: str) -> None:
    assert parse(text) == ({}, len(text) - len("body"))


def test_the_closing_line_may_end_the_file() -> None:
    assert parse("---\na: 1\n---") == ({"a": 1}, 12)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("1", 1), ("0x1F", 31), ("1_000", 1000), ("-3.10", -3.1), ("1e3", "1e3"), ("true", True), ("no", False)],
        *[("~", None), ("", None), ("null", None), ("'1'", "1"), ('"a\\tb"', "a\tb"), ("a b", "a b"), ("! 12", "12")],
        *[("!!str 12", "12"), ("&x here", "here"), ("12:30", "12:30"), ("12:30:45.5", "12:30:45.5"), ("=", "=")],
        *[("2026-01-02", date(2026, 1, 2)), ("[]", []), ("[1, a, 2026-01-02]", [1, "a", date(2026, 1, 2)])],
        ("2026-01-02 03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05+02:00", datetime(2026, 1, 2, 3, 4, 5, tzinfo=PLUS_TWO)),
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        *[(str(2**70), 2**70), ("\n  - a\n  - b", ["a", "b"]), ("|-\n  two\n  lines", "two\nlines"), ("é😀", "é😀")],
    ],
)
def test_values_have_their_yaml_type(text: str, value: object) -> None:
    found = read(f"a: {text}")["a"]
    assert (found, type(found)) == (value, type(value))


def test_keys_are_taken_as_they_are_written() -> None:
    assert read("2024: a\nyes: b\n'c d': c\n<<: d\n2024-01-01: e") == {
        "2024": "a",
        "yes": "b",
        "c d": "c",
        "<<": "d",
        "2024-01-01": "e",
    }


@pytest.mark.parametrize(
    ("block", "named"),
    [
        ("a: 1\nb: 2\na: 3", "'a' stands twice, again on line 4"),
        ("a: &x 1\nb: *x", r"'b' has the alias \*x"),
        ("a: &x [*x]", "'a' has the alias"),
        ("a: {b: 1}", "'a' holds a mapping; expected text"),
        ("a: [{b: 1}]", "'a' holds a mapping"),
        ("a: [[1]]", "'a' holds a nested list"),
        ("a: " + "[" * 9_000, "'a' holds a nested list"),
        ("a:\n  b: 1", "'a' holds a mapping"),
        ("? [a]\n: b", "a key on line 2 is no text"),
        ("*x : 1", "a key on line 2 is no text"),
        ("a: !!int x", "'a' has the explicit type"),
        ("a: !!python/object:os.system x", "'a' has the explicit type"),
        ("a: !!binary aGk=", "'a' has the explicit type"),
        ("a: !!set [b]", "'a' holds a nested list"),
        ("a: 2024-02-30", "'a' has '2024-02-30', which is no value: day is out of range"),
        ("a: 2026-01-01 00:00:00+99:00", "'a' has '2026-01-01 00:00:00"),
        ("a: " + "9" * 5_000, "'a' has '9999"),
        ("a: 1\n b: 2", "not YAML: mapping values are not allowed in this context on line 3"),
        ("a: 'x", "not YAML"),
        ("a: \x01", "not YAML: .*control characters"),
        ("a: \ud800", "lone surrogate"),
        ("a: 1\n...\n%YAML 1.1", "not YAML|more than one"),
        ("a: 1\n--- b", "more than one YAML document"),
        ("a: " + "x" * MAX_BYTES, "front matter of 65,540 bytes; at most 65,536"),
    ],
)
def test_a_refusal_names_the_key_or_the_line(block: str, named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        parse(f"---\n{block}\n---\n")


@given(st.text(max_size=60), st.booleans())
def test_any_text_is_read_or_refused(text: str, fenced: bool) -> None:
    whole = f"---\n{text}\n---\n" if fenced else text
    try:
        fields, offset = parse(whole)
    except InvalidInput:
        return
    assert 0 <= offset <= len(whole)
    assert all(isinstance(name, str) for name in fields)


def test_columns_and_attributes_part_ways() -> None:
    fields = {"title": "T", "tags": ["a"], "type": "Process", "created": date(2000, 6, 13), "importance": 0.5}
    assert draft_fields(fields, {}) == {
        "title": "T",
        "tags": ["a"],
        "importance": 0.5,
        "attributes": {"type": "Process", "created": date(2000, 6, 13)},
    }


@pytest.mark.parametrize(
    ("fields", "column"),
    [
        ({"tags": "a, b,,c "}, ["a", "b", "c"]),
        ({"tags": [2024, "a"]}, ["2024", "a"]),
        ({"tags": None}, None),
        ({"title": 1984}, "1984"),
        ({"title": date(2026, 1, 2)}, "2026-01-02"),
        ({"kind": None}, None),
        ({"event_at": date(2026, 1, 2)}, datetime(2026, 1, 2, tzinfo=UTC)),
        ({"expires_at": "2026-01-02 10:00"}, datetime(2026, 1, 2, 10, tzinfo=UTC)),
        ({"valid_from": datetime(2026, 1, 2, tzinfo=PLUS_TWO)}, datetime(2026, 1, 2, tzinfo=PLUS_TWO)),
    ],
)
def test_columns_take_what_means_the_same(fields: dict[str, Any], column: object) -> None:
    [name] = fields
    assert draft_fields(fields, {}) == {name: column, "attributes": {}}


@pytest.mark.parametrize("fields", [{"title": True}, {"kind": 3.1}, {"tags": [3.1]}, {"valid_until": "soon"}])
def test_a_bad_column_names_its_key(fields: dict[str, Any]) -> None:
    [name] = fields
    with pytest.raises(InvalidInput, match=rf"front matter: '?{name}"):
        draft_fields(fields, {})


def test_a_column_taken_from_a_key_leaves_it_an_attribute() -> None:
    created = date(2000, 6, 13)
    assert draft_fields({"created": created, "event_at": date(2001, 1, 1)}, {"event_at": "created"}) == {
        "event_at": datetime(2000, 6, 13, tzinfo=UTC),
        "attributes": {"created": created},
    }


def test_a_column_moves_to_another_name() -> None:
    assert draft_fields({"title": "a", "kind": "b"}, {"heading": "title", "language": "kind"}) == {
        "language": "b",
        "attributes": {"heading": "a"},
    }


def test_an_attribute_is_renamed_and_absent_keys_are_passed_over() -> None:
    assert draft_fields({"a": 1, "b": 2}, {"b": "a", "a": "b", "title": "nothing"}) == {"attributes": {"b": 1, "a": 2}}


def test_two_keys_cannot_become_one_attribute() -> None:
    with pytest.raises(InvalidInput, match="'a' cannot be renamed to 'b'"):
        draft_fields({"a": 1, "b": 2}, {"b": "a"})
