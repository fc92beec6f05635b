"""The environment check: what it refuses, and that an old Python can at least read it."""

import ast
import inspect
import stat
import sys
from pathlib import Path

import pytest

from tools import check_environment


@pytest.mark.parametrize("running", [(3, 6), (3, 10)])
def test_old_python_is_named(running: tuple[int, int]) -> None:
    problem = check_environment.python_problem(running)
    assert problem is not None
    assert f"{running[0]}.{running[1]}" in problem
    assert "3.11 or newer" in problem


@pytest.mark.parametrize("running", [(3, 11), (3, 14), (4, 0)])
def test_new_python_is_fine(running: tuple[int, int]) -> None:
    assert check_environment.python_problem(running) is None


def test_missing_ensurepip_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    problem = check_environment.venv_problem()
    assert problem is not None
    assert "-venv" in problem


def test_missing_compiler_is_explained(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler -O2")
    assert check_environment.main() == 1
    message = capsys.readouterr().err
    assert "no-such-compiler" in message
    assert "hnswlib comes as source only" in message
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo 'fatal error: out of luck'; exit 1", "out of luck"),
        ("exit 3", "exit code 3"),
        ('while [ "$1" != -o ]; do case $1 in *.cpp) grep -q Python.h $1 && exit 4;; esac; shift; done', "C headers"),
    ],
)
def test_broken_compiler_is_explained(tmp_path: Path, script: str, expected: str) -> None:
    compiler = tmp_path / "compiler"
    compiler.write_text(f"#!/bin/sh\n{script}\n")
    compiler.chmod(compiler.stat().st_mode | stat.S_IXUSR)
    problem = check_environment.compiler_problem([str(compiler)])
    assert problem is not None
    assert expected in problem


def test_source_is_readable_by_old_python() -> None:
    ast.parse(inspect.getsource(check_environment), feature_version=(3, 7))
