"""Rules of a running job: where a memory goes that somebody changed after the plan was made.

What was planned for it no longer holds: it goes where its present attributes say, so that nothing is left behind and no
change is undone.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import duckdb
import pyarrow as pa

from kiromi.attributes import decode_attributes, encode_attributes
from kiromi.catalog.rows import CLOSED_ROWS, LIVE_ROWS, Row, to_rows
from kiromi.operations.jobs import Job
from kiromi.operations.migrate.mapping import Place, Rule, added
from kiromi.partition import Assignments
from kiromi.session.session import Session


class Goal(NamedTuple):
    """Where a memory goes, and under which scheme."""

    scheme: int
    place: Place


class Target(NamedTuple):
    """What was planned for a memory."""

    begin_seq: int
    attributes: str | None


Retarget: TypeAlias = Callable[[duckdb.DuckDBPyConnection, Sequence[Row], Mapping[str, Target]], dict[str, Goal | str]]
"""Gives for live rows, and what was planned for them, where they go now, or why they stay."""

_VERSIONS = """
SELECT w.id, h.attributes FROM wanted w JOIN history h ON h.id = w.id AND h.begin_seq = w.seq
UNION ALL SELECT w.id, m.attributes FROM wanted w JOIN memories m ON m.id = w.id AND m.begin_seq = w.seq
"""
_ROWS = [f"{rows} JOIN wanted w ON w.id = m.id AND w.seq = m.begin_seq" for rows in (CLOSED_ROWS, LIVE_ROWS)]
_FORMER = """
SELECT h.id, h.end_seq, h.scheme, h.attributes FROM wanted w JOIN history h USING (id)
JOIN migration_batches b ON b.job = $job AND b.seq = h.end_seq
"""


def retarget_of(session: Session, job: Job) -> Retarget:
    """Return the rule of a job, from what is stored of it alone."""
    if job.params["rollback_of"] is not None:
        return lambda cursor, rows, _: back(session, cursor, rows, job.params["rollback_of"])
    return _forward(session, job.params)


def back(
    session: Session, cursor: duckdb.DuckDBPyConnection, rows: Sequence[Row], origin: str
) -> dict[str, Goal | str]:
    """Return where memories go back to that were changed after a job moved them.

    What the job had set is taken off again, unless it was changed since.
    """
    former = {
        memory_id: (end_seq, scheme, attributes)
        for memory_id, end_seq, scheme, attributes in _asked(
            cursor, _FORMER, {"id": [row.id for row in rows]}, {"job": origin}
        )
    }
    moved = _versions(cursor, [(memory_id, end_seq) for memory_id, (end_seq, _, _) in former.items()])
    found: dict[str, Goal | str] = {}
    for row in rows:
        if row.id not in former or row.id not in moved:
            found[row.id] = "gc has removed what it was before"
            continue
        _, scheme, before = former[row.id]
        after = moved[row.id]
        undone = _unchanged(added(after, before), row.attributes, after)
        place = _without(session, row, scheme, undone, before)
        found[row.id] = place if isinstance(place, str) else Goal(scheme, place)
    return found


def _without(session: Session, row: Row, scheme: int, undone: Iterable[str], before: str) -> Place | str:
    """Return where a row goes with some attributes as they were before."""
    old = decode_attributes(before)
    attributes: dict[str, Any] = decode_attributes(row.attributes)
    for name in undone:
        if name in old:
            attributes[name] = old[name]
        else:
            attributes.pop(name, None)
    text = encode_attributes(attributes)
    changed = row._replace(attributes=text)
    place = Rule(session.schemes[scheme], Assignments(), session.meta.fold_case).place(changed, {})
    return place if isinstance(place, str) else Place(place.partition, None if text == row.attributes else text)


def _forward(session: Session, params: Mapping[str, Any]) -> Retarget:
    number = int(params["number"])
    rule = Rule(session.schemes[number], Assignments.parse(params["set"]), session.meta.fold_case)

    def retarget(
        cursor: duckdb.DuckDBPyConnection, rows: Sequence[Row], targets: Mapping[str, Target]
    ) -> dict[str, Goal | str]:
        is_said = params["set"] or params["mapper"]
        planned = _rows(cursor, [(row.id, targets[row.id].begin_seq) for row in rows]) if is_said else {}
        found: dict[str, Goal | str] = {}
        for row in rows:
            before = planned.get(row.id)
            given = {} if before is None else _given(rule, before, targets[row.id].attributes, row)
            place = rule.place(row, given)
            found[row.id] = place if isinstance(place, str) else Goal(number, place)
        return found

    return retarget


def _given(rule: Rule, planned: Row, target: str | None, row: Row) -> dict[str, Any]:
    """Return what goes over ``set`` for a row that was changed: what its caller said since, else what a mapper gave.

    Args:
        rule: the job's.
        planned: the row that the plan saw.
        target: the attributes that were planned for it; None if they were to stay.
        row: as it is now.
    """
    filled = encode_attributes(rule.filled(planned))  # what the mapper gave is what differs from this
    mapped = added(filled, planned.attributes if target is None else target)
    said = added(planned.attributes, row.attributes)
    own = {name: said[name] for name, _ in rule.sets.segments if said.get(name) is not None}
    return {name: value for name, value in mapped.items() if name not in said} | own


def _unchanged(given: Mapping[str, Any], present: str, planned: str) -> dict[str, Any]:
    """Return what is given for attributes that are still as they were."""
    changed = added(planned, present)
    return {name: value for name, value in given.items() if name not in changed}


def _versions(cursor: duckdb.DuckDBPyConnection, wanted: Sequence[tuple[str, int]]) -> dict[str, str]:
    """Return the attributes of the versions that began with given operations, by id."""
    columns: dict[str, list[Any]] = {"id": [memory_id for memory_id, _ in wanted], "seq": [seq for _, seq in wanted]}
    return dict(_asked(cursor, _VERSIONS, columns))


def _rows(cursor: duckdb.DuckDBPyConnection, wanted: Sequence[tuple[str, int]]) -> dict[str, Row]:
    """Return the versions that began with given operations, by id."""
    columns: dict[str, list[Any]] = {"id": [memory_id for memory_id, _ in wanted], "seq": [seq for _, seq in wanted]}
    with _wanted(cursor, columns):
        return {row.id: row for query in _ROWS for row in to_rows(cursor.sql(query).to_arrow_table())}


def _asked(
    cursor: duckdb.DuckDBPyConnection,
    query: str,
    columns: Mapping[str, list[Any]],
    parameters: Mapping[str, Any] | None = None,
) -> list[Any]:
    if not columns["id"]:
        return []
    with _wanted(cursor, columns):
        return cursor.execute(query, dict(parameters or {})).fetchall()


@contextlib.contextmanager
def _wanted(cursor: duckdb.DuckDBPyConnection, columns: Mapping[str, list[Any]]) -> Iterator[None]:
    types = {"id": pa.string(), "seq": pa.int64()}
    cursor.register("wanted", pa.table({name: pa.array(values, types[name]) for name, values in columns.items()}))
    try:
        yield
    finally:
        cursor.unregister("wanted")
