"""Ranking: profiles within their bounds, `min_score`, and the best passage of each memory."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiromi.errors import InvalidInput
from kiromi.index.items import PassageHit
from kiromi.search.ranking import DAY_S, PROFILES, Candidate, Profile, Ranked, best_passages, profile_of, rank

NOW = datetime(2025, 6, 1, tzinfo=UTC)
AGES = st.floats(-100, 5000).map(lambda days: NOW - timedelta(days=days))
PARTS = st.none() | st.floats(0, 1)
WEIGHTS = st.floats(0, 0.95)


@st.composite
def candidates(draw: st.DrawFn) -> list[Candidate]:
    ids = draw(st.lists(st.sampled_from("abcdefgh"), unique=True))
    return [Candidate(id_, draw(st.floats(-50, 50)), draw(AGES), draw(PARTS), draw(PARTS)) for id_ in ids]


profiles = st.builds(Profile, st.just("own"), st.floats(1, 1e9), WEIGHTS, WEIGHTS, WEIGHTS)


def one(profile: Profile, **facts: Any) -> Ranked:
    candidate = replace(Candidate("a", 2.0, NOW), **facts)
    return rank(profile, [candidate], NOW)[0]


@given(candidates(), st.floats(1, 1e9))
def test_a_profile_without_weights_is_the_identity(given_: list[Candidate], half_life_s: float) -> None:
    ranked = rank(Profile("own", half_life_s), given_, NOW)
    assert [(r.id, r.score) for r in ranked] == [
        (c.id, c.score) for c in sorted(given_, key=lambda c: (-c.score, c.id))
    ]
    assert all(r.factor == 1 for r in ranked)


@given(candidates(), profiles, st.randoms(use_true_random=False))
def test_scores_stay_within_the_bounds_of_the_weights(given_: list[Candidate], profile: Profile, random: Any) -> None:
    ranked = rank(profile, given_, NOW)
    assert ranked == sorted(ranked, key=lambda r: (-r.score, r.id))
    assert ranked == rank(profile, random.sample(given_, len(given_)), NOW)
    i, c = profile.importance_weight, profile.confidence_weight
    least = (1 - profile.recency_weight) * (1 - i) * (1 - c)
    most = (1 + i) * (1 + c)
    for r in ranked:
        assert least * (1 - 1e-9) <= r.factor <= most * (1 + 1e-9)
        assert r.score == (r.relevance * r.factor if r.relevance >= 0 else r.relevance / r.factor)
        recency = 1 - profile.recency_weight + profile.recency_weight * r.recency
        importance, confidence = 1 - i + 2 * i * r.importance, 1 - c + 2 * c * r.confidence
        assert r.factor == pytest.approx(recency * importance * confidence)


@given(profiles, st.floats(-50, 50), AGES, AGES, PARTS, PARTS)
def test_what_is_more_recent_important_or_certain_is_never_worse(
    profile: Profile, score: float, at: datetime, other: datetime, importance: float | None, confidence: float | None
) -> None:
    facts = {"score": score, "event_at": min(at, other), "importance": importance, "confidence": confidence}
    base = one(profile, **facts).score
    for better in ({"event_at": max(at, other)}, {"importance": 1.0}, {"confidence": 1.0}):
        assert one(profile, **(facts | better)).score >= base
    for worse in ({"importance": 0.0}, {"confidence": 0.0}):
        assert one(profile, **(facts | worse)).score <= base


@given(st.floats(1e3, 1e8), st.integers(0, 8))
def test_recency_halves_with_each_half_life(half_life_s: float, times: int) -> None:
    ranked = one(Profile("own", half_life_s, 0.5), event_at=NOW - timedelta(seconds=half_life_s) * times)
    assert ranked.recency == pytest.approx(0.5**times, rel=1e-6)
    assert ranked.score == pytest.approx(2 * (0.5 + 0.5 * 0.5**times), rel=1e-6)


def test_the_future_is_as_recent_as_now_and_antiquity_loses_the_weight() -> None:
    profile = PROFILES["recent"]
    assert one(profile, event_at=NOW + timedelta(days=9)).factor == 1
    assert one(profile, event_at=datetime(1, 1, 1, tzinfo=UTC)).factor == pytest.approx(1 - profile.recency_weight)


def test_missing_importance_and_confidence_are_neutral() -> None:
    trusted = PROFILES["trusted"]
    assert one(trusted).factor == 1
    assert one(trusted, importance=0.5).factor == 1
    assert one(trusted, importance=1.0).factor == pytest.approx(1.2)
    assert one(trusted, confidence=0.0).factor == pytest.approx(0.8)


def test_named_profiles_order_memories_of_like_relevance() -> None:
    old = Candidate("old", 1.0, NOW - timedelta(days=300), 0.9, 0.9)
    new = Candidate("new", 0.9, NOW, 0.1, 0.1)
    poor = Candidate("poor", 0.1, NOW, 1.0, 1.0)
    order = {name: [r.id for r in rank(profile, [poor, new, old], NOW)] for name, profile in PROFILES.items()}
    assert order == {
        "relevance": ["old", "new", "poor"],
        "recent": ["new", "old", "poor"],
        "trusted": ["old", "new", "poor"],
    }
    assert PROFILES["recent"].half_life_s == 30 * DAY_S


@given(candidates(), profiles, st.floats(-60, 60))
def test_min_score_is_of_the_final_score(given_: list[Candidate], profile: Profile, least: float) -> None:
    everything = rank(profile, given_, NOW)
    assert rank(profile, given_, NOW, least) == [r for r in everything if r.score >= least]


def test_profiles_go_by_name_or_are_the_callers_own() -> None:
    own = Profile("own", recency_weight=0.9)
    assert profile_of(own) is own
    assert profile_of("recent") is PROFILES["recent"]
    with pytest.raises(InvalidInput, match="profile='new'; accepted: relevance, recent, trusted"):
        profile_of("new")


@pytest.mark.parametrize(
    "settings",
    [
        *({"half_life_s": 0}, {"half_life_s": math.inf}, {"half_life_s": math.nan}),
        *({"recency_weight": 1}, {"importance_weight": -0.1}, {"confidence_weight": math.nan}),
    ],
)
def test_impossible_profiles_are_refused(settings: Any) -> None:
    with pytest.raises(InvalidInput, match=f"{next(iter(settings))}=.*accepted"):
        Profile("own", **settings)


def test_a_naive_now_and_a_min_score_that_is_no_number_are_refused() -> None:
    with pytest.raises(InvalidInput, match="has no time zone"):
        rank(PROFILES["recent"], [], NOW.replace(tzinfo=None))
    with pytest.raises(InvalidInput, match="min_score=nan"):
        rank(PROFILES["recent"], [], NOW, math.nan)


hits = st.builds(
    PassageHit,
    st.sampled_from("abc"),
    st.just(1),
    st.integers(0, 3),
    st.integers(4, 6),
    st.sampled_from([0.1, 0.5, 0.9]),
)


@given(st.lists(hits), st.randoms(use_true_random=False))
def test_a_memory_appears_once_with_its_best_passage(found: list[PassageHit], random: Any) -> None:
    best = best_passages(found)
    assert {hit.id for hit in best} == {hit.id for hit in found}
    assert len({hit.id for hit in best}) == len(best)
    assert [(-hit.score, hit.id) for hit in best] == sorted((-hit.score, hit.id) for hit in best)
    for hit in best:
        rivals = [other for other in found if other.id == hit.id]
        assert (-hit.score, hit.begin, hit.end) == min((-other.score, other.begin, other.end) for other in rivals)
    assert best_passages(iter(random.sample(found, len(found)))) == best
