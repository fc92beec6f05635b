"""The help: complete, with examples that the program understands, quick to come."""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from kiromi.cli.program import app
from tests.cli.running import Program

_ROOT: Any = typer.main.get_command(app())


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from _commands(child, (*path, name))


_ALL = dict(_commands(_ROOT))
_LEAVES = {path: command for path, command in _ALL.items() if not hasattr(command, "commands")}


def test_the_commands_are_those_of_this_version() -> None:
    assert sorted(map(" ".join, _LEAVES)) == [
        "add",
        "audit tail",
        "audit verify",
        "demo",
        "diff",
        "erase",
        "evolve",
        "export",
        "gc",
        "get",
        "history",
        "import",
        "init",
        "link",
        "ls",
        "migrate pause",
        "migrate plan",
        "migrate resume",
        "migrate rollback",
        "migrate run",
        "migrate status",
        "models install",
        "models list",
        "recover",
        "reembed",
        "reindex",
        "related",
        "rm",
        "search",
        "snapshot create",
        "snapshot delete",
        "snapshot export",
        "snapshot import",
        "snapshot list",
        "snapshot prune",
        "snapshot restore",
        "snapshot show",
        "snapshot verify",
        "sql",
        "stats",
        "supersede",
        "tenant drop",
        "tenant list",
        "tenant rename",
        "tree",
        "undelete",
        "update",
        "verify",
    ]


@pytest.mark.parametrize("path", _ALL, ids=" ".join)
def test_every_command_and_option_is_explained(path: tuple[str, ...], bare: Program) -> None:
    command = _ALL[path]
    assert command.help
    for parameter in command.params:
        assert parameter.help, (path, parameter.name)
    shown = bare.bare(*path, "--help").text
    assert f"Usage: {' '.join(('kiromi', *path))}" in shown
    for paragraph in command.help.replace("\\[", "[").split("\n\n"):
        assert " ".join(paragraph.split()) in " ".join(shown.split())
    assert bare.bare(*path, "-h").text == bare.bare(*path, "--help").text


def _examples(command: Any) -> list[str]:
    lines = (command.epilog or "").replace("\\[", "[").splitlines()
    return [line.removeprefix("[cyan]$[/cyan] ") for line in lines[1:]]


@pytest.mark.parametrize("path", _LEAVES, ids=" ".join)
def test_every_command_has_examples_that_it_understands(path: tuple[str, ...], bare: Program) -> None:
    examples = [example for example in _examples(_LEAVES[path]) if "kiromi" in example]
    assert examples
    shown = " ".join(bare.bare(*path, "--help").text.split())
    for example in examples:
        assert example in shown
        _parse(example, path)


def test_the_examples_of_the_program_are_understood() -> None:
    for example in _examples(_ROOT):
        if example.startswith("kiromi"):
            _parse(example, None)


def test_the_examples_of_sql_are_sql(filled: Program) -> None:
    for example in _examples(_LEAVES["sql",]):
        filled(*shlex.split(example)[1:])


def _parse(example: str, path: tuple[str, ...] | None) -> None:
    """Parse the call of kiromi in an example as the program would, without running it."""
    words = shlex.split(example)
    words = words[words.index("kiromi") + 1 :]
    ends = [i for i, word in enumerate(words) if word in ("|", ">")]
    words = words[: ends[0]] if ends else words
    context = _ROOT.make_context("kiromi", list(words), resilient_parsing=False)
    rest = [*context._protected_args, *context.args] if hasattr(context, "_protected_args") else context.args
    found: tuple[str, ...] = ()
    command = _ROOT
    while hasattr(command, "commands"):
        found = (*found, rest[0])
        command, rest = command.commands[rest[0]], rest[1:]
    assert path in (None, found)
    command.make_context(found[-1], list(rest), parent=context)


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from kiromi.cli import main; code = main(['--help']);"
        "heavy = {'duckdb', 'pyarrow', 'numpy', 'fsspec', 'pydantic', 'hnswlib', 'tantivy', 'kiromi.store'};"
        "heavy &= set(sys.modules);"
        "sys.exit(f'{heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")


def test_completion_proposes_commands_and_options() -> None:
    for words, proposed in (("kiromi h", "history"), ("kiromi ls --w", "--within")):
        done = subprocess.run(
            [sys.executable, "-m", "kiromi.cli"],
            capture_output=True,
            check=False,
            timeout=60,
            env={"_KIROMI_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))},
        )
        assert proposed in done.stdout.decode().split()
