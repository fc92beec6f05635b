"""snapshot create, list, show, delete, prune."""

import pytest

from tests.cli.running import SCHEME, Program


def test_create_list_show_delete(filled: Program) -> None:
    made = filled("snapshot", "create", "--tag", "before", "--reason", "nightly run").text.strip()
    assert filled("snapshot", "list").stable.splitlines() == [
        "ID                          SEQ  CREATED               TAG     REASON",
        "ID000000000000000000000001    4  TIME  before  nightly run",
    ]
    assert filled("snapshot", "list", "--quiet").text.split() == [made]
    shown = filled("snapshot", "show", "before").stable.splitlines()
    assert shown[1:4] == ["seq         4", "tag         before", "reason      nightly run"]
    assert shown[-2:] == ["memories    4", f"scheme      {SCHEME}"]
    found = filled("snapshot", "show", made, "--json").document
    assert (found["id"], found["memories"], found["is_safety"], found["tag"]) == (made, 4, False, "before")
    assert filled("snapshot", "delete", "before").text == f"deleted {made} (before)\n"
    assert filled("snapshot", "list").notes == "there is no snapshot: kiromi snapshot create takes one\n"
    assert filled("snapshot", "list", "--json").document == {"items": [], "next_cursor": None}
    assert filled("snapshot", "show", "before", "--json", code=3).error["kind"] == "snapshot_not_found"


def test_create_as_json_and_without_a_tag(filled: Program) -> None:
    found = filled("snapshot", "create", "--json").document
    assert (found["seq"], found["tag"], found["reason"], found["is_new"]) == (4, None, None, True)
    assert filled("snapshot", "delete", found["id"]).text == f"deleted {found['id']}\n"
    again = filled("snapshot", "create", "--json").document
    assert filled("snapshot", "delete", again["id"], "--json").document["id"] == again["id"]


def test_create_only_if_something_changed(filled: Program) -> None:
    first = filled("snapshot", "create", "--if-changed")
    assert first.notes == ""
    again = filled("snapshot", "create", "--if-changed")
    assert again.text == first.text
    assert again.notes.startswith("nothing was written since this snapshot of ")
    assert filled("snapshot", "create", "--if-changed", "--json").document["is_new"] is False
    filled.add("new", "--partition=user=ana")
    assert filled("snapshot", "create", "--if-changed").text != first.text


def test_a_tag_that_is_in_use_is_a_conflict(filled: Program) -> None:
    filled("snapshot", "create", "--tag", "daily")
    assert filled("snapshot", "create", "--tag", "daily", "--json", code=7).error["kind"] == "already_exists"
    assert "reads as" in filled("snapshot", "create", "--tag", "live", code=2).notes


def test_prune_shows_its_plan_and_applies_it_when_told(filled: Program) -> None:
    ids = [filled("snapshot", "create", "--tag", tag).text.strip() for tag in ("a", "b", "c")]
    planned = filled("snapshot", "prune", "--keep-last", "1")
    lines = planned.stable.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == ["PLAN", "delete", "delete", "keep"]
    assert lines[3].endswith("c    last")
    assert lines[-1] == "would delete 2 snapshots"
    assert planned.notes == "nothing was changed; add --yes to delete them\n"
    assert filled("snapshot", "list", "--quiet").text.split() == ids
    report = filled("snapshot", "prune", "--keep-daily", "1", "--json").document
    assert [one["tag"] for one in report["removed"]] == ["a", "b"]
    assert report["kept"][0]["reasons"][0].startswith("daily ")
    assert filled("snapshot", "prune", "--keep-last", "1", "--yes").text.splitlines()[-1] == "deleted 2 snapshots"
    assert filled("snapshot", "list", "--quiet").text.split() == ids[2:]
    assert filled("snapshot", "prune", "--keep-last", "1", "--keep-safety", "0", "--quiet").notes == ""


@pytest.mark.parametrize("rules", [(), ("--keep-last", "0"), ("--keep-safety", "3")])
def test_prune_needs_a_rule(filled: Program, rules: tuple[str, ...]) -> None:
    assert filled("snapshot", "prune", *rules, "--json", code=2).error["kind"] == "invalid_input"


def test_what_would_command_a_terminal_is_escaped(filled: Program) -> None:
    filled("snapshot", "create", "--reason", "\x1b[31mred")
    assert "\\x1b[31mred" in filled("snapshot", "list").text
