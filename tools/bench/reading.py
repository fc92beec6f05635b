"""Reading: ``get`` from a warm store beside reading the bare file, and opening a large store in a fresh process."""

import json
import random
import statistics
import time
from pathlib import Path

import kiromi
from tools.bench import raw
from tools.bench.corpus import SCHEME, mappings, records
from tools.bench.figures import Bound, Check, Result, Series, milliseconds
from tools.bench.process import run_python
from tools.bench.sizes import Sizes

GET_MS = 0.15
OPEN_MS = 200.0

_OPENING = """
import json, sys, time
moments = [time.perf_counter()]
from kiromi import open as open_store
moments.append(time.perf_counter())
store = open_store(sys.argv[1])
moments.append(time.perf_counter())
store.get(sys.argv[2])
moments.append(time.perf_counter())
store.close()
print(json.dumps([after - before for before, after in zip(moments, moments[1:])]))
"""


def measure_get(folder: Path, sizes: Sizes) -> Result:
    """Measure ``get`` by id, in random order, against reading the same files; all are in the page cache."""
    chosen = random.Random(0)
    root = folder / "store"
    ids = _fill(root, sizes.warm)
    files, gets = [], []
    with kiromi.open(root) as store:
        paths = {memory.id: root / store.tenant / memory.path for memory in store.get_many(ids)}
        for _ in range(sizes.rounds):
            wanted = chosen.choices(ids, k=sizes.reads)
            files.append(statistics.median(raw.read_files([paths[memory_id] for memory_id in wanted])))
            gets.append(statistics.median(_get_each(store, wanted)))
    p50 = Series("get, p50", "ms", milliseconds(gets))
    return Result(
        (Series("bare read of the file, p50", "ms", milliseconds(files)),), (Check(p50, Bound.AT_MOST, GET_MS),)
    )


def measure_open(folder: Path, sizes: Sizes) -> Result:
    """Measure ``kiromi.open`` of a store that was closed, in a fresh process, with a warm page cache.

    Imports are measured on their own: a process pays for them once, however many stores it opens.
    """
    root = folder / "store"
    arguments = [str(root), _fill(root, sizes.opened)[-1]]
    _open_once(arguments)  # warms the page cache
    imports, opens, gets = zip(*(_open_once(arguments) for _ in range(2 * sizes.rounds)), strict=True)
    opening = Series(f"open at {sizes.opened:,} memories", "ms", milliseconds(opens))
    return Result(
        (
            Series("import kiromi.open and all below it", "ms", milliseconds(imports)),
            Series("first get after it", "ms", milliseconds(gets)),
        ),
        (Check(opening, Bound.AT_MOST, OPEN_MS),),
    )


def _fill(root: Path, count: int) -> list[str]:
    ids: list[str] = []
    with kiromi.open(root, scheme=SCHEME) as store:
        store.append_many(mappings(records(count)), on_batch=lambda batch: ids.extend(batch.ids))
    return ids


def _get_each(store: kiromi.Store, ids: list[str]) -> list[float]:
    seconds = []
    for memory_id in ids:
        started = time.perf_counter()
        store.get(memory_id)
        seconds.append(time.perf_counter() - started)
    return seconds


def _open_once(arguments: list[str]) -> tuple[float, float, float]:
    imported, opened, got = json.loads(run_python(_OPENING, *arguments))
    return imported, opened, got
