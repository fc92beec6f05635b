"""What the pages name is there, and what is there is named: commands, options, public names, exit codes."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import kiromi
from kiromi.cli import exits
from kiromi.cli.program import app
from tests.docs.pages import DOCS, PAGES, README, blocks, name_of, prose_spans, tables, text_of
from tests.docs.transcripts import read_steps

_PROGRAM: Any = typer.main.get_command(app())


def _leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield path
        return
    for name, child in children.items():
        yield from _leaves(child, (*path, name))


def _options(command: Any) -> dict[str, bool]:
    """Return the options of a command, and whether each takes a value."""
    found = {"--help": False, "-h": False}
    for parameter in command.params:
        if parameter.param_type_name == "option":
            found |= dict.fromkeys((*parameter.opts, *parameter.secondary_opts), not parameter.is_flag)
    return found


_EVERY_OPTION = {
    name
    for path in [(), *_leaves(_PROGRAM)]
    for name in _options(
        _PROGRAM
        if not path
        else _PROGRAM.commands[path[0]]
        if len(path) == 1
        else _PROGRAM.commands[path[0]].commands[path[1]]
    )
}


def _problem(line: str) -> str | None:
    """Return what a command line names that the program does not have."""
    words = shlex.split(line, comments=True)[1:]
    command = _PROGRAM
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word.startswith("-") and word != "-":
            options = _options(command)
            name, equals, _ = word.partition("=")
            if name not in options:
                return f"{name} is no option of {line!r}"
            skip = options[name] and not equals
        elif hasattr(command, "commands"):
            if word not in command.commands:
                return f"{word!r} is no command in {line!r}"
            command = command.commands[word]
    return None


def _command_lines(page: Path) -> Iterator[str]:
    """Yield what a page says to type: calls of kiromi in the text, in transcripts and in shell blocks."""
    texts = list(prose_spans(page))
    texts += [step.command.split("<<")[0] for block in blocks(page, "console") for step in read_steps(block.code)]
    texts += [line for block in blocks(page, "sh") for line in block.code.splitlines()]
    for text in texts:
        if re.match(r"(KIROMI_\w+=\S+ )?kiromi( |$)", text) or "| kiromi " in text or "xargs kiromi" in text:
            yield text[text.index("kiromi") :] if not text.startswith("KIROMI_") else text.partition(" ")[2]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_options_that_are_named_exist(page: Path) -> None:
    problems = [problem for line in _command_lines(page) if (problem := _problem(re.split(r" [|>] ", line)[0]))]
    spans = [span for span in prose_spans(page) if re.fullmatch(r"--?[a-z][a-z-]*( [A-Z=]+)?", span)]
    problems += [f"{span} is no option" for span in spans if span.split()[0] not in _EVERY_OPTION]
    assert problems == []


def test_every_command_is_named_in_the_readme() -> None:
    lines = list(_command_lines(README))
    missing = []
    for path in _leaves(_PROGRAM):
        words = re.compile(r"kiromi (?:--\S+ \S+ )*" + " ".join(path) + r"\b")
        if not any(words.search(line) for line in lines):
            missing.append(" ".join(path))
    assert missing == []


def test_the_check_of_commands_finds_mistakes() -> None:
    assert _problem("kiromi --store x ls --within user=ana --json") is None
    assert _problem("kiromi audit tail -n 5") is None
    assert _problem("kiromi audit tails") == "'tails' is no command in 'kiromi audit tails'"
    assert _problem("kiromi ls --withing user=ana") == "--withing is no option of 'kiromi ls --withing user=ana'"
    assert _problem("kiromi ls --yes") == "--yes is no option of 'kiromi ls --yes'"


def test_every_public_name_is_named() -> None:
    text = text_of(README) + text_of(DOCS / "python.md")
    missing = [name for name in kiromi.__all__ if not re.search(rf"\b{name}\b", text)]
    assert missing == []


def test_every_method_of_a_store_is_named() -> None:
    text = text_of(README) + text_of(DOCS / "python.md")
    classes = (kiromi.Store, kiromi.StoreView, kiromi.Transaction)
    methods = {name for cls in classes for name in dir(cls) if not name.startswith("_")}
    missing = [name for name in sorted(methods) if not re.search(rf"\.{name}\b|`{name}\b", text)]
    assert missing == []


def test_the_exit_codes_are_those_of_the_program() -> None:
    [rows] = [rows for heading, _, rows in tables(README) if heading == "Exit codes"]
    listed = {int(code): names for code, _, names in rows}
    for code, names in listed.items():
        for name in re.findall(r"`(\w+)`", names):
            assert exits.exit_code(getattr(kiromi, name)("x")) == code, name
    assert sorted(listed) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 130]
