"""What a caller gives to the vector index: settings, the keys of all passages, and the scope of a search."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from kiromi.errors import InvalidInput
from kiromi.index.items import Ids, Place

ID_TYPE = np.dtype("S26")
_LIMITS = {"m": (2, 128), "ef_construction": (8, 10_000), "ef": (1, 10_000), "threshold": (1, 1 << 31)}


@dataclass(frozen=True, slots=True)
class GraphSettings:
    """How the HNSW graph is built and searched (Malkov and Yashunin 2018; the names are hnswlib's).

    Measured on clustered data, 384 dimensions, 2 cores: 20,000 rows are scanned in 1.1 ms and searched by graph in
    0.2 ms, with a graph that takes 3 to 9 s to build; 100,000 rows 6 ms against 0.4 ms, built in 20 to 38 s.

    Raises:
        InvalidInput: a number is out of range.
    """

    m: int = 16
    """Edges per row, 2 to 128: more memory (8 bytes each), more recall."""
    ef_construction: int = 200
    """Rows looked at while a row is put in, 8 to 10,000."""
    ef: int = 200
    """Rows looked at in a search, 1 to 10,000: latency grows with it, and so does recall."""
    threshold: int = 10_000
    """From so many rows on a graph is worth its building."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value, (least, most) = getattr(self, field.name), _LIMITS[field.name]
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise InvalidInput(
                    f"{field.name}={value!r} is not accepted for the graph: a whole number from {least:,} to {most:,}",
                    name=field.name,
                )


@dataclass(frozen=True, slots=True)
class PassageKeys:
    """All passages that an index is built from, without their vectors; one entry (row) each, in any order.

    The passages of one memory share its place.
    """

    ids: Ids
    numbers: npt.NDArray[np.int32]
    begins: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    codes: npt.NDArray[np.int32]
    """The place of each passage, as an index into ``places``."""
    places: Sequence[Place]
    """Distinct places."""


@dataclass(frozen=True, slots=True)
class VectorScope:
    """Which passages a search may find: those in the places and, of these, those of the ids."""

    places: npt.NDArray[np.int32] | None = None
    """Ascending codes of places, as ``VectorView.places`` numbers them; None for all."""
    ids: Ids | None = None
    """Ascending ids of memories; None for all."""


EVERYTHING = VectorScope()
