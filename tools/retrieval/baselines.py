"""The plain systems that kiromi is measured against; none of its retrieval code is in here.

``Bm25`` is tantivy as it comes: one field, the default tokenizer (split at what is neither letter nor digit, lower
case, no stemming, no stop words), every word of the query optional. ``Dense`` compares one vector for each whole
document by brute force. Both see title and text of the documents of a part, and put equal scores in the order of ids.
"""

from collections.abc import Sequence

import numpy as np

from kiromi.embed.base import Embedder, Matrix, Metric, Role
from tools.retrieval.sets import Document

_MAX_TERM_BYTES = 40


class Bm25:
    """Words: BM25 (k1 1.2, b 0.75) over an index in memory."""

    def __init__(self, documents: Sequence[Document]) -> None:
        import tantivy

        schema = tantivy.SchemaBuilder().add_text_field("text", index_option="freq")
        self._schema = schema.add_integer_field("number", fast=True).build()
        self._ids = [document.id for document in documents]
        index = tantivy.Index(self._schema)
        writer = index.writer(num_threads=1)
        for number, document in enumerate(documents):
            writer.add_document(tantivy.Document(text=document.whole, number=number))
        writer.commit()
        writer.wait_merging_threads()
        index.reload()
        self._searcher = index.searcher()
        analyzer = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        # What tantivy's "default" is made of; terms are made here since its query parser takes user text for syntax.
        analyzer = analyzer.filter(tantivy.Filter.remove_long(_MAX_TERM_BYTES)).filter(tantivy.Filter.lowercase())
        self._analyzer = analyzer.build()

    def rank(self, query: str, depth: int) -> list[str]:
        """Return the ids of the best ``depth`` documents that share a word with the query, best first."""
        from tantivy import Occur, Query

        terms = [Query.term_query(self._schema, "text", term, "freq") for term in self._analyzer.analyze(query)]
        if not terms:
            return []
        anything = Query.boolean_query([(Occur.Should, term) for term in terms])
        limit = depth + 1
        # Asks on until the scores go below the last wanted one, so that ties at the edge are broken by id too.
        while True:
            hits = self._searcher.search(anything, limit, count=False).hits
            if len(hits) < limit or hits[-1][0] < hits[depth - 1][0]:
                break
            limit *= 2
        numbers = self._searcher.fast_field_values("number", [address for _, address in hits])
        scored = [(-score, self._ids[int(number or 0)]) for (score, _), number in zip(hits, numbers, strict=True)]
        return [document for _, document in sorted(scored)][:depth]


class Dense:
    """Meaning: the nearest vectors, one for each whole document; what exceeds the model's window is cut off by it."""

    def __init__(self, documents: Sequence[Document], embedder: Embedder) -> None:
        ordered = sorted(documents, key=lambda document: document.id)
        self._ids = [document.id for document in ordered]
        self._embedder = embedder
        size = embedder.batch_size
        texts = [document.whole for document in ordered]
        batches = [_embed(embedder, texts[begin : begin + size], "document") for begin in range(0, len(texts), size)]
        self._matrix = np.concatenate(batches) if batches else np.empty((0, embedder.dimension), np.float32)

    def rank(self, query: str, depth: int) -> list[str]:
        """Return the ids of the nearest ``depth`` documents, nearest first."""
        vector = _embed(self._embedder, [query], "query")[0]
        scores = _similarity(self._matrix, vector, self._embedder.metric)
        return [self._ids[row] for row in np.argsort(-scores, kind="stable")[:depth]]


def _embed(embedder: Embedder, texts: Sequence[str], role: Role) -> Matrix:
    """Return vectors as rows, of length 1 if they are compared by cosine; a zero vector stays."""
    vectors: Matrix = np.asarray(embedder.embed(texts, role), np.float32)
    if embedder.metric == "cosine":
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return vectors


def _similarity(matrix: Matrix, vector: Matrix, metric: Metric) -> Matrix:
    scores: Matrix = -np.linalg.norm(matrix - vector, axis=1) if metric == "l2" else matrix @ vector
    return scores
