"""erase."""

from tests.cli.running import Program


def test_the_plan_is_shown_and_applied_when_told(filled: Program) -> None:
    planned = filled("erase", "--within", "user=ana")
    assert planned.stable.splitlines()[2:] == [
        "would erase            2 memories",
        "versions               2",
        "blobs                  2 (30 B)",
        "vectors                0",
        "links                  0",
        "supersessions          0",
        "audit entries          2",
        "archives               0",
        "copies of the catalog  0",
        "indices                none",
    ]
    assert planned.notes == "nothing was changed; add --yes to erase them for good\n"
    ids = filled("erase", "--within", "user=ana", "--quiet").text.split()
    assert filled("ls", "--within", "user=ana", "--quiet").text.split() == ids
    done = filled("erase", "--within", "user=ana", "--yes")
    assert done.stable.splitlines()[0] == "erased                 2 memories"
    assert done.stable.splitlines()[-2:] == ["seq                    5", "audit head             HASH"]
    assert done.notes == ""
    assert filled("get", ids[0], "--json", code=3).error["kind"] == "memory_not_found"
    assert filled("audit", "verify").code == 0
    assert filled("verify", "--read-data").code == 0


def test_by_id_and_key_as_json(filled: Program) -> None:
    filled("rm", "key:call")
    memory_id = filled.add("one", "--partition=user=zoe")
    report = filled("erase", memory_id, "key:call", "--json").document
    assert (report["applied"], report["memories"], report["versions"], report["seq"]) == (False, 2, 2, None)
    report = filled("erase", memory_id, "key:call", "--yes", "--json").document
    assert (report["applied"], report["memories"], report["former"]) == (True, 2, [])
    assert report["head"] == filled("audit", "verify", "--json").document["head"]
    assert filled("erase", memory_id, "--yes", "--json").document["memories"] == 0


def test_former_versions_are_told(filled: Program) -> None:
    memory_id = filled.add("one", "--partition=user=zoe", "--key=moved")
    filled("update", "key:moved", "--partition=user=bob")
    found = filled("erase", "--within=user=zoe")
    assert found.text.splitlines()[0] == "would erase            0 memories"
    assert found.notes == f"1 memory had such a version formerly and would have to be named: {memory_id}\n"


def test_it_has_to_be_said_which(filled: Program) -> None:
    for arguments in ((), ("01KAK9Z6B5M3V0QW8XN2RYT4HD", "--within=user=ana")):
        assert filled("erase", *arguments, "--json", code=2).error["kind"] == "invalid_input"
    assert filled("erase", "01KAK9Z6B5M3V0QW8XN2RYT4HD", "--json", code=3).error["kind"] == "memory_not_found"


def test_archives_are_rewritten_too(filled: Program) -> None:
    archive = filled.root.parent / "archive"
    filled("snapshot", "export", "live", archive)
    assert "nowhere" in filled("erase", "--within", "user=ana", "--archive", "nowhere", code=3).notes
    report = filled("erase", "--within", "user=ana", "--archive", archive, "--yes", "--json").document
    assert report["archives"] == [str(archive)]
    assert filled("snapshot", "verify", archive, "--json").document["memories"] == 2
