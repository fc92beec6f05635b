"""The HNSW graph over a slab, built by hnswlib and never changed afterwards.

hnswlib may crash when a search meets an insert, and on a damaged file. Neither can happen here: there is no insert
after the building, ``ef`` is set once, and the file is compared with its checksums before it is loaded, at the first
search that needs it. Equal vectors are put in once, with a list of their copies: more copies than a row has edges
would link only to each other and cut the graph apart (measured: with half of the rows copies of 20, recall@10 fell
from 1.0 to 0.56).
"""

import errno
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kiromi.embed.base import Metric
from kiromi.errors import IndexCorrupt
from kiromi.index.files import FileSum, Manifest, check_file, sum_file
from kiromi.index.items import Matrix
from kiromi.index.vectors.arrays import read_arrays, write_arrays
from kiromi.index.vectors.inputs import GraphSettings
from kiromi.index.vectors.measures import Query, Scores
from kiromi.index.vectors.slab import Rows, expand

_ROWS_AT_ONCE = 1000
_SEED = 100


@dataclass(frozen=True, slots=True)
class Copies:
    """Rows with the same vector as an earlier one."""

    originals: Rows
    """Ascending, once for each copy."""
    rows: Rows

    def expand(self, originals: Rows) -> tuple[Rows, Rows]:
        """Return the rows with these vectors, and for each where its original stands in ``originals``."""
        if len(self.rows) == 0:
            return originals, np.arange(len(originals))
        first = np.searchsorted(self.originals, originals, "left")
        counts = np.searchsorted(self.originals, originals, "right") - first
        copies = self.rows[expand(first, counts)]
        places = np.arange(len(originals))
        return np.concatenate((originals, copies)), np.concatenate((places, np.repeat(places, counts)))


@dataclass(frozen=True, slots=True)
class GraphHits:
    """Rows that a graph found."""

    rows: Rows
    scores: Scores
    """Bulk scores."""
    originals: Rows
    """For each row, the one that stands for it in the graph."""
    take: Callable[[Rows], Matrix]
    """Returns the vectors of originals, from the graph's own copy: it was checked when it was loaded."""


@dataclass(frozen=True, slots=True)
class LoadedGraph:
    """A graph in memory."""

    index: Any
    """An ``hnswlib.Index``; its labels are rows."""
    dimension: int
    copies: Copies

    def search(self, query: Query, count: int) -> GraphHits | None:
        """Return ``count`` different vectors near the query, with all rows that have them; None if it reaches fewer."""
        try:
            labels, distances = self.index.knn_query(query.vector, k=count, num_threads=1)
        except RuntimeError:
            return None
        rows, places = self.copies.expand(labels[0].astype(np.int64))
        return GraphHits(rows, query.from_distances(distances[0])[places], rows[places], self._take)

    def write(self, folder: Path, graph: str, copies: str) -> dict[str, FileSum]:
        """Write it to two new files, named relative to the folder.

        Raises:
            OSError: they cannot be written.
        """
        self.index.save_index(str(folder / graph))
        written = sum_file(folder / graph)
        if written.size != self.index.index_file_size():  # hnswlib does not look whether its writes succeed
            raise OSError(errno.ENOSPC, "the graph was not written as a whole", str(folder / graph))
        arrays = {"originals": self.copies.originals, "rows": self.copies.rows}
        return {graph: written, copies: write_arrays(folder / copies, arrays)}

    def _take(self, originals: Rows) -> Matrix:
        return np.asarray(self.index.get_items(originals), np.float32).reshape(-1, self.dimension)


@dataclass(frozen=True, slots=True)
class GraphFiles:
    """A graph in files, there when it was last looked at."""

    folder: Path
    graph: str
    copies: str
    manifest: Manifest
    """In which both are named."""
    metric: Metric
    dimension: int

    def load(self, ef: int) -> LoadedGraph:
        """Load it, for searches that look at ``ef`` rows.

        Raises:
            IndexCorrupt: it is not there, or not what was written.
        """
        copies = read_arrays(self.folder, self.copies, self.manifest)
        check_file(self.folder, self.graph, self.manifest)
        index = _new_index(self.metric, self.dimension)
        index.load_index(str(self.folder / self.graph))
        index.set_ef(ef)
        return LoadedGraph(index, self.dimension, Copies(copies["originals"], copies["rows"]))


