"""``snapshot export``, ``import`` and ``verify``, and ``recover``, as they are typed."""

from pathlib import Path

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
