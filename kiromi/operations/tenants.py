"""Tenants: list, rename and drop the isolated spaces of one store.

Each works on one folder, named exactly as the tenant's name is encoded, so names that look alike never touch each
other. Renaming and dropping hold the tenant's lock, and refuse a tenant that this process has open. What is inside a
tenant's folder does not know the folder's name, so one ``os.rename`` renames a tenant, whatever state it was left in.
"""

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb

from kiromi.catalog.database import Catalog
from kiromi.errors import AlreadyExists, InvalidInput, StorageError, StoreLocked, StoreNotFound
from kiromi.partition import decode, tenant_folder
from kiromi.reports.tenants import DropReport
from kiromi.session.location import CATALOG_NAME, Root, resolve_root
from kiromi.session.lock import StoreLock, lock_path
from kiromi.session.registry import is_open

DEFAULT_WAIT_S = 10.0

_BLOBS = ("data", "attic", "staging")


def tenants(
    root: str | os.PathLike[str],
    *,
    storage_options: Mapping[str, Any] | None = None,
    catalog: str | os.PathLike[str] | None = None,
) -> list[str]:
    """Return the names of a store's tenants in code point order; none if there is no such store.

    Args:
        root: as for :func:`kiromi.open`.
        storage_options: passed to the fsspec driver.
        catalog: the folder of catalogs that the store was made with, if any.

    Raises:
        InvalidInput: ``catalog`` is a ``.duckdb`` file, which belongs to one tenant and does not say which.
        StorageError: the folder cannot be listed.
    """
    location = resolve_root(root, storage_options, catalog)
    folder = _folder_of_tenants(location)
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _storage_error("list", error) from error
    decoded = {name: _decoded(name) for name in names if (folder / name / CATALOG_NAME).is_file()}
    return sorted(name for name in decoded.values() if name is not None)


def rename_tenant(
    root: str | os.PathLike[str],
    old: str,
    new: str,
    *,
    storage_options: Mapping[str, Any] | None = None,
    catalog: str | os.PathLike[str] | None = None,
    wait: float = DEFAULT_WAIT_S,
) -> None:
    """Give a tenant of a local store another name; all or nothing, and durable when this returns.

    Args:
        root: as for :func:`kiromi.open`.
        old: the tenant's name.
        new: its new name.
        storage_options: passed to the fsspec driver.
        catalog: as for :func:`kiromi.open`.
        wait: seconds to wait for another process to hand the tenant over.

    Raises:
        StoreNotFound: there is no such tenant.
        AlreadyExists: something of the new name is there.
        StoreLocked: the tenant is open in this process, or another one did not hand it over in time.
        InvalidInput: a name is refused, or data and catalog do not lie in one local folder.
        StorageError: the filesystem or the catalog failed; the tenant has either name.
    """
    location = resolve_root(root, storage_options, catalog)
    target = Path(location.tenant_path(new))
    if not location.is_local or location.catalog is not None:
        raise InvalidInput(
            "cannot rename a tenant on an object store or with its catalog= apart: data and catalog would not change"
            " their names at once",
            root=location.url,
        )
    with _held(location, old, wait):
        if os.path.lexists(target):
            raise AlreadyExists(f"{target} exists: choose another name than {new!r}", tenant=new)
        try:
            # The folder's name is the truth; the catalog only notes it, so a crash in between leaves nothing to repair.
            _note_name(location.catalog_path(old), new)
            os.rename(location.tenant_path(old), target)
            _sync_folder(target.parent)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise AlreadyExists(f"{target} exists: choose another name than {new!r}", tenant=new) from error
            raise _storage_error("rename", error) from error


def drop_tenant(
    root: str | os.PathLike[str],
    tenant: str,
    *,
    dry_run: bool = True,
    storage_options: Mapping[str, Any] | None = None,
    catalog: str | os.PathLike[str] | None = None,
    wait: float = DEFAULT_WAIT_S,
) -> DropReport:
    """Remove a tenant with all that it holds, or show what that would remove.

    The catalog goes last: a drop that was interrupted is finished by another one.

    Args:
        root: as for :func:`kiromi.open`.
        tenant: its name.
        dry_run: only report what would be removed (the default).
        storage_options: passed to the fsspec driver.
        catalog: as for :func:`kiromi.open`.
        wait: seconds to wait for another process to hand the tenant over.

    Raises:
        StoreNotFound: there is no such tenant.
        StoreLocked: the tenant is open in this process, or another one did not hand it over in time.
        InvalidInput: ``catalog`` is a ``.duckdb`` file that belongs to another tenant.
        StorageError: the filesystem or the catalog failed; the tenant is gone in part.
    """
    location = resolve_root(root, storage_options, catalog)
    with _held(location, tenant, wait):
        memories = _count_memories(location, tenant)
        blobs = location.blobs(tenant)
        sizes = [size for prefix in _BLOBS for _, size in blobs.walk(prefix)]
        if not dry_run:
            _remove(location, tenant)
    return DropReport(not dry_run, tenant, memories, len(sizes), sum(sizes))


