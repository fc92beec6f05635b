"""Reranking: the caller's function is called once with the first hits, and its mistakes are named."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiromi.errors import EmbedderError, InvalidInput, KiromiError
from kiromi.search.rerank import RERANKED, reranked

ITEMS = ["first", "second", "third", "fourth"]


def test_the_first_hits_are_given_with_the_query_and_ordered_anew() -> None:
    calls: list[tuple[str, list[str]]] = []

    def reranker(query: str, items: Sequence[str]) -> list[float]:
        calls.append((query, list(items)))
        return [0.1, 0.9, 0.5]

    assert reranked("seat", ITEMS, reranker, top=3) == [
        ("second", 0.9),
        ("third", 0.5),
        ("first", 0.1),
        ("fourth", None),
    ]
    assert calls == [("seat", ["first", "second", "third"])]


def test_fifty_are_reranked_unless_said_otherwise() -> None:
    order = reranked("q", range(60), lambda _, items: list(items))
    assert RERANKED == 50
    assert [item for item, _ in order] == [*range(49, -1, -1), *range(50, 60)]


@given(st.lists(st.integers(0, 5)), st.integers(1, 30))
def test_equal_scores_keep_the_order(items: list[int], top: int) -> None:
    order = reranked("q", list(enumerate(items)), lambda _, pairs: [number for _, number in pairs], top)
    head = sorted(enumerate(items[:top]), key=lambda pair: -pair[1])
    assert [pair for pair, _ in order] == head + list(enumerate(items))[top:]


def test_without_hits_it_is_not_called() -> None:
    def reranker(query: str, items: Sequence[str]) -> list[float]:
        raise AssertionError("called")

    assert reranked("q", [], reranker) == []


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([1.0], "the reranker gave 1 scores for 4 hits"),
        ([1.0] * 5, "the reranker gave 5 scores for 4 hits"),
        ([1.0, math.nan, 1.0, 1.0], "the reranker gave the score nan"),
        ([1.0, 1.0, math.inf, 1.0], "the reranker gave the score inf"),
    ],
)
def test_wrong_scores_are_refused(scores: list[float], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        reranked("q", ITEMS, lambda _, items: scores)


@pytest.mark.parametrize("result", [None, ["high", "low", "low", "low"]])
def test_what_is_no_list_of_numbers_fails_clearly(result: Any) -> None:
    with pytest.raises(KiromiError, match="the reranker failed: "):
        reranked("q", ITEMS, lambda _, items: result)


def test_what_the_reranker_raises_is_the_cause() -> None:
    def broken(query: str, items: Sequence[str]) -> list[float]:
        raise RuntimeError("no model")

    with pytest.raises(KiromiError, match="the reranker failed: RuntimeError: no model") as caught:
        reranked("q", ITEMS, broken)
    assert isinstance(caught.value.__cause__, RuntimeError)

    def unreachable(query: str, items: Sequence[str]) -> list[float]:
        raise EmbedderError("endpoint down")

    with pytest.raises(EmbedderError, match="endpoint down"):
        reranked("q", ITEMS, unreachable)


def test_top_below_one_is_refused() -> None:
    with pytest.raises(InvalidInput, match="top=0"):
        reranked("q", ITEMS, lambda _, items: [], top=0)
