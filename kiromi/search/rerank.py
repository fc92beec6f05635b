"""Reranking: a caller's own function, such as a cross-encoder, orders the first hits anew.

It changes the order and what `explain` shows, not the hits' scores: those stay comparable with the hits after them.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from kiromi.errors import InvalidInput, KiromiError

Item = TypeVar("Item")
Reranker: TypeAlias = Callable[[str, Sequence[Any]], Sequence[float]]
"""Takes the query and the hits, and returns a score for each, in their order; a higher one is better."""

RERANKED = 50
"""How many of the first hits are reranked unless said otherwise."""


def reranked(
    query: str, items: Sequence[Item], reranker: Reranker, top: int = RERANKED
) -> list[tuple[Item, float | None]]:
    """Return the items, the first ``top`` of them in the order of the reranker's scores, each with its score.

    The others follow in the order that they had, with None.
    Equal scores leave the order as it was. The reranker is called once, and not at all if there is no item.

    Args:
        query: what the user searched for.
        items: best first.
        reranker: see :data:`Reranker`.
        top: from 1.

    Raises:
        InvalidInput: ``top`` is below 1; the reranker gave another number of scores, or one that is no finite number.
        KiromiError: the reranker raised; what it raised is the cause.
    """
    if top < 1:
        raise InvalidInput(f"top={top!r}; accepted: a whole number from 1")
    first, others = items[:top], items[top:]
    if not first:
        return []
    try:
        scores = [float(score) for score in reranker(query, first)]
    except KiromiError:
        raise
    except Exception as error:
        raise KiromiError(f"the reranker failed: {type(error).__name__}: {error}") from error
    if len(scores) != len(first):
        raise InvalidInput(f"the reranker gave {len(scores)} scores for {len(first)} hits; accepted: one for each")
    wrong = next((score for score in scores if not math.isfinite(score)), None)
    if wrong is not None:
        raise InvalidInput(f"the reranker gave the score {wrong!r}; accepted: finite numbers")
    order = sorted(range(len(first)), key=lambda place: -scores[place])
    return [(first[place], scores[place]) for place in order] + [(item, None) for item in others]
