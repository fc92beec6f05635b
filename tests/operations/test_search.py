"""Search: modes, ranking, passages, what a hit says, and what is refused."""

import shutil
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

import kiromi
from kiromi.embed.given import CallerVectors
from kiromi.errors import EmbedderWarning
from kiromi.model import Hit
from kiromi.search.ranking import Profile
from tests.operations.conftest import SCHEME
from tests.operations.finding import ANA, BOB, Watched, check_exact, fail, texts
from tests.operations.tree import files_below

BY_MEANING: tuple[Literal["vector", "hybrid"], ...] = ("vector", "hybrid")
VECTORS = ([1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-1.0, 0.0])


@pytest.fixture
def given(root: Path) -> Iterator[kiromi.Store]:
    """A store of four memories with vectors of their own."""
    with kiromi.open(root, scheme=SCHEME, embedder=CallerVectors(2), durability="relaxed") as store:
        for number, vector in enumerate(VECTORS):
            facts = {"importance": number / 4, "confidence": 1 - number / 4}
            store.append(f"note {number}", ANA, vector=vector, **facts)
        yield store


@pytest.fixture
def hashed(tmp_path: Path) -> Iterator[kiromi.Store]:
    with kiromi.open(tmp_path / "hashed", scheme=SCHEME, embedder="hash:32", durability="relaxed") as store:
        store.append("Prefers aisle seats on long flights.", ANA, title="Seats", tags=["pref"])
        store.append("Is allergic to peanuts.", ANA, kind="semantic")
        store.append("Likes the window seat.", BOB)
        yield store


# -- modes -----------------------------------------------------------------------------------------------------------


def test_each_mode_finds_in_its_way(hashed: kiromi.Store) -> None:
    assert texts(hashed.search("seat", mode="text")) == [
        "Likes the window seat.",
        "Prefers aisle seats on long flights.",
    ]
    assert len(hashed.search("seat", mode="vector")) == 3
    both = hashed.search("peanuts", mode="hybrid")
    assert both[0].text == "Is allergic to peanuts."
    assert len(both) == 3
    assert hashed.search("peanuts") == both, "auto is hybrid where there is a model"


def test_auto_is_text_without_a_model(store: kiromi.Store) -> None:
    store.append("one two", ANA)
    store.append("three", ANA)
    assert texts(store.search("two")) == ["one two"]
    assert store.search("two") == store.search("two", mode="text")


def test_auto_goes_by_the_vector_alone_without_a_query(given: kiromi.Store) -> None:
    assert texts(given.search(vector=[1, 0], k=2)) == ["note 0", "note 1"]
    assert texts(given.search("note 2", vector=[1, 0], k=4))[:2] != ["note 0", "note 1"], "both lists count"
    assert {*texts(given.search("note"))} == {f"note {i}" for i in range(4)}, "a caller's model cannot make vectors"


def test_a_query_that_says_nothing_finds_nothing_as_text(hashed: kiromi.Store) -> None:
    for query in ("", "   ", "!!!", "-seat", "()", '"'):
        assert hashed.search(query, mode="text") == []
        assert len(hashed.search(query)) == 3


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9])
def test_k_is_kept(given: kiromi.Store, count: int) -> None:
    assert len(given.search(vector=[1, 0], k=count)) == min(count, 4)
    assert len(given.search("note", k=count)) == min(count, 4)


def test_an_empty_store_finds_nothing(store: kiromi.Store) -> None:
    assert store.search("anything") == []
    store.append("x", ANA, vector=[1.0])
    store.delete(store.list_ids()[0])
    assert store.search("x", vector=[1.0]) == []


# -- what a hit says ---------------------------------------------------------------------------------------------------


def test_a_hit_is_the_memory_and_why_it_was_found(hashed: kiromi.Store) -> None:
    hit = hashed.search("seat", mode="text", within=ANA)[0]
    memory = hashed.get(hit.id)
    assert hit.info() == memory.info()
    assert (hit.data, hit.path, hit.tags, hit.title) == (memory.data, memory.path, ("pref",), "Seats")
    assert hit.snippet is not None
    assert [hit.snippet[begin:end] for begin, end in hit.highlights] == ["seats"]
    assert hit.span == (0, len(hit.text))
    assert hit.explanation is None


def test_highlights_are_exact_in_long_texts(hashed: kiromi.Store) -> None:
    text = "Ä " * 300 + "before the zebra 🦓 drank, another ZEBRA came. " + "after " * 300
    hashed.append(text, BOB)
    (hit,) = hashed.search("zebra", mode="text")
    assert hit.span is not None
    assert hit.snippet is not None
    begin, end = hit.span
    assert text[begin:end] == hit.snippet
    assert len(hit.snippet) <= 240
    assert [hit.snippet[a:b] for a, b in hit.highlights] == ["zebra", "ZEBRA"]


