"""Where a tenant lies: its blobs (any fsspec URL) and its catalog and lock (always local files)."""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from kiromi.blobs.base import Blobs
from kiromi.blobs.local import LocalBlobs
from kiromi.blobs.objects import ObjectBlobs
from kiromi.errors import InvalidInput
from kiromi.partition import tenant_folder

_URL = re.compile("([A-Za-z][A-Za-z0-9+.-]*)(://|::)")
CATALOG_NAME = "catalog.duckdb"


@dataclass(frozen=True, slots=True)
class Root:
    """A store's root: an fsspec URL, resolved."""

    url: str
    """As it was given."""
    filesystem: AbstractFileSystem | None
    """None for local folders, which are used directly."""
    path: str
    """Absolute local path, or the path within the filesystem."""
    catalog: Path | None
    """The local folder, or ``.duckdb`` file, given for catalogs; None beside local data."""

    @property
    def is_local(self) -> bool:
        """Whether blobs are files of this machine."""
        return self.filesystem is None

    def tenant_path(self, tenant: str) -> str:
        """Return the tenant's folder."""
        return f"{self.path}/{tenant_folder(tenant)}"

    def catalog_path(self, tenant: str) -> Path:
        """Return the tenant's catalog file."""
        if self.catalog is None:
            return Path(self.tenant_path(tenant)) / CATALOG_NAME
        if self.catalog.suffix == ".duckdb":
            return self.catalog
        return self.catalog / tenant_folder(tenant) / CATALOG_NAME

    def index_path(self, tenant: str) -> Path:
        """Return the folder of the tenant's derived indices; always local, so for object stores beside the catalog."""
        if self.is_local:
            return Path(self.tenant_path(tenant)) / "index"
        catalog = self.catalog_path(tenant)
        return catalog.parent / "index" if catalog.name == CATALOG_NAME else catalog.with_suffix(".index")

    def blobs(self, tenant: str, *, durable: bool = True) -> Blobs:
        """Return the backend for the tenant's blobs."""
        if self.filesystem is None:
            return LocalBlobs(Path(self.tenant_path(tenant)), durable=durable)
        return ObjectBlobs(self.filesystem, self.tenant_path(tenant))


def resolve_root(
    root: str | os.PathLike[str],
    storage_options: Mapping[str, Any] | None = None,
    catalog: str | os.PathLike[str] | None = None,
) -> Root:
    """Resolve a root URL or path.

    Raises:
        InvalidInput: an argument is no path or no mapping, the URL's filesystem is unknown or its driver not
        installed, or an object store comes without ``catalog``.
    """
    if sys.getfilesystemencoding().lower() not in ("utf-8", "utf8"):
        # Paths would fail only once a memory's values need it, and that may be after its commit.
        raise InvalidInput(
            f"file names are {sys.getfilesystemencoding()} in this process, which cannot hold every partition: run it"
            " with PYTHONUTF8=1 or in a UTF-8 locale"
        )
    url = _path_text(root, "root", "a path or URL")
    where = None
    if catalog is not None:
        where = Path(os.path.realpath(os.path.expanduser(_path_text(catalog, "catalog", "a local path"))))
    if storage_options is not None and not (
        isinstance(storage_options, Mapping) and all(isinstance(name, str) for name in storage_options)
    ):
        raise InvalidInput(
            f"storage_options={storage_options!r} is not a mapping of names to values for the fsspec driver"
        )
    if not is_url(url):
        return Root(url, None, os.path.realpath(os.path.expanduser(url)), where)
    try:
        # A cached listing would answer with what was there before.
        filesystem, path = fsspec.core.url_to_fs(url, use_listings_cache=False, **(storage_options or {}))
    except ImportError as error:
        raise InvalidInput(
            f"the driver for {url} is not installed: pip install 'kiromi[s3]' for S3 ({error})", root=url
        ) from error
    except ValueError as error:
        raise InvalidInput(f"root {url!r} names no filesystem that fsspec knows: {error}", root=url) from error
    if isinstance(filesystem, LocalFileSystem):
        return Root(url, None, os.path.realpath(path), where)
    if where is None:
        raise InvalidInput(
            f"a store on {url} needs catalog=<local folder>: DuckDB cannot keep its file there", root=url
        )
    return Root(url, filesystem, path.rstrip("/"), where)


def is_url(text: str) -> bool:
    """Tell whether a text is an fsspec URL, maybe a chained one, and no local path: ``a::b`` is a path, for one."""
    match = _URL.match(text)
    return match is not None and (match[2] == "://" or match[1] in fsspec.available_protocols())


def _path_text(value: str | os.PathLike[str], name: str, accepted: str) -> str:
    """Return a path as text that the operating system takes."""
    try:
        text = os.fspath(value)
        os.fsencode(text)
    except (TypeError, UnicodeEncodeError):
        text = ""
    if not isinstance(text, str) or not text or "\0" in text:
        raise InvalidInput(f"{name}={value!r} is not {accepted}; accepted: a non-empty str or os.PathLike without NUL")
    return text
