"""``migrate plan``, ``run``, ``status``, ``pause``, ``resume`` and ``rollback``; and ``evolve``."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kiromi.cli import options, shown
from kiromi.cli.command import command
from kiromi.cli.exits import USAGE
from kiromi.cli.invocation import Invocation
from kiromi.cli.layouts import picture_lines, plan_lines, report_lines
from kiromi.cli.look import PANEL
from kiromi.cli.progress import staged_progress, stops_between_batches
from kiromi.cli.values import pairs
from kiromi.errors import InvalidInput

if TYPE_CHECKING:
    from kiromi.operations.migrate.mapping import Mapper
    from kiromi.reports.migration import MigrationPlan, MigrationReport

commands = typer.Typer(help="Move a living store to another scheme: planned, resumable, reversible.")
evolving = typer.Typer()

_RESUME = "stopped after a batch. To go on: kiromi migrate resume; to undo it: kiromi migrate rollback"
_SCHEME = typer.Argument(metavar="SCHEME", help="The new scheme, as in topic={topic|inbox}/user={user}.")


@dataclass(frozen=True, slots=True)
class _Asked:
    """Where memories go: what plan and run have in common."""

    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=SEGMENT",
            help="An attribute to fill, in the grammar of schemes: topic='{category:lower|inbox}'. May be repeated.",
        ),
    ] = None
    mapper: Annotated[
        str | None,
        typer.Option(
            "--mapper",
            metavar="MODULE:FUNCTION",
            help="A function from a memory to attributes to set, called once for each; its module may lie in this"
            " folder.",
        ),
    ] = None
    within: options.Within = None
    is_skipping: Annotated[
        bool,
        typer.Option("--skip-unmapped", help="Leave memories that cannot be mapped where they are, and name them."),
    ] = False

    def arguments(self) -> dict[str, Any]:
        """Return what ``migrate_scheme`` takes besides the scheme."""
        return {
            "set": {name: str(value) for name, value in pairs(self.sets or [], "--set").items()} or None,
            "mapper": mapper_of(self.mapper),
            "within": pairs(self.within or [], "--within") or None,
            "on_error": "skip" if self.is_skipping else "abort",
        }


@dataclass(frozen=True, slots=True)
class _Pace:
    """How fast: what run, resume and rollback have in common."""

    batch_size: Annotated[int, typer.Option("--batch-size", metavar="N", help="Memories per operation.")] = 5_000
    pause_s: Annotated[
        float,
        typer.Option("--pause-s", metavar="SECONDS", help="Wait so long between batches, to go easy on the disk."),
    ] = 0.0
    no_reindex: Annotated[
        bool, typer.Option("--no-reindex", help="Leave it to the next search to bring the indices up to date.")
    ] = False

    def arguments(self) -> dict[str, Any]:
        """Return what the store's methods take."""
        return {"batch_size": self.batch_size, "pause_s": self.pause_s, "reindex": not self.no_reindex}


@command(
    commands,
    "plan",
    examples=[
        "kiromi migrate plan 'topic={topic|inbox}/user={user}'",
        "kiromi migrate plan 'area={area}/{user}' --set area='{category:lower|none}' --out plan.json",
    ],
)
def plan(
    cli: Invocation,
    template: Annotated[str, _SCHEME],
    asked: _Asked,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Also write the plan there, for migrate run --plan.")
    ] = None,
) -> int:
    """Show what a migration would do, and write nothing to the store. Exits with 2 if memories cannot be mapped."""
    with cli.open(or_read_only=True) as store, staged_progress(cli) as advance:
        found: Any = store.migrate_scheme(template, **asked.arguments(), dry_run=True, on_progress=advance)
    if out is not None:
        write_plan(found, out)
    if cli.is_json:
        cli.document(found.to_json())
    else:
        for line in plan_lines(found):
            cli.line(line)
    return USAGE if found.unmapped and not asked.is_skipping else 0


@command(
    commands,
    "run",
    examples=[
        "kiromi migrate run 'topic={topic|inbox}/user={user}'",
        "kiromi migrate run --plan plan.json --pause-s 0.2",
    ],
)
def run(
    cli: Invocation,
    template: Annotated[str | None, _SCHEME] = None,
    *,
    asked: _Asked,
    file: Annotated[
        Path | None, typer.Option("--plan", metavar="FILE", help="Carry out this plan, which migrate plan --out wrote.")
    ] = None,
    pace: _Pace,
) -> None:
    """Migrate: every live memory moves to where the new scheme puts it, while others read and write.

    Nothing moves if a memory cannot be mapped. A safety snapshot is taken first. Ctrl-C ends it after the running
    batch; after that, as after a kill, "kiromi migrate resume" goes on and "kiromi migrate rollback" brings all back.
    """
    if file is not None and (template is not None or any(astuple(asked))):
        raise InvalidInput("--plan says scheme, set, mapper and scope already: leave them out")
    if file is None and template is None:
        raise InvalidInput("nothing says where to: give the new SCHEME, or --plan FILE")
    kept = None if file is None else read_plan(file)
    mapper = None if kept is None else mapper_of(kept.mapper)
    with cli.open() as store, stoppable(cli, _RESUME) as advance:
        if kept is None:
            planned: Any = store.migrate_scheme(template, **asked.arguments(), dry_run=True, on_progress=advance)
        else:
            planned = kept
        report: Any = store.migrate_scheme(plan=planned, mapper=mapper, **pace.arguments(), on_progress=advance)
    if not (cli.is_json or cli.is_quiet):
        for line in (*picture_lines(planned), ""):
            cli.line(line)
    _tell(cli, report)


