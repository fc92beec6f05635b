"""An archive that is kept beside the data: after each snapshot and at close what came since is written to it.

``<url>/<seq>/`` holds an archive each, of metadata only, for the bytes lie under ``data/`` and ``attic/`` anyway: a
full one, and increments that follow it. A chain that has grown long is begun anew; the old one goes when the new one
is there. Whatever fails here is a warning, and tried again the next time: the caller's operation has succeeded.
"""

import os
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb

from kiromi.errors import ArchiveWarning, Conflict, KiromiError, SnapshotNotFound
from kiromi.operations.asof import LIVE, resolve
from kiromi.operations.caller import Caller
from kiromi.operations.within import EVERYTHING

MAX_INCREMENTS = 16
"""A chain that has so many is begun anew."""
_GUARDS: dict[tuple[type, str], threading.Lock] = {}
_HASH_AT = "SELECT hash FROM audit_log WHERE seq <= ? ORDER BY seq DESC, i DESC LIMIT 1"


@dataclass(slots=True, eq=False)
class Keeper:
    """Keeps an archive beside a store; shared by the handles that one opening made."""

    url: str
    storage_options: Mapping[str, Any] | None = None
    seq: int | None = None
    """What it is known to hold."""
    problem: str | None = None
    """Why the last try failed; None if it did not."""
    guard: threading.Lock = field(default_factory=threading.Lock)
    """Held by who writes to the place; one for all keepers of it in this process."""

    @classmethod
    def of(cls, url: str | os.PathLike[str], storage_options: Mapping[str, Any] | None) -> "Keeper":
        """Return the keeper of a place.

        Raises:
            InvalidInput: the place is no path or URL, or its filesystem is not known.
        """
        from kiromi.portable.archive.place import Place

        place = Place.of(url, storage_options)
        guard = _GUARDS.setdefault((type(place.filesystem), place.path), threading.Lock())
        return cls(place.url, storage_options, guard=guard)


def keep(caller: Caller) -> None:
    """Bring the archive beside a store up to date, if one is kept; a failure is a warning."""
    keeper = caller.keeper
    if keeper is None or caller.is_read_only:
        return
    with keeper.guard:
        try:
            with caller.session.lease:
                keeper.seq = _keep(replace(caller, scope=EVERYTHING, moment=None), keeper)
        except (KiromiError, OSError, duckdb.Error) as error:
            keeper.problem = str(error)
            warnings.warn(ArchiveWarning(f"the archive at {keeper.url} is not up to date: {error}"), stacklevel=4)
        else:
            keeper.problem = None


def _keep(caller: Caller, keeper: Keeper) -> int:
    """Write what came since, or all of it; return the moment that the archive shows now."""
    # Here, because Parquet takes as long to load as opening a store.
    from kiromi.operations.archiving import write_archive
    from kiromi.portable.archive.chain import folder_name, kept_at, kept_names, newest_chain
    from kiromi.portable.archive.manifest import discard
    from kiromi.portable.archive.place import Place

    if keeper.seq is not None and keeper.seq == caller.session.view.seq:
        return keeper.seq
    place = Place.of(keeper.url, keeper.storage_options)
    archives = kept_at(place)
    chain = newest_chain(archives)
    moment = resolve(caller, LIVE)
    _check_line(caller, archives, moment.seq)
    if chain and chain[-1].manifest.seq == moment.seq:
        return moment.seq
    base = None
    if chain and len(chain) <= MAX_INCREMENTS:
        try:
            base = resolve(caller, chain[-1].manifest.seq)
        except SnapshotNotFound:  # gc went beyond it: what was live then is not known any more
            base = None
    target = place.below(folder_name(moment.seq))
    write_archive(caller, target, moment, base, contents=False, with_digest=base is None)
    needed = {folder_name(seq) for seq in (moment.seq, *(one.manifest.seq for one in chain if base is not None))}
    for name in set(kept_names(place)) - needed:  # a chain that was begun anew, what a kill has left
        discard(place.below(name))
    return moment.seq


def _check_line(caller: Caller, archives: Sequence[Any], seq: int) -> None:
    """Refuse to write where archives of another store lie, or of a later or other state of this one.

    Raises:
        Conflict: they do.
    """
    for archive in archives:
        manifest = archive.manifest
        if manifest.store_id != caller.session.meta.store_id or manifest.seq > seq:
            raise Conflict(
                f"it holds seq {manifest.seq} of store {manifest.store_id}; this one is"
                f" {caller.session.meta.store_id} at seq {seq}: name another place for it"
            )
    if archives:
        last = archives[-1].manifest
        with caller.session.snapshot() as (_, cursor):
            found = cursor.execute(_HASH_AT, [last.seq]).fetchall()
        if found and found[0][0].hex() != last.audit_head:
            raise Conflict(f"it holds another seq {last.seq} of this store: name another place for it")
