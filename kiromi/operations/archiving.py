"""Export of an archive: a moment of the store, or what came since another, as files of their own.

The tables are read through one cursor that shows the moment, so writers go on meanwhile; contents are read wherever
they lie by then. Everything streams: memory is bounded by a row group. The manifest is written last, and with it the
archive is there; an export that was killed leaves none, and the next one to the same place starts over.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import duckdb
import pyarrow as pa

from kiromi.catalog.audit import genesis
from kiromi.catalog.past import Moment, check_kept
from kiromi.catalog.rows import CLOSED_ROWS, LIVE_ROWS, Row, to_rows
from kiromi.catalog.vectors import table_name
from kiromi.errors import InvalidInput
from kiromi.operations.asof import Ref, resolve
from kiromi.operations.caller import Caller
from kiromi.operations.state_digest import digest_of
from kiromi.portable.archive.manifest import (
    FORMAT,
    ArchivedModel,
    Manifest,
    Part,
    Since,
    prepare,
    write_manifest,
)
from kiromi.portable.archive.parts import PartWriter, in_groups, write_all
from kiromi.portable.archive.place import Place
from kiromi.portable.archive.tables import CONTENTS, SCHEMAS, vector_kind, vector_schema
from kiromi.reports.archives import ArchiveReport
from kiromi.session.contents import place_of
from kiromi.times import now_micros

_ROWS = 4096
_CONTENT_BYTES = 16 * 2**20
"""About how many bytes of contents are in memory at once, unless one alone is larger."""
_HEAD_AT = 'SELECT "hash", epoch_us("at") FROM audit_log WHERE seq <= ? ORDER BY seq DESC, i DESC LIMIT 1'
_COUNTS = """
SELECT count(*), coalesce(sum(c.size), 0)::BIGINT, (SELECT count(*) FROM links WHERE end_seq IS NULL)
FROM memories m JOIN contents c USING (id, n)
"""
_TABLES: Mapping[str, str] = {
    "memories": f"{LIVE_ROWS} WHERE m.begin_seq > $since ORDER BY m.id",
    "history": (
        CLOSED_ROWS.replace(" FROM history", ", m.end_seq FROM history")
        + " WHERE m.end_seq > $since ORDER BY m.id, m.begin_seq"
    ),
    "links": (
        "SELECT src, dst, kind, weight, note, valid_from, valid_until, begin_seq, end_seq, actor FROM links"
        " WHERE begin_seq > $since OR end_seq > $since ORDER BY src, dst, kind, begin_seq"
    ),
    "supersessions": (
        "SELECT seq, loser, winner, effective_at, actor, reason FROM supersessions"
        " WHERE seq > $since AND seq <= $seq ORDER BY seq, rowid"
    ),
    "snapshots": "SELECT id, seq, tag, reason, created_at, is_safety FROM snapshots WHERE seq <= $seq ORDER BY id",
    "retired": "SELECT digest, last_n FROM retired ORDER BY digest",
    "audit": (
        'SELECT seq, i, "at", actor, run_id, reason, op, memory_id, detail, salt, digest, hash FROM audit_log'
        " WHERE seq > $since AND seq <= $seq ORDER BY seq, i"
    ),
}
"""What the cursor of the moment shows that came after another; of snapshots and retired ids always all."""
_LIVE_THEN = """
SELECT id, n FROM {db}.memories WHERE begin_seq <= $since
UNION ALL SELECT id, n FROM {db}.history WHERE begin_seq <= $since AND end_seq > $since
"""
_REMOVED = "SELECT t.id FROM ({then}) t ANTI JOIN memories m USING (id) ORDER BY t.id"
_VECTORS = """
SELECT v.id, v.n, v.ordinal, p.begin_char, p.end_char, v.seq, v.vector
FROM {db}.{table} v SEMI JOIN memories m USING (id, n) LEFT JOIN ({then}) t USING (id, n)
LEFT JOIN {db}.passages p ON p.model = {number} AND p.id = v.id AND p.n = v.n AND p.ordinal = v.ordinal
WHERE v.seq <= $seq AND (v.seq > $since OR t.id IS NULL)
"""
_CONTENTS = "SELECT r.* FROM ({rows}) r LEFT JOIN ({then}) t USING (id, n) WHERE t.id IS NULL ORDER BY r.id"

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class _Source:
    """The moment that is exported, in a cursor that shows it."""

    caller: Caller
    cursor: duckdb.DuckDBPyConnection
    moment: Moment
    since: int
    """The seq that it builds on; -1 for a full archive."""

    @property
    def now(self) -> str:
        """The schema in which the tables are as they are at present."""
        ((database,),) = self.cursor.execute("SELECT current_database()").fetchall()
        return '"' + str(database).replace('"', '""') + '".main'

    @property
    def then(self) -> str:
        """The query for what was live at ``since``."""
        return _LIVE_THEN.format(db=self.now)

    def rows(self, sql: str) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a query, which may use ``$since`` and ``$seq``."""
        values = {"since": self.since, "seq": self.moment.seq}
        used = {name: value for name, value in values.items() if f"${name}" in sql}
        yield from self.cursor.sql(sql, params=used).to_arrow_reader(_ROWS)

    def head(self, seq: int) -> tuple[str, int]:
        """Return the audit chain's hash at a seq, in hex, and its time."""
        found = self.cursor.execute(_HEAD_AT, [seq]).fetchall()
        meta = self.caller.session.meta
        return (found[0][0].hex(), found[0][1]) if found else (genesis(meta.store_id).hex(), meta.created_at)


