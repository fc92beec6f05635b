"""The graph: used when it is cheaper, finds nearly all with and without filters, never beyond the scope."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from kiromi.embed.base import Metric
from kiromi.errors import IndexCorrupt, InvalidInput
from kiromi.index.items import Matrix, PassageHit
from kiromi.index.vectors import BuildStopped, GraphSettings
from kiromi.index.vectors.graph import build_graph, find_copies
from kiromi.index.vectors.measures import Query
from tests.index.vectors.model import (
    as_passages,
    batch,
    build,
    clustered,
    memory_id,
    opened,
    scope_of,
)

DIMENSION = 256
SETTINGS = GraphSettings(ef_construction=100, ef=48, threshold=1_000)
SMALL = GraphSettings(m=8, ef_construction=50, ef=10, threshold=100)
QUERIES = 40


def recall(found: Sequence[PassageHit], vectors: Matrix, query: Matrix, allowed: Sequence[int], k: int = 10) -> float:
    """Return the share of the ``k`` best allowed rows that was found; all found have to be allowed."""
    rows = np.array(allowed)
    assert {hit.id for hit in found} <= {memory_id(row) for row in allowed}
    assert len(found) == min(k, len(allowed))
    best = rows[np.argsort(-(vectors[rows] @ query))[:k]]
    return len({memory_id(row) for row in best} & {hit.id for hit in found}) / len(best)


@pytest.fixture(scope="module")
def vectors() -> Matrix:
    found = clustered(6_000 + QUERIES, DIMENSION, seed=3)
    unit: Matrix = found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit


@pytest.fixture(scope="module")
def folder(vectors: Matrix, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph")
    index = build(path, as_passages(vectors[:5_500], 50), DIMENSION, settings=SETTINGS, with_graph=True)
    assert index.save()
    return path


@pytest.mark.parametrize("share", [None, 0.9, 0.5, 0.1, 0.01, 0.001])
@pytest.mark.parametrize("kind", ["ids", "places"])
def test_recall_with_filters(share: float | None, kind: str, vectors: Matrix, folder: Path) -> None:
    random = np.random.default_rng(9)
    index = opened(folder, DIMENSION, settings=SETTINGS)
    gone = set(range(0, 5_500, 11))
    moved = range(1, 400)
    fresh = as_passages(vectors[5_500:6_000], 50, first=5_500)
    index.apply(1, map(memory_id, gone), batch(fresh, DIMENSION), [(memory_id(i), (1, "user=u007")) for i in moved])
    place_of = {
        row: f"user=u{7 if row in moved else (row if row < 5_500 else row - 5_500) % 50:03d}" for row in range(6_000)
    }
    recalls = []
    for query in vectors[6_000:]:
        rows = [row for row in range(6_000) if row not in gone]
        ids = places = None
        if share is not None and kind == "ids":
            rows = [row for row in rows if random.random() < share]
            ids = [memory_id(row) for row in rows]
        elif share is not None:
            chosen = {f"user=u{number:03d}" for number in random.permutation(50)[: max(1, round(share * 50))]}
            rows = [row for row in rows if place_of[row] in chosen]
            places = [(1, path) for path in chosen]
        if rows:
            recalls.append(recall(index.search(query, 10, scope_of(index, places, ids)), vectors, query, rows))
    assert np.mean(recalls) >= 0.95
    assert index.has_graph


def test_searches_of_everything_go_by_the_graph(vectors: Matrix, folder: Path, tmp_path: Path) -> None:
    index = build(tmp_path, as_passages(vectors[:5_500], 50), DIMENSION, settings=SETTINGS, with_graph=True)
    index.save()
    next(tmp_path.glob("slab-*/graph-*")).write_bytes(b"")
    with pytest.raises(IndexCorrupt, match="cut"):
        opened(tmp_path, DIMENSION, settings=SETTINGS)
    path = next(folder.glob("slab-*/graph-*"))
    data = path.read_bytes()
    index = opened(folder, DIMENSION, settings=SETTINGS)
    try:
        path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        with pytest.raises(IndexCorrupt, match="graph-"):
            index.search(vectors[0], 10)
    finally:
        path.write_bytes(data)
    assert index.search(vectors[0], 10)[0].id == memory_id(0)


def test_all_are_found_when_all_are_asked_for(vectors: Matrix, folder: Path) -> None:
    index = opened(folder, DIMENSION, settings=SETTINGS)
    hits = index.search(vectors[0], 10_000)
    assert {hit.id for hit in hits} == {memory_id(i) for i in range(5_500)}
    assert hits[0].score == pytest.approx(1)


def test_scores_are_those_of_an_exact_search(vectors: Matrix, folder: Path) -> None:
    index = opened(folder, DIMENSION, settings=SETTINGS)
    hits = index.search(vectors[3], 20)
    rows = vectors[[int(hit.id[-6:]) for hit in hits]].astype(np.float64)
    np.testing.assert_allclose([hit.score for hit in hits], rows @ vectors[3], atol=1e-6)
    exact = {hit.id: hit.score for hit in index.search(vectors[3], 5_500)}
    assert [hit.score for hit in hits] == [exact[hit.id] for hit in hits]


def test_a_far_away_scope_falls_back_to_an_exact_search(vectors: Matrix, folder: Path) -> None:
    index = opened(folder, DIMENSION, settings=SETTINGS)
    query = vectors[0]
    farthest = np.argsort(vectors[:5_500] @ query)[:4_000].tolist()
    scope = scope_of(index, None, [memory_id(row) for row in farthest])
    assert recall(index.search(query, 10, scope), vectors, query, farthest) == 1


@pytest.mark.parametrize("metric", ["dot", "l2"])
def test_other_metrics(metric: Metric, vectors: Matrix) -> None:
    random = np.random.default_rng(2)
    rows = vectors[:3_000] * random.uniform(0.7, 1.4, (3_000, 1)).astype(np.float32)
    index = build(None, as_passages(rows, 5), DIMENSION, metric, SETTINGS, with_graph=True)
    assert index.has_graph
    found = []
    for query in vectors[6_000:]:
        scores = rows @ query if metric == "dot" else -np.linalg.norm(rows - query, axis=1)
        hits = index.search(query, 10)
        np.testing.assert_allclose([hit.score for hit in hits], [scores[int(hit.id[-6:])] for hit in hits], atol=1e-5)
        found.append(np.isin(np.argsort(-scores)[:10], [int(hit.id[-6:]) for hit in hits]).mean())
    assert np.mean(found) >= 0.95


def test_copies_do_not_cut_the_graph_apart(vectors: Matrix) -> None:
    random = np.random.default_rng(4)
    rows = vectors[:4_000].copy()
    copied = random.random(4_000) < 0.6
    rows[copied] = vectors[random.integers(20, size=copied.sum())]
    index = build(None, as_passages(rows, 5), DIMENSION, settings=SETTINGS, with_graph=True)
    found = []
    for query in vectors[5_900:6_000]:
        scores = rows @ query
        hits = index.search(query, 10)
        found.append(np.mean([hit.score >= np.sort(scores)[-10] - 1e-6 for hit in hits]))
    assert np.mean(found) >= 0.95
    hits = index.search(rows[np.flatnonzero(copied)[0]], 5)
    assert [hit.id for hit in hits] == sorted(hit.id for hit in hits)


def test_rows_that_are_all_equal() -> None:
    rows = np.ones((2_500, DIMENSION), np.float32)
    index = build(None, as_passages(rows, 3), DIMENSION, settings=SETTINGS, with_graph=True)
    assert index.has_graph
    assert [hit.id for hit in index.search(rows[0], 5)] == [memory_id(i) for i in range(5)]


def test_copies_are_equal_rows() -> None:
    rows = np.array([[1, 2], [3, 4], [1, 2], [5, 6], [3, 4], [1, 2]], np.float32)
    copies = find_copies(rows)
    assert sorted(zip(copies.originals.tolist(), copies.rows.tolist(), strict=True)) == [(0, 2), (0, 5), (1, 4)]
    assert find_copies(rows[:0]).rows.tolist() == []
    found, at = copies.expand(np.array([3, 1, 0]))
    assert list(zip(found.tolist(), at.tolist(), strict=True)) == [(3, 0), (1, 1), (0, 2), (4, 1), (2, 2), (5, 2)]


def test_a_graph_that_cannot_reach_enough_says_so() -> None:
    rows = clustered(50, 8)
    graph = build_graph(rows, "dot", SMALL, lambda done, count: None)
    query = Query.of(rows[0], 8, "dot", 1.0)
    assert graph.search(query, 51) is None
    hits = graph.search(query, 3)
    assert hits is not None
    assert len(hits.rows) == 3


def test_a_graph_is_added_and_replaced(tmp_path: Path) -> None:
    rows = clustered(300, 8)
    index = build(tmp_path, as_passages(rows, 3), 8, settings=SMALL)
    assert index.lacks_graph
    assert index.save()
    seen: list[tuple[str, int, int]] = []
    index.add_graph(on_progress=lambda *step: seen.append(step))
    assert seen == [("graph", 300, 300)]
    assert index.has_graph
    assert not opened(tmp_path, 8, settings=SMALL).has_graph
    assert index.save()
    other = GraphSettings(m=4, ef_construction=50, ef=10, threshold=100)
    assert opened(tmp_path, 8, settings=other).lacks_graph
    assert not opened(tmp_path, 8, settings=GraphSettings(m=8, ef_construction=50, ef=99, threshold=100)).lacks_graph
    index = opened(tmp_path, 8, settings=other)
    index.add_graph()
    assert not index.lacks_graph
    assert index.save()
    assert len(list(tmp_path.glob("slab-*/graph-*"))) == 1
    assert len(list(tmp_path.glob("slab-*/copies-*"))) == 1
    assert not opened(tmp_path, 8, settings=other).lacks_graph


def test_few_rows_get_no_graph() -> None:
    index = build(None, as_passages(clustered(99, 8), 3), 8, settings=SMALL, with_graph=True)
    assert not index.has_graph
    assert not index.lacks_graph


def test_a_graph_whose_file_went_with_its_build_is_done_without(vectors: Matrix, tmp_path: Path) -> None:
    rows = as_passages(vectors[:2_500], 4)
    index = build(tmp_path, rows, DIMENSION, settings=SETTINGS, with_graph=True)
    index.save()
    former = opened(tmp_path, DIMENSION, settings=SETTINGS)
    build(tmp_path, rows, DIMENSION, settings=SETTINGS).save()
    seen = [former.has_graph]
    assert former.search(vectors[0], 10) == index.search(vectors[0], 10)
    seen += [former.has_graph, former.lacks_graph]
    assert seen == [True, False, True]


def test_building_stops_when_asked(tmp_path: Path) -> None:
    rows = as_passages(clustered(1_500, 8), 3)
    first = build(tmp_path, rows[:10], 8, settings=SMALL)
    first.save()
    before = sorted(tmp_path.rglob("*"))
    for steps in range(4):  # two chunks of vectors, two of the graph
        asked = iter([False] * steps + [True])
        with pytest.raises(BuildStopped):
            build(tmp_path, rows, 8, settings=SMALL, with_graph=True, should_stop=asked.__next__)
        assert sorted(tmp_path.rglob("*")) == before
    assert len(opened(tmp_path, 8, settings=SMALL)) == 10


@pytest.mark.parametrize("name", ["m", "ef_construction", "ef", "threshold"])
@pytest.mark.parametrize("value", [0, -1, 1 << 40, 2.5, True, "16", None])
def test_settings_are_checked(name: str, value: object) -> None:
    with pytest.raises(InvalidInput, match=f"{name}={value!r}.*whole number from"):
        GraphSettings(**{name: value})  # type: ignore[arg-type]
