"""add, get, update, rm, undelete."""

import json
from pathlib import Path

import pytest

from tests.cli.running import Program, stable


def test_add_prints_id_version_and_path(kiromi: Program) -> None:
    found = kiromi("add", "Prefers aisle seats.", "--partition", "user=ana").stable
    identity = f"ID{1:024d}"
    assert found == f"{identity}  version 1  data/user=ana/topic=inbox/{identity}.1.md\n"


def test_add_takes_every_field(kiromi: Program) -> None:
    found = kiromi(
        *("add", "x", "--partition", "user=ana", "--attr", "trip:=7", "--attr", 'price:={"decimal": "1.10"}'),
        *("--attr", 'days:=["a", "b"]', "--attr", 'day:={"date": "2026-01-31"}', "--tag", "a", "--tag", "b"),
        *("--attr", 'at:={"datetime": "2026-01-31T12:00:00"}', "--title", "T", "--kind", "semantic", "--key", "k"),
        *("--namespace", "n", "--id", "01KAK9Z6B5M3V0QW8XN2RYT4HD", "--media-type", "text/plain", "--language", "de"),
        *(
            "--importance",
            "0.5",
            "--confidence",
            "1",
            "--event-at",
            "2026-01-31",
            "--valid-from",
            "2026-01-01T00:00:00",
        ),
        *("--valid-until", "2027-01-01T00:00:00+01:00", "--expires-at", "2999-01-01", "--json"),
    ).document
    assert found["id"] == "01KAK9Z6B5M3V0QW8XN2RYT4HD"
    assert found["attributes"] == {
        "at": "2026-01-31T12:00:00.000000Z",
        "day": "2026-01-31",
        "days": ["a", "b"],
        "price": "1.10",
        "trip": 7,
        "user": "ana",
    }
    assert found["path"].endswith(".txt")
    expected = {
        "tags": ["a", "b"],
        "title": "T",
        "kind": "semantic",
        "key": "k",
        "namespace": "n",
        "language": "de",
        "importance": 0.5,
        "confidence": 1.0,
        "event_at": "2026-01-31T00:00:00.000000Z",
        "valid_from": "2026-01-01T00:00:00.000000Z",
        "valid_until": "2026-12-31T23:00:00.000000Z",
        "expires_at": "2999-01-01T00:00:00.000000Z",
        "media_type": "text/plain",
    }
    assert {name: found[name] for name in expected} == expected


def test_content_comes_from_a_file_or_stdin(kiromi: Program, tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(b"\x89PNG\x00\xff")
    picture = kiromi("-q", "add", "--file", file, "--partition", "user=ana").text.strip()
    assert kiromi("get", picture).out == b"\x89PNG\x00\xff"
    assert kiromi("get", picture, "--json").document["content_base64"] == "iVBORwD/"
    piped = kiromi("-q", "add", "-", "--partition", "user=ana", stdin="Grüße\r\n".encode()).text.strip()
    assert kiromi("get", piped).out == "Grüße\r\n".encode()
    assert kiromi("get", piped, "--json").document["content"] == "Grüße\r\n"


def test_text_that_is_not_utf8_is_refused_unless_it_is_called_bytes(kiromi: Program) -> None:
    refused = kiromi("add", "-", "--partition", "user=ana", stdin=b"\xff", code=2)
    assert "not UTF-8" in refused.notes
    kiromi("add", "-", "--partition", "user=ana", "--media-type", "application/octet-stream", stdin=b"\xff")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["add", "--partition", "user=ana"], "nothing to store"),
        (["add", "x", "--file", "y"], "given twice"),
        (["add", "--file", "nowhere.md"], "cannot be read"),
        (["add", "x", "--put"], "give --key"),
        (["add", "x", "--put", "--key", "k", "--id", "01KAK9Z6B5M3V0QW8XN2RYT4HD"], "no --id"),
        (["add", "x", "--partition", "ana"], "NAME=VALUE"),
        (["add", "x", "--partition", "=ana"], "NAME=VALUE"),
        (["add", "x", "--attr", "a=1", "--attr", "a=2"], "twice"),
        (["add", "x", "--attr", "a:={"], "not JSON"),
        (["add", "x", "--attr", 'a:={"b": 1}'], "no value"),
        (["add", "x", "--attr", 'a:={"date": "soon"}'], "no value"),
        (["add", "x", "--event-at", "soon"], "ISO 8601"),
        (["add", "x", "--partition", "nobody=ana"], "nobody"),
        (["update", "01KAK9Z6B5M3V0QW8XN2RYT4HD", "--title", "x", "--clear", "title"], "both given and cleared"),
        (["rm"], "which memories"),
        (["rm", "x", "--within", "user=ana"], "which memories"),
        (["rm", "01KAK9Z6B5M3V0QW8XN2RYT4HD", "01KAK9Z6B5M3V0QW8XN2RYT4HE", "--expected-version", "1"], "name one"),
        (["get", "seat"], "ULID"),
    ],
)
def test_refused_arguments_say_why(kiromi: Program, arguments: list[str], message: str) -> None:
    assert message in kiromi(*arguments, code=2).notes


