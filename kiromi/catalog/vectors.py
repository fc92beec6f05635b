"""Vectors in the catalog: what a commit brings in, and the tables that hold it.

Vectors belong to a content (id, n), which never changes. A content that is one passage has no rows in ``passages``.
"""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

WHOLE = ((0, -1),)
"""The spans of a content that is one passage."""


@dataclass(frozen=True, slots=True, eq=False)
class ContentVectors:
    """The vectors of one content under one model."""

    id: str
    n: int
    model: int
    spans: tuple[tuple[int, int], ...]
    """Of each passage, in characters; :data:`WHOLE` for a content that is one."""
    matrix: npt.NDArray[np.float32]
    """Shape (len(spans), dimension)."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ContentVectors) and to_text(self) == to_text(other)

    __hash__ = None  # type: ignore[assignment]


def to_text(vectors: ContentVectors) -> list[Any]:
    """Return vectors as JSON-friendly values; :func:`from_text` is its exact inverse."""
    data = base64.b64encode(np.ascontiguousarray(vectors.matrix, "<f4").tobytes()).decode()
    return [vectors.id, vectors.n, vectors.model, vectors.spans, data]


def from_text(values: Sequence[Any]) -> ContentVectors:
    """Return the vectors that :func:`to_text` made."""
    memory_id, n, model, spans, data = values
    matrix = np.frombuffer(base64.b64decode(data), "<f4").reshape(len(spans), -1)
    return ContentVectors(memory_id, n, model, tuple((begin, end) for begin, end in spans), matrix)


def table_name(model: int) -> str:
    """Return the table of a model's vectors."""
    return f"vectors_{model}"


def create_table(cursor: duckdb.DuckDBPyConnection, model: int, dimension: int) -> None:
    """Make the table of a model's vectors, in place of one that a process left which was killed before registering."""
    cursor.execute(
        f"CREATE OR REPLACE TABLE {table_name(model)} (id VARCHAR NOT NULL, n INTEGER NOT NULL,"
        f" ordinal INTEGER NOT NULL, seq BIGINT NOT NULL, vector FLOAT[{dimension}] NOT NULL)"
    )


def insert(cursor: duckdb.DuckDBPyConnection, found: Iterable[tuple[ContentVectors, int]]) -> None:
    """Insert vectors, each with the seq that brought it in."""
    by_model = sorted(found, key=lambda item: item[0].model)
    for model, group in groupby(by_model, key=lambda item: item[0].model):
        items = list(group)
        _insert_table(cursor, table_name(model), _vector_table(items))
        passages = [
            (model, item.id, item.n, i, begin, end)
            for item, _ in items
            if item.spans != WHOLE
            for i, (begin, end) in enumerate(item.spans)
        ]
        if passages:
            names = ("model", "id", "n", "ordinal", "begin_char", "end_char")
            _insert_table(cursor, "passages", pa.table(dict(zip(names, zip(*passages, strict=True), strict=True))))


def _vector_table(items: Sequence[tuple[ContentVectors, int]]) -> pa.Table:
    matrix = np.ascontiguousarray(np.concatenate([item.matrix for item, _ in items]), np.float32)
    counts = [len(item.spans) for item, _ in items]
    return pa.table(
        {
            "id": np.repeat(np.array([item.id for item, _ in items], dtype=object), counts),
            "n": np.repeat(np.array([item.n for item, _ in items], np.int32), counts),
            "ordinal": np.concatenate([np.arange(count, dtype=np.int32) for count in counts]),
            "seq": np.repeat(np.array([seq for _, seq in items], np.int64), counts),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), matrix.shape[1]),
        }
    )


def _insert_table(cursor: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    cursor.register("incoming", table)
    try:
        cursor.execute(f"INSERT INTO {name} BY NAME SELECT * FROM incoming").fetchall()
    finally:
        cursor.unregister("incoming")
