"""Absorbing: bring an index up to date, with commits that the feed gave, or with what the tables have.

No lock of a writer is waited for here: a thread that composes a transaction may search within it.
"""

from collections.abc import Sequence

import duckdb
import numpy as np

from kiromi.catalog.changes import BlobKey, Changes
from kiromi.catalog.rows import Row, to_rows
from kiromi.catalog.vectors import ContentVectors
from kiromi.index.items import PassageBatch
from kiromi.index.text.index import TextIndex
from kiromi.index.vectors import VectorIndex
from kiromi.operations.sources import changed_passages, changed_rows, documents, gone_ids, id_array, passages_of
from kiromi.session.session import Session


def read_vectors(cursor: duckdb.DuckDBPyConnection, index: VectorIndex, model: int, seq: int) -> None:
    """Take in from the tables, which show ``seq``, what an index of a model's vectors lacks."""
    since = index.watermark
    for ids, passages in changed_passages(cursor, since, model):
        index.apply(since, ids, passages)
    index.apply(seq, gone_ids(cursor, since), _as_batch([], index.view.dimension))


def read_text(session: Session, cursor: duckdb.DuckDBPyConnection, index: TextIndex, seq: int) -> None:
    """Take in from the tables, which show ``seq``, and the blobs what a text index lacks."""
    since = index.watermark
    for rows in changed_rows(cursor, since):
        index.apply(since, (), documents(session, rows))
    index.apply(seq, gone_ids(cursor, since), ())


def absorb_text(session: Session, index: TextIndex, changes: Sequence[Changes]) -> None:
    """Take commits into a text index, oldest first, at least one."""
    live, gone = _outcome(changes)
    index.apply(changes[-1].head.seq, gone, documents(session, live))


def absorb_vectors(session: Session, index: VectorIndex, model: int, changes: Sequence[Changes]) -> None:
    """Take commits into an index of a model's vectors, oldest first, at least one."""
    live, gone = _outcome(changes)
    own = _vectors_in(changes, model)
    touched = {row.id for row in live}
    # Vectors that came later than their memory, from a reindex.
    completed = session.view.rows(memory_id for memory_id, _ in own if memory_id not in touched)
    fresh = [(row, own[row.blob]) for row in (*live, *completed) if row.blob in own]
    moved, unknown = [], []
    for row in live:
        if row.blob not in own:
            if index.view.number_of(row.id) == row.n:
                moved.append((row.id, (row.scheme, row.partition)))
            else:
                unknown.append(row)
    if unknown:  # first, for the watermark says that all is absorbed
        take_vectors(session, index, model, unknown)
    index.apply(changes[-1].head.seq, gone, _as_batch(fresh, index.view.dimension), moved)


def take_vectors(session: Session, index: VectorIndex, model: int, rows: Sequence[Row]) -> None:
    """Replace all passages of live rows by what the catalog has of a model: perhaps nothing."""
    with session.tables() as (_, journaled, cursor):
        known = _vectors_in(journaled, model)
        tabled = passages_of(cursor, model, [row for row in rows if row.blob not in known])
    fresh = [(row, known[row.blob]) for row in rows if row.blob in known]
    index.apply(index.watermark, [row.id for row in rows], tabled)
    index.apply(index.watermark, (), _as_batch(fresh, index.view.dimension))


def _vectors_in(changes: Sequence[Changes], model: int) -> dict[BlobKey, ContentVectors]:
    """Return the vectors of a model that commits brought in, by content."""
    return {(item.id, item.n): item for change in changes for item, _ in change.vectors if item.model == model}


def _outcome(changes: Sequence[Changes]) -> tuple[list[Row], list[str]]:
    """Return what commits made of the memories that they touched: live rows, and ids that are live no longer."""
    latest: dict[str, Row | None] = {}
    for change in changes:
        latest.update(change.live)
        if change.moves is not None:
            latest.update((row.id, row) for row in to_rows(change.moves.rows))
    live = [row for row in latest.values() if row is not None]
    return live, [memory_id for memory_id, row in latest.items() if row is None]


def _as_batch(found: Sequence[tuple[Row, ContentVectors]], dimension: int) -> PassageBatch:
    """Return vectors from the feed as an index takes them."""
    spans = [(row, *span) for row, item in found for span in item.spans]
    return PassageBatch(
        id_array([row.id for row, _, _ in spans]),
        np.array([row.n for row, _, _ in spans], np.int32),
        np.array([begin for _, begin, _ in spans], np.int64),
        np.array([end for _, _, end in spans], np.int64),
        [(row.scheme, row.partition) for row, _, _ in spans],
        np.concatenate([item.matrix for _, item in found]) if found else np.empty((0, dimension), np.float32),
    )
