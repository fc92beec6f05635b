"""Sentences: their punctuation in several scripts, and the full stops that end none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiromi.embed.passages.sentences import ends_sentence, is_joined, last_cut, sentence_starts


@pytest.mark.parametrize(
    "sentences",
    [
        ["One. ", "Two! ", "Three? ", "Four"],
        ['He said "yes." ', "(Really?) ", "**Bold.** ", "End"],
        ["Dr. Smith met Mr. J. R. Jones at 5 p.m. on Jan. 3. "],
        ["See e.g. Fig. 3 and vol. 2 here. ", "Then go"],
        ["Am 3. Oktober kam z.B. Frau Dr. Meier, ca. 12. März. ", "Danach ging sie"],
        ["Wait... what? ", "Well… ", "Yes"],
        ["The U.S. Army. ", "It said no. ", "In 1999. ", "Later"],
        ['"Really?" he asked. ', "She nodded"],
        ["今天很好。", "你呢？", "“太好了！”", "再见"],
        ["Смотри. ", "Это дом. ", "Да"],
        ["यह घर है। ", "वह आदमी है। ", "हाँ"],
        ["هل أنت هنا؟ ", "نعم"],
        ["version 1.2.3 of a.b.c is here. ", "Next"],
        ["no end here"],
        ["Line.\nnext line is the scanner's. ", "So"],
    ],
)
def test_sentences_begin_where_people_say(sentences: list[str]) -> None:
    text = "".join(sentences)
    starts = [sum(map(len, sentences[:number])) for number in range(1, len(sentences))]
    assert list(sentence_starts(text)) == starts


@pytest.mark.parametrize("line", ["It ends.", "Does it?", 'He said "no."', "好。", "好。」", "*Done!*", "In 1999."])
def test_a_line_that_ends_a_sentence(line: str) -> None:
    assert ends_sentence(line)


@pytest.mark.parametrize("line", ["", "It goes on", "as said by Dr.", "on the 3.", "a,", "by J."])
def test_a_line_that_ends_none(line: str) -> None:
    assert not ends_sentence(line)


@pytest.mark.parametrize(
    ("text", "first", "last", "cut"),
    [
        ("one two, three four", 2, 19, (9, 2)),
        ("one two, three four", 10, 17, (15, 1)),
        ("one two, three four", 10, 13, (13, 0)),
        ("天气，很好", 1, 4, (3, 2)),
        ("abe\u0301", 2, 3, (2, 0)),
        ("e\u0301\u0301", 1, 2, None),
    ],
)
def test_the_best_cut_is_the_last_of_its_kind(text: str, first: int, last: int, cut: tuple[int, int] | None) -> None:
    assert last_cut(text, 0, first, last) == cut


@given(st.text(max_size=60))
def test_the_ends_of_a_text_are_joined_to_nothing(text: str) -> None:
    assert not is_joined(text, 0)
    assert not is_joined(text, len(text))


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("ab", []),
        ("\r\n\r\n", [1, 3]),
        ("\n\u0301", []),
        ("e\u0301\u0323x", [1, 2]),
        ("\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7", [1, 3]),
        ("\U0001f468\u200d\U0001f469", [1, 2]),
        ("a\u200d b", [1]),
        ("\ud83d\ude00\ude00", [1]),
        ("\u1112\u1161\u11ab\u1112", [1, 2]),
        ("\U0001f44d\U0001f3fd", [1]),
    ],
)
def test_what_belongs_together(text: str, joined: list[int]) -> None:
    assert [at for at in range(len(text) + 1) if is_joined(text, at)] == joined
