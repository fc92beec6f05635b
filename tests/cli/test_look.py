"""ls, tree, history, stats, init."""

import json
import re
import sys
from pathlib import Path

import pytest

from tests.cli.running import SCHEME, Program

IDS = [f"ID{number:024d}" for number in range(1, 5)]


def test_ls_lists_all_as_aligned_columns(filled: Program) -> None:
    assert filled("ls").stable.splitlines() == [
        "ID                          VERSION  SIZE  PARTITION                  KEY   TITLE",
        f"{IDS[0]}        1  20 B  user=ana/topic=travel",
        f"{IDS[1]}        1  10 B  user=ana/topic=inbox       call  Plumber",
        f"{IDS[2]}        1  20 B  user=bob/topic=café%2Fbar",
        f"{IDS[3]}        1  10 B  user=bob/topic=inbox",
    ]


def test_ls_filters_orders_and_pages(filled: Program) -> None:
    listed = filled("ls", "--quiet").text.split()
    assert filled("ls", "-q", "--within", "user=ana", "--where", 'tags contains "pref"').text.split() == listed[:1]
    assert filled("ls", "-q", "--order-by", "-size").text.split() == [listed[i] for i in (0, 2, 1, 3)]
    first = filled("ls", "--limit", "3", "--json").document
    assert [item["id"] for item in first["items"]] == listed[:3]
    rest = filled("ls", "--limit", "3", "--cursor", first["next_cursor"], "--json").document
    assert ([item["id"] for item in rest["items"]], rest["next_cursor"]) == (listed[3:], None)
    told = filled("ls", "--limit", "3")
    assert told.notes == f"there is more; go on with --cursor {first['next_cursor']}\n"
    assert filled("ls", "--within", "user=nobody").notes == "no memory fits\n"
    assert filled("ls", "--within", "user=nobody", "--json").document == {"items": [], "next_cursor": None}


def test_ls_goes_on_beyond_a_page(kiromi: Program, tmp_path: Path) -> None:
    lines = [json.dumps({"content": f"memory {i}", "attributes": {"user": "ana"}}) for i in range(2_001)]
    (tmp_path / "many.jsonl").write_text("\n".join(lines))
    kiromi("import", tmp_path / "many.jsonl")
    assert len(kiromi("ls", "--json").document["items"]) == 2_001
    shown = kiromi("ls").text.splitlines()
    assert len(shown) == 2_002
    assert [line for line in shown if line.startswith("ID ")] == shown[:1]


def test_json_may_stand_before_and_after_the_command(filled: Program) -> None:
    assert filled("--json", "ls").document == filled("ls", "--json").document


def test_tree_shows_decoded_names_counts_and_sizes(filled: Program) -> None:
    assert filled("tree").text.splitlines() == [
        "default 4 (60 B)",
        "├── user=ana 2 (30 B)",
        "│   ├── topic=inbox 1 (10 B)",
        "│   └── topic=travel 1 (20 B)",
        "└── user=bob 2 (30 B)",
        "    ├── topic=café/bar 1 (20 B)",
        "    └── topic=inbox 1 (10 B)",
    ]
    assert filled("tree", "--depth", "1", "--within", "user=ana", "--json").document["items"] == [
        {"path": "user=ana", "values": {"user": "ana"}, "count": 2, "size_bytes": 30}
    ]


def test_tree_of_literals_nameless_segments_and_absent_values(bare: Program) -> None:
    bare("init", "--scheme", "notes/{user}/topic={topic}/{kind}")
    bare("add", "x", "--partition", "user=a/b", "--partition", "topic:=null")
    bare("add", "y", "--partition", "user:=null", "--partition", "topic=t")
    assert bare("tree").text.splitlines() == [
        "default 2 (2 B)",
        "└── notes 2 (2 B)",
        "    ├── (none) 1 (1 B)",
        "    │   └── topic=t 1 (1 B)",
        "    │       └── episodic 1 (1 B)",
        "    └── a/b 1 (1 B)",
        "        └── topic=(none) 1 (1 B)",
        "            └── episodic 1 (1 B)",
    ]


