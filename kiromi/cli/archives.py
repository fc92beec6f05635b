"""``snapshot export``, ``snapshot import`` and ``snapshot verify``: moments of a store in files of their own."""

from typing import TYPE_CHECKING, Annotated

import typer

from kiromi.cli import shown, snapshot
from kiromi.cli.command import command
from kiromi.cli.exits import PROBLEMS_FOUND
from kiromi.cli.invocation import Invocation
from kiromi.cli.moments import HELP, ref_of
from kiromi.cli.progress import progress
from kiromi.cli.restore import note_left_out
from kiromi.cli.verify import show_problems

if TYPE_CHECKING:
    from kiromi.reports.archives import ArchiveReport

commands = snapshot.commands

_Url = Annotated[str, typer.Argument(metavar="URL", help="The archive: a folder or a URL such as s3://bucket/prefix.")]


@command(
    commands,
    "export",
    examples=[
        "kiromi snapshot export monday archives/monday",
        "kiromi snapshot export before-import s3://bucket/archives/before-import",
        "kiromi snapshot export live archives/tuesday --since monday",
    ],
)
def export(
    cli: Invocation,
    moment: Annotated[str, typer.Argument(metavar="MOMENT", help=HELP)],
    url: _Url,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="MOMENT", help="Only what came after this moment, of which there is an archive."
        ),
    ] = None,
    has_contents: Annotated[
        bool,
        typer.Option("--contents/--no-contents", help="Whether the bytes of the memories go into it."),
    ] = True,
) -> None:
    """Write a moment as an archive: Parquet files and a manifest, readable without kiromi.

    The folder must be absent or empty; what an export left that was killed is removed.
    """
    with cli.open(or_read_only=True) as store, progress(cli, "memories") as advance:
        report = store.export_archive(
            ref_of(store, moment),
            url,
            since=None if since is None else ref_of(store, since),
            contents=has_contents,
            on_progress=advance,
        )
    _show(cli, report, "exported", url)


@command(
    commands,
    "import",
    examples=[
        "kiromi --store restored snapshot import archives/monday",
        "kiromi --store restored snapshot import archives/monday archives/tuesday",
        "kiromi --store s3://bucket/memories --catalog ~/catalogs snapshot import archives/monday",
    ],
)
def import_(
    cli: Invocation,
    urls: Annotated[list[str], typer.Argument(metavar="URL...", help="A full archive, then its increments in order.")],
) -> None:
    """Make the store anew from an archive. None of that root and tenant may be there.

    Every part is checked before anything is written, and at the end the store is proved equal to what was exported.
    """
    import kiromi

    with progress(cli, "memories") as advance:
        report = kiromi.import_archive(
            urls,
            cli.root,
            tenant=cli.tenant,
            catalog=cli.settings.catalog,
            actor=cli.settings.actor or "cli",
            wait=cli.wait_s,
            on_progress=advance,
        )
    note_left_out(cli, report)
    _show(cli, report, "imported", cli.root)


@command(commands, "verify", examples=["kiromi snapshot verify archives/monday"])
def verify(cli: Invocation, url: _Url) -> int:
    """Check an archive by itself, without a store. Exits with 8 if problems are found."""
    import kiromi

    report = kiromi.verify_archive(url)
    if cli.is_json:
        cli.document({**shown.plain(report), "is_clean": report.is_clean})
    else:
        show_problems(cli, report.problems)
        verdict = shown.count_text(len(report.problems), "problem") if report.problems else "no problem"
        since = "" if report.since is None else f" since seq {report.since}"
        cli.line(
            f"{verdict}: seq {report.seq}{since}, {shown.count_text(report.memories, 'memory')},"
            f" {shown.count_text(report.parts, 'part')}, {shown.size_text(report.size_bytes)}"
        )
    return 0 if report.is_clean else PROBLEMS_FOUND


def _show(cli: Invocation, report: "ArchiveReport", done: str, where: str) -> None:
    if cli.is_json:
        cli.document(report)
        return
    since = "" if report.since is None else f" since seq {report.since}"
    cli.line(
        f"{done} seq {report.seq}{since}: {shown.count_text(report.memories, 'memory')},"
        f" {shown.count_text(report.parts, 'part')}, {shown.size_text(report.size_bytes)}, to {shown.safe(where)}"
    )
    if report.digest is not None:
        cli.note(f"digest {report.digest}")
