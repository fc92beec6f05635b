"""Reading the contents of versions, wherever their blobs lie; everything here runs within the session's lease."""

import hashlib

from kiromi.catalog.rows import Row
from kiromi.errors import BlobMissing, ChecksumMismatch
from kiromi.session.pending import goal_of
from kiromi.session.session import Session


def place_of(session: Session, row: Row) -> str:
    """Return where the content of a version, live or closed, belongs now."""
    return str(goal_of(row.blob, (row.ext, row.size), session.view.get))


def read_blob(session: Session, row: Row) -> bytes:
    """Return the content of a version, checked against its SHA-256.

    A blob may be on its way to another place: if it is not at its goal, the places where it may lie are tried, then the
    goal is computed anew, until two full tries saw the same.

    Raises:
        BlobMissing: it is at none of them.
        ChecksumMismatch: its bytes are not the stored ones.
    """
    tried: tuple[str, ...] | None = None
    while True:
        candidates = (place_of(session, row), *session.pending.places.get(row.blob, ()))
        for path in candidates:
            data = session.blobs.read(path)
            if data is not None:
                if hashlib.sha256(data).digest() != row.sha256:
                    raise ChecksumMismatch(
                        f"the blob {path} is not what was stored: its SHA-256 differs", id=row.id, path=path
                    )
                return data
        if candidates == tried:
            raise BlobMissing(
                f"the blob {row.id}.{row.n} is not at {', '.join(candidates)}", id=row.id, path=candidates[0]
            )
        tried = candidates


def checked(session: Session, row: Row, data: bytes | None) -> bytes:
    """Return what a first read found if it is the version's content; else read it with every care.

    Raises:
        BlobMissing, ChecksumMismatch: as :func:`read_blob` does.
    """
    if data is not None and hashlib.sha256(data).digest() == row.sha256:
        return data
    return read_blob(session, row)
