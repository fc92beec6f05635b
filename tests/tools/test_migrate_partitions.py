"""tools/migrate_partitions.py: plan to a file, review, apply exactly that plan, resume, verify, report."""

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import kiromi
from tests.operations.migrating import FIRST, SECOND, check, fill, tree
from tools import migrate_partitions

PEPS = Path(__file__).resolve().parents[2].parent / "shared" / "corpora" / "peps"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "store"
    with kiromi.open(root, scheme=FIRST) as store:
        fill(store, 6)
    return root


def run(*arguments: str | Path) -> int:
    return migrate_partitions.main([str(each) for each in arguments])


def test_plan_apply_and_rollback(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(root)
    file, report = tmp_path / "plan.json", tmp_path / "report.json"
    assert run("plan", root, "area={area}/{topic}", "--set", "area={user:lower}", "--out", file) == 0
    shown = capsys.readouterr().out
    assert "6 memories to move" in shown
    assert json.loads(file.read_text())["digest"] in shown
    assert tree(root) == before
    assert run("apply", root, file, "--read-data", "--batch-size", "2", "--report", report) == 0
    assert "verified: 0 problems" in capsys.readouterr().out
    found = json.loads(report.read_text())
    assert (found["report"]["moved"], found["problems"]) == (6, [])
    assert {part["values"]["area"] for part in found["partitions"]} == {"u0", "u1", "u2"}
    assert run("rollback", root) == 0
    assert tree(root) == before


def test_help_shows_the_way_and_a_reader_may_leave(root: Path, tmp_path: Path) -> None:
    script = [sys.executable, str(Path(migrate_partitions.__file__))]
    shown = subprocess.run([*script, "--help"], capture_output=True, check=True, text=True).stdout
    assert "--out plan.json\n" in shown
    assert "Exit codes: 0 done" in shown
    before = tree(root)
    read, write = os.pipe()
    os.close(read)
    planned = subprocess.run(
        [*script, "plan", root, SECOND, "--out", tmp_path / "plan.json"],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    assert (planned.returncode, planned.stderr) == (141, b"")
    assert tree(root) == before


def test_a_scope_may_be_typed_and_the_report_is_tried_first(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "plan.json"
    assert run("plan", root, "{n}", "--out", file) == 0
    before = tree(root)
    assert run("apply", root, file, "--report", tmp_path / "no" / "report.json") == 2
    assert "cannot write the report" in capsys.readouterr().err
    assert tree(root) == before
    assert run("apply", root, file) == 0
    assert run("plan", root, SECOND, "--within", "n:=4", "--out", file) == 0
    assert json.loads(file.read_text())["moved"] == 1


def test_what_memories_hold_does_not_command_the_terminal(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with kiromi.open(root) as store:
        store.append("x", {"user": "a"}, attributes={"n": "\u202eleft"})
    run("plan", root, "{n}", "--out", tmp_path / "plan.json")
    shown = capsys.readouterr().out
    assert "\\u202eleft" in shown
    assert "\u202e" not in shown


def test_an_edited_plan_is_refused(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "plan.json"
    run("plan", root, SECOND, "--out", file)
    file.write_text(file.read_text().replace(SECOND, "{topic|inbox}"))
    before = tree(root)
    assert run("apply", root, file) == 2
    assert "digest" in capsys.readouterr().err
    assert tree(root) == before


def test_what_cannot_be_mapped_shows_in_the_exit_code(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    with kiromi.open(root) as store:
        store.append("x", {"user": "a"})
    assert run("plan", root, "{n}", "--out", file) == 1
    assert run("apply", root, file) == 2
    assert run("plan", root, "{n}", "--out", file, "--on-error", "skip") == 1
    assert run("apply", root, file) == 1
    assert run("plan", root, "{n}", "--out", file, "--set", "n") == 2


def test_ctrl_c_stops_after_a_batch_and_resume_goes_on(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from kiromi.operations.migrate import batches

    real = batches._batch

    def interrupted(*args: Any) -> Any:
        monkeypatch.setattr(batches, "_batch", real)
        signal.raise_signal(signal.SIGINT)
        return real(*args)

    file = tmp_path / "plan.json"
    run("plan", root, SECOND, "--out", file)
    monkeypatch.setattr(batches, "_batch", interrupted)
    assert run("apply", root, file, "--batch-size", "2") == 130
    assert "resume goes on" in capsys.readouterr().err
    assert run("resume", root) == 0
    with kiromi.open(root) as store:
        assert store.scheme == SECOND
        check(store)


@pytest.mark.skipif(not PEPS.is_dir(), reason="the corpus is not beside the repository")
def test_the_story_of_the_peps(tmp_path: Path) -> None:
    """Two migrations of a real corpus, with a rollback in between that gives the first tree back."""
    root, file = tmp_path / "store", tmp_path / "plan.json"
    texts = {path.name: path.read_bytes() for path in PEPS.glob("*.md")}
    with kiromi.open(root, scheme="type={type}/status={status}") as store:
        store.import_from(PEPS)
    first = tree(root)

    def apply(scheme: str) -> kiromi.Store:
        assert run("plan", root, scheme, "--out", file) == 0
        assert run("apply", root, file, "--read-data", "--batch-size", "200") == 0
        return kiromi.open(root)

    with apply("status={status}/year={created:%Y}") as store:
        assert {memory.key: memory.data for memory in store.get_many(store.list_ids())} == texts
        found: Counter[str] = Counter()
        for part in store.partitions():
            found[str(part.values["year"])] += part.count
        # Of the front matter as it stands in the files: what the import made of it is not asked.
        fronts = (text.split(b"\n---\n", 1)[0] for text in texts.values())
        assert found == Counter(re.findall(rb"^created: (\d{4})", front, re.M)[0].decode() for front in fronts)
        store.rollback_migration()
        assert tree(root) == first
    with apply("status={status}/year={created:%Y}"), apply("bucket={id:bucket(16)}/type={type}") as store:
        assert {memory.key: memory.data for memory in store.get_many(store.list_ids())} == texts
        check(store)