@contextlib.contextmanager
def _held(location: Root, tenant: str, wait_s: float) -> Iterator[None]:
    """Hold the lock of a tenant that is there and that nobody has open."""
    catalog = location.catalog_path(tenant)
    if not _is_there(location, tenant):
        raise _not_found(location, tenant)
    if is_open(catalog):
        raise StoreLocked(
            f"tenant {tenant!r} of {location.url} is open in this process: close its handles first", tenant=tenant
        )
    lock = StoreLock(lock_path(catalog), shared=False)
    try:
        lock.acquire(wait_s)
        if not _is_there(location, tenant):  # whoever held the lock has renamed or dropped it
            raise _not_found(location, tenant)
        yield
    finally:
        lock.close()


def _is_there(location: Root, tenant: str) -> bool:
    """Tell whether a tenant has a catalog, by a name that is the same letter for letter."""
    catalog = location.catalog_path(tenant)
    if catalog == location.catalog:
        return catalog.is_file()
    # Asked for by its path, a filesystem that ignores case would also find another tenant's.
    return catalog.is_file() and catalog.parent.name in os.listdir(catalog.parent.parent)


def _not_found(location: Root, tenant: str) -> StoreNotFound:
    return StoreNotFound(f"{location.url} has no tenant {tenant!r}", root=location.url, tenant=tenant)


def _folder_of_tenants(location: Root) -> Path:
    if location.catalog is None:
        return Path(location.path)
    if location.catalog.suffix == ".duckdb":
        raise InvalidInput(f"catalog={str(location.catalog)!r} is one tenant's file; give a folder of catalogs")
    return location.catalog


def _decoded(folder: str) -> str | None:
    """Return the tenant whose folder this is, or None if it is no tenant's."""
    try:
        name = decode(folder)
        return name if name is not None and tenant_folder(name) == folder else None
    except InvalidInput:
        return None


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Catalog]:
    catalog = Catalog.open(path)
    try:
        yield catalog
    except duckdb.Error as error:
        raise StorageError(f"the catalog {path} failed: {error}", path=str(path)) from error
    finally:
        catalog.close()


def _note_name(path: Path, name: str) -> None:
    with _opened(path) as catalog, catalog.transaction() as cursor:
        cursor.execute("UPDATE meta SET tenant = ?", [name])


def _count_memories(location: Root, tenant: str) -> int:
    path = location.catalog_path(tenant)
    with _opened(path) as catalog:
        meta = catalog.meta()
        if meta is not None and location.catalog == path and meta.tenant != tenant:
            raise InvalidInput(
                f"the catalog {path} belongs to tenant {meta.tenant!r}, not to {tenant!r}", tenant=tenant
            )
        catalog.recover()
        with catalog.snapshot() as cursor:
            [(count,)] = cursor.execute("SELECT count(*) FROM memories").fetchall()
        return int(count)


def _remove(location: Root, tenant: str) -> None:
    """Remove the blobs, then the catalog, then the lock."""
    catalog, folder = location.catalog_path(tenant), Path(location.tenant_path(tenant))
    lock = lock_path(catalog)
    last = [catalog, Path(f"{lock}.ask"), lock]
    folders = [folder] if location.is_local else []
    try:
        if location.index_path(tenant).is_dir():
            shutil.rmtree(location.index_path(tenant))
        if not location.is_local:
            location.blobs(tenant).remove_all()
        elif folder.is_dir():
            _remove_inside(folder, last)
        if catalog == location.catalog:
            _remove_beside(catalog)
        else:
            folders.append(catalog.parent)
            _remove_inside(catalog.parent, last)
        for path in last:
            path.unlink(missing_ok=True)
        for emptied in filter(Path.is_dir, folders):
            emptied.rmdir()
            _sync_folder(emptied.parent)
    except OSError as error:
        raise _storage_error("remove", error) from error


def _remove_inside(folder: Path, spared: list[Path]) -> None:
    for path in folder.iterdir():
        if path in spared:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _remove_beside(catalog: Path) -> None:
    """Remove what belongs to a catalog file that was given by name: its WAL, and copies kept before upgrades."""
    own = re.compile(re.escape(catalog.name) + r"\.(?:wal|before-[0-9]{4})")
    for path in catalog.parent.iterdir():
        if own.fullmatch(path.name):
            path.unlink()


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _storage_error(action: str, error: OSError) -> StorageError:
    return StorageError(f"cannot {action} the tenant: {error}", errno=error.errno, path=error.filename)
