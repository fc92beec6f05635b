"""Damage to files is noticed before their bytes are used: no wrong answer, no crash, always the same error."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kiromi.errors import IndexCorrupt, StorageError
from kiromi.index import files as index_files
from kiromi.index.items import PassageHit
from kiromi.index.vectors import GraphSettings, VectorIndex
from tests.index.vectors.model import (
    IDENTITY,
    NO_GRAPH,
    as_passages,
    batch,
    build,
    clustered,
    memory_id,
    opened,
    reopen,
    scope_of,
)

DIMENSION = 128
SETTINGS = GraphSettings(m=8, ef_construction=40, ef=30, threshold=1_000)
VECTORS = clustered(3_300, DIMENSION, seed=8)
QUERIES = VECTORS[3_200:3_203]


def fill(folder: Path) -> None:
    """Save an index with every kind of file; its matrix has two blocks."""
    index = build(folder, as_passages(VECTORS[:3_000], 20), DIMENSION, settings=SETTINGS, with_graph=True)
    assert index.save()
    for start in (3_000, 3_100):
        fresh = batch(as_passages(VECTORS[start : start + 100], 30, first=start), DIMENSION)
        index.apply(start, [memory_id(start - 7)], fresh, [(memory_id(start - 9), (1, "new"))])
        assert index.save()


def answers(folder: Path) -> list[list[PassageHit]]:
    """Open an index and use all of its files."""
    index = opened(folder, DIMENSION, settings=SETTINGS)
    found = [index.search(query, 5) for query in QUERIES]
    found += [index.search(query, 10, scope_of(index, [(1, "user=u003")], None)) for query in QUERIES]
    found += [index.search(query, 10_000) for query in QUERIES[:1]]
    return found


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("damage") / "vectors"
    fill(path)
    return path


def flip(data: bytes, dice: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(dice.choice([1, 1, 4, 64])):
        damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
    return bytes(damaged)


def cut(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.choice([0, 1, len(data) // 2, len(data) - 1, dice.randrange(len(data))])]


def lengthen(data: bytes, dice: random.Random) -> bytes:
    return data + bytes(dice.choice([1, 4096]))


def swap_blocks(data: bytes, dice: random.Random) -> bytes:
    """Pages that were written to each other's place, or never."""
    size = dice.choice([512, 4096])
    first, second = dice.randrange(len(data)), dice.randrange(len(data))
    damaged = bytearray(data)
    damaged[first : first + size] = bytes(len(damaged[first : first + size]))
    piece = data[second : second + size]
    damaged[second : second + len(piece)] = piece[::-1]
    return bytes(damaged)


def damage_and_answer(folder: Path, rounds: int, seed: int) -> None:
    dice = random.Random(seed)
    right = answers(folder)
    names = sorted(path for path in folder.rglob("*") if path.is_file())
    assert {path.name.split("-")[0].split(".")[0] for path in names} == {
        "manifest",
        "matrix",
        "keys",
        "graph",
        "copies",
        "tail",
        "overlay",
    }
    ways: list[Callable[[bytes, random.Random], bytes]] = [flip, flip, flip, cut, lengthen, swap_blocks]
    noticed = 0
    for _ in range(rounds):
        path, way = dice.choice(names), dice.choice(ways)
        whole = path.read_bytes()
        damaged = way(whole, dice)
        path.write_bytes(damaged)
        try:
            found = answers(folder)
        except IndexCorrupt:
            noticed += 1
        else:
            # The manifest's checksum may be written in another case; nothing else may change unnoticed.
            assert found == right
            assert damaged == whole or path.name == "manifest.json"
        finally:
            path.write_bytes(whole)
    assert noticed > rounds * 0.9
    assert answers(folder) == right


def test_hundreds_of_damages(folder: Path) -> None:
    damage_and_answer(folder, 300, seed=1)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(10))
def test_thousands_of_damages(folder: Path, seed: int) -> None:
    damage_and_answer(folder, 1_000, seed=100 + seed)


