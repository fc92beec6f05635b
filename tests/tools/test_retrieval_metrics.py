"""Retrieval figures equal what is computed by hand and by brute force; intervals find what is there and no more."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.retrieval.metrics import Interval, bootstrap, group_recall, ndcg, recall, reciprocal_rank, relevant_in

DOCUMENTS = list("abcdefgh")
GRADES = st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(-1, 3), min_size=1, max_size=6).filter(
    lambda grades: max(grades.values()) > 0
)
RANKINGS = st.permutations(DOCUMENTS).flatmap(lambda order: st.integers(0, len(order)).map(lambda end: order[:end]))
CUTS = st.integers(1, 10)


def gain_by_hand(ranking: list[str], grades: dict[str, int], k: int) -> float:
    total = 0.0
    for position in range(min(k, len(ranking))):
        total += max(grades.get(ranking[position], 0), 0) / math.log(position + 2, 2)
    return total


def test_hand_computed_example() -> None:
    ranking, grades = ["x", "b", "a", "y", "c"], {"a": 3.0, "b": 1.0, "c": 2.0, "never": 1.0, "z": 0.0, "bad": -1.0}
    relevant = relevant_in(grades)
    assert relevant == {"a", "b", "c", "never"}
    assert recall(ranking, relevant, 1) == 0
    assert recall(ranking, relevant, 2) == 0.25
    assert recall(ranking, relevant, 10) == 0.75
    assert reciprocal_rank(ranking, relevant, 1) == 0
    assert reciprocal_rank(ranking, relevant, 10) == 0.5
    found = 1 / math.log2(3) + 3 / 2 + 2 / math.log2(6)
    ideal = 3 + 2 / math.log2(3) + 1 / 2 + 1 / math.log2(5)
    assert ndcg(ranking, grades, 10) == pytest.approx(found / ideal)
    assert ndcg(ranking, grades, 2) == pytest.approx((1 / math.log2(3)) / (3 + 2 / math.log2(3)))


def test_sessions_are_found_by_any_of_their_turns() -> None:
    sessions = {"a1": "a", "a2": "a", "b1": "b", "c1": "c"}
    assert group_recall(["a2", "c1", "b1"], {"a1", "b1"}, sessions, 1) == 0.5
    assert group_recall(["a2", "c1", "b1"], {"a1", "b1"}, sessions, 3) == 1
    assert group_recall(["a2", "b1"], {"a1", "a2"}, sessions, 1) == 1
    assert group_recall(["a1", "b1", "c1"], {"a1", "gone"}, sessions, 3) == 0.5


@given(RANKINGS, GRADES, CUTS)
def test_figures_equal_brute_force(ranking: list[str], grades: dict[str, int], k: int) -> None:
    relevant = relevant_in(grades)
    best = max(gain_by_hand(list(order), grades, k) for order in itertools.permutations(grades))
    assert ndcg(ranking, grades, k) == pytest.approx(gain_by_hand(ranking, grades, k) / best)
    assert recall(ranking, relevant, k) == sum(document in ranking[:k] for document in relevant) / len(relevant)
    ranks = [ranking.index(document) + 1 for document in relevant if document in ranking[:k]]
    assert reciprocal_rank(ranking, relevant, k) == (1 / min(ranks) if ranks else 0)
    alone = {document: document for document in DOCUMENTS}
    assert group_recall(ranking, relevant, alone, k) == recall(ranking, relevant, k)


@given(GRADES, CUTS)
def test_ideal_ranking_is_perfect(grades: dict[str, int], k: int) -> None:
    ideal = sorted(grades, key=lambda document: -grades[document])
    assert ndcg(ideal, grades, k) == pytest.approx(1)
    assert reciprocal_rank(ideal, relevant_in(grades), k) == 1


@pytest.mark.parametrize("figure", [recall, reciprocal_rank])
def test_figures_refuse_what_has_no_meaning(figure: Callable[[list[str], set[str], int], float]) -> None:
    with pytest.raises(ValueError, match="nothing is relevant"):
        figure(["a"], set(), 1)
    with pytest.raises(ValueError, match="'b' is ranked twice"):
        figure(["a", "b", "b"], {"a"}, 1)


def test_ndcg_and_group_recall_refuse_what_has_no_meaning() -> None:
    with pytest.raises(ValueError, match="nothing is relevant"):
        ndcg(["a"], {"a": 0}, 1)
    with pytest.raises(ValueError, match="'a' is ranked twice"):
        ndcg(["a", "a"], {"a": 1}, 1)
    with pytest.raises(ValueError, match="nothing is relevant"):
        group_recall(["a"], [], {"a": "s"}, 1)
    with pytest.raises(ValueError, match="no queries"):
        bootstrap(np.empty((0, 1)), seed=1)


def test_interval_is_that_of_the_normal_distribution_for_many_queries() -> None:
    values = np.random.default_rng(3).normal(5, 2, (400, 2))
    values[:, 1] *= 10
    for column, found in enumerate(bootstrap(values, seed=1)):
        error = 1.96 * values[:, column].std() / 20
        assert found.mean == pytest.approx(values[:, column].mean())
        assert found.mean - found.low == pytest.approx(error, rel=0.08)
        assert found.high - found.mean == pytest.approx(error, rel=0.08)


def test_bootstrap_draws_whole_queries_with_replacement() -> None:
    # Of two queries, a quarter of the resamples holds one of them twice, so that the bounds are the queries themselves.
    assert bootstrap(np.array([[0.0, 1.0], [1.0, 0.0]]), seed=1) == (Interval(0.5, 0, 1),) * 2
    # The sum of both figures is 1 for every query, so it is 1 in every resample.
    generator = np.random.default_rng(1)
    first = generator.random(50)
    one, other = bootstrap(np.stack([first, 1 - first], axis=1), seed=1)
    assert one.low == pytest.approx(1 - other.high)
    assert one.high == pytest.approx(1 - other.low)


def test_bootstrap_of_many_queries_in_pieces_keeps_to_the_seed() -> None:
    values = np.random.default_rng(1).random((3_000, 1))
    assert bootstrap(values, seed=5) == bootstrap(values, seed=5)
    assert bootstrap(values, seed=5) != bootstrap(values, seed=6)
    (found,) = bootstrap(values, seed=5)
    assert found.low < found.mean < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 3_000**0.5, rel=0.08)


def test_difference_of_equal_systems_holds_zero_and_a_gain_does_not() -> None:
    generator = np.random.default_rng(2)
    one = generator.random((200, 1))
    assert bootstrap(one - one, seed=1) == (Interval(0, 0, 0),)
    (noise,) = bootstrap(one - generator.permutation(one), seed=1)
    assert noise.low < 0 < noise.high
    (gain,) = bootstrap(generator.normal(0.05, 0.1, (200, 1)), seed=1)
    assert gain.low > 0
