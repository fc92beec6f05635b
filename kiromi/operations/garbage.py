"""Garbage: which closed versions nobody needs, and what goes with them, as sets over the tables.

Needed is what a root shows: a snapshot or a moment that an unfinished job pins shows the rows with
``begin_seq <= seq < end_seq``, and every moment from the gc floor on shows those with ``end_seq > floor``. Everything
here looks through one cursor, so it is of one moment; who deletes by it keeps the writer out until the commit.
"""

from dataclasses import dataclass, fields

import duckdb
import pyarrow as pa

from kiromi.catalog.rows import attic_path
from kiromi.catalog.vectors import table_name
from kiromi.operations.jobs import pins_of
from kiromi.operations.retiring import plan_retire
from kiromi.session.operation import Operation
from kiromi.session.session import Session

# The last root before a row's end decides: if it is not before the row's begin, it shows the row.
_UNSHOWN = """
FROM {table} h ASOF LEFT JOIN (SELECT seq FROM snapshots UNION SELECT unnest($1::BIGINT[])) r ON h.end_seq > r.seq
WHERE h.end_seq <= $2 AND (r.seq IS NULL OR r.seq < h.begin_seq)
"""
_DOOMED = f"SELECT h.id, h.n, h.begin_seq, h.last_n {_UNSHOWN.format(table='history')}"
_PAGE = " AND h.id >= $3 ORDER BY h.id, h.begin_seq LIMIT $4"
_KEPT = "(SELECT h.id, h.n, h.last_n FROM history h ANTI JOIN doomed d ON h.id = d.id AND h.begin_seq = d.begin_seq)"
_CONTENTS = f"""
SELECT c.id, c.n, c.ext, c.size FROM contents c SEMI JOIN doomed d ON c.id = d.id AND c.n = d.n
ANTI JOIN memories m ON c.id = m.id AND c.n = m.n ANTI JOIN {_KEPT} k ON c.id = k.id AND c.n = k.n
ORDER BY c.id, c.n
"""
_ENDED = f"""
SELECT d.id, max(d.last_n), k.last_n AS kept FROM doomed d ANTI JOIN memories m ON d.id = m.id
LEFT JOIN (SELECT id, max(last_n) AS last_n FROM {_KEPT} GROUP BY id) k ON d.id = k.id
GROUP BY d.id, k.last_n HAVING k.last_n IS NULL OR k.last_n < max(d.last_n)
"""
_DROP_VERSIONS = (
    "DELETE FROM history WHERE id BETWEEN ? AND ?"
    " AND (id, begin_seq) IN (SELECT unnest(?::VARCHAR[]), unnest(?::BIGINT[]))"
)
_DROP = (
    "DELETE FROM {table} WHERE id BETWEEN ? AND ? AND (id, n) IN (SELECT unnest(?::VARCHAR[]), unnest(?::INTEGER[]))"
)
_NUMBER = (
    "UPDATE history SET last_n = g.last_n FROM (SELECT unnest(?::VARCHAR[]) AS id, unnest(?::INTEGER[]) AS last_n) g"
    " WHERE history.id = g.id AND history.last_n < g.last_n"
)
_DROP_LINKS = f"DELETE FROM links WHERE rowid IN (SELECT h.rowid {_UNSHOWN.format(table='links')})"
_ENDED_PLANS = (
    "job IN (SELECT id FROM migration_state WHERE status NOT IN ('running', 'paused') AND updated_at <= {moment})"
)
_UP_TO = 'SELECT coalesce(max(seq), 0) FROM audit_log WHERE "at" <= make_timestamptz(?)'


@dataclass(frozen=True, slots=True)
class Roots:
    """What decides which closed versions are needed."""

    floor: int
    """Every moment from this seq on is kept."""
    pins: tuple[int, ...]
    """Moments that unfinished jobs need; snapshots are in a table of their own."""

    @classmethod
    def of(cls, cursor: duckdb.DuckDBPyConnection) -> "Roots":
        """Return the roots as they are."""
        ((floor,),) = cursor.execute("SELECT gc_floor FROM meta").fetchall()
        return cls(floor, tuple(pins_of(cursor)))

    def raised(self, cursor: duckdb.DuckDBPyConnection, moment: int) -> "Roots":
        """Return the roots with the floor at the last operation up to a time, as far as it may go.

        Args:
            cursor: over the tables.
            moment: in microseconds since 1970 UTC.
        """
        ((seq,),) = cursor.execute(_UP_TO, [max(moment, 0)]).fetchall()
        return Roots(max(self.floor, min((int(seq), *self.pins))), self.pins)


@dataclass(frozen=True, slots=True)
class Tally:
    """How much of what goes."""

    versions: int = 0
    memories: int = 0
    contents: int = 0
    size_bytes: int = 0
    links: int = 0
    plans: int = 0
    orphans: int = 0
    orphan_bytes: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(Tally)))


