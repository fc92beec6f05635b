"""The private folder in which tantivy works, and the checkpoints by which its state outlives the process.

tantivy's segment files never change once written, and have names of their own; only its ``meta.json`` does, and merges
replace files at any time. So a checkpoint is a hard link (or a copy) of each file that one ``meta.json`` names, and
that file under a new name, all listed with their checksums in the manifest. Every byte of a checkpoint is checked
before tantivy sees it. A working folder is locked while in use, so that one that a killed process left is told apart.
"""

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kiromi.errors import IndexCorrupt
from kiromi.index.files import FileSum, Manifest, check_file, load_manifest, new_name, store_manifest, sum_file

META = "meta.json"
_TRIES, _PAUSE_S = 10, 0.02
_STEM = "text"
_LOCK = ".lock"
_PARTS = ("fast", "fieldnorm", "idx", "pos", "store", "term")
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Workspace:
    """A working folder of this process."""

    folder: Path
    descriptor: int
    """Of its lock."""

    def close(self) -> None:
        """Remove the folder; once is enough."""
        for _ in range(_TRIES):  # tantivy's own threads may just be putting another file there
            shutil.rmtree(self.folder, ignore_errors=True)
            if not self.folder.exists():
                break
            time.sleep(_PAUSE_S)
        _lock_of(self.folder).unlink(missing_ok=True)
        os.close(self.descriptor)


def new_workspace(scratch: Path) -> Workspace:
    """Make a working folder, and remove those whose process is gone."""
    scratch.mkdir(parents=True, exist_ok=True)
    sweep(scratch)
    while True:
        folder = scratch / new_name(_STEM, "work")
        descriptor = os.open(_lock_of(folder), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _is_same_file(descriptor, _lock_of(folder)):
            folder.mkdir()
            return Workspace(folder, descriptor)
        os.close(descriptor)  # another process swept it between its creation and the lock


def sweep(scratch: Path) -> None:
    """Remove the working folders that no living process holds."""
    for entry in list(os.scandir(scratch)):
        if not entry.name.startswith(f"{_STEM}-"):
            continue
        if entry.name.endswith(".work"):
            if not _lock_of(Path(entry.path)).exists():
                shutil.rmtree(entry.path, ignore_errors=True)
        elif entry.name.endswith(_LOCK):
            with contextlib.suppress(FileNotFoundError):
                _sweep_one(Path(entry.path))


def restore(folder: Path, workspace: Workspace) -> Manifest:
    """Put a checkpoint that was checked into a working folder.

    Raises:
        IndexCorrupt: a file is missing, or not what was written.
    """
    manifest = load_manifest(folder)
    if manifest is None:
        raise IndexCorrupt("the text index has no manifest")
    meta = manifest.facts.get("meta")
    for name in manifest.files:
        check_file(folder, name, manifest)
    try:
        for name in manifest.files:
            _link(folder / name, workspace.folder / (META if name == meta else name))
        found = set(_names(json.loads((workspace.folder / META).read_bytes())))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IndexCorrupt(f"the text index cannot be read: {error}") from error
    if found | {meta} != set(manifest.files):
        raise IndexCorrupt("the text index lacks files, or has too many")
    return manifest


def checkpoint(folder: Path, workspace: Workspace, facts: Mapping[str, Any], former: Mapping[str, FileSum]) -> Manifest:
    """Make the present state of a working folder the one that is found on the next open, atomically.

    Args:
        folder: where checkpoints lie.
        workspace: where tantivy works; nobody commits meanwhile, but merges may go on.
        facts: for the manifest.
        former: files of the last checkpoint that this working folder was restored from or saved to.

    Raises:
        OSError: it could not be written; the former one stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(FileNotFoundError):  # a merge has just ended, and its sources are gone
            return _checkpoint(folder, workspace, facts, former)
    return _checkpoint(folder, workspace, facts, former)


def _checkpoint(
    folder: Path, workspace: Workspace, facts: Mapping[str, Any], former: Mapping[str, FileSum]
) -> Manifest:
    meta = (workspace.folder / META).read_bytes()
    sums = {}
    for name in _names(json.loads(meta)):
        if name not in former or not (folder / name).exists():
            # A killed process may have left other bytes under this name, which no manifest has.
            partial = folder / new_name(_STEM, "partial")
            _link(workspace.folder / name, partial)
            os.replace(partial, folder / name)
            partial.unlink(missing_ok=True)  # a rename between two links to one file does nothing
            sums[name] = sum_file(folder / name)
        else:
            sums[name] = former[name]
    meta_name = new_name("meta", "json")
    (folder / meta_name).write_bytes(meta)
    sums[meta_name] = sum_file(folder / meta_name)
    return store_manifest(folder, {**facts, "meta": meta_name}, sums)


def _names(meta: Any) -> list[str]:
    """Return the files that tantivy's ``meta.json`` speaks of."""
    names = []
    for segment in meta["segments"]:
        stem = segment["segment_id"].replace("-", "")
        names += [f"{stem}.{part}" for part in _PARTS]
        if segment["deletes"] is not None:
            names.append(f"{stem}.{segment['deletes']['opstamp']}.del")
    return names


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def _lock_of(folder: Path) -> Path:
    return folder.with_suffix(_LOCK)


def _sweep_one(lock: Path) -> None:
    descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(lock.with_suffix(".work"), ignore_errors=True)
        lock.unlink()
    except BlockingIOError:
        pass  # its process lives
    finally:
        os.close(descriptor)


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
