"""Building a slab: the keys are sorted in memory, the vectors go straight to their rows in a mapped file, in any order.

So the private memory it needs is that of the keys and of one chunk of vectors. Nothing is published: the files lie in
a folder of their own, that of the generation, until the index is saved.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from kiromi.embed.base import Metric
from kiromi.errors import IndexCorrupt, InvalidInput, StorageError
from kiromi.index.files import FileSum, sum_file
from kiromi.index.items import Matrix
from kiromi.index.vectors.arrays import Arrays, MappedFile, parse_arrays, write_arrays
from kiromi.index.vectors.inputs import PassageKeys
from kiromi.index.vectors.measures import prepare
from kiromi.index.vectors.slab import Rows, Slab

Chunks: TypeAlias = Iterable[tuple[npt.NDArray[np.integer], Matrix]]
"""Row numbers into the keys, and the vectors that belong to them; each row once, in any order."""
OnProgress: TypeAlias = Callable[[str, int, int], None]
"""Called with ("vectors" or "graph", rows done, rows)."""

MATRIX = "matrix.f32"
KEYS = "keys.bin"


class BuildStopped(Exception):
    """``should_stop`` said so; the index is as it was before."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Reports the progress of a build and ends it when asked to."""

    on_progress: OnProgress | None
    should_stop: Callable[[], bool] | None

    def take(self, name: str, done: int, total: int) -> None:
        """Report a step.

        Raises:
            BuildStopped: the build is to end.
        """
        if self.should_stop is not None and self.should_stop():
            raise BuildStopped(f"stopped after {done:,} of {total:,} {name}")
        if self.on_progress is not None:
            self.on_progress(name, done, total)


@dataclass(frozen=True, slots=True)
class BuiltSlab:
    """A slab and the files that it lies in."""

    slab: Slab
    sums: dict[str, FileSum] = field(default_factory=dict)
    """By name relative to the folder of the index; empty in memory."""


def build_slab(
    folder: Path | None,
    generation: str,
    dimension: int,
    metric: Metric,
    keys: PassageKeys,
    vectors: Chunks,
    steps: Steps,
) -> BuiltSlab:
    """Build a slab in ``folder/generation``, which is there already, or in memory.

    Raises:
        InvalidInput: a vector has another shape, is not finite or too long.
        IndexCorrupt: keys and vectors do not belong together.
        StorageError: the files cannot be written.
    """
    order = _order(keys)
    arrays = _sorted_arrays(keys, order)
    count = len(order)
    if folder is None or count == 0:
        matrix = np.empty((count, dimension), np.float32)
        more = _fill(matrix, metric, order, vectors, steps)
    else:
        with storage_errors():
            matrix = _mapped(folder / generation / MATRIX, count, dimension)
        more = _fill(matrix, metric, order, vectors, steps)
    arrays = {**arrays, **more}
    if folder is None:
        return BuiltSlab(Slab.of(arrays, matrix, ()))
    with storage_errors():
        sums = {f"{generation}/{KEYS}": write_arrays(folder / generation / KEYS, arrays)}
        if count:
            sums[f"{generation}/{MATRIX}"] = sum_file(folder / generation / MATRIX)
    return BuiltSlab(map_slab(folder, generation, dimension, sums, checked=True), sums)


def map_slab(
    folder: Path, generation: str, dimension: int, sums: Mapping[str, FileSum], *, checked: bool = False
) -> Slab:
    """Map the files of a slab; the keys are checked at once, the matrix when it is used.

    Raises:
        IndexCorrupt: a file is missing or not what was written.
    """
    keys_name, matrix_name = f"{generation}/{KEYS}", f"{generation}/{MATRIX}"
    keys = MappedFile(folder, keys_name, sums.get(keys_name), checked=checked)
    keys.check()
    arrays = parse_arrays(keys.data)
    count = len(arrays["owners"])
    if count == 0:
        return Slab.of(arrays, np.empty((0, dimension), np.float32), ())
    matrix = MappedFile(folder, matrix_name, sums.get(matrix_name), checked=checked)
    rows = np.frombuffer(matrix.data, np.float32).reshape(count, dimension)
    return Slab.of(arrays, rows, (matrix, keys))


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn errors of the filesystem into ours."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot write the vector index: {error}", errno=error.errno, path=error.filename) from error


