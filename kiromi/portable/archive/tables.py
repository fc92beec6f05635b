"""What the parts of an archive hold: one Arrow schema for each kind of part.

These are the archive's own and do not follow the catalog: a column is only ever added, with a new format number if old
readers must not ignore it. Times are microseconds in UTC.
"""

import re

import pyarrow as pa

_TIME = pa.timestamp("us", "UTC")

_ROW = [
    ("id", pa.string()),
    ("version", pa.int32()),
    ("n", pa.int32()),
    ("last_n", pa.int32()),
    ("begin_seq", pa.int64()),
    ("scheme", pa.int32()),
    ("partition", pa.string()),
    ("title", pa.string()),
    ("key", pa.string()),
    ("namespace", pa.string()),
    ("kind", pa.string()),
    ("language", pa.string()),
    ("tags", pa.list_(pa.string())),
    ("attributes", pa.string()),
    ("importance", pa.float64()),
    ("confidence", pa.float64()),
    ("event_at", _TIME),
    ("valid_from", _TIME),
    ("valid_until", _TIME),
    ("expires_at", _TIME),
    ("created_at", _TIME),
    ("updated_at", _TIME),
    ("run_id", pa.string()),
    ("superseded_by", pa.string()),
    ("superseded_at", _TIME),
    ("ext", pa.string()),
    ("media_type", pa.string()),
    ("size", pa.int64()),
    ("sha256", pa.binary()),
]
MEMORIES = pa.schema(_ROW)
HISTORY = pa.schema([*_ROW, ("end_seq", pa.int64())])
REMOVED = pa.schema([("id", pa.string())])
CONTENTS = pa.schema(
    [
        ("id", pa.string()),
        ("n", pa.int32()),
        ("media_type", pa.string()),
        ("ext", pa.string()),
        ("size", pa.int64()),
        ("sha256", pa.binary()),
        ("data", pa.large_binary()),
    ]
)
LINKS = pa.schema(
    [
        ("src", pa.string()),
        ("dst", pa.string()),
        ("kind", pa.string()),
        ("weight", pa.float64()),
        ("note", pa.string()),
        ("valid_from", _TIME),
        ("valid_until", _TIME),
        ("begin_seq", pa.int64()),
        ("end_seq", pa.int64()),
        ("actor", pa.string()),
    ]
)
SUPERSESSIONS = pa.schema(
    [
        ("seq", pa.int64()),
        ("loser", pa.string()),
        ("winner", pa.string()),
        ("effective_at", _TIME),
        ("actor", pa.string()),
        ("reason", pa.string()),
    ]
)
AUDIT = pa.schema(
    [
        ("seq", pa.int64()),
        ("i", pa.int32()),
        ("at", _TIME),
        ("actor", pa.string()),
        ("run_id", pa.string()),
        ("reason", pa.string()),
        ("op", pa.string()),
        ("memory_id", pa.string()),
        ("detail", pa.string()),
        ("salt", pa.binary()),
        ("digest", pa.binary()),
        ("hash", pa.binary()),
    ]
)
SNAPSHOTS = pa.schema(
    [
        ("id", pa.string()),
        ("seq", pa.int64()),
        ("tag", pa.string()),
        ("reason", pa.string()),
        ("created_at", _TIME),
        ("is_safety", pa.bool_()),
    ]
)
RETIRED = pa.schema([("digest", pa.binary()), ("last_n", pa.int32())])

SCHEMAS = {
    "memories": MEMORIES,
    "removed": REMOVED,
    "history": HISTORY,
    "contents": CONTENTS,
    "links": LINKS,
    "supersessions": SUPERSESSIONS,
    "snapshots": SNAPSHOTS,
    "retired": RETIRED,
    "audit": AUDIT,
}
"""By the kind of part; ``vectors-<model>`` is another one, see :func:`vector_schema`."""
_VECTORS = re.compile(r"vectors-([0-9]+)")
PART_NAME = re.compile(
    r"(memories|removed|history|contents|links|supersessions|snapshots|retired|audit|vectors-[0-9]+)"
    r"-[0-9]{5}\.parquet(\.partial)?"
)
"""What files of an archive are called, besides its manifest."""


def vector_schema(dimension: int) -> pa.Schema:
    """Return the schema of a model's vectors. A content that is one passage has no span."""
    return pa.schema(
        [
            ("id", pa.string()),
            ("n", pa.int32()),
            ("ordinal", pa.int32()),
            ("begin_char", pa.int64()),
            ("end_char", pa.int64()),
            ("seq", pa.int64()),
            ("vector", pa.list_(pa.float32(), dimension)),
        ]
    )


def vector_kind(model: int) -> str:
    """Return the kind of the parts of a model's vectors."""
    return f"vectors-{model}"


def model_of(kind: str) -> int | None:
    """Return the model whose vectors a kind of part holds, or None."""
    match = _VECTORS.fullmatch(kind)
    return None if match is None else int(match[1])
