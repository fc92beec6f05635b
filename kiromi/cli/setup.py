"""``init``: make a store, or another tenant of one, and choose its model."""

from typing import Annotated

import typer

from kiromi.cli import shown
from kiromi.cli.command import command
from kiromi.cli.invocation import Invocation
from kiromi.errors import StoreNotFound

PANEL = "Stores"
commands = typer.Typer()


@command(
    commands,
    "init",
    panel=PANEL,
    examples=[
        "kiromi --store memories init --scheme 'user={user}/topic={topic|inbox}'",
        "kiromi --store memories init --scheme 'user={user}/topic={topic|inbox}' --embedder minilm",
        "kiromi --store memories --tenant acme init --scheme 'kind={kind}/month={event_at:%Y-%m}'",
        "kiromi --store s3://bucket/memories --catalog ~/catalogs init --scheme 'shard={id:bucket(64)}/user={user}'",
    ],
)
def init(
    cli: Invocation,
    scheme: Annotated[
        str,
        typer.Option(
            "--scheme",
            metavar="TEMPLATE",
            help="Where memories go, as segments NAME={FIELD}; also {topic|inbox} for a default, {event_at:month}.",
        ),
    ],
    embedder: Annotated[
        str | None,
        typer.Option(
            "--embedder",
            metavar="EMBEDDER",
            help="The model to search by meaning with: minilm, hash, openai:MODEL#DIMENSION, …; none if not said.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make a store whose memories lie under paths that a scheme makes of their attributes.

    With --embedder it also searches by meaning: it remembers the model, and every command uses it. On a store that is
    there already nothing changes, but that one without a model gets it: its scheme and model are accepted, others are
    refused (exit 7; "kiromi reembed" changes the model).
    """
    try:
        with cli.open(read_only=True):
            is_new = False
    except StoreNotFound:
        is_new = True
    with cli.open(scheme=scheme, embedder=embedder) as store:
        active = store.scheme
        model = next((model for model in store.models() if model.is_active), None)
    name = None if model is None else model.name
    if cli.is_json:
        cli.document({"store": cli.root, "tenant": cli.tenant, "scheme": active, "model": name, "created": is_new})
        return
    made = f"{'made' if is_new else 'is there already:'} {cli.root}, tenant {cli.tenant}, scheme {active}"
    cli.line(made if name is None else f"{made}, model {name}")
    if model is not None and model.pending:
        cli.note(f"{shown.count_text(model.pending, 'memory')} without vectors: kiromi reindex makes them")
