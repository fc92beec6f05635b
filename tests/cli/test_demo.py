"""demo: the whole story."""

from pathlib import Path

import pytest

from kiromi.cli import demo as demo_command
from tests.cli.running import Program


def test_the_demo_tells_its_story_and_succeeds(bare: Program) -> None:
    found = bare.bare("demo")
    lines = found.text.splitlines()
    assert lines[-1] == "The demo is done: 11 steps, every answer as expected."
    assert [line.partition(".")[0] for line in lines if line[:1].isdigit()] == [str(n) for n in range(1, 12)]
    assert found.notes == ""


def test_the_demo_leaves_its_store_on_request(bare: Program, tmp_path: Path) -> None:
    kept = tmp_path / "story"
    found = bare.bare("demo", "--keep", kept, "--json").document
    assert found == {"ok": True, "steps": 11, "kept": str(kept / "memories")}
    assert len(bare.bare("--store", kept / "memories", "ls", "-q").text.split()) == 6
    assert "name a new folder" in bare.bare("demo", "--keep", kept, code=2).notes
    assert f"The store is in {tmp_path / 'other' / 'memories'}" in bare.bare("demo", "--keep", tmp_path / "other").text


def test_a_wrong_answer_ends_the_demo(bare: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_command, "_MEMORIES", demo_command._MEMORIES[:-1])
    found = bare.bare("demo", "--quiet", code=8)
    assert "has the wrong answer" in found.notes
    assert found.out == b""
