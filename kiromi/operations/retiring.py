"""Retiring: what stays of an id when nothing else is left of it, so that (id, n) never gets other bytes.

``retired`` holds a digest and not the id, so that an erased id is not kept. Such an id is free again: a memory that
gets it begins at version 1, with the next number for its content.
"""

import hashlib
from collections.abc import Mapping, Sequence

from kiromi.session.operation import Operation
from kiromi.session.session import Session

_FORGET = "DELETE FROM retired WHERE digest IN (SELECT unnest(?::BLOB[]))"
_RETIRE = "INSERT INTO retired SELECT unnest(?::BLOB[]), unnest(?::INTEGER[])"
_FIND = "SELECT digest, max(last_n) FROM retired WHERE digest IN (SELECT unnest(?::BLOB[])) GROUP BY digest"


def digest_of(session: Session, memory_id: str) -> bytes:
    """Return what stands for an id in ``retired``: SHA-256 of the store's id and the memory's."""
    return hashlib.sha256(f"{session.meta.store_id}{memory_id}".encode()).digest()


def last_numbers(session: Session, ids: Sequence[str]) -> dict[str, int]:
    """Return how far the contents were numbered of those ids that were retired; costs nothing while there are none.

    An operation that retires ids is alone in its commit, so the tables tell.
    """
    if not session.has_retired or not ids:
        return {}
    digests = {digest_of(session, memory_id): memory_id for memory_id in ids}
    with session.catalog.snapshot() as cursor:
        found = cursor.execute(_FIND, [list(digests)]).fetchall()
    return {digests[digest]: last_n for digest, last_n in found}


def plan_retire(operation: Operation, session: Session, numbers: Mapping[str, int]) -> None:
    """Plan to retire ids of which the operation leaves no live and no closed version.

    Args:
        operation: that leaves none.
        session: the tenant's.
        numbers: the ids, each with the highest ``n`` that it ever used.
    """
    if not numbers:
        return
    digests = [digest_of(session, memory_id) for memory_id in numbers]
    if session.has_retired:  # an id may be retired more than once
        operation.execute(_FORGET, digests)
    operation.execute(_RETIRE, digests, list(numbers.values()))
