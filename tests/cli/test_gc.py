"""gc."""

import pytest

from tests.cli.running import Program


@pytest.fixture
def changed(kiromi: Program) -> Program:
    """The program on a store with two closed versions."""
    seat = kiromi.add("Prefers aisle seats.", "--partition=user=ana", "--key=seat")
    kiromi("update", seat, "Prefers window seats.")
    gone = kiromi.add("Gone.", "--partition=user=ana")
    kiromi("rm", gone)
    return kiromi


def test_the_plan_is_shown_and_applied_when_told(changed: Program) -> None:
    planned = changed("gc", "--retain", "0")
    assert planned.text.splitlines() == [
        "2  closed versions",
        "1  deleted memories of which nothing is left",
        "2  contents                                   25 B",
        "would remove 2 closed versions, 25 B of blobs",
    ]
    assert planned.notes == "nothing was changed; add --yes to remove them\n"
    done = changed("gc", "--retain", "0", "--yes")
    assert done.text.splitlines()[-1] == "removed 2 closed versions, 25 B of blobs"
    assert done.notes == ""
    assert changed("gc", "--retain", "0").text == "would remove 0 closed versions, 0 B of blobs\n"
    changed("verify", "--read-data")
    assert changed("diff", "1", "--json", code=3).error["kind"] == "snapshot_not_found"
    assert changed("get", "key:seat").text == "Prefers window seats."


def test_what_snapshots_need_is_told(changed: Program) -> None:
    changed("snapshot", "create", "--tag", "now")
    changed("update", "key:seat", "Prefers the door.")
    lines = changed("gc", "--retain", "0").text.splitlines()
    assert "1  closed versions stay: snapshots or jobs need them" in lines


def test_json_and_quiet(changed: Program) -> None:
    report = changed("gc", "--retain", "0", "--json").document
    assert (report["applied"], report["versions"], report["size_bytes"]) == (False, 2, 25)
    quiet = changed("gc", "--retain", "0", "--yes", "--quiet")
    assert (quiet.text, quiet.notes) == ("removed 2 closed versions, 25 B of blobs\n", "")
    assert changed("gc", "--expired", "--grace", "1h", "--json").document["expired"] == 0


def test_what_is_younger_stays(changed: Program) -> None:
    assert changed("gc", "--yes").text == "removed 0 closed versions, 0 B of blobs\n"
    assert len(changed("history", "key:seat", "--json").document["items"]) == 2


def test_a_length_of_time_that_is_none(changed: Program) -> None:
    error = changed("gc", "--retain", "a month", "--json", code=2).error
    assert error["kind"] == "invalid_input"
    assert "30d, 8w" in error["message"]
