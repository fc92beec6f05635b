"""What tests of gc share: what should stay, by plain loops, and a job that pins a moment."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import kiromi
from kiromi.operations import jobs
from kiromi.session.commit import transaction
from tests.operations.tree import attic_files, data_files


class Interval(NamedTuple):
    """A version of a memory, and when it held; ``end`` is None while it is live."""

    id: str
    n: int
    begin: int
    end: int | None


def intervals(store: kiromi.Store) -> set[Interval]:
    """Return all versions that the catalog has."""
    live = store.sql("SELECT id, n, seq FROM memories").to_pylist()
    closed = store.sql("SELECT id, n, begin_seq, end_seq FROM history").to_pylist()
    return {Interval(row["id"], row["n"], row["seq"], None) for row in live} | {
        Interval(row["id"], row["n"], row["begin_seq"], row["end_seq"]) for row in closed
    }


def surviving(versions: Iterable[Interval], shown: Iterable[int], floor: int) -> set[Interval]:
    """Return which versions have to stay: live ones, those of every moment from the floor on, and those shown."""
    moments = set(shown)
    kept = set()
    for one in versions:
        is_in_window = one.end is None or one.end > floor
        if is_in_window or any(one.begin <= seq < (one.end or 0) for seq in moments):
            kept.add(one)
    return kept


def check_what_is_left(store: kiromi.Store, root: Path, expected: set[Interval]) -> None:
    """Require these versions, no others, and on disk and in every table exactly their contents."""
    assert intervals(store) == expected
    contents = {(one.id, one.n) for one in expected}
    known = store.sql("SELECT id, n FROM contents").to_pylist()
    assert sorted((row["id"], row["n"]) for row in known) == sorted(contents)
    names = [path.rpartition("/")[2] for path in (*data_files(root), *attic_files(root))]
    assert sorted(names) == sorted(f"{memory_id}.{n}.md" for memory_id, n in contents)
    session = store._caller().session
    with session.lease, session.snapshot() as (_, cursor):
        for table in ("passages", *(f"vectors_{number}" for number in session.models)):
            found = cursor.execute(f"SELECT DISTINCT id, n FROM {table}").fetchall()
            assert set(found) <= contents, table
    assert store.verify(read_data=True).problems == ()


def begin_job(store: kiromi.Store, *pins: int, kind: str = "restore") -> str:
    """Begin a job that needs some moments, and never end it; return its id."""
    caller = store._caller()
    job_id = caller.session.ids.make()
    with caller.session.lease, transaction(caller.session, caller.context) as operation:
        jobs.begin(operation, job_id, kind, {"pins": list(pins)}, 1)
        operation.execute("INSERT INTO migration_targets (job, position, id) VALUES (?, 0, ?)", job_id, "x")
        operation.record(kind, None, json.loads("{}"))
    return job_id


def end_job(store: kiromi.Store, job_id: str) -> None:
    caller = store._caller()
    with caller.session.lease, transaction(caller.session, caller.context) as operation:
        jobs.end(operation, job_id, "done")
        operation.record("restore", None, {})
