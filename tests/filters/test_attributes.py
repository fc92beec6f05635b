"""The attribute codec: exact both ways, one text for equal attributes, clear refusals."""

import enum
import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiromi.attributes import check_attributes, decode_attributes, encode_attributes, order_key
from kiromi.errors import InvalidInput
from tests.filters import strategies


@given(strategies.attributes)
def test_decode_is_the_exact_inverse(attributes: dict[str, Any]) -> None:
    checked = check_attributes(attributes)
    text = encode_attributes(checked)
    # By repr, which tells 1 from 1.0 and from True, Decimal("1.1") from Decimal("1.10"), 0.0 from -0.0.
    assert {name: repr(value) for name, value in decode_attributes(text).items()} == {
        name: repr(value) for name, value in checked.items()
    }
    assert check_attributes(checked) == checked


@given(strategies.attributes, st.randoms())
def test_the_text_is_canonical_json(attributes: dict[str, Any], random: Any) -> None:
    checked = check_attributes(attributes)
    names = list(checked)
    random.shuffle(names)
    text = encode_attributes({name: checked[name] for name in names})
    assert text == encode_attributes(checked)
    assert text == json.dumps(json.loads(text), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def test_the_text_of_each_type() -> None:
    attributes = {
        "b": True,
        "a": 5,
        "c": 5.0,
        "d": Decimal("1.10"),
        "e": date(2000, 6, 13),
        "f": datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))),
        "g": ["ü", "x", 1e16],
        "h": None,
        "i": '"\n',
    }
    assert encode_attributes(check_attributes(attributes)) == (
        '{"a":5,"b":true,"c":5.0,"d":{"decimal":"1.10","order":"2500011"},"e":{"date":"2000-06-13"},'
        '"f":{"datetime":"2026-01-01T00:00:00.000000Z"},"g":["ü","x",1e+16],"h":null,"i":"\\"\\n"}'
    )


@given(st.lists(st.one_of(strategies.ints, strategies.floats), min_size=1))
def test_duckdb_tells_ints_from_floats(numbers: list[int | float]) -> None:
    texts = [encode_attributes({"x": number}) for number in numbers]
    with duckdb.connect() as connection:
        rows = connection.execute("SELECT json_type(t, '/x') FROM (SELECT unnest(?) AS t)", [texts]).fetchall()
    for number, (json_type,) in zip(numbers, rows, strict=True):
        assert json_type in (("DOUBLE",) if isinstance(number, float) else ("BIGINT", "UBIGINT"))


@given(strategies.decimals, st.one_of(strategies.decimals, strategies.floats.map(repr).map(Decimal)))
def test_order_keys_are_in_the_order_of_the_numbers(one: Decimal, other: Decimal) -> None:
    assert (order_key(one) < order_key(other)) == (one < other)
    assert (order_key(one) == order_key(other)) == (one == other)


def test_order_keys_of_neighbours() -> None:
    texts = [
        "-1E+128",
        "-10",
        "-9",
        "-1.11",
        "-1.1",
        "-1",
        "-0.1",
        "-1E-128",
        "0",
        "1E-128",
        "0.1",
        "1",
        "1.1",
        "9",
        "10",
    ]
    keys = [order_key(Decimal(text)) for text in texts]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)
    assert order_key(Decimal("1.10")) == order_key(Decimal("1.1"))
    assert order_key(Decimal("-0.00")) == order_key(Decimal(0))


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Moment(datetime):
    pass


class Day(date):
    pass


def test_subclasses_become_their_base() -> None:
    given_values = {
        "str": Colour.RED,
        "int": Level.LOW,
        "float": np.float64(0.5),
        "datetime": Moment(2026, 1, 1, tzinfo=UTC),
        "date": Day(2026, 1, 1),
        "text": np.str_("x"),
    }
    checked = check_attributes(given_values)
    assert {type(value) for value in checked.values()} == {str, int, float, datetime, date}
    assert encode_attributes(checked) == (
        '{"date":{"date":"2026-01-01"},"datetime":{"datetime":"2026-01-01T00:00:00.000000Z"},"float":0.5,"int":1,'
        '"str":"red","text":"x"}'
    )
    assert {type(name) for name in check_attributes({Colour.RED: 1})} == {str}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (2**63, r"attribute 'x': 9223372036854775808 is outside int64"),
        (-(2**63) - 1, r"is outside int64"),
        pytest.param(10**5_000, r"attribute 'x': an integer of 16610 bits is outside int64", id="huge"),
        (float("nan"), r"attribute 'x': nan is not finite"),
        (float("-inf"), r"attribute 'x': -inf is not finite"),
        (Decimal("NaN"), r"attribute 'x': Decimal NaN is not finite"),
        (Decimal("Infinity"), r"Decimal Infinity is not finite"),
        (Decimal("1" * 39), r"more than 38 digits"),
        (Decimal("1E+129"), r"exponent outside -128 to 128"),
        (Decimal("1E-129"), r"exponent outside -128 to 128"),
        (datetime(2026, 1, 1), r"attribute 'x': naive datetime 2026-01-01T00:00:00; attach a timezone"),  # noqa: DTZ001
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))), r"outside the years 1 to 9999 in UTC"),
        ("\ud800", r"attribute 'x': '\\ud800' has a lone surrogate"),
        ([1, [2]], r"attribute 'x' item 1: \[2\] is a list; accepted are str, int, .* flat list"),
        ([None], r"attribute 'x' item 0: None is a NoneType"),
        ({"a": 1}, r"attribute 'x': \{'a': 1\} is a dict"),
        (b"x", r"attribute 'x': b'x' is a bytes"),
        ({1}, r"attribute 'x': \{1\} is a set"),
        (np.int64(5), r"attribute 'x': .*5.* is a int64; .*\.item\(\) gives a Python value"),
        (np.bool_(True), r"is a bool"),
        (timedelta(1), r"is a timedelta"),
    ],
)
def test_values_that_cannot_be_kept_are_refused(value: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        check_attributes({"x": value})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "attribute name is empty"),
        ("a\nb", "has a control character"),
        ("\x7f", "has a control character"),
        ("\x85", "has a control character"),
        ("\udc00", "has a lone surrogate"),
        ("x" * 256, "over 255 bytes"),
        ("é" * 128, "over 255 bytes"),
        (5, "attribute name 5 is a int; names are str"),
    ],
)
def test_names_that_cannot_be_kept_are_refused(name: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        check_attributes({name: 1})


def test_the_longest_names_are_kept() -> None:
    assert list(check_attributes({"x" * 255: 1, "é" * 127: 2})) == ["x" * 255, "é" * 127]


def test_what_is_no_mapping_is_refused() -> None:
    with pytest.raises(InvalidInput, match="attributes must be a mapping"):
        check_attributes([("a", 1)])  # type: ignore[arg-type]


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        decode_attributes("x")