def test_every_missing_file_is_noticed(folder: Path) -> None:
    for path in [path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"]:
        whole = path.read_bytes()
        path.unlink()
        with pytest.raises(IndexCorrupt):
            reopen(folder, DIMENSION, settings=SETTINGS)
        path.write_bytes(whole)
    (folder / "manifest.json").unlink()
    assert reopen(folder, DIMENSION, settings=SETTINGS) is None


@pytest.mark.parametrize("stem", ["matrix", "keys"])
def test_a_file_that_is_cut_while_it_is_mapped_is_noticed(folder: Path, stem: str) -> None:
    index = opened(folder, DIMENSION, settings=SETTINGS)
    path = next(folder.glob(f"*/{stem}.*"))
    with path.open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(IndexCorrupt, match=stem):
        index.search(QUERIES[0], 5)
    with pytest.raises(IndexCorrupt, match=stem):
        index.vectors_of(memory_id(1))
    with pytest.raises(IndexCorrupt, match=stem):
        index.add_graph()


def test_damage_in_a_block_is_noticed_when_that_block_is_used(folder: Path) -> None:
    path = next(folder.glob("*/matrix.*"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    index = opened(folder, DIMENSION, settings=NO_GRAPH)
    first, last = [(1, "user=u000")], [(1, "user=u019")]
    assert len(index.search(QUERIES[0], 5, scope_of(index, first, None))) == 5
    for _ in range(2):
        with pytest.raises(IndexCorrupt, match="matrix"):
            index.search(QUERIES[0], 500, scope_of(index, last, None))
    with pytest.raises(IndexCorrupt, match="matrix"):
        index.vectors_of(memory_id(2_999))
    with pytest.raises(IndexCorrupt, match="matrix"):
        index.add_graph()
    assert index.vectors_of(memory_id(0)).shape == (1, DIMENSION)


@pytest.mark.parametrize(
    ("identity", "dimension", "metric"),
    [({**IDENTITY, "model": "0000"}, DIMENSION, "cosine"), ({}, DIMENSION, "cosine"), (IDENTITY, 64, "cosine")],
)
def test_an_index_of_something_else_is_refused(
    folder: Path, identity: dict[str, str], dimension: int, metric: str
) -> None:
    with pytest.raises(IndexCorrupt, match="has another"):
        VectorIndex.open(folder, identity, dimension, "cosine", SETTINGS)
    with pytest.raises(IndexCorrupt, match="metric"):
        VectorIndex.open(folder, IDENTITY, DIMENSION, "l2", SETTINGS)


def test_a_manifest_of_another_kind_of_index_is_refused(folder: Path) -> None:
    index_files.store_manifest(folder, {"watermark": 3}, {})
    with pytest.raises(IndexCorrupt, match="layout"):
        reopen(folder, DIMENSION)


def test_a_save_that_is_killed_leaves_the_former_state(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = answers(folder)
    index = opened(folder, DIMENSION, settings=SETTINGS)
    index.apply(9_999, [memory_id(i) for i in range(2_000)], batch([], DIMENSION))
    with monkeypatch.context() as patched:
        patched.setattr("kiromi.index.vectors.files.store_manifest", _fail)
        with pytest.raises(StorageError, match="No space"):
            index.save()
    assert answers(folder) == right
    assert index.save()
    assert len(opened(folder, DIMENSION, settings=SETTINGS)) == len(index)
    assert len(list(folder.glob("overlay-*"))) == 1


def test_an_index_that_was_replaced_or_removed_meanwhile_is_not_saved_over(folder: Path) -> None:
    index = opened(folder, DIMENSION, settings=SETTINGS)
    index.apply(4_000, [memory_id(1)], batch([], DIMENSION))
    build(folder, as_passages(VECTORS[:10], 2), DIMENSION, watermark=77).save()
    assert not index.save()
    assert opened(folder, DIMENSION).watermark == 77
    (folder / "manifest.json").write_bytes(b"torn")
    assert not index.save()
    shutil.rmtree(folder)
    assert not index.save()
    assert not folder.exists()
    assert index.search(VECTORS[0], 1, scope_of(index, [(1, "user=u000")], None))[0].id == memory_id(0)


def test_a_build_sweeps_up_after_those_that_were_killed(folder: Path) -> None:
    (folder / "slab-0123456789abcdef.d").mkdir()
    (folder / "slab-0123456789abcdef.d" / "matrix.f32").write_bytes(b"half")
    (folder / "other").mkdir()
    index = build(folder, as_passages(VECTORS[:10], 2), DIMENSION)
    assert len(answers(folder)[-1]) == 3_198  # not published yet
    index.save()
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {"other", index.generation}


def test_a_full_disk_is_an_error_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = as_passages(VECTORS[:2_000], 2)
    monkeypatch.setattr("os.posix_fallocate", _fail)
    with pytest.raises(StorageError, match="No space"):
        build(tmp_path, rows, DIMENSION)
    monkeypatch.undo()
    # hnswlib writes without looking whether that succeeds.
    monkeypatch.setattr("kiromi.index.vectors.graph.sum_file", lambda path: index_files.FileSum(3, ()))
    with pytest.raises(StorageError, match="not written as a whole"):
        build(tmp_path, rows, DIMENSION, settings=SETTINGS, with_graph=True)
    assert list(tmp_path.iterdir()) == []


def test_where_space_cannot_be_reserved_the_file_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.posix_fallocate")
    assert build(tmp_path, as_passages(VECTORS[:10], 2), DIMENSION).save()
    np.testing.assert_allclose(np.linalg.norm(opened(tmp_path, DIMENSION).vectors_of(memory_id(3))), 1, rtol=1e-6)


def _fail(*_: object) -> None:
    raise OSError(28, "No space left on device")
