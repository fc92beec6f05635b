"""The query language: what it means, and that no text is an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiromi.index.text.query import MAX_LEAVES, Form, Group, Leaf, leaves, parse_query


def words(*texts: str) -> tuple[Leaf, ...]:
    return tuple(Leaf(text) for text in texts)


A, B, C = words("a", "b", "c")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", Group()),
        ("a b", Group(should=(A, B))),
        ("a AND b", Group(must=(A, B))),
        ("a OR b", Group(should=(A, B))),
        ("a b AND c", Group(should=(A,), must=(Group(must=(B, C)),))),
        ("a OR b AND c", Group(should=(A, Group(must=(B, C))))),
        ("a AND b OR c", Group(should=(Group(must=(A, B)), C))),
        ("(a OR b) AND c", Group(must=(Group(should=(A, B)), C))),
        ("a NOT b", Group(should=(A,), must_not=(B,))),
        ("a AND NOT b", Group(must=(A,), must_not=(B,))),
        ("a OR NOT b", Group(should=(A,), must_not=(B,))),
        ("a NOT -b", Group(should=(A, B))),
        ("+a -b c", Group(must=(A,), should=(C,), must_not=(B,))),
        ("-(a b)", Group(must_not=(Group(should=(A, B)),))),
        ("-a", Group(must_not=(A,))),
        ('"a b" c', Group(should=(Leaf("a b", Form.PHRASE), C))),
        ("„a b“ «b» 「c」", Group(should=tuple(Leaf(text, Form.PHRASE) for text in ("a b", "b", "c")))),
        ("a* title:b* **c** *", Group(should=(
            Leaf("a", Form.PREFIX), Leaf("b", Form.PREFIX, "title"), Leaf("**c**"), Leaf("*"),
        ))),
        ('title:a tag:b Content:"c c"', Group(should=(
            Leaf("a", field="title"), Leaf("b", field="tags"), Leaf("c c", Form.PHRASE, "content"),
        ))),
        ("tags:(a title:b)", Group(should=(Leaf("a", field="tags"), Leaf("b", field="title")))),
        ("a ) b", Group(should=(A, B))),
    ],
)  # fmt: skip
def test_meaning(text: str, meant: Group) -> None:
    assert parse_query(text).root == meant
    assert parse_query(text).text == text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('"a b', ['"', "a", "b"]),
        ("http://x.y foo:bar", ["http://x.y", "foo:bar"]),
        ("title: a", ["title:", "a"]),
        ("-5 +1 - a --flag", ["-5", "+1", "-", "a", "--flag"]),
        ("AND", ["AND"]),
        ("a AND", ["a", "AND"]),
        ("OR a", ["OR", "a"]),
        ("NOT", ["NOT"]),
        ("f(x)", ["f", "x"]),
        ("()", []),
        ("(a", ["a"]),
        ("a\x00b \ud800", ["a\x00b", "?"]),
    ],
)
def test_what_is_no_operator_is_text(text: str, found: list[str]) -> None:
    got = [leaf.text for leaf in leaves(parse_query(text).root)]
    assert got == [text for text in found if text != '"']


def test_brackets_may_be_as_deep_as_they_like() -> None:
    assert [leaf.text for leaf in leaves(parse_query("(" * 5_000 + "a" + ")" * 5_000 + " b").root)] == []
    assert [leaf.text for leaf in leaves(parse_query("(" * 100 + "a" + ")" * 100 + " b").root)] == ["a", "b"]


def test_the_number_of_words_is_bounded() -> None:
    assert len(list(leaves(parse_query("a b " * 100_000).root))) == MAX_LEAVES


PIECES = st.sampled_from(
    ["a", "AND", "OR", "NOT", "(", ")", '"', " ", "+", "-", "title:", "*", "“", ":", "x:y", "\n", "黑豹"]
)


@given(st.one_of(st.text(), st.lists(PIECES, max_size=60).map("".join), st.text(st.characters(), max_size=50)))
def test_every_text_is_a_query(text: str) -> None:
    assert isinstance(parse_query(text).root, Group)