def test_what_is_found_by_its_title_has_no_snippet(hashed: kiromi.Store) -> None:
    hashed.append("nothing of it", ANA, title="Quibbles")
    (hit,) = hashed.search("quibbles", mode="text")
    assert (hit.text, hit.snippet, hit.highlights) == ("nothing of it", None, ())


def test_bytes_are_found_by_title_and_tags(hashed: kiromi.Store) -> None:
    data = b"\x00\xffzebra"
    hashed.append(data, ANA, title="A photograph", tags=["zebra"])
    hits = hashed.search("zebra", mode="text")
    assert [(hit.data, hit.span, hit.snippet, hit.highlights) for hit in hits] == [(data, None, None, ())]
    assert data in [hit.data for hit in hashed.search("photograph")]
    assert data not in [hit.data for hit in hashed.search("zebra", mode="vector")]
    assert [(m.vectors, m.pending) for m in hashed.models()] == [(3, 0)]


MARKDOWN = "\n\n".join(
    f"# {name}\n\n" + " ".join(f"The {name.lower()} sentence number {i} is here." for i in range(12))
    for name in ("Apples", "Bananas", "Cherries", "Dates")
)


def test_the_span_is_the_passage_that_is_nearest(root: Path) -> None:
    with kiromi.open(root, scheme=SCHEME, embedder=Watched(64, window=40), durability="relaxed") as store:
        long = store.append(MARKDOWN, ANA, title="Fruit")
        short = store.append("Cherries in short", ANA)
        (model,) = store.models()
        assert model.vectors > 8
        for name in ("Apples", "Bananas", "Cherries", "Dates"):
            hits = store.search(f"{name} {name.lower()} sentence", mode="vector")
            assert len(hits) == 2, "a memory comes once, whatever its passages"
            (hit,) = [hit for hit in hits if hit.id == long.id]
            assert hit.span is not None
            begin, end = hit.span
            assert f"# {name}" in MARKDOWN[max(0, MARKDOWN.rindex("# ", 0, end)) : end]
            assert name.lower() in MARKDOWN[begin:end].lower()
            assert 0 < end - begin < len(MARKDOWN) / 4
        assert store.search("Cherries in short", mode="vector")[0].span == (0, len(short.text))
        assert store.get(long.id).text == MARKDOWN
        # The index on disk knows the spans too, and so does one that is built anew.
        before = store.search("dates", mode="vector")
        store.reindex()
        assert store.search("dates", mode="vector") == before
    with kiromi.open(root, embedder=Watched(64, window=40)) as store:
        assert store.search("dates", mode="vector") == before


def test_k_memories_come_though_one_has_most_of_the_passages(root: Path) -> None:
    with kiromi.open(root, scheme=SCHEME, embedder=Watched(32, window=12), durability="relaxed") as store:
        store.append("zebra " * 600, ANA)
        others = [store.append(f"other words {i}", ANA).id for i in range(5)]
        hits = store.search("zebra", mode="vector", k=6)
        assert len({hit.id for hit in hits}) == 6
        assert {hit.id for hit in hits[1:]} == set(others)


# -- ranking -----------------------------------------------------------------------------------------------------------


def test_profiles_reorder_what_is_alike(root: Path) -> None:
    now = datetime.now(UTC)
    with kiromi.open(root, scheme=SCHEME, embedder=CallerVectors(2), durability="relaxed") as store:
        old = store.append(
            "old", ANA, vector=[1, 0], event_at=now - timedelta(days=900), importance=1.0, confidence=1.0
        )
        new = store.append("new", ANA, vector=[1, 0.01], event_at=now, importance=0.0, confidence=0.0)
        far = store.append("far", ANA, vector=[0.2, 1], event_at=now, importance=1.0, confidence=1.0)

        def order(profile: str | Profile) -> list[str]:
            return [hit.id for hit in store.search(vector=[1, 0], profile=profile)]

        assert order("relevance") == [old.id, new.id, far.id]
        assert order("recent") == [new.id, old.id, far.id]
        assert order("trusted") == [old.id, new.id, far.id]
        assert order(Profile("mine", importance_weight=0.9)) == [old.id, far.id, new.id]
        assert order("recent")[:1] == [hit.id for hit in store.search(vector=[1, 0], profile="recent", k=1)]


