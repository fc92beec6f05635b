"""Retired ids: what stays of a memory of which nothing else is left, so that its contents are never numbered again."""

import hashlib
from collections.abc import Collection, Mapping

from kiromi.session.operation import Operation
from kiromi.session.session import Session


def digest_of(session: Session, memory_id: str) -> bytes:
    """Return what stands for an id in ``retired``: SHA-256 over the store's id and the memory's."""
    return hashlib.sha256((session.meta.store_id + memory_id).encode()).digest()


def last_numbers(session: Session, ids: Collection[str]) -> dict[str, int]:
    """Return the highest ``n`` that was ever used, of those ids that are retired."""
    by_digest = {digest_of(session, memory_id): memory_id for memory_id in ids}
    with session.catalog.snapshot() as cursor:
        found = cursor.execute(
            "SELECT digest, max(last_n) FROM retired WHERE digest IN (SELECT unnest(?::BLOB[])) GROUP BY digest",
            [list(by_digest)],
        ).fetchall()
    return {by_digest[digest]: last_n for digest, last_n in found}


def plan_retire(session: Session, operation: Operation, numbers: Mapping[str, int]) -> None:
    """Plan to keep, of each of these ids, the highest ``n`` that was ever used and nothing else."""
    former = last_numbers(session, numbers)
    digests = [digest_of(session, memory_id) for memory_id in numbers]
    highest = [max(n, former.get(memory_id, 0)) for memory_id, n in numbers.items()]
    operation.execute("DELETE FROM retired WHERE digest IN (SELECT unnest(?::BLOB[]))", digests)
    operation.execute("INSERT INTO retired SELECT unnest(?::BLOB[]), unnest(?::INTEGER[])", digests, highest)
