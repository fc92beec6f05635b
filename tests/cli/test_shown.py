"""What values look like in JSON and for people."""

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiromi import Problem
from kiromi.cli.shown import cell, columns, count_text, json_text, plain, safe, size_text


def test_json_of_every_type() -> None:
    value = {
        "text": "é",
        "number": 7,
        "share": 0.5,
        "flag": True,
        "none": None,
        "decimal": Decimal("1.10"),
        "day": date(2026, 1, 31),
        "moment": datetime(2026, 1, 31, 13, tzinfo=timezone(timedelta(hours=1))),
        "naive": datetime(2026, 1, 31, 13),  # noqa: DTZ001 - SQL has such
        "bytes": b"\xff",
        "list": [1, (2,), {3}],
        "infinite": float("inf"),
        "span": timedelta(seconds=1),
        "problem": Problem("orphan", "x", "y"),
    }
    assert json.loads(json_text(value)) == {
        "text": "é",
        "number": 7,
        "share": 0.5,
        "flag": True,
        "none": None,
        "decimal": "1.10",
        "day": "2026-01-31",
        "moment": "2026-01-31T12:00:00.000000Z",
        "naive": "2026-01-31T13:00:00.000000",
        "bytes": "/w==",
        "list": [1, [2], [3]],
        "infinite": "inf",
        "span": "0:00:01",
        "problem": {"kind": "orphan", "subject": "x", "message": "y", "fixed": False},
    }
    assert plain(True) is True


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_950, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (64_000_000, "64 MB"),
        (5 * 10**18, "5000 PB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    assert size_text(size) == text


def test_counts_and_cells() -> None:
    assert [count_text(n, "memory") for n in (0, 1, 1_000)] == ["0 memories", "1 memory", "1,000 memories"]
    assert count_text(2, "blob") == "2 blobs"
    moment = datetime(2026, 1, 31, tzinfo=UTC)
    assert [cell(v) for v in (None, "a\nb", b"\x00\xff", ("é",), 7, moment)] == [
        "",
        "a\\nb",
        "00ff",
        '["é"]',
        "7",
        "2026-01-31T00:00:00.000000Z",
    ]


def test_columns_align_wide_letters() -> None:
    assert list(columns([("名前", "n"), ("a", "10")], right=(1,))) == ["名前   n", "a     10"]
    assert list(columns([])) == []


@given(st.text())
def test_what_is_safe_is_one_line_of_printable_text(text: str) -> None:
    shown = safe(text)
    assert shown.encode().decode() == shown
    assert len(shown.splitlines()) <= 1
    assert "\x1b" not in shown
