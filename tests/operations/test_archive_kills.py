"""SIGKILL during export and import: what is left is no archive and no store, and the same call completes it (P6).

Moments are drawn by a seeded generator upon the duration of an undisturbed run.
"""

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import kiromi
from kiromi import CallerVectors

SEED = 20_260_301
_EXPORT = """
import sys, kiromi
from kiromi.operations import archiving
with kiromi.open(sys.argv[1], read_only=True) as store:
    print("ready", flush=True)
    store.export_archive("live", sys.argv[2])
    print("done", flush=True)
"""
_IMPORT = """
import sys, kiromi
from kiromi.operations import archive_import
print("ready", flush=True)
kiromi.import_archive(sys.argv[1], sys.argv[2])
print("done", flush=True)
"""


def run(code: str, *arguments: Path, kill_after_s: float | None) -> float:
    """Run a program; kill it so many seconds after it says that it is ready; return how long its work took."""
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    started = time.perf_counter()
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        process.kill()
    is_done = process.stdout.readline() == b"done\n"
    seconds = time.perf_counter() - started  # without the end of the process, in which nothing is left to kill
    assert is_done or kill_after_s is not None
    assert process.wait() in ((0,) if kill_after_s is None else (0, -9))
    process.stdout.close()
    return seconds


def make_store(root: Path, count: int) -> str:
    with kiromi.open(root, scheme="user={user}", embedder=CallerVectors(2)) as store:
        records = (
            {"content": f"note {i} " * 20, "attributes": {"user": f"u{i % 9}"}, "vector": [1.0, float(i)]}
            for i in range(count)
        )
        store.append_many(records)
        return store.digest()


def kill_exports(folder: Path, kills: int, count: int) -> int:
    """Kill exports; return how many were killed before they ended."""
    digest = make_store(folder / "store", count)
    duration = min(run(_EXPORT, folder / "store", folder / f"whole{i}", kill_after_s=None) for i in range(2))
    randomly, landed = random.Random(SEED), 0
    for i in range(kills):
        archive = folder / f"archive{i}"
        run(_EXPORT, folder / "store", archive, kill_after_s=duration * (i + randomly.random()) / kills)
        if not (archive / "manifest.json").exists():
            landed += 1
            with pytest.raises(kiromi.NotFound):
                kiromi.verify_archive(archive)
            with kiromi.open(folder / "store") as store:
                store.export_archive("live", archive)
        check = kiromi.verify_archive(archive)
        assert (check.problems, check.digest) == ((), digest)
        assert not list(archive.glob("*.partial"))
        shutil.rmtree(archive)
    return landed


def kill_imports(folder: Path, kills: int, count: int) -> int:
    """Kill imports; return how many were killed before they ended."""
    digest = make_store(folder / "store", count)
    with kiromi.open(folder / "store") as store:
        store.export_archive("live", folder / "archive")
    duration = min(run(_IMPORT, folder / "archive", folder / f"whole{i}", kill_after_s=None) for i in range(2))
    randomly, landed = random.Random(SEED), 0
    for i in range(kills):
        root = folder / f"copy{i}"
        run(_IMPORT, folder / "archive", root, kill_after_s=duration * (i + randomly.random()) / kills)
        if not (root / "default" / "catalog.duckdb").exists():
            landed += 1
            with pytest.raises((kiromi.IntegrityError, kiromi.StoreNotFound)):
                kiromi.open(root)
            kiromi.import_archive(folder / "archive", root)
        with kiromi.open(root) as copy:
            assert copy.digest() == digest
            assert copy.verify(read_data=True).problems == ()
        assert not list((root / "default").glob("catalog.duckdb.importing*"))
        shutil.rmtree(root)
    return landed


def test_a_killed_export_is_no_archive_and_is_completed_by_the_next(tmp_path: Path) -> None:
    assert kill_exports(tmp_path, 3, 400) > 0


def test_a_killed_import_is_no_store_and_is_completed_by_the_next(tmp_path: Path) -> None:
    assert kill_imports(tmp_path, 3, 400) > 0


@pytest.mark.torture
def test_thirty_kills_of_an_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _tell(capsys, "exports", kill_exports(tmp_path, 30, 5_000))


@pytest.mark.torture
def test_thirty_kills_of_an_import(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _tell(capsys, "imports", kill_imports(tmp_path, 30, 5_000))


def _tell(capsys: pytest.CaptureFixture[str], what: str, landed: int) -> None:
    with capsys.disabled():
        print(f"\n{landed} of 30 {what} were killed before they ended")
    assert landed >= 20
