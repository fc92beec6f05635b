"""The rows of the catalog against each other, and the paths of live rows against their schemes.

One scan of the catalog. What sets can show is one statement each; a path is rendered anew for every live row.
"""

from collections.abc import Iterator, Mapping
from decimal import InvalidOperation
from typing import Any

import duckdb

from kiromi.attributes import decode_attributes
from kiromi.errors import InvalidInput
from kiromi.operations.within import Schemes
from kiromi.reports.checking import Problem
from kiromi.times import from_micros

_ROWS = 10_000
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, InvalidOperation)
"""What decoding raises for a text that the codec never wrote."""

_RULES: Mapping[str, str] = {
    "live_twice": """
        SELECT id, 'it is live ' || count(*) || ' times' FROM memories GROUP BY id HAVING count(*) > 1""",
    "key_twice": """
        SELECT min(id), 'its key ' || key || ' in namespace ' || namespace || ' is also that of '
               || array_to_string(list_sort(list(DISTINCT id))[2:], ', ')
        FROM memories WHERE key IS NOT NULL GROUP BY namespace, key HAVING count(DISTINCT id) > 1""",
    "scheme_unknown": """
        SELECT DISTINCT id, 'its scheme ' || scheme || ' is none of the store'
        FROM (SELECT id, scheme FROM memories UNION ALL SELECT id, scheme FROM history)
        ANTI JOIN (SELECT number AS scheme FROM schemes) USING (scheme)""",
    "content_unknown": """
        SELECT DISTINCT id, 'its content ' || n || ' is unknown to the catalog'
        FROM (SELECT id, n FROM memories UNION ALL SELECT id, n FROM history) ANTI JOIN contents USING (id, n)""",
    "content_twice": """
        SELECT id, 'its content ' || n || ' is recorded ' || count(*) || ' times'
        FROM contents GROUP BY id, n HAVING count(*) > 1""",
    "content_number": """
        SELECT m.id, 'its last content is said to be ' || m.last_n || ', but it has ' || greatest(m.n, max(c.n))
        FROM memories m JOIN contents c USING (id) GROUP BY m.id, m.n, m.last_n
        HAVING m.last_n < greatest(m.n, max(c.n))""",
    "supersession_incomplete": """
        SELECT DISTINCT id, CASE WHEN superseded_at IS NULL
               THEN 'it is superseded by ' || superseded_by || ', but it is not said from when on'
               ELSE 'it is superseded, but it is not said by what' END
        FROM (
            SELECT id, superseded_by, superseded_at FROM memories
            UNION ALL SELECT id, superseded_by, superseded_at FROM history
        ) WHERE (superseded_by IS NULL) <> (superseded_at IS NULL)""",
    "intervals_overlap": """
        WITH intervals AS (
            SELECT id, begin_seq, end_seq FROM history
            UNION ALL SELECT id, min(begin_seq), NULL FROM memories GROUP BY id
        ), ordered AS (
            SELECT *, lead(begin_seq) OVER (PARTITION BY id ORDER BY begin_seq, end_seq NULLS LAST) AS next
            FROM intervals
        )
        SELECT id, 'its version of seq ' || begin_seq || ' ends ' || coalesce('at ' || end_seq, 'never')
               || coalesce(', and the next begins at ' || next, '')
        FROM ordered WHERE end_seq <= begin_seq OR end_seq > next OR (end_seq IS NULL AND next IS NOT NULL)""",
}
"""Each finds the ids that break a rule, and says how."""


def check_rows(cursor: duckdb.DuckDBPyConnection, schemes: Schemes, *, fold_case: bool) -> Iterator[Problem]:
    """Yield what is wrong with rows, with the memory's id as subject.

    Args:
        cursor: a snapshot of the catalog.
        schemes: all schemes of the store.
        fold_case: whether its paths are written for a filesystem that ignores case.
    """
    for kind, rule in _RULES.items():
        for memory_id, message in cursor.execute(f"{rule} ORDER BY 1, 2").fetchall():
            yield Problem(kind, memory_id, f"memory {memory_id}: {message}")
    cursor.execute(
        "SELECT id, scheme, partition, attributes, kind, key, epoch_us(created_at), epoch_us(event_at) FROM memories"
    )
    while rows := cursor.fetchmany(_ROWS):
        for row in rows:
            found = _path_problem(row, schemes, fold_case)
            if found is not None:
                kind, message = found
                yield Problem(kind, row[0], f"memory {row[0]}: {message}")


def _path_problem(row: tuple[Any, ...], schemes: Schemes, fold_case: bool) -> tuple[str, str] | None:
    """Return kind and message if a row's path is not what its scheme renders from its attributes and built-ins."""
    memory_id, number, path, attributes, kind, key, created_at, event_at = row
    try:
        values: dict[str, Any] = decode_attributes(attributes)
    except _UNREADABLE as error:
        return "attributes_unreadable", f"its attributes cannot be decoded: {error!r}"
    if number not in schemes:
        return None  # a rule of its own
    values.update(id=memory_id, kind=kind, created_at=from_micros(created_at), event_at=from_micros(event_at))
    values.pop("key", None)
    if key is not None:
        values["key"] = key
    try:
        rendered = schemes[number].render(values, fold_case=fold_case).path
    except InvalidInput as error:
        return "path_mismatch", f"it lies at {path}, but its scheme cannot render a path: {error.message}"
    return None if rendered == path else ("path_mismatch", f"it lies at {path}; its scheme renders {rendered}")
