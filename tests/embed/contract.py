"""What every embedder that makes vectors must do; inherit from it with a fixture ``embedder``."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from kiromi.embed import running
from kiromi.embed.base import Embedder, Matrix, Model, Role

ROLES: tuple[Role, ...] = ("document", "query")
TEXTS = (
    "Prefers aisle seats on long flights.",
    "",
    "seat",
    "Die Größe der Straße: 12 m²",
    "今天天气很好，我们去公园吧。",
    "อากาศดีมาก",
    "e\u0301 \u0000 \u200d \ufeff \U0010ffff",
    "👩‍👩‍👧 \r\n\t",
    "[SEP] [PAD] <|endoftext|>",
    "many words " * 30,
    "Prefers aisle seats on long flights.",
)


def embed(embedder: Embedder, *texts: str, role: Role = "document") -> Matrix:
    return np.asarray(embedder.embed(texts, role), dtype=np.float32)


class EmbedderContract:
    """The tests."""

    def test_the_registry_takes_it(self, embedder: Embedder) -> None:
        model = Model.of(embedder)
        assert (model.name, model.dimension, model.metric) == (embedder.id, embedder.dimension, embedder.metric)

    @pytest.mark.parametrize("role", ROLES)
    def test_one_finite_vector_for_each_text(self, embedder: Embedder, role: Role) -> None:
        vectors = np.asarray(embedder.embed(TEXTS, role))
        assert (vectors.shape, vectors.dtype.name) == ((len(TEXTS), embedder.dimension), "float32")
        assert np.isfinite(vectors).all()
        assert vectors.any(axis=1).all()

    def test_no_text_no_vector(self, embedder: Embedder) -> None:
        assert embed(embedder).shape == (0, embedder.dimension)

    def test_the_same_again(self, embedder: Embedder) -> None:
        assert np.array_equal(embed(embedder, *TEXTS), embed(embedder, *TEXTS))

    def test_equal_texts_are_equal_and_others_differ(self, embedder: Embedder) -> None:
        vectors = embed(embedder, *TEXTS)
        assert np.allclose(vectors[0], vectors[-1], atol=1e-5)
        assert not np.allclose(vectors[0], vectors[2], atol=1e-3)

    def test_one_by_one_as_together(self, embedder: Embedder) -> None:
        together = embed(embedder, *TEXTS)
        one_by_one = np.concatenate([embed(embedder, text) for text in TEXTS])
        assert np.allclose(together, one_by_one, atol=1e-5)

    def test_in_the_order_of_the_texts(self, embedder: Embedder) -> None:
        backwards = embed(embedder, *reversed(TEXTS))
        assert np.allclose(backwards[::-1], embed(embedder, *TEXTS), atol=1e-5)

    def test_more_texts_than_a_batch(self, embedder: Embedder) -> None:
        texts = [f"{TEXTS[i % len(TEXTS)]}{i % 5}" for i in range(embedder.batch_size + 3)]
        vectors = running.embed(embedder, texts, "document")
        assert np.allclose(vectors[-3:], embed(embedder, *texts[-3:]), atol=1e-5)
        assert np.allclose(vectors[:3], embed(embedder, *texts[:3]), atol=1e-5)

    def test_lone_surrogates(self, embedder: Embedder) -> None:
        vectors = running.embed(embedder, ["\ud800", "a \udfff b", "\ud83d\ude00"], "query")
        assert np.allclose(vectors, embed(embedder, "\ufffd", "a \ufffd b", "😀", role="query"), atol=1e-5)

    def test_many_threads(self, embedder: Embedder) -> None:
        expected = embed(embedder, *TEXTS)
        gate = threading.Barrier(8)

        def work(start: int) -> Matrix:
            texts = TEXTS[start:] + TEXTS[:start]
            gate.wait()
            return np.roll(embed(embedder, *texts), start, axis=0)

        with ThreadPoolExecutor(8) as pool:
            for found in pool.map(work, range(8)):
                assert np.allclose(found, expected, atol=1e-5)
