"""Where no store is yet: whether one may be made there, and making it."""

from kiromi.blobs.base import Blobs
from kiromi.blobs.local import LocalBlobs, make_durable_folder
from kiromi.catalog.audit import genesis
from kiromi.catalog.changes import Head
from kiromi.catalog.database import Catalog, Meta
from kiromi.errors import StorageError, StoreNotFound
from kiromi.ids import IdSource
from kiromi.partition import Scheme
from kiromi.session.location import Root
from kiromi.session.remains import refuse_lost_catalog, refuse_taken_folder, refuse_unfinished_import
from kiromi.times import now_micros


def not_found(root: Root, tenant: str) -> StoreNotFound:
    """Return the error of an opening where no store is, and none is to be made."""
    return StoreNotFound(
        f"no store at {root.url} (tenant {tenant!r}): kiromi init makes one, or scheme= in Python",
        root=root.url,
        tenant=tenant,
    )


def prepare_place(root: Root, tenant: str, blobs: Blobs, *, may_create: bool) -> None:
    """See that a catalog is at its place or can be made there, and make its folder.

    Raises:
        StoreNotFound: none is there, and none is to be made.
        IntegrityError: an import was killed there, or the catalog of what is there was lost.
        StorageError: the folder cannot be made.
        Conflict: it is another tenant's.
    """
    path = root.catalog_path(tenant)
    if not path.exists():
        refuse_unfinished_import(root, tenant)
        if not may_create:
            refuse_lost_catalog(root, tenant, blobs)
            raise not_found(root, tenant)
        try:
            make_durable_folder(str(path.parent))
        except OSError as error:
            raise StorageError(f"cannot make the folder {path.parent}: {error}") from error
    refuse_taken_folder(path, tenant)


def create(catalog: Catalog, tenant: str, template: str, blobs: Blobs, ids: IdSource) -> None:
    """Make an empty catalog that of a new store, whose memories follow a scheme."""
    template = Scheme.parse(template).template
    now = now_micros()
    store_id, catalog_id = ids.make_many(2)
    fold_case = isinstance(blobs, LocalBlobs) and blobs.folds_case()
    catalog.create(Meta(store_id, catalog_id, tenant, fold_case, now), Head(0, now, genesis(store_id), 0), template)
