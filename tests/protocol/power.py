"""What a power loss may take: a strict model of a POSIX filesystem that forgets every change that was not synced.

It watches the steps of :mod:`tests.protocol.taps` and can, at any moment, take back on the real folder what nothing has
made durable: names whose folder was not synced, bytes of files that were not synced. A rename is atomic and durable
once the folder of its goal was synced (or all was); the catalog keeps its own promises.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.protocol.taps import Step


@dataclass
class _Change:
    folder: str
    """Syncing it makes the change durable."""
    undo: Callable[[], None]


class Disk:
    """The unsynced changes below one folder; what was removed is kept in ``graveyard`` meanwhile."""

    def __init__(self, root: Path, graveyard: Path) -> None:
        self._root = str(root)
        self._graveyard = graveyard
        self._changes: list[_Change] = []
        self._unsynced_bytes: set[str] = set()
        self._buried = 0
        graveyard.mkdir()

    def __call__(self, step: Step) -> None:
        """Note a step that is about to be taken."""
        if step.name == "syncfs":
            self._changes.clear()
            self._unsynced_bytes.clear()
        elif step.path.startswith(self._root):
            note = getattr(self, "_" + step.name.replace("-", "_"), None)
            if note is not None:
                note(step)

    def lose_power(self, kept: int = 0) -> None:
        """Take back the changes that are not durable, but for the oldest ``kept`` of them, newest first."""
        for change in reversed(self._changes[kept:]):
            change.undo()
        for path in self._unsynced_bytes:
            if os.path.exists(path):
                os.truncate(path, 0)

    @property
    def unsynced(self) -> int:
        """How many changes a power loss could take now."""
        return len(self._changes)

    def _create(self, step: Step) -> None:
        self._unsynced_bytes.add(step.path)
        if not os.path.exists(step.path):
            self._add(step.path, lambda: Path(step.path).unlink(missing_ok=True))

    def _fsync(self, step: Step) -> None:
        self._unsynced_bytes.discard(step.path)

    def _fsync_folder(self, step: Step) -> None:
        folder = step.path.rstrip("/")
        self._changes = [change for change in self._changes if change.folder != folder]

    def _rename(self, step: Step) -> None:
        if step.path in self._unsynced_bytes:
            self._unsynced_bytes.remove(step.path)
            self._unsynced_bytes.add(step.to)
        replaced = self._bury(step.to) if os.path.exists(step.to) else None

        def undo() -> None:
            if os.path.exists(step.to):
                os.makedirs(os.path.dirname(step.path), exist_ok=True)
                os.rename(step.to, step.path)
            if replaced is not None:
                shutil.copyfile(replaced, step.to)

        self._add(step.to, undo)

    def _unlink(self, step: Step) -> None:
        body = self._bury(step.path)

        def undo() -> None:
            os.makedirs(os.path.dirname(step.path), exist_ok=True)
            shutil.copyfile(body, step.path)

        self._add(step.path, undo)

    def _mkdir(self, step: Step) -> None:
        self._add(step.path, lambda: shutil.rmtree(step.path, ignore_errors=True))

    def _rmdir(self, step: Step) -> None:
        self._add(step.path, lambda: os.makedirs(step.path, exist_ok=True))

    def _add(self, path: str, undo: Callable[[], None]) -> None:
        self._changes.append(_Change(os.path.dirname(path), undo))

    def _bury(self, path: str) -> Path:
        self._buried += 1
        body = self._graveyard / str(self._buried)
        shutil.copyfile(path, body)
        return body
