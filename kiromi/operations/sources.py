"""What the indices are made of: passages with their vectors from the catalog, documents from rows and blobs."""

import warnings
from collections.abc import Callable, Iterator, Sequence

import duckdb
import numpy as np
import pyarrow as pa

from kiromi.catalog.rows import LIVE_ROWS, Row, id_matrix, to_rows
from kiromi.catalog.vectors import table_name
from kiromi.errors import IndexWarning, IntegrityError
from kiromi.index.items import Ids, PassageBatch, TextDocument
from kiromi.index.vectors.inputs import PassageKeys
from kiromi.operations.embedding import is_text
from kiromi.operations.within import Schemes, partition_texts
from kiromi.session.contents import checked
from kiromi.session.session import Session

CHUNK = 1_000
"""Memories whose contents are in memory at once."""
_VECTOR_ROWS = 16_384

_SPANS = (
    "FROM {table} v JOIN memories m USING (id, n) LEFT JOIN passages p"
    " ON p.model = {model} AND p.id = v.id AND p.n = v.n AND p.ordinal = v.ordinal"
)
_FACTS = (
    "v.id, v.n, coalesce(p.begin_char, 0) AS begin_char, coalesce(p.end_char, -1) AS end_char, m.scheme, m.partition"
)


def passages_of(cursor: duckdb.DuckDBPyConnection, model: int, rows: Sequence[Row]) -> PassageBatch:
    """Return the passages of those rows whose contents have vectors of a model in the tables."""
    columns = list(zip(*[(row.id, row.n, row.scheme, row.partition) for row in rows], strict=True)) or [(), (), (), ()]
    types = (pa.string(), pa.int32(), pa.int32(), pa.string())
    wanted = pa.table(
        [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)],
        names=["id", "n", "scheme", "partition"],
    )
    cursor.register("wanted", wanted)
    found = cursor.sql(
        "SELECT v.id, v.n, coalesce(p.begin_char, 0) AS begin_char, coalesce(p.end_char, -1) AS end_char, w.scheme,"
        f" w.partition, v.vector FROM {table_name(model)} v JOIN wanted w USING (id, n) LEFT JOIN passages p"
        f" ON p.model = {model} AND p.id = v.id AND p.n = v.n AND p.ordinal = v.ordinal ORDER BY v.id, v.ordinal"
    ).to_arrow_table()
    cursor.unregister("wanted")
    return _batch(found, vectors_in(found.column("vector")))


def passage_keys(cursor: duckdb.DuckDBPyConnection, model: int) -> tuple[PassageKeys, np.ndarray]:
    """Return all passages of live memories without their vectors, and the row ids of these in the model's table."""
    places = cursor.execute("SELECT DISTINCT scheme, partition FROM memories ORDER BY scheme, partition").fetchall()
    found = cursor.sql(
        "WITH places AS (SELECT scheme, partition,"
        " (row_number() OVER (ORDER BY scheme, partition) - 1)::INTEGER AS code"
        " FROM (SELECT DISTINCT scheme, partition FROM memories))"
        f" SELECT {_FACTS}, v.rowid AS row, code {_SPANS.format(table=table_name(model), model=model)}"
        " JOIN places USING (scheme, partition) ORDER BY row"
    ).to_arrow_table()
    keys = PassageKeys(
        id_matrix(found.column("id")),
        found.column("n").to_numpy().astype(np.int32),
        found.column("begin_char").to_numpy(),
        found.column("end_char").to_numpy(),
        found.column("code").to_numpy(),
        places,
    )
    return keys, found.column("row").to_numpy()


