"""A store as it was: the reads of a store, at one past moment."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from kiromi.catalog.past import Moment
from kiromi.model import Hit
from kiromi.operations.caller import Caller
from kiromi.search.ranking import Profile
from kiromi.search.rerank import Reranker
from kiromi.store.reading import Reading
from kiromi.store.relations import Relations
from kiromi.times import from_micros


class StoreView(Reading, Relations):
    """A store at one moment, made by :meth:`kiromi.Store.at`: answers as the store did then, whatever is written later.

    Contents, attributes, tags, partitions, paths, links and supersession are those of the moment, and so is the clock
    by which memories have expired: where a call speaks of what is live, there, or holds, it means as of the moment. A
    ``path`` is where a memory lay then; ``history`` has the versions that were made by then. A view of a scoped handle
    shows what lay within the scope then.

    It needs no closing, and works as long as its store is open and ``gc`` has not removed the moment: from then on its
    calls raise :class:`kiromi.SnapshotNotFound`.
    """

    def __init__(self, call: Callable[[], AbstractContextManager[Caller]], moment: Moment, scheme: str) -> None:
        """Use :meth:`kiromi.Store.at`."""
        self._call_now = call
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

    def search(
        self,
        query: str | None = None,
        *,
        k: int = 10,
        within: Mapping[str, Any] | None = None,
        where: Any = None,
        mode: Literal["auto", "vector", "text", "hybrid"] = "auto",
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
    ) -> list[Hit]:
        """Return the memories that fitted a query best, as believed then.

        Arguments and errors are those of :meth:`kiromi.Store.search`, without ``at``. What was replaced by then is left
        out unless asked for; what was replaced or deleted later is not.
        ``valid_at`` asks besides what was true when: ``at(t).search(valid_at=u)`` is what was believed at t of u.

        Vectors are those that the contents had then, of the model that was searched then, compared one by one; scores
        of texts are the same up to what tantivy makes of documents that were deleted. The first search by text reads
        all contents of the moment; the next ones do not, until the store is handed to another process or closed.
        """
        from kiromi.operations import search  # here, as the indices take a while to load

        options = search.Options(
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
        with self._call() as caller:
            return search.search(caller, query, vector, options)

    @contextlib.contextmanager
    def _call(self) -> Iterator[Caller]:
        with self._call_now() as caller:
            yield replace(caller, moment=self._moment, is_read_only=True)
