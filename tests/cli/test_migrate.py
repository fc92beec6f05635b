"""migrate plan, run, status, pause, resume, rollback; evolve."""

import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import kiromi
from kiromi.cli.layouts import report_lines
from tests.cli.running import SCHEME, Program

OTHER = "topic={topic|inbox}/user={user}"
HERE = "tests.cli.test_migrate"


def by_length(memory: kiromi.Memory) -> Mapping[str, Any]:
    return {"length": len(memory.data)}


def tree(program: Program) -> set[str]:
    data = program.root / "default" / "data"
    return {str(path.relative_to(data)) for path in data.rglob("*")}


def test_plan_shows_the_tree_before_and_after_and_writes_nothing(filled: Program) -> None:
    before = tree(filled)
    text = filled("migrate", "plan", OTHER).text
    lines = text.splitlines()
    assert lines[:2] == [f"from    {SCHEME}", f"to      {OTHER}"]
    assert any(line.startswith("before: ") for line in lines)
    assert any(line.startswith("after: ") for line in lines)
    assert "4 memories to move" in text
    assert "costs 4 renames" in text
    assert tree(filled) == before
    assert filled("migrate", "status").notes == "there was no migration\n"
    assert filled("migrate", "status", "--json").document is None


def test_a_plan_is_kept_in_a_file_and_carried_out(filled: Program, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    made = filled(
        "migrate", "plan", "length={length}/{area}", "--mapper", f"{HERE}:by_length", "--set", "area={user:lower}",
        "--out", file, "--json",
    ).document  # fmt: skip
    assert json.loads(file.read_text()) == made
    assert (made["moved"], made["mapper"], made["set"]) == (4, f"{HERE}:by_length", {"area": "{user:lower}"})
    assert "leave them out" in filled("migrate", "run", OTHER, "--plan", file, code=2).notes
    assert filled("migrate", "run", "--plan", file).text.splitlines()[-2].startswith("moved: 4 memories")
    found = filled("ls", "--json").document["items"]
    assert all(item["path"].startswith(f"data/length={item['size']}/") for item in found)
    assert filled("verify", "--read-data").code == 0
    file.write_text(file.read_text().replace('"abort"', '"skip"'))
    assert "digest" in filled("migrate", "run", "--plan", file, code=2).notes
    assert "cannot read the plan" in filled("migrate", "run", "--plan", tmp_path / "none", code=2).notes
    assert "cannot write the plan" in filled("migrate", "plan", OTHER, "--out", tmp_path / "no" / "x", code=2).notes


def test_what_cannot_be_mapped_is_named(filled: Program) -> None:
    result = filled("migrate", "plan", "n={n}", code=2)
    assert "4 memories cannot be mapped:" in result.text
    assert filled("migrate", "run", "n={n}", "--json", code=2).error["kind"] == "invalid_input"
    report = filled("migrate", "run", "n={n}", "--skip-unmapped", "--json").document
    assert (report["moved"], len(report["left"])) == (0, 4)


def test_run_status_and_rollback(filled: Program) -> None:
    before = tree(filled)
    lines = filled("migrate", "run", OTHER).text.splitlines()
    assert [line.partition(":")[0] for line in lines if not line.startswith("  ")] == [
        "before", "", "after", "", "moved", f"the scheme is {OTHER}"
    ]  # fmt: skip
    assert {line.split()[0] for line in lines if line.startswith("  ")} == {
        *(path.partition("/")[0] + "/" for path in before), *(path.partition("/")[0] + "/" for path in tree(filled))
    }  # fmt: skip
    shown = dict(line.split(None, 1) for line in filled("migrate", "status").text.splitlines())
    assert (shown["status"], shown["done"], shown["from"], shown["to"]) == ("done", "4 of 4", SCHEME, OTHER)
    assert filled("migrate", "rollback").text.startswith("back: 4 memories")
    assert tree(filled) == before
    assert filled("migrate", "rollback", "--json", code=7).error["kind"] == "migration_conflict"


def test_ctrl_c_ends_it_after_a_batch_and_resume_goes_on(filled: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    import kiromi.operations.migrate.batches as batches

    real = batches._batch

    def interrupted(*args: Any) -> Any:
        monkeypatch.setattr(batches, "_batch", real)
        signal.raise_signal(signal.SIGINT)
        return real(*args)

    monkeypatch.setattr(batches, "_batch", interrupted)
    stopped = filled("migrate", "run", OTHER, "--batch-size", "1", code=130)
    assert "kiromi migrate resume" in stopped.notes
    status = filled("migrate", "status")
    assert "1 of 4" in status.text
    assert "kiromi migrate resume goes on" in status.notes
    assert filled("migrate", "pause").text == "paused at 1 of 4\n"
    assert "paused" in filled("migrate", "run", OTHER, code=7).notes
    assert filled("migrate", "resume", "--json").document["moved"] == 4
    assert "no migration is under way" in filled("migrate", "resume", code=7).notes
    assert filled("verify").code == 0


def test_a_mapper_may_lie_in_the_working_folder(
    filled: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mapper_beside.py").write_text("def sign(memory):\n    return {'sign': memory.attributes['user']}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = tmp_path / "plan.json"
    filled("migrate", "plan", "{sign}", "--mapper", "mapper_beside:sign", "--out", file)
    assert filled("migrate", "run", "--plan", file).text.splitlines()[-2].startswith("moved: 4 memories")
    notes = filled("migrate", "plan", "{sign}", "--mapper", "no_such_module:sign", code=2).notes
    assert "'no_such_module:sign' cannot be loaded" in notes
    assert "or --plan FILE" in filled("migrate", "run", code=2).notes


def test_what_could_not_be_moved_yet_is_told(filled: Program) -> None:
    (filled.root / "default" / "data" / "all").write_text("a file of somebody else")
    assert "4 blobs could not be moved yet: kiromi verify says why" in filled("migrate", "run", "all").text


def test_a_run_that_was_rolled_back_elsewhere_says_so() -> None:
    report = kiromi.MigrationReport(
        job="j", is_rollback=False, status="rolled_back", template=SCHEME, snapshot=None, moved=1, unmoved=0, changed=0,
        deleted=0, left=(), size_bytes=1, batches=1, pending=0,
    )  # fmt: skip
    assert list(report_lines(report))[-1] == f"rolled back meanwhile: the scheme is {SCHEME}"


@pytest.mark.parametrize(("stage", "code"), [("plan", 130), ("move", 0)])
def test_ctrl_c_before_the_first_batch_and_after_the_last(
    filled: Program, monkeypatch: pytest.MonkeyPatch, stage: str, code: int
) -> None:
    import kiromi.operations.migrate.batches as batches
    import kiromi.operations.migrate.run as run

    module, name = (run, "draw") if stage == "plan" else (batches, "_plan_end")
    real = getattr(module, name)

    def interrupted(*args: Any) -> Any:
        monkeypatch.setattr(module, name, real)
        signal.raise_signal(signal.SIGINT)
        return real(*args)

    monkeypatch.setattr(module, name, interrupted)
    before = tree(filled)
    notes = filled("migrate", "run", OTHER, code=code).notes
    assert ("nothing was moved" in notes) == (stage == "plan")
    assert (tree(filled) == before) == (stage == "plan")
    status = filled("migrate", "status", "--json").document
    assert status is None if stage == "plan" else status["status"] == "done"


def test_evolve_is_for_new_memories(filled: Program) -> None:
    before = tree(filled)
    assert filled("evolve", OTHER).text == f"new memories follow {OTHER}\n"
    assert tree(filled) == before
    assert filled("evolve", SCHEME, "--json").document == {"scheme": SCHEME}
    assert "scheme '{'" in filled("evolve", "{", code=2).notes
