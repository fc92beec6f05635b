"""What the calls of a topic need of whoever has them: a caller, while the store is held."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager

from kiromi.operations.caller import Caller


class Calls(ABC):
    """Calls that hold for the present as for the past: which one they are about is the caller's to say."""

    @abstractmethod
    def _call(self) -> AbstractContextManager[Caller]:
        """Hold the store for a block, and give the caller that asks.

        Raises:
            InvalidInput: the store is closed.
        """
