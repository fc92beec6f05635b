"""Vectors that the caller makes and passes with each memory and each query; kiromi only knows what they look like."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from kiromi.embed.base import METRICS, Metric, Role
from kiromi.embed.checks import check_dimension, check_name
from kiromi.errors import EmbedderError, InvalidInput


@dataclass(frozen=True, slots=True)
class CallerVectors:
    """Stands for a model that runs elsewhere: every memory and every query comes with its vector.

    Args:
        dimension: length of a vector, 1 to 16,384.
        name: of the model; stores refuse vectors under another name. Not empty, one line.
        metric: how two vectors are compared: ``cosine``, ``dot`` or ``l2``.

    Raises:
        InvalidInput: one of them is none of these.
    """

    dimension: int
    name: str = "caller"
    metric: Metric = "cosine"

    def __post_init__(self) -> None:
        check_dimension(self.dimension)
        check_name("name", self.name)
        if self.metric not in METRICS:
            raise InvalidInput(f"metric={self.metric!r}; accepted: {', '.join(METRICS)}")

    @property
    def id(self) -> str:
        """The name."""
        return self.name

    @property
    def is_caller(self) -> bool:
        """True: vectors are given, not made."""
        return True

    @property
    def batch_size(self) -> int:
        """Of no meaning here."""
        return 1

    @property
    def window(self) -> int | None:
        """None: how long a text may be is the caller's matter."""
        return None

    @property
    def spec(self) -> str:
        """``caller:NAME:DIMENSION:METRIC``."""
        return f"caller:{self.name}:{self.dimension}:{self.metric}"

    def embed(self, texts: Sequence[str], role: Role) -> NoReturn:
        """Refuse.

        Raises:
            EmbedderError: always; the message says to pass ``vector=``.
        """
        raise EmbedderError(
            f"the vectors of {self.name!r} are made by the caller: pass vector= ({self.dimension} numbers) with each"
            f" {role}, or open the store with an embedder that makes them",
            embedder=self.name,
        )
