"""Checkpoints: what is saved is found again, and what is damaged is noticed before it is used."""

import fcntl
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kiromi.errors import IndexCorrupt, InvalidInput
from kiromi.index import files
from kiromi.index.items import TextDocument
from kiromi.index.text import workspace
from kiromi.index.text.index import TextIndex, TextScope, TextSettings
from kiromi.index.text.query import parse_query

IDENTITY = {"store": "s"}
SETTINGS = TextSettings()


def docs(begin: int, end: int) -> list[TextDocument]:
    return [TextDocument(f"{i:04d}", None, f"note number {i}", ("tag",), None, ("m",)) for i in range(begin, end)]


def find(index: TextIndex, query: str) -> list[str]:
    return [hit.id for hit in index.search(parse_query(query), 1_000, TextScope())]


def open_again(folder: Path, scratch: Path) -> TextIndex:
    index = TextIndex.open(folder, IDENTITY, SETTINGS, scratch)
    assert index is not None
    return index


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "scratch"
    yield path
    assert not path.exists() or list(path.iterdir()) == []


@pytest.fixture
def saved(tmp_path: Path, scratch: Path) -> Path:
    """A checkpoint of several segments, some with deletions, at watermark 7."""
    folder = tmp_path / "text"
    index = TextIndex.create(folder, IDENTITY, SETTINGS, scratch)
    for begin in range(0, 40, 10):
        index.apply(7, (), docs(begin, begin + 10))
    index.apply(7, ["0003", "0012"], ())
    index.save()
    index.close()
    return folder


ALIVE = [f"{i:04d}" for i in range(40) if i not in (3, 12)]


def test_nothing_there(tmp_path: Path, scratch: Path) -> None:
    assert TextIndex.open(tmp_path / "none", IDENTITY, SETTINGS, scratch) is None
    assert TextIndex.open(None, IDENTITY, SETTINGS, scratch) is None


def test_what_is_saved_is_found_again_and_goes_on(saved: Path, scratch: Path) -> None:
    for seq in (8, 9):
        index = open_again(saved, scratch)
        assert index.watermark == seq - 1
        assert sorted(find(index, "note")) == sorted(ALIVE + (["0050"] if seq == 9 else []))
        index.apply(seq, ["0001"] if seq == 9 else [], docs(50, 51))
        index.save()
        index.save()
        index.close()
    index = open_again(saved, scratch)
    assert sorted(find(index, "note")) == sorted({*ALIVE, "0050"} - {"0001"})
    index.close()


def test_what_is_not_saved_is_gone(saved: Path, scratch: Path) -> None:
    index = open_again(saved, scratch)
    index.apply(8, ALIVE, ())
    index.close()
    index = open_again(saved, scratch)
    assert (index.watermark, sorted(find(index, "note"))) == (7, ALIVE)
    index.close()


def test_an_empty_index_can_be_saved(tmp_path: Path, scratch: Path) -> None:
    index = TextIndex.create(tmp_path / "text", IDENTITY, SETTINGS, scratch)
    index.apply(3, (), ())
    index.save()
    index.close()
    index = open_again(tmp_path / "text", scratch)
    assert (index.watermark, index.count, find(index, "note")) == (3, 0, [])
    index.close()


def test_without_a_folder_nothing_is_saved(tmp_path: Path, scratch: Path) -> None:
    index = TextIndex.create(None, IDENTITY, SETTINGS, scratch)
    index.apply(3, (), docs(0, 2))
    index.save()
    index.close()
    assert list(tmp_path.iterdir()) == [scratch]


def test_a_new_index_replaces_the_old_one_only_when_saved(saved: Path, scratch: Path) -> None:
    old = open_again(saved, scratch)
    new = TextIndex.create(saved, IDENTITY, SETTINGS, scratch)
    new.apply(9, (), docs(0, 1))
    assert len(find(old, "note")) == len(ALIVE)
    old.close()
    new.save()
    new.close()
    index = open_again(saved, scratch)
    assert find(index, "note") == ["0000"]
    index.close()


@pytest.mark.parametrize(
    ("identity", "settings"), [({"store": "other"}, SETTINGS), ({}, SETTINGS), (IDENTITY, TextSettings("de"))]
)
def test_another_identity_or_setting_is_refused(
    saved: Path, scratch: Path, identity: dict[str, str], settings: TextSettings
) -> None:
    with pytest.raises(IndexCorrupt, match="another store"):
        TextIndex.open(saved, identity, settings, scratch)


