"""What a store without a catalog still has: its blobs, sorted into what an archive explains and what it does not.

Sets do the work: only ids of which something differs are looked at one by one.
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import duckdb
import pyarrow as pa

from kiromi.blobs.base import Blobs
from kiromi.blobs.local import LocalBlobs
from kiromi.blobs.objects import ObjectBlobs
from kiromi.catalog.building import run_with
from kiromi.catalog.rows import ROW_SCHEMA, Row, to_rows
from kiromi.times import now_micros, to_micros

_NAME = re.compile(
    r"(data|attic|staging)/(?:(.*)/)?([0-7][0-9A-HJKMNP-TV-Z]{25})\.([1-9][0-9]{0,8})\.(md|txt|json|bin)"
)
_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("folder", pa.string()),
        ("id", pa.string()),
        ("n", pa.int32()),
        ("ext", pa.string()),
        ("size", pa.int64()),
    ]
)
_LISTED = 50_000
_ROW_NAMES = ", ".join(f"m.{name}" for name in ROW_SCHEMA.names)
_EXPLAINED = """
CREATE TEMP TABLE explained AS
SELECT l.path, l.id, l.n, true AS is_live FROM listed l JOIN came_memories m USING (id, n)
WHERE l.path = concat('data/', m.partition, '/', m.id, '.', m.n, '.', m.ext)
UNION
SELECT l.path, l.id, l.n, false FROM listed l
SEMI JOIN came_history h USING (id, n) ANTI JOIN came_memories m USING (id, n)
WHERE l.path = concat('attic/', right(l.id, 2), '/', l.id, '.', l.n, '.', l.ext)
"""
_DIFFERING = """
CREATE TEMP TABLE differing AS
SELECT DISTINCT id FROM (
    SELECT l.id FROM listed l ANTI JOIN explained USING (path)
    UNION ALL SELECT m.id FROM came_memories m ANTI JOIN (SELECT * FROM explained WHERE is_live) USING (id, n)
)
"""


_DAMAGED = """
SELECT l.path, e.is_live, l.id NOT IN (SELECT id FROM differing) FROM listed l JOIN explained e USING (path)
JOIN (SELECT id, n, size FROM came_memories UNION SELECT id, n, size FROM came_history) c ON c.id = l.id AND c.n = l.n
WHERE l.size <> c.size ORDER BY l.path
"""


class Entry(NamedTuple):
    """A blob as it was found."""

    path: str
    folder: str
    n: int
    ext: str
    size: int

    @property
    def partition(self) -> str:
        """Its path below ``data/``, if it lies there; empty right there."""
        return self.path.removeprefix("data/").rpartition("/")[0]


@dataclass(slots=True)
class Case:
    """All that is known of an id of which something differs."""

    id: str
    entries: list[Entry] = field(default_factory=list)
    live: Row | None = None
    """Of the archive."""
    closed: list[tuple[Row, int]] = field(default_factory=list)
    """Of the archive, with their ``end_seq``, oldest first."""

    @property
    def last(self) -> Row | None:
        """The newest version that the archive has."""
        return self.live or (self.closed[-1][0] if self.closed else None)


@dataclass(slots=True)
class Findings:
    """What was found."""

    whole: int
    """Live memories whose blobs lie where the archive says, and nothing else of them."""
    cases: list[Case]
    strangers: list[str]
    damaged: tuple[str, ...]
    """Where the archive says, but of another size."""


def look(cursor: duckdb.DuckDBPyConnection, blobs: Blobs) -> Findings:
    """List the blobs and compare them with ``came_memories`` and ``came_history``."""
    strangers: list[str] = []
    run_with(cursor, _SCHEMA.empty_table(), "CREATE TEMP TABLE listed AS SELECT * FROM incoming")
    for table in _listed(blobs, strangers):
        run_with(cursor, table, "INSERT INTO listed SELECT * FROM incoming")
    cursor.execute(_EXPLAINED)
    cursor.execute(_DIFFERING)
    ((whole,),) = cursor.execute("SELECT count(*) FROM came_memories ANTI JOIN differing USING (id)").fetchall()
    damaged = cursor.execute(_DAMAGED).fetchall()
    cases = _cases(cursor)
    for case in cases:
        strangers += _leave_others(case, blobs)
    whole -= sum(is_live and is_quiet for _, is_live, is_quiet in damaged)
    return Findings(whole, cases, strangers, tuple(path for path, *_ in damaged))


def epoch_of(blobs: Blobs) -> tuple[int, Mapping[str, str] | None]:
    """Return the newest epoch on an object store and what lies there; 0 where there is none."""
    if not isinstance(blobs, ObjectBlobs):
        return 0, None
    listed = [int(name) for path, _ in blobs.walk("epoch") if (name := path.rpartition("/")[2]).isdecimal()]
    newest = max([0, *listed])
    while (found := blobs.read(f"epoch/{newest + 1:012}")) is not None:
        newest += 1
    found = blobs.read(f"epoch/{newest:012}") if newest else None
    return newest, None if found is None else json.loads(found)


def changed_at(blobs: Blobs, path: str) -> int:
    """Return when a file was last changed, in microseconds since 1970 UTC; now if the filesystem does not say."""
    if isinstance(blobs, LocalBlobs):
        return (blobs.root / path).stat().st_mtime_ns // 1000
    if isinstance(blobs, ObjectBlobs):
        try:
            return to_micros(blobs.filesystem.modified(f"{blobs.root}/{path}"))
        except (NotImplementedError, FileNotFoundError, TypeError):
            return now_micros()
    return now_micros()


def read_facts(blobs: Blobs, paths: Sequence[tuple[str, int]], most: int) -> Iterator[tuple[str, bytes]]:
    """Yield path and bytes of each, reading some at a time but no more than ``most`` bytes at once, unless one has."""
    group: list[str] = []
    held = 0
    for path, size in [*paths, ("", most + 1)]:
        if group and held + size > most:
            for name, data in zip(group, blobs.read_many(group), strict=True):
                if data is not None:
                    yield name, data
            group, held = [], 0
        group.append(path)
        held += size


def _listed(blobs: Blobs, strangers: list[str]) -> Iterator[pa.Table]:
    rows: list[tuple[str, str, str, int, str, int]] = []
    for prefix in ("data", "attic", "staging"):
        for path, size in blobs.walk(prefix):
            match = _NAME.fullmatch(path) if path.isascii() or _is_text(path) else None
            if match is None:
                strangers.append(path)
                continue
            rows.append((path, match[1], match[3], int(match[4]), match[5], size))
            if len(rows) == _LISTED:
                yield _table(rows)
                rows = []
    yield _table(rows)


def _table(rows: list[tuple[str, str, str, int, str, int]]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else ([] for _ in _SCHEMA)
    return pa.Table.from_arrays(
        [pa.array(column, one.type) for column, one in zip(columns, _SCHEMA, strict=True)], schema=_SCHEMA
    )


def _cases(cursor: duckdb.DuckDBPyConnection) -> list[Case]:
    cases: dict[str, Case] = {}
    entries = defaultdict(list)
    found = cursor.execute(
        "SELECT l.id, l.path, l.folder, l.n, l.ext, l.size FROM listed l SEMI JOIN differing USING (id) ORDER BY l.path"
    ).fetchall()
    for memory_id, *values in found:
        entries[memory_id].append(Entry(*values))
    for (memory_id,) in cursor.execute("SELECT id FROM differing ORDER BY id").fetchall():
        cases[memory_id] = Case(memory_id, entries[memory_id])
    live = cursor.sql(f"SELECT {_ROW_NAMES} FROM came_memories m SEMI JOIN differing USING (id)").to_arrow_table()
    for row in to_rows(live):
        cases[row.id].live = row
    closed = cursor.sql(
        f"SELECT {_ROW_NAMES}, m.end_seq FROM came_history m SEMI JOIN differing USING (id) ORDER BY m.id, m.end_seq"
    ).to_arrow_table()
    ends = closed.column("end_seq").to_pylist()
    for row, end in zip(to_rows(closed.drop_columns(["end_seq"])), ends, strict=True):
        cases[row.id].closed.append((row, end))
    return list(cases.values())


def _leave_others(case: Case, blobs: Blobs) -> list[str]:
    """Leave out of a case the files that have a content's name and are neither it nor a cut copy; return their paths.

    What opening the store settles keeps one place of a content and deletes the others, so these must be no others.
    """
    entries: list[Entry] = []
    left: list[str] = []
    for n in sorted({entry.n for entry in case.entries}):
        of_n = [entry for entry in case.entries if entry.n == n]
        if len(of_n) > 1:
            of_n, others = _sorted_out(case, n, of_n, blobs)
            left += others
        entries += of_n
    case.entries = entries
    return left


def _sorted_out(case: Case, n: int, entries: list[Entry], blobs: Blobs) -> tuple[list[Entry], list[str]]:
    """Return the entries that are one content, the whole one first, and where the others lie."""
    expected = case.live.live_path if case.live is not None and case.live.n == n else None
    order = sorted(entries, key=lambda one: (one.path != expected, one.folder != "data", one.path))
    found = blobs.read_many([entry.path for entry in order])
    data = {entry: content or b"" for entry, content in zip(order, found, strict=True)}
    rows = (*(row for row, _ in case.closed), *([case.live] if case.live else []))
    known = {row.sha256 for row in rows if row.n == n}
    first = order[0]
    whole = next((one for one in order if hashlib.sha256(data[one]).digest() in known), None)
    if whole is None:
        whole = max((one for one in order if data[one].startswith(data[first])), key=lambda one: len(data[one]))
    if not data[whole].startswith(data[first]):
        whole = first  # something else lies in its place, which opening would take for it or overwrite
    same = [one for one in order if data[whole].startswith(data[one])]
    return (
        sorted(same, key=lambda one: len(data[one]) != len(data[whole])),
        [one.path for one in order if one not in same],
    )


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
