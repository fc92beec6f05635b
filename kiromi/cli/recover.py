"""``recover``: make a lost catalog anew from archives and from the blobs that are there."""

from typing import TYPE_CHECKING, Annotated

import typer

from kiromi.cli import options, shown
from kiromi.cli.command import command
from kiromi.cli.invocation import Invocation
from kiromi.cli.verify import PANEL

if TYPE_CHECKING:
    from kiromi.reports.archives import RecoverReport

commands = typer.Typer()

_SHOWN = 20
_COUNTS = ("whole", "changed", "back", "new", "deleted", "kept", "lost")


@command(
    commands,
    "recover",
    panel=PANEL,
    examples=[
        "kiromi --store memories recover --archive archives/monday",
        "kiromi --store s3://bucket/memories --catalog ~/catalogs recover --archive s3://bucket/archive --yes",
        "kiromi --store memories recover --scheme 'user={user}/topic={topic|inbox}' --yes",
    ],
)
def recover(
    cli: Invocation,
    archives: Annotated[
        list[str] | None,
        typer.Option(
            "--archive",
            metavar="URL",
            help="An archive, or a full one and its increments in order; KIROMI_ARCHIVE if not said. May be repeated.",
        ),
    ] = None,
    schemes: Annotated[
        list[str] | None,
        typer.Option("--scheme", metavar="TEMPLATE", help="A scheme that the archive does not know. May be repeated."),
    ] = None,
    is_sure: options.Yes = False,
) -> None:
    """Make a lost catalog anew from an archive, data/ and attic/. Shows the plan; --yes applies it.

    What the archive does not know comes from paths and files, and it is told what could not be known. No content that
    is found is lost. It also works without an archive, with the schemes of the paths alone.
    """
    import kiromi

    report = kiromi.recover(
        cli.root,
        tenant=cli.tenant,
        archives=archives or _kept(cli),
        schemes=schemes or [],
        catalog=cli.settings.catalog,
        actor=cli.settings.actor or "cli",
        wait=cli.wait_s,
        dry_run=not is_sure,
    )
    if cli.is_json:
        cli.document(report)
    else:
        _show(cli, report)


def _kept(cli: Invocation) -> list[str]:
    """Return the archive that is kept beside the store, if the global option names one."""
    return [] if cli.settings.archive is None else [cli.settings.archive]


def _show(cli: Invocation, report: "RecoverReport") -> None:
    if not cli.is_quiet:
        for one in report.memories[:_SHOWN]:
            cli.line(f"{one.outcome}  {one.id}  {shown.cell(one.path)}  not known: {', '.join(one.unknown)}")
        if len(report.memories) > _SHOWN:
            cli.note(f"and {len(report.memories) - _SHOWN:,} more; --json shows all")
    for path in report.strangers[:_SHOWN]:
        cli.note(f"no blob's: {path}")
    for path in report.damaged[:_SHOWN]:
        cli.note(f"of another size than the archive says: {shown.safe(path)}")
    if report.former_lost:
        cli.note(f"{shown.count_text(report.former_lost, 'former version')} of the archive without content")
    if report.snapshots_lost:
        cli.note(f"{shown.count_text(report.snapshots_lost, 'snapshot')} that cannot be shown any more")
    counts = ", ".join(f"{getattr(report, name):,} {name}" for name in _COUNTS)
    cli.line(f"{'recovered' if report.applied else 'would recover'} up to seq {report.seq}: {counts}")
    if not report.applied:
        cli.note("nothing was changed; add --yes to do it")
