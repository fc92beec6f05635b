"""Completing: make the vectors that live memories lack under a model, batch by batch, while others read and write.

Texts are read and embedded with no lock held; each batch is then one operation, alone in its commit, that leaves out
what got its vectors meanwhile. So two that complete at the same time do no harm, and after a kill the next call goes on
with what is missing.
"""

from collections.abc import Callable, Iterator, Sequence

from kiromi.catalog.rows import LIVE_ROWS, Row, to_rows
from kiromi.catalog.vectors import ContentVectors, table_name
from kiromi.embed.base import Embedder, Model
from kiromi.errors import IntegrityError
from kiromi.operations.caller import Caller
from kiromi.operations.embedding import embed_texts
from kiromi.session.commit import transaction
from kiromi.session.contents import read_blob
from kiromi.session.operation import Operation

BATCH = 256
"""Memories per operation: some seconds of a slow model's work are lost by a kill."""

_MISSING = (
    f"{LIVE_ROWS} ANTI JOIN {{table}} v ON v.id = m.id AND v.n = m.n WHERE c.ext <> 'bin' AND m.id > ?"
    f" ORDER BY m.id LIMIT {BATCH}"
)
_AMONG = (
    "SELECT m.id FROM memories m JOIN contents c USING (id, n) ANTI JOIN {table} v ON v.id = m.id AND v.n = m.n"
    " WHERE c.ext <> 'bin' AND m.id IN (SELECT unnest(?::VARCHAR[])) ORDER BY m.id"
)
_COUNT = (
    "SELECT count(*) FROM memories m JOIN contents c USING (id, n) ANTI JOIN {table} v ON v.id = m.id AND v.n = m.n"
    " WHERE c.ext <> 'bin'"
)


def count_missing(caller: Caller, number: int) -> int:
    """Return how many live memories with text have no vectors of a model."""
    with caller.session.snapshot() as (_, cursor):
        ((count,),) = cursor.execute(_COUNT.format(table=table_name(number))).fetchall()
    return int(count)


def missing_among(caller: Caller, number: int, ids: Sequence[str]) -> list[str]:
    """Return those of some ids whose live memories have text and no vectors of a model, in order."""
    with caller.session.snapshot() as (_, cursor):
        found = cursor.execute(_AMONG.format(table=table_name(number)), [list(ids)]).fetchall()
    return [memory_id for (memory_id,) in found]


def complete(
    caller: Caller,
    number: int,
    model: Model,
    embedder: Embedder,
    on_batch: Callable[[int], None],
    note: Callable[[Operation, str, int], None] = lambda operation, last, count: None,
    ids: Sequence[str] | None = None,
) -> int:
    """Make all vectors that are missing, and return for how many memories.

    Args:
        caller: who does it.
        number: of the model.
        model: whose vectors.
        embedder: that makes them.
        on_batch: called after each batch with how many memories are done.
        note: called within each batch's operation with its last id and its size, to record progress with it.
        ids: only of these memories; those among them that have vectors are left out.

    Raises:
        EmbedderError: the embedder failed; earlier batches stay.
    """
    done = 0
    for rows in _missing(caller, number) if ids is None else _among(caller, number, ids):
        made = _embed(caller, number, model, embedder, rows)
        with caller.session.lease, transaction(caller.session, caller.context) as operation:
            added = add_missing(caller, operation, number, made)
            if added:
                note(operation, rows[-1].id, added)
                operation.record("embed", None, {"model": number, "count": added})
        done += added
        on_batch(done)
    return done


def complete_within(caller: Caller, operation: Operation, number: int, model: Model, embedder: Embedder) -> None:
    """Make the vectors that are still missing within an operation that keeps all other writers out.

    Only those of contents that cannot be read are missing afterwards.
    """
    for rows in _missing(caller, number):
        add_missing(caller, operation, number, _embed(caller, number, model, embedder, rows))


def add_missing(caller: Caller, operation: Operation, number: int, made: Sequence[ContentVectors]) -> int:
    """Bring in those vectors whose contents are there and have none yet; return how many contents that were."""
    if not made:
        return 0
    with caller.session.snapshot() as (_, cursor):
        # Not of what was erased since its text was read.
        lacking = set(
            cursor.execute(
                f"SELECT c.id, c.n FROM contents c ANTI JOIN {table_name(number)} v ON v.id = c.id AND v.n = c.n"
                " WHERE c.id IN (SELECT unnest(?))",
                [[item.id for item in made]],
            ).fetchall()
        )
    fresh = [item for item in made if (item.id, item.n) in lacking]
    for item in fresh:
        operation.add_vectors(item)
    return len(fresh)


def _missing(caller: Caller, number: int) -> Iterator[list[Row]]:
    after = ""
    while True:
        with caller.session.lease:
            rows = _next(caller, number, after)
        if not rows:
            return
        yield rows
        after = rows[-1].id


def _among(caller: Caller, number: int, ids: Sequence[str]) -> Iterator[list[Row]]:
    for start in range(0, len(ids), BATCH):
        with caller.session.lease:
            rows = list(caller.session.view.rows(missing_among(caller, number, ids[start : start + BATCH])))
        if rows:
            yield rows


def _next(caller: Caller, number: int, after: str) -> list[Row]:
    with caller.session.snapshot() as (_, cursor):
        found = cursor.sql(_MISSING.format(table=table_name(number)), params=[after]).to_arrow_table()
    return to_rows(found)


def _embed(caller: Caller, number: int, model: Model, embedder: Embedder, rows: Sequence[Row]) -> list[ContentVectors]:
    texts, kept = [], []
    for row in rows:
        try:
            texts.append((row.title, read_blob(caller.session, row).decode(), row.media_type))
            kept.append(row)
        except (IntegrityError, UnicodeDecodeError):
            continue  # verify names it; it stays pending
    made = embed_texts(embedder, model, texts) if texts else []
    return [
        ContentVectors(row.id, row.n, number, spans, matrix) for row, (spans, matrix) in zip(kept, made, strict=True)
    ]
