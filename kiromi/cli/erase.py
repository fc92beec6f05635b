"""``erase``: remove memories so that nothing of them is left."""

from typing import Annotated

import typer

from kiromi.cli import memories, options, shown
from kiromi.cli.command import command
from kiromi.cli.invocation import Invocation
from kiromi.cli.values import id_of, selection
from kiromi.errors import InvalidInput
from kiromi.reports.erasing import EraseReport

commands = typer.Typer()


@command(
    commands,
    "erase",
    panel=memories.PANEL,
    examples=[
        "kiromi erase --within user=ana",
        "kiromi erase --within user=ana --yes --json > receipt.json",
        "kiromi erase 01KAK9Z6B5M3V0QW8XN2RYT4HD key:seat --yes",
        "kiromi erase key:seat --archive archives/monday --yes",
    ],
)
def erase(
    cli: Invocation,
    references: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="The memories: ids, or key:NAME.", show_default=False)
    ] = None,
    namespace: options.Namespace = None,
    within: options.Within = None,
    where: options.Where = None,
    archives: Annotated[
        list[str] | None,
        typer.Option("--archive", metavar="URL", help="Rewrite this archive without them too. May be repeated."),
    ] = None,
    is_sure: options.Yes = False,
) -> None:
    """Erase memories, deleted ones too: every copy, version, vector and note, in snapshots as well. Shows the plan.

    With --yes it is done, and nothing brings them back. Of the audit log it stays only that, when and by whom. With
    --within or --where the last version of a memory counts; those of which only former versions match are named.
    """
    chosen = selection(within or [], where)
    has_choice = bool(within) or where is not None
    if bool(references) == has_choice:
        raise InvalidInput("which memories? Give ids, or --within and --where")
    with cli.open(read_only=not is_sure) as store:
        if has_choice:
            report = store.erase(**chosen, archives=archives or (), dry_run=not is_sure)
        else:
            ids = [id_of(store, reference, namespace) for reference in references or ()]
            report = store.erase(ids, archives=archives or (), dry_run=not is_sure)
    if cli.is_json:
        cli.document(report)
    else:
        _show(cli, report)


def _show(cli: Invocation, report: EraseReport) -> None:
    if not report.applied:
        for memory_id in report.ids:
            cli.line(memory_id)
        if report.memories > len(report.ids):
            cli.note(f"… and {report.memories - len(report.ids):,} more")
    if cli.is_quiet:
        return
    for line in shown.columns(_facts(report)):
        cli.line(line)
    if report.former:
        cli.note(
            f"{shown.count_text(len(report.former), 'memory')} had such a version formerly and would have to be named:"
            f" {', '.join(report.former[:5])}{', …' if len(report.former) > 5 else ''}"
        )
    if not report.applied and report.memories:
        cli.note("nothing was changed; add --yes to erase them for good")


def _facts(report: EraseReport) -> list[tuple[str, str]]:
    facts = [
        ("erased" if report.applied else "would erase", shown.count_text(report.memories, "memory")),
        ("versions", f"{report.versions:,}"),
        ("blobs", f"{report.blobs:,} ({shown.size_text(report.size_bytes)})"),
        ("vectors", f"{report.vectors:,}"),
        ("links", f"{report.links:,}"),
        ("supersessions", f"{report.supersessions:,}"),
        ("audit entries", f"{report.audit_entries:,} emptied" if report.applied else f"{report.audit_entries:,}"),
        ("archives", f"{len(report.archives):,}"),
        ("copies of the catalog", f"{report.copies:,}"),
        ("indices", "dropped" if report.index else "none"),
    ]
    if report.seq is not None:
        facts += [("seq", str(report.seq)), ("audit head", report.head)]
    return facts
