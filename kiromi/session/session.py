"""The session of one process with one tenant: the lock, the open catalog, the blobs, and the published view.

Commits go through :mod:`kiromi.session.commit`; here is what they stand on: opening, recovering, catching up after
another process wrote, letting go. Everything but the constructor runs within ``lease``.
"""

import contextlib
import ctypes
import json
import threading
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

import duckdb

from kiromi.blobs.base import Blobs
from kiromi.blobs.local import LocalBlobs
from kiromi.blobs.objects import ObjectBlobs
from kiromi.catalog.changes import BlobKey, Changes, Head
from kiromi.catalog.database import Catalog, Meta
from kiromi.catalog.rows import Row
from kiromi.catalog.view import View
from kiromi.embed.base import Embedder, Model
from kiromi.errors import KiromiError, StorageError, UnsupportedFormat
from kiromi.ids import IdSource
from kiromi.partition import BUILT_INS, Assignments, Scheme
from kiromi.session.creating import create, not_found, prepare_place
from kiromi.session.epoch import claim_epoch
from kiromi.session.feed import Feed
from kiromi.session.following import caught_up, refuse_other_past, refuse_other_tenant
from kiromi.session.lease import Lease
from kiromi.session.location import Root
from kiromi.session.lock import StoreLock, lock_path
from kiromi.session.pending import Pending
from kiromi.session.remains import refuse_lost_catalog, refuse_unfinished_import
from kiromi.session.turns import Turns

T = TypeVar("T")

_NOTHING: Mapping[Any, Any] = MappingProxyType({})


class Attached(Protocol):
    """Something derived that lives as long as the session holds the lock, such as the indices."""

    def release(self) -> None:
        """Save what is worth it and let go; the lock is about to be given to somebody else. Must not raise."""


