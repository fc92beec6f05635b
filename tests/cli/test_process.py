"""The program as a process of its own: locale, pipes, signals."""

import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import Program

_PROGRAM = [sys.executable, "-m", "kiromi.cli"]


def test_output_is_utf8_in_the_c_locale(filled: Program) -> None:
    done = _tree(filled, {"LC_ALL": "C"})
    assert done.returncode == 0
    assert "topic=café/bar" in done.stdout.decode("utf-8")


def test_file_names_that_cannot_hold_every_partition_are_refused(filled: Program) -> None:
    done = _tree(filled, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
    assert done.returncode == 2
    assert b"PYTHONUTF8=1" in done.stderr


def _tree(filled: Program, locale: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*_PROGRAM, "--store", str(filled.root), "tree"],
        capture_output=True,
        check=False,
        timeout=60,
        env={**_environment(), **locale},
    )


def test_a_reader_that_has_seen_enough_ends_the_program_quietly(kiromi: Program, tmp_path: Path) -> None:
    lines = ['{"content": "x", "attributes": {"user": "ana"}}'] * 2_000
    (tmp_path / "many.jsonl").write_text("\n".join(lines))
    kiromi("import", tmp_path / "many.jsonl")
    command = [*_PROGRAM, "--store", str(kiromi.root), "ls", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0


def test_following_ends_with_ctrl_c(filled: Program) -> None:
    command = [*_PROGRAM, "--store", str(filled.root), "audit", "tail", "--follow", "-n", "1", "--json"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(),
        # A run of tests in the background ignores Ctrl-C, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b'{"seq": 4')
        filled.add("new", "--partition=user=ana")
        assert process.stdout.readline().startswith(b'{"seq": 5')
        process.send_signal(signal.SIGINT)
        assert (process.wait(timeout=60), process.stderr.read()) == (0, b"")


def test_the_module_runs_as_the_program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["kiromi", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("kiromi.cli", run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("kiromi ")


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("KIROMI_")}
