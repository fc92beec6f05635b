"""Lineage: whether an index shows a past moment of this very history.

An index says which operation it knows last. That is not enough: after a catalog was restored from a backup and written
to, the same number means another operation. So the audit chain's hash at that operation is kept beside the indices, in
``heads.json``, and compared before one is opened. Who has lost it builds anew.
"""

import json
import os
from pathlib import Path
from typing import Any

from kiromi.session.session import Session

_FILE = "heads.json"
_KEPT = 8


def note(session: Session, folder: Path, name: str, seq: int) -> None:
    """Keep the hash at the operation that an index is about to be saved at.

    Some former ones stay: the process may be killed before the index is saved.

    Raises:
        OSError: it cannot be written.
    """
    heads = _read(folder)
    former = heads.get(name)
    kept = dict(list(former.items())[-_KEPT:]) if isinstance(former, dict) else {}
    heads[name] = {**kept, str(seq): _hash_at(session, seq)}
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{_FILE}.partial"
    partial.write_text(json.dumps(heads))
    os.replace(partial, folder / _FILE)


def is_shown(session: Session, folder: Path, name: str, seq: int) -> bool:
    """Tell whether an index that was saved at an operation shows what this catalog has of it."""
    heads = _read(folder).get(name)
    return isinstance(heads, dict) and heads.get(str(seq)) == _hash_at(session, seq)


def _read(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / _FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _hash_at(session: Session, seq: int) -> str:
    """Return the hash of the last audit entry up to an operation, in hex; that of no entry is empty."""
    with session.tables() as (_, journaled, cursor):
        found: list[tuple[bytes]] = cursor.execute(
            "SELECT hash FROM audit_log WHERE seq = (SELECT max(seq) FROM audit_log WHERE seq <= ?)"
            " ORDER BY i DESC LIMIT 1",
            [seq],
        ).fetchall()
    late = [changes.head.hash for changes in journaled if changes.head.seq <= seq]
    return (late[-1] if late else found[0][0] if found else b"").hex()
