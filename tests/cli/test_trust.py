"""verify, audit and sql."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kiromi.cli import audit as audit_command
from tests.cli.running import Program


def _blob(root: Path) -> Path:
    return next((root / "default" / "data").glob("user=ana/topic=travel/*.md"))


def test_verify_of_a_sound_store(filled: Program) -> None:
    quick = filled("verify")
    assert quick.text == "no problem: 4 memories, 4 blobs, 4 audit entries, 0 B read\n"
    assert quick.notes == "listing blobs; --read-data would also read all 60 B\n"
    assert filled("verify", "--read-data").text.endswith("60 B read\n")
    report = filled("verify", "--read-data", "--json").document
    assert (report["is_clean"], report["problems"], report["bytes_read"]) == (True, [], 60)


def test_verify_ends_with_8_if_problems_remain(filled: Program) -> None:
    _blob(filled.root).write_bytes(b"Prefers other seats.")
    found = filled("verify", "--read-data", code=8)
    assert found.text.startswith("PROBLEM  ")
    assert "1 problem" in found.text
    assert filled("verify", "--read-data", "--json", code=8).document["is_clean"] is False
    listed = filled("ls", "-q").text.split()
    assert filled("get", listed[0], "--json", code=8).error["kind"] == "checksum_mismatch"


def test_verify_tells_what_it_fixed(filled: Program) -> None:
    blob = next((filled.root / "default" / "data").rglob("*.md"))
    (blob.parent.parent / "topic=copies").mkdir()
    (blob.parent.parent / "topic=copies" / blob.name).write_bytes(blob.read_bytes())
    found = filled("verify", code=8)
    assert "PROBLEM" in found.text
    fixed = filled("verify", "--fix", "--json")
    assert [problem["fixed"] for problem in fixed.document["problems"]] == [True]
    assert filled("verify").text.startswith("no problem:")


def test_audit_tail_shows_the_last_entries(filled: Program) -> None:
    lines = filled("audit", "tail", "-n", "2").stable.splitlines()
    assert [line.split("  ")[:4] for line in lines] == [
        ["3.0", "TIME", "cli", "append"],
        ["4.0", "TIME", "cli", "append"],
    ]
    assert filled("audit", "tail", "-n", "0").text == ""
    assert [entry["seq"] for entry in filled("audit", "tail", "--json").document["items"]] == [1, 2, 3, 4]


def test_audit_tail_since_a_seq_and_of_one_memory(filled: Program) -> None:
    filled("--actor", "ana", "update", "key:call", "--namespace=todo", "Called.")
    assert [entry["seq"] for entry in filled("audit", "tail", "--since", "3", "--json").document["items"]] == [4, 5]
    own = filled("audit", "tail", "--memory", "key:call", "--namespace", "todo", "-n", "1", "--json").document["items"]
    assert [(entry["seq"], entry["actor"]) for entry in own] == [(5, "ana")]
    # Two entries far apart: the tail has to go back further than two operations.
    both = filled("audit", "tail", "--memory", "key:call", "--namespace", "todo", "-n", "2").text
    assert len(both.splitlines()) == 2


def test_audit_tail_goes_back_as_far_as_it_must(filled: Program) -> None:
    memory = filled("ls", "-q").text.split()[0]
    for number in range(12):
        filled.add(f"later {number}", "--partition=user=eve")
    assert len(filled("audit", "tail", "--memory", memory, "-n", "1").text.splitlines()) == 1


def test_audit_tail_follows(filled: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = iter(range(3))

    def wait(seconds: float) -> None:
        number = next(rounds)
        if number == 2:
            raise KeyboardInterrupt
        if number == 1:
            _append_from_outside(filled.root)

    monkeypatch.setattr(audit_command, "time", _Clock(wait))
    followed = filled("audit", "tail", "--follow", "-n", "1", "--json")
    lines = followed.text.splitlines()
    assert [line.split(",")[0] for line in lines] == ['{"seq": 4', '{"seq": 5']


class _Clock:
    def __init__(self, sleep: Callable[[float], None]) -> None:
        self.sleep = sleep


def _append_from_outside(root: Path) -> None:
    command = [sys.executable, "-m", "kiromi.cli", "--store", str(root), "add", "new", "--partition", "user=ana"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)


def test_audit_verify_prints_the_head(filled: Program) -> None:
    report = filled("audit", "verify", "--json").document
    assert filled("audit", "verify").text == f"the chain is whole: 4 entries, head {report['head']}\n"
    filled.add("more", "--partition=user=ana")
    filled("audit", "verify", "--expect", report["head"])
    found = filled("audit", "verify", "--expect", "0" * 64, code=8)
    assert "PROBLEM" in found.text


def test_sql_as_a_table_and_as_json(filled: Program) -> None:
    query = "SELECT kind, count(*) AS n, max(importance) AS top FROM memories GROUP BY kind ORDER BY kind"
    assert filled("sql", query).text == "kind        n  top\nepisodic    3  0.5\nprocedural  1\n"
    assert filled("sql", query, "--quiet").text == "episodic    3  0.5\nprocedural  1\n"
    assert filled("sql", query, "--json").document == {
        "items": [{"kind": "episodic", "n": 3, "top": 0.5}, {"kind": "procedural", "n": 1, "top": None}],
        "next_cursor": None,
    }
    assert filled("sql", "SELECT id FROM memories WHERE false").text == "id\n"
    assert "AS" in filled("sql", "SELECT kind AS a, id AS a FROM memories", "--json", code=2).error["message"]
    assert filled("sql", "DROP TABLE memories", "--json", code=2).error["kind"] == "invalid_input"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("date 'infinity'", "infinity"),
        ("date '-infinity'", "-infinity"),
        ("date '10000-01-01'", "10000-01-01"),
        ("date '0044-03-15 (BC)'", "0044-03-15 (BC)"),
        ("timestamp 'infinity'", "infinity"),
        ("timestamptz '10000-01-01 00:00:00+00'", "10000-01-01 00:00:00+00"),
        ("[date 'infinity']", "[infinity]"),
    ],
)
def test_sql_shows_times_that_python_does_not_know(filled: Program, value: str, shown: str) -> None:
    assert filled("sql", f"SELECT {value} AS a", "--quiet").text == f"{shown}\n"
    assert filled("sql", f"SELECT {value} AS a", "--json").document["items"] == [{"a": shown}]


def test_sql_shows_other_values_of_such_a_column_as_ever(filled: Program) -> None:
    query = "SELECT unnest([date '2026-01-31', NULL, date 'infinity']) AS a"
    assert [item["a"] for item in filled("sql", query, "--json").document["items"]] == ["2026-01-31", None, "infinity"]
