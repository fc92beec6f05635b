"""The audit chain: each entry's hash covers the entry and the hash before it.

``digest = H(salt ‖ [memory id, detail, run id, reason])`` and ``hash = H(previous ‖ [seq, i, at, actor, op] ‖
digest)``, with H = SHA-256 and the lists as compact JSON. The chain covers the digest, not what went into it, so an
erasure can drop id, detail, reason and salt and the chain still holds; without the 128-bit salt the dropped text
cannot be guessed from the digest.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from json.encoder import encode_basestring as _quoted

from kiromi.catalog.rows import AuditRow
from kiromi.reports.checking import Problem


def genesis(store_id: str) -> bytes:
    """Return the hash before the first entry of a store."""
    return hashlib.sha256(f"kiromi audit chain of {store_id}".encode()).digest()


def entry_digest(
    salt: bytes, memory_id: str | None, detail: str | None, run_id: str | None, reason: str | None
) -> bytes:
    """Return the digest of what an erasure may drop."""
    texts = ",".join(map(_text, (memory_id, detail, run_id, reason)))
    return hashlib.sha256(salt + f"[{texts}]".encode()).digest()


def entry_hash(previous: bytes, seq: int, i: int, at: int, actor: str, op: str, digest: bytes) -> bytes:
    """Return the chain's hash after an entry; ``at`` in microseconds since 1970 UTC."""
    entry = f"[{seq},{i},{at},{_quoted(actor)},{_quoted(op)}]".encode()
    return hashlib.sha256(previous + entry + digest).digest()


def seal(
    previous: bytes,
    seq: int,
    at: int,
    who: tuple[str, str | None, str | None],
    log: Sequence[tuple[str, str | None, str]],
) -> list[AuditRow]:
    """Return the chained entries of one operation.

    The same as :func:`entry_digest` and :func:`entry_hash` for each, with what all share made into text once.

    Args:
        previous: the hash before the first of them.
        seq: the operation.
        at: when, in microseconds since 1970 UTC.
        who: actor, run id and reason.
        log: op, memory id and detail (JSON text) of each entry.
    """
    actor, run_id, reason = who
    dropped = f",{_text(run_id)},{_text(reason)}]"
    kept = f",{at},{_quoted(actor)},"
    salts = os.urandom(16 * len(log))
    entries = []
    for i, (op, memory_id, detail) in enumerate(log):
        salt = salts[16 * i : 16 * i + 16]
        digest = hashlib.sha256(salt + f"[{_text(memory_id)},{_quoted(detail)}{dropped}".encode()).digest()
        previous = hashlib.sha256(previous + f"[{seq},{i}{kept}{_quoted(op)}]".encode() + digest).digest()
        entries.append(AuditRow(seq, i, at, actor, run_id, reason, op, memory_id, detail, salt, digest, previous))
    return entries


def check_chain(entries: Iterable[AuditRow], previous: bytes) -> Iterator[Problem]:
    """Yield a problem for each entry that is not what the chain says, given the hash before the first of them.

    After a broken entry the check goes on from the hash that the entry states, so that one change is one problem.
    """
    before: AuditRow | None = None
    for entry in entries:
        where = f"audit entry (seq {entry.seq}, i {entry.i})"
        if before is not None and (entry.seq, entry.i) <= (before.seq, before.i):
            yield Problem("audit_broken", where, f"{where} does not come after (seq {before.seq}, i {before.i})")
        elif entry.i != (before.i + 1 if before is not None and before.seq == entry.seq else 0):
            yield Problem("audit_broken", where, f"{where}: an entry of this operation is missing before it")
        if before is not None and entry.at < before.at:
            yield Problem("audit_broken", where, f"{where} is dated before the entry before it")
        if entry.salt is not None and _digest_of(entry) != entry.digest:
            yield Problem("audit_broken", where, f"{where}: its id, detail, run or reason was changed")
        expected = entry_hash(previous, entry.seq, entry.i, entry.at, entry.actor, entry.op, entry.digest)
        if expected != entry.hash:
            yield Problem("audit_broken", where, f"{where} does not follow from the entry before it")
        previous, before = entry.hash, entry


def _digest_of(entry: AuditRow) -> bytes:
    return entry_digest(entry.salt or b"", entry.memory_id, entry.detail, entry.run_id, entry.reason)


def _text(text: str | None) -> str:
    return "null" if text is None else _quoted(text)
