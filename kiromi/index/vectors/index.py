"""The vector index of a store: open, build, apply changes, save. Searching is the part of its view.

It promises that what it answers from was checked against checksums first, and that a reader sees one state: every
change publishes a new immutable :class:`VectorView`. Changes, saves and the adding of a graph exclude each other, and
none of them waits for a search or is waited for.

A build or a graph becomes part of the index on disk when it is saved, by replacing the manifest; a process killed
before leaves the former state. Leaves to its user: when to save and to rebuild, and that one process at a time writes.
"""

import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy.typing as npt

from kiromi.embed.base import Metric
from kiromi.index.items import Matrix, PassageBatch, PassageHit, Place
from kiromi.index.vectors.building import Chunks, OnProgress, Steps, build_slab, storage_errors
from kiromi.index.vectors.changing import Writer
from kiromi.index.vectors.files import Folder, new_generation
from kiromi.index.vectors.graph import Graph, build_graph
from kiromi.index.vectors.inputs import EVERYTHING, GraphSettings, PassageKeys, VectorScope
from kiromi.index.vectors.view import VectorView

_TAIL_ROWS = 8_192
_TAIL_SHARE = 8
_CHANGED_SHARE = 4
"""A rebuild is due when the tail is larger than 8,192 rows and an eighth of the slab (it is scanned whole: 3 ms for an
eighth of a million), or when more than a quarter of the slab is dead or moved, and as many rows."""


