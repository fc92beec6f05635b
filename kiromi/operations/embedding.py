"""Embedding: the vectors of what is about to be stored, made before the writer's lock is taken where that can be.

Vectors go with the commit of their content. If the embedder fails, the memory is stored all the same and is *pending*:
text search finds it, and ``reindex`` makes its vectors later.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kiromi.catalog.rows import Row
from kiromi.catalog.vectors import WHOLE, ContentVectors, table_name
from kiromi.embed.base import Embedder, Matrix, Model
from kiromi.embed.passages import context_line, passage_text, split
from kiromi.embed.running import embed
from kiromi.embed.specs import is_local, make
from kiromi.errors import EmbedderError, EmbedderMismatch, EmbedderWarning, InvalidInput
from kiromi.model import Draft
from kiromi.operations.caller import Caller
from kiromi.records import extension
from kiromi.session.operation import Operation
from kiromi.session.session import Session

Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """What was made for a draft, and of what; no vectors if there is nothing to embed or the embedder failed."""

    model: int | None
    content: bytes
    title: str | None
    media_type: str
    vector: Matrix | None
    """The caller's own, if it gave one."""
    spans: Spans = ()
    matrix: Matrix | None = None

    @classmethod
    def of(cls, model: int | None, draft: Draft, spans: Spans = (), matrix: Matrix | None = None) -> "Embedded":
        """Return what was made of a draft."""
        return cls(model, draft.content, draft.title, draft.media_type, draft.vector, spans, matrix)

    def is_of(self, draft: Draft, model: int | None) -> bool:
        """Tell whether this is what the model makes of a draft."""
        mine = (self.model, self.title, self.media_type, self.content)
        return self.vector is draft.vector and mine == (model, draft.title, draft.media_type, draft.content)


def active_model(session: Session) -> Model | None:
    """Return the model whose vectors the store holds now, if any."""
    return None if session.active_model is None else session.models[session.active_model]


def model_of(caller: Caller) -> Model | None:
    """Return the model whose vectors a caller searches: the active one, or that of the moment it looks at."""
    return None if caller.active_model is None else caller.session.models[caller.active_model]


def is_embedded_with_title(session: Session) -> bool:
    """Tell whether the title is part of what is embedded, so that a new title needs a new vector."""
    model = active_model(session)
    return model is not None and not model.is_caller


def embedder_of(caller: Caller) -> Embedder | None:
    """Return the embedder of the active model: the handle's own, or one made from the registry; None if that cannot be.

    Raises:
        EmbedderMismatch: the handle's embedder is not the active model's (any more).
    """
    session = caller.session
    number, model = caller.active_model, model_of(caller)
    if number is None or model is None:
        return None
    if caller.embedder is not None:
        given = Model.of(caller.embedder)
        if given.fingerprint == model.fingerprint:
            return caller.embedder
        # There is where reembed puts the embedder that it changed to, for all handles of this process.
        if caller.moment is None and number not in session.embedders:
            raise mismatch(given, model)
    if number not in session.embedders and model.spec is not None and is_local(model.spec):
        session.embedders[number] = make(model.spec)
    return session.embedders.get(number)


def no_embedder(model: Model) -> EmbedderError:
    """Return the error of a handle without an embedder, where the store cannot make it by itself."""
    if model.spec is None:
        return EmbedderError(f"open the store with its embedder, {model.name!r}: this handle has none")
    return EmbedderError(f"open the store with embedder={model.spec!r}: a store does not ask a server on its own")


def mismatch(given: Model, active: Model) -> EmbedderMismatch:
    """Return the error that says why an embedder cannot be used."""
    return EmbedderMismatch(
        f"the store's vectors are those of {active.name!r} ({active.dimension} dimensions, {active.metric}), not of"
        f" {given.name!r} ({given.dimension} dimensions, {given.metric}): open it with that embedder or with none, or"
        " change the model with reembed",
        active=active.name,
        given=given.name,
    )


