"""What the registry takes of an embedder, and what it refuses."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from kiromi.embed.base import Embedder, Model
from kiromi.errors import InvalidInput


@dataclass
class Anything:
    """An embedder that says whatever a test wants."""

    id: Any = "m"
    dimension: Any = 3
    metric: Any = "cosine"
    batch_size: Any = 8
    window: Any = None

    def embed(self, texts: Any, role: Any) -> Any:
        return [[1.0] * self.dimension for _ in texts]


def test_what_is_optional_may_be_left_out() -> None:
    class Least:
        id, dimension, metric, batch_size, embed = "m", 3, "l2", 8, Anything.embed

    embedder: Any = Least()
    assert Model.of(embedder) == Model("m", 3, "l2", None, None, is_caller=False)


@pytest.mark.parametrize(
    ("embedder", "message"),
    [
        ("minilm", r"embedder 'minilm' lacks id, dimension, metric, batch_size, embed; accepted: an object"),
        (Anything(id=""), "id=''"),
        (Anything(id=7), "id=7"),
        (Anything(dimension=0), "dimension=0 is not a whole number from 1 to 16,384"),
        (Anything(dimension=16_385), "dimension=16385"),
        (Anything(dimension=True), "dimension=True"),
        (Anything(dimension=3.0), r"dimension=3\.0"),
        (Anything(batch_size=0), "batch_size=0 is not a whole number from 1$"),
        (Anything(metric="manhattan"), "metric='manhattan'; accepted: cosine, dot, l2"),
        (Anything(window=0), "window=0"),
    ],
)
def test_impossible_embedders_are_refused(embedder: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Model.of(embedder)


@pytest.mark.parametrize("change", [{"name": "n"}, {"dimension": 4}, {"metric": "dot"}, {"window": 256}])
def test_the_fingerprint_depends_on_all_that_vectors_depend_on(change: dict[str, Any]) -> None:
    embedder: Embedder = Anything()
    model = Model.of(embedder)
    assert replace(model, **change).fingerprint != model.fingerprint
    assert replace(model, spec="m:3").fingerprint == model.fingerprint


def test_vectors_of_the_caller_do_not_depend_on_how_texts_are_cut() -> None:
    model = Model("m", 3, "cosine", None, None, is_caller=True)
    assert model.fingerprint == replace(model, window=256).fingerprint
    assert model.fingerprint != replace(model, is_caller=False).fingerprint
