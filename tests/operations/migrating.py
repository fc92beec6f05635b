"""What tests of scheme migrations share: a store with a few memories, its tree with folders, and what must hold."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kiromi
from kiromi.reports.migration import MigrationPlan, MigrationReport

FIRST = "user={user}/topic={topic|inbox}"
SECOND = "topic={topic|inbox}/who={user:lower}"


def fill(store: kiromi.Store, count: int, start: int = 0) -> list[str]:
    """Append memories of three users and two topics; return their ids."""
    made: list[str] = []
    store.append_many(
        (
            {"content": f"text {n}", "attributes": {"user": f"U{n % 3}", "topic": f"t{n % 2}", "n": n}}
            for n in range(start, start + count)
        ),
        on_batch=lambda batch: made.extend(batch.ids),
    )
    return made


def tree(root: Path) -> set[str]:
    """Return every file and folder below ``data/``, as ``find`` prints them."""
    data = root / "default" / "data"
    return {str(path.relative_to(data)) for path in data.rglob("*")}


def migrate(store: kiromi.Store, *args: Any, **options: Any) -> MigrationReport:
    report = store.migrate_scheme(*args, **options)
    assert isinstance(report, MigrationReport)
    return report


def plan(store: kiromi.Store, *args: Any, **options: Any) -> MigrationPlan:
    found = store.migrate_scheme(*args, dry_run=True, **options)
    assert isinstance(found, MigrationPlan)
    return found


def contents(store: kiromi.Store) -> dict[str, tuple[int, bytes]]:
    """Return version and content of every live memory."""
    return {memory.id: (memory.version, memory.data) for memory in store.get_many(store.list_ids())}


def attributes(store: kiromi.Store) -> dict[str, dict[str, Any]]:
    return {info.id: dict(info.attributes) for info in store.list(limit=10_000).items}


def check(store: kiromi.Store) -> None:
    """Check that data/ shows exactly the live memories, each whole, where its row says."""
    assert store.verify(read_data=True).problems == ()
    assert store.audit_verify().problems == ()
    assert store.stats().pending == 0


class Stopped(Exception):
    """What a test raises to stop a run after a batch."""


def after_batches(count: int, do: Callable[[], object] | None = None) -> Callable[[str, int, int], None]:
    """Return a progress callback that does something after so many batches: by default, it stops the run."""
    batches = 0

    def on_progress(what: str, done: int, total: int) -> None:
        nonlocal batches
        if what == "move":
            batches += 1
            if batches == count:
                if do is None:
                    raise Stopped
                do()

    return on_progress


@contextmanager
def running(*works: Callable[[], None]) -> Iterator[None]:
    """Run each work round and round in a thread of its own until the block ends; raise what one of them raised."""
    ended = threading.Event()
    failures: list[BaseException] = []

    def loop(work: Callable[[], None]) -> None:
        try:
            while not ended.is_set():
                work()
        except BaseException as error:  # noqa: BLE001 - raised below
            failures.append(error)

    threads = [threading.Thread(target=loop, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    for failure in failures:
        raise failure