def prepare(caller: Caller, drafts: Sequence[Draft]) -> list[Embedded]:
    """Make the vectors of drafts, as far as there is something to make; a failing embedder is a warning.

    Raises:
        EmbedderMismatch: a vector has another dimension than the store's model.
        InvalidInput: a vector comes to a store that has no model.
    """
    number, model = caller.session.active_model, active_model(caller.session)
    found = [Embedded.of(number, draft) for draft in drafts]
    given = [i for i, draft in enumerate(drafts) if draft.vector is not None]
    if number is None or model is None:
        if given:
            raise InvalidInput(
                "a vector is given, but the store has no model yet: open it with embedder=CallerVectors(dimension)"
            )
        return found
    for i in given:
        matrix = _check_dimension(drafts[i].vector, model)
        found[i] = Embedded.of(number, drafts[i], WHOLE, matrix)
    if model.is_caller:
        return found
    todo = [i for i, draft in enumerate(drafts) if draft.vector is None and is_text(draft.media_type)]
    try:
        made = _embed_drafts(caller, model, [drafts[i] for i in todo]) if todo else []
    except EmbedderError as error:
        _warn(len(todo), str(error))
        return found
    for i, (spans, matrix) in zip(todo, made, strict=True):
        found[i] = Embedded.of(number, drafts[i], spans, matrix)
    return found


def prepared_for(caller: Caller, draft: Draft, prepared: Embedded | None) -> Embedded | None:
    """Return the vectors of a draft that is about to be planned; make them now if they were not prepared as needed.

    That is the case when a guard changed the draft under way, within a transaction, and when the store's model was
    changed meanwhile.

    Raises:
        EmbedderMismatch, InvalidInput: as :func:`prepare`; so this comes before anything is planned.
    """
    number = caller.session.active_model
    if not caller.embeds or (number is None and draft.vector is None):
        return None
    if prepared is None or not prepared.is_of(draft, number):
        (prepared,) = prepare(caller, [draft])
    return prepared


def attach(operation: Operation, row: Row, prepared: Embedded | None) -> None:
    """Bring the vectors of a row's new content into its operation."""
    if prepared is not None and prepared.matrix is not None and prepared.model is not None:
        operation.add_vectors(ContentVectors(row.id, row.n, prepared.model, prepared.spans, prepared.matrix))


def embed_texts(
    embedder: Embedder, model: Model, texts: Sequence[tuple[str | None, str, str]]
) -> list[tuple[Spans, Matrix]]:
    """Return spans and vectors of (title, text, media type) triples.

    Raises:
        EmbedderError: the embedder failed.
    """
    count = getattr(embedder, "count_tokens", None)
    spans: list[Spans] = []
    passages: list[str] = []
    for title, text, media_type in texts:
        context = context_line(title, model.window, count)
        cut = split(text, media_type, model.window, count, context)
        passages += [passage_text(context, text, span) for span in cut]
        spans.append(WHOLE if len(cut) == 1 else tuple((span.begin, span.end) for span in cut))
    matrix = embed(embedder, passages, "document")
    ends = np.cumsum([len(own) for own in spans])
    return [(own, matrix[end - len(own) : end]) for own, end in zip(spans, ends, strict=True)]


def is_text(media_type: str) -> bool:
    """Tell whether content of that type can be embedded and searched as text."""
    return extension(media_type) != "bin"


def has_stored_vector(session: Session, row: Row, draft: Draft) -> bool:
    """Tell whether the vector that a draft brings is the one that its memory's content has already."""
    number, model = session.active_model, active_model(session)
    if number is None or model is None:
        return False
    with session.snapshot() as (_, cursor):
        found = cursor.execute(
            f"SELECT vector FROM {table_name(number)} WHERE id = ? AND n = ?", [row.id, row.n]
        ).fetchall()
    return len(found) == 1 and bool(np.array_equal(np.asarray(found[0][0], np.float32), draft.vector))


def _embed_drafts(caller: Caller, model: Model, drafts: Sequence[Draft]) -> list[tuple[Spans, Matrix]]:
    embedder = embedder_of(caller)
    if embedder is None:
        raise no_embedder(model)
    return embed_texts(embedder, model, [(draft.title, draft.content.decode(), draft.media_type) for draft in drafts])


def _check_dimension(vector: Matrix, model: Model) -> Matrix:
    if len(vector) != model.dimension:
        raise EmbedderMismatch(
            f"the vector has {len(vector)} dimensions; those of {model.name!r}, the store's model, have"
            f" {model.dimension}",
            given=len(vector),
            dimension=model.dimension,
        )
    return vector[np.newaxis]


def _warn(count: int, reason: str) -> None:
    what = "a memory is" if count == 1 else f"{count:,} memories are"
    warnings.warn(
        f"{what} stored without vectors, found by text only: {reason}; reindex makes them",
        EmbedderWarning,
        stacklevel=2,
    )
