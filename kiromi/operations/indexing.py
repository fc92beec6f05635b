"""The indices of a session: opened when first searched, caught up before every search, saved when the lock is let go.

Nothing that is written waits for an index. A search first takes in what was committed since the last one: from the
session's feed, or from the tables if that has gaps. No index is the truth: one that is missing is built without a word,
one that is damaged or of another store with a warning.
"""

import contextlib
import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

from kiromi.catalog.changes import Changes
from kiromi.catalog.rows import Row
from kiromi.errors import IndexCorrupt, IndexWarning
from kiromi.index.text.index import TextIndex, TextSettings
from kiromi.index.vectors import GraphSettings, VectorIndex, VectorScope, VectorView
from kiromi.operations import lineage
from kiromi.operations.absorbing import absorb_text, absorb_vectors, read_text, read_vectors, take_vectors
from kiromi.operations.scoping import PlaceCodes, Scope
from kiromi.operations.sources import CHUNK, changed_rows, count_changed, documents, passage_keys, vector_chunks
from kiromi.session.session import Session

T = TypeVar("T")
IndexT = TypeVar("IndexT", VectorIndex, TextIndex)
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
class _Opened(Generic[IndexT]):
    """One of the two indices."""

    index: IndexT | None = None
    late: list[Changes] | None = None
    """Commits that it has not taken in yet, oldest first; None if some are missing, so that it asks the tables."""

    def close(self) -> None:
        """Let go of it."""
        if self.index is not None:
            self.index.close()
        self.index = self.late = None


