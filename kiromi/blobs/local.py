"""Blobs on a local filesystem: staged, synced once a batch, renamed into place.

Rename is atomic, so a blob is whole wherever it is. ``syncfs`` makes a batch of thousands of files durable in one call
(Linux 5.8 and later report its errors); elsewhere every file and folder is synced on its own.
"""

import contextlib
import ctypes
import errno
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from kiromi.blobs.base import Blobs, NewBlob, Settlement, SyncFailed, Unsettled
from kiromi.errors import StorageError

FEW_FILES = 2
"""Up to so many files are synced one by one: ``syncfs`` also waits for what others wrote to the filesystem."""


class LocalBlobs(Blobs):
    """The blobs of one tenant below a local folder."""

    has_staging = True

    def __init__(self, root: Path, *, durable: bool = True) -> None:
        self.root = root
        self._prefix = f"{root}/"
        self._durable = durable
        self._syncfs = _find_syncfs() if durable else None
        self._known_folders: set[str] = set()
        self._unsynced_folders: set[str] = set()

    def write(self, blobs: Sequence[NewBlob]) -> bool:
        one_by_one = self._durable and (self._syncfs is None or len(blobs) <= FEW_FILES)
        try:
            if self._durable and "staging" not in self._known_folders:
                make_durable_folder(self._prefix + "staging")
            self._make_folder("staging")
            for blob in blobs:
                _write_file(self._prefix + blob.staged, blob.data, sync=one_by_one)
        except OSError as error:
            with contextlib.suppress(OSError, StorageError):
                self.remove([blob.staged for blob in blobs])
            raise _storage_error("write", error) from error
        if not one_by_one:
            self.sync()
            return True
        try:
            _sync_folder(self._prefix + "staging")
        except OSError as error:
            raise _sync_failed(error) from error
        return False

    def settle(self, settlements: Sequence[Settlement], *, keeps_folders: bool = False) -> list[Unsettled]:
        unsettled = []
        vacated: set[str] = set()
        for settlement in settlements:
            if self._settle_at_once(settlement, vacated):
                continue
            try:
                self._settle_one(settlement, vacated)
            except OSError as error:
                unsettled.append(Unsettled(settlement.id, settlement.n, str(error)))
        if not keeps_folders:
            self.remove_empty(vacated)
        return unsettled

    def remove_empty(self, folders: Iterable[str]) -> None:
        for folder in folders:
            self._remove_empty(folder)

    def sync(self) -> None:
        if not self._durable:
            return
        try:
            if self._syncfs is not None:
                descriptor = os.open(self.root, os.O_RDONLY)
                try:
                    self._syncfs(descriptor)
                finally:
                    os.close(descriptor)
            else:
                for folder in sorted(self._unsynced_folders):
                    if os.path.isdir(folder):
                        _sync_folder(folder)
        except OSError as error:
            raise _sync_failed(error) from error
        self._unsynced_folders.clear()

    def read(self, path: str) -> bytes | None:
        try:
            with open(self._prefix + path, "rb", buffering=0) as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _storage_error("read", error) from error

    def read_many(self, paths: Sequence[str]) -> list[bytes | None]:
        return [self.read(path) for path in paths]

    def sizes(self, paths: Sequence[str]) -> list[int | None]:
        return [self._size(path) for path in paths]

    def modified(self, paths: Sequence[str]) -> list[int | None]:
        found = (self._stat(path) for path in paths)
        return [None if one is None else one.st_mtime_ns // 1_000 for one in found]

    def clock(self) -> int | None:
        self._make_folder("staging")
        try:
            # Of one's own name: another process may be probing the same folder.
            descriptor, path = tempfile.mkstemp(prefix="clock-probe-", dir=self._prefix + "staging")
            os.close(descriptor)
        except OSError as error:
            raise _storage_error("write", error) from error
        [now] = self.modified([path[len(self._prefix) :]])
        self.remove([path[len(self._prefix) :]])
        return now

    def walk(self, prefix: str) -> Iterator[tuple[str, int]]:
        skip = len(self._prefix)
        stack = [self._prefix + prefix]
        while stack:
            try:
                entries = list(os.scandir(stack.pop()))
            except FileNotFoundError:
                continue
            except OSError as error:
                raise _storage_error("list", error) from error
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    stack.append(entry.path)
                    continue
                try:
                    size = entry.stat(follow_symlinks=False).st_size
                except FileNotFoundError:  # somebody moved it just now
                    continue
                yield entry.path[skip:], size

    def remove(self, paths: Sequence[str]) -> None:
        vacated: set[str] = set()
        try:
            for path in paths:
                self._unlink(path, vacated)
        except OSError as error:
            raise _storage_error("remove", error) from error
        self.remove_empty(vacated)

    def remove_all(self) -> None:
        shutil.rmtree(self.root)

    def folds_case(self) -> bool:
        """Tell whether the filesystem takes ``a`` and ``A`` for the same name."""
        self._make_folder("staging")
        lower, upper = self._prefix + "staging/case-probe", self._prefix + "staging/CASE-PROBE"
        try:
            _write_file(lower, b"", sync=False)
            return os.path.exists(upper)
        except OSError as error:
            raise _storage_error("write", error) from error
        finally:
            self._unlink("staging/case-probe", set())

    def remove_empty_folders(self) -> None:
        """Remove folders below ``data`` in which nothing lies: a killed process may have left some."""
        data = self._prefix + "data"
        for path, _, files in os.walk(data, topdown=False):
            if not files and path != data:
                with contextlib.suppress(OSError):  # others are in it
                    os.rmdir(path)
                    self._note_unsynced(os.path.dirname(path[len(self._prefix) :]))
        self.forget_folders()

    def forget_folders(self) -> None:
        """Forget which folders exist: another process may have removed some."""
        self._known_folders.clear()

    def _size(self, path: str) -> int | None:
        found = self._stat(path)
        return None if found is None else found.st_size

    def _stat(self, path: str) -> os.stat_result | None:
        try:
            found = os.lstat(self._prefix + path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _storage_error("look at", error) from error
        return None if stat.S_ISDIR(found.st_mode) else found

    def _settle_at_once(self, settlement: Settlement, vacated: set[str]) -> bool:
        """Settle what can lie in one place only, at the least cost; return False to have it done with care."""
        goal, places = settlement.goal, settlement.places
        if goal is None or len(places) != 1:
            return False
        folder = goal.rpartition("/")[0]
        if folder not in self._known_folders:
            return False
        try:
            os.rename(self._prefix + places[0], self._prefix + goal)
        except OSError:
            return False
        self._left(places[0], vacated)
        self._note_unsynced(folder)
        return True

    def _settle_one(self, settlement: Settlement, vacated: set[str]) -> None:
        goal = settlement.goal
        others = [place for place in settlement.places if place != goal]
        if goal is not None:
            folder = goal.rpartition("/")[0]
            self._make_folder(folder)
            if not self._bring(others, goal, vacated):
                # Somebody may have removed the folder behind our back.
                self._known_folders.discard(folder)
                self._make_folder(folder)
                if not self._bring(others, goal, vacated):
                    blob = f"{settlement.id}.{settlement.n}"
                    raise FileNotFoundError(f"blob {blob} is nowhere; looked at {goal}, {', '.join(others)}")
        for place in others:
            self._unlink(place, vacated)

    def _bring(self, places: list[str], goal: str, vacated: set[str]) -> bool:
        """Have the blob at its goal, from the first place where it lies, which is taken off ``places``."""
        for place in places:
            if self._move(place, goal, vacated):
                places.remove(place)
                return True
        return os.path.exists(self._prefix + goal)

    def _move(self, source: str, goal: str, vacated: set[str]) -> bool:
        try:
            os.rename(self._prefix + source, self._prefix + goal)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._copy(source, goal)
            os.unlink(self._prefix + source)
        self._left(source, vacated)
        return True

    def _copy(self, source: str, goal: str) -> None:
        # A folder may be a mount of its own. The copy waits beside the goal under a name that `verify` reports.
        partial = f"{self._prefix}{goal}.partial"
        shutil.copyfile(self._prefix + source, partial)
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.rename(partial, self._prefix + goal)
        # The source lies on another device, so its removal may become durable before the name of the copy.
        folder = os.path.dirname(goal)
        while self._durable and folder:
            _sync_folder(self._prefix + folder)
            folder = os.path.dirname(folder)

    def _unlink(self, path: str, vacated: set[str]) -> None:
        try:
            os.unlink(self._prefix + path)
        except (FileNotFoundError, NotADirectoryError):
            return
        self._left(path, vacated)

    def _left(self, path: str, vacated: set[str]) -> None:
        folder = path.rpartition("/")[0]
        self._note_unsynced(folder)
        if folder != "staging":
            vacated.add(folder)

    def _make_folder(self, folder: str) -> None:
        if folder not in self._known_folders:
            os.makedirs(self._prefix + folder, exist_ok=True)
            self._known_folders.add(folder)
            parts = folder.split("/")
            for depth in range(len(parts)):
                self._note_unsynced("/".join(parts[:depth]))
        self._note_unsynced(folder)

    def _note_unsynced(self, folder: str) -> None:
        if self._syncfs is None:
            self._unsynced_folders.add(self._prefix + folder)

    def _remove_empty(self, folder: str) -> None:
        while "/" in folder:
            try:
                os.rmdir(self._prefix + folder)
            except OSError:
                return
            self._known_folders.discard(folder)
            folder = folder.rpartition("/")[0]
            self._note_unsynced(folder)


def make_durable_folder(path: str) -> None:
    """Make a folder and those above it that are missing; the name of each survives a power loss when this returns."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for folder in reversed(missing):
        os.makedirs(folder, exist_ok=True)
        _sync_folder(os.path.dirname(folder))


def _write_file(path: str, data: bytes, *, sync: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _SyncFilesystem:
    """``syncfs(2)``, which Python does not offer."""

    def __init__(self, function: "ctypes._NamedFuncPointer") -> None:
        self._function = function

    def __call__(self, descriptor: int) -> None:
        if self._function(descriptor) != 0:
            code = ctypes.get_errno()
            raise OSError(code, f"syncfs: {os.strerror(code)}")


def _find_syncfs() -> _SyncFilesystem | None:
    if not sys.platform.startswith("linux"):
        return None
    release = os.uname().release.split(".")
    if (int(release[0]), int(release[1].split("-")[0])) < (5, 8):
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    return None if function is None else _SyncFilesystem(function)


def _sync_failed(error: OSError) -> SyncFailed:
    return SyncFailed(f"cannot sync blobs: {error}", errno=error.errno, path=error.filename)


def _storage_error(action: str, error: OSError) -> StorageError:
    return StorageError(f"cannot {action} blobs: {error}", errno=error.errno, path=error.filename)
