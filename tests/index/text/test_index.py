"""What a search finds, in which order, and where it looks."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiromi.errors import InvalidInput
from kiromi.index.items import TextDocument
from kiromi.index.text.index import TextIndex, TextScope, TextSettings
from kiromi.index.text.query import parse_query

Make = Callable[..., TextIndex]
EVERYWHERE = TextScope()


def find(index: TextIndex, query: str, k: int = 10, scope: TextScope = EVERYWHERE) -> list[str]:
    return [hit.id for hit in index.search(parse_query(query), k, scope)]


def doc(
    memory_id: str,
    content: str = "",
    *,
    title: str | None = None,
    tags: tuple[str, ...] = (),
    language: str | None = None,
    marks: tuple[str, ...] = (),
) -> TextDocument:
    return TextDocument(memory_id, title, content, tags, language, marks)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("shoe", "ab"),
        ("the shoes", "ab"),
        ("red", "ac"),
        ("red shoes", "abc"),
        ("+red +shoes", "a"),
        ("red AND shoes", "a"),
        ("red -shoes", "c"),
        ("shoes NOT red", "b"),
        ('"red shoes"', "a"),
        ('"shoes red"', ""),
        ("(red OR blue) AND shoes", "ab"),
        ("sho*", "ab"),
        ("red-sh*", "a"),
        ("title:red", "c"),
        ("content:red", "a"),
        ("content:shoes", "ab"),
        ("tags:garden title:trucks", "c"),
        ("content:truck", ""),
        ('tags:"garden toys"', "c"),
        ('"red garden"', ""),
        ("+!!! red", "ac"),
        ("-red", ""),
        ("", ""),
        ("!!! 🦖", ""),
        ("nothing", ""),
        ("content:!!!", ""),
    ],
)
def test_queries(make: Make, query: str, found: str) -> None:
    index = make(
        "She bought red shoes in the shop.",
        "The blue shoes are old.",
        doc("c", title="Red truck", tags=("garden toys",)),
    )
    assert sorted(find(index, query)) == list(found)


@pytest.mark.parametrize(
    ("text", "found_by", "not_by"),
    [
        ("The café is open", ["cafe", "CAFÉ", "cafes"], ["+caf"]),
        ("Wir trafen uns in München vor den Häusern", ["munchen", "Muenchen", "Haus", "häuser"], ["Mund"]),
        ("Die Donaudampfschifffahrt war schön und das Wetter gut", ["Dampfschiff", "schoen"], ["Kapitän"]),
        (
            "send an e-mail to ana@example.com",
            ["email", "e-mail", '"ana@example.com"', "+ana@example.com"],
            ["+ana@com"],
        ),
        ("call getUserName or set_user_name", ["getusername", "user", "+set_user_name", "setUserName"], ["+user_set"]),
        ("It costs 10,000 in v1.2.3", ["10000", "10,000", '"v1.2.3"'], ["+v1.3", "1000"]),
        ("written in C++ by O'Brien", ["c++", "obrien", "O’Brien"], ["c"]),
        ("我喜欢喝绿茶。", ["绿茶", "茶", "喜欢绿茶", '"喝绿茶"', "+绿茶"], ["+茶绿", '"绿喝"', "-绿茶"]),
        ("東京タワーへ行った", ["タワー", "東京", "+京タ"], ["+タ京"]),
        ("저는 한국어를 공부합니다", ["한국어", "공부"], ["+어한"]),
        ("ฉันชอบชาเขียว", ["ชาเขียว", "+ชา"], ["+กาแฟ"]),
        ("Release party 🎉 today", ["🎉", "party"], ["🦖"]),
        ("l'école d’été à Lyon est pour les enfants", ["ecole", "été", "enfant"], ["lécole"]),
    ],
)
def test_words_of_many_kinds(make: Make, text: str, found_by: list[str], not_by: list[str]) -> None:
    index = make(text, "something else entirely")
    assert [query for query in found_by if find(index, query) != ["a"]] == []
    assert [query for query in not_by if "a" in find(index, query)] == []


@pytest.mark.parametrize(
    ("language", "text", "query"),
    [
        ("ar", "الكتاب", "كتاب"),
        ("da", "husene", "huset"),
        ("de", "gelaufenen", "gelaufene"),
        ("el", "σπίτια", "σπίτι"),
        ("en", "running", "runs"),
        ("es", "corriendo", "correr"),
        ("fi", "taloissa", "talot"),
        ("fr", "chanteuses", "chanteuse"),
        ("hu", "házakban", "házak"),
        ("it", "ragazzi", "ragazzo"),
        ("nl", "lopende", "lopend"),
        ("no", "husene", "huset"),
        ("pt", "meninos", "menino"),
        ("ro", "copiilor", "copii"),
        ("ru", "книгами", "книга"),
        ("sv", "flickorna", "flickor"),
        ("ta", "புத்தகங்கள்", "புத்தகம்"),
        ("tr", "kitaplar", "kitap"),
    ],
)
def test_stems_of_every_language_whatever_else_is_there(make: Make, language: str, text: str, query: str) -> None:
    others = [doc(other, "other", language=other) for other in ("de", "en", "fr", "ru", "zh")]
    index = make(doc("x", text, language=language), *others)
    assert find(index, query) == ["x"]
    assert find(index, f"+{text}") == ["x"]


def test_the_language_of_the_store_is_used_unless_the_memory_has_one(make: Make) -> None:
    index = make("gelaufenen", doc("z", "gelaufenen", language="und"), language="de-AT")
    assert find(index, "gelaufene") == ["a"]
    with pytest.raises(InvalidInput, match=r"language='xx'.*accepted"):
        TextSettings("xx")


def test_what_is_written_alike_comes_first(make: Make) -> None:
    index = make("one cafe here", "one café here", "a runner runs", "running is a run")
    assert find(index, "café") == ["b", "a"]
    assert find(index, "cafe") == ["a", "b"]


def test_more_words_and_nearer_words_come_first(make: Make) -> None:
    index = make("apple far away from where any other banana is", "apple banana", "apple only", "banana apple")
    assert find(index, "apple banana")[0] == "b"
    assert find(index, "apple banana")[-1] == "c"


def test_a_title_counts_more_than_the_text(make: Make) -> None:
    filler = [doc(f"f{i}", f"filler text number {i}", title="Filler") for i in range(20)]
    index = make(
        doc("y", "budget plan of a year", title="Notes"), doc("z", "notes of a plan year", title="Budget"), *filler
    )
    assert find(index, "budget") == ["z", "y"]


def test_function_words_alone_are_searched(make: Make) -> None:
    index = make("to be or not to be", "something else")
    assert find(index, "to be or not to be") == ["a"]
    assert find(index, '"not to be"') == ["a"]


def test_ties_are_ordered_by_id_however_many_there_are(make: Make) -> None:
    ids = [f"{i * 7919 % 500:03d}" for i in range(500)]
    index = make(*[doc(memory_id, "the same words") for memory_id in ids])
    assert find(index, "same", 20) == sorted(ids)[:20]
    assert find(index, "same", 1_000) == sorted(ids)
    assert find(index, "same", 0) == []


@pytest.mark.parametrize("size", [1, 900, 1_500, 2_900])
def test_ids_allowed_are_exact_and_k_are_found(make: Make, size: int) -> None:
    ids = [f"{i:04d}" for i in range(3_000)]
    index = make(*[doc(memory_id, f"word {'more ' * (i % 5)}") for i, memory_id in enumerate(ids)])
    allowed = set(ids[-size:])
    everything = find(index, "word more", 3_000)
    wanted = [memory_id for memory_id in everything if memory_id in allowed]
    assert find(index, "word more", 10, TextScope(None, allowed)) == wanted[:10]
    assert find(index, "word more", 3_000, TextScope(None, allowed)) == wanted
    assert find(index, "word more", 10, TextScope(None, set())) == []


MARKS = st.one_of(
    st.sampled_from(
        ["acme", "acme-corp", "Acme", "acme/", "a b", "", "%", "*", "..", "\x00", "é", "e\u0301", "\ud800", "x" * 5_000]
    ),
    st.text(st.characters(codec=None), max_size=8),
)


@settings(max_examples=25)
@given(
    st.lists(st.lists(MARKS, max_size=3).map(tuple), min_size=1, max_size=8),
    st.none() | st.lists(st.lists(MARKS, max_size=2).map(tuple), max_size=3).map(tuple),
    st.data(),
)
def test_a_scope_is_exact(
    documents: list[tuple[str, ...]], marks: tuple[tuple[str, ...], ...] | None, data: st.DataObject
) -> None:
    known = [mark for found in documents for mark in found]
    if marks is not None and known:
        marks = (*marks, (data.draw(st.sampled_from(known)),))
    ids = data.draw(st.none() | st.sets(st.sampled_from([str(i) for i in range(len(documents))])))
    with tempfile.TemporaryDirectory() as scratch:
        index = TextIndex.create(None, {}, TextSettings(), Path(scratch))
        index.apply(1, (), [doc(str(i), "word", marks=found) for i, found in enumerate(documents)])
        wanted = [
            str(i)
            for i, found in enumerate(documents)
            if (marks is None or any(set(every) <= set(found) for every in marks)) and (ids is None or str(i) in ids)
        ]
        assert find(index, "word", 10, TextScope(marks, ids)) == wanted
        index.close()


def test_a_scope_does_not_change_scores(make: Make) -> None:
    index = make(doc("a", "red shoes", marks=("m",)), doc("b", "red", marks=("m", "n")), doc("c", "shoes"))
    query = parse_query("red shoes")
    free = {hit.id: hit.score for hit in index.search(query, 10, EVERYWHERE)}
    for scope in (TextScope((("m",), ("n",))), TextScope(None, {"a", "b"})):
        assert {hit.id: hit.score for hit in index.search(query, 10, scope)} == pytest.approx(
            {memory_id: free[memory_id] for memory_id in "ab"}
        )


IDS = st.sampled_from("abcdef")
STEPS = st.lists(
    st.tuples(st.lists(IDS, max_size=3), st.dictionaries(IDS, st.sampled_from(["red", "blue"]), max_size=3))
)


@settings(max_examples=12)
@given(STEPS, st.integers(0, 2))
def test_applying_is_idempotent_and_seen_at_once(steps: list[tuple[list[str], dict[str, str]]], again: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        index = TextIndex.create(None, {}, TextSettings(), Path(scratch))
        model: dict[str, str] = {}
        for seq, (gone, fresh) in enumerate(steps, start=1):
            for _ in range(1 + again):
                index.apply(seq, iter(gone), (doc(memory_id, text) for memory_id, text in fresh.items()))
            model = {memory_id: text for memory_id, text in model.items() if memory_id not in gone} | fresh
            for word in ("red", "blue"):
                assert sorted(find(index, word)) == sorted(i for i, text in model.items() if text == word)
            assert (index.watermark, index.count) == (seq, len(model))
        index.apply(0, (), ())
        assert index.watermark == len(steps)
        index.close()


def test_added_documents_are_seen_with_the_next_apply(make: Make) -> None:
    index = make("red")
    index.add([doc("y", "red")])
    assert find(index, "red") == ["a"]
    index.apply(2, (), ())
    assert find(index, "red") == ["a", "y"]


def test_the_last_of_one_id_counts(make: Make) -> None:
    index = make(doc("x", "red"), doc("x", "blue"))
    assert (find(index, "red"), find(index, "blue")) == ([], ["x"])


def test_a_closed_index_refuses_writes(make: Make) -> None:
    index = make("red")
    index.close()
    index.close()
    with pytest.raises(InvalidInput, match="closed"):
        index.apply(2, (), ())


def test_documents_like_one(make: Make) -> None:
    index = make("garden tools and roses", "roses in the garden", "budget of the year", "the of and in")
    like = index.query_like("Garden", "the roses that I planted", ("plants",), None)
    assert {hit.id for hit in index.search(like, 10, EVERYWHERE)} >= {"a", "b"}
    assert "plants" not in like.text.split()
    assert index.search(index.query_like(None, "unheard", (), "en"), 10, EVERYWHERE) == []


def test_long_queries_look_for_their_rarest_words(make: Make) -> None:
    common = " ".join(f"common{i}" for i in range(200))
    index = make(*[doc(f"f{i}", common) for i in range(3)], doc("x", "needle here"))
    assert find(index, f"{common} needle", 3) == ["f0", "f1", "f2"]
    assert "x" in find(index, f"{common} needle")


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TextIndex]:
    index = TextIndex.create(None, {}, TextSettings(), tmp_path_factory.mktemp("standing"))
    texts = ["red shoes and c++", "黑豹队的防守", "Häuser in München", "title AND tags", "l'eau d’été foo_bar 1,000"]
    index.apply(1, (), [doc(str(i), text, title=text[:4], tags=(text[-4:],)) for i, text in enumerate(texts)])
    yield index
    index.close()


PIECES = st.sampled_from([
    "red", "shoes", "AND", "OR", "NOT", "(", ")", '"', " ", " ", "+", "-",
    "title:", "tags:", "content:", "*",
    "黑豹", "豹", "foo_bar", "c++", "l'e", "fo*", "München", "🎉", "\x00", "ﷺ",
    "the", "1,0*", "'", "a.b*", "\ud800", "x#*",
    "-豹队 ",
])  # fmt: skip


@settings(max_examples=200)
@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=30).map("".join)))
def test_no_text_is_an_error(standing: TextIndex, text: str) -> None:
    index, query = standing, parse_query(text)
    hits = index.search(query, 3, EVERYWHERE)
    assert hits == index.search(query, 3, EVERYWHERE)
    assert [hit.id for hit in index.search(query, 10, EVERYWHERE)][: len(hits)] == [hit.id for hit in hits]
    index.snippet(query, "red shoes 黑豹队 foo_bar")


@pytest.mark.parametrize(
    "text", ["word " * 20_000, "x" * 100_000, "黑豹" * 50_000, "(" * 100_000, '"' * 99_999, "a* " * 33_000]
)
def test_long_texts_are_no_errors(standing: TextIndex, text: str) -> None:
    assert isinstance(standing.search(parse_query(text), 3, EVERYWHERE), list)


def test_a_prefix_of_very_many_words_finds_all(make: Make) -> None:
    index = make(*[doc(f"{i:03d}", f"word{i}x after") for i in range(200)])
    assert len(find(index, "wor*", 500)) == 200
    assert len(find(index, "+wor* +after", 500)) == 200


def test_a_prefix_of_more_words_than_a_phrase_may_have_is_found(make: Make) -> None:
    words = " ".join(f"w{i}" for i in range(20_000))
    index = make(f"before {words}", "before none", "before w1")
    assert sorted(find(index, "before-w*")) == ["a", "c"]
    assert len(find(index, "w*")) == 2


def test_files_stay_few_and_none_is_left(make: Make, tmp_path: Path) -> None:
    index = make("start")
    for seq in range(60):
        index.apply(seq, (), [doc(f"{seq % 40}", f"note number {seq}")])
        assert find(index, f"+{seq}") == [str(seq % 40)]
    assert len(list((tmp_path / "scratch").rglob("*.idx"))) < 40
    index.close()
    assert list((tmp_path / "scratch").iterdir()) == []