@pytest.mark.parametrize("fusion", ["convex", "rrf"])
def test_explain_gives_the_components_of_a_score(given: kiromi.Store, fusion: Literal["convex", "rrf"]) -> None:
    weights = {"text": 2, "vector": 0.5}
    hits = given.search("note 1", vector=[1, 0], explain=True, weights=weights, profile="trusted", fusion=fusion)
    for hit in hits:
        explanation = hit.explanation or {}
        components = {name: explanation[name] for name in ("text", "vector") if name in explanation}
        assert explanation["relevance"] == pytest.approx(sum(c["contribution"] for c in components.values()))
        assert hit.score == pytest.approx(explanation["relevance"] * explanation["factor"])
        if fusion == "rrf":
            for name, component in components.items():
                assert component["contribution"] == pytest.approx(weights[name] / (60 + component["rank"]))
    nearest = next(hit for hit in hits if hit.text == "note 0")
    assert (nearest.explanation or {})["vector"]["score"] == 1.0
    (alone,) = given.search(vector=[1, 0], explain=True, k=1)
    assert (alone.explanation or {})["vector"]["rank"] == 1
    assert (alone.score, (alone.explanation or {})["relevance"]) == (1.0, 1.0)
    assert given.search(vector=[1, 0])[0].explanation is None


def test_weights_change_the_order(given: kiromi.Store) -> None:
    by_text = given.search('"note 3"', vector=[1, 0], weights={"text": 10, "vector": 1})
    by_vector = given.search('"note 3"', vector=[1, 0], weights={"vector": 10})
    assert (by_text[0].text, by_vector[0].text) == ("note 3", "note 0")
    assert texts(given.search("note 3", vector=[1, 0], weights={"text": 0})) == [f"note {i}" for i in range(4)]


def test_min_score_leaves_out_what_is_below(given: kiromi.Store) -> None:
    assert texts(given.search(vector=[1, 0], min_score=0.5)) == ["note 0", "note 1"]
    assert texts(given.search(vector=[1, 0], min_score=1)) == ["note 0"]
    assert given.search(vector=[1, 0], min_score=1.1) == []
    assert len(given.search(vector=[1, 0], min_score=-1)) == 4


def test_a_reranker_decides_the_order_of_the_first(given: kiromi.Store) -> None:
    calls: list[tuple[str, list[str]]] = []

    def backwards(query: str, hits: Sequence[Hit]) -> list[float]:
        calls.append((query, texts(hits)))
        return [float(place) for place in range(len(hits))]

    hits = given.search("note", vector=[1, 0], mode="hybrid", k=2, rerank=backwards, explain=True)
    ((query, seen),) = calls
    assert query == "note"
    assert seen == texts(given.search("note", vector=[1, 0], mode="hybrid")), (
        "the best candidates, best first, all four"
    )
    assert texts(hits) == seen[::-1][:2]
    assert [(hit.explanation or {})["rerank"] for hit in hits] == [3.0, 2.0]


