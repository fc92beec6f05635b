"""The calls that follow supersession and links, those of now or of a past moment."""

import builtins
from collections.abc import Iterable
from datetime import datetime

from kiromi.model import Link, MemoryInfo, Neighbour
from kiromi.operations import links as _links
from kiromi.operations import neighbours as _neighbours
from kiromi.operations import supersession as _supersession
from kiromi.store.calls import Calls


class Relations(Calls):
    """Shows how memories relate; a part of :class:`kiromi.Store` and of :class:`kiromi.StoreView`."""

    def supersession_chain(self, id: str) -> builtins.list[MemoryInfo]:  # noqa: A002
        """Return what a memory replaced, directly or through others, itself, and what replaced it, oldest first.

        Every memory comes before the one that replaced it. The chain ends where a memory is not there any more.

        Raises:
            MemoryNotFound: the memory is not there.
        """
        with self._call() as caller:
            return _supersession.supersession_chain(caller, id)

    def links(
        self,
        id: str | None = None,  # noqa: A002
        direction: _links.Direction = "both",
        *,
        kind: str | None = None,
        valid_at: datetime | None = None,
    ) -> builtins.list[Link]:
        """Return the links that hold, oldest first, those of deleted memories included.

        Args:
            id: only those at this end: the id of a memory, or a URI as :meth:`kiromi.Store.link` takes it.
            direction: ``out`` begin there, ``in`` lead there.
            kind: only those of this kind.
            valid_at: only those that say something about this time.
        """
        with self._call() as caller:
            return _links.links(caller, id, direction, kind, valid_at)

    def neighbours(
        self,
        id: str,  # noqa: A002
        *,
        depth: int = 1,
        direction: _links.Direction = "both",
        kinds: Iterable[str] | None = None,
        limit: int = 100,
        valid_at: datetime | None = None,
    ) -> builtins.list[Neighbour]:
        """Return the memories that links lead to: nearest first, then by the weight of the last link, heaviest first.

        Each comes at its least distance; twice if links of both directions reach it there. Deleted and expired
        memories are neither shown nor passed through, nor are partitions and foreign URIs.

        Args:
            id: where to start: the id of a memory, or a URI as :meth:`kiromi.Store.link` takes it.
            depth: how many links to follow, 1 to 16.
            direction: ``out`` follows links from ``src`` to ``dst``, ``in`` the other way.
            kinds: only links of these kinds.
            limit: at most so many, 1 to 10,000.
            valid_at: only links that say something about this time.

        Raises:
            MemoryNotFound: the memory is not there.
            InvalidInput: an argument is refused.
        """
        with self._call() as caller:
            return _neighbours.neighbours(
                caller, id, depth=depth, direction=direction, kinds=kinds, limit=limit, valid_at=valid_at
            )
