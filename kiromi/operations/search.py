"""Search: find memories by vector, by text, or by both, within a scope; and what is related to one.

Data flow: arguments → a scope and a query → candidates of each index, each checked against its live row → one fused
and ranked list → contents and snippets of the few that are returned. If a memory was changed between the look into an
index and the look at its row, the round is run again.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Literal, TypeAlias, TypeVar, get_args

from kiromi.catalog.rows import Row
from kiromi.embed.base import Matrix, Model
from kiromi.embed.running import embed
from kiromi.errors import (
    EmbedderError,
    EmbedderMismatch,
    EmbedderWarning,
    IndexCorrupt,
    IndexWarning,
    IntegrityError,
    InvalidInput,
)
from kiromi.index.items import PassageHit
from kiromi.index.text.index import TextScope
from kiromi.index.text.query import TextQuery, parse_query
from kiromi.index.vectors import VectorScope
from kiromi.model import Hit
from kiromi.operations.caller import Caller
from kiromi.operations.embedding import embedder_of, is_text, model_of, no_embedder
from kiromi.operations.get import find
from kiromi.operations.indexing import Indices, indices_of
from kiromi.operations.past_indices import PastIndices, indices_for
from kiromi.operations.present import hit_of
from kiromi.operations.scoping import Scope
from kiromi.operations.sources import id_array
from kiromi.records import check_vector
from kiromi.search.fusion import Fused, fuse
from kiromi.search.ranking import PROFILES, Candidate, Profile, Ranked, best_passages, profile_of, rank
from kiromi.search.rerank import RERANKED, Reranker, reranked
from kiromi.session.contents import read_blob
from kiromi.times import from_micros

T = TypeVar("T")
Mode: TypeAlias = Literal["auto", "vector", "text", "hybrid"]
MAX_K = 10_000
_ROUNDS = 8
"""How often a search is run again because of what others wrote meanwhile."""
_REPAIRS = 3
"""How often damage is repaired before the search gives up."""
_DEPTH = 50
"""How many candidates of each list are fused or ranked, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The arguments of a search; see ``Store.search``."""

    k: int = 10
    within: Mapping[str, Any] | None = None
    where: Any = None
    mode: Mode = "auto"
    kind: str | None = None
    valid_at: datetime | None = None
    include_superseded: bool = False
    profile: str | Profile = "relevance"
    fusion: str = "convex"
    weights: Mapping[str, float] | None = None
    min_score: float | None = None
    rerank: Reranker | None = None
    explain: bool = False

    def check(self) -> None:
        """Refuse what is impossible.

        Raises:
            InvalidInput: the message names it.
        """
        if isinstance(self.k, bool) or not isinstance(self.k, int) or not 1 <= self.k <= MAX_K:
            raise InvalidInput(f"k={self.k!r} is not a whole number from 1 to {MAX_K:,}")
        if self.mode not in get_args(Mode):
            raise InvalidInput(f"mode={self.mode!r}; accepted: {', '.join(get_args(Mode))}")
        profile_of(self.profile)
        if self.min_score is not None and (
            isinstance(self.min_score, bool) or not isinstance(self.min_score, (int, float))
        ):
            raise InvalidInput(f"min_score={self.min_score!r} is not a number")
        if self.weights is not None and not isinstance(self.weights, Mapping):
            raise InvalidInput(f"weights={self.weights!r}; accepted: a mapping such as {{'text': 1, 'vector': 2}}")
        if self.rerank is not None and not callable(self.rerank):
            raise InvalidInput(f"rerank={self.rerank!r}; accepted: a function of the query and the hits")

    @property
    def depth(self) -> int:
        """How many candidates of one list are needed."""
        is_reordered = self.rerank is not None or profile_of(self.profile) != PROFILES["relevance"]
        return max(self.k, _DEPTH) if is_reordered else self.k


def search(caller: Caller, query: str | None, vector: Any, options: Options) -> list[Hit]:
    """Return what fits a query best; see ``Store.search``."""
    options.check()
    if query is not None and not isinstance(query, str):
        raise InvalidInput(f"query={query!r} is a {type(query).__name__}; accepted: text")
    return _rounds(caller, lambda: _queries(caller, query, vector, options.mode), options)


def related(caller: Caller, memory_id: str, options: Options) -> list[Hit]:
    """Return what is most like a memory; see ``Store.related``."""
    options.check()
    row = find(caller, memory_id)
    return _rounds(caller, lambda: _repaired(caller, lambda: _likeness(caller, row)), options, without=row.id)


def _likeness(caller: Caller, row: Row) -> "_Queries":
    """Return what finds memories that are like one."""
    session, indices = caller.session, indices_of(caller.session)
    model = session.active_model
    view = None if model is None else indices.vector_view(model)
    own = None if view is None else view.vectors_of(row.id)
    if own is not None and len(own):
        return _Queries(model, None, own.mean(axis=0))
    content = read_blob(session, row).decode() if is_text(row.media_type) else ""
    return _Queries(model, indices.text().query_like(row.title, content, row.tags, row.language), None)


@dataclass(frozen=True, slots=True, eq=False)
class _Queries:
    """What to look for in each index; None leaves an index out."""

    model: int | None
    """Whose vector it is."""
    text: TextQuery | None
    vector: Matrix | None


def _queries(caller: Caller, query: str | None, vector: Any, mode: Mode) -> _Queries:
    """Return what a search is to look for.

    Raises:
        InvalidInput: what the mode needs is not given.
    """
    number, model = caller.active_model, model_of(caller)
    if mode in ("text", "hybrid") and query is None:
        raise InvalidInput(f"mode={mode!r} needs a query text")
    if mode == "text" and vector is not None:
        raise InvalidInput("mode='text' takes no vector: leave it out, or use mode='hybrid'")
    if query is None and vector is None:
        raise InvalidInput("search needs a query text or a vector")
    if mode in ("vector", "hybrid") and model is None:
        raise InvalidInput(f"mode={mode!r} needs a model: open the store with embedder=, or use mode='text'")
    text = None if query is None or mode == "vector" else parse_query(query)
    if mode == "text" or model is None:
        if vector is not None:
            raise InvalidInput("a vector is given, but the store has no model")
        return _Queries(number, text, None)
    if vector is not None:
        return _Queries(number, text, _checked(vector, model))
    if mode == "auto" and model.is_caller:
        return _Queries(number, text, None)
    try:
        return _Queries(number, text, _embedded(caller, query or "", model))
    except EmbedderError as error:
        if mode != "auto":
            raise
        warnings.warn(f"searched as text only: {error}", EmbedderWarning, stacklevel=2)
        return _Queries(number, text, None)


def _checked(vector: Any, model: Model) -> Matrix:
    found: Matrix = check_vector(vector, "vector")
    if len(found) != model.dimension:
        raise EmbedderMismatch(
            f"the vector has {len(found)} dimensions; those of {model.name!r}, the store's model, have"
            f" {model.dimension}",
            given=len(found),
            dimension=model.dimension,
        )
    return found


def _embedded(caller: Caller, query: str, model: Model) -> Matrix:
    embedder = embedder_of(caller)
    if embedder is None:
        raise no_embedder(model)
    vector: Matrix = embed(embedder, [query], "query")[0]
    return vector


def _rounds(caller: Caller, ask: Callable[[], _Queries], options: Options, *, without: str | None = None) -> list[Hit]:
    """Search until nothing that was found had changed under way; ``without`` is a memory that is not to be found."""
    queries = ask()
    rounds = 0
    while True:
        rounds += 1
        if queries.vector is not None and queries.model != caller.active_model:
            queries = ask()
        hits = _repaired(caller, partial(_look, caller, queries, options, without, is_last=rounds == _ROUNDS))
        if hits is not None:
            return hits


def _look(
    caller: Caller, queries: _Queries, options: Options, without: str | None, *, is_last: bool
) -> list[Hit] | None:
    """Search once; None if something had changed under way and this is not the last time."""
    schemes = caller.session.schemes.keys()  # for a path of a later one the scope does not know what it has to say
    scope = Scope.of(
        caller,
        options.within,
        options.where,
        options.kind,
        options.valid_at,
        with_superseded=options.include_superseded,
    )
    with indices_for(caller) as indices:
        this = _Round(caller, scope, options, indices, queries.model, without)
        ranked = this.ranked(queries.text, queries.vector)
        this.is_stale |= caller.session.schemes.keys() != schemes
        hits = [] if this.is_stale and not is_last else this.hits(ranked, queries.text)
        return None if this.is_stale and not is_last else hits


def _repaired(caller: Caller, look: Callable[[], T]) -> T:
    """Return what a look into the indices gives; one that turns out damaged is thrown away, and built anew.

    Raises:
        IndexCorrupt: what was built anew is damaged too.
    """
    for _ in range(_REPAIRS):
        try:
            return look()
        except IndexCorrupt as error:
            with indices_for(caller) as indices:
                indices.discard(error)
    return look()


@dataclass(slots=True)
class _Round:
    """One look into the indices, and what was found."""

    caller: Caller
    scope: Scope
    options: Options
    indices: Indices | PastIndices
    model: int | None
    """The one of the query's vector."""
    without: str | None
    is_stale: bool = False
    """Whether something had changed by the time its row was looked at."""
    rows: dict[str, Row] = field(default_factory=dict)
    """Of what may be shown."""
    passages: dict[str, PassageHit] = field(default_factory=dict)
    """The nearest passage of each memory."""
    fused: dict[str, Fused] = field(default_factory=dict)

    def ranked(self, text: TextQuery | None, vector: Matrix | None) -> list[Ranked]:
        """Return the candidates of one or both indices in one order, the profile applied."""
        options = self.options
        is_alone = text is None or vector is None
        depth = options.depth if is_alone else max(options.depth, _DEPTH)
        # Both, so that weights may name a list which this mode does not have.
        lists: dict[str, list[tuple[str, float]]] = {"text": [], "vector": []}
        if text is not None:
            lists["text"] = self._texts(text, depth)
        if vector is not None:
            lists["vector"] = self._vectors(vector, depth)
        floors: dict[str, float] = {}
        if text is not None and vector is not None:
            floors = self._complete(lists, text, vector)
        fused = fuse(lists, options.fusion, options.weights, floors=floors)
        self.fused = {one.id: one for one in fused}
        candidates = []
        for one in fused:
            row = self.rows[one.id]
            score = next(iter(one.components.values())).score if is_alone else one.score
            candidates.append(Candidate(one.id, score, from_micros(row.event_at), row.importance, row.confidence))
        return rank(profile_of(options.profile), candidates, from_micros(self.scope.now), options.min_score)

    def hits(self, found: Sequence[Ranked], text: TextQuery | None) -> list[Hit]:
        """Return the best of what was found, with contents, snippets and the reranker's say."""
        options = self.options
        chosen = found[: max(options.k, RERANKED) if options.rerank is not None else options.k]
        contents = self.caller.session.blobs.read_many([self.caller.place_of(self.rows[one.id]) for one in chosen])
        hits = []
        for one, data in zip(chosen, contents, strict=True):
            row = self.rows[one.id]
            try:
                content = self.caller.checked(row, data)
            except IntegrityError as error:  # one that somebody removed must not hide the others
                if self.caller.has_changed(row):
                    self.is_stale = True
                    continue
                warnings.warn(f"left out of the hits: {error}", IndexWarning, stacklevel=2)
                continue
            hits.append(self._hit(one, row, content, text))
        if options.rerank is None:
            return hits
        ordered = reranked(text.text if text is not None else "", hits, options.rerank)
        if options.explain:
            return [replace(hit, explanation={**(hit.explanation or {}), "rerank": score}) for hit, score in ordered][
                : options.k
            ]
        return [hit for hit, _ in ordered][: options.k]

    def _hit(self, one: Ranked, row: Row, data: bytes, text: TextQuery | None) -> Hit:
        content = data.decode() if is_text(row.media_type) else None
        snippet = None
        if text is not None and content is not None:
            found = self.indices.text().snippet(text, content, row.language)
            snippet = found if found.highlights else None
        span = None if content is None else self._span(one.id, content)
        if span is None and snippet is not None:
            span = snippet.begin, snippet.end
        return hit_of(
            row,
            data,
            self.caller.session.schemes,
            score=one.score,
            span=span,
            snippet=None if snippet is None else snippet.text,
            highlights=() if snippet is None else snippet.highlights,
            explanation=self._explanation(one) if self.options.explain else None,
        )

    def _span(self, memory_id: str, content: str) -> tuple[int, int] | None:
        passage = self.passages.get(memory_id)
        if passage is None:
            return None
        return passage.begin, len(content) if passage.end < 0 else passage.end

    def _explanation(self, one: Ranked) -> dict[str, Any]:
        return {
            **{name: asdict(component) for name, component in self.fused[one.id].components.items()},
            "relevance": one.relevance,
            "recency": one.recency,
            "importance": one.importance,
            "confidence": one.confidence,
            "factor": one.factor,
        }

    def _vectors(self, vector: Matrix, depth: int) -> list[tuple[str, float]]:
        view = None if self.model is None else self.indices.vector_view(self.model)
        if view is None:  # another model became the store's
            self.is_stale = True
            return []
        scope = self.indices.vector_scope(view, self.scope)

        def look(size: int) -> tuple[list[tuple[str, float]], bool]:
            found = view.search(vector, size, scope)
            kept = best_passages(hit for hit in found if self._may_show(hit.id, hit.n))
            self.passages = {hit.id: hit for hit in kept}
            return [(hit.id, hit.score) for hit in kept], len(found) < size

        return _deep_enough(look, depth)

    def _texts(self, text: TextQuery, depth: int) -> list[tuple[str, float]]:
        index = self.indices.text()
        scope = TextScope(self.scope.marks, self.scope.texts)

        def look(size: int) -> tuple[list[tuple[str, float]], bool]:
            found = index.search(text, size, scope)
            return [(hit.id, hit.score) for hit in found if self._may_show(hit.id, None)], len(found) < size

        return _deep_enough(look, depth)

    def _complete(self, lists: dict[str, list[tuple[str, float]]], text: TextQuery, vector: Matrix) -> dict[str, float]:
        """Give what one list found its true score in the other, too; return the scores that say nothing.

        Where a list ends says little about what is just behind its end: without this, which of two lists found
        something counts more than how well it fits.
        """
        by_text, by_vector = (dict(lists[name]) for name in ("text", "vector"))
        only_vector = frozenset(by_vector.keys() - by_text.keys())
        if only_vector:
            found = self.indices.text().search(text, len(only_vector), TextScope(None, only_vector))
            lists["text"] += [(hit.id, hit.score) for hit in found]
        view = None if self.model is None else self.indices.vector_view(self.model)
        if view is None:
            self.is_stale = True
            return {}
        only_text = id_array(sorted(by_text.keys() - by_vector.keys()))
        if len(only_text):
            scope = VectorScope(None, only_text)
            passages = view.search(vector, max(view.size(scope), 1), scope)
            nearest = best_passages(hit for hit in passages if self._may_show(hit.id, hit.n))
            lists["vector"] += [(hit.id, hit.score) for hit in nearest]
            self.passages.update((hit.id, hit) for hit in nearest)
        background = view.background(vector, self.indices.vector_scope(view, self.scope))
        return {"text": 0.0} if background is None else {"text": 0.0, "vector": background}

    def _may_show(self, memory_id: str, n: int | None) -> bool:
        """Tell whether a memory that an index found may be shown as it is now; ``n`` is the content that was found."""
        if memory_id == self.without:
            return False
        known = self.rows.get(memory_id)
        if known is not None and n in (None, known.n):
            return True
        row = self.indices.live(memory_id)
        if row is None or (n is not None and row.n != n) or self.scope.is_stale(row):
            self.is_stale = True
            return False
        if not self.scope.admits(row):
            return False
        self.rows[memory_id] = row
        return True


def _deep_enough(look: Callable[[int], tuple[list[tuple[str, float]], bool]], depth: int) -> list[tuple[str, float]]:
    """Look for more and more until ``depth`` memories may be shown, or there is nothing more."""
    size = depth
    while True:
        found, is_all = look(size)
        if len(found) >= depth or is_all:
            return found[:depth]
        size *= 4
