"""Snippets and their highlights."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiromi.index.text.index import TextIndex
from kiromi.index.text.query import parse_query
from kiromi.index.text.snippet import WIDTH, Snippet, make_snippet

Make = Callable[..., TextIndex]


def lit(query: str, text: str, *codes: str) -> list[str]:
    found = make_snippet(parse_query(query), text, None, codes or ("en",))
    return [found.text[begin:end] for begin, end in found.highlights]


@pytest.mark.parametrize(
    ("query", "text", "parts"),
    [
        ("the running shoes", "The SHOES run.", ["SHOES", "run"]),
        ("café", "a cafe, the Café", ["cafe", "Café"]),
        ('"red shoes"', "red hats, red shoes", ["red", "shoes"]),
        ("sho*", "Shoes and shops", ["Shoes", "shops"]),
        ("+red -hats", "red hats", ["red"]),
        ("title:red content:hats", "red hats", ["hats"]),
        ("绿茶", "我喜欢喝绿茶。茶也好", ["绿茶"]),
        ("茶", "绿茶 茶", ["茶", "茶"]),
        ("喜欢绿茶", "我喜欢喝绿茶", ["喜欢", "绿茶"]),
        ("ana", "Ana's cat", ["Ana"]),
        ("eau", "l'eau", ["eau"]),
        ("strasse", "Die STRAßE", ["STRAßE"]),
        ("ガス", "ｶﾞｽ代", ["ｶﾞｽ"]),
        ("nothing", "at all", []),
        ("", "at all", []),
    ],
)
def test_highlights(query: str, text: str, parts: list[str]) -> None:
    assert lit(query, text) == parts


def test_a_word_is_lit_in_the_language_of_the_text() -> None:
    assert lit("Haus", "Die Häuser und das Haus sind für uns", "de", "en") == ["Häuser", "Haus"]


def test_the_best_part_of_a_long_text_is_shown() -> None:
    text = "apple " + "filler " * 200 + "apple and banana " + "filler " * 200
    found = make_snippet(parse_query("apple banana"), text, "en", ("en",))
    assert [found.text[begin:end] for begin, end in found.highlights] == ["apple", "banana"]
    assert text[found.begin : found.end] == found.text
    assert len(found.text) <= WIDTH
    assert found.text.startswith("filler")


def test_without_a_match_the_beginning_is_shown() -> None:
    text = "filler " * 100
    found = make_snippet(parse_query("apple"), text, "en", ("en",))
    assert (found.begin, found.highlights) == (0, ())
    assert 0 < len(found.text) <= WIDTH


def test_the_index_knows_its_languages(make: Make) -> None:
    index = make("Die Häuser sind für uns und das Haus")
    assert len(index.snippet(parse_query("haus"), "Die Häuser sind das Haus").highlights) == 2


WORDS = st.sampled_from(
    ["red", "Shoes", "黑豹", "豹", "İ", "Straße", "ﷺ", "e\u0301", "l'eau", "🎉", " ", ", ", "filler " * 20, "xyz" * 120]
)


@given(st.lists(WORDS, max_size=30).map(" ".join), st.lists(WORDS, max_size=4).map(" ".join) | st.text(max_size=9))
def test_places_are_exact(text: str, query: str) -> None:
    found = make_snippet(parse_query(query), text, None, ("en", "de", "und"))
    assert isinstance(found, Snippet)
    assert text[found.begin : found.end] == found.text
    last = 0
    for begin, end in found.highlights:
        assert last <= begin < end <= len(found.text)
        assert not found.text[begin].isspace()
        assert not found.text[end - 1].isspace()
        last = end
    if "red" in query.split() and "red" in text.split():
        lit = {found.text[begin:end] for begin, end in found.highlights}
        assert lit
