"""Running an embedder that somebody else wrote: batches, checks, and errors that name it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from kiromi.embed import running
from kiromi.embed.base import Metric, Role
from kiromi.errors import EmbedderError


class Scripted:
    """An embedder of dimension 2 that answers as it is told."""

    id = "scripted"
    dimension = 2
    metric: Metric = "cosine"
    batch_size = 3

    def __init__(self, answer: Callable[[Sequence[str]], Any]) -> None:
        self.calls: list[tuple[list[str], Role]] = []
        self._answer = answer

    def embed(self, texts: Sequence[str], role: Role) -> Any:
        self.calls.append((list(texts), role))
        return self._answer(texts)


def lengths(texts: Sequence[str]) -> Any:
    return [[len(text), 1] for text in texts]


def test_batches_in_order() -> None:
    embedder = Scripted(lengths)
    vectors = running.embed(embedder, ["a", "bb", "ccc", "dddd", "", "f", "gg"], "query")
    assert (vectors.dtype.name, vectors.tolist()) == ("float32", [[n, 1] for n in (1, 2, 3, 4, 0, 1, 2)])
    assert embedder.calls == [(["a", "bb", "ccc"], "query"), (["dddd", "", "f"], "query"), (["gg"], "query")]


def test_no_texts_no_call() -> None:
    embedder = Scripted(lengths)
    vectors = running.embed(embedder, [], "document")
    assert (vectors.shape, vectors.dtype.name, embedder.calls) == ((0, 2), "float32", [])


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int8, np.uint32])
def test_numbers_of_any_kind(dtype: type) -> None:
    vectors = running.embed(Scripted(lambda _: np.ones((1, 2), dtype)), ["a"], "document")
    assert (vectors.dtype.name, vectors.tolist()) == ("float32", [[1, 1]])


def test_an_array_that_the_embedder_keeps_is_copied() -> None:
    kept = np.ones((1, 2), np.float32)
    vectors = running.embed(Scripted(lambda _: kept), ["a"], "document")
    kept[:] = 7
    assert vectors.tolist() == [[1, 1]]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, r"the shape \(\); accepted: \(1, 2\)"),
        ([], r"the shape \(0,\)"),
        ([1.0, 2.0], r"the shape \(2,\)"),
        ([[1.0, 2.0, 3.0]], r"the shape \(1, 3\)"),
        ([[1.0, 2.0]] * 2, r"the shape \(2, 2\)"),
        ([[1.0], [1.0, 2.0]], "ValueError"),
        ([["1", "2"]], "holds <U1; accepted: numbers"),
        ([[True, False]], "holds bool"),
        ([[1j, 1]], "holds complex128"),
        ([[object(), 1]], "holds object"),
        ([[1.0, float("nan")]], "text 0 holds numbers that are not finite"),
        ([[1.0, float("-inf")]], "not finite"),
        ([[1e39, 1.0]], "not finite"),
    ],
)
def test_wrong_answers_are_refused(answer: Any, message: str) -> None:
    with pytest.raises(EmbedderError, match=rf"the embedder scripted failed: .*{message}") as caught:
        running.embed(Scripted(lambda _: answer), ["a"], "document")
    assert isinstance(caught.value.__cause__, ValueError)
    assert caught.value.details == {"embedder": "scripted"}


def test_the_text_whose_vector_is_wrong_is_named() -> None:
    with pytest.raises(EmbedderError, match="text 1 "):
        running.embed(Scripted(lambda _: [[1, 1], [np.nan, 1], [1, np.inf]]), ["a", "b", "c"], "document")


@pytest.mark.parametrize(
    ("error", "message"),
    [(RuntimeError("out of memory"), "RuntimeError: out of memory"), (TimeoutError(), "TimeoutError")],
)
def test_its_exceptions_are_named_and_chained(error: Exception, message: str) -> None:
    def fail(_: Sequence[str]) -> Any:
        raise error

    with pytest.raises(EmbedderError) as caught:
        running.embed(Scripted(fail), ["a"], "document")
    assert str(caught.value) == f"the embedder scripted failed: {message}"
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), EmbedderError("its own")])
def test_what_goes_through_as_it_is(error: BaseException) -> None:
    def fail(_: Sequence[str]) -> Any:
        raise error

    with pytest.raises(type(error)) as caught:
        running.embed(Scripted(fail), ["a"], "document")
    assert caught.value is error
