"""Scheme migration, everything included, beside a bare rename loop over a tree of the same files.

Both go there and back again, so that nothing is written anew between rounds. The bare loop syncs as often as the
migration does, once a batch; it keeps no record, and a kill of it leaves a tree that nobody can tell anything about.
"""

import time
from pathlib import Path

import kiromi
from kiromi.store.schemes import DEFAULT_BATCH
from tools.bench import raw
from tools.bench.corpus import SCHEME, mappings, records
from tools.bench.figures import Bound, Check, Result, Series, rates, ratios
from tools.bench.sizes import Sizes

OTHER = "topic={topic}/user={user}"
SPEED_OF_BARE_RENAMES = 0.25


def measure_migration(folder: Path, sizes: Sizes) -> Result:
    """Measure ``migrate_scheme`` of a whole store against ``os.rename`` of the same tree."""
    sample = records(sizes.migrated)
    here = [record.path for record in sample]
    there = ["/".join(reversed(path.split("/"))) for path in here]
    raw.write_batches(folder / "bare", [record.content.encode() for record in sample], here)
    bare, ours = [], []
    with kiromi.open(folder / "store", scheme=SCHEME) as store:
        store.append_many(mappings(sample))
        for number in range(sizes.rounds):
            raw.sync(folder)
            ways = (here, there) if number % 2 == 0 else (there, here)
            bare.append(raw.rename_tree(folder / "bare", *ways, batch=DEFAULT_BATCH))
            started = time.perf_counter()
            store.migrate_scheme(OTHER if number % 2 == 0 else SCHEME)
            ours.append(time.perf_counter() - started)
    share = Series("migrate_scheme / bare renames", "x", ratios(bare, ours))
    return Result(
        (
            Series(f"bare renames, syncfs every {DEFAULT_BATCH:,}", "/s", rates(sizes.migrated, bare)),
            Series("migrate_scheme, durable", "/s", rates(sizes.migrated, ours)),
        ),
        (Check(share, Bound.AT_LEAST, SPEED_OF_BARE_RENAMES),),
    )