def check_damage(folder: Path, scratch: Path) -> None:
    """It is refused, without a word to tantivy."""
    with pytest.raises(IndexCorrupt):
        TextIndex.open(folder, IDENTITY, SETTINGS, scratch)


def test_flipped_bits_are_noticed(saved: Path, scratch: Path) -> None:
    r = random.Random(5)
    paths = sorted(path for path in saved.iterdir() if path.stat().st_size)
    for i in range(300):
        path = paths[i % len(paths)]
        data = bytearray(path.read_bytes())
        at = r.randrange(len(data))
        data[at] ^= 1 << r.randrange(8)
        good = path.read_bytes()
        path.write_bytes(data)
        if path.name != files.MANIFEST or not is_same_manifest(saved, good):
            check_damage(saved, scratch)
        path.write_bytes(good)
    open_again(saved, scratch).close()


def is_same_manifest(folder: Path, good: bytes) -> bool:
    """Whether a flip in the manifest changed only how its checksum is written: upper case for lower."""
    return (folder / files.MANIFEST).read_bytes().lower() == good.lower()


def test_cut_longer_missing_and_additional_files_are_noticed(saved: Path, scratch: Path) -> None:
    for path in sorted(saved.iterdir()):
        good = path.read_bytes()
        for bad in (good[:-1], good + b"\0", b""):
            if bad != good:
                path.write_bytes(bad)
                check_damage(saved, scratch)
        path.unlink()
        if path.name != files.MANIFEST:
            check_damage(saved, scratch)
        path.write_bytes(good)
    open_again(saved, scratch).close()


@pytest.mark.parametrize("change", ["fewer", "more", "no meta", "no watermark", "other meta"])
def test_a_manifest_that_does_not_fit_is_refused(saved: Path, scratch: Path, change: str) -> None:
    manifest = files.load_manifest(saved)
    assert manifest is not None
    facts, sums = dict(manifest.facts), dict(manifest.files)
    segment = next(name for name in sums if name.endswith(".idx"))
    if change == "fewer":
        del sums[segment]
    elif change == "more":
        (saved / "more").write_bytes(b"x")
        sums["more"] = files.sum_file(saved / "more")
    elif change == "no meta":
        del facts["meta"]
    elif change == "no watermark":
        del facts["watermark"]
    else:
        (saved / "other").write_bytes(b"[]")
        facts["meta"], sums["other"] = "other", files.sum_file(saved / "other")
    files.store_manifest(saved, facts, sums)
    check_damage(saved, scratch)


