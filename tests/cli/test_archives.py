"""``snapshot export``, ``import`` and ``verify``, and ``recover``, as they are typed."""

from pathlib import Path

import pytest

import kiromi as library
from tests.cli.running import SCHEME, Program


def test_a_store_goes_into_an_archive_and_comes_back(filled: Program, tmp_path: Path) -> None:
    archive, copy = tmp_path / "archive", tmp_path / "copy"
    report = filled("snapshot", "export", "live", archive, "--json").document
    assert (report["seq"], report["since"], report["memories"]) == (4, None, 4)
    filled.add("Later.", "--partition=user=eve")
    shown = filled("snapshot", "export", "live", tmp_path / "two", "--since", "4")
    assert shown.text.startswith("exported seq 5 since seq 4: 5 memories, ")
    assert "digest " in shown.notes
    checked = filled.bare("snapshot", "verify", tmp_path / "two")
    assert checked.text.startswith("no problem: seq 5 since seq 4, 5 memories, ")
    shown = filled.bare("--store", copy, "snapshot", "import", archive, tmp_path / "two")
    assert shown.text.startswith("imported seq 5 since seq 4: 5 memories, ")
    again = filled.bare("--store", copy, "snapshot", "import", archive, "--json", code=7)
    assert again.error["kind"] == "already_exists"
    listed = [filled.bare("--store", root, "ls", "--json").document for root in (filled.root, copy)]
    assert listed[0] == listed[1]


def test_what_an_erasure_took_from_an_archive_is_told(filled: Program, tmp_path: Path) -> None:
    filled("erase", "--within", "user=bob", "--yes")
    filled("snapshot", "export", "live", tmp_path / "archive")
    shown = filled.bare("--store", tmp_path / "copy", "snapshot", "import", tmp_path / "archive")
    assert "not in the archive: what 2 audit entries said\n" in shown.notes


def test_damage_is_found(filled: Program, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    filled("snapshot", "export", "live", archive)
    [part] = archive.glob("contents-*.parquet")
    data = bytearray(part.read_bytes())
    data[20] ^= 1
    part.write_bytes(data)
    found = filled.bare("snapshot", "verify", archive, code=8)
    assert found.text.startswith(f"PROBLEM  part_damaged  {part.name}  ")
    assert filled.bare("snapshot", "verify", archive, "--json", code=8).document["is_clean"] is False
    error = filled.bare("--store", tmp_path / "copy", "snapshot", "import", archive, "--json", code=8).error
    assert (error["kind"], error["part"]) == ("checksum_mismatch", part.name)
    assert filled.bare("snapshot", "verify", tmp_path / "none", code=3).notes.startswith("error: no finished archive")
    filled("snapshot", "export", "live", archive, code=7)


def test_a_lost_catalog_is_recovered(filled: Program, tmp_path: Path) -> None:
    filled("snapshot", "export", "live", tmp_path / "archive", "--no-contents")
    memory_id = filled.add("Later.", "--partition=user=eve")
    (filled.root / "default" / "catalog.duckdb").unlink()
    assert "kiromi recover" in filled("init", "--scheme", SCHEME, code=8).notes
    plan = filled("recover", "--archive", tmp_path / "archive")
    assert plan.text.splitlines()[-1] == (
        "would recover up to seq 5: 4 whole, 0 changed, 0 back, 1 new, 0 deleted, 0 kept, 0 lost"
    )
    assert plan.text.startswith(f"new  {memory_id}  data/user=eve/topic=inbox/")
    assert "add --yes" in plan.notes
    done = filled("recover", "--archive", tmp_path / "archive", "--yes", "--json").document
    assert (done["applied"], done["whole"], done["new"]) == (True, 4, 1)
    filled("verify", "--read-data")
    assert filled("get", memory_id).text == "Later."
    assert filled("recover", "--scheme", SCHEME, "--json", code=7).error["kind"] == "already_exists"


def test_an_archive_is_kept_beside_the_store(filled: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "kept"
    filled("ls", "--archive", kept)  # reads only
    assert not kept.exists()
    filled("add", "Later.", "--partition=user=eve", "--archive", kept)
    assert [path.name for path in kept.iterdir()] == [f"{5:020}"]
    monkeypatch.setenv("KIROMI_ARCHIVE", str(kept))
    last = filled.add("Last.", "--partition=user=eve", "--title=Kept")
    gone = filled.add("Erased.", "--partition=user=eve", "--title=Secret")
    assert [int(path.name) for path in sorted(kept.iterdir())] == [5, 6, 7]
    assert filled("stats", "--json").document["archive_seq"] is None  # of this run
    assert filled("erase", gone, "--yes", "--json").document["archives"] == [str(kept)]
    assert all(library.verify_archive(path).is_clean for path in kept.iterdir())
    for path in (filled.root / "default").glob("catalog.duckdb*"):
        path.unlink()
    plan = filled("recover")  # from the archive that the environment names
    assert plan.text.splitlines()[-1].startswith("would recover up to seq 10: 6 whole, ")
    monkeypatch.delenv("KIROMI_ARCHIVE")
    filled("recover", code=2)
    filled.bare("--store", filled.root, "--archive", kept, "recover", "--yes")
    assert filled("get", last, "--json").document["title"] == "Kept"
    filled("verify", "--read-data")


def test_an_archive_that_cannot_be_kept_is_told(filled: Program, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("in the way")
    added = filled("add", "Later.", "--partition=user=eve", "--archive", tmp_path / "kept")
    assert f"warning: the archive at {tmp_path / 'kept'} is not up to date: " in added.notes


def test_options_of_a_command_stand_for_themselves(filled: Program, tmp_path: Path) -> None:
    filled("snapshot", "export", "live", tmp_path / "archive")
    memory_id = filled("ls", "-q").text.split()[0]
    shown = filled.bare(
        *("--store", filled.root, "--archive", tmp_path / "kept", "erase", memory_id),
        *("--archive", tmp_path / "archive", "--yes", "--json"),
    ).document
    assert shown["archives"] == [str(tmp_path / "archive")]
    assert [int(path.name) for path in (tmp_path / "kept").iterdir()] == [shown["seq"]]
