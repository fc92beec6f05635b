"""A million memories with vectors: how quickly a fresh process searches them by graph, and the memory that it takes.

It takes long, so it runs only when it is named. With ``--dir`` and ``--keep`` its folder outlives the run, and the next
run there goes on: with loading where the store ends, and with nothing at all once the indices are built.

Memory is what the process has for itself: its anonymous pages. Mapped files, such as the matrix of the vector index,
are page cache: the system takes them back when it needs to, so they are not counted.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import kiromi
from tools.bench.figures import Bound, Check, Result, Series, Unmeasured, milliseconds
from tools.bench.process import run_python
from tools.bench.searching import open_store, search_each
from tools.bench.sizes import Sizes
from tools.bench.vectors import DIMENSION, NEAREST, Matrix, Space, nearest, recall

USERS = 1_000
SEARCH_MS = 3.0
RECALL = 0.95
TIMES_VECTORS = 1.3
BYTES_EACH = 200
MEMORY = Path("/proc/self/smaps_rollup")
_MEGA = 1_000_000
_BATCH = 10_000

_SEARCHING = "import sys; from tools.bench.million import search_here; search_here(*sys.argv[1:])"


def measure_million(folder: Path, sizes: Sizes) -> Result:
    """Load, reindex, and search in a fresh process."""
    count = sizes.million
    vectors, space = prepare(folder, count)
    load(folder, vectors)
    reindex(folder)
    queries = space.queries(vectors, sizes.searches)
    np.save(folder / "queries.npy", queries)
    found = json.loads(run_python(_SEARCHING, str(folder), str(sizes.rounds)))
    truth = nearest(vectors, queries)
    shares = tuple(recall(rows, truth) for rows in found["rows"])
    p50 = Series(f"search of {count:,}, p50", "ms", milliseconds(found["seconds"]))
    result = Result(
        (
            *(_single(name, *figure) for name, figure in _figures(folder).items()),
            _single("indices on disk", _bytes_below(folder / "store" / "default" / "index") / _MEGA, "MB"),
            _single("open", found["open"] * 1_000, "ms"),
            _single("first search, which loads the graph", found["first"] * 1_000, "ms"),
        ),
        (
            Check(p50, Bound.AT_MOST, SEARCH_MS),
            Check(Series(f"recall@{NEAREST}", "", shares), Bound.AT_LEAST, RECALL),
        ),
    )
    return _with_memory(result, found["memory"], count)


def prepare(folder: Path, count: int) -> tuple[Matrix, Space]:
    """Return the vectors, mapped from a file that is made if it is not there, and the space that they are of."""
    path, space = folder / "vectors.npy", Space.of(count)
    if not path.exists():
        unready = folder / "unready.npy"
        made = np.lib.format.open_memmap(unready, "w+", np.float32, (count, DIMENSION))
        done = 0
        for chunk in space.chunks(count):
            made[done : done + len(chunk)] = chunk
            done += len(chunk)
        made.flush()
        unready.rename(path)
    return np.load(path, mmap_mode="r"), space


def load(folder: Path, vectors: Matrix) -> None:
    """Append what the store does not have yet."""
    with open_store(folder / "store") as store:
        start = done = store.count()
        if start == len(vectors):
            return

        def note(batch: kiromi.BatchReport) -> None:
            nonlocal done
            done += len(batch.ids)
            _say("loading", done, len(vectors))

        started = time.perf_counter()
        store.append_many(pa.RecordBatchReader.from_batches(_SCHEMA, _batches(vectors, start)), on_batch=note)
        seconds = time.perf_counter() - started
    _note(folder, {"append_many": ((len(vectors) - start) / seconds, "/s"), "append_many, all": (seconds, "s")})


def reindex(folder: Path) -> None:
    """Build the indices, if that was not done."""
    if "reindex" in _figures(folder):
        return
    ends: dict[str, float] = {}

    def note(name: str, done: int, total: int) -> None:
        ends[name] = time.perf_counter()
        _say(name, done, total)

    with open_store(folder / "store") as store:
        started = time.perf_counter()
        report = store.reindex(on_progress=note)
    moments = sorted(ends.items(), key=lambda item: item[1])
    begins = [started, *(moment for _, moment in moments)]
    parts = {f"reindex: {name}": (end - begin, "s") for (name, end), begin in zip(moments, begins, strict=False)}
    _note(folder, {**parts, "reindex": (report.seconds, "s")})


def search_here(folder: str, rounds: str) -> None:
    """Search in this process and print what was found as JSON; it looks at no vectors but the queries."""
    queries = np.load(Path(folder, "queries.npy"))
    moments = [time.perf_counter()]
    with kiromi.open(Path(folder, "store")) as store:
        moments.append(time.perf_counter())
        store.search(vector=queries[0])
        moments.append(time.perf_counter())
        search_each(store, queries, None)  # warms up
        found = [search_each(store, queries, None) for _ in range(int(rounds))]
        memory = anonymous_bytes(MEMORY)
    print(
        json.dumps(
            {
                "open": moments[1] - moments[0],
                "first": moments[2] - moments[1],
                "seconds": [float(np.median(seconds)) for seconds, _ in found],
                "rows": [rows for _, rows in found],
                "memory": memory,
            }
        )
    )


def anonymous_bytes(path: Path) -> int | None:
    """Return the anonymous memory of a process from its ``smaps_rollup`` (proc(5)); None if there is no such file."""
    if not path.exists():
        return None
    lines = dict(line.split(":", 1) for line in path.read_text().splitlines()[1:])
    return int(lines["Anonymous"].split()[0]) * 1_024


_SCHEMA = pa.schema(
    {"content": pa.string(), "partition": pa.struct({"user": pa.string()}), "vector": pa.list_(pa.float32(), DIMENSION)}
)


def _batches(vectors: Matrix, start: int) -> Iterator[pa.RecordBatch]:
    for first in range(start, len(vectors), _BATCH):
        part = vectors[first : first + _BATCH]
        numbers = range(first, first + len(part))
        yield pa.record_batch(
            [
                [f"memory {number}: the invoice of batch {number % 977} waits for a review." for number in numbers],
                pa.array([{"user": f"user-{number * 7919 % USERS}"} for number in numbers], _SCHEMA.field(1).type),
                pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), DIMENSION),
            ],
            schema=_SCHEMA,
        )


def _with_memory(result: Result, memory: int | None, count: int) -> Result:
    name = f"private memory / ({TIMES_VECTORS:g} x vectors + {BYTES_EACH} bytes a memory)"
    if memory is None:
        unmeasured = Unmeasured(name, Bound.AT_MOST, 1.0, "not measured (no /proc/self/smaps_rollup)")
        return Result(result.series, result.checks, (unmeasured,))
    allowed = count * (TIMES_VECTORS * DIMENSION * 4 + BYTES_EACH)
    return Result(
        (*result.series, _single("private memory", memory / _MEGA, "MB")),
        (*result.checks, Check(_single(name, memory / allowed, "x"), Bound.AT_MOST, 1.0)),
    )


def _single(name: str, value: float, unit: str) -> Series:
    return Series(name, unit, (value,))


def _figures(folder: Path) -> dict[str, Any]:
    """Return what earlier steps, perhaps of an earlier run, took: by name, a value and its unit."""
    path = folder / "figures.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def _note(folder: Path, figures: dict[str, tuple[float, str]]) -> None:
    (folder / "figures.json").write_text(json.dumps(_figures(folder) | figures))


def _say(name: str, done: int, total: int) -> None:
    end = "\n" if done >= total else "\r"
    print(f"  {name}: {done:,} of {total:,}", end=end, file=sys.stderr, flush=True)


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
