"""Appending: in bulk, one by one, and from eight threads at once, beside bare files and bare commits.

Sides alternate by rounds long enough that what one leaves unsynced hardly weighs on the other; before each bulk
measurement everything is synced.
"""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import kiromi
from tools.bench import raw
from tools.bench.corpus import SCHEME, Record, mappings, records
from tools.bench.figures import Bound, Check, Result, Series, milliseconds, rates, ratios
from tools.bench.sizes import Sizes

THREADS = 8
SPEED_OF_BARE_FILES = 0.4
TIMES_FILE_AND_COMMIT = 1.5
TIMES_ONE_THREAD = 3.0


def measure_append_many(folder: Path, sizes: Sizes) -> Result:
    """Measure ``append_many`` into a new store against a bare loop over the same contents and partitions."""
    sample = records(sizes.bulk)
    contents, partitions = [record.content.encode() for record in sample], [record.path for record in sample]
    bare, ours = [], []
    for number in range(sizes.rounds):
        raw.sync(folder)
        bare.append(raw.write_batches(folder / f"bare-{number}", contents, partitions))
        with kiromi.open(folder / f"store-{number}", scheme=SCHEME) as store:
            raw.sync(folder)
            started = time.perf_counter()
            store.append_many(mappings(sample), batch_size=raw.BATCH)
            ours.append(time.perf_counter() - started)
    share = Series("append_many / bare files", "x", ratios(bare, ours))
    return Result(
        (
            Series(f"bare files, syncfs every {raw.BATCH:,}", "/s", rates(sizes.bulk, bare)),
            Series("append_many, durable", "/s", rates(sizes.bulk, ours)),
        ),
        (Check(share, Bound.AT_LEAST, SPEED_OF_BARE_FILES),),
    )


def measure_append(folder: Path, sizes: Sizes) -> Result:
    """Measure one durable append against one fsynced file and one DuckDB commit of the same bytes."""
    sample = records(sizes.singles)
    contents = [record.content.encode() for record in sample]
    files, commits, appends = [], [], []
    with (
        kiromi.open(folder / "store", scheme=SCHEME) as store,
        raw.make_database(folder / "database") as connection,
    ):
        _append_each(store, sample)  # the first ones make the folders of the partitions
        for number in range(sizes.rounds):
            files.append(statistics.median(raw.write_synced(folder / f"files-{number}", contents)))
            commits.append(statistics.median(raw.commit_rows(connection, contents)))
            appends.append(statistics.median(_append_each(store, sample)))
    both = [file + commit for file, commit in zip(files, commits, strict=True)]
    return Result(
        (
            Series("fsynced file, p50", "ms", milliseconds(files)),
            Series("DuckDB insert and commit, p50", "ms", milliseconds(commits)),
            Series("append, durable, p50", "ms", milliseconds(appends)),
        ),
        (
            Check(
                Series("append / (file + commit)", "x", ratios(appends, both)),
                Bound.AT_MOST,
                TIMES_FILE_AND_COMMIT,
            ),
        ),
    )


def measure_threads(folder: Path, sizes: Sizes) -> Result:
    """Measure durable appends of eight threads together against those of one thread."""
    sample = records(sizes.per_thread * THREADS)
    shares = [sample[number::THREADS] for number in range(THREADS)]
    alone, together = [], []
    with kiromi.open(folder / "store", scheme=SCHEME) as store, ThreadPoolExecutor(THREADS) as pool:
        _append_each(store, sample)
        for _ in range(sizes.rounds):
            alone.append(sum(_append_each(store, sample)) / len(sample))
            started = time.perf_counter()
            for done in [pool.submit(_append_each, store, share) for share in shares]:
                done.result()
            together.append((time.perf_counter() - started) / len(sample))
    gain = Series(f"{THREADS} threads / one thread", "x", ratios(alone, together))
    return Result(
        (
            Series("append, one thread", "/s", rates(1, alone)),
            Series(f"append, {THREADS} threads together", "/s", rates(1, together)),
        ),
        (Check(gain, Bound.AT_LEAST, TIMES_ONE_THREAD),),
    )


def _append_each(store: kiromi.Store, sample: list[Record]) -> list[float]:
    seconds = []
    for record in sample:
        started = time.perf_counter()
        store.append(record.content, record.partition)
        seconds.append(time.perf_counter() - started)
    return seconds
