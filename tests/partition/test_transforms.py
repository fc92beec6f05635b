"""Transforms give what Iceberg's table spec says, and refuse what they are not defined for."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kiromi.errors import InvalidInput
from kiromi.partition import Transform, identity_text
from kiromi.partition.murmur3 import murmur3

MOMENT = datetime(2017, 11, 16, 22, 31, 8, tzinfo=UTC)
PST = timezone(timedelta(hours=-8))
INT64 = st.integers(-(2**63), 2**63 - 1)


class Color(StrEnum):
    RED = "red"


def apply(transform: str, value: object) -> str:
    return Transform.parse(transform).apply(value, "f")


# https://iceberg.apache.org/spec/#appendix-b-32-bit-hash-requirements
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (34, 2017239379),
        (Decimal("14.20"), -500754589),
        (date(2017, 11, 16), -653330422),
        (MOMENT, -2047944441),
        (MOMENT.replace(microsecond=1), -1207196810),
        (datetime(2017, 11, 16, 14, 31, 8, tzinfo=PST), -2047944441),
        ("iceberg", 1210000089),
        (True, 1392991556),
        (1, 1392991556),
        (1.0, -142385009),
        (0.0, 1669671676),
        (-0.0, 1669671676),
    ],
)
def test_bucket_is_icebergs(value: object, expected: int) -> None:
    for count in (1, 7, 64, 65_536):
        assert apply(f"bucket({count})", value) == str((expected & 0x7FFFFFFF) % count)


@given(st.binary(max_size=40))
def test_murmur3_equals_mmh3(data: bytes) -> None:
    mmh3 = pytest.importorskip("mmh3")
    assert murmur3(data) == mmh3.hash(data, 0, signed=False)


@given(st.decimals(-(10**20), 10**20, places=3))
@example(Decimal("-0.128"))
@example(Decimal("0.128"))
def test_bucket_hashes_the_shortest_twos_complement(value: Decimal) -> None:
    unscaled = int(value.scaleb(3))
    size = next(n for n in range(1, 99) if -(1 << 8 * n - 1) <= unscaled < 1 << 8 * n - 1)
    expected = murmur3(unscaled.to_bytes(size, "big", signed=True)) & 0x7FFFFFFF
    assert apply("bucket(65536)", value) == str(expected % 65536)


@pytest.mark.parametrize(
    ("transform", "value", "expected"),
    [
        ("year", MOMENT, "2017"),
        ("month", MOMENT, "2017-11"),
        ("day", MOMENT, "2017-11-16"),
        ("hour", MOMENT, "2017-11-16-22"),
        ("day", datetime(2017, 11, 16, 22, tzinfo=PST), "2017-11-17"),
        ("month", date(2017, 11, 16), "2017-11"),
        ("year", date(7, 1, 2), "0007"),
        ("%Y-%m", MOMENT, "2017-11"),
        ("%G-W%V", date(2021, 1, 3), "2020-W53"),
        ("%Y %G", date(7, 6, 1), "0007 0007"),
        ("100%%:%y", date(2007, 6, 1), "100%:07"),
        # https://iceberg.apache.org/spec/#truncate-transform-details
        ("truncate(10)", 1, "0"),
        ("truncate(10)", -1, "-10"),
        ("truncate(50)", Decimal("10.65"), "10.50"),
        ("truncate(50)", Decimal("-10.65"), "-11.00"),
        ("truncate(50)", Decimal("0.05"), "0.00"),
        ("truncate(3)", "iceberg", "ice"),
        ("truncate(2)", "\U0001f600é日", "\U0001f600é"),
        ("truncate(9)", "ice", "ice"),
        ("truncate(10)", Decimal("7.5E+1"), "70"),
        ("lower", "ÀB", "àb"),
        ("lower", True, "true"),
        ("lower", MOMENT, "2017-11-16t22:31:08.000000+00:00"),
    ],
)
def test_transforms_render(transform: str, value: object, expected: str) -> None:
    assert apply(transform, value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("ana", "ana"),
        (Color.RED, "red"),
        (7, "7"),
        (-(2**63), "-9223372036854775808"),
        (True, "true"),
        (False, "false"),
        (0.1, "0.1"),
        (1e16, "1e+16"),
        (np.float64(2.5), "2.5"),
        (Decimal("7.00"), "7.00"),
        (Decimal("-0.050"), "-0.050"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1E-8"), "0.00000001"),
        (Decimal("123456789012345678901234567890.123"), "123456789012345678901234567890.123"),
        (date(17, 1, 2), "0017-01-02"),
        (MOMENT, "2017-11-16T22:31:08.000000+00:00"),
        (datetime(2017, 11, 16, 22, 31, 8, 5, tzinfo=PST), "2017-11-17T06:31:08.000005+00:00"),
    ],
)
def test_identity_text(value: object, expected: str) -> None:
    text = identity_text(value, "f")
    assert text == expected
    assert type(text) is str


@given(st.datetimes(min_value=datetime(1000, 1, 1)))  # noqa: DTZ001 - glibc pads no earlier year
def test_directives_are_strftimes(moment: datetime) -> None:
    pattern = "%Y|%m %d %H %M %S %f %j %U %W %V %G %u %w %y %%".replace("|", " ")
    assert apply(pattern, moment.replace(tzinfo=UTC)) == moment.strftime(pattern)


@given(INT64, st.integers(1, 2**31 - 1))
def test_truncated_integers_floor(value: int, width: int) -> None:
    truncated = int(apply(f"truncate({width})", value))
    assert truncated % width == 0
    assert 0 <= value - truncated < width


@pytest.mark.parametrize(
    ("transform", "value", "why"),
    [
        ("hour", date(2017, 11, 16), "needs a datetime"),
        ("%Y-%H", date(2017, 11, 16), "needs a datetime"),
        ("year", "2017-11-16", "text is not read as a time"),
        ("day", 7, "needs a date or datetime"),
        ("day", MOMENT.replace(tzinfo=None), "time zone"),
        ("hour", datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))), "years 1 to 9999"),
        ("bucket(4)", 2**63, "64 bits"),
        ("bucket(4)", "\ud800", "lone surrogate"),
        ("bucket(4)", float("nan"), "finite"),
        ("bucket(4)", ("a",), "a list cannot fill a segment"),
        ("truncate(4)", 1.5, "truncate needs"),
        ("truncate(4)", True, "truncate needs"),
        ("truncate(4)", MOMENT, "truncate needs"),
        ("lower", ["a"], "a list cannot fill a segment"),
    ],
)
def test_values_that_do_not_suit(transform: str, value: object, why: str) -> None:
    with pytest.raises(InvalidInput, match=why) as caught:
        apply(transform, value)
    assert "'f'" in caught.value.message


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (["a"], "a list cannot fill a segment"),
        ({"a": 1}, "a dict cannot fill a segment"),
        (b"a", "a bytes cannot fill a segment"),
        (2**63, "64 bits"),
        (float("inf"), "finite"),
        (Decimal("NaN"), "finite"),
        (Decimal("1E+999999999"), "255 digits"),
        (Decimal("1E-300"), "255 digits"),
        (MOMENT.replace(tzinfo=None), "time zone"),
    ],
)
def test_values_without_a_text(value: Any, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        identity_text(value, "f")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [("bucket( 064 )", "bucket(64)"), ("truncate(3)", "truncate(3)"), ("hour", "hour"), ("%Y-%m", "%Y-%m")],
)
def test_transforms_have_a_canonical_text(text: str, canonical: str) -> None:
    assert str(Transform.parse(text)) == canonical
    assert Transform.parse(canonical) == Transform.parse(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "expected year"),
        ("Year", "expected year"),
        ("bucket", "expected year"),
        ("bucket(x)", "expected year"),
        ("bucket(-1)", "expected year"),
        ("lower(3)", "expected year"),
        ("bucket(0)", "1 to 65536"),
        ("bucket(65537)", "1 to 65536"),
        ("truncate(0)", "1 to 2147483647"),
        ("truncate(2147483648)", "1 to 2147483647"),
        ("%B", "%Y %m"),
        ("%Y-%", "'%' in"),
        ("%-d", "expected %Y"),
        ("%Y/%m", "one segment for each level"),
    ],
)
def test_transforms_that_are_refused(text: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        Transform.parse(text)
