"""import and export."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from kiromi.cli import transfer
from kiromi.cli.invocation import Invocation
from kiromi.cli.progress import progress, stops_between_batches
from kiromi.cli.settings import Settings
from tests.cli.running import Program

_SCHEME = "type={type}/status={status}"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A folder of three Markdown files with front matter."""
    folder = tmp_path / "notes"
    (folder / "deep").mkdir(parents=True)
    for name, kind, status in (
        ("a.md", "Process", "Final"),
        ("b.md", "Process", "Draft"),
        ("deep/c.md", "Info", "Final"),
    ):
        (folder / name).write_text(
            f"---\ntitle: {name}\ntype: {kind}\nstatus: {status}\ncreated: 2026-01-31\n---\nText.\n"
        )
    return folder


def test_import_again_touches_only_what_changed(bare: Program, notes: Path) -> None:
    bare("import", notes, code=3)
    first = bare("import", notes, "--scheme", _SCHEME, "--map", "event_at=created", "--batch-size", "2")
    assert first.text == "imported notes: 3 read, 3 added, 0 changed, 0 unchanged, 0 pruned, 0 skipped\n"
    assert first.notes.splitlines() == ["committed batch 1: seq 1, 2 memories", "committed batch 2: seq 2, 1 memory"]
    found = bare("get", "key:deep/c.md", "--namespace", "notes", "--info", "--json").document
    assert (found["title"], found["event_at"]) == ("deep/c.md", "2026-01-31T00:00:00.000000Z")

    (notes / "a.md").write_text("---\ntype: Process\nstatus: Withdrawn\n---\nNew.\n")
    (notes / "b.md").unlink()
    plan = bare("import", notes, "--map", "event_at=created", "--prune", "--dry-run")
    assert plan.text == "would import notes: 2 read, 0 added, 1 changed, 1 unchanged, 1 pruned, 0 skipped\n"
    report = bare("import", notes, "--map", "event_at=created", "--prune", "--json").document
    assert {name: report[name] for name in ("changed", "unchanged", "pruned", "applied")} == {
        "changed": 1,
        "unchanged": 1,
        "pruned": 1,
        "applied": True,
    }
    assert bare("import", notes, "--map", "event_at=created", "-q").notes == ""


def test_a_bad_file_stops_the_import_or_is_left_out(bare: Program, notes: Path) -> None:
    (notes / "bad.md").write_text("no front matter, so no type\n")
    stopped = bare("import", notes, "--scheme", _SCHEME, code=2)
    assert stopped.notes.startswith("bad bad.md: ")
    assert bare("stats", "--json").document["memories"] == 0
    assert bare("import", notes, "--json", code=2).error["bad"][0]["position"] == "bad.md"
    rest = bare("import", notes, "--on-error", "skip")
    assert "3 added, 0 changed, 0 unchanged, 0 pruned, 1 skipped" in rest.text
    assert "skipped bad.md: " in rest.notes


def test_import_of_csv_with_types_and_of_jsonl_with_links(kiromi: Program, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("content,user,age\nAna.,ana,7\n")
    kiromi("import", tmp_path / "people.csv", "--type", "age=int", "--source", "people")
    assert kiromi("ls", "--where", "age >= 7", "--json").document["items"][0]["namespace"] == "people"
    line = {"content": "x", "attributes": {"user": "bob"}, "links": [{"dst": "kiromi://default/x"}]}
    (tmp_path / "linked.txt").write_text(json.dumps(line))
    found = kiromi("import", tmp_path / "linked.txt", "--format", "jsonl")
    assert "left out 1 link: this version stores none" in found.notes


def test_export_writes_the_stored_bytes(bare: Program, notes: Path, tmp_path: Path) -> None:
    bare("import", notes, "--scheme", _SCHEME)
    out = tmp_path / "out"
    plan = bare("export", out, "--format", "markdown", "--dry-run")
    assert plan.text.startswith("would export 3 memories, ")
    assert not out.exists()
    done = bare("export", out, "--format", "markdown")
    assert done.text.startswith("exported 3 memories, ")
    assert "not in this format: " in done.notes
    for file in ("a.md", "b.md", "deep/c.md"):
        assert (out / file).read_bytes() == (notes / file).read_bytes()
    assert bare("export", out, "--format", "markdown", "--json", code=2).error["kind"] == "invalid_input"
    whole = bare("export", tmp_path / "whole", "--format", "markdown", "--metadata", "--json")
    assert (whole.document["count"], whole.document["lost"], whole.err) == (3, [], b"")


def test_export_of_some_as_json_lines_to_stdout(bare: Program, notes: Path) -> None:
    bare("import", notes, "--scheme", _SCHEME)
    found = bare("export", "-", "--format", "jsonl", "--within", "type=Process", "--where", 'status = "Final"')
    assert [json.loads(line)["key"] for line in found.text.splitlines()] == ["a.md"]


def test_export_tells_which_keys_could_not_be_paths(kiromi: Program, tmp_path: Path) -> None:
    kiromi.add("x", "--partition=user=ana", "--key=../up")
    assert "'../up' is written as " in kiromi("export", tmp_path / "out", "--format", "markdown").notes
    assert not (tmp_path / "up").exists()


def test_ctrl_c_ends_an_import_after_the_running_batch(
    bare: Program, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(cli: Invocation, text: str) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Invocation, "acknowledge", press)
    stopped = bare("import", notes, "--scheme", _SCHEME, "--batch-size", "1", "--json", code=130)
    monkeypatch.undo()
    assert stopped.error == {"kind": "interrupted", "message": transfer._RESUME}
    assert bare("stats", "--json").document["memories"] == 1
    assert "2 added, 0 changed, 1 unchanged" in bare("import", notes).text


def test_a_second_ctrl_c_ends_at_once() -> None:
    cli = Invocation(Settings(is_quiet=True))
    before = signal.getsignal(signal.SIGINT)
    with stops_between_batches(cli, "resume") as check:
        check()
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt, match="resume"):
            check()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_terminal_shows_a_bar_and_a_pipe_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with progress(Invocation(Settings()), "blobs") as advance:
        advance(1, 2)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with progress(Invocation(Settings()), "blobs") as advance:
        advance(1, None)
        advance(2, 2)
    assert "blobs" in capsys.readouterr().err
    with progress(Invocation(Settings(is_quiet=True)), "blobs") as advance:
        advance(1, 2)
    assert capsys.readouterr().err == ""


def test_the_peps_answer_as_a_person_expects(bare: Program, tmp_path: Path) -> None:
    peps = Path(__file__).resolve().parents[3] / "shared" / "corpora" / "peps"
    if not peps.is_dir():
        pytest.skip("the corpus is not here")
    assert "736 added" in bare("import", peps, "--scheme", _SCHEME).text
    assert "0 added, 0 changed, 736 unchanged" in bare("import", peps).text
    assert len(bare("ls", "--within", "type=Process", "--json").document["items"]) == 53
    tree = bare("tree", "--depth", "1").text
    for line in ("Standards Track 579 ", "Informational 104 ", "Process 53 "):
        assert line in tree
    bare("export", tmp_path / "out", "--format", "markdown")
    files = sorted(path.relative_to(peps) for path in peps.rglob("*") if path.is_file())
    assert sorted(p.relative_to(tmp_path / "out") for p in (tmp_path / "out").rglob("*") if p.is_file()) == files
    assert all((tmp_path / "out" / file).read_bytes() == (peps / file).read_bytes() for file in files)
