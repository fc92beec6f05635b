"""The indices of a session: opened when first searched, caught up before every search, saved when the lock is let go.

Nothing that is written waits for an index. A search first takes in what was committed since the last one: from the
session's feed, or from the tables if that has gaps. No index is the truth: one that is missing is built without a word,
one that is damaged or of another store with a warning.
"""

import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import duckdb
import numpy as np

from kiromi.catalog.changes import Changes
from kiromi.catalog.rows import LIVE_ROWS, Row, to_rows
from kiromi.catalog.vectors import ContentVectors
from kiromi.errors import IndexCorrupt, IndexWarning
from kiromi.index.items import PassageBatch
from kiromi.index.text.index import TextIndex, TextSettings
from kiromi.index.vectors import GraphSettings, VectorIndex, VectorScope, VectorView
from kiromi.operations.scoping import PlaceCodes, Scope
from kiromi.operations.sources import (
    changed_ids,
    chunks,
    documents,
    id_array,
    live_rows,
    passage_keys,
    passages_of,
    vector_chunks,
)
from kiromi.session.session import Session

T = TypeVar("T")
_MANY = 20_000
"""So many changed memories are not taken in one by one: the vector index is built anew."""
OnProgress: TypeAlias = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""

_ATTACHED = "indices"
_attaching = threading.Lock()


def indices_of(session: Session) -> "Indices":
    """Return the indices of a session; the caller holds its lease."""
    with _attaching:
        found = session.attached.get(_ATTACHED)
        if not isinstance(found, Indices):
            found = session.attached[_ATTACHED] = Indices(session)
        return found


@dataclass(slots=True)
class _Opened:
    """The indices that are open, all caught up to the same seq."""

    seq: int = 0
    vectors: VectorIndex | None = None
    model: int | None = None
    """That ``vectors`` are of."""
    text: TextIndex | None = None


