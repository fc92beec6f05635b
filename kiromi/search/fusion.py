"""Fusion: several ranked lists become one.

Two ways, both pure functions of the lists: by ranks, which needs nothing of the scores, and by normalised scores, which
keeps how far apart they are. Promises that the result does not depend on the order of the lists or of their entries,
and that a better place in one list never lowers an id. Getting the lists, and what else orders hits, is left to others.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from kiromi.errors import InvalidInput

Scored: TypeAlias = Sequence[tuple[str, float]]
"""A list to be fused: (id, score) pairs, a higher score being better."""


class Method(StrEnum):
    """How lists are fused."""

    RRF = "rrf"
    """Reciprocal rank fusion (Cormack, Clarke and Büttcher 2009): the sum of ``weight / (k + rank)`` over the lists."""
    CONVEX = "convex"
    """The weighted mean of the scores, each list's brought to ``[0, 1]`` (Bruch, Gai and Ingber 2023)."""


_MAX_WEIGHT = 1e6
RRF_K = 60.0
"""As Cormack et al. use it: the larger, the less the first ranks stand out."""


@dataclass(frozen=True, slots=True)
class Component:
    """What one list says of an id."""

    rank: int
    """1 for the best; equal scores share a rank."""
    score: float
    """As it stands in the list."""
    contribution: float
    """What it adds to the fused score."""


@dataclass(frozen=True, slots=True)
class Fused:
    """An id of the fused list."""

    id: str
    score: float
    """The sum of the contributions. At most the sum of weights / (k + 1) by ranks, 1 by scores."""
    components: Mapping[str, Component]
    """By list name; lists that lack the id are missing."""


def fuse(
    lists: Mapping[str, Scored],
    method: Method | str = Method.RRF,
    weights: Mapping[str, float] | None = None,
    k: float = RRF_K,
    floors: Mapping[str, float] | None = None,
) -> list[Fused]:
    """Return the ids of all lists, best first, ties by id.

    Args:
        lists: by name, in any order; of an id that stands twice in one, the better score counts. A list that lacks an
            id adds nothing to it.
        method: ``"rrf"`` or ``"convex"``.
        weights: by list name, from 0; 1 where none is given. A weight of 0 drops the list.
        k: the constant of ``"rrf"``, from 0.
        floors: for ``"convex"``: the lowest score possible in a list (0 for BM25, -1 for cosine), which becomes 0 as
            its best score becomes 1; scores below it count as it. Without one the list's lowest score is taken.

    Raises:
        InvalidInput: an unknown method; a name that is no list's; a weight or k that is negative or not finite; a score
            or floor that is not finite.
    """
    if method not in list(Method):
        raise InvalidInput(f"fusion method {method!r}; accepted: {', '.join(Method)}")
    _check_number("k", k, least=0)
    weights = dict.fromkeys(lists, 1.0) | _checked("weights", weights, lists, least=0)
    floors = _checked("floors", floors, lists)
    bests = {name: _best(name, scored) for name, scored in lists.items() if weights[name] > 0}
    total = math.fsum(weights[name] for name in bests)
    components: dict[str, dict[str, Component]] = {}
    for name in sorted(bests):
        scores, weight = bests[name], weights[name]
        ranks = _ranks(scores)
        shares = _shares(scores, floors.get(name)) if method == Method.CONVEX else {}
        for id_, rank in ranks.items():
            contribution = weight / (k + rank) if method == Method.RRF else weight / total * shares[id_]
            components.setdefault(id_, {})[name] = Component(rank, scores[id_], contribution)
    fused = [Fused(id_, math.fsum(c.contribution for c in own.values()), own) for id_, own in components.items()]
    return sorted(fused, key=lambda one: (-one.score, one.id))


def _best(name: str, scored: Scored) -> dict[str, float]:
    best: dict[str, float] = {}
    for id_, score in scored:
        if not math.isfinite(score):
            raise InvalidInput(f"the list {name!r} gives {id_} the score {score!r}; accepted: finite numbers")
        best[id_] = max(score, best.get(id_, score))
    return best


def _ranks(scores: Mapping[str, float]) -> dict[str, int]:
    """Return the rank of each id: one more than the number of those with a higher score."""
    first: dict[float, int] = {}
    for place, score in enumerate(sorted(scores.values(), reverse=True), 1):
        first.setdefault(score, place)
    return {id_: first[score] for id_, score in scores.items()}


def _shares(scores: Mapping[str, float], floor: float | None) -> dict[str, float]:
    """Return each score as its part of the way from the floor to the best, in ``[0, 1]``; 1 if there is no way."""
    best = max(scores.values(), default=0.0)
    lowest = min(scores.values(), default=0.0) if floor is None else floor
    # Halved, so that the distance of two finite numbers is one too.
    way = best / 2 - lowest / 2
    if way <= 0:
        return {id_: 1.0 if score >= lowest else 0.0 for id_, score in scores.items()}
    return {id_: max((score / 2 - lowest / 2) / way, 0.0) for id_, score in scores.items()}


def _checked(
    what: str, given: Mapping[str, float] | None, lists: Mapping[str, Scored], least: float | None = None
) -> dict[str, float]:
    for name, value in (given or {}).items():
        if name not in lists:
            raise InvalidInput(f"{what} names {name!r}; the lists are: {', '.join(sorted(lists))}")
        _check_number(f"{what}[{name!r}]", value, least)
        if what == "weights" and value > _MAX_WEIGHT:
            raise InvalidInput(f"{what}[{name!r}]={value!r}; accepted: a finite number from 0 to {_MAX_WEIGHT:,.0f}")
    return dict(given or {})


def _check_number(what: str, value: Any, least: float | None) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or (least is not None and value < least):
        raise InvalidInput(f"{what}={value!r}; accepted: a finite number" + ("" if least is None else f" from {least}"))
