"""``init``: make a store, or another tenant of one."""

from typing import Annotated

import typer

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
) -> None:
    """Make a store whose memories lie under paths that a scheme makes of their attributes.

    On a store that is there already nothing changes: its scheme is accepted, another one is refused (exit 7).
    """
    try:
        with cli.open(read_only=True):
            is_new = False
    except StoreNotFound:
        is_new = True
    with cli.open(scheme=scheme) as store:
        active = store.scheme
    if cli.is_json:
        cli.document({"store": cli.root, "tenant": cli.tenant, "scheme": active, "created": is_new})
    else:
        cli.line(f"{'made' if is_new else 'is there already:'} {cli.root}, tenant {cli.tenant}, scheme {active}")
