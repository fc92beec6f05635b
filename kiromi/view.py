"""A store as it was: a read-only facade over one past moment. Composes operations and holds no logic of its own."""

import builtins
import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

import pyarrow as pa

from kiromi.catalog.past import Moment
from kiromi.model import Hit, Link, Memory, MemoryInfo, Neighbour, Page, PartitionInfo, Version
from kiromi.operations import arrow as _arrow
from kiromi.operations import get as _get
from kiromi.operations import history as _history
from kiromi.operations import links as _links
from kiromi.operations import listing as _listing
from kiromi.operations import neighbours as _neighbours
from kiromi.operations import partitions as _partitions
from kiromi.operations import search as _search
from kiromi.operations import state_digest as _state_digest
from kiromi.operations import supersession as _supersession
from kiromi.operations.caller import Caller
from kiromi.search.ranking import Profile
from kiromi.search.rerank import Reranker
from kiromi.times import from_micros


class StoreView:
    """A store at one moment, made by :meth:`kiromi.Store.at`: answers as the store did then, whatever is written later.

    Contents, attributes, tags, partitions, paths, links and supersession are those of the moment, and so is the clock
    by which memories have expired. A ``path`` is where a memory lay then. It needs no closing, and works as long as its
    store is open and ``gc`` has not removed the moment. A view of a scoped handle shows what lay within the scope then.
    """

    def __init__(self, call: Callable[[], AbstractContextManager[Caller]], moment: Moment, scheme: str) -> None:
        """Use :meth:`kiromi.Store.at`."""
        self._call = call
        self._moment = moment
        self._scheme = scheme

    def __repr__(self) -> str:
        return f"<kiromi.StoreView seq={self.seq} at={self.at.isoformat()}>"

    @property
    def seq(self) -> int:
        """The last operation that had taken place."""
        return self._moment.seq

    @property
    def at(self) -> datetime:
        """The clock: what had expired by then is not shown."""
        return from_micros(self._moment.now)

    @property
    def scheme(self) -> str:
        """The template that new memories followed."""
        return self._scheme

    # -- reading ----------------------------------------------------------------------------------------------------

    def get(self, id: str | None = None, *, key: str | None = None, namespace: str = "") -> Memory:  # noqa: A002
        """Return a memory with its content, by id or by key; see :meth:`kiromi.Store.get`."""
        with self._looking() as caller:
            return _get.get(caller, id, key, namespace)

    def get_many(self, ids: Iterable[str], *, missing: Literal["raise", "skip"] = "raise") -> builtins.list[Memory]:
        """Return memories with their contents in the order of ``ids``; see :meth:`kiromi.Store.get_many`."""
        with self._looking() as caller:
            return _get.get_many(caller, ids, missing)

    def exists(self, id: str | None = None, *, key: str | None = None, namespace: str = "") -> bool:  # noqa: A002
        """Tell whether a memory was there, not deleted and not expired."""
        with self._looking() as caller:
            return _get.exists(caller, id, key, namespace)

    def count(self, within: Mapping[str, Any] | None = None, where: Any = None) -> int:
        """Return how many memories lay within a scope and match a filter."""
        with self._looking() as caller:
            return _listing.count(caller, within, where)

    def list_ids(self, within: Mapping[str, Any] | None = None, where: Any = None) -> builtins.list[str]:
        """Return the ids of the memories that lay within a scope and match a filter, in ascending order."""
        with self._looking() as caller:
            return _listing.list_ids(caller, within, where)

    def list(
        self,
        within: Mapping[str, Any] | None = None,
        where: Any = None,
        *,
        order_by: str = "id",
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """Return one page of memories, without content; see :meth:`kiromi.Store.list`."""
        with self._looking() as caller:
            return _listing.list_memories(caller, within, where, order_by, limit, cursor)

    def history(self, id: str) -> builtins.list[Version]:  # noqa: A002
        """Return every version that a memory had had by then, newest first; see :meth:`kiromi.Store.history`."""
        with self._looking() as caller:
            return _history.history(caller, id)

    def partitions(
        self, within: Mapping[str, Any] | None = None, *, depth: int | None = None
    ) -> builtins.list[PartitionInfo]:
        """Return the partitions in path order with counts and sizes; see :meth:`kiromi.Store.partitions`."""
        with self._looking() as caller:
            return _partitions.partitions(caller, within, depth)

    def to_arrow(
        self,
        within: Mapping[str, Any] | None = None,
        where: Any = None,
        *,
        columns: Sequence[str] | None = None,
        with_content: bool = False,
    ) -> pa.Table:
        """Return memories as an Arrow table; see :meth:`kiromi.Store.to_arrow`."""
        with self._looking() as caller:
            return _arrow.to_arrow(caller, within, where, columns, with_content=with_content)

    def digest(self) -> str:
        """Return the digest of the moment; see :meth:`kiromi.Store.digest`."""
        with self._looking() as caller:
            return _state_digest.digest(caller)

    # -- supersession and links ---------------------------------------------------------------------------------------

    def supersession_chain(self, id: str) -> builtins.list[MemoryInfo]:  # noqa: A002
        """Return what a memory replaced, itself, and what replaced it; see :meth:`kiromi.Store.supersession_chain`."""
        with self._looking() as caller:
            return _supersession.supersession_chain(caller, id)

    def links(
        self,
        id: str | None = None,  # noqa: A002
        direction: _links.Direction = "both",
        *,
        kind: str | None = None,
        valid_at: datetime | None = None,
    ) -> builtins.list[Link]:
        """Return the links that held, oldest first; see :meth:`kiromi.Store.links`."""
        with self._looking() as caller:
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
        """Return the memories that links led to; see :meth:`kiromi.Store.neighbours`."""
        with self._looking() as caller:
            return _neighbours.neighbours(
                caller, id, depth=depth, direction=direction, kinds=kinds, limit=limit, valid_at=valid_at
            )

    # -- searching --------------------------------------------------------------------------------------------------

    def search(
        self,
        query: str | None = None,
        *,
        k: int = 10,
        within: Mapping[str, Any] | None = None,
        where: Any = None,
        mode: _search.Mode = "auto",
        vector: Sequence[float] | None = None,
        kind: str | None = None,
        valid_at: datetime | None = None,
        include_superseded: bool = False,
        profile: str | Profile = "relevance",
        fusion: Literal["convex", "rrf"] = "convex",
        weights: Mapping[str, float] | None = None,
        min_score: float | None = None,
        rerank: Reranker | None = None,
        explain: bool = False,
    ) -> builtins.list[Hit]:
        """Return the memories that fitted a query best, as believed then; see :meth:`kiromi.Store.search`.

        What was replaced by then is left out unless asked for; what was replaced or deleted later is not.
        ``valid_at`` asks besides what was true when: ``at(t).search(valid_at=u)`` is what was believed at t of u.

        Vectors are those that the contents had then, of the model that was searched then, compared one by one; scores
        of texts are the same up to what tantivy makes of documents that were deleted. The first search by text reads
        all contents of the moment; the next ones do not, until the store is handed to another process or closed.
        """
        options = _search.Options(
            k=k,
            within=within,
            where=where,
            mode=mode,
            kind=kind,
            valid_at=valid_at,
            include_superseded=include_superseded,
            profile=profile,
            fusion=fusion,
            weights=weights,
            min_score=min_score,
            rerank=rerank,
            explain=explain,
        )
        with self._looking() as caller:
            return _search.search(caller, query, vector, options)

    @contextlib.contextmanager
    def _looking(self) -> Iterator[Caller]:
        with self._call() as caller:
            yield replace(caller, moment=self._moment, is_read_only=True)
