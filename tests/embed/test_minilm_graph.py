"""The graph builder and the encoder, on a tiny model whose answers are computed by the book."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kiromi.embed import cache
from kiromi.embed.base import Matrix, Metric, Role
from kiromi.embed.encoder import GRAPH, TOKENIZER, Encoder
from kiromi.embed.minilm_graph import BertConfig, build_graph
from kiromi.errors import EmbedderError
from tests.embed import tiny
from tests.embed.contract import EmbedderContract

for package in ("onnx", "onnxruntime", "tokenizers"):
    pytest.importorskip(package, reason=f"needs {package}, of the extra kiromi[minilm]")

SHAPE = BertConfig(tiny.LAYERS, tiny.HEADS, tiny.EPSILON)
TEXTS = ["a", "", "the seat", "an aisle seat in the front row", "x y z", "the seat"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models") / "tiny"
    files = {GRAPH: build_graph(tiny.make_weights(), SHAPE), TOKENIZER: tiny.tokenizer_json()}
    cache.publish(place, files, lambda _: None)
    return place


class Tiny:
    """The encoder as an embedder."""

    id = "tiny"
    dimension = tiny.DIMENSION
    metric: Metric = "cosine"
    batch_size = 16

    def __init__(self, folder: Path) -> None:
        self._encoder = Encoder(folder, tiny.POSITIONS, None)

    def embed(self, texts: Any, role: Role) -> Matrix:
        return self._encoder.encode(texts)


class TestContract(EmbedderContract):
    @pytest.fixture
    def embedder(self, folder: Path) -> Tiny:
        return Tiny(folder)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_answers_are_those_of_the_book(folder: Path, threads: int) -> None:
    expected = [tiny.forward(tiny.make_weights(), tiny.frame(text)) for text in TEXTS]
    found = Encoder(folder, tiny.POSITIONS, threads).encode(TEXTS)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-5


def test_processors_are_counted_where_the_system_knows_no_affinity(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert Encoder(folder, tiny.POSITIONS, None).encode(["seat"]).shape == (1, tiny.DIMENSION)


def test_many_groups_of_unlike_length(folder: Path) -> None:
    random = np.random.default_rng(5)
    texts = ["".join(random.choice(tiny.LETTERS, length)) for length in random.integers(1, 36, 100)]
    expected = [tiny.forward(tiny.make_weights(), tiny.frame(text)) for text in texts]
    assert np.abs(Encoder(folder, tiny.POSITIONS, 1).encode(texts) - expected).max() < 1e-5


def test_texts_are_cut_at_the_window_and_counted_beyond_it(folder: Path) -> None:
    encoder = Encoder(folder, 6, 1)
    assert np.allclose(encoder.encode(["abcdefgh"]), encoder.encode(["abcd"]), atol=1e-6)
    assert not np.allclose(encoder.encode(["abcdefgh"]), encoder.encode(["abc"]), atol=1e-3)
    assert encoder.count_tokens(["abcdefgh" * 9, "", "abcd"]) == [74, 2, 6]


def test_the_graph_is_valid_onnx_and_the_same_again() -> None:
    import onnx

    graph = build_graph(tiny.make_weights(), SHAPE)
    onnx.checker.check_model(onnx.load_from_string(graph), full_check=True)
    assert build_graph(tiny.make_weights(), SHAPE) == graph


def test_a_missing_weight_is_named() -> None:
    weights = tiny.make_weights()
    del weights["encoder.layer.1.output.dense.bias"]
    with pytest.raises(EmbedderError, match=r"weights lack 'encoder\.layer\.1\.output\.dense\.bias'"):
        build_graph(weights, SHAPE)


def test_the_shape_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(tiny.CONFIG))
    assert BertConfig.read(path) == SHAPE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_act": "relu"}, r"is \('bert', 'relu', 'absolute'\); accepted: "),
        ({"model_type": "mpnet"}, "mpnet"),
        ({"position_embedding_type": "relative_key"}, "relative_key"),
        ({"num_hidden_layers": ...}, "cannot be read: KeyError"),
    ],
)
def test_other_models_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    facts = {name: value for name, value in (tiny.CONFIG | change).items() if value is not ...}
    (tmp_path / "config.json").write_text(json.dumps(facts))
    with pytest.raises(EmbedderError, match=message):
        BertConfig.read(tmp_path / "config.json")


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{", b"\xff"])
def test_a_damaged_configuration_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "config.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EmbedderError, match=r"config\.json cannot be read"):
        BertConfig.read(path)
