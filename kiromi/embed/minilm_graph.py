"""The ONNX graph of a BERT sentence encoder, built once from the weights as they were published.

The graph takes token ids and their mask and gives finished vectors: encoder, mean over the tokens, L2 normalisation. So
running it needs neither torch nor transformers, only onnxruntime. Leaves to :mod:`kiromi.embed.encoder` how texts
become ids, and to :mod:`kiromi.embed.install` where the weights come from and where the graph goes.

Sources: Devlin et al. 2018 (BERT); the names of the tensors are those of Hugging Face's ``BertModel``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from kiromi.errors import EmbedderError

Weights: TypeAlias = Mapping[str, npt.NDArray[np.float32]]

_OPSET, _IR_VERSION = 17, 8
"""The oldest that have LayerNormalization; onnxruntime reads them since 1.13."""
_MASKED = np.finfo(np.float32).min


@dataclass(frozen=True, slots=True)
class BertConfig:
    """The shape of a BERT encoder."""

    layers: int
    heads: int
    epsilon: float
    """Added to the variance in each layer normalisation."""

    @classmethod
    def read(cls, path: Path) -> "BertConfig":
        """Return the shape that a published ``config.json`` tells.

        Raises:
            EmbedderError: it is not there, or tells of something that the graph does not compute.
        """
        try:
            facts = json.loads(path.read_bytes())
            kind = (facts["model_type"], facts["hidden_act"], facts["position_embedding_type"])
            config = cls(facts["num_hidden_layers"], facts["num_attention_heads"], facts["layer_norm_eps"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EmbedderError(f"the model's configuration {path} cannot be read: {error!r}") from error
        if kind != ("bert", "gelu", "absolute"):
            raise EmbedderError(f"the model in {path.parent} is {kind}; accepted: ('bert', 'gelu', 'absolute')")
        return config


class _Draft:
    """Nodes and constants of a graph under construction; every method returns the name of a result."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        return self.ops(kind, *inputs, count=1, **attributes)[0]

    def ops(self, kind: str, *inputs: str, count: int, **attributes: Any) -> list[str]:
        from onnx import helper

        names = [f"{kind}_{len(self.nodes)}_{i}" for i in range(count)]
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        from onnx import numpy_helper

        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value, dtype=dtype), name))
        return name

    def linear(self, x: str, weight: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]) -> str:
        return self.op("Add", self.op("MatMul", x, self.constant(weight.T)), self.constant(bias))

    def normalise(self, x: str, weights: Weights, name: str, epsilon: float) -> str:
        scale, bias = self.constant(weights[f"{name}.weight"]), self.constant(weights[f"{name}.bias"])
        return self.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=epsilon)


def build_graph(weights: Weights, config: BertConfig) -> bytes:
    """Return the ONNX model of a BERT encoder with mean pooling and L2 normalisation.

    Its inputs are ``ids`` and ``mask`` (1 for a token, 0 for padding), both int64 of shape (texts, tokens); its output
    ``vectors`` is float32 of shape (texts, dimension). Padding does not change a text's vector.

    Args:
        weights: float32, by the names of ``BertModel``; a pooler is ignored.
        config: the encoder's shape.

    Raises:
        EmbedderError: a weight is missing.
    """
    from onnx import TensorProto, helper

    draft = _Draft()
    try:
        x = _embeddings(draft, weights, config)
        blocked = _blocked(draft)
        for layer in range(config.layers):
            name = f"encoder.layer.{layer}"
            attended = _attention(draft, x, blocked, weights, name, config)
            x = draft.normalise(
                draft.op("Add", attended, x), weights, f"{name}.attention.output.LayerNorm", config.epsilon
            )
            fed = _feed_forward(draft, x, weights, name)
            x = draft.normalise(draft.op("Add", fed, x), weights, f"{name}.output.LayerNorm", config.epsilon)
    except KeyError as error:
        raise EmbedderError(f"the model's weights lack {error}") from error
    _pool(draft, x)
    dimension = weights["embeddings.LayerNorm.bias"].shape[0]
    shape = ["texts", "tokens"]
    graph = helper.make_graph(
        draft.nodes,
        "sentence-encoder",
        [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ("ids", "mask")],
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["texts", dimension])],
        draft.constants,
    )
    opset = helper.make_opsetid("", _OPSET)
    model = helper.make_model(graph, producer_name="kiromi", opset_imports=[opset], ir_version=_IR_VERSION)
    return bytes(model.SerializeToString())


