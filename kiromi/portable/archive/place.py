"""Where an archive lies: a folder at any fsspec URL, in which files appear whole and durable, or not at all."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import fsspec
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from kiromi.errors import InvalidInput, KiromiError, StorageError
from kiromi.session.location import is_url

_PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of an archive."""

    url: str
    """As it was given."""
    filesystem: AbstractFileSystem
    path: str

    @classmethod
    def of(cls, url: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None) -> "Place":
        """Return the folder that a URL or local path names; it need not be there.

        Raises:
            InvalidInput: it names no filesystem that is known, or its driver is not installed.
            StorageError: the filesystem cannot be opened.
        """
        text = os.fspath(url) if isinstance(url, (str, os.PathLike)) else ""
        if not isinstance(text, str) or not text or "\0" in text:
            raise InvalidInput(f"archive {url!r} is no path or URL; accepted: a non-empty text without NUL")
        if not is_url(text):
            return cls(text, LocalFileSystem(), os.path.realpath(os.path.expanduser(text)))
        try:
            # A cached listing would answer with what was there before.
            filesystem, path = fsspec.core.url_to_fs(text, use_listings_cache=False, **(storage_options or {}))
        except (ImportError, ValueError) as error:
            raise InvalidInput(f"archive {text!r}: no such filesystem, or its driver is missing: {error}") from error
        except OSError as error:
            raise StorageError(f"cannot open the archive {text}: {error}", url=text) from error
        return cls(text, filesystem, path.rstrip("/"))

    @property
    def is_local(self) -> bool:
        """Whether files have to be synced here."""
        return isinstance(self.filesystem, LocalFileSystem)

    def below(self, name: str) -> "Place":
        """Return a folder within this one."""
        return Place(f"{self.url.rstrip('/')}/{name}", self.filesystem, f"{self.path}/{name}")

    def read(self, name: str) -> bytes | None:
        """Return what a file holds, None if there is none."""
        with self._telling(f"read {name}"):
            try:
                return bytes(self.filesystem.cat_file(f"{self.path}/{name}"))
            except (FileNotFoundError, NotADirectoryError):
                return None

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[BinaryIO]:
        """Give a file to read that can be sought in.

        Raises:
            FileNotFoundError: there is none.
        """
        with self._telling(f"read {name}"), self.filesystem.open(f"{self.path}/{name}", "rb") as stream:
            yield stream

    @contextlib.contextmanager
    def created(self, name: str) -> Iterator[BinaryIO]:
        """Give a stream to a file that is there, whole and synced, when the block ends well."""
        path = f"{self.path}/{name}"
        with self._telling(f"write {name}"):
            if not self.is_local:
                with self.filesystem.open(path, "wb") as stream:
                    yield stream
                return
            os.makedirs(self.path, exist_ok=True)
            with open(path + _PARTIAL, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(path + _PARTIAL, path)
            self.sync()

    def write(self, name: str, data: bytes) -> None:
        """Write a file in one step, in the place of one that is there."""
        if self.is_local:
            with self.created(name) as stream:
                stream.write(data)
            return
        with self._telling(f"write {name}"):
            self.filesystem.pipe_file(f"{self.path}/{name}", data)

    def names(self) -> list[str]:
        """Return the names of the files and folders in it, none if it is not there."""
        with self._telling("list"):
            try:
                self.filesystem.invalidate_cache()
                found = self.filesystem.ls(self.path, detail=False)
            except (FileNotFoundError, NotADirectoryError):
                return []
        names = {str(path).rstrip("/").rpartition("/")[2] for path in found if str(path).rstrip("/") != self.path}
        return sorted(names - {""})

    def remove(self, names: list[str]) -> None:
        """Delete files; one that is not there is no error."""
        with self._telling("remove files of"):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    self.filesystem.rm_file(f"{self.path}/{name}")
            if names:
                self.sync()

    def remove_folder(self) -> None:
        """Delete the folder itself, if it is a local one and empty; elsewhere there are none."""
        if self.is_local:
            with contextlib.suppress(OSError):
                os.rmdir(self.path)

    def sync(self) -> None:
        """Make the names of local files durable, and the folder's own."""
        if not self.is_local:
            return
        for folder in (self.path, os.path.dirname(self.path)):
            with contextlib.suppress(FileNotFoundError):
                descriptor = os.open(folder, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    @contextlib.contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        """Say of an error where it came from.

        Raises:
            StorageError: the filesystem failed.
        """
        try:
            yield
        except (KiromiError, FileNotFoundError):
            raise
        except OSError as error:
            raise StorageError(f"cannot {what} in the archive {self.url}: {error}", url=self.url) from error
