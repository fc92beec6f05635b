"""Taps on every step that the write protocol takes on disk: file calls, SQL that writes, calls on an object store.

``install`` replaces what the local backend, the catalog, ``memory://`` and S3 use by doubles that report each step to a
callback *before* it is taken, so that a test can kill the process there, or write down the order of steps. A written
file is reported twice, the second time with half its bytes in place.
"""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import duckdb
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from kiromi.blobs import local
from kiromi.catalog import database


class Step(NamedTuple):
    """Something about to happen."""

    name: str
    path: str = ""
    to: str = ""


OnStep = Callable[[Step], None]


def install(patch: pytest.MonkeyPatch, on_step: OnStep, *, syncfs: bool = True, s3: bool = False) -> None:
    """Tap this process; ``syncfs=False`` also takes that call away from the local backend; S3 only if asked for."""
    files = _Os(on_step)
    patch.setattr(local, "os", files)
    find_syncfs = local._find_syncfs

    def tapped_syncfs() -> Callable[[int], None] | None:
        real = find_syncfs() if syncfs else None

        def call(descriptor: int) -> None:
            on_step(Step("syncfs"))
            if real is not None:
                real(descriptor)

        return None if real is None else call

    patch.setattr(local, "_find_syncfs", tapped_syncfs)
    patch.setattr(database, "os", files)
    connect = database._connect
    patch.setattr(database, "_connect", lambda *args, **options: _Connection(connect(*args, **options), on_step))
    for name, places in (("pipe_file", 1), ("cp_file", 2), ("rm_file", 1)):
        patch.setattr(MemoryFileSystem, name, _tapped(getattr(MemoryFileSystem, name), name, places, on_step))
        if s3:
            from s3fs import S3FileSystem

            real = getattr(S3FileSystem, f"_{name}")
            patch.setattr(S3FileSystem, f"_{name}", _tapped(real, name, places, on_step))


def _tapped(real: Callable[..., Any], name: str, places: int, on_step: OnStep) -> Callable[..., Any]:
    def call(filesystem: Any, *args: Any, **options: Any) -> Any:
        on_step(Step(name, *args[:places]))
        return real(filesystem, *args, **options)

    return call


class _Os:
    """``os``, but for the calls that change something on disk or make it durable."""

    def __init__(self, on_step: OnStep) -> None:
        self._on_step = on_step
        self._paths: dict[int, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Any, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            self._on_step(Step("create", str(path)))
        descriptor = os.open(path, flags, mode)
        self._paths[descriptor] = str(path)
        return descriptor

    def write(self, descriptor: int, data: memoryview) -> int:
        half = os.write(descriptor, data[: len(data) // 2])
        self._on_step(Step("write", self._paths[descriptor]))
        return half + os.write(descriptor, data[half:])

    def fsync(self, descriptor: int) -> None:
        # The file objects of `open` are not known here; what they sync is a copy that counts only once it is renamed.
        path = self._paths.get(descriptor, "")
        self._on_step(Step("fsync-folder" if os.path.isdir(path) else "fsync", path))
        os.fsync(descriptor)

    def rename(self, source: str, goal: str) -> None:
        if os.path.exists(source) and os.path.isdir(os.path.dirname(goal)):
            self._on_step(Step("rename", source, goal))
        os.rename(source, goal)

    def unlink(self, path: str) -> None:
        if os.path.exists(path):
            self._on_step(Step("unlink", path))
        os.unlink(path)

    def makedirs(self, path: str, *, exist_ok: bool) -> None:
        missing = []
        while not os.path.isdir(path):
            missing.append(path)
            path = os.path.dirname(path)
        for folder in reversed(missing):
            self._on_step(Step("mkdir", folder))
            os.mkdir(folder)

    def rmdir(self, path: str) -> None:
        if not os.listdir(path):
            self._on_step(Step("rmdir", path))
        os.rmdir(path)


class _Connection:
    """A DuckDB connection that reports what writes."""

    def __init__(self, real: duckdb.DuckDBPyConnection, on_step: OnStep) -> None:
        self._real = real
        self._on_step = on_step

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def cursor(self) -> "_Connection":
        return _Connection(self._real.cursor(), self._on_step)

    def execute(self, statement: str, *args: Any) -> Any:
        verb = statement.split(None, 1)[0].upper()
        if verb not in ("SELECT", "SET", "PRAGMA"):
            # Outside a transaction a statement commits by itself: that is how the journal is written.
            is_journal = statement.startswith("INSERT INTO journal")
            self._on_step(Step("commit" if is_journal else "sql", statement))
        return self._real.execute(statement, *args)

    def commit(self) -> None:
        self._on_step(Step("commit"))
        self._real.commit()

    def close(self) -> None:
        self._on_step(Step("close"))
        self._real.close()
