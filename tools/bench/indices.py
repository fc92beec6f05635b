"""The indices of a store at work: a search right after an append, and opening a store that has them."""

import json
import statistics
import time
from pathlib import Path
from typing import Any

import kiromi
from tools.bench.corpus import SCHEME, mappings, records
from tools.bench.figures import Bound, Check, Result, Series, milliseconds
from tools.bench.process import run_python
from tools.bench.searching import open_store, sample_of
from tools.bench.sizes import Sizes
from tools.bench.vectors import Space

FOLLOWING_MS = 20.0
OPEN_MS = 200.0
_WHERE = {"user": "user-0", "topic": "topic-0"}

_OPENING = """
import json, sys, time
import numpy as np
from kiromi import open as open_store
moments = [time.perf_counter()]
store = open_store(sys.argv[1])
moments.append(time.perf_counter())
store.search(vector=np.ones(int(sys.argv[2]), np.float32))
moments.append(time.perf_counter())
store.search("memory invoice", mode="text")
moments.append(time.perf_counter())
store.close()
print(json.dumps([after - before for before, after in zip(moments, moments[1:])]))
"""


def measure_append_search(folder: Path, sizes: Sizes) -> Result:
    """Measure an append and a search that has to find it, in each mode, on a store with the hashing embedder."""
    modes = ("text", "vector", "hybrid")
    seconds: dict[str, list[float]] = {mode: [] for mode in modes}
    number = 0
    with kiromi.open(folder / "store", scheme=SCHEME, embedder="hash") as store:
        store.append_many(mappings(records(sizes.searched)))
        for mode in modes:
            _append_and_search(store, mode, f"first{mode}")  # builds the index
        for _ in range(sizes.rounds):
            for mode in modes:
                times = []
                for _ in range(sizes.followed):
                    number += 1
                    times.append(_append_and_search(store, mode, f"novelty{number}"))
                seconds[mode].append(statistics.median(times))
    series = [Series(f"append, then search by {mode}, p50", "ms", milliseconds(seconds[mode])) for mode in modes]
    return Result((), tuple(Check(each, Bound.AT_MOST, FOLLOWING_MS) for each in series))


def measure_open_indexed(folder: Path, sizes: Sizes) -> Result:
    """Measure ``kiromi.open`` of a store with vectors and both indices, in a fresh process, and the first searches."""
    sample = sample_of(Space.of(sizes.opened), sizes.opened)
    root = folder / "store"
    with open_store(root) as store:
        store.append_many(sample.table())
        store.search(vector=sample.vectors[0])
        store.search("memory", mode="text")
    dimension = str(sample.vectors.shape[1])
    measured = [json.loads(run_python(_OPENING, str(root), dimension)) for _ in range(2 * sizes.rounds + 1)]
    opens, vectors, texts = zip(*measured[1:], strict=True)  # the first one warms the page cache
    opening = Series(f"open at {sizes.opened:,} memories with indices", "ms", milliseconds(opens))
    return Result(
        (
            Series("first search by vector", "ms", milliseconds(vectors)),
            Series("then the first by text", "ms", milliseconds(texts)),
        ),
        (Check(opening, Bound.AT_MOST, OPEN_MS),),
    )


def _append_and_search(store: kiromi.Store, mode: Any, word: str) -> float:
    """Return the seconds of an append and of the search after it.

    Raises:
        RuntimeError: the search did not find it.
    """
    content = f"The meeting about {word} moved from Berlin to the review on Monday."
    started = time.perf_counter()
    memory = store.append(content, _WHERE)
    hits = store.search(f"when is the meeting about {word}", mode=mode)
    seconds = time.perf_counter() - started
    if memory.id not in {hit.id for hit in hits}:
        raise RuntimeError(f"a search by {mode} did not find what was appended before it")
    return seconds
