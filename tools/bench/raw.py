"""The raw limits of the machine: the same work without kiromi, as little code as will do it.

Each function does its work once and returns seconds. A trap on ext4: for up to five minutes after many files were
deleted their inodes are passed over one by one, and making a file costs several times as much (6 to 140 us were seen).
So every call is given a fresh folder, and nothing is deleted before the end of the run.
"""

import ctypes
import itertools
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import duckdb
import numpy as np

from kiromi.operations.append import DEFAULT_BATCH

BATCH = DEFAULT_BATCH
"""Files for each ``syncfs``, as many as ``append_many`` puts into a batch unless told otherwise."""


def sync(folder: Path) -> None:
    """Make all that was written to the filesystem of ``folder`` durable: ``syncfs(2)``, elsewhere ``sync``."""
    if not sys.platform.startswith("linux"):
        os.sync()
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), "syncfs")
    finally:
        os.close(descriptor)


def write_batches(folder: Path, contents: Sequence[bytes], partitions: Sequence[str]) -> float:
    """Write each content to a file, rename it into the folder of its partition, and sync once a batch."""
    staging = folder / "staging"
    started = time.perf_counter()
    staging.mkdir(parents=True)
    for partition in set(partitions):
        (folder / partition).mkdir(parents=True)
    files = zip(itertools.count(), contents, partitions)
    while batch := list(itertools.islice(files, BATCH)):
        for number, content, partition in batch:
            staged = f"{staging}/{number}"
            _write(staged, content)
            os.rename(staged, f"{folder}/{partition}/{number}.md")
        sync(folder)
    return time.perf_counter() - started


def write_synced(folder: Path, contents: Sequence[bytes]) -> list[float]:
    """Write each content to a file of its own and fsync that; return the seconds of each."""
    folder.mkdir(parents=True)
    seconds = []
    for number, content in enumerate(contents):
        started = time.perf_counter()
        _write(f"{folder}/{number}", content, is_synced=True)
        seconds.append(time.perf_counter() - started)
    return seconds


def commit_rows(connection: duckdb.DuckDBPyConnection, values: Sequence[bytes]) -> list[float]:
    """Insert each value as a row of the table ``t`` and commit it; return the seconds of each."""
    seconds = []
    for number, value in enumerate(values):
        started = time.perf_counter()
        connection.execute("INSERT INTO t VALUES (?, ?)", [number, value])
        seconds.append(time.perf_counter() - started)
    return seconds


def make_database(folder: Path) -> duckdb.DuckDBPyConnection:
    """Return a connection to a new database file with an empty table ``t``."""
    folder.mkdir(parents=True)
    connection = duckdb.connect(str(folder / "raw.duckdb"))
    connection.execute("CREATE TABLE t (number BIGINT, value BLOB)")
    return connection


def rename_files(folder: Path, count: int) -> float:
    """Rename ``count`` empty files from one folder to another; making them is not counted."""
    source, goal = folder / "source", folder / "goal"
    source.mkdir(parents=True)
    goal.mkdir()
    for number in range(count):
        _write(f"{source}/{number}", b"")
    started = time.perf_counter()
    for number in range(count):
        os.rename(f"{source}/{number}", f"{goal}/{number}")
    return time.perf_counter() - started


def rename_tree(folder: Path, sources: Sequence[str], goals: Sequence[str], *, batch: int) -> float:
    """Rename the files ``<number>.md`` from one folder each to another, sync once a batch, remove empty folders."""
    started = time.perf_counter()
    for goal in set(goals):
        (folder / goal).mkdir(parents=True, exist_ok=True)
    for number, (source, goal) in enumerate(zip(sources, goals, strict=True), 1):
        name = f"{number - 1}.md"
        os.rename(f"{folder}/{source}/{name}", f"{folder}/{goal}/{name}")
        if number % batch == 0 or number == len(sources):
            sync(folder)
    for source in set(sources):
        (folder / source).rmdir()
    return time.perf_counter() - started


def read_files(paths: Sequence[Path]) -> list[float]:
    """Open and read each file whole; return the seconds of each."""
    seconds = []
    for path in paths:
        started = time.perf_counter()
        with open(path, "rb", buffering=0) as file:
            file.read()
        seconds.append(time.perf_counter() - started)
    return seconds


def scan_vectors(count: int, dimension: int, queries: int) -> list[float]:
    """Find the ten nearest of ``count`` random vectors by exact scan; return the seconds of each query."""
    random = np.random.default_rng(0)
    matrix = random.standard_normal((count, dimension), dtype=np.float32)
    seconds = []
    for query in random.standard_normal((queries, dimension), dtype=np.float32):
        started = time.perf_counter()
        np.argpartition(matrix @ query, -10)[-10:]
        seconds.append(time.perf_counter() - started)
    return seconds


def _write(path: str, content: bytes, *, is_synced: bool = False) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        os.write(descriptor, content)
        if is_synced:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
