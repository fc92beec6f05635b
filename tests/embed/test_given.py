"""Vectors of the caller: known by name and length, never made here."""

import pytest

from kiromi.embed import running
from kiromi.embed.base import Metric, Model
from kiromi.embed.given import CallerVectors
from kiromi.errors import EmbedderError, InvalidInput


def test_what_it_says_of_itself() -> None:
    model = Model.of(CallerVectors(384, name="e5", metric="dot"))
    assert model == Model("e5", 384, "dot", None, "caller:e5:384:dot", is_caller=True)
    assert Model.of(CallerVectors(3)).spec == "caller:caller:3:cosine"


@pytest.mark.parametrize("role", ["document", "query"])
def test_it_says_to_pass_vectors(role: str) -> None:
    with pytest.raises(EmbedderError, match=rf"'e5'.*pass vector= \(384 numbers\) with each {role}") as caught:
        running.embed(CallerVectors(384, name="e5"), ["text"], "document" if role == "document" else "query")
    assert caught.value.details == {"embedder": "e5"}


@pytest.mark.parametrize("dimension", [0, 16_385, True, 1.5])
def test_impossible_dimensions_are_refused(dimension: int) -> None:
    with pytest.raises(InvalidInput, match="dimension="):
        CallerVectors(dimension)


@pytest.mark.parametrize("name", ["", " ", " e5", "e5\n", "a\x00b"])
def test_impossible_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="name="):
        CallerVectors(3, name=name)


def test_unknown_metrics_are_refused() -> None:
    metric: Metric = "manhattan"  # type: ignore[assignment]
    with pytest.raises(InvalidInput, match="metric='manhattan'; accepted: cosine, dot, l2"):
        CallerVectors(3, metric=metric)