class VectorIndex:
    """Passages of memories, found by the nearness of their vectors. Safe to use from many threads."""

    def __init__(self, files: Folder | None, settings: GraphSettings, writer: Writer, view: VectorView) -> None:
        """Use ``open`` or ``build``."""
        self._files = files
        self._settings = settings
        self._writer = writer
        self._view: VectorView | None = view
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls,
        folder: Path | None,
        identity: Mapping[str, str],
        dimension: int,
        metric: Metric,
        settings: GraphSettings,
    ) -> "VectorIndex | None":
        """Open what was saved in a folder; None if nothing was, or if there is no folder.

        Args:
            folder: the index's own.
            identity: what it was built from, such as store and model; it has to be the same.
            dimension: length of the vectors.
            metric: how they are compared.
            settings: ``ef`` and ``threshold`` apply at once, the others when a graph is built.

        Raises:
            IndexCorrupt: it is damaged, of another identity, or of another format. Build it anew.
        """
        if folder is None:
            return None
        files = Folder(folder, identity, dimension, metric)
        stored = files.load(settings)
        if stored is None:
            return None
        writer = Writer(dimension, metric, stored.slab)
        view = writer.first_view(stored.watermark, stored.generation, stored.graph)
        view = writer.restore(view, stored.overlay, stored.places, stored.tails)
        view = replace(view, tail=replace(view.tail, codes=stored.tail_codes))
        files.note_saved(view)
        return cls(files, settings, writer, view)

    @classmethod
    def build(
        cls,
        folder: Path | None,
        identity: Mapping[str, str],
        dimension: int,
        metric: Metric,
        settings: GraphSettings,
        keys: PassageKeys,
        vectors: Chunks,
        watermark: int,
        *,
        with_graph: bool,
        on_progress: OnProgress | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> "VectorIndex":
        """Build an index in bounded memory; what the folder holds stays as it is until the new one is saved.

        Args:
            folder: where it is to lie; None keeps it in memory.
            identity: what it is built from; ``open`` compares it.
            dimension: length of the vectors.
            metric: how they are compared.
            settings: of the graph.
            keys: all passages.
            vectors: their vectors, in chunks of any order.
            watermark: the last seq that they show.
            with_graph: whether to build the graph too, if there are enough rows for one.
            on_progress: told of every step: ("vectors" or "graph", rows done, rows).
            should_stop: asked at every step.

        Raises:
            BuildStopped: ``should_stop`` said so.
            InvalidInput: a key or a vector is not acceptable.
            IndexCorrupt: keys and vectors do not belong together.
            StorageError: the files cannot be written.
        """
        generation = new_generation()
        steps = Steps(on_progress, should_stop)
        if folder is not None:
            with storage_errors():
                (folder / generation).mkdir(parents=True)
        try:
            built = build_slab(folder, generation, dimension, metric, keys, vectors, steps)
            files = None if folder is None else Folder(folder, identity, dimension, metric, built.sums)
            writer = Writer(dimension, metric, built.slab)
            index = cls(files, settings, writer, writer.first_view(watermark, generation, None))
            if with_graph and index.lacks_graph:
                index.add_graph(on_progress=on_progress, should_stop=should_stop)
        except BaseException:
            if folder is not None:
                shutil.rmtree(folder / generation, ignore_errors=True)
            raise
        return index

    @property
    def view(self) -> VectorView:
        """The index as of now; it stays as it is while the index goes on.

        Raises:
            ValueError: the index is closed.
        """
        if self._view is None:
            raise ValueError("the vector index is closed")
        return self._view

    @property
    def watermark(self) -> int:
        """The last seq absorbed."""
        return self.view.watermark

    @property
    def generation(self) -> str:
        """Names the build."""
        return self.view.generation

    @property
    def tail_limit(self) -> int:
        """How many passages may come after a build before another is due."""
        return max(_TAIL_ROWS, len(self.view.slab) // _TAIL_SHARE)

    @property
    def needs_rebuild(self) -> bool:
        """Whether so much came or went since the build that searches suffer."""
        view = self.view
        changed = len(view.overlay.dead) + len(view.overlay.moved)
        return len(view.tail) > self.tail_limit or changed > max(_TAIL_ROWS, len(view.slab) // _CHANGED_SHARE)

    @property
    def lacks_graph(self) -> bool:
        """Whether there are enough rows for a graph, and there is none, or one of other settings."""
        view, settings = self.view, self._settings
        if len(view.slab) < settings.threshold:
            return False
        if view.graph is None or view.graph.is_lost:
            return True
        built = view.graph.settings
        return (built.m, built.ef_construction) != (settings.m, settings.ef_construction)

    @property
    def has_graph(self) -> bool:
        """Whether searches may use a graph."""
        graph = self.view.graph
        return graph is not None and not graph.is_lost

    def __len__(self) -> int:
        """How many passages there are."""
        return len(self.view)

    def search(self, query: npt.ArrayLike, k: int, scope: VectorScope = EVERYTHING) -> list[PassageHit]:
        """Search the index as of now: see :meth:`VectorView.search`."""
        return self.view.search(query, k, scope)

    def vectors_of(self, memory_id: str) -> Matrix:
        """Return the vectors of a memory's passages: see :meth:`VectorView.vectors_of`."""
        return self.view.vectors_of(memory_id)

    def places(self, start: int = 0) -> list[Place]:
        """Return the places with the codes ``start``, ``start + 1``, …: see :meth:`VectorView.places`."""
        return self.view.places(start)

    def size(self, scope: VectorScope = EVERYTHING) -> int:
        """Return how many passages are in scope."""
        return self.view.size(scope)

    def apply(
        self, seq: int, gone: Iterable[str], fresh: PassageBatch, moved: Iterable[tuple[str, Place]] = ()
    ) -> None:
        """Absorb a change; the next search sees it. To absorb one again does no harm.

        Args:
            seq: up to which the index is complete afterwards; the watermark never falls. A change that takes several
                calls gives the former watermark to all but the last.
            gone: memories that are here no more.
            fresh: all passages of memories that are new or have other content; they replace what was here of them.
            moved: memories that lie elsewhere now and keep their vectors.

        Raises:
            InvalidInput: a vector has another shape, is not finite or too long; nothing was changed.
        """
        with self._lock:
            self._view = self._writer.apply(self.view, seq, gone, fresh, moved)

    def add_graph(
        self, *, on_progress: OnProgress | None = None, should_stop: Callable[[], bool] | None = None
    ) -> None:
        """Build a graph over the slab as it is, while searches and changes go on; then searches may use it.

        Raises:
            BuildStopped: ``should_stop`` said so.
            IndexCorrupt: the matrix is not what was written.
            StorageError: the files cannot be written.
        """
        view, settings, steps = self.view, self._settings, Steps(on_progress, should_stop)
        view.slab.guard()
        view.slab.check_ranges(view.slab.whole())
        graph = build_graph(
            view.slab.matrix, view.metric, settings, lambda done, count: steps.take("graph", done, count)
        )
        written = None if self._files is None else self._files.write_graph(graph, settings, view.generation)
        with self._lock:
            if self._files is not None and written is not None:
                self._files.note_graph(written)
            self._view = replace(self.view, graph=Graph(settings, graph))

    def save(self) -> bool:
        """Make the index as of now what ``open`` finds, and drop the files of the former state.

        The slab is not written again; the tail since the last save and the overlay are. Nothing is synced to disk: what
        a power loss tears is noticed.

        Returns:
            False if the folder holds the index of another build than the one that was opened or saved here, or none,
            and was left alone. True also for an index in memory.

        Raises:
            StorageError: the files cannot be written; the former state holds.
        """
        with self._lock, storage_errors():
            return self._files is None or self._files.save(self.view)

    def close(self) -> None:
        """Let go of the files, without saving. Views that were taken stay usable."""
        with self._lock:
            self._view = None
