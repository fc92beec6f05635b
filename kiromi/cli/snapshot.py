"""``snapshot create``, ``list``, ``show``, ``delete`` and ``prune``: name moments, so that gc keeps what they show."""

from collections.abc import Sequence
from typing import Annotated

import typer

from kiromi.cli import options, restore, shown
from kiromi.cli.command import command
from kiromi.cli.invocation import Invocation
from kiromi.model import Snapshot

commands = typer.Typer(help="Name moments of the store, so that gc keeps all that they show; and go back to them.")
commands.add_typer(restore.commands)

_HEADER = ("ID", "SEQ", "CREATED", "TAG", "REASON")
_Ref = Annotated[str, typer.Argument(metavar="SNAPSHOT", help="The snapshot: its tag or id.")]
_Keep = int | None


@command(
    commands,
    "create",
    examples=[
        "kiromi snapshot create --tag before-import",
        "kiromi snapshot create --if-changed --reason nightly",
    ],
)
def create(
    cli: Invocation,
    tag: Annotated[str | None, typer.Option("--tag", metavar="NAME", help="A name that no other has.")] = None,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why it is taken.")] = None,
    if_changed: Annotated[
        bool, typer.Option("--if-changed", help="Take none if nothing was written since the last one; for cron.")
    ] = False,
) -> None:
    """Take a snapshot of the present moment and print its id, at once however large the store.

    It takes no space by itself; gc keeps what it shows as long as it is there.
    """
    with cli.open() as store:
        before = store.seq
        found = store.snapshot(tag, reason, if_changed=if_changed)
        is_new = store.seq > before
    if cli.is_json:
        cli.document({**shown.plain(found), "is_new": is_new})
        return
    cli.line(found.id)
    if not is_new:
        cli.note(f"nothing was written since this snapshot of {shown.brief_moment(found.created_at)}")


@command(commands, "list", examples=["kiromi snapshot list", "kiromi snapshot list --json"])
def list_(cli: Invocation) -> None:
    """List the snapshots, oldest first; with --quiet their ids only."""
    with cli.open(read_only=True) as store:
        found = store.snapshots()
    if cli.is_json:
        cli.items(found)
    elif cli.is_quiet:
        for snapshot in found:
            cli.line(snapshot.id)
    elif found:
        cli.table(_HEADER, [_row(snapshot) for snapshot in found], right=(1,))
    else:
        cli.note("there is no snapshot: kiromi snapshot create takes one")


@command(
    commands,
    "show",
    examples=["kiromi snapshot show before-import", "kiromi snapshot show before-import --json"],
)
def show(cli: Invocation, name: _Ref) -> None:
    """Show a snapshot, and how many memories the store had then. "kiromi diff SNAPSHOT" shows what changed since."""
    with cli.open(read_only=True) as store:
        found = store.snapshot_info(name)
        view = store.at(found)
        facts = {**shown.plain(found), "memories": view.count(), "scheme": view.scheme}
    if cli.is_json:
        cli.document(facts)
        return
    for line in shown.columns([(key, shown.cell(value)) for key, value in facts.items() if value is not None]):
        cli.line(line)


@command(commands, "delete", examples=["kiromi snapshot delete before-import"])
def delete(cli: Invocation, name: _Ref) -> None:
    """Delete a snapshot. What it shows stays until gc removes it."""
    with cli.open() as store:
        found = store.delete_snapshot(name)
    if cli.is_json:
        cli.document(found)
    else:
        cli.line(f"deleted {_named(found)}")


@command(
    commands,
    "prune",
    examples=[
        "kiromi snapshot prune --keep-daily 7 --keep-weekly 4 --keep-monthly 12",
        "kiromi snapshot prune --keep-last 3 --yes",
    ],
)
def prune(
    cli: Invocation,
    last: Annotated[_Keep, typer.Option("--keep-last", metavar="N", help="Keep the last N.")] = None,
    daily: Annotated[
        _Keep, typer.Option("--keep-daily", metavar="N", help="Keep the last one of each of the last N days, in UTC.")
    ] = None,
    weekly: Annotated[_Keep, typer.Option("--keep-weekly", metavar="N", help="Likewise of ISO weeks.")] = None,
    monthly: Annotated[_Keep, typer.Option("--keep-monthly", metavar="N", help="Likewise of months.")] = None,
    safety_days: Annotated[
        int,
        typer.Option("--keep-safety", metavar="DAYS", help="Keep those that operations took for safety so many days."),
    ] = 30,
    is_sure: options.Yes = False,
) -> None:
    """Delete the snapshots that no rule keeps. Shows the plan; --yes applies it.

    Days, weeks and months without a snapshot do not count. A tag protects none.
    """
    with cli.open() as store:
        report = store.prune_snapshots(
            keep_last=last,
            keep_daily=daily,
            keep_weekly=weekly,
            keep_monthly=monthly,
            keep_safety_days=safety_days,
            dry_run=not is_sure,
        )
    if cli.is_json:
        cli.document(report)
        return
    rows = [(("keep", *_row(kept.snapshot)), ", ".join(kept.reasons)) for kept in report.kept]
    rows += [(("delete", *_row(snapshot)), "") for snapshot in report.removed]
    if rows and not cli.is_quiet:
        _show_plan(cli, sorted(rows, key=lambda row: int(row[0][2])))
    count = shown.count_text(len(report.removed), "snapshot")
    cli.line(f"deleted {count}" if report.applied else f"would delete {count}")
    if not report.applied and report.removed:
        cli.note("nothing was changed; add --yes to delete them")


def _show_plan(cli: Invocation, rows: Sequence[tuple[tuple[str, ...], str]]) -> None:
    cli.table(("PLAN", *_HEADER[:-1], "KEPT BY"), [(*cells[:-1], why) for cells, why in rows], right=(2,))


def _row(snapshot: Snapshot) -> tuple[str, ...]:
    return (
        snapshot.id,
        str(snapshot.seq),
        shown.brief_moment(snapshot.created_at),
        shown.cell(snapshot.tag),
        shown.cell(snapshot.reason),
    )


def _named(snapshot: Snapshot) -> str:
    return snapshot.id if snapshot.tag is None else f"{snapshot.id} ({shown.safe(snapshot.tag)})"
