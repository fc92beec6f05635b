"""The calls that relate memories: supersession and links."""

import builtins
from datetime import datetime

from kiromi.model import Link, MemoryInfo, Supersession
from kiromi.operations import links as _links
from kiromi.operations import supersession as _supersession
from kiromi.store.handle import Handle


class Relating(Handle):
    """Relates memories; a part of :class:`kiromi.Store`."""

    def supersede(self, old: str, new: str, at: datetime | None = None) -> MemoryInfo:
        """Say that a memory was replaced by another; searches leave it out from then on.

        It is no edit: the memory stays where it is, ``get`` and ``list`` show it, with ``superseded_by`` and
        ``superseded_at``, and its version stays. ``where={"superseded_by": {"$exists": False}}`` lists what stands.
        Several memories may have been replaced by one. The last one said holds; saying the same again changes nothing.
        Edits keep the state, and so does deleting the new memory.

        Args:
            old: the memory that was replaced.
            new: the memory that replaced it.
            at: from when on, in the past or the future; None means now.

        Raises:
            MemoryNotFound: one of them is not there.
            InvalidInput: they are the same, or the old one replaced the new one, directly or through others.
        """
        with self._call() as caller:
            return _supersession.supersede(caller, old, new, at)

    def unsupersede(self, old: str) -> MemoryInfo:
        """Take back that a memory was replaced; one that was not stays as it is.

        Raises:
            MemoryNotFound: it is not there.
        """
        with self._call() as caller:
            return _supersession.unsupersede(caller, old)

    def supersessions(self, id: str | None = None, *, limit: int | None = None) -> builtins.list[Supersession]:  # noqa: A002
        """Return what was said and taken back about memories that others replaced, newest first.

        Args:
            id: only what names this memory, on either side.
            limit: at most so many; None for all.
        """
        with self._call() as caller:
            return _supersession.supersessions(caller, id, limit)

    def link(
        self,
        src: str,
        dst: str,
        kind: str = "explicit",
        *,
        weight: float | None = None,
        note: str | None = None,
        valid_from: datetime | None = None,
        valid_until: datetime | None = None,
    ) -> Link:
        """Link two things: memories, partitions, or what lies outside the store.

        From one end to another there is at most one link of a kind: another call makes it what that call says, and one
        that says the same changes nothing. Links outlive the memories that they name.

        Args:
            src: where it begins: the id of a memory, ``kiromi://memory/<id>``, ``kiromi://partition/<path>`` (a path
                below ``data/``, or the upper part of one), or any other URI. One end at least is in the store.
            dst: where it leads, likewise.
            kind: explicit, supersedes, contradicts, derived, part_of, related, or any text of 1 to 64 characters.
            weight: any finite number.
            note: text of at most 10,000 characters.
            valid_from: from when on what it says is true.
            valid_until: until when.

        Raises:
            MemoryNotFound: a memory that it names is not there.
            InvalidInput: an argument is refused.
        """
        with self._call() as caller:
            facts = {"weight": weight, "note": note, "valid_from": valid_from, "valid_until": valid_until}
            return _links.link(caller, src, dst, kind, **facts)

    def unlink(self, src: str, dst: str, kind: str | None = None) -> int:
        """End the links from one end to another, of one kind or of all; return how many there were.

        Raises:
            InvalidInput: an argument is refused.
        """
        with self._call() as caller:
            return _links.unlink(caller, src, dst, kind)