@command(commands, "status", examples=["kiromi migrate status", "kiromi migrate status --json"])
def status(cli: Invocation) -> None:
    """Show how far the last migration or rollback is."""
    with cli.open(or_read_only=True) as store:
        found = store.migration_status()
    if cli.is_json:
        cli.document(found)
        return
    if found is None:
        cli.note("there was no migration")
        return
    what = "rollback" if found.is_rollback else "migration"
    rows = [
        (what, found.job),
        ("status", found.status),
        ("from", found.former),
        ("to", found.template),
        ("done", f"{found.done:,} of {found.total:,}"),
        ("left", f"{found.left:,}"),
        ("attempts", str(found.attempts)),
        ("started", shown.brief_moment(found.started_at)),
        ("updated", shown.brief_moment(found.updated_at)),
    ]
    if found.last_error is not None:
        rows.append(("stopped by", shown.cell(found.last_error)))
    for line in shown.columns(rows):
        cli.line(line)
    if found.status in ("running", "paused"):
        undo = "" if found.is_rollback else "; kiromi migrate rollback undoes it"
        cli.note(f"if it does not run any more, kiromi migrate resume goes on{undo}")


@command(commands, "pause", examples=["kiromi migrate pause"])
def pause(cli: Invocation) -> None:
    """Ask the migration that another process runs to stop after its batch."""
    with cli.open() as store:
        found = store.pause_migration()
    if cli.is_json:
        cli.document(found)
    else:
        cli.line(f"paused at {found.done:,} of {found.total:,}")


@command(commands, "resume", examples=["kiromi migrate resume"])
def resume(cli: Invocation, pace: _Pace) -> None:
    """Go on with a migration or rollback that was paused, stopped or killed, with the plan that is stored."""
    with cli.open() as store, stoppable(cli, _RESUME) as advance:
        report = store.resume_migration(**pace.arguments(), on_progress=advance)
    _tell(cli, report)


@command(commands, "rollback", examples=["kiromi migrate rollback"])
def rollback(cli: Invocation, pace: _Pace) -> None:
    """Bring back what the last migration moved, done or not; what others wrote since is kept and told."""
    with cli.open() as store, stoppable(cli, _RESUME) as advance:
        report = store.rollback_migration(**pace.arguments(), on_progress=advance)
    _tell(cli, report)


@command(evolving, "evolve", panel=PANEL, examples=["kiromi evolve 'user={user}/month={event_at:%Y-%m}'"])
def evolve(
    cli: Invocation, template: Annotated[str, typer.Argument(metavar="SCHEME", help="The scheme for new memories.")]
) -> None:
    """Let new memories follow another scheme. What is there stays where it lies: "kiromi migrate run" moves it."""
    with cli.open() as store:
        store.evolve_scheme(template)
        found = store.scheme
    if cli.is_json:
        cli.document({"scheme": found})
    else:
        cli.line(f"new memories follow {found}")


def read_plan(file: Path) -> "MigrationPlan":
    """Return the plan that a file holds.

    Raises:
        InvalidInput: it cannot be read, or is no plan.
    """
    from kiromi.reports.migration import MigrationPlan

    try:
        return MigrationPlan.from_json(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot read the plan {file}: {error}") from error


def write_plan(found: "MigrationPlan", file: Path) -> None:
    """Write a plan to a file.

    Raises:
        InvalidInput: it cannot be written.
    """
    try:
        file.write_text(json.dumps(found.to_json(), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"cannot write the plan {file}: {error}") from error


def mapper_of(reference: str | None) -> "Mapper | None":
    """Return the function that ``module:function`` names; the module may lie in the working folder.

    Raises:
        InvalidInput: there is none.
    """
    if reference is None:
        return None
    from kiromi.operations.migrate.mapping import load_mapper

    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last, so that nothing there hides what is installed
    return load_mapper(reference)


@contextlib.contextmanager
def stoppable(cli: Invocation, how_to_resume: str) -> Iterator[Callable[[str, int, int], None]]:
    """Give a callback that moves a bar, and that ends a migration at Ctrl-C: while it is planned, or after a batch.

    After the last batch it is too late: what is left to do then is shorter than to resume it.
    """
    with staged_progress(cli) as advance, stops_between_batches(cli, how_to_resume) as check:

        def note(what: str, done: int, total: int) -> None:
            advance(what, done, total)
            if what == "plan":
                check("stopped while planning: nothing was moved")
            elif what == "move" and done < total:
                check()

        yield note


def _tell(cli: Invocation, report: "MigrationReport") -> None:
    if cli.is_json:
        cli.document(report)
        return
    for line in report_lines(report):
        cli.line(line)
