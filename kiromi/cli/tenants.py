"""``tenant list``, ``tenant rename`` and ``tenant drop``: the isolated spaces of one store."""

from typing import Annotated

import typer

from kiromi.cli import options, shown
from kiromi.cli.command import command
from kiromi.cli.invocation import Invocation

commands = typer.Typer(help='The isolated spaces of one store; "kiromi --tenant NAME init" makes one.')

Name = Annotated[str, typer.Argument(metavar="NAME", help="The tenant's name.")]


@command(commands, "list", examples=["kiromi tenant list", "kiromi --store memories tenant list --json"])
def list_(cli: Invocation) -> None:
    """List the tenants of the store."""
    import kiromi

    names = kiromi.tenants(cli.root, catalog=cli.settings.catalog)
    if cli.is_json:
        cli.items(names)
        return
    for name in names:
        cli.line(shown.safe(name))


@command(commands, "rename", examples=["kiromi tenant rename acme acme-archive"])
def rename(
    cli: Invocation,
    old: Name,
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name; no tenant may have it.")],
) -> None:
    """Give a tenant another name. Nobody may have it open."""
    import kiromi

    kiromi.rename_tenant(cli.root, old, new, catalog=cli.settings.catalog)
    if cli.is_json:
        cli.document({"tenant": new, "former": old})
    else:
        cli.line(f"renamed {shown.safe(old)} to {shown.safe(new)}")


@command(commands, "drop", examples=["kiromi tenant drop acme", "kiromi tenant drop acme --yes"])
def drop(cli: Invocation, name: Name, is_sure: options.Yes = False) -> None:
    """Remove a tenant with all that it holds, for good. Shows the plan; --yes applies it."""
    import kiromi

    report = kiromi.drop_tenant(cli.root, name, dry_run=not is_sure, catalog=cli.settings.catalog)
    if cli.is_json:
        cli.document(report)
        return
    amounts = (
        f"{shown.count_text(report.memories, 'memory')}, {shown.count_text(report.objects, 'object')},"
        f" {shown.size_text(report.size_bytes)}"
    )
    cli.line(f"{'dropped' if report.applied else 'would drop'} tenant {shown.safe(report.tenant)}: {amounts}")
    if not report.applied:
        cli.note("nothing was changed; add --yes to drop it, which cannot be undone")