class Graph:
    """A graph that is loaded when it is first needed."""

    def __init__(self, settings: GraphSettings, source: GraphFiles | LoadedGraph) -> None:
        self.settings = settings
        """Those that it was built with; ``ef`` is that of searches."""
        self._source: GraphFiles | LoadedGraph | None = source
        self._lock = threading.Lock()

    @property
    def is_lost(self) -> bool:
        """Whether its files were gone when they were needed, as when another build took their place."""
        return self._source is None

    def search(self, query: Query, count: int) -> GraphHits | None:
        """Return about ``count`` rows near the query and their copies; None if it reaches fewer, or is lost.

        Raises:
            IndexCorrupt: a file is not what was written.
        """
        loaded = self._load()
        return None if loaded is None else loaded.search(query, count)

    def _load(self) -> LoadedGraph | None:
        if isinstance(self._source, GraphFiles):
            with self._lock:
                if isinstance(self._source, GraphFiles):
                    self._source = self._load_from(self._source)
        return self._source

    def _load_from(self, files: GraphFiles) -> LoadedGraph | None:
        try:
            return files.load(self.settings.ef)
        except IndexCorrupt as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise


def build_graph(
    matrix: Matrix, metric: Metric, settings: GraphSettings, step: Callable[[int, int], None]
) -> LoadedGraph:
    """Build a graph over the rows of a matrix, on all processors, reading the matrix once through and once for copies.

    The order of insertion is that of the rows: a random one found no more on clustered data and took up to twice as
    long, for its memory accesses.

    Args:
        matrix: as an index keeps it.
        metric: how its rows are compared.
        settings: how the graph is built.
        step: called with (rows done, rows) every now and then; what it raises ends the building.
    """
    count, dimension = matrix.shape
    copies = find_copies(matrix)
    is_copy = np.zeros(count, np.bool_)
    is_copy[copies.rows] = True
    index = _new_index(metric, dimension)
    index.init_index(
        max_elements=max(1, count - len(copies.rows)),
        M=settings.m,
        ef_construction=settings.ef_construction,
        random_seed=_SEED,
    )
    for start in range(0, count, _ROWS_AT_ONCE):
        rows = start + np.flatnonzero(~is_copy[start : start + _ROWS_AT_ONCE])
        if len(rows):
            index.add_items(matrix[rows], rows, num_threads=os.cpu_count() or 1)
        step(min(start + _ROWS_AT_ONCE, count), count)
    index.set_ef(settings.ef)
    return LoadedGraph(index, dimension, copies)


def find_copies(matrix: Matrix) -> Copies:
    """Return which rows equal an earlier one, bit by bit: found by a 64-bit hash, then compared."""
    hashes = _hashes(matrix)
    order = np.argsort(hashes, kind="stable")
    begins = np.concatenate(([True], hashes[order][1:] != hashes[order][:-1]))[: len(order)]
    originals = order[np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))] if len(order) else order
    originals, rows = originals[~begins], order[~begins]
    same = np.ones(len(rows), np.bool_)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        same[part] = (matrix[rows[part]] == matrix[originals[part]]).all(axis=1)
    originals, rows = originals[same], rows[same]
    ascending = np.argsort(originals, kind="stable")
    return Copies(originals[ascending], rows[ascending])


def _hashes(matrix: Matrix) -> npt.NDArray[np.uint64]:
    """Return a hash of each row: the dot product of its bits with fixed random numbers, modulo 2^64."""
    weights = np.random.default_rng(_SEED).integers(0, 1 << 64, matrix.shape[1], np.uint64)
    hashes = np.empty(len(matrix), np.uint64)
    for start in range(0, len(matrix), _ROWS_AT_ONCE):
        bits = matrix[start : start + _ROWS_AT_ONCE].view(np.uint32)
        hashes[start : start + len(bits)] = (bits * weights).sum(axis=1)
    return hashes


def _new_index(metric: Metric, dimension: int) -> Any:
    import hnswlib

    return hnswlib.Index(space="l2" if metric == "l2" else "ip", dim=dimension)
