"""Ranking: what else than relevance orders hits, and which passage stands for its memory.

A profile multiplies relevance with a factor for how recent, how important and how sure a memory is. Each factor is
bounded by its weight, so a profile orders memories of like relevance anew and never lifts one that is hardly relevant
above one that is by far. All functions are pure; `now` is an argument.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from kiromi.errors import InvalidInput
from kiromi.index.items import PassageHit

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Profile:
    """How much recency, importance and confidence count beside relevance."""

    name: str
    half_life_s: float = 30 * DAY_S
    """Seconds after which recency is a half: exponential decay, as in Park et al. 2023 (Generative Agents)."""
    recency_weight: float = 0.0
    """From 0, below 1: what a memory of long ago loses at most, as a part of its score."""
    importance_weight: float = 0.0
    """From 0, below 1: what importance 1 adds and importance 0 takes, as a part of the score."""
    confidence_weight: float = 0.0
    """The same for confidence."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.half_life_s) and self.half_life_s > 0):
            raise InvalidInput(f"half_life_s={self.half_life_s!r}; accepted: a finite number of seconds above 0")
        for name in ("recency_weight", "importance_weight", "confidence_weight"):
            if not 0 <= getattr(self, name) < 1:
                raise InvalidInput(f"{name}={getattr(self, name)!r}; accepted: from 0, below 1")


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            Profile("relevance"),
            Profile("recent", recency_weight=0.3),
            Profile("trusted", importance_weight=0.2, confidence_weight=0.2),
        )
    }
)
"""By name: nothing but relevance; recent memories first among like ones; important and certain ones first."""


def profile_of(profile: Profile | str) -> Profile:
    """Return a profile that is given by name or as such.

    Raises:
        InvalidInput: no profile has that name.
    """
    if isinstance(profile, Profile):
        return profile
    if not isinstance(profile, str) or profile not in PROFILES:
        raise InvalidInput(f"profile={profile!r}; accepted: {', '.join(PROFILES)}, or a Profile")
    return PROFILES[profile]


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a profile needs to know of a memory."""

    id: str
    score: float
    """Its relevance; higher is better. Negative ones (distances) are right too."""
    event_at: datetime
    importance: float | None = None
    """0 to 1; None counts as the middle."""
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Ranked:
    """A memory with its final score and what it came from."""

    id: str
    score: float
    """``relevance * factor``; of a negative relevance ``relevance / factor``, so that a larger factor is better too."""
    relevance: float
    recency: float
    """1 for now and later, a half after a half-life, towards 0."""
    importance: float
    """0 to 1; 0.5 where the memory has none."""
    confidence: float
    factor: float
    """The product of ``1 - w + w * recency``, ``1 - w + 2 * w * importance`` and the same of confidence, w being the
    weight of each in the profile."""


def rank(
    profile: Profile, candidates: Iterable[Candidate], now: datetime, min_score: float | None = None
) -> list[Ranked]:
    """Return the candidates under a profile, best first, ties by id.

    Args:
        profile: one of :data:`PROFILES`, or the caller's own.
        candidates: in any order, each memory once.
        now: the time of the search.
        min_score: memories whose final score is lower are left out. Its scale is that of the scores that come in:
            cosine similarity, BM25, or a fused score.

    Raises:
        InvalidInput: ``now`` has no time zone, or ``min_score`` is NaN.
    """
    if now.tzinfo is None:
        raise InvalidInput(f"now={now!r} has no time zone; accepted: an aware datetime")
    if min_score is not None and math.isnan(min_score):
        raise InvalidInput("min_score=nan; accepted: a number")
    ranked = [_rank(profile, candidate, now) for candidate in candidates]
    if min_score is not None:
        ranked = [one for one in ranked if one.score >= min_score]
    return sorted(ranked, key=lambda one: (-one.score, one.id))


def best_passages(hits: Iterable[PassageHit]) -> list[PassageHit]:
    """Return the best passage of each memory, best first, ties by id; of equal passages the first in the text."""
    best: dict[str, PassageHit] = {}
    for hit in hits:
        other = best.get(hit.id)
        if other is None or _passage_order(hit) < _passage_order(other):
            best[hit.id] = hit
    return sorted(best.values(), key=_passage_order)


def _passage_order(hit: PassageHit) -> tuple[float, str, int, int]:
    return -hit.score, hit.id, hit.begin, hit.end


def _rank(profile: Profile, candidate: Candidate, now: datetime) -> Ranked:
    age_s = max((now - candidate.event_at).total_seconds(), 0.0)
    recency = 0.5 ** (age_s / profile.half_life_s)
    importance = 0.5 if candidate.importance is None else candidate.importance
    confidence = 0.5 if candidate.confidence is None else candidate.confidence
    factor = (
        (1 - profile.recency_weight * (1 - recency))
        * (1 + profile.importance_weight * (2 * importance - 1))
        * (1 + profile.confidence_weight * (2 * confidence - 1))
    )
    score = candidate.score * factor if candidate.score >= 0 else candidate.score / factor
    return Ranked(candidate.id, score, candidate.score, recency, importance, confidence, factor)
