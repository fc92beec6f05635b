"""Indices of past moments: what a search as of then looks into, and the rows by which its hits are checked.

They are made of the tables and blobs as they were then, when a search first needs them, and are never saved. A session
keeps those of the last few moments until it lets go of the lock, unless rows of the moment were erased. Vectors are
compared one by one: no graph is built for a look back.
"""

import contextlib
import shutil
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa

from kiromi.catalog.past import Moment, check_kept, look_back
from kiromi.catalog.rows import LIVE_ROWS, Row, to_rows
from kiromi.catalog.vectors import table_name
from kiromi.catalog.view import View
from kiromi.errors import IndexCorrupt
from kiromi.index.text.index import TextIndex
from kiromi.index.vectors import VectorIndex, VectorScope, VectorView
from kiromi.operations.caller import Caller
from kiromi.operations.indexing import Indices, graph_settings, indices_of, text_settings
from kiromi.operations.scoping import PlaceCodes, Scope
from kiromi.operations.sources import CHUNK, documents, passage_keys, vector_chunks
from kiromi.session.contents import place_of
from kiromi.session.session import Session

_ATTACHED = "past"
_attaching = threading.Lock()
_KEPT = 2
"""Moments whose indices a session keeps."""


@contextlib.contextmanager
def indices_for(caller: Caller) -> "Iterator[Indices | PastIndices]":
    """Give the indices of what a caller looks at, the present or a past moment, for a block; the caller has the lease.

    Raises:
        SnapshotNotFound: ``gc`` has removed what only that moment showed.
    """
    if caller.moment is None:
        yield indices_of(caller.session)
        return
    with _attaching:
        shelf = caller.session.attached.get(_ATTACHED)
        if not isinstance(shelf, _Shelf):
            shelf = caller.session.attached[_ATTACHED] = _Shelf()
    indices = shelf.take(caller, caller.moment)
    try:
        yield indices
    finally:
        shelf.give_back(indices)


def forget_past(session: Session) -> None:
    """Remove all indices of past moments, with their working files, as soon as no search uses them."""
    with _attaching:
        shelf = session.attached.pop(_ATTACHED, None)
    if shelf is not None:
        shelf.release()


