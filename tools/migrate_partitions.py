"""Move a store to another partition scheme, as an operator does it: plan, review, apply, verify, report.

    python tools/migrate_partitions.py plan   STORE 'status={status}/year={created:%Y}' --out plan.json
    python tools/migrate_partitions.py apply  STORE plan.json --report report.json
    python tools/migrate_partitions.py resume STORE --report report.json
    python tools/migrate_partitions.py rollback STORE

``plan`` writes nothing to the store. ``apply`` carries out exactly that plan: a file that was edited is refused, what
changed in the store since is planned anew, and nothing moves if some of it cannot be mapped. After a run the store is
verified (``--read-data`` compares every blob with its SHA-256). Ctrl-C ends a run after its batch; ``resume`` goes on.

Exit codes: 0 done and verified, 1 memories were left or cannot be mapped, 2 refused, 3 verify found problems, 130
stopped after a batch, 141 whoever read the output was gone before the end.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

import kiromi
from kiromi.cli.invocation import Invocation
from kiromi.cli.layouts import plan_lines, report_lines
from kiromi.cli.migrate import mapper_of, read_plan, stoppable, write_plan
from kiromi.cli.settings import Settings
from kiromi.cli.shown import plain, safe
from kiromi.cli.values import pairs
from kiromi.reports.migration import MigrationPlan, MigrationReport

DONE, LEFT, REFUSED, PROBLEMS, STOPPED, UNHEARD = 0, 1, 2, 3, 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        with kiromi.open(
            options.store, tenant=options.tenant, catalog=options.catalog, actor="migrate_partitions", wait=options.wait
        ) as store:
            return int(options.do(store, options))
    except kiromi.KiromiError as error:
        _say(f"refused: {error.message}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt as error:
        _say(str(error), file=sys.stderr)
        return STOPPED
    except BrokenPipeError:
        # As after `| head`. Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNHEARD


def _plan(store: kiromi.Store, options: argparse.Namespace) -> int:
    sets = {name: str(value) for name, value in pairs(options.set, "--set").items()}
    plan = store.migrate_scheme(
        options.scheme,
        set=sets or None,
        mapper=mapper_of(options.mapper),
        within=pairs(options.within, "--within") or None,
        on_error=options.on_error,
        dry_run=True,
    )
    assert isinstance(plan, MigrationPlan)
    write_plan(plan, options.out)
    _say(*plan_lines(plan))
    _say(f"\nthe plan is in {options.out}; its digest is {plan.digest}")
    return LEFT if plan.unmapped else DONE


def _apply(store: kiromi.Store, options: argparse.Namespace) -> int:
    plan = read_plan(options.plan)
    _say(*plan_lines(plan))
    mapper = mapper_of(plan.mapper)
    return _run(store, options, lambda **how: store.migrate_scheme(plan=plan, mapper=mapper, **how))


def _resume(store: kiromi.Store, options: argparse.Namespace) -> int:
    return _run(store, options, store.resume_migration)


def _rollback(store: kiromi.Store, options: argparse.Namespace) -> int:
    return _run(store, options, store.rollback_migration)


def _run(store: kiromi.Store, options: argparse.Namespace, do: Callable[..., Any]) -> int:
    """Carry something out with a progress bar, then verify the store and write the report."""
    if options.report is not None:
        try:
            options.report.touch()  # before anything moves
        except OSError as error:
            raise kiromi.InvalidInput(f"cannot write the report {options.report}: {error}") from error
    cli = Invocation(Settings())
    stopped = "stopped after a batch; resume goes on, rollback undoes it"
    with stoppable(cli, stopped) as note:
        report: MigrationReport = do(batch_size=options.batch_size, pause_s=options.pause_s, on_progress=note)
    _say(*report_lines(report))
    found = store.verify(read_data=options.read_data)
    problems = [problem.message for problem in found.problems]
    _say(f"verified: {len(problems)} problems", *(f"  {message}" for message in problems))
    if options.report is not None:
        document = {"report": plain(report), "partitions": plain(store.partitions()), "problems": problems}
        options.report.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return PROBLEMS if problems else LEFT if report.left else DONE


def _say(*texts: str, file: TextIO | None = None) -> None:
    """Print lines, with what would command a terminal escaped: paths and reasons hold what memories hold."""
    for line in "\n".join(texts).split("\n"):
        print(safe(line), file=file)


def _parser() -> argparse.ArgumentParser:
    # The text above, with its examples and exit codes, as it stands.
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, do: Callable[[kiromi.Store, argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(do=do)
        command.add_argument("store", metavar="STORE", help="the store's root: a folder or an fsspec URL")
        command.add_argument("--tenant", default="default", help="the tenant (default: %(default)s)")
        command.add_argument("--catalog", metavar="PATH", help="where the catalog lies, for object stores")
        command.add_argument(
            "--wait",
            type=float,
            default=60.0,
            metavar="SECONDS",
            help="how long to wait for another process (default: %(default)g)",
        )
        return command

    plan = add("plan", _plan, "plan a migration into a file; nothing is written to the store")
    plan.add_argument("scheme", metavar="SCHEME", help="the new template")
    plan.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=SEGMENT",
        help="an attribute to fill, as in area={topic:lower|none}; may be repeated",
    )
    plan.add_argument("--mapper", metavar="MODULE:FUNCTION", help="a function from a memory to attributes to set")
    plan.add_argument(
        "--within",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="only in this partition; NAME:=JSON is typed",
    )
    plan.add_argument("--on-error", choices=("abort", "skip"), default="abort", help="if memories cannot be mapped")
    plan.add_argument("--out", type=Path, required=True, metavar="FILE", help="where the plan goes")
    apply = add("apply", _apply, "carry a plan out")
    apply.add_argument("plan", type=Path, metavar="PLAN", help="the file that plan wrote")
    resume = add("resume", _resume, "go on with what was stopped, paused or killed")
    rollback = add("rollback", _rollback, "bring back what the last migration moved")
    for command in (apply, resume, rollback):
        command.add_argument(
            "--batch-size", type=int, default=5_000, metavar="N", help="memories per operation (default: %(default)d)"
        )
        command.add_argument(
            "--pause-s",
            type=float,
            default=0.0,
            metavar="SECONDS",
            help="to wait between batches (default: %(default)g)",
        )
        command.add_argument("--read-data", action="store_true", help="verify the bytes of every blob too")
        command.add_argument("--report", type=Path, metavar="FILE", help="also write what was done there, as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
