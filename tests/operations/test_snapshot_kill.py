"""A snapshot is durable when it returns, and whole or not at all: its row goes beside its journal entry (P1, P2)."""

import subprocess
import sys
from pathlib import Path

import kiromi

_TAKE = """
import os, sys, kiromi
store = kiromi.open(sys.argv[1], scheme="user={user}")
store.append("before", {"user": "ana"})
store.snapshot("taken")
store.snapshot("deleted")
store.delete_snapshot("deleted")
store.append("after", {"user": "ana"})
os._exit(9)
"""


def test_a_snapshot_in_the_journal_survives_a_kill(root: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _TAKE, str(root)], check=False, timeout=60)
    assert done.returncode == 9
    with kiromi.open(root) as store:
        assert [(one.tag, one.seq) for one in store.snapshots()] == [("taken", 1)]
        assert store.seq == 5
        assert [one.op for one in store.audit()] == ["append", "snapshot", "snapshot", "delete_snapshot", "append"]
        assert store.at("taken").count() == 1
        assert store.audit_verify().is_clean
        assert store.verify(read_data=True).is_clean
