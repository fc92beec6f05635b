"""Console transcripts of a page: read, run with the real program in a real shell, compared, written anew.

In a transcript a line that begins with ``$`` is a command, the lines after it that begin with ``>`` continue it, and
everything else is what the commands print on stdout and stderr.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.docs.pages import ROOT

_END = "=== end of step"


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a transcript."""

    command: str
    output: str
    """Each line with its line break."""

    def __str__(self) -> str:
        first, *more = self.command.split("\n")
        return "\n".join([f"$ {first}", *(f"> {line}".rstrip() for line in more)]) + "\n" + self.output


def read_steps(code: str) -> list[Step]:
    """Return the steps of a transcript."""
    steps: list[Step] = []
    for line in code.splitlines():
        if line.startswith("$ "):
            steps.append(Step(line.removeprefix("$ "), ""))
        elif line.startswith(">") and not steps[-1].output:
            steps[-1] = Step(f"{steps[-1].command}\n{line.removeprefix('>').removeprefix(' ')}", "")
        else:
            steps[-1] = Step(steps[-1].command, f"{steps[-1].output}{line}\n")
    return steps


def run_steps(steps: Sequence[Step], folder: Path) -> list[Step]:
    """Return the steps with what they print when one shell runs them in a folder, one after the other."""
    done = subprocess.run(
        ["bash", "--norc", "--noprofile"],
        input="exec 2>&1\n" + "".join(_script(step.command) for step in steps),
        cwd=folder,
        env=_environment(folder),
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
        timeout=900,
    )
    outputs = done.stdout.split(f"{_END}\n")
    assert len(outputs) == len(steps) + 1, done.stdout
    return [Step(step.command, _whole_lines(output)) for step, output in zip(steps, outputs, strict=False)]


def _script(command: str) -> str:
    # $? is handed on, so that a transcript can show it; the program must not read the rest of the script.
    return f"{{\n(exit $status)\n{command}\n}} </dev/null\nstatus=$?; echo '{_END}'\n"


def _whole_lines(output: str) -> str:
    # Where a terminal would show the next prompt on the same line, a page goes on below.
    return output if not output or output.endswith("\n") else output + "\n"


def _environment(folder: Path) -> dict[str, str]:
    programs = folder.parent / f"{folder.name}-bin"
    programs.mkdir()
    for name, arguments in {"kiromi": "-m kiromi.cli", "python": ""}.items():
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        program.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KIROMI_")}
    python_path = os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH")]))
    return {
        **kept,
        "PATH": f"{programs}{os.pathsep}{kept['PATH']}",
        "PYTHONPATH": python_path,
        # As on a terminal: what is printed first is shown first, also of stdout and stderr.
        "PYTHONUNBUFFERED": "1",
        "COLUMNS": "100",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
    }