def test_saving_copies_where_links_are_not_possible(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    index = TextIndex.create(tmp_path / "text", IDENTITY, SETTINGS, scratch)
    index.apply(3, (), docs(0, 4))
    index.save()
    index.close()
    index = open_again(tmp_path / "text", scratch)
    assert len(find(index, "note")) == 4
    index.close()


def test_what_a_killed_save_left_is_replaced(saved: Path, scratch: Path) -> None:
    index = open_again(saved, scratch)
    index.apply(8, (), docs(50, 51))
    names = [path.name for path in next(scratch.glob("*.work")).iterdir() if path.suffix in (".idx", ".store")]
    for name in names:
        if not (saved / name).exists():
            (saved / name).write_bytes(b"left over")
    index.save()
    index.close()
    index = open_again(saved, scratch)
    assert sorted(find(index, "note")) == [*ALIVE, "0050"]
    index.close()


def test_a_merge_during_a_save_is_waited_for(saved: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = open_again(saved, scratch)
    index.apply(8, (), docs(50, 51))
    failing = [True, True]
    link = os.link

    def lose(source: Path, target: Path) -> None:
        if failing:
            failing.pop()
            raise FileNotFoundError(source)
        link(source, target)

    monkeypatch.setattr(os, "link", lose)
    index.save()
    assert not failing
    failing.extend([True] * 100)
    index.apply(9, (), docs(60, 61))
    with pytest.raises(FileNotFoundError):
        index.save()
    monkeypatch.undo()
    index.close()
    index = open_again(saved, scratch)
    assert index.watermark == 8
    index.close()


def test_folders_of_the_dead_are_removed_and_of_the_living_kept(saved: Path, scratch: Path) -> None:
    (scratch / "text-dead.work").mkdir()
    (scratch / "text-dead.work" / "file").write_bytes(b"x")
    (scratch / "text-dead.lock").write_bytes(b"")
    (scratch / "text-bare.work").mkdir()
    (scratch / "text-alone.lock").write_bytes(b"")
    (scratch / "other").mkdir()
    first = open_again(saved, scratch)
    kept = {path.name for path in scratch.iterdir()}
    assert len(kept) == 3
    second = open_again(saved, scratch)
    first.apply(8, (), docs(50, 51))
    assert "0050" in find(first, "note")
    assert kept < {path.name for path in scratch.iterdir()}
    first.close()
    second.close()
    (scratch / "other").rmdir()


def test_a_folder_swept_while_it_is_made_is_made_again(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flock = fcntl.flock
    swept: list[bool] = []

    def sweep_first(descriptor: int, mode: int) -> None:
        if not swept:
            swept.append(True)
            for path in scratch.glob("*.lock"):
                path.unlink()
        flock(descriptor, mode)

    monkeypatch.setattr(fcntl, "flock", sweep_first)
    made = workspace.new_workspace(scratch)
    assert made.folder.is_dir()
    assert len(list(scratch.glob("*.lock"))) == 1
    made.close()


def test_searches_go_on_while_documents_come(saved: Path, scratch: Path) -> None:
    index = open_again(saved, scratch)
    seen: list[int] = []
    stop = threading.Event()

    def search() -> None:
        while not stop.is_set():
            seen.append(len(find(index, "note")))

    thread = threading.Thread(target=search)
    thread.start()
    for i in range(20):
        index.apply(8 + i, (), docs(100 + i, 101 + i))
    stop.set()
    thread.join()
    assert seen == sorted(seen)
    assert len(find(index, "note")) == len(ALIVE) + 20
    index.close()


def test_tantivy_failing_means_that_the_index_is_corrupt(
    saved: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = open_again(saved, scratch)
    shutil.rmtree(next(scratch.glob("*.work")))
    with pytest.raises(IndexCorrupt, match="written"):
        index.apply(8, (), docs(50, 51))
    with pytest.raises(IndexCorrupt, match="written"):
        index.add(docs(50, 51))

    def fail(*_: object) -> None:
        raise ValueError("from tantivy")

    monkeypatch.setattr("kiromi.index.text.index._best", fail)
    with pytest.raises(IndexCorrupt, match="searched: from tantivy"):
        find(index, "note")
    index.close()
    with pytest.raises(InvalidInput):
        index.add(docs(0, 1))


def test_what_cannot_be_made_leaves_nothing(saved: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("from tantivy")

    monkeypatch.setattr("kiromi.index.text.index.register", fail)
    with pytest.raises(ValueError, match="from tantivy"):
        TextIndex.create(saved, IDENTITY, SETTINGS, scratch)
    with pytest.raises(IndexCorrupt, match="from tantivy"):
        TextIndex.open(saved, IDENTITY, SETTINGS, scratch)


PROGRAM = """
import sys
from pathlib import Path
from kiromi.index.items import TextDocument
from kiromi.index.text.index import TextIndex, TextSettings

folder, scratch = Path(sys.argv[1]), Path(sys.argv[2])
index = TextIndex.open(folder, {"store": "s"}, TextSettings(), scratch)
seq = index.watermark
print("ready", flush=True)
while True:
    seq += 1
    index.apply(seq, (), [TextDocument(f"n{seq:05d}", None, f"note number {seq}", (), None, ())])
    index.save()
"""


def kill_while_saving(saved: Path, scratch: Path, delay_s: float) -> None:
    """Kill a process that applies and saves; what is found has every operation up to its watermark, and none beyond."""
    before = open_again(saved, scratch)
    watermark = before.watermark
    before.close()
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, saved, scratch], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(delay_s)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    index = open_again(saved, scratch)
    assert index.watermark >= watermark
    found = sorted(find(index, "note"))
    assert found == [*ALIVE, *(f"n{seq:05d}" for seq in range(8, index.watermark + 1))]
    index.close()


def test_a_killed_process_leaves_the_last_checkpoint(saved: Path, scratch: Path) -> None:
    r = random.Random(11)
    for _ in range(3):
        kill_while_saving(saved, scratch, r.uniform(0.01, 0.15))


@pytest.mark.torture
def test_many_killed_processes_leave_the_last_checkpoint(saved: Path, scratch: Path) -> None:
    r = random.Random(12)
    for _ in range(40):
        kill_while_saving(saved, scratch, r.uniform(0.0, 0.3))
