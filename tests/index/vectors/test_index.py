"""Building, changing and keeping an index: what is refused, what is saved, and what readers see meanwhile."""

import threading
from pathlib import Path

import numpy as np
import pytest

from kiromi.errors import IndexCorrupt, InvalidInput
from kiromi.index.vectors import GraphSettings, PassageKeys, VectorIndex
from tests.index.vectors.model import (
    IDENTITY,
    NO_GRAPH,
    Passage,
    as_passages,
    batch,
    build,
    clustered,
    keys_of,
    memory_id,
    opened,
    reopen,
    scope_of,
)

ROWS = clustered(400, 8)
PASSAGES = as_passages(ROWS, 5)


def test_nothing_is_found_in_nothing(tmp_path: Path) -> None:
    assert reopen(tmp_path / "none", 8) is None
    assert VectorIndex.open(None, IDENTITY, 8, "cosine", NO_GRAPH) is None
    for folder in (tmp_path, None):
        index = build(folder, [], 8)
        assert index.search(np.ones(8), 3) == []
        assert index.search(np.ones(8), 3, scope_of(index, [(1, "x")], [memory_id(1)])) == []
        assert index.save()
        assert len(index) == index.size() == index.watermark == 0
        assert index.vectors_of(memory_id(1)).shape == (0, 8)
    index = opened(tmp_path, 8)
    index.apply(4, [memory_id(3)], batch(PASSAGES[:2], 8), [(memory_id(9), (1, "y"))])
    assert [hit.id for hit in index.search(ROWS[1], 1)] == [memory_id(1)]
    assert index.save()
    assert len(opened(tmp_path, 8)) == 2


def test_an_index_in_memory_is_never_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = GraphSettings(ef_construction=20, threshold=100)
    index = build(None, PASSAGES, 8, settings=settings, with_graph=True)
    index.apply(1, [memory_id(0)], batch([], 8))
    assert index.save()
    assert index.has_graph
    assert list(tmp_path.iterdir()) == []
    assert len(index.search(ROWS[0], 1_000)) == 399


def test_a_hit_says_which_passage_was_found() -> None:
    long = [Passage(memory_id(7), 3, begin, (1, "a"), tuple(ROWS[begin].tolist())) for begin in (0, 9, 20)]
    index = build(None, [*long, *PASSAGES[300:]], 8)
    (hit,) = index.search(ROWS[9] * 5, 1)
    assert (hit.id, hit.n, hit.begin, hit.end) == (memory_id(7), 3, 9, 19)
    assert hit.score == pytest.approx(1)
    assert len(index.vectors_of(memory_id(7))) == 3


@pytest.mark.parametrize("vector", [[1.0] * 7, [[1.0] * 8], [np.nan] * 8, [np.inf] * 8, [1e300] * 8, [3e18] * 8])
def test_queries_are_checked(vector: list[float]) -> None:
    with pytest.raises(InvalidInput, match="not accepted"):
        build(None, PASSAGES, 8).search(vector, 1)


@pytest.mark.parametrize("k", [0, -3])
def test_k_is_checked(k: int) -> None:
    with pytest.raises(InvalidInput, match=f"k={k}"):
        build(None, PASSAGES, 8).search(ROWS[0], k)


def test_a_vector_that_is_refused_changes_nothing() -> None:
    index = build(None, PASSAGES, 8)
    view = index.view
    for bad in ([1.0] * 7, [np.nan] * 8):
        with pytest.raises(InvalidInput, match="not accepted"):
            index.apply(1, [memory_id(1)], batch([Passage(memory_id(2), 1, 0, (1, "a"), tuple(bad))], len(bad)))
    assert index.view is view


def test_lengths_matter_only_where_they_should() -> None:
    rows = [
        Passage(memory_id(i), 1, 0, (1, "a"), tuple((ROWS[0] * scale).tolist()))
        for i, scale in enumerate((1e-30, 1, 1e15))
    ]
    index = build(None, rows, 8)
    assert [hit.score for hit in index.search(ROWS[0], 3)] == pytest.approx([1, 1, 1])
    zero = build(None, [*rows, Passage(memory_id(3), 1, 0, (1, "a"), (0.0,) * 8)], 8)
    assert [hit.score for hit in zero.search(ROWS[0], 4)] == pytest.approx([1, 1, 1, 0])
    assert [hit.score for hit in zero.search(np.zeros(8), 4)] == [0, 0, 0, 0]


