"""What goes into the derived indices, and what comes out: plain values, so that an index knows no catalog."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Place: TypeAlias = tuple[int, str]
"""Where a memory lies: (scheme number, partition path)."""
Ids: TypeAlias = npt.NDArray[np.bytes_]
"""Memory ids as fixed-width ASCII: dtype ``S26``."""
Matrix: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PassageBatch:
    """Passages of live memories with their vectors; all arrays have one entry (one row) for each passage."""

    ids: Ids
    numbers: npt.NDArray[np.int32]
    """Which of its memory's contents (n) each passage belongs to."""
    begins: npt.NDArray[np.int64]
    """Where the passage begins in the content's text, in characters."""
    ends: npt.NDArray[np.int64]
    """Where it ends; -1 for the end of the content, whatever its length."""
    places: Sequence[Place]
    vectors: Matrix
    """As the embedder gave them: not normalised."""


@dataclass(frozen=True, slots=True)
class PassageHit:
    """A passage that a vector search found."""

    id: str
    n: int
    begin: int
    end: int
    """-1 for the end of the content."""
    score: float
    """Cosine similarity, dot product, or the negative Euclidean distance: higher is nearer."""


@dataclass(frozen=True, slots=True)
class TextDocument:
    """A live memory as the text index sees it."""

    id: str
    title: str | None
    content: str
    """Empty for content that is no text: such a memory is found by title and tags."""
    tags: tuple[str, ...]
    language: str | None
    """As the memory says (BCP 47); None leaves it to the store's setting or to detection."""
    marks: tuple[str, ...]
    """What the scheme's segments say of it, one text each, such as ``1/user=ana``; a scope is a set of marks."""


@dataclass(frozen=True, slots=True)
class TextHit:
    """A memory that a text search found."""

    id: str
    score: float
    """BM25; only comparable within one search."""
