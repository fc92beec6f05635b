"""What a session that comes back to a catalog has to refuse, and how its view follows what others wrote meanwhile."""

from pathlib import Path

from kiromi.catalog.changes import Head
from kiromi.catalog.database import Catalog, Meta
from kiromi.catalog.view import View
from kiromi.errors import Conflict, UnsupportedFormat
from kiromi.session.location import Root

_MANY = 10_000
"""Rows that changed, up to which a view is always advanced."""


def refuse_other_tenant(root: Root, tenant: str, meta: Meta) -> None:
    """Refuse the catalog of another tenant.

    Raises:
        Conflict: it is.
    """
    # In a folder of its own a catalog goes by the folder's name; a file that was named says itself whose it is.
    path = root.catalog_path(tenant)
    if root.catalog == path and meta.tenant != tenant:
        raise Conflict(
            f"the catalog {path} is that of tenant {meta.tenant!r}, not {tenant!r}",
            tenant=meta.tenant,
        )


def refuse_other_past(path: Path, head: Head, seen: Head | None) -> None:
    """Refuse a catalog that does not go on from the operation that this process saw last.

    Raises:
        UnsupportedFormat: it does not.
    """
    if seen is not None and (head.seq < seen.seq or (head.seq == seen.seq and head.hash != seen.hash)):
        raise UnsupportedFormat(
            f"the catalog {path} is at seq {head.seq} and not what this process last saw at seq {seen.seq}: another"
            f" file was put in its place"
        )


def caught_up(catalog: Catalog, head: Head, view: View | None, erased_seq: int) -> View:
    """Return the view of what a catalog holds now, made from an earlier one where that is possible."""
    if view is None or view.seq < erased_seq:  # erased rows leave nothing to advance by
        return catalog.load_view()
    if view.seq == head.seq:
        return view
    if view.seq < catalog.gc_floor():  # what ended since then may not be in the history any more
        return catalog.load_view()
    if catalog.count_since(view.seq) > max(_MANY, view.count // 4):  # such as a migration: columns are read quicker
        return catalog.load_view()
    return view.advance(catalog.changes_since(view))
