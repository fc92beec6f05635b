"""The program as a whole: its groups and global options, and what becomes of an error."""

import inspect
import itertools
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any

import typer

from kiromi.cli import (
    archives,
    audit,
    demo,
    diff,
    erase,
    gc,
    look,
    memories,
    migrate,
    models,
    recover,
    reindex,
    relations,
    search,
    setup,
    sql,
    tenants,
    transfer,
    verify,
)
from kiromi.cli.command import Ended, epilog, global_parameters, take_signature, unwrapped
from kiromi.cli.exits import UNEXPECTED, USAGE, error_document, exit_code
from kiromi.cli.groups import take
from kiromi.cli.settings import Settings
from kiromi.cli.shown import json_text, safe

_HELP = """An embedded memory store for AI agents: readable files, exact history, nothing lost.

Global options stand before the command or after it. Exit codes: 0 done, 1 unexpected, 2 wrong usage or a refused value,
3 not found, 4 deleted or expired, 5 storage failed, 6 embedder failed, 7 conflict, 8 integrity problems, 9 locked."""
_EXAMPLES = (
    "kiromi --store memories init --scheme 'user={user}/topic={topic|inbox}'",
    "kiromi --store memories add 'Prefers aisle seats.' --partition user=ana --tag pref",
    "export KIROMI_STORE=memories",
    "kiromi search 'seat preference' --within user=ana",
    "kiromi ls --within user=ana --where 'tags contains \"pref\"' --json",
    "kiromi demo",
)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; errors are told on stderr."""
    for stream in (sys.stdout, sys.stderr):
        # What is shown is UTF-8 whatever the locale says; a lone surrogate must not end the program.
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code = _command()(list(arguments), prog_name="kiromi", standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as error:
        _tell(_usage(error), f"{error.format_message()}\n{_hint(error)}", arguments)
        return USAGE
    except Exception as error:  # noqa: BLE001 - the edge: every error gets its exit code here
        return _told(error.error if isinstance(error, Ended) else error, arguments)
    return int(code or 0)


@cache
def _command() -> Any:
    """Return the program as it runs; building it takes longer than many a command, so a process does it once."""
    return typer.main.get_command(app())


def app() -> typer.Typer:
    """Return the program with all its commands."""
    program = typer.Typer(
        name="kiromi",
        help=unwrapped(_HELP),
        epilog=epilog(_EXAMPLES),
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    take_signature(_globals, [*global_parameters(with_environment=True), _VERSION])
    program.callback(invoke_without_command=True)(_globals)
    for group in (
        setup,
        memories,
        erase,
        relations,
        search,
        reindex,
        look,
        diff,
        sql,
        transfer,
        verify,
        recover,
        gc,
        demo,
    ):
        program.add_typer(group.commands)
    program.add_typer(migrate.evolving)
    program.add_typer(migrate.commands, name="migrate", rich_help_panel=look.PANEL)
    program.add_typer(audit.commands, name="audit", rich_help_panel=verify.PANEL)
    program.add_typer(models.commands, name="models", rich_help_panel=search.PANEL)
    program.add_typer(archives.commands, name="snapshot", rich_help_panel=look.PANEL)
    program.add_typer(tenants.commands, name="tenant", rich_help_panel=setup.PANEL)
    return program


def _globals(ctx: typer.Context, **arguments: Any) -> None:
    """Take the global options that stand before the command."""
    if arguments.pop("version"):
        from kiromi import __version__

        sys.stdout.write(f"kiromi {__version__}\n")
        raise typer.Exit
    ctx.obj = take(Settings, arguments)
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit(USAGE)


_VERSION = inspect.Parameter(
    "version",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[bool, typer.Option("--version", help="Print the version and exit.")],
)


def _told(error: BaseException, arguments: Sequence[str]) -> int:
    """Tell an error and return its exit code; a bug shows where it is."""
    if isinstance(error, BrokenPipeError):
        # Whoever read has seen enough. Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    code = exit_code(error)
    if code == UNEXPECTED and not _is_json(arguments):
        traceback.print_exception(error)
    _tell(error_document(error), error_document(error)["error"]["message"], arguments)
    return code


def _tell(document: Mapping[str, Any], message: str, arguments: Sequence[str]) -> None:
    if _is_json(arguments):
        sys.stderr.write(json_text(document) + "\n")
    else:
        sys.stderr.write("\n".join(map(safe, f"error: {message}".split("\n"))) + "\n")


def _is_json(arguments: Sequence[str]) -> bool:
    # From the words themselves: a command line that cannot be parsed has its error told as JSON too.
    options = itertools.takewhile(lambda word: word != "--", arguments)
    return "--json" in options


def _usage(error: typer.TyperException) -> Mapping[str, Any]:
    return {"error": {"kind": "usage", "message": error.format_message()}}


def _hint(error: typer.TyperException) -> str:
    context: Any = getattr(error, "ctx", None)
    return f"See: {context.command_path if context else 'kiromi'} --help"
