"""The digest of the state that a full archive holds, from its parts alone."""

import pyarrow.compute as pc

from kiromi.portable.archive.chain import Archive
from kiromi.portable.archive.digest import LINK_FIELDS, MEMORY_FIELDS, StateDigest


def archive_digest(archive: Archive) -> str:
    """Return the digest of the state that a full archive holds; its parts have their rows in the order that counts."""
    digest = StateDigest(archive.manifest.schemes)
    for batch in archive.batches("memories", MEMORY_FIELDS):
        digest.add_memories(batch)
    for batch in archive.batches("links", [*LINK_FIELDS, "end_seq"]):
        digest.add_links(batch.filter(pc.is_null(batch.column("end_seq"))))
    return digest.hexdigest()