def test_history_tells_what_each_version_changed(filled: Program) -> None:
    key = ("key:call", "--namespace=todo")
    filled("update", *key, "Call again, soon.", "--attr=trip:=1", "--clear=title")
    filled("rm", *key)
    filled("undelete", *key)
    assert filled("history", *key).stable.splitlines() == [
        "VERSION  SEQS    UPDATED               SIZE  PATH" + " " * 55 + "CHANGED",
        f"      3  [7, …)  TIME  17 B  data/user=ana/topic=inbox/{IDS[0]}.2.md  undeleted",
        f"      2  [5, 6)  TIME  17 B  data/user=ana/topic=inbox/{IDS[0]}.2.md  content, title, attributes.trip",
        f"      1  [2, 5)  TIME  10 B  attic/XX/{IDS[0]}.1.md" + " " * 19 + "first",
    ]
    items = filled("history", *key, "--json").document["items"]
    assert [(item["version"], item["begin_seq"], item["end_seq"]) for item in items] == [
        (3, 7, None),
        (2, 5, 6),
        (1, 2, 5),
    ]


def test_stats_for_people_and_programs(filled: Program) -> None:
    shown = dict(line.split(None, 1) for line in filled("stats").text.splitlines())
    assert {name: shown[name] for name in ("tenant", "memories", "size", "partitions", "pending")} == {
        "tenant": "default",
        "memories": "4",
        "size": "60 B",
        "partitions": "4",
        "pending": "0",
    }
    assert filled("stats", "--json").document["size_bytes"] == 60


def test_init_says_whether_it_made_the_store(bare: Program) -> None:
    assert bare("init", "--scheme", SCHEME).text == f"made {bare.root}, tenant default, scheme {SCHEME}\n"
    again = bare("init", "--scheme", SCHEME, "--json").document
    assert again == {
        "store": str(bare.root),
        "tenant": "default",
        "scheme": SCHEME,
        "model": None,
        "created": False,
    }
    assert bare("init", "--scheme", "user={user}", "--json", code=7).error["kind"] == "scheme_mismatch"
    assert bare("--tenant", "acme", "init", "--scheme", "user={user}", "--json").document["created"] is True


def test_tables_on_a_terminal_fold_all_but_the_id(filled: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setenv("TERM", "xterm")
    lines = re.sub(r"\x1b\[[\d;]*m", "", filled("ls").text).splitlines()
    assert lines[0].split() == ["ID", "VERSION", "SIZE", "PARTITION", "KEY", "TITLE"]
    assert max(map(len, lines)) <= 70
    ids = filled("ls", "--quiet", "--json").document["items"]
    assert [line.split()[0] for line in lines[1:] if not line.startswith(" ")] == [item["id"] for item in ids]


def test_a_tree_on_a_terminal_reads_the_same(filled: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = filled("tree").text
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    styled = filled("tree").text
    assert styled != plain
    assert re.sub(r"\x1b\[[\d;]*m", "", styled) == plain


def test_a_refused_listing_prints_no_half_document(filled: Program) -> None:
    for arguments in (["--where", "trip >"], ["--limit", "0"], ["--cursor", "x"], ["--within", "nobody=x"]):
        found = filled("ls", *arguments, "--json", code=2)
        assert (found.out, found.error["kind"]) == (b"", "invalid_input")


def test_what_would_command_a_terminal_is_escaped(kiromi: Program) -> None:
    kiromi.add("x", "--partition=user=ana", "--title=\x1b[2J\u202eevil")
    assert "\\x1b[2J\\u202eevil" in kiromi("ls").text
    assert b"\x1b" not in kiromi("get", kiromi("ls", "-q").text.strip(), "--info").out