def test_keys_and_vectors_have_to_belong_together() -> None:
    keys, vectors = keys_of(PASSAGES), ROWS
    positions = np.arange(len(ROWS))

    def built_from(chunks: list[tuple[object, object]], keys: PassageKeys = keys) -> VectorIndex:
        return VectorIndex.build(None, IDENTITY, 8, "cosine", NO_GRAPH, keys, chunks, 0, with_graph=False)  # type: ignore[arg-type]

    assert len(built_from([(positions, vectors)])) == 400
    for chunks in (
        [],
        [(positions[1:], vectors[1:])],
        [(positions, vectors), (positions[:1], vectors[:1])],
        [(positions[1:], vectors[1:]), (positions[1:2], vectors[1:2])],
        [(positions + 1, vectors)],
        [(positions - 1, vectors)],
        [(positions[1:], vectors)],
    ):
        with pytest.raises(IndexCorrupt, match="vectors came for"):
            built_from(chunks)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="shape"):
        built_from([(positions, vectors[:, 1:])])
    places = keys.places
    for bad in (
        PassageKeys(keys.ids, keys.numbers[1:], keys.begins, keys.ends, keys.codes, places),
        PassageKeys(keys.ids, keys.numbers, keys.begins, keys.ends, keys.codes, places[1:]),
        PassageKeys(keys.ids, keys.numbers, keys.begins, keys.ends, keys.codes - 1, places),
    ):
        with pytest.raises(InvalidInput, match="keys are not accepted"):
            built_from([(positions, vectors)], bad)
    twice = [PASSAGES[0], Passage(PASSAGES[0].id, 1, 10, (1, "elsewhere"), PASSAGES[0].vector)]
    with pytest.raises(InvalidInput, match=f"memory {PASSAGES[0].id} are in two places"):
        build(None, twice, 8)


def test_only_what_came_since_the_last_save_is_written(tmp_path: Path) -> None:
    index = build(tmp_path, PASSAGES[:10], 8)
    index.save()
    matrix = next(tmp_path.glob("*/matrix.f32"))
    touched = matrix.stat().st_mtime_ns
    sizes = []
    for start in range(10, 390, 10):
        index.apply(start, [memory_id(start - 5)], batch(PASSAGES[start : start + 10], 8))
        assert index.save()
        tails = sorted(tmp_path.glob("tail-*"))
        sizes.append(len(tails))
        if start % 70 == 0:
            index.close()
            index = opened(tmp_path, 8)
        assert len(index) == start + 10 - start // 10
    # One file for each save, and now and then all in one.
    assert max(sizes) == 16
    assert sizes[15:18] == [16, 1, 2]
    assert matrix.stat().st_mtime_ns == touched
    assert {hit.id for hit in index.search(ROWS[0], 999)} == {
        memory_id(i) for i in range(390) if not (i % 10 == 5 and i < 380)
    }


def test_a_closed_index_is_not_used_but_its_views_are(tmp_path: Path) -> None:
    index = build(tmp_path, PASSAGES, 8)
    index.save()
    view = index.view
    index.close()
    with pytest.raises(ValueError, match="closed"):
        index.search(ROWS[0], 1)
    assert view.search(ROWS[0], 1)[0].id == memory_id(0)


def test_a_rebuild_is_due_when_much_has_changed() -> None:
    rows = np.zeros((9_000, 2), np.float32)
    big = build(None, as_passages(rows, 3), 2)
    assert big.tail_limit == 8_192
    due = [big.needs_rebuild]
    big.apply(1, [memory_id(i) for i in range(8_192)], batch([], 2))
    due.append(big.needs_rebuild)
    big.apply(2, (), batch([], 2), [(memory_id(8_500), (9, "x"))])
    due.append(big.needs_rebuild)
    small = build(None, [], 2)
    small.apply(1, (), batch(as_passages(rows[:8_192], 3), 2))
    due.append(small.needs_rebuild)
    small.apply(2, (), batch(as_passages(rows[:1], 3), 2))
    due.append(small.needs_rebuild)
    assert due == [False, False, True, False, True]


def test_searches_during_changes_see_each_state_whole() -> None:
    index = build(None, PASSAGES[:40], 8)
    done = threading.Event()
    problems: list[str] = []

    def read() -> None:
        while not done.is_set():
            view = index.view
            hits = view.search(ROWS[3], 1_000)
            ids = sorted({hit.id for hit in hits})
            numbers = {hit.n for hit in hits}
            passages = len(hits) // 40
            if ids != [memory_id(i) for i in range(40)] or len(numbers) != 1 or len(hits) != 40 * passages:
                problems.append(f"{len(ids)} memories, contents {numbers}, {len(hits)} hits")
            if view.watermark and numbers != {view.watermark}:
                problems.append(f"contents {numbers} at {view.watermark}")

    index.apply(1, (), batch([Passage(p.id, 1, 0, p.place, p.vector) for p in PASSAGES[:40]], 8))
    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for n in range(2, 120):
        rows = [Passage(p.id, n, i, (1, f"n={n}"), p.vector) for p in PASSAGES[:40] for i in range(1 + n % 2)]
        index.apply(n, (), batch(rows, 8))
    done.set()
    for reader in readers:
        reader.join()
    assert problems == []


def test_a_graph_is_loaded_once_and_searched_by_many(tmp_path: Path) -> None:
    rows = clustered(2_500, 256, seed=6)
    settings = GraphSettings(ef_construction=40, ef=20, threshold=1_000)
    build(tmp_path, as_passages(rows, 4), 256, settings=settings, with_graph=True).save()
    index = opened(tmp_path, 256, settings=settings)
    start = threading.Barrier(4)
    best: list[str] = []

    def read(offset: int) -> None:
        start.wait()
        best.extend(index.search(rows[offset + 4 * i], 5)[0].id for i in range(50))

    readers = [threading.Thread(target=read, args=(offset,)) for offset in range(4)]
    for reader in readers:
        reader.start()
    for n in range(50):
        index.apply(n + 1, [memory_id(2_000 + n)], batch([], 256))
    for reader in readers:
        reader.join()
    assert sorted(best) == [memory_id(i) for i in range(200)]
