"""``gc``: remove the past that no snapshot, no retention window and no unfinished job needs."""

from typing import TYPE_CHECKING, Annotated

import typer

from kiromi.cli import options, shown
from kiromi.cli.command import command
from kiromi.cli.invocation import Invocation
from kiromi.cli.progress import staged_progress, stops_between_batches
from kiromi.cli.verify import PANEL

if TYPE_CHECKING:
    from kiromi.reports.gc import GcReport

commands = typer.Typer()


@command(
    commands,
    "gc",
    panel=PANEL,
    examples=["kiromi gc", "kiromi gc --retain 90d --yes", "kiromi gc --retain 12h --grace 1h --expired --json"],
)
def gc(
    cli: Invocation,
    retain: Annotated[
        str,
        typer.Option("--retain", metavar="TIME", help="Every moment of so long stays: 90s, 15m, 12h, 30d, 8w or 0."),
    ] = "30d",
    grace: Annotated[
        str,
        typer.Option(
            "--grace", metavar="TIME", help="Blobs that the catalog does not know go when they are older than this."
        ),
    ] = "1d",
    is_expiring: Annotated[
        bool,
        typer.Option("--expired", help="Also delete memories that expired before that time; their history stays."),
    ] = False,
    is_sure: options.Yes = False,
) -> None:
    """Remove closed versions that nothing needs any more, with their contents. Shows the plan; --yes applies it.

    Kept is what is live, what snapshots show, every moment of the time to retain, what unfinished jobs need, and the
    audit log. Killed or stopped, the next call finishes first what was begun.
    """
    with (
        cli.open() as store,
        staged_progress(cli) as advance,
        stops_between_batches(cli, "stopped; what is gone stays gone. To go on: kiromi gc --yes") as check,
    ):

        def note(what: str, done: int, total: int) -> None:
            advance(what, done, total)
            check()

        report = store.gc(retain, grace=grace, expired=is_expiring, dry_run=not is_sure, on_progress=note)
    if cli.is_json:
        cli.document(report)
        return
    if not cli.is_quiet:
        for line in shown.columns(_rows(report), right=(0, 2)):
            cli.line(line)
    freed = shown.size_text(report.size_bytes + report.orphan_bytes)
    verb = "removed" if report.applied else "would remove"
    cli.line(f"{verb} {shown.count_text(report.versions, 'closed version')}, {freed} of blobs")
    if not report.applied and not report.is_empty:
        cli.note("nothing was changed; add --yes to remove them")


def _rows(report: "GcReport") -> list[tuple[str, str, str]]:
    """Return what goes and what stays, as counts, names and sizes; what is not there is left out."""
    rows = [
        (report.expired, "expired memories to delete", None),
        (report.versions, "closed versions", None),
        (report.memories, "deleted memories of which nothing is left", None),
        (report.contents, "contents", report.size_bytes),
        (report.orphans, "blobs that the catalog does not know", report.orphan_bytes),
        (report.links, "ended links", None),
        (report.plans, "rows of plans of ended jobs", None),
        (report.kept_versions, "closed versions stay: snapshots or jobs need them", None),
        (report.kept_orphans, "unknown blobs stay: too young", None),
    ]
    return [(f"{count:,}", name, "" if size is None else shown.size_text(size)) for count, name, size in rows if count]
