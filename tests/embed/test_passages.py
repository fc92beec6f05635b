"""Passages: every text is covered by ordered spans that fit, cut at the best places that there are."""

import json
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kiromi.embed.passages import Count, Span, context_line, estimate_tokens, passage_text, split
from kiromi.errors import EmbedderError, InvalidInput

MARKDOWN = "text/markdown"


def characters(texts: Sequence[str]) -> list[int]:
    return [len(text) for text in texts]


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def words_between_specials(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) + 2 for text in texts]


def more_than_the_parts(texts: Sequence[str]) -> list[int]:
    return [len(text) + len(text) ** 2 // 50 for text in texts]


def lines_cost_more(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) + (5 if "\n" in text else 0) for text in texts]


def unpredictable(texts: Sequence[str]) -> list[int]:
    return [len(text) // 2 + sum(map(ord, text)) % 7 for text in texts]


COUNTS: list[Count | None] = [None, characters, words, words_between_specials, more_than_the_parts, unpredictable]
PIECES = st.sampled_from(
    [
        *("# Head\n", "\n\n", "\n", "\r\n", "\r", "- item ", "1. one ", "> quote ", "```\n", "~~~", "| a | b |\n"),
        *("A sentence. ", "He is Dr. No. ", "end.", "word ", "a, b; c: ", "句子。", "，", "===\n", "---\n", "a: 1\n"),
        *("e\u0301", " \u0301", "\U0001f468\u200d\U0001f469", "\U0001f1e9\U0001f1ea", "\ud83d", "\ude00", "\u2028"),
        *("  ", "\t", "\0", "\x1c", ".", '{"a": [1, 2], ', '"b\\"', "}", "]", "[", "x" * 40),
    ]
)
TEXTS = st.one_of(st.lists(PIECES, max_size=60).map("".join), st.text(max_size=200))
TYPES = st.sampled_from([MARKDOWN, "text/plain", "application/json", "text/markdown; charset=utf-8", "text/x-unknown"])


def texts_of(text: str, spans: Sequence[Span]) -> list[str]:
    return [text[span.begin : span.end] for span in spans]


def counted(count: Count | None) -> Callable[[str], int]:
    return lambda text: (count or estimate_tokens)([text])[0]


@settings(max_examples=400)
@given(TEXTS, TYPES, st.integers(1, 60), st.sampled_from(COUNTS), st.sampled_from(["", "A title"]))
@example("a" + "\u0301" * 9, MARKDOWN, 3, characters, "")
@example(" \u0301" * 9, MARKDOWN, 1, characters, "")
@example("ba. b\nb\n", MARKDOWN, 6, lines_cost_more, "")
@example("\r\n" * 9, MARKDOWN, 1, characters, "")
def test_spans_cover_the_text_in_order_and_each_fits(
    text: str, media_type: str, limit: int, count: Count | None, context: str
) -> None:
    spans = split(text, media_type, limit, count, context)
    tokens = counted(count)
    assert spans == split(text, media_type, limit, count, context)
    if tokens(passage_text(context, text, Span(0, len(text)))) <= limit:
        assert spans == [Span(0, len(text))]
        return
    if not text.strip():
        assert spans == [Span(0, 0)]
        return
    assert all(0 <= span.begin < span.end <= len(text) for span in spans)
    assert all(one.begin < two.begin and one.end < two.end for one, two in pairwise(spans))
    covered = {at for span in spans for at in range(span.begin, span.end)}
    assert all(char.isspace() for at, char in enumerate(text) if at not in covered)
    for span in spans:
        assert tokens(passage_text(context, text, span)) <= limit or span.end - span.begin == 1
        assert not text[span.end - 1].isspace() or span.end - span.begin == 1


@given(TEXTS, TYPES)
def test_without_a_limit_a_text_is_one_span(text: str, media_type: str) -> None:
    assert split(text, media_type, None) == [Span(0, len(text))]


CLUSTERS = st.sampled_from(
    [
        *("e\u0301", " \u0301", "\U0001f468\u200d\U0001f469", "\U0001f1e9\U0001f1ea", "\r\n", "\u1112\u1161\u11ab"),
        *("\U0001f44d\U0001f3fd", "\ud83d\ude00", "\u2764\ufe0f", "\u0915\u093f"),
        *("字", "a", ".", "。", ", ", "。 ", ". ", "\n"),
    ]
)


@settings(max_examples=300)
@given(st.lists(CLUSTERS, max_size=120), TYPES, st.integers(3, 40))
@example([", ", " \u0301"], "application/json", 3)
@example([". ", " \u0301"], MARKDOWN, 3)
def test_what_people_see_as_one_character_is_not_torn(clusters: list[str], media_type: str, limit: int) -> None:
    text = "".join(clusters)
    edges = {0}
    for cluster in clusters:
        # A space or line feed of its own is no part of what follows it.
        start = max(edges)
        edges.add(start + len(cluster))
        edges |= {start + at for at in range(len(cluster)) if cluster in (", ", ". ", "。 ")}
    for span in split(text, media_type, limit, characters):
        assert span.begin in edges
        assert span.end in edges or text[span.end : span.end + 1].isspace()


def test_a_character_that_alone_does_not_fit_is_torn() -> None:
    text = "ab e" + "\u0301" * 20 + " cd"
    spans = split(text, MARKDOWN, 6, characters)
    assert all(span.end - span.begin <= 6 for span in spans)
    assert "".join(texts_of(text, spans)).count("\u0301") >= 20


def test_nothing_is_shared_with_what_fills_the_window_alone() -> None:
    whole = "e" + "\u0301" * 11
    text = f"a b c d e f {whole} g h i j k l"
    assert texts_of(text, split(text, MARKDOWN, 12, characters)) == ["a b c d e", "e f", whole, "g h i j k l"]


def test_neighbours_share_whole_sentences_within_a_sixth_of_the_window() -> None:
    text = " ".join(f"Sentence number {number} has seven words." for number in range(100))
    spans = split(text, MARKDOWN, 100, words)
    for one, two in pairwise(spans):
        shared = text[two.begin : one.end]
        assert shared.startswith("Sentence")
        assert shared.endswith("words.")
        assert 7 <= len(shared.split()) <= 100 // 6
    assert all(part.startswith("Sentence") and part.endswith("words.") for part in texts_of(text, spans))


def test_a_sentence_longer_than_the_overlap_is_shared_from_a_clause_on() -> None:
    text = " ".join("One two three, " * 9 + "end." for _ in range(12))
    for one, two in pairwise(split(text, MARKDOWN, 60, words)):
        assert two.begin < one.end
        assert text[two.begin :].startswith("One")


def test_passages_are_even_and_none_is_tiny() -> None:
    text = " ".join(f"Word{number} and more of it." for number in range(53))
    for limit in range(40, 265, 5):
        sizes = words(texts_of(text, split(text, "text/plain", limit, words)))
        assert min(sizes) >= max(sizes) * 0.45


def test_a_short_last_section_is_no_passage_of_its_own() -> None:
    for sentences in range(15, 50):
        text = section("One", sentences) + "# End\n\nThat is all."
        assert min(words(texts_of(text, split(text, MARKDOWN, 100, words)))) > 20


def test_special_tokens_are_counted_once_a_passage() -> None:
    text = section("One", 30) + section("Two", 30)
    assert split(text, MARKDOWN, 102, words_between_specials) == split(text, MARKDOWN, 100, words)


def test_a_text_just_over_the_window_gives_two_halves() -> None:
    text = "Five words make a sentence. " * 21
    first, second = split(text, MARKDOWN, 100, words)
    assert 45 <= len(text[: first.end].split()) <= 60
    assert text[second.begin :].split()[0] == "Five"


def section(name: str, sentences: int) -> str:
    return f"# {name}\n\n" + "Some words of this section here. " * sentences + "\n\n"


def test_sections_are_passages_and_share_nothing() -> None:
    text = "".join(section(name, 12) for name in ("One", "Two", "Three", "Four"))
    parts = texts_of(text, split(text, MARKDOWN, 100, words))
    assert [part.partition("\n")[0] for part in parts] == ["# One", "# Two", "# Three", "# Four"]


def test_underlined_headings_are_headings() -> None:
    text = "".join(section(name, 12).replace("# " + name, name + "\n===") for name in ("One", "Two", "Three"))
    assert [part[:3] for part in texts_of(text, split(text, MARKDOWN, 100, words))] == ["One", "Two", "Thr"]


@pytest.mark.parametrize(
    "heading", ["## Head\n\n", "Head\n---\n", "# Head\n\n## Sub\n\n", "# A\nB\n---\n", "It has:\n\n", "It has:\n"]
)
def test_a_heading_stays_with_what_follows(heading: str) -> None:
    for before in range(40):
        text = "Two words. " * before + "\n\n" + heading + "- body text\n\n" + "Two words. " * 40
        parts = texts_of(text, split(text, MARKDOWN, 40, words))
        assert any(heading + "- body" in part for part in parts)
        assert not any(part.endswith(heading.rstrip()) for part in parts)


@pytest.mark.parametrize(
    ("separator", "line"),
    [
        ("\n\n", "A paragraph, with a clause. And a sentence\nof two lines"),
        ("\n", "- an item, with a clause. And a sentence"),
        ("\n", "| a row, with a clause. | And a sentence |"),
        ("\n\n", "> A quote, with a clause. And a sentence\n> of two lines"),
        ("\n\n", "```\ncode, with; a clause.\nand a second line\n```"),
        ("\n***\n", "A part, with a clause. And a sentence"),
        ("\r\n\r\n", "A paragraph, with a clause. And a sentence\r\nof two lines"),
    ],
)
def test_blocks_are_kept_whole(separator: str, line: str) -> None:
    text = separator.join([line] * 30)
    rule = separator.strip()
    for part in texts_of(text, split(text, MARKDOWN, 80, words)):
        body = part.removeprefix(rule).strip() if rule else part
        assert body.startswith(line)
        assert part.removesuffix(rule).strip().endswith(line)


def test_outer_items_are_better_places_than_inner_ones() -> None:
    text = "".join(f"- outer {number}\n  - inner one two three\n  - inner four five six\n" for number in range(20))
    assert all(part.startswith("- outer") for part in texts_of(text, split(text, MARKDOWN, 100, words)))


def test_a_fence_hides_headings_and_a_quote_ends_it() -> None:
    code = "```\n" + "# no heading\n" * 8 + "```\n\n"
    text = section("One", 5) + code + section("Two", 5)
    parts = texts_of(text, split(text, MARKDOWN, 62, words))
    assert parts[0].endswith("```")
    assert parts[1].startswith("# Two")
    code = "> ```\n" + "> # no heading\n" * 8 + "\n\n"
    text = section("One", 5) + code + section("Two", 5)
    parts = texts_of(text, split(text, MARKDOWN, 66, words))
    assert [part[:5] for part in parts] == ["# One", "# Two"]
    quoted = "> ```\n> code\n\n" + section("One", 10) + section("Two", 10)
    assert [part[:5] for part in texts_of(quoted, split(quoted, MARKDOWN, 66, words))][1:] == ["# Two"]


def test_front_matter_is_apart_from_the_body() -> None:
    text = "---\ntitle: T\ntags: [a, b]\n---\n" + "Some words of the body. " * 30
    first, *others = texts_of(text, split(text, MARKDOWN, 60, words))
    assert first.startswith("---\ntitle")
    assert not any("title" in part for part in others)
    long = "---\n" + "key: some value\n" * 30 + "---\nThe body begins here. " + "It goes on. " * 20
    parts = texts_of(long, split(long, MARKDOWN, 100, words))
    assert parts[1].startswith("The body begins")


def test_plain_text_has_paragraphs_and_no_markdown() -> None:
    text = "\n\n".join(["# not a heading, but\na paragraph. Of two sentences"] * 20)
    for part in texts_of(text, split(text, "text/plain", 70, words)):
        assert part.startswith("# not")
        assert part.endswith("two sentences")


@pytest.mark.parametrize("indent", [None, 1])
def test_json_is_cut_between_elements(indent: int | None) -> None:
    rows = [{"id": number, "note": 'with, a "comma" and [a bracket', "of": [1, 2, 3]} for number in range(40)]
    text = json.dumps(rows, indent=indent)
    parts = texts_of(text, split(text, "application/json", 400))
    assert len(parts) > 2
    assert all(part.startswith("{") for part in parts[1:])
    assert all(part.endswith("},") for part in parts[:-1])


def test_chinese_is_cut_after_sentences() -> None:
    text = "今天天气很好，我们去公园。你想去吗？太好了！" * 20
    for part in texts_of(text, split(text, MARKDOWN, 80, characters)):
        assert part[0] in "今你太"
        assert part[-1] in "。？！"


def test_a_tokenizer_is_asked_few_times_and_for_little() -> None:
    calls: list[int] = []

    def count(texts: Sequence[str]) -> list[int]:
        calls.append(sum(map(len, texts)))
        return estimate_tokens(texts)

    text = section("Head", 200) * 30
    split(text, MARKDOWN, 256, count)
    assert len(calls) <= 8
    assert sum(calls) <= 5 * len(text)
    calls.clear()
    split("Short.", MARKDOWN, 256, count)
    assert len(calls) == 1


@pytest.mark.parametrize(
    "text",
    [
        *("x" * 200_000, "." * 200_000, "a\n" * 100_000, " " * 200_000, "a" + "\u0301" * 200_000),
        *("\U0001f1e6" * 200_000, "\U0001f468\u200d" * 100_000, '"' * 200_000, '\\"' * 100_000, "```\n" * 50_000),
        *("- " * 100_000, ">" * 200_000, "---\n" * 50_000, "[" * 200_000, "\r" * 200_000, "a.\t\t" * 50_000),
        *(".)" * 100_000, "a" + " " * 200_000 + "b"),
    ],
    ids=lambda text: repr(text[:6]),
)
@pytest.mark.parametrize("media_type", [MARKDOWN, "application/json"])
def test_monotonous_texts_take_linear_effort(text: str, media_type: str) -> None:
    spans = split(text, media_type, 256, estimate_tokens)
    assert sum(span.end - span.begin for span in spans) <= 1.5 * len(text)


def test_nothing_but_whitespace_over_the_window_is_one_empty_span() -> None:
    assert split(" \n" * 100, MARKDOWN, 10, characters) == [Span(0, 0)]
    assert split("", MARKDOWN, 10, characters) == [Span(0, 0)]


def test_the_title_stands_in_front_and_is_shortened_to_a_quarter_of_the_window() -> None:
    assert context_line(None, 100) == ""
    assert context_line("  ", 100) == ""
    assert context_line(" A\n title ", None) == "A title"
    assert passage_text("A title", "Hello world", Span(6, 11)) == "A title\n\nworld"
    assert passage_text("", "Hello world", Span(6, 11)) == "world"
    line = context_line("word " * 90, 100, words)
    assert 10 <= len(line.split()) <= 25
    text = "Some words here. " * 100
    spans = split(text, MARKDOWN, 100, words, line)
    assert max(words([passage_text(line, text, span) for span in spans])) >= 85


@pytest.mark.parametrize("limit", [0, -3])
def test_a_window_below_one_token_is_refused(limit: int) -> None:
    with pytest.raises(InvalidInput, match=f"limit={limit}"):
        split("text", MARKDOWN, limit)


@pytest.mark.parametrize("numbers", [[], [1], [1, 2, -1]])
def test_a_count_that_makes_no_sense_is_the_embedders_fault(numbers: list[int]) -> None:
    with pytest.raises(EmbedderError, match="count_tokens gave"):
        split("text", MARKDOWN, 10, lambda _: numbers)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        (" \n\t", 0),
        ("word", 2),
        ("words", 2),
        ("Hello, world!", 6),
        ("x" * 40, 20),
        ("2024", 2),
        ("天气", 3),
        ("é", 1),
        ("\ud83d", 2),
        ("\U0001f600", 2),
    ],
)
def test_the_estimate(text: str, tokens: int) -> None:
    assert estimate_tokens([text]) == [tokens]


@given(st.text(max_size=80))
def test_the_estimate_is_at_least_one_token_a_word(text: str) -> None:
    assert estimate_tokens([text])[0] >= len(text.split())
