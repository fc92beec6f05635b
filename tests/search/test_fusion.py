"""Fusion: the formulas, and what they promise for any lists."""

import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kiromi.errors import InvalidInput
from kiromi.search.fusion import Component, Fused, Method, fuse

IDS = st.sampled_from("abcdefgh")
SCORES = st.floats(-1e3, 1e3)
LISTS = st.dictionaries(
    st.sampled_from(["text", "vector", "third"]), st.dictionaries(IDS, SCORES).map(lambda d: list(d.items()))
)
METHODS = st.sampled_from(list(Method))
TEXT = [("a", 9.0), ("b", 6.0), ("c", 3.0)]
VECTOR = [("b", 0.8), ("d", 0.2)]


def scores_of(fused: list[Fused]) -> dict[str, float]:
    return {one.id: one.score for one in fused}


def test_reciprocal_ranks_are_summed() -> None:
    fused = fuse({"text": TEXT, "vector": VECTOR})
    assert [one.id for one in fused] == ["b", "a", "d", "c"]
    assert scores_of(fused) == pytest.approx({"b": 1 / 62 + 1 / 61, "a": 1 / 61, "d": 1 / 62, "c": 1 / 63})
    assert fused[0].components == {
        "text": Component(2, 6.0, 1 / 62),
        "vector": Component(1, 0.8, 1 / 61),
    }
    assert set(fused[1].components) == {"text"}


def test_weights_and_k_are_settable() -> None:
    fused = fuse({"text": TEXT, "vector": VECTOR}, weights={"text": 3}, k=1)
    assert scores_of(fused) == pytest.approx({"a": 3 / 2, "b": 3 / 3 + 1 / 2, "c": 3 / 4, "d": 1 / 3})


def test_scores_are_combined_in_the_unit_interval() -> None:
    fused = fuse({"text": TEXT, "vector": VECTOR}, "convex", {"text": 3})
    assert scores_of(fused) == pytest.approx({"a": 0.75, "b": 0.75 * 0.5 + 0.25, "c": 0.0, "d": 0.0})
    floored = fuse({"text": TEXT, "vector": VECTOR}, "convex", {"text": 3}, floors={"text": 0, "vector": -1})
    assert scores_of(floored) == pytest.approx({"a": 0.75, "b": 0.5 + 0.25, "c": 0.25, "d": 0.25 * 1.2 / 1.8})


def test_scores_without_distance_are_all_the_best() -> None:
    assert scores_of(fuse({"text": [("a", 2.0), ("b", 2.0)]}, "convex")) == {"a": 1.0, "b": 1.0}
    assert scores_of(fuse({"text": [("a", 2.0), ("b", 1.0)]}, "convex", floors={"text": 3})) == {"a": 0.0, "b": 0.0}


def test_equal_scores_share_a_rank_and_ties_go_by_id() -> None:
    fused = fuse({"text": [("c", 1.0), ("b", 2.0), ("a", 2.0), ("d", 2.0)]})
    assert [(one.id, one.components["text"].rank) for one in fused] == [("a", 1), ("b", 1), ("d", 1), ("c", 4)]


def test_of_an_id_that_stands_twice_the_better_score_counts() -> None:
    assert fuse({"text": [("a", 1.0), ("b", 2.0), ("a", 3.0)]}) == fuse({"text": [("a", 3.0), ("b", 2.0)]})


@given(LISTS, METHODS, st.randoms(use_true_random=False))
def test_the_order_of_lists_and_entries_does_not_matter(lists: Any, method: Method, random: Any) -> None:
    shuffled = {name: random.sample(lists[name], len(lists[name])) for name in random.sample(list(lists), len(lists))}
    assert fuse(shuffled, method) == fuse(lists, method)


@given(LISTS, METHODS)
def test_all_ids_come_out_once_in_order_with_what_made_their_score(lists: Any, method: Method) -> None:
    fused = fuse(lists, method)
    assert sorted(one.id for one in fused) == sorted({id_ for scored in lists.values() for id_, _ in scored})
    assert fused == sorted(fused, key=lambda one: (-one.score, one.id))
    for one in fused:
        assert one.score == math.fsum(component.contribution for component in one.components.values())
        assert {name: component.score for name, component in one.components.items()} == {
            name: score for name, scored in lists.items() for id_, score in scored if id_ == one.id
        }
        if method == Method.CONVEX:
            assert 0 <= one.score <= 1 + 1e-12


@given(LISTS, METHODS, IDS, st.floats(0, 1e3))
def test_a_better_place_never_lowers_the_score(lists: Any, method: Method, id_: str, more: float) -> None:
    assume("text" in lists)
    before = scores_of(fuse(lists, method)).get(id_, 0.0)
    raised = [(other, score + more if other == id_ else score) for other, score in lists["text"]]
    assert scores_of(fuse(lists | {"text": raised}, method)).get(id_, 0.0) >= before - 1e-12


@given(LISTS, METHODS)
def test_a_weight_of_zero_drops_a_list(lists: Any, method: Method) -> None:
    without = {name: scored for name, scored in lists.items() if name != "text"}
    assert fuse(lists | {"text": TEXT}, method, {"text": 0}) == fuse(without, method)


@given(LISTS, st.floats(0.01, 100))
def test_only_the_ratio_of_convex_weights_matters(lists: Any, weight: float) -> None:
    weighted = scores_of(fuse(lists, Method.CONVEX, dict.fromkeys(lists, weight)))
    assert weighted == pytest.approx(scores_of(fuse(lists, Method.CONVEX)))


@given(st.dictionaries(IDS, SCORES), METHODS)
def test_one_list_keeps_its_order(scores: dict[str, float], method: Method) -> None:
    ordered = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    distinct = {round(score, 6) for score in scores.values()}
    assume(len(distinct) == len(scores))
    assert [one.id for one in fuse({"text": list(scores.items())}, method)] == [id_ for id_, _ in ordered]


def test_extreme_scores_stay_finite() -> None:
    fused = fuse({"text": [("a", 1.7e308), ("b", -1.7e308), ("c", 0.0)]}, "convex")
    assert scores_of(fused) == pytest.approx({"a": 1.0, "c": 0.5, "b": 0.0})


def test_nothing_gives_nothing() -> None:
    assert fuse({}) == []
    assert fuse({"text": []}, "convex") == []
    assert fuse({"text": TEXT}, "convex", {"text": 0}) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "sum"}, "fusion method 'sum'; accepted: rrf, convex"),
        ({"k": -1}, "k=-1; accepted: a finite number from 0"),
        ({"k": math.nan}, "k=nan"),
        ({"k": True}, "k=True"),
        ({"k": "60"}, "k='60'"),
        ({"weights": {"text": -0.5}}, r"weights\['text'\]=-0.5; accepted: a finite number from 0"),
        ({"weights": {"text": math.nan}}, r"weights\['text'\]=nan"),
        ({"weights": {"text": math.inf}}, r"weights\['text'\]=inf"),
        ({"weights": {"txt": 1}}, "weights names 'txt'; the lists are: text, vector"),
        ({"floors": {"text": math.nan}}, r"floors\['text'\]=nan; accepted: a finite number$"),
        ({"floors": {"txt": 1}}, "floors names 'txt'"),
    ],
)
def test_impossible_settings_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        fuse({"text": TEXT, "vector": VECTOR}, **arguments)


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_scores_that_are_no_numbers_are_refused(score: float) -> None:
    with pytest.raises(InvalidInput, match="the list 'text' gives a the score"):
        fuse({"text": [("a", score)]})
