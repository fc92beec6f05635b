"""The files of the vector index: what is in the folder, how a state is written and read back.

::

    manifest.json                        which of these files are the index, and their checksums
    slab-*/matrix.f32, keys.bin          the slab, never changed; the folder's name is the generation
    slab-*/graph-*.hnsw, copies-*.bin    the graph, if there is one
    tail-*.bin                           passages that came later: every save adds those since the last
    overlay-*.bin                        which rows are dead or moved, and the places that the slab does not know
"""

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kiromi.embed.base import Metric
from kiromi.errors import IndexCorrupt
from kiromi.index.files import FileSum, Manifest, load_manifest, new_name, store_manifest
from kiromi.index.items import Place
from kiromi.index.vectors.arrays import Arrays, read_arrays, write_arrays
from kiromi.index.vectors.building import map_slab, storage_errors
from kiromi.index.vectors.graph import Graph, GraphFiles, LoadedGraph
from kiromi.index.vectors.inputs import GraphSettings
from kiromi.index.vectors.overlay import Codes, Overlay
from kiromi.index.vectors.slab import Slab
from kiromi.index.vectors.tail import TailView
from kiromi.index.vectors.view import VectorView

_LAYOUT = f"1-{sys.byteorder}"
_MOST_TAILS = 16
_TAIL_COLUMNS = ("ids", "numbers", "begins", "ends", "vectors", "squares")


@dataclass(frozen=True, slots=True)
class Stored:
    """A state as it was read from files."""

    generation: str
    watermark: int
    slab: Slab
    graph: Graph | None
    overlay: Overlay
    tail_codes: Codes
    places: list[Place]
    """Those that the slab does not know."""
    tails: Sequence[Arrays]


@dataclass(frozen=True, slots=True)
class WrittenGraph:
    """A graph in files."""

    facts: Mapping[str, Any] | None
    """For the manifest: the names of the two files, and the settings; None if there is no graph."""
    sums: Mapping[str, FileSum]