class PastIndices:
    """The rows, vectors and texts of one moment."""

    def __init__(self, session: Session, moment: Moment, table: pa.Table) -> None:
        self._session = session
        self._moment = moment
        self._table = table
        self._rows = View.of(moment.seq, table)
        self._guard = threading.RLock()
        self._vectors: VectorIndex | None = None
        self._codes = PlaceCodes()
        self._text: TextIndex | None = None
        self._scratch: Path | None = None
        self.users = 0
        """Searches that use it; the shelf counts them."""
        self.is_discarded = False

    @property
    def count(self) -> int:
        """Memories that were live, expired ones included."""
        return self._rows.count

    def live(self, memory_id: str) -> Row | None:
        """Return the row of a memory that was live, or None."""
        return self._rows.get(memory_id)

    def vectors(self) -> VectorIndex:
        """Return the index of the vectors that the contents had, of the model that was active.

        Raises:
            IndexCorrupt: there was no model.
        """
        found = self._vectors
        if found is None:
            # First the cursor, which may need the writer's lock: whoever holds that one may wait for the guard.
            with self._session.snapshot() as (_, cursor), self._guard:
                found = self._vectors
                if found is None:
                    look_back(cursor, self._moment.seq)
                    found = self._vectors = self._build_vectors(cursor)
        return found

    def vector_view(self, model: int) -> VectorView | None:
        """Return the state of :meth:`vectors`; None if another model was active."""
        return self.vectors().view if model == self._moment.model else None

    def vector_scope(self, view: VectorView, scope: Scope) -> VectorScope:
        """Return a scope in the terms of a view of the vector index."""
        if scope.marks is None:
            return VectorScope(None, scope.ids)
        with self._guard:
            self._codes.refresh((view.generation, view.place_count), view.places(), self._session.schemes)
            return VectorScope(self._codes.codes(scope.marks), scope.ids)

    def text(self) -> TextIndex:
        """Return the text index."""
        with self._guard:
            if self._text is None:
                self._text = self._build_text()
            return self._text

    def discard(self, error: IndexCorrupt) -> None:
        """Note that something turned out to be damaged; the next search makes all of it anew."""
        self.is_discarded = True

    def close(self) -> None:
        """Let go of the indices and remove their working files; nobody uses them any more."""
        with self._guard:
            for index in (self._vectors, self._text):
                if index is not None:
                    index.close()
            self._vectors = self._text = None
            if self._scratch is not None and self._session.read_only:
                shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None

    def _build_vectors(self, cursor: duckdb.DuckDBPyConnection) -> VectorIndex:
        session, moment = self._session, self._moment
        if moment.model is None:
            raise IndexCorrupt("the store had no embedding model")
        model = session.models[moment.model]
        _hide_later_vectors(cursor, moment.model, moment.seq)
        keys, rows = passage_keys(cursor, moment.model)
        return VectorIndex.build(
            None,
            {},
            model.dimension,
            model.metric,
            graph_settings(session.settings),
            keys,
            vector_chunks(cursor, moment.model, rows),
            moment.seq,
            with_graph=False,
        )

    def _build_text(self) -> TextIndex:
        session = self._session
        index = TextIndex.create(None, {}, text_settings(session.settings), self._scratch_folder())
        for start in range(0, len(self._table), CHUNK):
            rows = to_rows(self._table.slice(start, CHUNK))
            index.add(documents(session, rows, partial(place_of, session)))
        index.apply(self._moment.seq, (), ())
        with session.catalog.snapshot() as cursor:
            check_kept(cursor, self._moment.seq)  # gc may have taken contents under way
        return index

    def _scratch_folder(self) -> Path:
        if self._scratch is None:
            if self._session.read_only:
                self._scratch = Path(tempfile.mkdtemp(prefix="kiromi-"))
            else:
                self._scratch = self._session.root.index_path(self._session.tenant) / "scratch"
                self._scratch.mkdir(parents=True, exist_ok=True)
        return self._scratch


class _Shelf:
    """The moments that were searched last; one that is taken off is closed when the last search is done with it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._found: dict[int, PastIndices] = {}
        """By seq, the last one last."""

    def take(self, caller: Caller, moment: Moment) -> PastIndices:
        dropped = []
        # First the cursor, which may need the writer's lock: whoever holds that one may wait for the guard.
        with caller.reading() as (_, cursor), self._guard:
            # Of a past moment, rows go only by being erased.
            ((count,),) = cursor.execute("SELECT count(*) FROM memories").fetchall()
            found = self._found.pop(moment.seq, None)
            if found is not None and (found.is_discarded or found.count != count):
                dropped.append(found)
                found = None
            if found is None:
                found = PastIndices(caller.session, moment, cursor.sql(LIVE_ROWS).to_arrow_table())
            found.users += 1
            self._found[moment.seq] = found
            while len(self._found) > _KEPT:
                dropped.append(self._found.pop(next(iter(self._found))))
            unused = [one for one in dropped if not one.users]
        for one in unused:
            one.close()
        return found

    def give_back(self, indices: PastIndices) -> None:
        """Note that a search is done."""
        with self._guard:
            indices.users -= 1
            is_unused = not indices.users and indices not in self._found.values()
        if is_unused:
            indices.close()

    def release(self) -> None:
        """Take all off; the session is about to let go of the lock, or something was erased."""
        with self._guard:
            found, self._found = list(self._found.values()), {}
            unused = [one for one in found if not one.users]
        for one in unused:
            one.close()


def _hide_later_vectors(cursor: duckdb.DuckDBPyConnection, model: int, seq: int) -> None:
    """Let a cursor see only the vectors of a model that were there at a seq."""
    name = table_name(model)
    ((database,),) = cursor.execute("SELECT current_database()").fetchall()
    db = '"' + database.replace('"', '""') + '".main'
    cursor.execute(f"CREATE TEMP VIEW {name} AS SELECT rowid, * FROM {db}.{name} WHERE seq <= {int(seq)}").fetchall()