class Indices:
    """The vector index of the active model and the text index of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._guard = threading.RLock()
        self._opened = _Opened()
        self._codes = PlaceCodes()
        self._scratch: Path | None = None
        self._is_distrusted = False
        """Whether the files were found damaged while they were searched: they are not opened any more."""

    # -- for searches -----------------------------------------------------------------------------------------------

    def vectors(self) -> VectorIndex:
        """Return the index of the active model's vectors, with everything that is committed by now."""
        with self._guard:
            self._catch_up()
            opened, model = self._opened, _present(self._session.active_model)
            if opened.vectors is None or opened.model != model:
                self._close_vectors()
                opened.vectors, opened.model = self._open_vectors(model), model
                self._catch_up()
            return _present(opened.vectors)

    def vector_view(self, model: int) -> VectorView | None:
        """Return the state of :meth:`vectors`, which stays as it is; None if the active model is another by now."""
        with self._guard:
            found = self.vectors()
            return found.view if self._opened.model == model else None

    def text(self) -> TextIndex:
        """Return the text index, with everything that is committed by now."""
        with self._guard:
            self._catch_up()
            if self._opened.text is None:
                self._opened.text = self._open_text()
                self._catch_up()
            return _present(self._opened.text)

    def vector_scope(self, view: VectorView, scope: Scope) -> VectorScope:
        """Return a scope in the terms of a view of the vector index."""
        if scope.marks is None:
            return VectorScope(None, scope.ids)
        with self._guard:
            self._codes.refresh((view.generation, view.place_count), view.places(), self._session.schemes)
            return VectorScope(self._codes.codes(scope.marks), scope.ids)

    def discard(self, error: IndexCorrupt) -> None:
        """Throw away what turned out to be damaged while it was searched; the next search builds it anew."""
        with self._guard:
            folders = [self._text_folder()]
            if self._opened.model is not None:
                folders.append(self._vector_folder(self._opened.model))
            self._is_distrusted = True
            self._close_vectors()
            self._close_text()
            if not self._session.read_only:
                for folder in folders:
                    shutil.rmtree(folder, ignore_errors=True)
        _warn(error)

    def release(self) -> None:
        """Save the indices and close them."""
        with self._guard:
            for index in (self._opened.vectors, self._opened.text):
                if index is not None:
                    try:
                        if not self._session.read_only:
                            index.save()
                    except (OSError, IndexCorrupt) as error:  # it is derived: the next one builds it anew
                        warnings.warn(f"an index was not saved: {error}", IndexWarning, stacklevel=2)
            self._close_vectors()
            self._close_text()
            if self._scratch is not None and self._session.read_only:
                shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None

    # -- for reindex ------------------------------------------------------------------------------------------------

    def rebuild_vectors(self, on_progress: OnProgress, *, with_graph: bool) -> VectorIndex:
        """Build the vector index from the catalog beside the one in use, then put it in its place."""
        model = _present(self._session.active_model)
        fresh = self._build_vectors(model, on_progress, with_graph=with_graph)
        with self._guard:
            self._close_vectors()
            self._opened.vectors, self._opened.model = fresh, model
            self._catch_up(fresh.watermark)
            if not self._session.read_only:
                fresh.save()
            return fresh

    def rebuild_text(self, on_progress: OnProgress) -> TextIndex:
        """Build the text index from rows and blobs beside the one in use, then put it in its place."""
        fresh = self._build_text(on_progress)
        with self._guard:
            self._close_text()
            self._opened.text = fresh
            self._catch_up(fresh.watermark)
            if not self._session.read_only:
                fresh.save()
            return fresh

    def refresh(self, ids: Sequence[str], on_progress: OnProgress) -> None:
        """Take some memories anew from the catalog and the blobs into both indices."""
        with self._guard:
            opened = self._opened
            self._catch_up()
            for start in range(0, len(ids), 10_000):
                with self._session.snapshot() as (_, cursor):
                    part = ids[start : start + 10_000]
                    live = to_rows(
                        cursor.sql(f"{LIVE_ROWS} WHERE m.id IN (SELECT unnest(?))", params=[part]).to_arrow_table()
                    )
                    if opened.vectors is not None and opened.model is not None:
                        _absorb_passages(opened.vectors, cursor, opened.model, part, opened.seq)
                if opened.text is not None:
                    opened.text.apply(opened.seq, part, documents(self._session, live))
                on_progress("memories", min(start + 10_000, len(ids)), len(ids))

    # -- catching up ------------------------------------------------------------------------------------------------

    def _catch_up(self, since: int | None = None) -> None:
        """Bring the open indices to the present; ``since`` if one of them is only there yet."""
        session, opened = self._session, self._opened
        if opened.vectors is None and opened.text is None:
            opened.seq = 0
            return
        behind = min(index.watermark for index in (opened.vectors, opened.text) if index is not None)
        changes = session.feed.take(opened.seq) if since is None and behind >= opened.seq else None
        if changes is not None:
            if changes:
                self._absorb(changes)
            return
        session.feed.listen(session.view.seq)
        with session.snapshot() as (view, cursor):
            if opened.vectors is not None and opened.vectors.watermark < view.seq:
                self._catch_vectors_up(cursor, opened.vectors, view.seq)
            rows: list[Row] = []
            gone: list[str] = []
            if opened.text is not None and opened.text.watermark < view.seq:
                ids, gone = changed_ids(cursor, opened.text.watermark, None)
                rows = list(view.rows(ids))
        if opened.text is not None and opened.text.watermark < view.seq:
            if rows or gone:
                for part in chunks(rows):
                    opened.text.apply(opened.text.watermark, gone, documents(session, part))
                    gone = []
            opened.text.apply(view.seq, gone, ())
        opened.seq = view.seq

    def _absorb(self, changes: Sequence[Changes]) -> None:
        """Take in commits from the feed."""
        opened = self._opened
        seq = changes[-1].head.seq
        latest: dict[str, Row | None] = {}
        for change in changes:
            latest.update(change.live)
        gone = [memory_id for memory_id, row in latest.items() if row is None]
        live = [row for row in latest.values() if row is not None]
        if opened.vectors is not None and opened.vectors.needs_rebuild and not opened.vectors.has_graph:
            opened.vectors.close()
            opened.vectors = self._build_vectors(_present(opened.model), _unseen, with_graph=False)
        if opened.vectors is not None and opened.vectors.watermark < seq:
            found = {(item.id, item.n): item for change in changes for item, _ in change.vectors}
            self._absorb_vectors(opened.vectors, seq, gone, live, found)
        if opened.text is not None:
            opened.text.apply(seq, gone, documents(self._session, live))
        opened.seq = seq

    def _absorb_vectors(
        self,
        index: VectorIndex,
        seq: int,
        gone: list[str],
        live: list[Row],
        found: Mapping[tuple[str, int], ContentVectors],
    ) -> None:
        model = self._opened.model
        own = {key: item for key, item in found.items() if item.model == model}
        touched = {row.id for row in live}
        # Vectors that came later than their memory, from a reindex.
        completed = self._session.view.rows(memory_id for memory_id, _ in own if memory_id not in touched)
        fresh = [(row, own[row.blob]) for row in (*live, *completed) if row.blob in own]
        moved, unknown = [], []
        for row in live:
            if row.blob not in own:
                if index.view.number_of(row.id) == row.n:
                    moved.append((row.id, (row.scheme, row.partition)))
                else:
                    unknown.append(row.id)
        if unknown and model is not None:  # first, for the watermark says that all is absorbed
            with self._session.snapshot() as (_, cursor):
                _absorb_passages(index, cursor, model, unknown, index.watermark)
        index.apply(seq, gone, _as_batch(fresh, index.view.dimension), moved)

    def _catch_vectors_up(self, cursor: duckdb.DuckDBPyConnection, index: VectorIndex, seq: int) -> None:
        model = self._opened.model
        if model is not None:
            ids, gone = changed_ids(cursor, index.watermark, model)
            if len(ids) > max(_MANY, len(index) // 4):
                self._opened.vectors = self._build_vectors(model, _unseen, with_graph=False)
                return
            for start in range(0, len(ids), 10_000):
                _absorb_passages(index, cursor, model, ids[start : start + 10_000], index.watermark)
            index.apply(seq, gone, _as_batch([], index.view.dimension), ())

    # -- opening and building ---------------------------------------------------------------------------------------

    def _open_vectors(self, model: int) -> VectorIndex:
        folder = None if self._is_distrusted else self._vector_folder(model)
        try:
            found = VectorIndex.open(
                folder, self._vector_identity(model), *self._vector_shape(model), self._graph_settings()
            )
        except IndexCorrupt as error:
            _warn(error)
            found = None
        if (
            found is not None
            and found.watermark >= self._session.gc_floor
            and found.watermark <= self._session.view.seq
        ):
            return found
        return self._build_vectors(model, _unseen, with_graph=False)

    def _build_vectors(self, model: int, on_progress: OnProgress, *, with_graph: bool) -> VectorIndex:
        session = self._session
        with session.snapshot() as (view, cursor):
            keys, rows = passage_keys(cursor, model)
            return VectorIndex.build(
                None if session.read_only else self._vector_folder(model),
                self._vector_identity(model),
                *self._vector_shape(model),
                self._graph_settings(),
                keys,
                vector_chunks(cursor, model, rows),
                view.seq,
                with_graph=with_graph,
                on_progress=on_progress,
            )

    def _open_text(self) -> TextIndex:
        folder = None if self._is_distrusted else self._text_folder()
        try:
            found = TextIndex.open(folder, self._text_identity(), self._text_settings(), self._scratch_folder())
        except IndexCorrupt as error:
            _warn(error)
            found = None
        if (
            found is not None
            and found.watermark >= self._session.gc_floor
            and found.watermark <= self._session.view.seq
        ):
            return found
        if found is not None:
            found.close()
        return self._build_text(_unseen)

    def _build_text(self, on_progress: OnProgress) -> TextIndex:
        session = self._session
        folder = None if session.read_only else self._text_folder()
        index = TextIndex.create(folder, self._text_identity(), self._text_settings(), self._scratch_folder())
        start = session.view.seq
        after, done = "", 0
        while True:
            with session.snapshot() as (view, cursor):
                rows = live_rows(cursor, after)
            if not rows:
                break
            index.add(documents(session, rows))
            after, done = rows[-1].id, done + len(rows)
            on_progress("text", done, view.count)
        index.apply(start, (), ())
        return index

    def _vector_identity(self, model: int) -> dict[str, str]:
        session = self._session
        fingerprint = session.models[model].fingerprint
        return {"store": session.meta.store_id, "catalog": session.meta.catalog_id, "model": fingerprint}

    def _vector_shape(self, model: int) -> tuple[int, Any]:
        found = self._session.models[model]
        return found.dimension, found.metric

    def _text_identity(self) -> dict[str, str]:
        return {"store": self._session.meta.store_id, "catalog": self._session.meta.catalog_id}

    def _graph_settings(self) -> GraphSettings:
        return graph_settings(self._session.settings)

    def _text_settings(self) -> TextSettings:
        return text_settings(self._session.settings)

    def _vector_folder(self, model: int) -> Path:
        return self._folder(f"vectors-{model}")

    def _text_folder(self) -> Path:
        return self._folder("text")

    def _folder(self, name: str) -> Path:
        return self._session.root.index_path(self._session.tenant) / name

    def _scratch_folder(self) -> Path:
        if self._scratch is None:
            if self._session.read_only:
                self._scratch = Path(tempfile.mkdtemp(prefix="kiromi-"))
            else:
                self._scratch = self._session.root.index_path(self._session.tenant) / "scratch"
                self._scratch.mkdir(parents=True, exist_ok=True)
        return self._scratch

    def _close_vectors(self) -> None:
        if self._opened.vectors is not None:
            self._opened.vectors.close()
        self._opened.vectors = self._opened.model = None

    def _close_text(self) -> None:
        if self._opened.text is not None:
            self._opened.text.close()
        self._opened.text = None


def graph_settings(settings: Mapping[str, Any]) -> GraphSettings:
    """Return what the store says of HNSW graphs."""
    return GraphSettings(**{name: settings[f"hnsw_{name}"] for name in GRAPH_NAMES if f"hnsw_{name}" in settings})


def text_settings(settings: Mapping[str, Any]) -> TextSettings:
    """Return what the store says of its texts."""
    return TextSettings(**{"language": settings["language"]} if "language" in settings else {})


GRAPH_NAMES = ("m", "ef_construction", "ef")


def _absorb_passages(
    index: VectorIndex, cursor: duckdb.DuckDBPyConnection, model: int, ids: Sequence[str], seq: int
) -> None:
    """Replace all passages of live memories by what the catalog has: perhaps nothing."""
    batch = passages_of(cursor, model, ids)
    index.apply(seq, ids, batch, ())


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


def _warn(error: IndexCorrupt) -> None:
    warnings.warn(f"{error}; it is built anew", IndexWarning, stacklevel=2)


def _unseen(what: str, done: int, total: int) -> None:
    """Show no progress."""


def _present(value: T | None) -> T:
    if value is None:
        raise IndexCorrupt("the store has no embedding model")
    return value
