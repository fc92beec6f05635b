"""Taking memories out of archives, so that an erasure leaves no copy there either.

Parts that name one are written anew under other names, then the manifest is swapped, then the old parts go. A kill in
between leaves a whole archive, with the memories or without, and files that it does not name; the next call removes
them. The audit chain stays: as in a catalog, an entry loses what it says and keeps its digest.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kiromi.ids import ERASED_ID
from kiromi.portable.archive.chain import Archive, kept_at, kept_names
from kiromi.portable.archive.manifest import NAME, Part, discard, with_parts, write_manifest
from kiromi.portable.archive.parts import PartWriter
from kiromi.portable.archive.place import Place
from kiromi.portable.archive.proof import archive_digest
from kiromi.portable.archive.tables import PART_NAME, SCHEMAS, model_of, vector_schema
from kiromi.reports.archives import ForgetReport

_SCRUBBED = ("run_id", "reason", "memory_id", "detail", "salt")
_URI = "kiromi://memory/"


class _Wanted:
    """What is taken out."""

    def __init__(self, ids: frozenset[str], uris: frozenset[str]) -> None:
        self.ids = pa.array(sorted(ids), pa.string())
        self.ends = pa.array(sorted({_URI + one for one in ids} | uris), pa.string())
        self.texts = ids | uris


def forget(
    url: str | os.PathLike[str],
    ids: Collection[str],
    uris: Collection[str] = (),
    *,
    storage_options: Mapping[str, Any] | None = None,
) -> ForgetReport:
    """Take memories out of the archive at a URL, or out of all archives that are kept there beside a store.

    Of a chain every archive has to be rewritten, the full one first: an increment does not know what it builds on.
    Doing it again is no error, and finishes what was interrupted.

    Args:
        url: of a finished archive, or of the folder that ``archive=`` of :func:`kiromi.open` keeps; what a killed
            export left in it is removed.
        ids: of the memories. Links and supersessions that name them go too; a memory that one of them superseded stays
            superseded, by no id.
        uris: of other ends whose links go, such as partitions that only they were in.
        storage_options: passed to the fsspec driver.

    Raises:
        NotFound: no finished archive lies there.
        IntegrityError: a part is missing or not readable.
    """
    place = Place.of(url, storage_options)
    names = [] if place.read(NAME) is not None else kept_names(place)
    archives = kept_at(place) if names else [Archive.at(place)]
    for name in set(names).difference(_name_of(archive) for archive in archives):
        discard(place.below(name))  # what a kill has left there has memories in it too
    rows = parts = 0
    for archive in archives:
        changed, written = _forget_in(archive, frozenset(ids), frozenset(uris))
        rows, parts = rows + changed, parts + written
    return ForgetReport(place.url, rows, parts)


def _name_of(archive: Archive) -> str:
    return archive.place.path.rpartition("/")[2]


def _forget_in(archive: Archive, ids: frozenset[str], uris: frozenset[str]) -> tuple[int, int]:
    """Return how many rows were changed or dropped, and how many parts were written."""
    place, manifest = archive.place, archive.manifest
    _remove_unnamed(archive)
    new: list[Part] = []
    changed = dropped_memories = 0
    wanted = _Wanted(ids, uris)
    for kind in dict.fromkeys(part.kind for part in manifest.parts):
        parts = manifest.parts_of(kind)
        for part in parts:
            hits = sum(_hits(batch, kind, wanted) for batch in archive.batches_of(part, _looked_at(kind)))
            if not hits:
                new.append(part)
                continue
            changed += hits
            model = model_of(kind)
            dimension = next((one.dimension for one in manifest.models if one.number == model), 0)
            schema = SCHEMAS[kind] if model is None else vector_schema(dimension)
            taken = [*parts, *(one for one in new if one.kind == kind)]
            first = 1 + max(int(one.name.rpartition("-")[2].partition(".")[0]) for one in taken)
            with PartWriter(place, kind, schema, first=first) as writer:
                for batch in archive.batches_of(part):
                    kept = _without(pa.Table.from_batches([batch]), kind, wanted)
                    dropped_memories += batch.num_rows - len(kept) if kind == "memories" else 0
                    writer.write(kept)
            new += writer.parts
    if changed:
        named = {part.name for part in new}
        counts = {**manifest.counts, "memories": manifest.counts["memories"] - dropped_memories}
        rewritten = with_parts(manifest, tuple(new), digest=None, forgotten=True, counts=counts)
        if manifest.since is None:
            rewritten = replace(rewritten, counts=_counts(Archive(place, rewritten)))
            if manifest.digest is not None:
                rewritten = replace(rewritten, digest=archive_digest(Archive(place, rewritten)))
        write_manifest(place, rewritten)
        place.remove([part.name for part in manifest.parts if part.name not in named])
    return changed, len({part.name for part in new} - {part.name for part in manifest.parts})


def _counts(archive: Archive) -> dict[str, int]:
    """Return what a full archive holds."""
    memories = size = links = 0
    for batch in archive.batches("memories", ["size"]):
        memories, size = memories + batch.num_rows, size + int(pc.sum(batch.column("size")).as_py() or 0)
    for batch in archive.batches("links", ["end_seq"]):
        links += batch.column("end_seq").null_count
    return {"memories": memories, "bytes": size, "links": links}


def _remove_unnamed(archive: Archive) -> None:
    named = {part.name for part in archive.manifest.parts}
    strangers = [name for name in archive.place.names() if PART_NAME.fullmatch(name) and name not in named]
    archive.place.remove(strangers)


def _looked_at(kind: str) -> list[str]:
    if model_of(kind) is not None:
        return ["id"]
    return {
        "memories": ["id", "superseded_by"],
        "history": ["id", "superseded_by"],
        "links": ["src", "dst"],
        "supersessions": ["loser", "winner"],
        "audit": ["memory_id", "detail"],
        "snapshots": ["id"],
        "retired": ["digest"],
    }.get(kind, ["id"])


def _hits(batch: pa.RecordBatch, kind: str, wanted: "_Wanted") -> int:
    table = pa.Table.from_batches([batch])
    return int(pc.sum(_named(table, kind, wanted)).as_py() or 0)


def _named(table: pa.Table, kind: str, wanted: "_Wanted") -> pa.ChunkedArray:
    """Return which rows name one of the ids."""
    if kind in ("snapshots", "retired"):
        return pa.chunked_array([pa.array([False] * len(table), pa.bool_())])
    if kind == "audit":
        return pa.chunked_array([pa.array(list(_audit_names(table, wanted.texts)), pa.bool_())])
    values = wanted.ends if kind == "links" else wanted.ids
    columns = _looked_at(kind)
    found = pc.is_in(table.column(columns[0]), value_set=values)
    for name in columns[1:]:
        found = pc.or_(found, pc.is_in(table.column(name), value_set=values))
    return found


def _audit_names(table: pa.Table, texts: Collection[str]) -> Iterator[bool]:
    columns = (table.column(name).to_pylist() for name in ("memory_id", "detail"))
    for memory_id, detail in zip(*columns, strict=True):
        yield memory_id in texts or (detail is not None and any(one in detail for one in texts))


def _without(table: pa.Table, kind: str, wanted: "_Wanted") -> pa.Table:
    """Return rows without what they say of the ids."""
    named = _named(table, kind, wanted)
    if kind == "audit":
        for name in _SCRUBBED:
            table = _put(table, name, named, None)
        return table
    if kind not in ("memories", "history"):
        return table.filter(pc.invert(named))
    table = table.filter(pc.invert(pc.is_in(table.column("id"), value_set=wanted.ids)))
    by = pc.is_in(table.column("superseded_by"), value_set=wanted.ids)
    return _put(table, "superseded_by", by, ERASED_ID)


def _put(table: pa.Table, name: str, where: pa.ChunkedArray, value: str | None) -> pa.Table:
    """Return a table with a value in one column of some rows."""
    index = table.schema.get_field_index(name)
    column = pc.if_else(where, pa.scalar(value, table.schema.field(index).type), table.column(index))
    return table.set_column(index, table.schema.field(index), column)
