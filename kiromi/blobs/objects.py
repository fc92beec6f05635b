"""Blobs on any fsspec filesystem without atomic rename, such as S3 or ``memory://``.

New bytes are put straight to their final name (an intent was committed before); a move is copy, check, delete. A put or
copy whose answer was lost is recognised by the size of what lies at the goal: names are unique to their bytes. A
listing is never taken as proof of what is there.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from typing import TypeVar

from fsspec import AbstractFileSystem

from kiromi.blobs.base import Blobs, NewBlob, Settlement, Unsettled
from kiromi.errors import StorageError
from kiromi.times import to_micros

_PARALLEL = 16
_PROBE = "clock-probe"

T = TypeVar("T")
R = TypeVar("R")


class ObjectBlobs(Blobs):
    """The blobs of one tenant below a path of an fsspec filesystem."""

    has_staging = False

    def __init__(self, filesystem: AbstractFileSystem, root: str) -> None:
        self.filesystem = filesystem
        self.root = root
        self._parallel = _PARALLEL if filesystem.async_impl else 1

    def write(self, blobs: Sequence[NewBlob]) -> bool:
        try:
            self._each(lambda blob: self.filesystem.pipe_file(self._full(blob.goal), blob.data), blobs)
        except Exception as error:  # whatever the driver raises: the bytes may or may not be there
            raise StorageError(f"cannot write blobs below {self.root}: {error}") from error
        return True

    def settle(self, settlements: Sequence[Settlement], *, keeps_folders: bool = False) -> list[Unsettled]:
        return [failure for failure in self._each(self._settle_one, settlements) if failure is not None]

    def remove_empty(self, folders: Iterable[str]) -> None:
        """Do nothing: an object store has no folders."""

    def sync(self) -> None:
        """Do nothing: an object store has made an object durable when it acknowledges it."""

    def read(self, path: str) -> bytes | None:
        try:
            return bytes(self.filesystem.cat_file(self._full(path)))
        except FileNotFoundError:
            return None
        except Exception as error:  # whatever the driver raises
            raise StorageError(f"cannot read {path} below {self.root}: {error}", path=path) from error

    def read_many(self, paths: Sequence[str]) -> list[bytes | None]:
        return self._each(self.read, paths)

    def sizes(self, paths: Sequence[str]) -> list[int | None]:
        try:
            return self._each(self._size, paths)
        except Exception as error:  # whatever the driver raises
            raise StorageError(f"cannot look at objects below {self.root}: {error}") from error

    def modified(self, paths: Sequence[str]) -> list[int | None]:
        try:
            self.filesystem.invalidate_cache()
            return self._each(self._modified, paths)
        except Exception as error:  # whatever the driver raises
            raise StorageError(f"cannot look at objects below {self.root}: {error}") from error

    def clock(self) -> int | None:
        try:
            self.filesystem.pipe_file(self._full(_PROBE), b"")
        except Exception as error:  # whatever the driver raises
            raise StorageError(f"cannot write below {self.root}: {error}") from error
        [now] = self.modified([_PROBE])
        self.remove([_PROBE])
        return now

    def walk(self, prefix: str) -> Iterator[tuple[str, int]]:
        skip = len(self.root) + 1
        try:
            self.filesystem.invalidate_cache()
            found = self.filesystem.find(self._full(prefix), detail=True)
        except FileNotFoundError:
            return
        except Exception as error:  # whatever the driver raises
            raise StorageError(f"cannot list {prefix} below {self.root}: {error}") from error
        for path, info in found.items():
            yield path[skip:], int(info["size"])

    def remove(self, paths: Sequence[str]) -> None:
        try:
            self._each(self._remove_one, paths)
        except Exception as error:  # whatever the driver raises
            raise StorageError(f"cannot remove objects below {self.root}: {error}") from error

    def remove_all(self) -> None:
        self.remove([path for path, _ in self.walk("")])

    def create(self, path: str, data: bytes) -> bool:
        """Put an object only if none lies there; return whether it was put."""
        try:
            self.filesystem.pipe_file(self._full(path), data, mode="create")
        except FileExistsError:
            return False
        except Exception as error:  # whatever the driver raises
            raise StorageError(f"cannot create {path} below {self.root}: {error}", path=path) from error
        return True

    def _full(self, path: str) -> str:
        return f"{self.root}/{path}" if path else self.root

    def _each(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        things = list(items)
        if self._parallel == 1 or len(things) <= 1:
            return [function(item) for item in things]
        with ThreadPoolExecutor(min(self._parallel, len(things))) as pool:
            return list(pool.map(function, things))

    def _settle_one(self, settlement: Settlement) -> Unsettled | None:
        try:
            self._bring(settlement)
        except Exception as error:  # noqa: BLE001 - whatever the driver raises: it is tried again later
            return Unsettled(settlement.id, settlement.n, str(error))
        return None

    def _bring(self, settlement: Settlement) -> None:
        goal = settlement.goal
        others = [place for place in settlement.places if place != goal]
        if goal is not None and not (settlement.is_put or self._size(goal) == settlement.size):
            source = next((place for place in others if self._size(place) == settlement.size), None)
            if source is None:
                raise FileNotFoundError(
                    f"blob {settlement.id}.{settlement.n} is nowhere; looked at {goal}, {', '.join(others)}"
                )
            self.filesystem.cp_file(self._full(source), self._full(goal))
            if self._size(goal) != settlement.size:
                raise OSError(f"the copy of {source} to {goal} is not whole")
        for place in others:
            self._remove_one(place)

    def _size(self, path: str) -> int | None:
        try:
            return int(self.filesystem.info(self._full(path))["size"])
        except FileNotFoundError:
            return None

    def _modified(self, path: str) -> int | None:
        try:
            found = self.filesystem.modified(self._full(path))
        except (FileNotFoundError, NotImplementedError):  # drivers need not tell it
            return None
        return to_micros(found if found.tzinfo is not None else found.replace(tzinfo=UTC))

    def _remove_one(self, path: str) -> None:
        try:
            self.filesystem.rm_file(self._full(path))
        except FileNotFoundError:
            return
