"""--at: what was, by the commands that look."""

import pytest

from tests.cli.running import Program


@pytest.fixture
def changed(filled: Program) -> Program:
    """Four memories with a snapshot; then the key of one has gone to another, one was edited, one deleted."""
    filled("snapshot", "create", "--tag", "then")
    filled("update", "key:call", "Call at noon.", "--namespace", "todo", "--clear", "key")
    filled.add("Another call.", "--partition=user=bob", "--key=call", "--namespace=todo")
    gone = filled("ls", "--where", 'kind = "procedural"', "--quiet").text.strip()
    filled("rm", gone)
    return filled


def test_what_was_is_read(changed: Program) -> None:
    key = ("key:call", "--namespace", "todo")
    assert changed("get", *key).text == "Another call."
    assert changed("get", *key, "--at", "then").text == "Call back."
    assert changed("get", "key:call", "--at", "seq:4").text == "Call back."
    was = changed("ls", "--at", "then", "--json").document["items"]
    assert len(was) == 4
    assert len(changed("ls", "--at", "then", "--limit", "3", "--quiet").text.split()) == 3
    then = changed("get", *key, "--at", "then", "--info", "--json").document
    assert then in was
    assert [one["version"] for one in changed("history", *key, "--at", "then", "--json").document["items"]] == [1]
    assert [one["version"] for one in changed("history", then["id"], "--json").document["items"]] == [2, 1]


def test_trees_and_searches_of_a_moment(changed: Program) -> None:
    now, then = changed("tree", "--depth", "1").text, changed("tree", "--depth", "1", "--at", "then").text
    assert now != then
    assert sum(one["count"] for one in changed("tree", "--at", "4", "--json").document["items"]) == 4
    assert "Call back." in changed("search", "call", "--at", "then", "--json").text
    assert "Call back." not in changed("search", "call", "--json").text
    assert "Another" not in changed("search", "call", "--at", "then", "--json").text


def test_a_moment_that_is_none(changed: Program) -> None:
    for command in (("ls",), ("tree",), ("get", "key:call"), ("search", "call"), ("history", "key:call")):
        assert changed(*command, "--at", "never", "--json", code=3).error["kind"] == "snapshot_not_found"
    changed("get", "key:nobody", "--at", "then", code=3)
