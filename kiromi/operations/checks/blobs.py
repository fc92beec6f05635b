"""Blobs against the catalog, while others write: what the suspicions come to, what is pending, and the bytes.

The writer is kept out only for a bounded number of blobs at a time.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from kiromi.catalog.changes import BlobKey
from kiromi.operations.checks.listing import GOAL, Suspicions
from kiromi.operations.checks.scene import Scene, blob_name, read_each
from kiromi.reports.checking import Problem
from kiromi.session.pending import goal_of
from kiromi.session.session import Session

AT_ONCE = 1_000
"""Suspicions judged while the writer waits."""
READ_BYTES = 32 << 20
"""Contents held in memory at once while all are read; a larger one is alone."""
READ_BLOBS = 512

_PAGE = 4_096
_CONTENTS = f"""
SELECT c.id, c.n, c.ext, c.size, c.sha256, {GOAL} FROM contents c LEFT JOIN memories m USING (id, n)
WHERE (c.id > $1 OR (c.id = $1 AND c.n > $2)) AND c.id <= $3 ORDER BY c.id, c.n LIMIT {_PAGE}
"""


def judge(
    session: Session, suspicions: Suspicions, *, fix: bool, left_alone: Iterable[str] = ()
) -> tuple[list[Problem], set[BlobKey]]:
    """Return which suspicions are true now, and the blobs that do not lie where they belong.

    Args:
        session: the tenant's.
        suspicions: what to look at.
        fix: bring misplaced blobs where they belong, and remove second copies.
        left_alone: ids whose rows are in doubt, so that nothing of theirs is moved.
    """
    problems: list[Problem] = []
    astray: set[BlobKey] = set()
    strangers, hands_off = sorted(suspicions.strangers), frozenset(left_alone)
    for start in range(0, len(strangers), AT_ONCE):
        chunk = strangers[start : start + AT_ONCE]
        with session.writer:
            sizes = session.blobs.sizes(chunk)
        problems += [
            Problem("orphan", _printable(path), f"{_printable(path)} has a name that no blob of a store has")
            for path, size in zip(chunk, sizes, strict=True)
            if size is not None
        ]
    keys = sorted(suspicions.blobs)
    for start in range(0, len(keys), AT_ONCE):
        with Scene.of(session, {key: suspicions.blobs[key] for key in keys[start : start + AT_ONCE]}) as scene:
            for key in scene.seen:
                problems += scene.judge(key, fix=fix and key[0] not in hands_off)
                if not scene.is_home(key):
                    astray.add(key)
    return problems, astray


def retry_pending(session: Session) -> list[Problem]:
    """Settle what is pending once more; return what that has mended."""
    with session.writer:
        before = pending_problems(session)
        session.settle()
        session.fold()
        after = pending_problems(session)
    return [replace(problem, fixed=True) for key, problem in before.items() if key not in after]


def pending_problems(session: Session) -> dict[BlobKey, Problem]:
    """Return the pending blobs that are not where they belong, with the reason."""
    with session.writer:
        pending, problems = session.pending, {}
        for key, reason in pending.unsettled.items():
            facts, places = pending.facts[key], pending.places[key]
            goal = goal_of(key, facts, session.view.get)
            others = [place for place in places if place != goal]
            sizes = session.blobs.sizes([*others, *([] if goal is None else [goal])])
            lies_elsewhere = any(size is not None for size in sizes[: len(others)])
            if facts is None or goal is None:
                is_home, is_somewhere = True, True
            else:
                is_home, is_somewhere = sizes[-1] == facts[1], facts[1] in sizes
            if lies_elsewhere or not is_home:
                kind = "pending" if is_somewhere else "blob_missing"
                why = reason or "it was not settled since the store was opened"
                problems[key] = Problem(
                    kind, goal or others[0], f"blob {blob_name(key)} is not where it belongs: {why}"
                )
        return problems


def check_bytes(
    session: Session, last_id: str, astray: set[BlobKey], on_read: Callable[[int, int], None]
) -> list[Problem]:
    """Read every blob of ids up to ``last_id`` and return those whose SHA-256 is not that of the catalog.

    Args:
        session: the tenant's.
        last_id: where to end, or a writer could keep the check going for ever.
        astray: blobs that are known not to lie where they belong, and are passed over.
        on_read: called with (blobs, bytes) after each part.
    """
    problems: list[Problem] = []
    at: BlobKey = ("", 0)
    while page := _page(session, at, last_id):
        at = page[-1][:2]
        on_read(sum((row[0], row[1]) in astray for row in page), 0)
        for part in _parts([row for row in page if (row[0], row[1]) not in astray]):
            found = read_each(session, [path for *_, path in part])
            doubtful = {
                (memory_id, n): set[str]()
                for (memory_id, n, _, _, sha256, _), data in zip(part, found, strict=True)
                if not isinstance(data, bytes) or hashlib.sha256(data).digest() != sha256
            }
            on_read(len(part), sum(len(data) for data in found if isinstance(data, bytes)))
            if doubtful:
                with Scene.of(session, doubtful) as scene:
                    problems += [problem for key in doubtful for problem in scene.judge_bytes(key)]
    return problems


def _page(session: Session, after: BlobKey, last_id: str) -> list[Any]:
    with session.snapshot() as (_, cursor):
        return cursor.execute(_CONTENTS, [*after, last_id]).fetchall()


def _parts(rows: list[Any]) -> Iterator[list[Any]]:
    """Cut rows of ``_CONTENTS`` into parts of bounded bytes and number."""
    part: list[Any] = []
    size = 0
    for row in rows:
        if part and (size + row[3] > READ_BYTES or len(part) == READ_BLOBS):
            yield part
            part, size = [], 0
        part.append(row)
        size += row[3]
    if part:
        yield part


def _printable(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode()
