"""The facade: a handle on one tenant of a store. Composes operations and holds no logic of its own.

Each module holds the calls of one topic; :class:`Store` is all of them. Those that can be asked about the past as well
are defined once, for it and for :class:`StoreView`, and get another caller from each.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from kiromi.embed.base import Embedder
from kiromi.errors import InvalidInput
from kiromi.operations.caller import Guard
from kiromi.operations.opening import Durability, open_caller
from kiromi.store.archives import Archives
from kiromi.store.moments import Moments
from kiromi.store.querying import Querying
from kiromi.store.reading import Reading
from kiromi.store.relating import Relating
from kiromi.store.relations import Relations
from kiromi.store.retention import Retention
from kiromi.store.schemes import Schemes
from kiromi.store.searching import Searching
from kiromi.store.transaction import Transaction
from kiromi.store.transfer import Transfer
from kiromi.store.upkeep import Upkeep
from kiromi.store.view import StoreView
from kiromi.store.writing import Writing

DEFAULT_WAIT_S = 10.0


def open(  # noqa: A001 - kiromi.open is the public name, like zarr.open
    root: str | os.PathLike[str],
    *,
    scheme: str | None = None,
    tenant: str = "default",
    actor: str = "kiromi",
    storage_options: Mapping[str, Any] | None = None,
    catalog: str | os.PathLike[str] | None = None,
    read_only: bool = False,
    wait: float = DEFAULT_WAIT_S,
    durability: Durability = "sync",
    guards: Sequence[Guard] = (),
    embedder: Embedder | str | None = None,
    archive: str | os.PathLike[str] | None = None,
    archive_options: Mapping[str, Any] | None = None,
) -> "Store":
    """Open a store, or create it when a scheme is given and there is none.

    Args:
        root: a local folder or any fsspec URL, such as ``s3://bucket/prefix``.
        scheme: a partition template such as ``"user={user}/topic={topic|inbox}"``. On an existing store it must be the
            active one (or an earlier one: a warning). Leave it out to open only what exists.
        tenant: the isolated space within the store; no call crosses it.
        actor: the name recorded in the audit log for what this handle does.
        storage_options: passed to the fsspec driver.
        catalog: a local folder for catalogs and locks (one subfolder a tenant), or a ``.duckdb`` file for this tenant;
            needed for object stores, optional for local roots.
        read_only: refuse every write. Several processes can read one store at the same time.
        wait: seconds to wait for another process to hand the store over, at opening and later; of
            several handles on one tenant in a process, the longest holds for all.
        durability: ``"sync"``: what is acknowledged survives a power loss. ``"relaxed"``: it survives a kill of the
            process; blobs are not synced.
        guards: functions from :class:`Draft` to :class:`Draft` that may change a memory before it is stored, or raise
            to refuse it: run by append, put, update and import. For update they run while other writers wait.
        embedder: makes the vectors for search by meaning: ``"minilm"``, ``"hash"``, another name that
            :func:`kiromi.embed.specs.make` knows, or an object (:class:`kiromi.embed.base.Embedder`). The first one
            becomes the store's model; later, leave it out: a store makes its model's embedder from its name where it
            can. Without a model, memories are searched as text.
        archive: a folder, local or of any filesystem that fsspec knows, in which this handle keeps an archive of all
            metadata: after each snapshot and at close what came since is added. :func:`kiromi.recover` makes a lost
            catalog anew from it; meant for object stores. If it cannot be written, an :class:`ArchiveWarning` says so.
        archive_options: passed to the fsspec driver of ``archive``; those of ``root`` if not said.

    Raises:
        StoreNotFound: there is no store and no scheme was given.
        SchemeMismatch: the scheme was never one of this store's.
        EmbedderMismatch: the store's vectors are of another model.
        StoreLocked: another process did not hand the store over in time.
        InvalidInput: an argument is refused.
        UnsupportedFormat: the store is of a newer format.
        StorageError: the filesystem or the catalog failed.
    """
    return Store(
        open_caller(
            root,
            scheme=scheme,
            tenant=tenant,
            actor=actor,
            storage_options=storage_options,
            catalog=catalog,
            read_only=read_only,
            wait=wait,
            durability=durability,
            guards=guards,
            embedder=embedder,
            archive=archive,
            archive_options=archive_options,
        )
    )


class Store(
    Writing, Reading, Querying, Searching, Relations, Relating, Moments, Retention, Archives, Schemes, Transfer, Upkeep
):
    """A handle on one tenant, made by :func:`kiromi.open`; safe to share between threads, a context manager.

    Every call sees all that was acknowledged before it. A process forked while it is open
    cannot use the store: close it before, or start processes anew (``spawn``).
    """

    def scoped(self, within: Mapping[str, Any]) -> "Store":
        """Return a handle that cannot read, write or widen beyond ``within``, by id, key, SQL or otherwise.

        New memories written through it get the scope's values where they do not say them. Close the parent to close it.

        Raises:
            InvalidInput: a name is no segment or field of the store, or the scope is empty.
        """
        with self._call() as caller:
            if not within:
                raise InvalidInput("scoped needs within=: the exact values that bound the handle")
            return Store(replace(self._base, scope=caller.within(within)), parent=self)


__all__ = ["Store", "StoreView", "Transaction", "open"]