class Session:
    """What one process holds of one tenant; shared by all its handles and threads."""

    active_scheme = 0
    """The number of the scheme that new memories follow."""
    former_scheme: int | None = None  # active before, if there was another
    supplied = Assignments()
    """What new memories get that do not say it: the ``set`` that came with the active scheme."""
    active_model: int | None = None
    """The number of the embedding model whose vectors are searched."""
    gc_floor = 0
    """Below this seq only snapshots can be read."""
    has_retired = False
    """Whether there are ids of which nothing is left but how far their contents were numbered."""
    erased_seq = 0
    """The last operation that erased something: what was read of the tables before it must not be written back."""
    composer: int | None = None
    """The thread that composes a transaction, if one does; it holds ``writer``."""

    def __init__(self, root: Root, tenant: str, *, template: str | None, read_only: bool, durable: bool) -> None:
        """``template`` is the scheme of a store that is to be created if there is none."""
        self.root = root
        self.tenant = tenant
        self.read_only = read_only
        self.durable = durable
        self.blobs: Blobs = root.blobs(tenant, durable=durable)
        self.catalog_path = root.catalog_path(tenant)
        self.ids = IdSource()
        self.pending = Pending()
        self.schemes: dict[int, Scheme] = {}
        self.fields: frozenset[str] = frozenset()
        """What any of the schemes reads."""
        self.built_ins: dict[int, frozenset[str]] = {}
        """Which built-ins each scheme reads."""
        self.models: dict[int, Model] = {}
        """The embedding models whose vectors the store holds, or held."""
        self.settings: Mapping[str, Any] = {}
        """Of the store, as ``reindex`` was told."""
        self.embedders: dict[int, Embedder] = {}
        """Those of the models that could be made without the caller's help, made when first needed."""
        self.registering = threading.Lock()
        """Held while a model is added to the registry."""
        self.collecting = threading.Lock()
        """Held while gc runs."""
        self.erasing = threading.Lock()
        """Held by the one thread that erases."""
        self.feed = Feed()
        self.attached: dict[str, Attached] = {}
        self.writer = threading.RLock()
        """Held by the one thread that commits."""
        self.turns: Turns[Any] = Turns()
        """Requests that wait for a group commit."""
        self._template = template
        self._publish = threading.Lock()
        self._catalog: Catalog | None = None
        self._meta: Meta | None = None
        self._head: Head | None = None
        self._view: View | None = None
        prepare_place(root, tenant, self.blobs, may_create=template is not None and not read_only)
        self.lease = Lease(StoreLock(lock_path(self.catalog_path), shared=read_only), self._take, self._give)

    # -- what it shows ----------------------------------------------------------------------------------------------

    @property
    def catalog(self) -> Catalog:
        """The open catalog."""
        return _present(self._catalog)

    @property
    def meta(self) -> Meta:
        """The store's identity."""
        return _present(self._meta)

    @property
    def head(self) -> Head:
        """The last committed operation."""
        return _present(self._head)

    @property
    def view(self) -> View:
        """The published view; take it once per call."""
        return _present(self._view)

    def live(self, memory_id: str) -> Row | None:
        """Return a live memory's row, or None."""
        return self.view.get(memory_id)

    def changed_keys(self) -> Mapping[tuple[str, str], str | None]:
        """Return nothing: the catalog knows every committed key."""
        return {}

    def last_closed(self, memory_id: str) -> Row | None:
        """Return None: whoever asks finds every committed version in the tables."""
        return None

    def find_key(self, namespace: str, key: str) -> str | None:
        """Return the id of the live memory with that key; for the committing thread only."""
        return self.catalog.find_key(namespace, key)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[tuple[View, duckdb.DuckDBPyConnection]]:
        """Give a view and a cursor over the tables that both show the same commit, until the block ends."""
        with contextlib.ExitStack() as stack:
            with contextlib.ExitStack() as held:
                if not self.catalog.is_folded:
                    held.enter_context(self.writer)
                    self.fold()
                held.enter_context(self._publish)
                if not self.catalog.is_folded:
                    # A commit slipped in between. Keep the writer out this time; never take it while holding publish.
                    held.close()
                    held.enter_context(self.writer)
                    self.fold()
                    held.enter_context(self._publish)
                cursor = stack.enter_context(self.catalog.snapshot())
                view = self.view
            yield view, cursor

    @contextlib.contextmanager
    def tables(self) -> Iterator[tuple[int, tuple[Changes, ...], duckdb.DuckDBPyConnection]]:
        """Give the last operation that the tables hold, the commits after it, and a cursor over the tables.

        Unlike :meth:`snapshot` it waits for a commit at most, not for who composes one, so it may be used under locks
        that such a thread may want. Of the commits given, the tables may hold some already; all that were acknowledged
        are in one or the other.
        """
        with contextlib.ExitStack() as stack:
            with self._publish:  # a commit that is durable but not published yet would name blobs that nobody finds
                journaled = self.catalog.journaled  # first: what is folded from now on is in the tables too
                cursor = stack.enter_context(self.catalog.snapshot())
            ((seq,),) = cursor.execute("SELECT head_seq FROM meta").fetchall()
            yield int(seq), tuple(changes for changes in journaled if changes.head.seq > seq), cursor

    # -- what commits use -------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def publishing(self) -> Iterator[None]:
        """Keep SQL readers from starting between a commit and the publication of its view."""
        with self._publish:
            yield

    def publish(self, view: View, head: Head) -> None:
        """Let readers see a commit."""
        self._view, self._head = view, head

    def publish_changes(self, changes: Changes) -> None:
        """Let readers see a commit of this session."""
        if (changes.statements and not changes.is_beside) or changes.loads:
            self._load_registries(self.catalog)
            if any(entry.op == "erase" for entry in changes.audit):
                self.erased_seq = changes.head.seq
        self.publish(self.view.advance(changes), changes.head)
        self.feed.add(changes)

    def settle(
        self,
        changed: Mapping[str, Row | None] = _NOTHING,
        just_put: Mapping[BlobKey, str] = _NOTHING,
        goals: Mapping[BlobKey, str] | None = None,
    ) -> None:
        """Bring every pending blob where it belongs; what fails stays pending and is tried with the next commit.

        Args:
            changed: rows that the view is known to have, which saves looking them up.
            just_put: where this session itself has just put whole blobs.
            goals: where the blobs of a batch of moves belong; who moves them removes empty folders at the end.
        """
        pending = self.pending

        def live(memory_id: str) -> Row | None:
            return changed[memory_id] if memory_id in changed else self.view.get(memory_id)

        found = pending.settlements(live, just_put, goals or _NOTHING)
        failures = self.blobs.settle(found, keeps_folders=goals is not None)
        unsettled = {(failure.id, failure.n): failure.reason for failure in failures}
        pending.settled.update(pending.unsettled.keys() - unsettled.keys())
        pending.unsettled = unsettled

    def sync_settled(self) -> None:
        """Make settled blobs durable, so that their pending rows may go.

        Raises:
            StorageError: the sync failed, and so has the session.
        """
        if self.pending.settled:
            with self.failing():
                self.blobs.sync()
            self.pending.mark_durable()

    def fold(self) -> None:
        """Move the journal into the tables; the caller holds ``writer``."""
        if not self.read_only:
            self.lease.check()
            self.sync_settled()
            with self.failing():
                self.catalog.fold(self.pending.cleared)
            self.pending.forget_cleared()

    @contextlib.contextmanager
    def failing(self) -> Iterator[None]:
        """Run a step after whose failure this session must not go on: what is on disk is not known any more.

        Raises:
            StorageError: it failed; every later call raises the same until the store is closed and opened again.
        """
        try:
            yield
        except (duckdb.Error, StorageError) as error:
            self.lease.check()
            failure = StorageError(f"{error}; close the store and open it again to recover")
            self.lease.refuse(failure)
            raise failure from error
        except BaseException as error:
            # Such as Ctrl-C between a commit and its being noted here.
            self.lease.refuse(StorageError(f"interrupted by {error!r}; close the store and open it again to recover"))
            raise

    def reopen(self) -> None:
        """Open the catalog anew after an error at COMMIT, to see whether the commit took place."""
        with self.failing():
            with contextlib.suppress(duckdb.Error):
                self.catalog.close()
            self._open_catalog()

    # -- opening and letting go ---------------------------------------------------------------------------------------

    def close(self) -> None:
        """Settle, fold, close the catalog and give up the lock."""
        self.lease.close()

    def abandon(self) -> None:
        """In a forked child: drop the lock's files, and keep the catalog from ever being closed here.

        DuckDB would checkpoint the parent's file when its connection is destroyed.
        """
        if self._catalog is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._catalog))
        self.lease.abandon()

    def _take(self) -> None:
        """Run with the lock newly held: open or create, catch up with what others wrote, recover."""
        if isinstance(self.blobs, LocalBlobs):
            self.blobs.forget_folders()
        if self.read_only:
            self._open_read_only()
        else:
            self._open_catalog()

    def _give(self) -> None:
        """Run before the lock goes to another process, or for good."""
        if self._catalog is None:
            return
        try:
            while self.attached:
                self.attached.popitem()[1].release()
            self.feed.stop()
            with self.writer:
                if not self.read_only:
                    self.lease.check()
                    self.settle()
                    self.fold()
        except KiromiError:
            # Nothing is lost: what could not be settled or folded is durable as pending rows and journal, and whoever
            # opens next recovers it. The failure itself was already noted by `failing`.
            return
        finally:
            catalog, self._catalog = self._catalog, None
            catalog.close()

    def _open_catalog(self) -> None:
        if not self.catalog_path.exists():
            if self._template is None or self._meta is not None:
                raise not_found(self.root, self.tenant)
            refuse_unfinished_import(self.root, self.tenant)
            refuse_lost_catalog(self.root, self.tenant, self.blobs)
        catalog = Catalog.open(self.catalog_path)
        try:
            if catalog.meta() is None:
                if self._template is None:
                    raise not_found(self.root, self.tenant)
                create(catalog, self.tenant, self._template, self.blobs, self.ids)
            self._adopt(catalog)
        except BaseException:
            self._catalog = None
            catalog.close()
            raise

    def _open_read_only(self) -> None:
        catalog = Catalog.open(self.catalog_path, read_only=True)
        try:
            if catalog.meta() is None or catalog.needs_recovery():
                raise StorageError(
                    f"the store {self.root.url} was not closed cleanly: open it once for writing to recover it",
                    root=self.root.url,
                )
            self._catalog = catalog
            self._load(catalog)
            places = catalog.pending_places()
            self.pending = Pending()
            self.pending.add(places, catalog.content_facts(places))
        except BaseException:
            self._catalog = None
            catalog.close()
            raise

    def _adopt(self, catalog: Catalog) -> None:
        meta = _present(catalog.meta())
        if self._meta is not None and meta.store_id != self._meta.store_id:
            raise UnsupportedFormat(f"another store was put in place of {self.catalog_path} while this one was open")
        refuse_other_tenant(self.root, self.tenant, meta)
        if isinstance(self.blobs, ObjectBlobs):
            claim_epoch(self.blobs, catalog, meta)
        places = catalog.recover()
        self._catalog = catalog
        self._load(catalog)
        self.pending = Pending()
        self.pending.add(places, catalog.content_facts(places))
        self._recover()

    def _load(self, catalog: Catalog) -> None:
        self._meta = _present(catalog.meta())
        refuse_other_tenant(self.root, self.tenant, self._meta)
        head = catalog.head()
        self.erased_seq = catalog.erased_seq()
        refuse_other_past(self.catalog_path, head, self._head)
        view = caught_up(catalog, head, self._view, self.erased_seq)
        self._load_registries(catalog)
        self.publish(view, head)

    def _load_registries(self, catalog: Catalog) -> None:
        """Read what is few and rarely changes: schemes, models, settings."""
        self.schemes = {number: Scheme.parse(template) for number, template in catalog.schemes().items()}
        self.fields = frozenset(field for scheme in self.schemes.values() for field in scheme.fields)
        self.built_ins = {
            number: frozenset(BUILT_INS).intersection(scheme.fields) for number, scheme in self.schemes.items()
        }
        self.active_scheme, sets = catalog.active_scheme()
        self.former_scheme = catalog.former_scheme(self.active_scheme)
        self.supplied = Assignments.parse(None if sets is None else json.loads(sets))
        self.models = {number: Model(*facts) for number, facts in catalog.models().items()}
        self.active_model = catalog.active_model()
        self.gc_floor = catalog.gc_floor()
        self.has_retired = catalog.has_retired()
        self.settings = {name: json.loads(value) for name, value in catalog.settings().items()}

    def _recover(self) -> None:
        """Settle what a killed process left behind, then empty ``staging/`` of what no row names."""
        if self.pending.unsettled:
            self.settle()
        if self.blobs.has_staging:
            named = {place for key in self.pending.unsettled for place in self.pending.places[key]}
            self.blobs.remove([path for path, _ in self.blobs.walk("staging") if path not in named])
        self.fold()


def _present(value: T | None) -> T:
    if value is None:
        raise StorageError("the store is not open")
    return value