def _embeddings(draft: _Draft, weights: Weights, config: BertConfig) -> str:
    words = draft.op("Gather", draft.constant(weights["embeddings.word_embeddings.weight"]), "ids")
    # Every token is of type 0, so that its row can be part of the positions.
    positions = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    length = draft.op("Shape", "ids", start=1, end=2)
    placed = draft.op("Slice", draft.constant(positions), draft.constant([0], np.int64), length)
    return draft.normalise(draft.op("Add", words, placed), weights, "embeddings.LayerNorm", config.epsilon)


def _blocked(draft: _Draft) -> str:
    """What is added to attention scores, (texts, 1, 1, tokens): 0, or the lowest float for padding."""
    padding = draft.op("Equal", "mask", draft.constant(0, np.int64))
    scores = draft.op("Where", padding, draft.constant(_MASKED), draft.constant(0.0))
    return draft.op("Unsqueeze", scores, draft.constant([1, 2], np.int64))


def _attention(draft: _Draft, x: str, blocked: str, weights: Weights, name: str, config: BertConfig) -> str:
    parts = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
    width = weights[f"{parts[0]}.bias"].shape[0] // config.heads
    scales = (1 / np.sqrt(width), 1.0, 1.0)
    weight = np.concatenate([weights[f"{part}.weight"] * scale for part, scale in zip(parts, scales, strict=True)])
    bias = np.concatenate([weights[f"{part}.bias"] * scale for part, scale in zip(parts, scales, strict=True)])
    split = draft.constant([0, 0, config.heads, width], np.int64)
    merge = draft.constant([0, 0, config.heads * width], np.int64)
    query, key, value = (
        draft.op("Reshape", part, split) for part in draft.ops("Split", draft.linear(x, weight, bias), count=3, axis=-1)
    )
    query = draft.op("Transpose", query, perm=[0, 2, 1, 3])
    key = draft.op("Transpose", key, perm=[0, 2, 3, 1])
    value = draft.op("Transpose", value, perm=[0, 2, 1, 3])
    shares = draft.op("Softmax", draft.op("Add", draft.op("MatMul", query, key), blocked), axis=-1)
    mixed = draft.op("Transpose", draft.op("MatMul", shares, value), perm=[0, 2, 1, 3])
    output = f"{name}.attention.output.dense"
    return draft.linear(draft.op("Reshape", mixed, merge), weights[f"{output}.weight"], weights[f"{output}.bias"])


def _feed_forward(draft: _Draft, x: str, weights: Weights, name: str) -> str:
    into, out = f"{name}.intermediate.dense", f"{name}.output.dense"
    wide = draft.linear(x, weights[f"{into}.weight"], weights[f"{into}.bias"])
    # GELU in the form that onnxruntime recognises and fuses: x * (erf(x / sqrt 2) + 1) * 0.5
    rising = draft.op("Erf", draft.op("Div", wide, draft.constant(np.sqrt(2.0))))
    bent = draft.op("Mul", draft.op("Mul", wide, draft.op("Add", rising, draft.constant(1.0))), draft.constant(0.5))
    return draft.linear(bent, weights[f"{out}.weight"], weights[f"{out}.bias"])


def _pool(draft: _Draft, x: str) -> None:
    from onnx import TensorProto, helper

    weight = draft.op("Unsqueeze", draft.op("Cast", "mask", to=TensorProto.FLOAT), draft.constant([1], np.int64))
    # The sum over the tokens instead of their mean: the normalisation makes them the same.
    total = draft.op("Squeeze", draft.op("MatMul", weight, x), draft.constant([1], np.int64))
    draft.nodes.append(helper.make_node("LpNormalization", [total], ["vectors"], axis=-1, p=2))
