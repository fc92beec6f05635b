"""What the catalog knows of the memories that are erased, and the statements that make it forget that.

Of a batch, everything goes in the transaction that also takes the memories from the live rows. What other rows say of
them goes too: links, supersessions, audit entries that name them. That another memory was superseded stays a fact; by
which one does not.
"""

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from kiromi.ids import ERASED_ID
from kiromi.operations.ends import MEMORY, PARTITION
from kiromi.operations.retiring import plan_retire
from kiromi.session.operation import Operation
from kiromi.session.session import Session

_ID = re.compile("(?=([0-7][0-9A-HJKMNP-TV-Z]{25}))")
_TEXTS = "concat_ws(' ', detail, reason, run_id)"
_BATCH = "(SELECT id FROM migration_targets WHERE job = ? AND position < ?)"
_ENDS = f"(SELECT '{MEMORY}' || id FROM {_BATCH} UNION ALL SELECT unnest(?::VARCHAR[]))"
_LISTED = "(SELECT unnest(?::VARCHAR[]))"
_JOBS = "SELECT id, status IN ('running', 'paused'), params, \"cursor\", last_error FROM migration_state"
_BARE = "memory_id = NULL, detail = NULL, run_id = NULL, reason = NULL, salt = NULL"


class Counts(NamedTuple):
    """How much there is of something that is erased."""

    memories: int = 0
    versions: int = 0
    blobs: int = 0
    size_bytes: int = 0
    vectors: int = 0
    links: int = 0
    supersessions: int = 0
    audit_entries: int = 0


class Content(NamedTuple):
    """A blob that is to go."""

    id: str
    n: int
    ext: str


@dataclass(frozen=True, slots=True)
class Traces:
    """What the tables hold of some memories."""

    counts: Counts
    contents: Sequence[Content]
    numbers: dict[str, int]
    """The highest ``n`` that each ever had."""
    losers: Sequence[str]
    """Other live memories that one of them superseded."""
    partitions: Sequence[str]
    """URIs of partitions in which nothing else is or was, as far as links name them."""
    entries: Sequence[tuple[int, int]]
    """Audit entries, as (seq, i), that name one of them or such a partition, and are about something else."""


