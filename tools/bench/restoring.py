"""Time travel in a large store: taking a snapshot, and restoring after one memory in a hundred was changed."""

import random
import time
from collections.abc import Sequence
from pathlib import Path

import kiromi
from tools.bench.corpus import SCHEME, mappings, records
from tools.bench.figures import Bound, Check, Result, Series, milliseconds
from tools.bench.sizes import Sizes

SNAPSHOT_MS = 10.0
RESTORE_MS = 2_000.0
_SHARE = 100
_PER_OPERATION = 1_000


def measure_restore(folder: Path, sizes: Sizes) -> Result:
    """Measure snapshots, plans, and durable restores there and back; a quarter each of the changes is of one sort."""
    plans, restores = list[float](), list[float]()
    few = max(2, sizes.opened // _SHARE)
    with kiromi.open(folder / "small", scheme=SCHEME) as store:
        store.append_many(mappings(records(few)))
        of_few = [_snapshot(store) for _ in range(2 * sizes.rounds)]
    with kiromi.open(folder / "store", scheme=SCHEME) as store:
        store.append_many(mappings(records(sizes.opened)))
        ids = store.list_ids()
        snapshots = [_snapshot(store) for _ in range(2 * sizes.rounds)]
        then = store.snapshot()
        changed = random.Random(0).sample(ids, max(4, len(ids) // _SHARE))
        for start in range(0, len(changed), _PER_OPERATION):
            _change(store, changed[start : start + _PER_OPERATION])
        moments = [then]
        for _ in range(sizes.rounds):
            started = time.perf_counter()
            store.restore(moments[-1], dry_run=True)
            planned = time.perf_counter()
            report = store.restore(moments[-1])
            restores.append(time.perf_counter() - planned)
            plans.append(planned - started)
            if report.snapshot is not None:
                moments.append(report.snapshot)  # the next round undoes it
    size = f"{sizes.opened:,} memories"
    return Result(
        (
            Series("plan of a restore", "ms", milliseconds(plans)),
            Series("restored memories", "/s", tuple(len(changed) / seconds for seconds in restores)),
        ),
        (
            Check(Series(f"snapshot of {few:,} memories", "ms", milliseconds(of_few)), Bound.AT_MOST, SNAPSHOT_MS),
            Check(Series(f"snapshot of {size}", "ms", milliseconds(snapshots)), Bound.AT_MOST, SNAPSHOT_MS),
            Check(Series(f"restore of 1 % of {size}", "ms", milliseconds(restores)), Bound.AT_MOST, RESTORE_MS),
        ),
    )


def _snapshot(store: kiromi.Store) -> float:
    store.put(f"{time.perf_counter()}", {"user": "ana", "topic": "clock"}, key="clock")  # the store is in use
    started = time.perf_counter()
    store.snapshot()
    return time.perf_counter() - started


def _change(store: kiromi.Store, ids: Sequence[str]) -> None:
    with store.transaction() as tx:
        for number, memory_id in enumerate(ids):
            if number % 4 == 0:
                tx.delete(memory_id)
            elif number % 4 == 1:
                tx.update(memory_id, content=f"changed {number}")
            elif number % 4 == 2:
                tx.update(memory_id, tags=["changed"])
            else:
                tx.update(memory_id, attributes={"user": "another"})
