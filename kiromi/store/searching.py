"""Search, its indices, and the models that make vectors."""

import builtins
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from kiromi.embed.base import Embedder
from kiromi.errors import InvalidInput
from kiromi.model import Hit, ModelInfo, Snapshot
from kiromi.operations import asof as _asof
from kiromi.operations import models as _models
from kiromi.reports.indexing import ReembedReport, ReindexReport
from kiromi.search.ranking import Profile
from kiromi.search.rerank import Reranker
from kiromi.store.handle import Handle


class Searching(Handle):
    """Searches; a part of :class:`kiromi.Store`."""

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
        at: Snapshot | str | int | datetime | None = None,
    ) -> builtins.list[Hit]:
        """Return the memories that fit a query best, best first, with their contents.

        Sees every write that was acknowledged, and nothing that is deleted, expired or out of scope; ``k`` hits
        whenever so many exist.

        Args:
            query: what to look for. For text: words, ``"phrases"``, ``prefix*``, ``title:``, ``tags:`` and
                ``content:`` in front of them, ``AND OR NOT + -`` and parentheses; never a syntax error.
            k: how many, 1 to 10,000.
            within: segment or field names to exact values.
            where: a filter, as a mapping or as text.
            mode: ``vector`` by meaning, ``text`` by words (BM25), ``hybrid`` both, fused;
                ``auto``: hybrid if the store has a model, else text; vector if only ``vector`` is given.
            vector: the query's vector, of the store's model; then the embedder is not asked.
            kind: only memories of that kind.
            valid_at: only memories that were true then, by ``valid_from`` and ``valid_until``.
            include_superseded: also those that another memory replaced.
            profile: ``relevance`` (nothing added), ``recent`` (newer ones first, by half-life) or ``trusted``
                (importance and confidence count), or a :class:`kiromi.search.ranking.Profile` of your own.
            fusion: how hybrid mode makes one score of two: ``convex``, the mean of both scores, each brought to 0 to 1;
                or ``rrf``, by reciprocal ranks.
            weights: of the lists in hybrid mode, ``{"text": 1, "vector": 1}``.
            min_score: leave out hits below this final score.
            rerank: called with the query and the best candidates; the scores that it returns decide their order.
            explain: give each hit the components of its score.
            at: search what was believed at a moment, given as for :meth:`at`; short for ``at(…).search(…)``.

        Raises:
            InvalidInput: an argument is refused.
            SnapshotNotFound: there is no such moment.
            EmbedderMismatch: the vector has another dimension, or the handle's embedder is not the store's model.
            EmbedderError: the embedder failed, with mode ``vector`` or ``hybrid``; ``auto`` searches text then.
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
            if at is not None:
                caller = replace(caller, moment=_asof.resolve(caller, at))
            return search.search(caller, query, vector, options)

    def related(
        self,
        id: str,  # noqa: A002
        *,
        k: int = 10,
        within: Mapping[str, Any] | None = None,
        where: Any = None,
        include_superseded: bool = False,
        explain: bool = False,
    ) -> builtins.list[Hit]:
        """Return the memories that are most like one, best first: by its vectors if it has some, else by its words.

        Raises:
            MemoryNotFound: it is not there.
            InvalidInput: an argument is refused.
        """
        from kiromi.operations import search

        with self._call() as caller:
            options = search.Options(
                k=k, within=within, where=where, include_superseded=include_superseded, explain=explain
            )
            return search.related(caller, id, options)

    def reindex(
        self,
        *,
        within: Mapping[str, Any] | None = None,
        hnsw_m: int | None = None,
        hnsw_ef_construction: int | None = None,
        hnsw_ef: int | None = None,
        language: str | None = None,
        on_progress: Callable[[str, int, int], None] | None = None,
    ) -> ReindexReport:
        """Make pending vectors, and build both indices anew from the catalog and the blobs.

        Searches and writes go on meanwhile. Search is right without it; it is faster afterwards: rows are sorted by
        partition, and large stores get an HNSW graph. After a kill, call it again.

        Args:
            within: take only these memories anew.
            hnsw_m: links per vector in the graph; stays a setting of the store, as do the next three.
            hnsw_ef_construction: candidates looked at while the graph is built.
            hnsw_ef: candidates looked at by a search: more find more, and take longer.
            language: of texts that name none: ``auto`` detects it, else a language tag such as ``de``.
            on_progress: called with what is being built, how much is done, how much there is.

        Raises:
            InvalidInput: an argument is refused.
        """
        from kiromi.operations.reindex import reindex

        settings = {
            "hnsw_m": hnsw_m,
            "hnsw_ef_construction": hnsw_ef_construction,
            "hnsw_ef": hnsw_ef,
            "language": language,
        }
        return reindex(self._caller(), within, settings, on_progress or _unseen)

    def reembed(
        self,
        embedder: Embedder | str,
        *,
        abandon: bool = False,
        on_progress: Callable[[str, int, int], None] | None = None,
    ) -> ReembedReport:
        """Make the vectors of all memories with another model, and search those from then on.

        Until then search stays on the vectors in use, and writes go on. After a kill, call it again with the same
        embedder: it goes on where it was. The former model's vectors are kept.

        Args:
            embedder: as for :func:`kiromi.open`.
            abandon: drop what a call with another embedder began and did not end.
            on_progress: called with what is being made, how much is done, how much there is.

        Raises:
            EmbedderError: the embedder failed; what is made stays, call it again.
            MigrationConflict: another model's re-embedding was begun and not ended.
        """
        from kiromi.operations.reembed import reembed

        found = _models.resolve(embedder)
        if found is None:
            raise InvalidInput("embedder=None; accepted: an embedder, or a text that names one")
        report = reembed(self._caller(), found, on_progress or _unseen, abandon=abandon)
        self._base = replace(self._base, embedder=found)
        return report

    def models(self) -> builtins.list[ModelInfo]:
        """Return the embedding models of the store, oldest first."""
        with self._call() as caller:
            return _models.models(caller)


def _unseen(what: str, done: int, total: int) -> None:
    """Show no progress."""
