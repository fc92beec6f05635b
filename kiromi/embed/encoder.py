"""A BERT sentence encoder at work: texts to tokens, tokens through the graph, in groups of like length.

The folder is one that :mod:`kiromi.embed.cache` published, with a tokenizer and a graph of
:mod:`kiromi.embed.minilm_graph`. Any number of threads may use one encoder.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kiromi.embed import cache
from kiromi.embed.base import Matrix

GRAPH, TOKENIZER = "graph.onnx", "tokenizer.json"
PACKAGES = ("onnxruntime", "tokenizers")
"""What an encoder needs to run."""
_TOKENS_AT_ONCE = 512
"""Tokens, padding included, that go through the graph together: more of them leave the processor's cache (2,048 are a
fifth slower)."""


class Encoder:
    """A loaded model.

    Args:
        folder: its files; they are checked.
        window: tokens per text, the two that frame it included; what is beyond is cut off.
        threads: how many the model computes with; None for as many as this process has processors.

    Raises:
        EmbedderError: a file is missing or damaged.
    """

    def __init__(self, folder: Path, window: int, threads: int | None) -> None:
        cache.check(folder)
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or _processors()
        # Its threads would spin for a while after each call, at the cost of whatever else runs here.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session: Any = onnxruntime.InferenceSession(folder / GRAPH, options, providers=["CPUExecutionProvider"])
        self._dimension: int = self._session.get_outputs()[0].shape[1]
        self._tokenizer: Any = Tokenizer.from_file(str(folder / TOKENIZER))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._frame = tuple(self._tokenizer.encode("").ids)
        self._inner = window - len(self._frame)

    def encode(self, texts: Sequence[str]) -> Matrix:
        """Return one vector of length 1 for each text, in order: shape (len(texts), dimension)."""
        tokens = [encoding.ids[: self._inner] for encoding in self._tokens(texts)]
        vectors = np.empty((len(texts), self._dimension), dtype=np.float32)
        for rows in _groups([len(inner) + len(self._frame) for inner in tokens]):
            ids, mask = self._padded([tokens[row] for row in rows])
            vectors[rows] = self._session.run(None, {"ids": ids, "mask": mask})[0]
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text takes, the two that frame it included; not cut to the window."""
        return [len(encoding) + len(self._frame) for encoding in self._tokens(texts)]

    def _tokens(self, texts: Sequence[str]) -> list[Any]:
        return list(self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False))

    def _padded(self, tokens: Sequence[Sequence[int]]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return ids and mask of framed texts: each of shape (texts, longest)."""
        start, end = self._frame
        shape = (len(tokens), max(map(len, tokens)) + 2)
        ids, mask = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        for row, inner in enumerate(tokens):
            ids[row, : len(inner) + 2] = [start, *inner, end]
            mask[row, : len(inner) + 2] = 1
        return ids, mask


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _groups(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield the rows that go through the graph together: of like length, so that little is padding."""
    group: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if group and lengths[row] * (len(group) + 1) > _TOKENS_AT_ONCE:
            yield group
            group = []
        group.append(row)
    if group:
        yield group
