"""The contract of a blob backend: what the write protocol needs of a filesystem, and nothing more.

Paths are relative to the tenant's folder, with ``/``. A backend keeps no state that matters: what it is told comes
from the catalog. Every backend passes ``tests/blobs/contract.py``.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from kiromi.errors import StorageError


class SyncFailed(StorageError):
    """A sync failed: what was settled before is not known to be durable, and no later sync can tell."""


@dataclass(frozen=True, slots=True)
class NewBlob:
    """Bytes that are not stored yet."""

    staged: str
    """Where a backend with staging puts them first."""
    goal: str
    """Where they belong once committed."""
    data: bytes


@dataclass(frozen=True, slots=True)
class Settlement:
    """One blob to bring where it belongs."""

    id: str
    n: int
    goal: str | None
    """Its only rightful place; None if it should be nowhere."""
    places: tuple[str, ...]
    """Where it, or a copy of it, may lie; may include the goal."""
    size: int
    """Length in bytes by which a whole copy is told from a cut one."""
    is_put: bool = False
    """Whether this session itself has just put the goal, so that it need not be looked at again."""


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A blob that could not be brought where it belongs; it stays pending."""

    id: str
    n: int
    reason: str


class Blobs(ABC):
    """The blobs of one tenant on one filesystem."""

    has_staging: bool
    """Whether new bytes wait under ``staging/`` for the commit (True), or are put at their unique final name after an
    intent was committed (False)."""

    @abstractmethod
    def write(self, blobs: Sequence[NewBlob]) -> bool:
        """Stage: store new bytes so that they survive a power loss when this returns.

        Returns:
            Whether everything that was settled before the call is durable now too.

        Raises:
            StorageError: the filesystem refused; nothing of the bytes counts, and some may lie there.
            SyncFailed: as :meth:`sync`.
        """

    @abstractmethod
    def settle(self, settlements: Sequence[Settlement], *, keeps_folders: bool = False) -> list[Unsettled]:
        """Bring each blob to its goal from any whole place, and delete its other places. Idempotent.

        Folders that become empty go too, unless ``keeps_folders`` says that somebody removes them later: to look
        whether a large folder is empty takes the filesystem longer than to rename a file.

        Returns:
            Those that could not be settled; never raises for a single blob.
        """

    @abstractmethod
    def remove_empty(self, folders: Iterable[str]) -> None:
        """Remove those folders that are empty, and those above them that become so."""

    @abstractmethod
    def sync(self) -> None:
        """Make all settled blobs durable where they are.

        Raises:
            SyncFailed: what was settled is not known to be durable.
        """

    @abstractmethod
    def read(self, path: str) -> bytes | None:
        """Return a blob's bytes, or None if nothing lies there.

        Raises:
            StorageError: it is there but cannot be read.
        """

    @abstractmethod
    def read_many(self, paths: Sequence[str]) -> list[bytes | None]:
        """Return the bytes at each path, None where nothing lies; in parallel where that helps."""

    @abstractmethod
    def sizes(self, paths: Sequence[str]) -> list[int | None]:
        """Return the size in bytes of what lies at each path, None where nothing lies; unlike ``walk``, as of now.

        Raises:
            StorageError: something cannot be looked at.
        """

    @abstractmethod
    def modified(self, paths: Sequence[str]) -> list[int | None]:
        """Return when each object was last written, in microseconds since 1970 by the storage's own clock.

        None where nothing lies, and everywhere on a storage that tells no times.

        Raises:
            StorageError: something cannot be looked at.
        """

    @abstractmethod
    def clock(self) -> int | None:
        """Return what time it is for the storage, like :meth:`modified`: a small object is written and removed again.

        Raises:
            StorageError: the filesystem refused.
        """

    @abstractmethod
    def walk(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield (path, size in bytes) of every object below ``data``, ``attic`` or ``staging``, in no order."""

    @abstractmethod
    def remove(self, paths: Sequence[str]) -> None:
        """Delete objects; a missing one is no error. Empty folders go too."""

    @abstractmethod
    def remove_all(self) -> None:
        """Delete the whole tenant's folder."""
