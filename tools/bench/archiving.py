"""Archives of a large store with vectors: writing one, checking it without the store, and making a store of it."""

import time
from pathlib import Path

import numpy as np

import kiromi
from kiromi.embed.given import CallerVectors
from tools.bench.corpus import records
from tools.bench.figures import Bound, Check, Result, Series, rates
from tools.bench.searching import SCHEME, USERS, Sample
from tools.bench.sizes import Sizes
from tools.bench.vectors import DIMENSION, Space

PER_SECOND = 5_000.0


def measure_archives(folder: Path, sizes: Sizes) -> Result:
    """Measure export, check and import of one store; the digest proves each import equal."""
    count = sizes.opened
    texts = [record.content for record in records(count)]
    users = [f"user-{number % USERS}" for number in range(count)]
    sample = Sample(texts, users, np.concatenate(list(Space.of(count).chunks(count))))
    exports, checks, imports = list[float](), list[float](), list[float]()
    with kiromi.open(folder / "store", scheme=SCHEME, embedder=CallerVectors(DIMENSION)) as store:
        store.append_many(sample.table())
        digest = store.digest()
        for number in range(sizes.rounds):
            archive = folder / f"archive-{number}"
            started = time.perf_counter()
            store.export_archive("live", archive)
            exports.append(time.perf_counter() - started)
            started = time.perf_counter()
            problems = kiromi.verify_archive(archive).problems
            checks.append(time.perf_counter() - started)
            started = time.perf_counter()
            report = kiromi.import_archive(archive, folder / f"imported-{number}")
            imports.append(time.perf_counter() - started)
            if problems or report.digest != digest:
                raise RuntimeError(f"the import of {archive} is not what was exported")
    size = f"{count:,} memories with {DIMENSION}-d vectors"
    return Result(
        (Series("check of the archive", "/s", rates(count, checks)),),
        (
            Check(Series(f"export of {size}", "/s", rates(count, exports)), Bound.AT_LEAST, PER_SECOND),
            Check(Series("import of them", "/s", rates(count, imports)), Bound.AT_LEAST, PER_SECOND),
        ),
    )
