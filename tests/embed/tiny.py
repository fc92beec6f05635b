"""A tiny BERT with random weights, and what it answers by the book: one text at a time, without padding, in float64."""

import json
import math
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Weights: TypeAlias = dict[str, npt.NDArray[np.float32]]
Vector: TypeAlias = npt.NDArray[np.float64]

DIMENSION, LAYERS, HEADS, POSITIONS = 24, 2, 3, 40
EPSILON = 1e-12
CONFIG: dict[str, Any] = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "layer_norm_eps": EPSILON,
}
LETTERS = [chr(letter) for letter in range(ord("a"), ord("z") + 1)]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]


def make_weights(seed: int = 0) -> Weights:
    """Weights large enough that every part of the encoder shows in its answer."""
    random = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(VOCABULARY), DIMENSION),
        "embeddings.position_embeddings.weight": (POSITIONS, DIMENSION),
        "embeddings.token_type_embeddings.weight": (2, DIMENSION),
        "embeddings.LayerNorm.weight": (DIMENSION,),
        "embeddings.LayerNorm.bias": (DIMENSION,),
        "pooler.dense.weight": (DIMENSION, DIMENSION),
    }
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}"
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            shapes |= {f"{at}.{part}.weight": (DIMENSION, DIMENSION), f"{at}.{part}.bias": (DIMENSION,)}
        shapes |= {f"{at}.intermediate.dense.weight": (48, DIMENSION), f"{at}.intermediate.dense.bias": (48,)}
        shapes |= {f"{at}.output.dense.weight": (DIMENSION, 48), f"{at}.output.dense.bias": (DIMENSION,)}
        for part in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{at}.{part}.weight": (DIMENSION,), f"{at}.{part}.bias": (DIMENSION,)}
    return {name: random.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def forward(weights: Weights, ids: list[int]) -> Vector:
    """The vector of one framed text."""
    w = {name: weight.astype(np.float64) for name, weight in weights.items()}
    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][: len(ids)]
    x = _normalised(w, "embeddings.LayerNorm", x + w["embeddings.token_type_embeddings.weight"][0])
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}"
        query, key, value = (_linear(w, f"{at}.attention.self.{part}", x) for part in ("query", "key", "value"))
        heads = []
        for columns in np.split(np.arange(DIMENSION), HEADS):
            scores = query[:, columns] @ key[:, columns].T / math.sqrt(len(columns))
            shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
            heads.append(shares @ value[:, columns])
        attended = _linear(w, f"{at}.attention.output.dense", np.concatenate(heads, axis=1))
        x = _normalised(w, f"{at}.attention.output.LayerNorm", x + attended)
        wide = _linear(w, f"{at}.intermediate.dense", x)
        bent = wide * 0.5 * (1 + np.vectorize(math.erf)(wide / math.sqrt(2)))
        x = _normalised(w, f"{at}.output.LayerNorm", x + _linear(w, f"{at}.output.dense", bent))
    mean = x.mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean))


def _linear(w: dict[str, Vector], name: str, x: Vector) -> Vector:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def _normalised(w: dict[str, Vector], name: str, x: Vector) -> Vector:
    centred = x - x.mean(axis=1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axis=1, keepdims=True) + EPSILON)
    return np.asarray(centred / deviation * w[f"{name}.weight"] + w[f"{name}.bias"])


def frame(text: str) -> list[int]:
    """The ids of a text of lower-case words: one for each letter, within [CLS] and [SEP]."""
    ids = [
        VOCABULARY.index(letter if i == 0 else f"##{letter}") for word in text.split() for i, letter in enumerate(word)
    ]
    return [VOCABULARY.index("[CLS]"), *ids, VOCABULARY.index("[SEP]")]


def tokenizer_json() -> bytes:
    """A WordPiece tokenizer that truncates and pads, as published ones do."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordPiece({token: i for i, token in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    return str(tokenizer.to_str()).encode()


def write_package(folder: Path, weights: Weights) -> None:
    """Lay the files of a model into a folder, as a package carries them."""
    from safetensors.numpy import save

    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(save(weights))
    (folder / "tokenizer.json").write_bytes(tokenizer_json())
    (folder / "config.json").write_text(json.dumps(CONFIG))
