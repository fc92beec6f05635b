"""The machine alone: how quick it is today, and what figures of migration and vector search are held against."""

from pathlib import Path

from tools.bench import raw
from tools.bench.corpus import records
from tools.bench.figures import Result, Series, milliseconds, rates
from tools.bench.sizes import Sizes

DIMENSION = 384
QUERIES = 20


def measure_limits(folder: Path, sizes: Sizes) -> Result:
    """Measure all raw limits, interleaved."""
    sample = records(sizes.bulk)
    contents = [record.content.encode() for record in sample]
    files, synced, commits, renames, scans = [], list[float](), list[float](), [], list[float]()
    with raw.make_database(folder / "database") as connection:
        for number in range(sizes.rounds):
            raw.sync(folder)
            files.append(raw.write_batches(folder / f"files-{number}", contents, [record.path for record in sample]))
            synced += raw.write_synced(folder / f"synced-{number}", contents[: sizes.singles])
            commits += raw.commit_rows(connection, contents[: sizes.singles])
            renames.append(raw.rename_files(folder / f"renames-{number}", sizes.bulk))
            scans += raw.scan_vectors(sizes.scanned, DIMENSION, QUERIES)
    return Result(
        (
            Series(f"1 KiB files, syncfs every {raw.BATCH:,}", "/s", rates(sizes.bulk, files)),
            Series("fsynced 1 KiB file", "ms", milliseconds(synced)),
            Series("DuckDB insert and commit", "ms", milliseconds(commits)),
            Series("os.rename", "/s", rates(sizes.bulk, renames)),
            Series(f"numpy exact scan {sizes.scanned:,} x {DIMENSION}", "ms", milliseconds(scans)),
        )
    )