def export_archive(
    caller: Caller,
    ref: Ref,
    url: str | os.PathLike[str],
    *,
    since: Ref | None,
    contents: bool,
    storage_options: Mapping[str, Any] | None,
    on_progress: Progress | None,
) -> ArchiveReport:
    """Write a moment of the store as an archive; see ``Store.export_archive``."""
    if caller.scope.wanted:
        raise InvalidInput("archives are of the whole tenant: ask an unscoped handle")
    moment = resolve(caller, ref)
    base = None if since is None else resolve(caller, since)
    if base is not None and base.seq >= moment.seq:
        raise InvalidInput(f"since seq {base.seq} is not before seq {moment.seq}: an increment has what came after it")
    place = Place.of(url, storage_options)
    return write_archive(caller, place, moment, base, contents=contents, with_digest=True, on_progress=on_progress)


def write_archive(
    caller: Caller,
    place: Place,
    moment: Moment,
    base: Moment | None,
    *,
    contents: bool,
    with_digest: bool,
    on_progress: Progress | None = None,
) -> ArchiveReport:
    """Write an archive of a moment, or of what came after ``base``, to a folder in which none is.

    Args:
        caller: who has the store.
        place: where to write it.
        moment: what it shows.
        base: the moment that it builds on.
        contents: whether the bytes of the memories go into it.
        with_digest: whether the digest of the state is computed, which costs a look at every memory.
        on_progress: called with (memories whose bytes were written, in all).
    """
    started = time.monotonic()
    prepare(place)
    with replace(caller, moment=moment).reading() as (_, cursor):
        if base is not None:
            check_kept(cursor, base.seq)
        source = _Source(caller, cursor, moment, -1 if base is None else base.seq)
        parts = _write_tables(source, place)
        if contents:
            parts += _write_contents(source, place, on_progress)
        found = _manifest(source, contents=contents, with_digest=with_digest)
    if base is not None:
        found = replace(found, since=_since(caller, base, with_digest=with_digest))
    manifest = replace(found, parts=tuple(parts))
    write_manifest(place, manifest)
    return report_of(place, manifest, time.monotonic() - started)


def report_of(
    place: Place, manifest: Manifest, seconds: float, left_out: Mapping[str, int] | None = None
) -> ArchiveReport:
    """Return what is told of an archive."""
    return ArchiveReport(
        url=place.url,
        store_id=manifest.store_id,
        seq=manifest.seq,
        since=None if manifest.since is None else manifest.since.seq,
        digest=manifest.digest,
        memories=manifest.counts["memories"],
        parts=len(manifest.parts),
        size_bytes=sum(part.bytes for part in manifest.parts),
        left_out=left_out or {},
        seconds=seconds,
    )


def _write_tables(source: _Source, place: Place) -> list[Part]:
    parts: list[Part] = []
    for kind, sql in _TABLES.items():
        parts += write_all(place, kind, SCHEMAS[kind], _cast(source.rows(sql), SCHEMAS[kind]))
    if source.since >= 0:
        rows = source.rows(_REMOVED.format(then=source.then))
        parts += write_all(place, "removed", SCHEMAS["removed"], _cast(rows, SCHEMAS["removed"]))
    for number, model in _models(source).items():
        schema = vector_schema(model.dimension)
        sql = _VECTORS.format(db=source.now, table=table_name(number), number=number, then=source.then)
        parts += write_all(place, vector_kind(number), schema, _cast(source.rows(sql), schema))
    return parts


