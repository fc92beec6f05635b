"""snapshot restore."""

import contextlib
import signal
from collections.abc import Callable, Iterator

import pytest

import kiromi
from kiromi.cli.invocation import Invocation
from kiromi.operations.restore import plan
from tests.cli.running import SCHEME, Program, stable


@pytest.fixture
def changed(filled: Program) -> Program:
    """Four memories with a snapshot, and then one of each change."""
    filled("snapshot", "create", "--tag", "then")
    filled("update", "key:call", "Call at noon.", "--namespace", "todo", "--tag", "x")
    gone = filled("ls", "--where", 'kind = "procedural"', "--quiet").text.strip()
    filled("rm", gone)
    filled.add("new", "--partition=user=bob")
    return filled


def test_the_plan_is_shown_and_nothing_is_changed(changed: Program) -> None:
    before = changed("diff", "then").text
    shown = changed("snapshot", "restore", "then", "--dry-run")
    lines = shown.stable.splitlines()
    assert sorted(line[0] for line in lines[:-1]) == ["A", "D", "M"]
    assert next(line for line in lines if line.startswith("M")).endswith("key:call  Plumber  (content, tags)")
    assert lines[-1] == "would restore seq 4: 1 brought back, 1 deleted, 1 changed"
    assert shown.notes == "nothing was changed; without --dry-run it is done\n"
    assert len(changed("snapshot", "restore", "then", "--dry-run", "--quiet").text.split()) == 3
    assert changed("snapshot", "restore", "then", "--dry-run", "--json").document["applied"] is False
    assert changed("diff", "then").text == before


def test_restore_and_undo(changed: Program) -> None:
    seq = changed("stats", "--json").document["seq"]
    done = changed("snapshot", "restore", "then")
    assert done.text == "restored seq 4: 1 brought back, 1 deleted, 1 changed\n"
    assert stable(done.notes) == "to undo it: kiromi snapshot restore ID000000000000000000000001\n"
    assert "no difference" in changed("diff", "then").notes
    assert changed("get", "key:call", "--namespace", "todo").text == "Call back."
    assert changed("snapshot", "restore", "then").text == "nothing differs from seq 4\n"
    undone = changed(*done.notes.split()[4:])
    assert undone.text.startswith(f"restored seq {seq}: 1 brought back, 1 deleted, 1 changed")
    assert "no difference" in changed("diff", str(seq)).notes


def test_a_part(changed: Program) -> None:
    report = changed("snapshot", "restore", "seq:4", "--within", "user=ana", "--json").document
    assert (report["applied"], report["changed"], report["removed"], report["back"]) == (True, 1, 0, 0)
    gone = changed("diff", "then", "--quiet").text.split()
    one = changed("snapshot", "restore", "then", "--id", gone[0], "--json").document
    assert one["removed"] + one["back"] == 1
    changed("update", "key:call", "again", "--namespace", "todo")
    by_key = changed("snapshot", "restore", "then", "--id", "key:call", "--namespace", "todo")
    assert by_key.text == "restored seq 4: 1 changed\n"


def test_mistakes(changed: Program) -> None:
    assert changed("snapshot", "restore", "never", "--json", code=3).error["kind"] == "snapshot_not_found"
    unknown = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    assert changed("snapshot", "restore", "then", "--id", unknown, "--json", code=3).error["kind"] == "memory_not_found"
    assert changed("snapshot", "restore", "then", "--within", "x=1", "--json", code=2).error["kind"] == "invalid_input"


def test_the_scheme_and_what_was_left_alone_are_told(bare: Program) -> None:
    from kiromi import open as open_store
    from tests.operations.remembering import OTHER, evolve

    bare("init", "--scheme", SCHEME)
    first = bare.add("one", "--partition=user=ana", "--key=a")
    bare("snapshot", "create", "--tag", "then")
    with open_store(bare.root) as store:
        evolve(store, OTHER)
    bare("update", "key:a", "--key", "b")
    bare.add("two", "--partition=user=bob", "--key=a")
    left = bare("snapshot", "restore", "then", "--id", first)
    assert left.text == "restored seq 1: 1 left alone\n"
    assert f"left alone: {first}: its key then, 'a', is in use by another memory now\n" in left.notes
    done = bare("snapshot", "restore", "then").text
    assert done == f"restored seq 1: 1 deleted, 1 changed, scheme {SCHEME}\n"


def test_ctrl_c_ends_after_the_running_batch_and_says_how_to_go_on(
    changed: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "BATCH", 1)

    @contextlib.contextmanager
    def press(cli: Invocation) -> Iterator[Callable[[str, int, int], None]]:
        yield lambda what, done, total: signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("kiromi.cli.restore.staged_progress", press)
    stopped = changed("snapshot", "restore", "then", "--within", "user=bob", "--json", code=130)
    again = "kiromi snapshot restore then --within user=bob"
    assert stopped.error["message"] == f"stopped; what is restored stays. To go on: {again}"
    conflict = changed("snapshot", "restore", "then", "--json", code=7).error
    assert (conflict["kind"], conflict["target"]) == ("migration_conflict", 4)
    monkeypatch.undo()
    report = changed(*again.split()[1:], "--json").document
    assert (report["is_resumed"], report["removed"] + report["back"]) == (True, 1)


def test_a_moment_becomes_a_store_elsewhere(changed: Program) -> None:
    elsewhere = changed.root.parent / "elsewhere"
    before = changed("diff", "then").text
    made = changed("snapshot", "restore", "then", "--to", elsewhere)
    assert made.text == f"made {elsewhere}: 4 memories of seq 4\n"
    assert "archive" not in made.notes
    assert changed("diff", "then").text == before
    other = changed.bare("--store", elsewhere, "ls", "--json").document["items"]
    with kiromi.open(changed.root) as store:
        then = store.at("then").list().items
    assert [(one["id"], one["sha256"]) for one in other] == [(one.id, one.sha256) for one in then]
    for more in (("--dry-run",), ("--within", "user=ana")):
        assert "--to" in changed("snapshot", "restore", "then", "--to", elsewhere, *more, code=2).notes
    assert "--to" in changed("snapshot", "restore", "then", "--to-catalog", elsewhere, code=2).notes
    changed("snapshot", "restore", "then", "--to", elsewhere, code=7)
