"""kiromi as a system under test: one store for each set, searched in each mode.

Every document is a memory: its id is the key, its part the namespace and partition, its text the content, unchanged.
A search is scoped to the query's part.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

import kiromi
from kiromi.embed.base import Embedder
from kiromi.errors import EmbedderError
from tools.retrieval.sets import Part, RetrievalSet

Mode: TypeAlias = Literal["text", "vector", "hybrid"]
MODES: tuple[Mode, ...] = ("text", "vector", "hybrid")
SCHEME = "set={set}/part={part}"


@contextmanager
def filled_store(
    folder: Path, retrieval_set: RetrievalSet, embedder: Embedder | None, language: str | None
) -> Iterator[kiromi.Store]:
    """Yield a new store in ``folder`` that holds every document of a set, embedded if there is an embedder.

    Args:
        folder: does not exist yet, or is empty.
        retrieval_set: its documents are appended in one bulk operation.
        embedder: makes the vectors of passages; None leaves only text search.
        language: a BCP 47 tag given to each memory; None leaves it to detection.

    Raises:
        EmbedderError: not every document could be embedded, so figures would be of something else.
    """
    # What is thrown away needs no sync.
    with kiromi.open(folder, scheme=SCHEME, embedder=embedder, durability="relaxed") as store:
        store.append_many(_records(retrieval_set, language))
        if pending := sum(model.pending for model in store.models()):
            raise EmbedderError(f"set {retrieval_set.name!r}: {pending:,} documents could not be embedded")
        yield store


def ranking(store: kiromi.Store, scope: Mapping[str, str], mode: Mode, query: str, depth: int) -> list[str]:
    """Return the keys of the best ``depth`` memories within a scope, best first, equal scores in the order of keys."""
    hits = store.search(query, k=depth, within=scope, mode=mode)
    # Hits come best first, so only those of equal score change places.
    return [key for _, key in sorted((-hit.score, str(hit.key)) for hit in hits)]


def scope_of(retrieval_set: RetrievalSet, part: Part) -> dict[str, str]:
    """Return the partition in which the documents of a part lie."""
    return {"set": retrieval_set.name, "part": part.name}


def _records(retrieval_set: RetrievalSet, language: str | None) -> Iterator[dict[str, Any]]:
    for part in retrieval_set.parts:
        partition = scope_of(retrieval_set, part)
        for document in part.documents:
            yield {
                "content": document.text,
                "title": document.title or None,
                "key": document.id,
                "namespace": part.name,
                "partition": partition,
                "language": language,
                "event_at": document.event_at,
            }