def _order(keys: PassageKeys) -> Rows:
    """Return which key comes to each row: by place, memory, number and begin."""
    count = len(keys.ids)
    columns = (keys.numbers, keys.begins, keys.ends, keys.codes)
    if any(len(column) != count for column in columns):
        raise InvalidInput(f"the keys are not accepted: columns of {count:,} and of other lengths")
    if count and not 0 <= keys.codes.min() <= keys.codes.max() < len(keys.places):
        raise InvalidInput(f"the keys are not accepted: a code is not one of the {len(keys.places):,} places")
    ranks = np.empty(len(keys.places), np.int64)
    ranks[sorted(range(len(keys.places)), key=keys.places.__getitem__)] = np.arange(len(keys.places))
    return np.lexsort((keys.begins, keys.numbers, keys.ids, ranks[keys.codes]))


def _sorted_arrays(keys: PassageKeys, order: Rows) -> dict[str, npt.NDArray[np.generic]]:
    codes, ids = keys.codes[order], keys.ids[order]
    fresh_place = np.concatenate(([True], codes[1:] != codes[:-1]))[: len(order)]
    runs = np.flatnonzero(np.concatenate(([True], (ids[1:] != ids[:-1]) | fresh_place[1:]))[: len(order)])
    # The place of a memory's run decides where it lies, its id where it is found.
    by_id = np.argsort(ids[runs], kind="stable")
    memories = ids[runs][by_id]
    if (memories[1:] == memories[:-1]).any():
        twice = memories[1:][memories[1:] == memories[:-1]][0].decode()
        raise InvalidInput(f"the keys are not accepted: passages of memory {twice} are in two places", id=twice)
    counts = np.diff(np.append(runs, len(order)))
    owners = np.empty(len(runs), np.int32)
    owners[by_id] = np.arange(len(runs))
    starts = np.flatnonzero(fresh_place)
    places = [tuple(keys.places[code]) for code in codes[starts].tolist()]
    return {
        "begins": keys.begins[order].astype(np.int64, copy=False),
        "ends": keys.ends[order].astype(np.int64, copy=False),
        "firsts": runs[by_id],
        "offsets": np.append(starts, len(order)),
        "counts": counts[by_id].astype(np.int32),
        "owners": np.repeat(owners, counts),
        "numbers": keys.numbers[order].astype(np.int32, copy=False),
        "ids": memories,
        "places": np.frombuffer(json.dumps(places, ensure_ascii=False).encode(), np.uint8),
    }


def _fill(matrix: Matrix, metric: Metric, order: Rows, vectors: Chunks, steps: Steps) -> Arrays:
    """Put the vectors into their rows and return what depends on them: squares and the greatest length."""
    count, dimension = matrix.shape
    row_of = np.empty(count, np.int64)
    row_of[order] = np.arange(count)
    filled = np.zeros(count, np.bool_)
    squares = np.empty(count if metric == "l2" else 0, np.float32)
    longest = 0.0
    done = 0
    for positions, chunk in vectors:
        prepared = prepare(chunk, dimension, metric)
        if len(positions) != len(prepared.vectors) or ((positions < 0) | (positions >= count)).any():
            raise IndexCorrupt(f"{len(prepared.vectors):,} vectors came for other than the {count:,} passages known")
        rows = row_of[positions]
        matrix[rows] = prepared.vectors
        if metric == "l2":
            squares[rows] = prepared.squares
        longest = max(longest, prepared.longest)
        filled[rows] = True
        done += len(rows)
        steps.take("vectors", done, count)
    if done != count or not filled.all():
        raise IndexCorrupt(f"{done:,} vectors came for {count:,} passages, {np.count_nonzero(~filled):,} have none")
    return {"squares": squares, "longest": np.array([longest])}


def _mapped(path: Path, count: int, dimension: int) -> Matrix:
    """Return the rows of a new file."""
    size = count * dimension * 4
    with path.open("wb") as file:
        # Without this, a full disk would show as a signal that kills the process, on writing to the mapping.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
    return np.memmap(path, np.float32, "r+", shape=(count, dimension)).view(np.ndarray)
