"""Which memories an erasure is about: those that are named, or those whose last version is within a selection."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from kiromi.catalog.last import last_rows
from kiromi.catalog.rows import MEMORY_SCHEMA, Row
from kiromi.catalog.view import View
from kiromi.errors import InvalidInput, MemoryNotFound
from kiromi.ids import check_id
from kiromi.operations.caller import Caller
from kiromi.operations.retiring import last_numbers
from kiromi.operations.select import Selection

_COLUMNS = ", ".join(MEMORY_SCHEMA.names)
_LAST_VERSIONS = f"""
CREATE OR REPLACE TEMP VIEW memories AS
    SELECT {_COLUMNS} FROM {{db}}.memories
    UNION ALL (
        SELECT {_COLUMNS} FROM {{db}}.history h ANTI JOIN {{db}}.memories USING (id)
        QUALIFY row_number() OVER (PARTITION BY h.id ORDER BY h.end_seq DESC) = 1
    );
"""
_FORMER_VERSIONS = f"CREATE OR REPLACE TEMP VIEW memories AS SELECT {_COLUMNS} FROM {{db}}.history"
_CHOSEN = "SELECT DISTINCT m.id FROM memories m LEFT JOIN contents c USING (id, n) WHERE {condition} ORDER BY m.id"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was chosen."""

    ids: tuple[str, ...]
    former: tuple[str, ...] = ()
    """Memories that are not, because only former versions of them match."""


def choose(caller: Caller, ids: Iterable[str] | None, within: Mapping[str, Any] | None, where: Any) -> Chosen:
    """Return the memories that are named, or selected; expired and deleted ones too.

    Raises:
        InvalidInput: an argument is refused, or none or both kinds of them are given.
        MemoryNotFound: no memory of a given id was ever in the caller's scope.
    """
    is_selection = bool(within) or where is not None
    if (ids is not None) == is_selection:
        raise InvalidInput("erase needs either ids=, or within= or where=; where={} says: everything in scope")
    if ids is None:
        return _selected(caller, within, where)
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable):
        raise InvalidInput(f"ids={ids!r} is not an iterable of ids")
    return _named(caller, list(dict.fromkeys(check_id(memory_id) for memory_id in ids)))


def _named(caller: Caller, wanted: Sequence[str]) -> Chosen:
    with caller.session.snapshot() as (view, cursor):
        last = _last_versions(view, cursor, wanted)
    unknown = [memory_id for memory_id in wanted if not caller.sees(last.get(memory_id))]
    # What is gone already needs no erasing; a scoped handle must not learn what was there outside its scope.
    gone = last_numbers(caller.session, unknown) if unknown and not caller.scope.wanted else {}
    for memory_id in unknown:
        if memory_id in last or memory_id not in gone:
            raise MemoryNotFound(f"no memory {memory_id} here", id=memory_id)
    return Chosen(tuple(memory_id for memory_id in wanted if memory_id in last))


def _last_versions(view: View, cursor: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> dict[str, Row]:
    found = {row.id: row for row in view.rows(ids)}
    return found | last_rows(cursor, [memory_id for memory_id in ids if memory_id not in found])


def _selected(caller: Caller, within: Mapping[str, Any] | None, where: Any) -> Chosen:
    selection = Selection.of(caller, within, where, with_expired=True)
    with caller.session.snapshot() as (_, cursor):
        chosen = _matching(cursor, _LAST_VERSIONS, selection)
        former = set(_matching(cursor, _FORMER_VERSIONS, selection)).difference(chosen)
    return Chosen(tuple(chosen), tuple(sorted(former)))


def _matching(cursor: duckdb.DuckDBPyConnection, view: str, selection: Selection) -> list[str]:
    """Return the ids of the versions that match, where ``view`` says what is to be taken for the memories."""
    ((database,),) = cursor.execute("SELECT current_database()").fetchall()
    cursor.execute(view.format(db='"' + database.replace('"', '""') + '".main')).fetchall()
    condition = selection.condition(cursor)
    found = cursor.execute(_CHOSEN.format(condition=condition.sql), condition.parameters).fetchall()
    return [memory_id for (memory_id,) in found]