class Folder:
    """The folder of an index; for one thread at a time, except that a graph may be written meanwhile."""

    def __init__(
        self,
        path: Path,
        identity: Mapping[str, str],
        dimension: int,
        metric: Metric,
        slab_sums: Mapping[str, FileSum] | None = None,
    ) -> None:
        """Name a folder; ``slab_sums`` are the files of a slab that was just built there."""
        self._path = path
        self._nature: dict[str, Any] = {
            "layout": _LAYOUT,
            "identity": dict(identity),
            "dimension": dimension,
            "metric": metric,
        }
        self._slab_sums = dict(slab_sums or {})
        self._graph = WrittenGraph(None, {})
        self._stale: list[str] = []
        self._tail_sums: dict[str, FileSum] = {}
        self._saved: VectorView | None = None

    def load(self, settings: GraphSettings) -> Stored | None:
        """Read the saved state; None if there is none.

        Raises:
            IndexCorrupt: it is damaged, or of another nature.
        """
        manifest = load_manifest(self._path)
        if manifest is None:
            return None
        facts = manifest.facts
        for name, wanted in self._nature.items():
            if facts.get(name) != wanted:
                raise IndexCorrupt(f"the vector index has another {name}: {facts.get(name)!r}, not {wanted!r}")
        generation = facts["generation"]
        slab = map_slab(self._path, generation, self._nature["dimension"], manifest.files)
        tails = [read_arrays(self._path, name, manifest) for name in facts["tails"]]
        changes = read_arrays(self._path, facts["overlay"], manifest)
        places = [(scheme, path) for scheme, path in json.loads(changes["places"].tobytes())]
        self._remember(manifest)
        return Stored(
            generation,
            facts["watermark"],
            slab,
            self._graph_in(manifest, settings),
            Overlay(changes["dead"], changes["moved"], changes["codes"]),
            changes["tail_codes"],
            places,
            tails,
        )

    def note_saved(self, view: VectorView) -> None:
        """Take note that a view is what the files hold."""
        self._saved = view

    def write_graph(self, graph: LoadedGraph, settings: GraphSettings, generation: str) -> WrittenGraph:
        """Write a graph that was just built, while others may use the folder.

        Raises:
            StorageError: it cannot be written.
        """
        name, copies = f"{generation}/{new_name('graph', 'hnsw')}", f"{generation}/{new_name('copies', 'bin')}"
        with storage_errors():
            sums = graph.write(self._path, name, copies)
        facts = {"graph": name, "copies": copies, "m": settings.m, "ef_construction": settings.ef_construction}
        return WrittenGraph(facts, sums)

    def note_graph(self, graph: WrittenGraph) -> None:
        """Let the next save make a graph part of the index, in place of a former one."""
        self._stale.extend(self._graph.sums)
        self._graph = graph

    def save(self, view: VectorView) -> bool:
        """Make a view the saved state; False, and nothing done, if that is another's by now.

        Raises:
            OSError: the files cannot be written; the former state holds.
        """
        if self._saved is not None and self._generation_saved() != view.generation:
            return False
        if view is self._saved:
            return True
        tail_sums = self._write_tail(view.tail)
        overlay = new_name("overlay", "bin")
        overlay_sum = write_arrays(self._path / overlay, _overlay_arrays(view))
        facts = {
            **self._nature,
            "generation": view.generation,
            "watermark": view.watermark,
            "graph": self._graph.facts,
            "tails": list(tail_sums),
            "overlay": overlay,
        }
        files = {**self._slab_sums, **self._graph.sums, **tail_sums, overlay: overlay_sum}
        store_manifest(self._path, facts, files)
        if self._saved is None:
            self._remove_slabs(view.generation)
        while self._stale:
            (self._path / self._stale.pop()).unlink(missing_ok=True)
        self._tail_sums, self._saved = tail_sums, view
        return True

    def _remember(self, manifest: Manifest) -> None:
        facts, sums = manifest.facts, manifest.files
        self._tail_sums = {name: sums[name] for name in facts["tails"]}
        graph = () if facts["graph"] is None else (facts["graph"]["graph"], facts["graph"]["copies"])
        self._graph = WrittenGraph(facts["graph"], {name: sums[name] for name in graph})
        others = {facts["overlay"], *facts["tails"], *graph}
        self._slab_sums = {name: file_sum for name, file_sum in sums.items() if name not in others}

    def _graph_in(self, manifest: Manifest, settings: GraphSettings) -> Graph | None:
        facts = manifest.facts["graph"]
        if facts is None:
            return None
        for name in (facts["graph"], facts["copies"]):
            if _size(self._path / name) != manifest.files[name].size:
                raise IndexCorrupt(f"the index file {name} is missing or was cut", file=name)
        built = replace(settings, m=facts["m"], ef_construction=facts["ef_construction"])
        metric, dimension = self._nature["metric"], self._nature["dimension"]
        return Graph(built, GraphFiles(self._path, facts["graph"], facts["copies"], manifest, metric, dimension))

    def _generation_saved(self) -> str | None:
        try:
            manifest = load_manifest(self._path)
        except IndexCorrupt:
            return None
        return None if manifest is None else str(manifest.facts.get("generation"))

    def _write_tail(self, tail: TailView) -> dict[str, FileSum]:
        """Write the rows that came since the last save; all in one file when there are many files."""
        known, begin = dict(self._tail_sums), 0 if self._saved is None else len(self._saved.tail)
        if len(known) >= _MOST_TAILS:
            known, begin = {}, 0
        if begin < len(tail):
            name = new_name("tail", "bin")
            arrays = {column: getattr(tail, column)[begin:] for column in _TAIL_COLUMNS}
            known[name] = write_arrays(self._path / name, {**arrays, "longest": np.array([tail.longest])})
        return known

    def _remove_slabs(self, kept: str) -> None:
        """Remove the slabs of former builds, and of those that were killed."""
        for entry in self._path.glob("slab-*"):
            if entry.name != kept:
                shutil.rmtree(entry, ignore_errors=True)


def new_generation() -> str:
    """Return the name of a build that was never used."""
    return new_name("slab", "d")


def _overlay_arrays(view: VectorView) -> Arrays:
    places = json.dumps(view.places(len(view.slab.places)), ensure_ascii=False).encode()
    return {
        "dead": view.overlay.dead,
        "moved": view.overlay.moved,
        "codes": view.overlay.codes,
        "tail_codes": view.tail.codes,
        "places": np.frombuffer(places, np.uint8),
    }


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