def test_a_reranker_sees_no_more_than_it_needs(store: kiromi.Store) -> None:
    seen: list[int] = []

    def count(query: str, hits: Sequence[Hit]) -> list[float]:
        seen.append(len(hits))
        return [0.0] * len(hits)

    store.append_many({"content": f"zebra {i}", "partition": ANA} for i in range(120))
    assert len(store.search("zebra", k=3, rerank=count)) == 3
    assert len(store.search("zebra", k=100, rerank=count)) == 100
    assert store.search("nothing", rerank=count) == []
    assert seen == [50, 50]


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (lambda q, hits: [1.0], kiromi.InvalidInput, "1 scores for 4 hits"),
        (lambda q, hits: [float("nan")] * len(hits), kiromi.InvalidInput, "nan"),
        (lambda q, hits: 1 / 0, kiromi.KiromiError, "ZeroDivisionError"),
        (lambda q, hits: None, kiromi.KiromiError, "the reranker failed"),
    ],
)
def test_a_reranker_that_fails_is_named(given: kiromi.Store, answer: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        given.search("note", rerank=answer)


# -- related -----------------------------------------------------------------------------------------------------------


def test_related_is_what_is_most_like_a_memory(given: kiromi.Store) -> None:
    first = given.search(vector=[1, 0], k=1)[0]
    assert texts(given.related(first.id)) == ["note 1", "note 2", "note 3"]
    assert texts(given.related(first.id, k=1)) == ["note 1"]
    assert texts(given.related(first.id, where={"importance": {"$gt": 0.3}})) == ["note 2", "note 3"]
    assert given.related(first.id, within=BOB) == []
    given.supersede(given.search(vector=VECTORS[1], k=1)[0].id, first.id)
    assert texts(given.related(first.id)) == ["note 2", "note 3"]
    assert texts(given.related(first.id, include_superseded=True, explain=True)) == ["note 1", "note 2", "note 3"]


def test_related_goes_by_words_where_there_is_no_vector(store: kiromi.Store) -> None:
    one = store.append("The zebra drinks at the river.", ANA)
    two = store.append("A river full of zebras.", ANA)
    store.append("Nothing like it at all.", ANA)
    assert [hit.id for hit in store.related(one.id)][:1] == [two.id]
    assert one.id not in [hit.id for hit in store.related(one.id)]
    data = store.append(b"\x00\x01", ANA, tags=["zebra"])
    assert {hit.id for hit in store.related(data.id)} == {one.id, two.id}


def test_related_to_what_is_not_there(given: kiromi.Store) -> None:
    first = given.search(vector=[1, 0], k=1)[0]
    given.delete(first.id)
    with pytest.raises(kiromi.MemoryDeleted):
        given.related(first.id)
    second = given.search(vector=[1, 0], k=1)[0]
    given.update(second.id, expires_at=datetime.now(UTC) - timedelta(days=1))
    with pytest.raises(kiromi.MemoryExpired):
        given.related(second.id)
    with pytest.raises(kiromi.InvalidInput, match="'x'"):
        given.related("x")


# -- refusals ----------------------------------------------------------------------------------------------------------

Refused = tuple[dict[str, Any], str]
REFUSED: list[Refused] = [
    ({"k": 0}, "k=0"),
    ({"fusion": "sum"}, "'sum'.*rrf, convex"),
    ({"k": "3"}, "k='3'"),
    ({"k": True}, "k=True"),
    ({"k": 10_001}, "k=10001"),
    ({"mode": "words"}, "mode='words'.*auto, vector, text, hybrid"),
    ({"mode": []}, r"mode=\[\]"),
    ({"profile": "nope"}, "profile='nope'.*relevance, recent, trusted"),
    ({"profile": []}, r"profile=\[\]"),
    ({"weights": {"bm25": 1}}, "'bm25'.*text, vector"),
    ({"weights": {"text": -1}}, r"weights\['text'\]=-1"),
    ({"weights": {"text": "1"}}, r"weights\['text'\]='1'"),
    ({"weights": [1]}, r"weights=\[1\]"),
    ({"min_score": "0.5"}, "min_score='0.5'"),
    ({"min_score": float("nan")}, "min_score=nan"),
    ({"rerank": 5}, "rerank=5"),
    ({"kind": 5}, "kind=5"),
    ({"kind": "\ud800"}, "kind"),
    ({"valid_at": "today"}, "valid_at='today'"),
    ({"valid_at": datetime(2026, 1, 1)}, "valid_at"),  # noqa: DTZ001 - naive on purpose
    ({"within": {"nope": 1}}, "'nope'.*topic, user"),
    ({"within": 5}, "within=5"),
    ({"where": 5}, "where is a int"),
    ({"where": {"a": {"$near": 1}}}, r"\$near"),
    ({"vector": []}, r"vector=\[\]"),
    ({"vector": "1,2"}, "vector='1,2'"),
    ({"vector": [[1, 2]]}, r"vector=\[\[1, 2\]\]"),
    ({"vector": [1.0, float("nan")]}, "vector="),
    ({"vector": [1e30, 0]}, "vector="),
    ({"vector": [1, 2], "mode": "text"}, "mode='text' takes no vector"),
]


@pytest.mark.parametrize(("arguments", "says"), REFUSED, ids=[says for _, says in REFUSED])
def test_a_bad_argument_is_named(given: kiromi.Store, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(kiromi.InvalidInput, match=says):
        given.search("note", **arguments)


@pytest.mark.parametrize("query", [5, b"note", ["note"], {"note": 1}])
def test_a_query_is_text(given: kiromi.Store, query: Any) -> None:
    with pytest.raises(kiromi.InvalidInput, match="query="):
        given.search(query)


def test_a_lone_surrogate_in_a_query_is_no_error(hashed: kiromi.Store) -> None:
    assert len(hashed.search("\ud800 seat")) == 3
    assert len(hashed.search("\ud800 seat", mode="text")) == 2


def test_modes_need_what_they_look_for(given: kiromi.Store) -> None:
    for arguments in ({}, {"mode": "text"}, {"mode": "hybrid"}, {"mode": "hybrid", "vector": [1, 0]}):
        with pytest.raises(kiromi.InvalidInput, match="needs a query text"):
            given.search(**arguments)
    with pytest.raises(kiromi.EmbedderMismatch, match="3 dimensions"):
        given.search(vector=[1, 2, 3])
    with pytest.raises(kiromi.EmbedderError, match="vector="):
        given.search("note", mode="vector")
    with pytest.raises(kiromi.EmbedderError, match="vector="):
        given.search("note", mode="hybrid")


def test_without_a_model_there_is_no_search_by_meaning(tmp_path: Path) -> None:
    with kiromi.open(tmp_path / "s", scheme=SCHEME) as store:
        for mode in BY_MEANING:
            with pytest.raises(kiromi.InvalidInput, match=f"mode='{mode}' needs a model"):
                store.search("x", mode=mode)
        with pytest.raises(kiromi.InvalidInput, match="no model"):
            store.search(vector=[1.0])


def test_a_handle_whose_store_is_closed_does_not_search(hashed: kiromi.Store) -> None:
    scoped = hashed.scoped(ANA)
    hashed.close()
    for search in (hashed.search, scoped.search):
        with pytest.raises(kiromi.InvalidInput, match="closed"):
            search("x")


def test_search_within_a_transaction_sees_what_was_before_it(hashed: kiromi.Store) -> None:
    """And it waits for no other thread's search, which itself may wait for the transaction."""
    others: list[list[Hit]] = []
    memory_id = hashed.list_ids()[0]

    def search() -> None:
        others.append(hashed.search("seat", mode="text"))
        others.append(hashed.search("seat", mode="vector", where={"kind": "semantic"}))

    with hashed.transaction() as tx:
        tx.append("new seat", ANA)
        thread = threading.Thread(target=search)
        thread.start()
        while not others:
            thread.join(0.01)
        assert len(hashed.search("seat", mode="text")) == 2
        assert len(hashed.search("seat", where={"user": "ana"})) == 2
        assert len(hashed.related(memory_id)) == 2
    thread.join()
    assert [len(hits) for hits in others] == [2, 1]
    assert len(hashed.search("seat", mode="text")) == 3


# -- read-only stores --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", ["all", "none", "vectors-1", "text", "stale"])
def test_a_read_only_store_is_searched_and_left_alone(root: Path, kept: str) -> None:
    with kiromi.open(root, scheme=SCHEME, embedder="hash:16", durability="relaxed") as store:
        store.append_many({"content": f"notes about zebras {i}", "partition": ANA} for i in range(30))
        if kept == "stale":
            store.search("zebras")
        else:
            store.reindex()
    index = root / "default" / "index"
    if kept == "stale":
        aside = index.rename(root / "aside")
        with kiromi.open(root) as store:
            store.append("fresh notes", ANA)
            store.delete(store.list_ids()[0])
        assert not index.exists()
        aside.rename(index)
    for folder in index.iterdir():
        if kept not in ("all", "stale", folder.name) and folder.is_dir():
            shutil.rmtree(folder)
    before = files_below(root)
    with kiromi.open(root, read_only=True) as store:
        check_exact(store, 16, words=["zebras", "7", "fresh"])
        assert store.related(store.list_ids()[0], k=3)
        with pytest.raises(kiromi.InvalidInput, match="read-only"):
            store.reindex()
        with pytest.raises(kiromi.InvalidInput, match="read-only"):
            store.reembed("hash:8")
        assert files_below(root) == before
    assert files_below(root) == before


def test_a_read_only_handle_with_an_embedder_registers_nothing(root: Path) -> None:
    with kiromi.open(root, scheme=SCHEME) as store:
        store.append("zebra", ANA)
    with kiromi.open(root, read_only=True, embedder="hash:8") as store:
        assert store.models() == []
        assert texts(store.search("zebra")) == ["zebra"]


def test_a_failing_embedder_leaves_text_search(root: Path) -> None:
    embedder = Watched()
    with kiromi.open(root, scheme=SCHEME, embedder=embedder) as store:
        store.append("one zebra", ANA)
        store.append("two", ANA)
        embedder.before = fail
        with pytest.warns(EmbedderWarning, match="searched as text only.*the server is away"):
            assert texts(store.search("zebra", weights={"vector": 2, "text": 1})) == ["one zebra"]
        for mode in BY_MEANING:
            with pytest.raises(kiromi.EmbedderError, match="the server is away"):
                store.search("zebra", mode=mode)
        assert texts(store.search("zebra", mode="text")) == ["one zebra"], "text search does not ask it"
