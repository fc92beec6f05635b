"""The lexical baseline: the same everywhere, and near what shares words."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiromi.embed.hashing import HashingEmbedder
from kiromi.errors import InvalidInput
from tests.embed.contract import TEXTS, EmbedderContract, embed


class TestUsual(EmbedderContract):
    @pytest.fixture
    def embedder(self) -> HashingEmbedder:
        return HashingEmbedder()


class TestNarrow(EmbedderContract):
    @pytest.fixture
    def embedder(self) -> HashingEmbedder:
        return HashingEmbedder(7)


DIGEST = "463548d06cec85931a0c5612351e94e6d099fa55d29e4f3b7ac3844f10d2371e"
DIGEST_CODE = """
import hashlib, sys
from kiromi.embed.hashing import HashingEmbedder
texts = eval(sys.stdin.read())
print(hashlib.sha256(HashingEmbedder().embed(texts, "document").astype("<f4").tobytes()).hexdigest())
"""


def test_the_vectors_never_change() -> None:
    vectors = HashingEmbedder().embed(TEXTS, "document")
    assert hashlib.sha256(vectors.astype("<f4").tobytes()).hexdigest() == DIGEST


@pytest.mark.parametrize("seed", ["0", "4711"])
def test_the_hash_seed_of_the_process_does_not_matter(seed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DIGEST_CODE],
        input=ascii(TEXTS),
        env={**os.environ, "PYTHONHASHSEED": seed},
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == DIGEST


@given(st.lists(st.text(), max_size=8), st.integers(1, 300))
def test_every_text_has_a_direction(texts: list[str], dimension: int) -> None:
    vectors = HashingEmbedder(dimension).embed(texts, "document")
    assert vectors.shape == (len(texts), dimension)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("query", "near", "far"),
    [
        ("aisle seat", "Prefers an aisle seat.", "The weather was fine."),
        ("SEAT", "seat", "seats"),
        ("seats", "a seat", "a hotel"),
        ("new york", "in New York", "a new house in old York"),
        ("天气", "今天天气很好", "我们去公园吧"),
        ("날씨", "오늘날씨가 좋다", "공원에 가자"),
        ("Größe", "die GRÖßE", "die Straße"),
    ],
)
def test_what_shares_words_is_near(query: str, near: str, far: str) -> None:
    vectors = embed(HashingEmbedder(), query, near, far)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1


def test_a_repeated_word_counts_less_each_time() -> None:
    vectors = embed(HashingEmbedder(4096), "apple", "pear " + "apple " * 4, "pear " + "apple " * 64)
    once, four, many = vectors[0] @ vectors.T
    assert once > many > four > 0.5
    assert 0.15 < embed(HashingEmbedder(4096), "pear")[0] @ vectors[1] < four


@pytest.mark.parametrize("dimension", [0, -1, 16_385, True, 2.0, "256"])
def test_impossible_dimensions_are_refused(dimension: int) -> None:
    with pytest.raises(InvalidInput, match=r"dimension=.*accepted: a whole number from 1 to 16,384"):
        HashingEmbedder(dimension)


def test_what_it_says_of_itself() -> None:
    embedder = HashingEmbedder(512)
    assert (embedder.id, embedder.spec, embedder.metric, embedder.window) == ("hash-1-512", "hash:512", "cosine", None)
    assert "not a semantic model" in (HashingEmbedder.__doc__ or "")
