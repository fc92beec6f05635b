"""The plain baselines find what they should; remembered vectors are those of the embedder."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiromi.embed.base import Matrix, Metric, Model, Role
from kiromi.errors import EmbedderError, InvalidInput
from tools.retrieval.baselines import Bm25, Dense
from tools.retrieval.sets import Document
from tools.retrieval.vectors import RememberingEmbedder

WORDS = ["ant", "bee", "cat", "dog"]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join), min_size=1, max_size=12)


class CountingEmbedder:
    """Counts the words that it knows, and what it is asked."""

    id = "counting"
    dimension = len(WORDS)
    batch_size = 2
    window = 7

    def __init__(self, metric: Metric = "cosine", extra: int = 0) -> None:
        self.metric: Metric = metric
        self.asked: list[str] = []
        self._extra = extra

    def embed(self, texts: Sequence[str], role: Role) -> Matrix:
        assert len(texts) <= self.batch_size
        self.asked += [f"{role}:{text}" for text in texts]
        counts = [[text.split().count(word) for word in WORDS] + [0] * self._extra for text in texts]
        return np.array(counts, np.float32)


def documents(texts: Sequence[str]) -> list[Document]:
    # Ids whose order is not that of the documents.
    return [Document(f"{(number * 7) % 100:02}", text) for number, text in enumerate(texts)]


def bm25_scores(texts: Sequence[str], query: str) -> list[float]:
    """BM25 by its formula; text lengths are below 40 words, which tantivy keeps exactly."""
    counts = [Counter(text.split()) for text in texts]
    average = sum(count.total() for count in counts) / len(texts)
    scores = []
    for count in counts:
        score = 0.0
        for word in query.split():
            having = sum(word in other for other in counts)
            weight = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
            if count[word]:
                length = 1.2 * (0.25 + 0.75 * count.total() / average)
                score += weight * count[word] * 2.2 / (count[word] + length)
        scores.append(score)
    return scores


@given(TEXTS, st.lists(st.sampled_from([*WORDS, "eel"]), min_size=1, max_size=4).map(" ".join), st.integers(1, 12))
def test_bm25_ranks_as_its_formula_does(texts: list[str], query: str, depth: int) -> None:
    scored = {
        document.id: score
        for document, score in zip(documents(texts), bm25_scores(texts, query), strict=True)
        if score > 0
    }
    found = Bm25(documents(texts)).rank(query, depth)
    assert len(found) == min(depth, len(scored))
    # Scores are 32-bit floats there: near ones may change places.
    assert [scored[each] for each in found] == pytest.approx(sorted(scored.values(), reverse=True)[:depth], rel=1e-5)


def test_bm25_finds_a_planted_document_whatever_the_query_is_written_like() -> None:
    texts = [f"nothing {number} here" for number in range(50)]
    planted = [*documents(texts), Document("planted", "Running, the AND fox", "Quick: brown!")]
    baseline = Bm25(planted)
    assert baseline.rank('"quick" +brown -(fox^ text:[', 3) == ["planted"]
    assert baseline.rank("RUNNING", 3) == ["planted"]
    assert baseline.rank("run", 3) == []
    assert baseline.rank("?!", 3) == []
    assert baseline.rank("and", 3) == ["planted"]


def test_bm25_breaks_ties_by_id_also_at_the_edge() -> None:
    same = [Document(name, "same") for name in reversed([f"{number:03}" for number in range(100)])]
    assert Bm25(same).rank("same", 5) == ["000", "001", "002", "003", "004"]


@given(TEXTS, st.sampled_from(["cosine", "dot", "l2"]), st.integers(1, 12))
def test_dense_ranks_by_its_metric(texts: list[str], metric: Metric, depth: int) -> None:
    embedder = CountingEmbedder(metric)
    query = np.array([2, 1, 0, 0], np.float64)

    def nearness(document: Document) -> float:
        vector = np.array([document.text.split().count(word) for word in WORDS], np.float64)
        if metric == "l2":
            return -float(np.linalg.norm(vector - query))
        product = float(vector @ query)
        lengths = float(np.linalg.norm(vector) * np.linalg.norm(query))
        return product if metric == "dot" else product / lengths if lengths else 0.0

    scores = {document.id: nearness(document) for document in documents(texts)}
    found = Dense(documents(texts), embedder).rank("ant ant bee", depth)
    assert [scores[each] for each in found] == pytest.approx(sorted(scores.values(), reverse=True)[:depth], abs=1e-6)


def test_dense_embeds_title_and_text_and_breaks_ties_by_id() -> None:
    embedder = CountingEmbedder()
    same = [Document("b", "cat"), Document("c", "dog", "cat"), Document("a", "cat")]
    assert Dense(same, embedder).rank("cat", 2) == ["a", "b"]
    assert embedder.asked == ["document:cat", "document:cat", "document:cat\n\ndog", "query:cat"]
    assert Dense([], embedder).rank("cat", 2) == []


@pytest.mark.parametrize("is_kept", [True, False])
def test_what_was_embedded_is_not_embedded_again(is_kept: bool, tmp_path: Path) -> None:
    inner = CountingEmbedder()
    embedder = RememberingEmbedder(inner, tmp_path / "deep" / "cache" if is_kept else None)
    assert embedder.embed(["ant", "bee bee"], "document").tolist() == [[1, 0, 0, 0], [0, 2, 0, 0]]
    assert embedder.embed(["bee bee", "bee bee"], "document").tolist() == [[0, 2, 0, 0]] * 2
    assert embedder.embed(["ant", "dog"], "query").tolist() == [[1, 0, 0, 0], [0, 0, 0, 1]]
    assert embedder.embed([], "query").shape == (0, 4)
    assert inner.asked == ["document:ant", "document:bee bee", "query:ant", "query:dog"]
    embedder.close()
    if is_kept:
        later = CountingEmbedder()
        again = RememberingEmbedder(later, tmp_path / "deep" / "cache")
        assert again.embed(["dog"], "query").tolist() == [[0, 0, 0, 1]]
        assert later.asked == []
        again.close()


def test_remembering_embedder_passes_for_the_one_that_it_wraps() -> None:
    inner = CountingEmbedder("dot")
    embedder = RememberingEmbedder(inner)
    assert Model.of(embedder) == Model.of(inner)
    assert (embedder.window, hasattr(embedder, "count_tokens")) == (7, False)
    embedder.close()


def test_models_do_not_share_vectors(tmp_path: Path) -> None:
    for metric in ("cosine", "dot"):
        inner = CountingEmbedder(metric)
        embedder = RememberingEmbedder(inner, tmp_path)
        embedder.embed(["ant"], "query")
        assert inner.asked == ["query:ant"]
        embedder.close()


def test_bad_embedders_and_folders_are_refused(tmp_path: Path) -> None:
    embedder = RememberingEmbedder(CountingEmbedder(extra=1))
    with pytest.raises(EmbedderError, match=r"shape \(1, 5\), not \(1, 4\)"):
        embedder.embed(["ant"], "query")
    embedder.close()
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="cannot keep vectors"):
        RememberingEmbedder(CountingEmbedder(), tmp_path / "file")
