"""The main job on real input: Python's enhancement proposals imported, looked at, changed, exported and checked.

``KIROMI_UPDATE_DOCS=1`` writes the golden file of the tree anew.
"""

import filecmp
import os
from pathlib import Path

import duckdb
import pytest

from tests.cli.running import Program
from tests.docs.pages import README, blocks
from tests.docs.transcripts import Step, run_steps

_PEPS = Path(__file__).resolve().parents[2].parent / "shared" / "corpora" / "peps"
_TREE = Path(__file__).parent / "golden" / "peps-tree.txt"
_SCHEME = "type={type}/status={status}"
_COUNTS = {"Standards Track": 579, "Informational": 104, "Process": 53}


@pytest.fixture
def kiromi(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Program:
    for name in [name for name in os.environ if name.startswith("KIROMI_")]:
        monkeypatch.delenv(name)
    return Program(tmp_path / "store", capsysbinary, monkeypatch)


@pytest.mark.skipif(not _PEPS.is_dir(), reason="the corpus is not beside the repository")
def test_the_story_of_the_peps(kiromi: Program, tmp_path: Path, is_updating: bool) -> None:
    kiromi("init", "--scheme", _SCHEME)
    first = kiromi("import", _PEPS, "--json").document
    assert (first["read"], first["added"], first["skipped"], first["namespace"]) == (736, 736, [], "peps")
    again = kiromi("import", _PEPS, "--json").document
    assert (again["added"], again["changed"], again["unchanged"], again["batches"]) == (0, 0, 736, 0)

    tree = kiromi("tree").text
    if is_updating:
        _TREE.parent.mkdir(exist_ok=True)
        _TREE.write_text(tree, encoding="utf-8")
    assert tree == _TREE.read_text(encoding="utf-8")
    top = kiromi("tree", "--depth", "1", "--json").document["items"]
    assert {node["values"]["type"]: node["count"] for node in top} == _COUNTS
    assert len(kiromi("ls", "--within", "type=Process", "--json").document["items"]) == 53

    kiromi("export", tmp_path / "out", "--format", "markdown")
    names = sorted(path.name for path in _PEPS.iterdir())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert filecmp.cmpfiles(_PEPS, tmp_path / "out", names, shallow=False) == (names, [], [])

    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT url_decode(regexp_extract(filename, '/type=([^/]*)', 1)), count(*) FROM read_text(?) GROUP BY 1",
            [str(kiromi.root / "default" / "data" / "**" / "*.md")],
        ).fetchall()
    assert dict(rows) == _COUNTS
    checked = kiromi("verify", "--read-data", "--json").document
    assert (checked["is_clean"], checked["problems"], checked["memories"]) == (True, [], 736)
    assert checked["bytes_read"] == sum((_PEPS / name).stat().st_size for name in names)


@pytest.mark.skipif(not _PEPS.is_dir(), reason="the corpus is not beside the repository")
def test_a_pep_is_read_moved_and_traced(kiromi: Program) -> None:
    kiromi("import", _PEPS, "--scheme", _SCHEME, "--json")
    pep8 = ("key:pep-0008.md", "--namespace", "peps")
    assert kiromi("get", *pep8).out == (_PEPS / "pep-0008.md").read_bytes()
    before = kiromi("get", *pep8, "--info", "--json").document
    assert before["partition"] == {"type": "Process", "status": before["attributes"]["status"]}

    moved = kiromi("update", *pep8, "--partition", "status=Rejected", "--json").document
    assert moved["path"] == f"data/type=Process/status=Rejected/{before['id']}.1.md"
    assert (kiromi.root / "default" / moved["path"]).read_bytes() == (_PEPS / "pep-0008.md").read_bytes()
    assert [version["version"] for version in kiromi("history", *pep8, "--json").document["items"]] == [2, 1]
    restored = kiromi("import", _PEPS, "--json").document
    assert (restored["changed"], restored["unchanged"]) == (1, 735)
    assert kiromi("get", *pep8, "--info", "--json").document["path"] == before["path"]
    assert kiromi("audit", "verify", "--json").document["is_clean"] is True


@pytest.mark.skipif(not _PEPS.is_dir(), reason="the corpus is not beside the repository")
def test_the_story_of_the_readme(tmp_path: Path) -> None:
    (story,) = [block.code for block in blocks(README, "sh") if block.code.startswith("PEPS=")]
    (tmp_path / "work").mkdir()
    first, rest = story.split("\n", 1)
    assert first == "PEPS=../shared/corpora/peps"
    command = f"set -eu; PEPS='{_PEPS}'\n{rest}"
    (done,) = run_steps([Step(command, "")], tmp_path / "work")
    lines = done.output.splitlines()
    assert "imported peps: 716 read, 0 added, 50 changed, 666 unchanged, 20 pruned, 0 skipped" in lines
    assert sum(line.startswith("deleted") for line in lines) == 30
    assert any(line.startswith("restored seq 1: 50 brought back, ") for line in lines)
    assert lines[-1] == "every byte is back", done.output[-3000:]
    assert sum(line.startswith("no difference between seq 1 ") for line in lines) == 1
    assert any(line.startswith("no problem: 736 memories") for line in lines)