def traces_of(session: Session, cursor: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> Traces:
    """Look for everything in the tables that is about some memories or names them."""
    cursor.register("erased", pa.table({"id": pa.array(ids, pa.string())}))
    try:
        contents = cursor.execute(
            "SELECT c.id, c.n, c.ext, c.size FROM contents c SEMI JOIN erased USING (id)"
        ).fetchall()
        numbers = cursor.execute(
            "SELECT id, max(n) FROM ("
            " SELECT id, greatest(n, last_n) AS n FROM memories UNION ALL SELECT id, greatest(n, last_n) FROM history"
            " UNION ALL SELECT id, n FROM contents) SEMI JOIN erased USING (id) GROUP BY id"
        ).fetchall()
        losers = cursor.execute(
            "SELECT m.id FROM memories m ANTI JOIN erased e ON m.id = e.id"
            " WHERE m.superseded_by IN (SELECT id FROM erased)"
        ).fetchall()
        partitions = _partitions(cursor)
        entries = list(_naming(cursor, set(ids), set(partitions)))
        counts = Counts(
            len(ids),
            _count(cursor, "(SELECT id FROM memories UNION ALL SELECT id FROM history) SEMI JOIN erased USING (id)"),
            len(contents),
            sum(size for *_, size in contents),
            sum(_count(cursor, f"vectors_{number} SEMI JOIN erased USING (id)") for number in sorted(session.models)),
            _count(cursor, f"links WHERE src IN {_ends()} OR dst IN {_ends()}", partitions, partitions),
            _count(cursor, "supersessions WHERE loser IN (FROM erased) OR winner IN (FROM erased)"),
            _count(cursor, "audit_log WHERE memory_id IN (FROM erased)") + len(entries),
        )
    finally:
        cursor.unregister("erased")
    return Traces(
        counts,
        [Content(*facts) for *facts, _ in contents],
        dict(numbers),
        [memory_id for (memory_id,) in losers],
        partitions,
        entries,
    )


def plan_forget(session: Session, operation: Operation, job_id: str, until: int, traces: Traces) -> None:
    """Plan to take from the tables what they know of a batch: of the job's targets at positions below ``until``."""
    batch = (job_id, until)
    for memory_id in traces.losers:
        row = operation.live(memory_id)
        if row is not None:
            operation.write(row._replace(superseded_by=ERASED_ID, begin_seq=operation.seq))
    for table in ("history", "contents", "passages", *(f"vectors_{number}" for number in sorted(session.models))):
        operation.execute(f"DELETE FROM {table} WHERE id IN {_BATCH}", *batch)
    ends = (*batch, list(traces.partitions))
    operation.execute(f"DELETE FROM links WHERE src IN {_ENDS} OR dst IN {_ENDS}", *ends, *ends)
    operation.execute(f"DELETE FROM supersessions WHERE loser IN {_BATCH} OR winner IN {_BATCH}", *batch, *batch)
    operation.execute(f"UPDATE history SET superseded_by = '{ERASED_ID}' WHERE superseded_by IN {_BATCH}", *batch)
    operation.execute(f"UPDATE audit_log SET {_BARE} WHERE memory_id IN {_BATCH}", *batch)
    if traces.entries:
        seqs, places = (list(column) for column in zip(*traces.entries, strict=True))
        operation.execute(
            f"UPDATE audit_log SET {_BARE} WHERE (seq, i) IN (SELECT unnest(?::BIGINT[]), unnest(?::INTEGER[]))",
            seqs,
            places,
        )
    plan_retire(operation, session, traces.numbers)


def plan_forget_reasons(cursor: duckdb.DuckDBPyConnection, operation: Operation, ids: Collection[str]) -> None:
    """Plan to take some ids from what jobs, snapshots and supersessions say of themselves; see :func:`jobs_in_need`."""
    wanted = set(ids)
    for job_id, is_unfinished, params, last, error in cursor.execute(_JOBS).fetchall():
        if not is_unfinished and names(params, wanted):
            operation.execute("UPDATE migration_state SET params = '{}' WHERE id = ?", job_id)
        if names(error, wanted):
            operation.execute("UPDATE migration_state SET last_error = NULL WHERE id = ?", job_id)
        if names(last, wanted):
            # What a job does again from the greatest id below that stays, is done already.
            below = "(SELECT max(id) FROM memories WHERE id < ?)" if is_unfinished else "?"
            value = last if is_unfinished else None
            operation.execute(f'UPDATE migration_state SET "cursor" = {below} WHERE id = ?', value, job_id)
    for snapshot_id, reason in cursor.execute("SELECT id, reason FROM snapshots WHERE reason IS NOT NULL").fetchall():
        if names(reason, wanted):
            operation.execute("UPDATE snapshots SET reason = NULL WHERE id = ?", snapshot_id)
    reasons = cursor.execute("SELECT DISTINCT reason FROM supersessions WHERE reason IS NOT NULL").fetchall()
    named = [reason for (reason,) in reasons if names(reason, wanted)]
    if named:
        operation.execute(f"UPDATE supersessions SET reason = NULL WHERE reason IN {_LISTED}", named)


def jobs_in_need(cursor: duckdb.DuckDBPyConnection, ids: Collection[str]) -> list[str]:
    """Return the unfinished jobs that were told to do something with one of some ids, and could not go on without."""
    wanted = set(ids)
    return [
        str(job_id)
        for job_id, is_unfinished, params, last, _ in cursor.execute(_JOBS).fetchall()
        if is_unfinished and (names(params, wanted) or (last not in wanted and names(last, wanted)))
    ]


def names(text: str | None, ids: Collection[str]) -> bool:
    """Tell whether a text has one of some ids in it."""
    return text is not None and any(found in ids for found in _ID.findall(text))


def _ends() -> str:
    return f"(SELECT '{MEMORY}' || id FROM erased UNION ALL SELECT unnest(?::VARCHAR[]))"


def _count(cursor: duckdb.DuckDBPyConnection, what: str, *parameters: Any) -> int:
    ((count,),) = cursor.execute(f"SELECT count(*) FROM {what}", parameters).fetchall()
    return int(count)


def _partitions(cursor: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the partitions, or upper parts of some, that links name and that only the erased memories were in."""
    named = {
        uri.removeprefix(PARTITION)
        for ends in cursor.execute(
            "SELECT DISTINCT src, dst FROM links WHERE starts_with(src, $1) OR starts_with(dst, $1)", [PARTITION]
        ).fetchall()
        for uri in ends
        if uri.startswith(PARTITION)
    }
    if not named:
        return []
    versions = "SELECT id, partition FROM memories UNION ALL SELECT id, partition FROM history"
    own, others = (
        {upper for (path,) in found for upper in _uppers(path)} & named
        for found in (
            cursor.execute(f"SELECT DISTINCT partition FROM ({versions}) {kind} JOIN erased USING (id)").fetchall()
            for kind in ("SEMI", "ANTI")
        )
    )
    return [PARTITION + path for path in sorted(own - others)]


def _uppers(path: str) -> Iterator[str]:
    """Yield a path and every upper part of it."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def _naming(
    cursor: duckdb.DuckDBPyConnection, ids: Collection[str], partitions: Collection[str]
) -> Iterator[tuple[int, int]]:
    """Yield the audit entries about something else that name an erased memory, or link such a partition."""
    cursor.execute(
        f"SELECT seq, i, {_TEXTS}, CASE WHEN op IN ('link', 'unlink') THEN detail END FROM audit_log"
        " WHERE salt IS NOT NULL AND (memory_id IS NULL OR memory_id NOT IN (FROM erased))"
        f" AND (op IN ('link', 'unlink') OR regexp_matches({_TEXTS}, '[0-7][0-9A-HJKMNP-TV-Z]{{25}}'))"
    )
    while rows := cursor.fetchmany(10_000):
        for seq, i, texts, link in rows:
            if names(texts, ids) or (partitions and link is not None and _links(link, partitions)):
                yield seq, i


def _links(detail: str, uris: Collection[str]) -> bool:
    facts = json.loads(detail)
    return facts.get("src") in uris or facts.get("dst") in uris
