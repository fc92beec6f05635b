"""Running an embedder, whoever wrote it: in batches, with its answers checked and its failures named.

What comes out has the right shape, is float32 and finite; whatever else happens is an
:class:`~kiromi.errors.EmbedderError`. Leaves to its callers what to do about a failure.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kiromi.embed.base import LONGEST, Embedder, Matrix, Role
from kiromi.errors import EmbedderError


def embed(embedder: Embedder, texts: Sequence[str], role: Role) -> Matrix:
    """Return one vector for each text, in order: shape (len(texts), dimension), float32, finite.

    Args:
        embedder: it is called with at most its ``batch_size`` of texts, and not at all when there are none.
        texts: each fits the embedder's window. Lone surrogates, which no encoding of text has, reach it as U+FFFD.
        role: whether the texts are stored, or searched for.

    Raises:
        EmbedderError: the embedder failed, or its answer is not what was asked for; the message names its id.
    """
    size = embedder.batch_size
    parts = [_embed_batch(embedder, texts[start : start + size], role) for start in range(0, len(texts), size)]
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([np.empty((0, embedder.dimension), dtype=np.float32), *parts])


def _embed_batch(embedder: Embedder, texts: Sequence[str], role: Role) -> Matrix:
    try:
        return _checked(embedder.embed([_encodable(text) for text in texts], role), len(texts), embedder.dimension)
    except EmbedderError:
        raise
    except Exception as error:
        cause = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise EmbedderError(f"the embedder {embedder.id} failed: {cause}", embedder=embedder.id) from error


def _checked(vectors: Any, count: int, dimension: int) -> Matrix:
    given = np.asarray(vectors)
    if given.shape != (count, dimension):
        raise ValueError(f"its answer has the shape {given.shape}; accepted: {(count, dimension)}")
    if given.dtype.kind not in "fiu":
        raise ValueError(f"its answer holds {given.dtype}; accepted: numbers")
    with np.errstate(over="ignore"):  # what is too large for 32 bits becomes infinite, and is refused below
        matrix = given.astype(np.float32)
    if not np.isfinite(matrix).all():
        row = int(np.flatnonzero(~np.isfinite(matrix).all(axis=1))[0])
        raise ValueError(f"its vector for text {row} holds numbers that are not finite")
    if np.square(matrix, dtype=np.float64).sum(axis=1).max(initial=0.0) > LONGEST**2:
        raise ValueError(f"it gave a vector that is longer than {LONGEST:g}")
    return matrix


def _encodable(text: str) -> str:
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
