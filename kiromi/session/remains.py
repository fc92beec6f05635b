"""Places that are not free, though no catalog is there, and why no store may be opened or made in them."""

import os
from pathlib import Path

from kiromi.blobs.base import Blobs
from kiromi.errors import Conflict, IntegrityError
from kiromi.session.location import CATALOG_NAME, Root

FOLDERS = ("data", "attic", "staging")
"""Where contents are."""


def has_blobs(blobs: Blobs) -> bool:
    """Tell whether anything lies where contents are."""
    return any(next(blobs.walk(folder), None) is not None for folder in FOLDERS)


def importing_path(catalog: Path) -> Path:
    """Return where the catalog of an import lies until it is whole; while it is there, nothing else is at the place."""
    return catalog.with_name(f"{catalog.name}.importing")


def refuse_unfinished_import(root: Root, tenant: str) -> None:
    """Refuse a place where an import was killed.

    Raises:
        IntegrityError: one was.
    """
    if importing_path(root.catalog_path(tenant)).exists():
        raise IntegrityError(
            f"an import to {root.url} (tenant {tenant!r}) was begun and not ended: run it again",
            root=root.url,
            tenant=tenant,
        )


def refuse_lost_catalog(root: Root, tenant: str, blobs: Blobs) -> None:
    """Refuse a place that has lost its catalog.

    Raises:
        IntegrityError: it has blobs.
    """
    if has_blobs(blobs):
        raise IntegrityError(
            f"{root.url} (tenant {tenant!r}) has blobs under data/, attic/ or staging/, but there is no catalog at"
            f" {root.catalog_path(tenant)}; kiromi recover makes one anew, best from an archive",
            catalog=str(root.catalog_path(tenant)),
        )


def refuse_taken_folder(catalog: Path, tenant: str) -> None:
    """Refuse a tenant whose folder is that of another one on a filesystem that folds case.

    Raises:
        Conflict: it is.
    """
    folder = catalog.parent
    if catalog.name == CATALOG_NAME and folder.name not in os.listdir(folder.parent):
        raise Conflict(
            f"this filesystem takes {folder.name!r} for another tenant's folder in {folder.parent}: choose a name"
            f" that differs in more than case",
            tenant=tenant,
        )