@dataclass(frozen=True, slots=True)
class Garbage:
    """Closed versions that nobody needs, and what goes with them."""

    versions: pa.Table
    """Columns id, n, begin_seq, last_n; in the order of ids."""
    contents: list[tuple[str, int, str, int]]
    """Id, n, extension and size of what nothing names without these versions."""
    retired: dict[str, int]
    """The ids of which nothing else is left, with the highest ``n`` that each ever used."""
    renumbered: dict[str, int]
    """Deleted memories of which only older versions are left; these have to remember the highest ``n``."""

    @classmethod
    def find(cls, cursor: duckdb.DuckDBPyConnection, roots: Roots, after: str, limit: int) -> "Garbage":
        """Return what nobody needs of ids from ``after`` on, at most ``limit`` versions, in the order of their ids."""
        versions = cursor.sql(_DOOMED + _PAGE, params=[list(roots.pins), roots.floor, after, limit]).to_arrow_table()
        if not len(versions):
            return cls(versions, [], {}, {})
        cursor.register("doomed", versions)
        contents = cursor.execute(_CONTENTS).fetchall()
        ended = cursor.execute(_ENDED).fetchall()
        cursor.unregister("doomed")
        return cls(
            versions,
            contents,
            {memory_id: last_n for memory_id, last_n, kept in ended if kept is None},
            {memory_id: last_n for memory_id, last_n, kept in ended if kept is not None},
        )

    @property
    def tally(self) -> Tally:
        """How much it is."""
        size = sum(size for *_, size in self.contents)
        return Tally(len(self.versions), len(self.retired), len(self.contents), size)

    def plan_drop(self, operation: Operation, session: Session) -> None:
        """Plan to drop it; the operation is alone in its commit."""
        ids, begins = (self.versions.column(name).to_pylist() for name in ("id", "begin_seq"))
        operation.execute(_DROP_VERSIONS, min(ids), max(ids), ids, begins)
        if self.renumbered:
            operation.execute(_NUMBER, list(self.renumbered), list(self.renumbered.values()))
        plan_retire(operation, session, self.retired)
        if not self.contents:
            return
        keys = [memory_id for memory_id, *_ in self.contents], [n for _, n, *_ in self.contents]
        for table in ("contents", "passages", *map(table_name, session.models)):
            operation.execute(_DROP.format(table=table), keys[0][0], keys[0][-1], *keys)
        for memory_id, n, ext, _ in self.contents:
            operation.drop((memory_id, n), attic_path(memory_id, n, ext))


def count_garbage(cursor: duckdb.DuckDBPyConnection, roots: Roots) -> Tally:
    """Return how much :meth:`Garbage.find` would find in all."""
    versions = cursor.sql(_DOOMED, params=[list(roots.pins), roots.floor]).to_arrow_table()
    if not len(versions):
        return Tally()
    cursor.register("doomed", versions)
    contents = f"SELECT count(*), coalesce(sum(size), 0)::BIGINT FROM ({_CONTENTS})"
    ((content_count, size_bytes),) = cursor.execute(contents).fetchall()
    ((retired,),) = cursor.execute(f"SELECT count(*) FROM ({_ENDED}) WHERE kept IS NULL").fetchall()
    cursor.unregister("doomed")
    return Tally(len(versions), retired, content_count, size_bytes)


def count_kept(cursor: duckdb.DuckDBPyConnection, roots: Roots) -> int:
    """Return how many closed versions from before the floor are there, needed or not."""
    ((count,),) = cursor.execute("SELECT count(*) FROM history WHERE end_seq <= ?", [roots.floor]).fetchall()
    return int(count)


def count_rest(cursor: duckdb.DuckDBPyConnection, roots: Roots, moment: int) -> Tally:
    """Return how many links ended that nobody needs, and how long the plans are of jobs that ended up to a time."""
    links = f"SELECT count(*) {_UNSHOWN.format(table='links')}"
    ((link_count,),) = cursor.execute(links, [list(roots.pins), roots.floor]).fetchall()
    plans = f"SELECT count(*) FROM migration_targets WHERE {_ENDED_PLANS.format(moment='make_timestamptz(?)')}"
    ((plan_count,),) = cursor.execute(plans, [max(moment, 0)]).fetchall()
    return Tally(links=link_count, plans=plan_count)


def plan_drop_rest(operation: Operation, roots: Roots, moment: int) -> None:
    """Plan to drop what :func:`count_rest` counts."""
    operation.execute(_DROP_LINKS, list(roots.pins), roots.floor)
    operation.execute(
        f"DELETE FROM migration_targets WHERE {_ENDED_PLANS.format(moment='make_timestamptz(?)')}", max(moment, 0)
    )