def test_put_makes_the_next_version_of_the_key(kiromi: Program) -> None:
    first = kiromi.add("one", "--partition=user=ana", "--key=k", "--put", "--tag=t")
    assert kiromi.add("two", "--partition=user=ana", "--key=k", "--put") == first
    found = kiromi("get", "key:k", "--json").document
    assert (found["content"], found["version"], found["tags"]) == ("two", 2, [])
    assert kiromi("add", "three", "--partition=user=ana", "--key=k", "--json", code=7).error["kind"] == "already_exists"


def test_get_writes_the_bytes_and_nothing_else(kiromi: Program) -> None:
    memory = kiromi.add("no newline at the end", "--partition=user=ana")
    assert kiromi("get", memory).out == b"no newline at the end"


def test_get_info_shows_what_is_known(filled: Program) -> None:
    found = stable(filled("get", "key:call", "--namespace", "todo", "--info").text)
    identity = f"ID{1:024d}"
    assert found.splitlines() == [
        f"id          {identity}",
        "version     1",
        "seq         2",
        'partition   {"user": "ana", "topic": "inbox"}',
        f"path        data/user=ana/topic=inbox/{identity}.1.md",
        "scheme      1",
        "key         call",
        "namespace   todo",
        "kind        episodic",
        "title       Plumber",
        'attributes  {"user": "ana"}',
        "event_at    TIME",
        "created_at  TIME",
        "updated_at  TIME",
        "media_type  text/markdown",
        "size        10",
        "sha256      HASH",
    ]
    assert "content" not in filled("get", "key:call", "--namespace=todo", "--info", "--json").document


def test_update_changes_what_is_given_and_moves_the_blob(filled: Program) -> None:
    key = ("key:call", "--namespace=todo")
    changed = filled("update", *key, "--partition=topic=home", "--attr=n:=1", "--clear=title", "--json").document
    assert (changed["version"], changed["title"], changed["attributes"]["n"]) == (2, None, 1)
    assert changed["path"].startswith("data/user=ana/topic=home/")
    assert filled("update", *key, "--attr=n:=null", "--json").document["attributes"] == {"topic": "home", "user": "ana"}
    assert filled("update", *key, "Call again.", "--expected-version=1", "--json", code=7).error["version"] == 3
    assert filled("update", *key, "Call again.", "--expected-version=3").stable.split()[1:3] == ["version", "4"]
    assert filled("get", *key).out == b"Call again."


def test_rm_and_undelete_by_id_and_key(filled: Program) -> None:
    listed = [item["id"] for item in filled("ls", "--json").document["items"]]
    gone = filled("rm", listed[0], "key:call", listed[0], "--namespace=todo")
    assert [line.split()[1] for line in gone.text.splitlines()] == listed[:2]
    assert filled("get", listed[0], "--json", code=4).error["kind"] == "memory_deleted"
    assert filled("get", "key:call", "--namespace=todo", "--json", code=4).error["id"] == listed[1]
    back = filled("undelete", listed[0], "key:call", "--namespace=todo", "--json").document
    assert [(item["id"], item["version"]) for item in back["items"]] == [(listed[0], 2), (listed[1], 2)]
    assert filled("get", listed[0]).out == b"Prefers aisle seats."


def test_rm_is_all_or_nothing(filled: Program) -> None:
    listed = filled("ls", "-q").text.split()
    filled("rm", listed[0], "01KAK9Z6B5M3V0QW8XN2RYT4HD", code=3)
    assert filled("ls", "-q").text.split() == listed


def test_rm_by_filter_shows_its_plan_first(filled: Program) -> None:
    plan = filled("rm", "--within", "user=bob", "--where", "trip < 5")
    listed = filled("ls", "-q").text.split()
    assert plan.text.split() == listed[3:]
    assert plan.notes == "would delete 1 memory, 10 B\nnothing was changed; add --yes to delete\n"
    report = filled("rm", "--within", "user=bob", "--where", "trip < 5", "--yes", "--json").document
    assert report == {"applied": True, "count": 1, "ids": listed[3:], "size_bytes": 10}
    assert filled("rm", "--where", "trip < 5").notes == "would delete 0 memories, 0 B\n"
    assert filled("ls", "-q").text.split() == listed[:3]


def test_rm_names_a_thousand_and_counts_the_rest(kiromi: Program, tmp_path: Path) -> None:
    lines = [json.dumps({"content": f"memory {i}", "attributes": {"user": "ana"}}) for i in range(1_003)]
    (tmp_path / "many.jsonl").write_text("\n".join(lines))
    kiromi("import", tmp_path / "many.jsonl")
    plan = kiromi("rm", "--within", "user=ana")
    assert len(plan.text.split()) == 1_000
    assert plan.notes.startswith("… and 3 more\nwould delete 1,003 memories")


def test_an_unknown_key_is_not_found(kiromi: Program) -> None:
    for command in ("get", "history", "rm", "undelete"):
        assert kiromi(command, "key:none", "--json", code=3).error["kind"] == "memory_not_found"


def test_a_key_is_found_in_any_namespace_if_it_is_the_only_one(filled: Program) -> None:
    assert filled("get", "key:call", "--json").document["namespace"] == "todo"
    filled.add("Another call.", "--partition=user=bob", "--key=call", "--namespace=later")
    error = filled("get", "key:call", "--json", code=2).error
    assert error["namespaces"] == ["later", "todo"]
    assert "--namespace" in error["message"]
    assert filled("get", "key:call", "--namespace=later").out == b"Another call."
    filled("rm", "key:call", "--namespace=later")
    assert filled("get", "key:call", "--json").document["namespace"] == "todo"
