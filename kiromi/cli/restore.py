"""``snapshot restore``: bring the store, a partition or some memories back to a former moment."""

import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from kiromi.cli import moments, options, shown
from kiromi.cli.command import command
from kiromi.cli.diff import show_difference
from kiromi.cli.invocation import Invocation
from kiromi.cli.progress import staged_progress, stops_between_batches
from kiromi.cli.values import id_of, selection
from kiromi.errors import InvalidInput
from kiromi.reports.diff import Difference
from kiromi.reports.restoring import RestoreReport

if TYPE_CHECKING:
    from kiromi.reports.archives import ArchiveReport

commands = typer.Typer()
_SHOWN = 20


@command(
    commands,
    "restore",
    examples=[
        "kiromi snapshot restore before-import --dry-run",
        "kiromi snapshot restore before-import",
        "kiromi snapshot restore seq:120 --within user=ana",
        "kiromi snapshot restore before-import --to elsewhere",
        "kiromi snapshot restore 2026-01-31T12:00 --id key:seat --id 01KAK9Z6B5M3V0QW8XN2RYT4HD",
    ],
)
def restore(
    cli: Invocation,
    name: Annotated[str, typer.Argument(metavar="SNAPSHOT", help=moments.HELP)],
    within: options.Within = None,
    references: Annotated[
        list[str] | None,
        typer.Option(
            "--id",
            metavar="ID",
            help="Only this memory: its id, or key:NAME. May be repeated.",
            rich_help_panel=options.SELECT,
        ),
    ] = None,
    namespace: options.Namespace = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="ROOT", help="Make a new store of it here instead, and leave this one as it is."),
    ] = None,
    to_catalog: Annotated[
        str | None, typer.Option("--to-catalog", metavar="PATH", help="The new store's catalog, as --catalog.")
    ] = None,
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and change nothing.")] = False,
) -> None:
    """Make the store what it was at a moment: what is new is deleted, what is gone comes back, the rest as it was.

    Nothing is lost: a safety snapshot is taken first, and restoring that one undoes it. With --within or --id only that
    part is restored. Stopped or killed, the same command goes on where it was.
    """
    if to is not None or to_catalog is not None:
        if to is None or within or references or is_dry:
            raise InvalidInput("--to makes a store of the whole moment: it goes with --to-catalog and nothing else")
        _restore_to(cli, name, to, to_catalog)
        return
    chosen = selection(within or [], None)["within"]
    with cli.open(read_only=is_dry) as store:
        # Looked up now: a key may be another memory's once some are restored.
        ids = None if references is None else [id_of(store, one, namespace) for one in references]
        resume = f"stopped; what is restored stays. To go on: {_again(name, within or [], ids or [])}"
        with staged_progress(cli) as advance, stops_between_batches(cli, resume) as check:

            def note(what: str, done: int, total: int) -> None:
                advance(what, done, total)
                check()

            ref = moments.ref_of(store, name)
            report = store.restore(ref, within=chosen, ids=ids, dry_run=is_dry, on_progress=note)
    if cli.is_json:
        cli.document(report)
    else:
        _tell(cli, report)


def _restore_to(cli: Invocation, name: str, root: str, catalog: str | None) -> None:
    with cli.open(read_only=True) as store, staged_progress(cli) as advance:

        def note(done: int, total: int) -> None:
            advance("memories", done, total)

        report = store.restore_to(moments.ref_of(store, name), root, catalog=catalog, on_progress=note)
    if cli.is_json:
        cli.document(report)
    else:
        note_left_out(cli, report, "not in the new store")
        cli.line(f"made {root}: {shown.count_text(report.memories, 'memory')} of seq {report.seq}")


_LEFT_OUT = {"former_versions": "former version", "snapshots": "snapshot", "audit_facts": "audit entry"}


def note_left_out(cli: Invocation, report: "ArchiveReport", where: str = "not in the archive") -> None:
    """Tell what did not come over from an archive, or from a store of which there is none that stays."""
    for what, count in report.left_out.items():
        if count:
            told = shown.count_text(count, _LEFT_OUT[what])
            cli.note(f"{where}: what {told} said" if what == "audit_facts" else f"{where}: {told}")


def _again(name: str, within: Sequence[str], ids: Sequence[str]) -> str:
    words = ["kiromi", "snapshot", "restore", name]
    words += [word for value in within for word in ("--within", value)]
    words += [word for value in ids for word in ("--id", value)]
    return shlex.join(words)


def _tell(cli: Invocation, report: RestoreReport) -> None:
    if not report.applied:
        shown_first = report.sample if cli.is_quiet else report.sample[:_SHOWN]
        for one in shown_first:
            show_difference(cli, _letter(one), one)
        rest = report.removed + report.back + report.changed + report.moved - len(shown_first)
        if rest > 0:
            cli.note(f"and {shown.count_text(rest, 'more memory')}: kiromi diff shows all")
    parts = list(_parts(report))
    verb = "restored" if report.applied else "would restore"
    if not parts:
        cli.line(f"nothing differs from seq {report.seq}")
    elif not (cli.is_quiet and not report.applied):
        cli.line(f"{verb} seq {report.seq}: {', '.join(parts)}")
    for left in report.left:
        cli.note(f"left alone: {left.what}: {left.reason}")
    if report.pending:
        cli.note(f"{shown.count_text(report.pending, 'memory')} without vectors: kiromi reindex makes them")
    if report.snapshot is not None:
        cli.note(f"to undo it: kiromi snapshot restore {report.snapshot.id}")
    elif parts and not report.applied:
        cli.note("nothing was changed; without --dry-run it is done")


def _letter(one: Difference) -> str:
    if one.before is None or one.after is None:
        return "A" if one.before is None else "D"
    return "R" if {"partition", "scheme"}.issuperset(one.fields) else "M"


def _parts(report: RestoreReport) -> Iterator[str]:
    counts = {
        "brought back": report.back,
        "deleted": report.removed,
        "changed": report.changed,
        "moved": report.moved,
    }
    yield from (f"{count:,} {word}" for word, count in counts.items() if count)
    if report.links:
        yield shown.count_text(report.links, "link")
    if report.scheme is not None:
        yield f"scheme {report.scheme}"
    if report.left:
        yield f"{len(report.left):,} left alone"
