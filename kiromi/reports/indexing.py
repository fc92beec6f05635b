"""What ``reindex`` and ``reembed`` give back."""

from dataclasses import dataclass

from kiromi.model import ModelInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class ReindexReport:
    """What ``reindex`` did."""

    embedded: int
    """Memories whose vectors were pending and are made now."""
    pending: int
    """Memories whose vectors could not be made."""
    passages: int
    """Vectors in the index."""
    documents: int
    """Memories in the text index."""
    has_graph: bool
    """Whether large scopes are searched with HNSW now."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReembedReport:
    """What ``reembed`` did."""

    model: ModelInfo
    """The model that is searched from now on."""
    embedded: int
    """Memories whose vectors were made by this call; a resumed one goes on where the one before ended."""
    seconds: float
