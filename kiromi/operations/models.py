"""The registry of embedding models: which one the store's vectors are of, and how the first one gets there."""

from collections.abc import Sequence

from kiromi.catalog.vectors import table_name
from kiromi.embed.base import Embedder, Model
from kiromi.embed.given import CallerVectors
from kiromi.embed.specs import make
from kiromi.model import Draft, ModelInfo
from kiromi.operations.caller import Caller
from kiromi.operations.embedding import Embedded, active_model, mismatch, prepare
from kiromi.session.commit import refuse_within_transaction, run
from kiromi.session.operation import Operation
from kiromi.session.session import Session

_INSERT = "INSERT INTO embedding_models VALUES (?, ?, ?, ?, ?, ?, ?, ?, make_timestamptz(?))"
_ACTIVATE = "INSERT INTO model_events VALUES (?, ?)"
_COUNTS = """
SELECT (SELECT count(*) FROM {table} v SEMI JOIN memories m USING (id, n)),
       (SELECT count(*) FROM memories m JOIN contents c USING (id, n) ANTI JOIN {table} v USING (id, n)
        WHERE c.ext <> 'bin')
"""


def resolve(embedder: Embedder | str | None) -> Embedder | None:
    """Return the embedder that an argument names.

    Raises:
        InvalidInput: it is no embedder, and no text that names one.
    """
    found = make(embedder) if isinstance(embedder, str) else embedder
    if found is not None:
        Model.of(found)
    return found


def check_ready(embedder: Embedder) -> None:
    """Refuse an embedder that is not installed, if it can tell: no store should be bound to what was never there.

    Raises:
        EmbedderError: it is not.
    """
    check = getattr(embedder, "check_ready", None)
    if check is not None:
        check()


def adopt(caller: Caller) -> None:
    """Check a handle's embedder against the store's model; make it the store's if there is none yet.

    Raises:
        EmbedderMismatch: the store has vectors of another model.
    """
    if caller.embedder is None:
        return
    given, active = Model.of(caller.embedder), active_model(caller.session)
    if active is None and not caller.is_read_only:
        check_ready(caller.embedder)
        register(caller, given)
    elif active is not None and active.fingerprint != given.fingerprint:
        raise mismatch(given, active)


def prepare_drafts(caller: Caller, drafts: Sequence[Draft]) -> list[Embedded]:
    """Make the vectors of drafts that are about to be stored; the writer's lock is not held.

    In a store without a model, the first vector that a caller gives decides it.

    Raises:
        EmbedderMismatch: a vector has another dimension than the store's model.
    """
    if caller.session.active_model is None:
        vector = next((draft.vector for draft in drafts if draft.vector is not None), None)
        if vector is not None:
            with caller.session.lease:
                register(caller, Model.of(CallerVectors(len(vector))))
    return prepare(caller, drafts)


def register(caller: Caller, model: Model) -> None:
    """Make a model that of a store which has none.

    Raises:
        EmbedderMismatch: somebody made it another's meanwhile.
    """
    session = caller.session
    refuse_within_transaction(session)
    with session.registering:
        active = active_model(session)
        if active is None:
            number = add_table(session, model)
            run(session, caller.context, lambda operation: plan_activate(operation, number, model, is_new=True))
        elif active.fingerprint != model.fingerprint:
            raise mismatch(model, active)


def add_table(session: Session, model: Model) -> int:
    """Make room for a new model's vectors and return its number; ``session.registering`` is held."""
    number = max(session.models, default=0) + 1
    with session.writer:
        session.catalog.create_vectors(number, model.dimension)
    return number


def plan_register(operation: Operation, number: int, model: Model) -> None:
    """Plan the entry of a model in the registry."""
    operation.execute(
        _INSERT,
        number,
        model.name,
        model.dimension,
        model.metric,
        model.window,
        model.spec,
        model.is_caller,
        model.fingerprint,
        operation.at,
    )


def plan_activate(operation: Operation, number: int, model: Model, *, is_new: bool) -> None:
    """Plan that a model's vectors are the ones to search from now on."""
    if is_new:
        plan_register(operation, number, model)
    operation.execute(_ACTIVATE, operation.seq, number)
    operation.record("model", None, {"number": number, "name": model.name, "dimension": model.dimension})


def models(caller: Caller) -> list[ModelInfo]:
    """Return the models of the registry, oldest first; see ``Store.models``."""
    session = caller.session
    with session.snapshot() as (_, cursor):
        found = []
        for number, model in session.models.items():
            ((vectors, pending),) = cursor.execute(_COUNTS.format(table=table_name(number))).fetchall()
            found.append(
                ModelInfo(
                    number=number,
                    name=model.name,
                    dimension=model.dimension,
                    metric=model.metric,
                    fingerprint=model.fingerprint,
                    is_active=number == session.active_model,
                    is_caller=model.is_caller,
                    vectors=vectors,
                    pending=0 if model.is_caller else pending,
                )
            )
    return found