class Indices:
    """The vector index of the active model and the text index of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._guard = threading.RLock()
        self._vectors: _Opened[VectorIndex] = _Opened()
        self._text: _Opened[TextIndex] = _Opened()
        self._model: int | None = None
        """That the vectors are of."""
        self._built = 0
        """The last operation that the latest build of the vectors knew."""
        self._heard = 0
        """The last operation that the feed has given."""
        self._codes = PlaceCodes()
        self._scratch: Path | None = None
        self._is_kept = False
        """Whether a graph is being built over the vectors, which are not built anew meanwhile."""
        self._is_distrusted = False
        """Whether the files were found damaged while they were searched: they are not opened any more."""

    # -- for searches -----------------------------------------------------------------------------------------------

    def vectors(self) -> VectorIndex:
        """Return the index of the active model's vectors, with everything that is committed by now."""
        with self._guard:
            model = _present(self._session.active_model)
            if self._vectors.index is None or self._model != model:
                self._vectors.close()
                self._model = model
                self._vectors.index = self._open_vectors(model)
            self._catch_vectors_up()
            return _present(self._vectors.index)

    def vector_view(self, model: int) -> VectorView | None:
        """Return the state of :meth:`vectors`, which stays as it is; None if the active model is another by now."""
        with self._guard:
            found = self.vectors()
            return found.view if self._model == model else None

    def text(self) -> TextIndex:
        """Return the text index, with everything that is committed by now."""
        with self._guard:
            if self._text.index is None:
                self._text.index = self._open_text()
            self._catch_text_up()
            return self._text.index

    def live(self, memory_id: str) -> Row | None:
        """Return the row of a live memory, by which a hit is checked, or None."""
        return self._session.live(memory_id)

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
            if self._model is not None:
                folders.append(self._vector_folder(self._model))
            self._is_distrusted = True
            self._vectors.close()
            self._text.close()
            if not self._session.read_only:
                for folder in folders:
                    shutil.rmtree(folder, ignore_errors=True)
        _warn(error)

    def release(self) -> None:
        """Save the indices and close them."""
        with self._guard:
            for save in (self._save_vectors, self._save_text):
                # Whatever it is: the lock has to be let go, and the next one builds anew what is derived.
                with contextlib.suppress(Exception):
                    try:
                        save()
                    except Exception as error:  # noqa: BLE001
                        warnings.warn(f"an index was not saved: {error}", IndexWarning, stacklevel=2)
            for opened in (self._vectors, self._text):
                with contextlib.suppress(Exception):
                    opened.close()
            if self._scratch is not None and self._session.read_only:
                shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None

    # -- for reindex ------------------------------------------------------------------------------------------------

    def has_vectors(self) -> bool:
        """Tell whether there is an index of the active model's vectors, open or on disk."""
        model = self._session.active_model
        return self._vectors.index is not None or (model is not None and self._vector_folder(model).is_dir())

    def has_text(self) -> bool:
        """Tell whether there is a text index, open or on disk."""
        return self._text.index is not None or self._text_folder().is_dir()

    def rebuild_vectors(self, on_progress: OnProgress) -> None:
        """Build the vector index from the catalog beside the one in use, then put it in its place."""
        model = _present(self._session.active_model)
        fresh = self._build_vectors(model, on_progress)
        with self._guard:
            self._vectors.close()
            self._vectors.index, self._model = fresh, model
            self._catch_vectors_up()
            self._save_vectors()

    def add_graph(self, on_progress: OnProgress) -> None:
        """Build the graph of the vector index, if it is large enough for one, while it is searched and changed."""
        with self._session.lease, self._guard:
            index = self.vectors()
            if not index.lacks_graph:
                return
            self._is_kept = True
        try:
            index.add_graph(on_progress=on_progress)
        except ValueError:  # it is closed: another call has put one of its own in its place
            if self._vectors.index is index:
                raise
        finally:
            self._is_kept = False
        with self._session.lease, self._guard:
            if self._vectors.index is index:
                self._save_vectors()

    def rebuild_text(self, on_progress: OnProgress) -> None:
        """Build the text index from rows and blobs beside the one in use, then put it in its place."""
        fresh = self._build_text(on_progress)
        with self._guard:
            self._text.close()
            self._text.index = fresh
            self._catch_text_up()
            self._save_text()

    def refresh(self, ids: Sequence[str], on_progress: OnProgress) -> None:
        """Take some memories anew from the catalog and the blobs into both indices."""
        for start in range(0, len(ids), CHUNK):
            part = ids[start : start + CHUNK]
            with self._guard:
                if self._session.active_model is not None:
                    index = self.vectors()
                    take_vectors(self._session, index, _present(self._model), list(self._session.view.rows(part)))
                text = self.text()
                text.apply(text.watermark, part, documents(self._session, list(self._session.view.rows(part))))
            on_progress("memories", start + len(part), len(ids))

    # -- catching up ------------------------------------------------------------------------------------------------
    # No lock of a writer is waited for under the guard: a thread that composes a transaction may search within it.

    def _hear(self) -> None:
        """Take what the feed has; each index takes it in when it is needed, for that may be a while."""
        session = self._session
        heard = session.feed.take(self._heard)
        if heard is None:
            self._heard = session.view.seq
            session.feed.listen(self._heard)
            self._vectors.late = self._text.late = None
            return
        if heard:
            self._heard = heard[-1].head.seq
        for late in (self._vectors.late, self._text.late):
            if late is not None:
                late += heard
        # What only one of them takes in must not pile up for the other.
        for opened in (self._vectors, self._text):
            if opened.late is not None and sum(changes.touched() for changes in opened.late) > _MANY:
                opened.late = None

    def _catch_vectors_up(self) -> None:
        self._hear()
        if self._vectors.late is None:
            index, since = _present(self._vectors.index), _present(self._vectors.index).watermark
            with self._session.tables() as (seq, journaled, cursor):
                # Below the floor, what ended since may not be in the history any more.
                if since < self._session.gc_floor or count_changed(cursor, since) > max(_MANY, len(index) // 4):
                    self._vectors.index = self._build_vectors(_present(self._model), _unseen)
                    index.close()
                elif since < seq:
                    read_vectors(cursor, index, _present(self._model), seq)
            self._vectors.late = list(journaled)
        index = _present(self._vectors.index)
        late = [changes for changes in self._vectors.late if changes.head.seq > index.watermark]
        self._vectors.late = None  # if it fails, the tables are asked
        if late:
            absorb_vectors(self._session, index, _present(self._model), late)
        self._vectors.late = []
        is_slow = index.needs_rebuild and not index.has_graph
        if is_slow and not self._is_kept and self._tables_know_more():
            self._vectors.index = self._build_vectors(_present(self._model), _unseen)
            index.close()
            self._vectors.late = None
            self._catch_vectors_up()

    def _catch_text_up(self) -> None:
        self._hear()
        index = _present(self._text.index)
        if self._text.late is None:
            if index.watermark < self._session.gc_floor:
                self._text.index = self._build_text(_unseen)
                index.close()
                index = _present(self._text.index)
            with self._session.tables() as (seq, journaled, cursor):
                if index.watermark < seq:
                    read_text(self._session, cursor, index, seq)
            self._text.late = list(journaled)
        late = [changes for changes in self._text.late if changes.head.seq > index.watermark]
        self._text.late = None  # if it fails, the tables are asked
        if late:
            absorb_text(self._session, index, late)
        self._text.late = []

    def _tables_know_more(self) -> bool:
        """Tell whether another build would bring more in than the last one did: not what is still in the journal."""
        with self._session.tables() as (seq, _, _):
            return seq > self._built

    # -- saving -----------------------------------------------------------------------------------------------------

    def _save_vectors(self) -> None:
        index, model = self._vectors.index, self._model
        if index is not None and model is not None and not self._session.read_only:
            lineage.note(self._session, self._folder(), f"vectors-{model}", index.watermark)
            index.save()

    def _save_text(self) -> None:
        index = self._text.index
        if index is not None and not self._session.read_only:
            lineage.note(self._session, self._folder(), "text", index.watermark)
            index.save()

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
        if found is not None and self._is_usable(f"vectors-{model}", found.watermark):
            return found
        return self._build_vectors(model, _unseen)

    def _build_vectors(self, model: int, on_progress: OnProgress) -> VectorIndex:
        session = self._session
        with session.tables() as (seq, _, cursor):
            keys, rows = passage_keys(cursor, model)
            built = VectorIndex.build(
                None if session.read_only else self._vector_folder(model),
                self._vector_identity(model),
                *self._vector_shape(model),
                self._graph_settings(),
                keys,
                vector_chunks(cursor, model, rows),
                seq,
                with_graph=False,
                on_progress=on_progress,
            )
        self._built = seq
        return built

    def _open_text(self) -> TextIndex:
        folder = None if self._is_distrusted else self._text_folder()
        try:
            found = TextIndex.open(folder, self._text_identity(), self._text_settings(), self._scratch_folder())
        except IndexCorrupt as error:
            _warn(error)
            found = None
        if found is not None and self._is_usable("text", found.watermark):
            return found
        if found is not None:
            found.close()
        return self._build_text(_unseen)

    def _build_text(self, on_progress: OnProgress) -> TextIndex:
        session = self._session
        folder = None if session.read_only else self._text_folder()
        index = TextIndex.create(folder, self._text_identity(), self._text_settings(), self._scratch_folder())
        try:
            with session.tables() as (start, _, cursor):
                done = 0
                for rows in changed_rows(cursor, -1):
                    index.add(documents(session, rows))
                    done += len(rows)
                    on_progress("text", done, session.view.count)
            index.apply(start, (), ())  # what came meanwhile is taken in later, by its seq
        except BaseException:
            index.close()
            raise
        return index

    def _is_usable(self, name: str, watermark: int) -> bool:
        """Tell whether what an index lacks can be read from the tables, and what it has is of this history."""
        if watermark < max(self._session.gc_floor, self._session.erased_seq):
            return False
        is_shown = watermark <= self._session.view.seq
        if is_shown and lineage.is_shown(self._session, self._folder(), name, watermark):
            return True
        _warn(IndexCorrupt(f"the index {name} is not of this catalog's history, up to operation {watermark}"))
        return False

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
        return self._folder() / f"vectors-{model}"

    def _text_folder(self) -> Path:
        return self._folder() / "text"

    def _folder(self) -> Path:
        return self._session.root.index_path(self._session.tenant)

    def _scratch_folder(self) -> Path:
        if self._scratch is None:
            if self._session.read_only:
                self._scratch = Path(tempfile.mkdtemp(prefix="kiromi-"))
            else:
                self._scratch = self._session.root.index_path(self._session.tenant) / "scratch"
                self._scratch.mkdir(parents=True, exist_ok=True)
        return self._scratch


def graph_settings(settings: Mapping[str, Any]) -> GraphSettings:
    """Return what the store says of HNSW graphs."""
    return GraphSettings(**{name: settings[f"hnsw_{name}"] for name in GRAPH_NAMES if f"hnsw_{name}" in settings})


def text_settings(settings: Mapping[str, Any]) -> TextSettings:
    """Return what the store says of its texts."""
    return TextSettings(**{"language": settings["language"]} if "language" in settings else {})


GRAPH_NAMES = ("m", "ef_construction", "ef")


def _warn(error: IndexCorrupt) -> None:
    warnings.warn(f"{error}; it is built anew", IndexWarning, stacklevel=2)


def _unseen(what: str, done: int, total: int) -> None:
    """Show no progress."""


def _present(value: T | None) -> T:
    if value is None:
        raise IndexCorrupt("the store has no embedding model")
    return value
