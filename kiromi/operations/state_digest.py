"""The digest of a state: of the present or of a past moment, as the tables show it."""

from collections.abc import Mapping

import duckdb

from kiromi.errors import InvalidInput
from kiromi.operations.caller import Caller
from kiromi.portable.archive.digest import LINK_FIELDS, MEMORY_FIELDS, StateDigest

_ROWS = 20_000
_COLUMNS = ", ".join(f"c.{name}" if name in ("sha256", "media_type") else f"m.{name}" for name in MEMORY_FIELDS)
_MEMORIES = f"SELECT {_COLUMNS} FROM memories m JOIN contents c USING (id, n) ORDER BY m.id"
_LINKS = f"SELECT {', '.join(LINK_FIELDS)} FROM links WHERE end_seq IS NULL ORDER BY src, dst, kind"


def digest(caller: Caller) -> str:
    """Return the digest of the moment that a caller looks at; see ``Store.digest``."""
    if caller.scope.wanted:
        raise InvalidInput("a digest is of the whole tenant: ask an unscoped handle")
    with caller.reading() as (_, cursor):
        return digest_of(cursor, {number: scheme.template for number, scheme in caller.session.schemes.items()})


def digest_of(cursor: duckdb.DuckDBPyConnection, schemes: Mapping[int, str]) -> str:
    """Return the digest of what the tables show; ``schemes`` are templates by number."""
    found = StateDigest(schemes)
    for batch in cursor.sql(_MEMORIES).to_arrow_reader(_ROWS):
        found.add_memories(batch)
    for batch in cursor.sql(_LINKS).to_arrow_reader(_ROWS):
        found.add_links(batch)
    return found.hexdigest()
