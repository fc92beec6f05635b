"""``verify``: compare what lies on disk with the catalog."""

from typing import Annotated

import typer

from kiromi.cli import shown
from kiromi.cli.command import command
from kiromi.cli.exits import PROBLEMS_FOUND
from kiromi.cli.invocation import Invocation
from kiromi.cli.progress import progress
from kiromi.reports.checking import Problem

PANEL = "Trust"
commands = typer.Typer()


@command(
    commands,
    "verify",
    panel=PANEL,
    examples=["kiromi verify", "kiromi verify --read-data", "kiromi verify --fix --json"],
)
def verify(
    cli: Invocation,
    is_reading: Annotated[
        bool, typer.Option("--read-data", help="Also read every blob and compare its SHA-256: costs reading all bytes.")
    ] = False,
    is_fixing: Annotated[
        bool, typer.Option("--fix", help="Repair what can be derived; the last copy of anything is never removed.")
    ] = False,
) -> int:
    """Check blobs against the catalog both ways, sizes, paths, and the audit chain. Exits with 8 if problems remain.

    Without --read-data it costs one listing of the blobs and a scan of the catalog.
    """
    with cli.open() as store:
        stats = store.stats()
        size = shown.size_text(stats.size_bytes + stats.attic_bytes)
        cli.note(f"reading all {size}" if is_reading else f"listing blobs; --read-data would also read all {size}")
        with progress(cli, "blobs") as advance:
            report = store.verify(read_data=is_reading, fix=is_fixing, on_progress=advance)
    if cli.is_json:
        cli.document({**shown.plain(report), "is_clean": report.is_clean})
    else:
        show_problems(cli, report.problems)
        amounts = [
            shown.count_text(report.memories, "memory"),
            shown.count_text(report.blobs, "blob"),
            shown.count_text(report.audit_entries, "audit entry"),
            f"{shown.size_text(report.bytes_read)} read",
        ]
        cli.line(f"{_verdict(report.problems)}: {', '.join(amounts)}")
    return 0 if report.is_clean else PROBLEMS_FOUND


def show_problems(cli: Invocation, problems: tuple[Problem, ...]) -> None:
    """Print one line for each problem."""
    for problem in problems:
        state = "fixed" if problem.fixed else "PROBLEM"
        cli.line(f"{state}  {problem.kind}  {shown.safe(problem.subject)}  {problem.message}")


def _verdict(problems: tuple[Problem, ...]) -> str:
    fixed = sum(problem.fixed for problem in problems)
    remaining = len(problems) - fixed
    verdict = shown.count_text(remaining, "problem") if remaining else "no problem"
    return f"{verdict}, {fixed:,} fixed" if fixed else verdict