def _write_contents(source: _Source, place: Place, on_progress: Progress | None) -> list[Part]:
    sql = _CONTENTS.format(rows=LIVE_ROWS, then=source.then) if source.since >= 0 else f"{LIVE_ROWS} ORDER BY m.id"
    ((total,),) = source.cursor.execute(
        f"SELECT count(*) FROM ({sql})", {"since": source.since} if "$since" in sql else {}
    ).fetchall()
    done = 0
    with PartWriter(place, "contents", CONTENTS) as writer:
        for batch in source.rows(sql):
            for rows in _chunks(to_rows(pa.Table.from_batches([batch]))):
                writer.write(_content_table(replace(source.caller, moment=source.moment), rows))
                done += len(rows)
                if on_progress is not None:
                    on_progress(done, total)
    return writer.parts


def _chunks(rows: list[Row]) -> Iterator[list[Row]]:
    chunk: list[Row] = []
    held = 0
    for row in rows:
        if chunk and held + row.size > _CONTENT_BYTES:
            yield chunk
            chunk, held = [], 0
        chunk.append(row)
        held += row.size
    if chunk:
        yield chunk


def _content_table(caller: Caller, rows: list[Row]) -> pa.Table:
    session = caller.session
    found = session.blobs.read_many([place_of(session, row) for row in rows])
    data = [caller.checked(row, one) for row, one in zip(rows, found, strict=True)]
    columns = [[getattr(row, name) for row in rows] for name in CONTENTS.names[:-1]]
    arrays = [pa.array(column, field.type) for column, field in zip([*columns, data], CONTENTS, strict=True)]
    return pa.Table.from_arrays(arrays, schema=CONTENTS)


def _cast(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield batches with exactly the columns of a schema, in the size of row groups."""
    cast = (pa.RecordBatch.from_arrays(_columns(batch, schema), schema=schema) for batch in batches)
    return in_groups(cast)


def _columns(batch: pa.RecordBatch, schema: pa.Schema) -> list[pa.Array]:
    return [batch.column(field.name).cast(field.type) for field in schema]


def _models(source: _Source) -> dict[int, ArchivedModel]:
    found = source.cursor.execute(
        "SELECT number, name, dimension, metric, max_tokens, spec, is_caller, fingerprint, epoch_us(created_at)"
        " FROM embedding_models ORDER BY number"
    ).fetchall()
    return {row[0]: ArchivedModel(*row) for row in found}


def _manifest(source: _Source, *, contents: bool, with_digest: bool) -> Manifest:
    cursor, session, seq = source.cursor, source.caller.session, source.moment.seq
    schemes = dict(cursor.execute("SELECT number, template FROM schemes ORDER BY number").fetchall())
    events = "SELECT {columns} FROM {what}_events WHERE seq <= ? ORDER BY seq"
    memories, size, links = cursor.execute(_COUNTS).fetchall()[0]
    head, at = source.head(seq)
    ((entries,),) = cursor.execute("SELECT count(*) FROM audit_log WHERE seq <= ?", [seq]).fetchall()
    return Manifest(
        format=FORMAT,
        kiromi=_version(),
        store_id=session.meta.store_id,
        tenant=session.tenant,
        fold_case=session.meta.fold_case,
        store_created_at=session.meta.created_at,
        created_at=now_micros(),
        seq=seq,
        at=at,
        since=None,
        contents=contents,
        gc_floor=min(session.gc_floor, seq),  # a snapshot can be of a moment below it
        schemes=schemes,
        scheme_events=tuple(
            cursor.execute(events.format(columns="seq, scheme, sets", what="scheme"), [seq]).fetchall()
        ),
        models=tuple(_models(source).values()),
        model_events=tuple(cursor.execute(events.format(columns="seq, model", what="model"), [seq]).fetchall()),
        settings=dict(cursor.execute("SELECT name, value FROM settings ORDER BY name").fetchall()),
        digest=digest_of(cursor, schemes) if with_digest else None,
        audit_head=head,
        audit_entries=entries,
        counts={"memories": memories, "bytes": size, "links": links},
        parts=(),
    )


def _since(caller: Caller, base: Moment, *, with_digest: bool) -> Since:
    reading: AbstractContextManager[Any] = replace(caller, moment=base).reading()
    with reading as (_, cursor):
        head, _ = _Source(caller, cursor, base, -1).head(base.seq)
        schemes = {number: scheme.template for number, scheme in caller.session.schemes.items()}
        return Since(base.seq, digest_of(cursor, schemes) if with_digest else None, head)


def _version() -> str:
    try:
        return version("kiromi")
    except PackageNotFoundError:  # a tree that is not installed
        return "unknown"