def vector_chunks(
    cursor: duckdb.DuckDBPyConnection, model: int, rows: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (positions, vectors) of the table's ``rows`` (ascending) in chunks; each position is one in ``rows``."""
    reader = cursor.sql(f"SELECT rowid AS row, vector FROM {table_name(model)}").to_arrow_reader(_VECTOR_ROWS)
    for batch in reader:
        found = batch.column("row").to_numpy()
        positions = np.searchsorted(rows, found)
        inside = positions < len(rows)
        inside[inside] = rows[positions[inside]] == found[inside]
        yield positions[inside], vectors_in(batch.column("vector"))[inside]


def vectors_in(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """Return a column of vectors as a matrix."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    matrix: np.ndarray = array.flatten().to_numpy(zero_copy_only=False)
    return matrix.reshape(len(array), array.type.list_size)


def count_changed(cursor: duckdb.DuckDBPyConnection, seq: int) -> int:
    """Return how many live memories changed after ``seq``."""
    ((count,),) = cursor.execute("SELECT count(*) FROM memories WHERE begin_seq > ?", [seq]).fetchall()
    return int(count)


def changed_rows(cursor: duckdb.DuckDBPyConnection, seq: int) -> Iterator[list[Row]]:
    """Yield, in chunks, the live rows that changed after ``seq``; the cursor is taken until the end."""
    for batch in cursor.sql(f"{LIVE_ROWS} WHERE m.begin_seq > ?", params=[seq]).to_arrow_reader(CHUNK):
        if batch.num_rows:
            yield to_rows(pa.Table.from_batches([batch]))


def changed_passages(
    cursor: duckdb.DuckDBPyConnection, seq: int, model: int
) -> Iterator[tuple[list[str], PassageBatch]]:
    """Yield, in chunks, the live memories that changed or got vectors of a model after ``seq``, and their passages."""
    found = cursor.execute(
        "SELECT id FROM memories WHERE begin_seq > ?"
        f" UNION SELECT v.id FROM {table_name(model)} v JOIN memories m USING (id, n) WHERE v.seq > ?",
        [seq, seq],
    ).fetchall()
    for start in range(0, len(found), CHUNK):
        ids = [memory_id for (memory_id,) in found[start : start + CHUNK]]
        rows = cursor.sql(f"{LIVE_ROWS} WHERE m.id IN (SELECT unnest(?))", params=[ids]).to_arrow_table()
        yield ids, passages_of(cursor, model, to_rows(rows))


def gone_ids(cursor: duckdb.DuckDBPyConnection, seq: int) -> list[str]:
    """Return the memories that ceased to be live after ``seq``."""
    ended = "SELECT DISTINCT h.id FROM history h ANTI JOIN memories m ON h.id = m.id WHERE h.end_seq > ?"
    return [memory_id for (memory_id,) in cursor.execute(ended, [seq]).fetchall()]


def documents(
    session: Session, rows: Sequence[Row], place: Callable[[Row], str] | None = None
) -> Iterator[TextDocument]:
    """Yield memories as the text index sees them; ``place`` tells where the blobs of rows that are not live lie.

    One whose blob was removed or changed behind kiromi's back is found by title and tags; ``verify`` names it.
    """
    readable = [row for row in rows if is_text(row.media_type)]
    contents = session.blobs.read_many([row.live_path if place is None else place(row) for row in readable])
    found = {row.id: data for row, data in zip(readable, contents, strict=True)}
    for row in rows:
        content = ""
        if row.id in found:
            try:
                content = checked(session, row, found[row.id]).decode(errors="replace")
            except IntegrityError as error:
                warnings.warn(f"indexed without its content: {error}", IndexWarning, stacklevel=2)
        yield TextDocument(row.id, row.title, content, row.tags, row.language, marks_of(session.schemes, row))


def marks_of(schemes: Schemes, row: Row) -> tuple[str, ...]:
    """Return what a row's path says, one text for each segment."""
    texts = partition_texts(schemes[row.scheme], row.partition)
    return tuple(mark(row.scheme, name, text) for name, text in texts.items())


def mark(scheme: int, name: str, text: str | None) -> str:
    """Return what a segment of a scheme says, as one text; no two segments with other names or values give the same."""
    return f"{scheme}/{name}" if text is None else f"{scheme}/{name}={text}"


def id_array(ids: Sequence[str]) -> Ids:
    """Return ids as an index takes them."""
    return np.array(ids, dtype="S26")


def _batch(found: pa.Table, vectors: np.ndarray) -> PassageBatch:
    places = found.select(["scheme", "partition"]).to_pydict()
    return PassageBatch(
        id_matrix(found.column("id")),
        found.column("n").to_numpy().astype(np.int32),
        found.column("begin_char").to_numpy(),
        found.column("end_char").to_numpy(),
        list(zip(places["scheme"], places["partition"], strict=True)),
        vectors,
    )
