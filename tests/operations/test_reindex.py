"""Reindex: both indices anew from the truth, while others read and write."""

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kiromi
from kiromi.errors import EmbedderWarning
from tests.operations.conftest import SCHEME
from tests.operations.finding import ANA, BOB, Gate, Watched, check_exact, fail, ranked, texts


@pytest.fixture
def hashed(root: Path) -> Iterator[kiromi.Store]:
    with kiromi.open(root, scheme=SCHEME, embedder="hash:16", durability="relaxed") as store:
        store.append_many({"content": f"zebra {i}", "partition": ANA if i % 2 else BOB} for i in range(50))
        yield store


def test_it_says_what_it_did(hashed: kiromi.Store) -> None:
    hashed.append(b"\xff", ANA)
    progress: list[tuple[str, int, int]] = []
    report = hashed.reindex(on_progress=lambda *step: progress.append(step))
    assert (report.embedded, report.pending, report.passages, report.documents) == (0, 0, 50, 51)
    assert not report.has_graph
    assert report.seconds > 0
    assert {what for what, _, _ in progress} >= {"vectors", "text"}
    assert all(0 <= done <= total for _, done, total in progress)
    hashed.delete(hashed.list_ids(where={"media_type": "application/octet-stream"})[0])
    check_exact(hashed, 16, words=["zebra"])


def test_a_part_is_taken_anew(hashed: kiromi.Store) -> None:
    hashed.search("zebra")
    report = hashed.reindex(within=ANA)
    assert (report.passages, report.documents) == (50, 50)
    check_exact(hashed, 16, words=["zebra", "7"])
    assert hashed.reindex(within={"user": "nobody"}).passages == 50


def test_a_part_completes_what_is_pending(root: Path) -> None:
    embedder = Watched()
    with kiromi.open(root, scheme=SCHEME, embedder=embedder, durability="relaxed") as store:
        embedder.before = fail
        with pytest.warns(EmbedderWarning):
            store.append("zebra", ANA)
        with pytest.warns(EmbedderWarning, match="stay pending.*the server is away"):
            report = store.reindex(within=ANA)
        assert (report.embedded, report.pending) == (0, 1)
        embedder.before = None
        assert store.reindex(within=ANA).embedded == 1
        check_exact(store, 16)


def test_others_search_and_write_meanwhile(root: Path) -> None:
    embedder = Watched()
    with kiromi.open(root, scheme=SCHEME, embedder=embedder, durability="relaxed") as store:
        embedder.before = fail
        with pytest.warns(EmbedderWarning):
            store.append_many({"content": f"zebra {i}", "partition": ANA} for i in range(20))
        gate = embedder.before = Gate()
        working = threading.Thread(target=store.reindex)
        working.start()
        assert gate.is_reached.wait(60)
        assert len(store.search("zebra", mode="text", k=50)) == 20
        ids = store.list_ids()
        store.delete(ids[0])
        store.update(ids[1], attributes={"user": "bob"})
        gate.is_open.set()
        working.join()
        store.append("zebra later", ANA)
        assert [(m.vectors, m.pending) for m in store.models()] == [(20, 0)]
        check_exact(store, 16, words=["zebra", "later"])


def test_what_is_written_during_the_build_is_in_it(hashed: kiromi.Store) -> None:
    ids = hashed.list_ids()
    written: list[str] = []

    def write(what: str, done: int, total: int) -> None:
        """Each step of the build meets a write that it has not seen, or only half."""
        number = len(written)
        written.append(hashed.append(f"zebra during {number}", ANA).id)
        hashed.update(ids[number], content=f"zebra changed {number}")
        hashed.update(ids[-number - 1], attributes={"user": "cleo"})
        hashed.delete(ids[20 + number])

    hashed.reindex(on_progress=write)
    assert written
    check_exact(hashed, 16, words=["zebra", "during", "changed"])
    assert len(hashed.search("zebra", mode="vector", within={"user": "cleo"})) == len(written)


def test_settings_stay_with_the_store(hashed: kiromi.Store, root: Path) -> None:
    hashed.append("Ich sah die Häuser am Meer.", ANA)
    hashed.reindex(language="de", hnsw_m=8, hnsw_ef=50, hnsw_ef_construction=40)
    assert texts(hashed.search("Haus", mode="text")) == ["Ich sah die Häuser am Meer."]
    hashed.close()
    with kiromi.open(root) as store:
        assert texts(store.search("Haus", mode="text")) == ["Ich sah die Häuser am Meer."]
        store.append("Viele Häuser", ANA)
        assert len(store.search("Haus", mode="text")) == 2
        store.reindex(language="und")
        assert store.search("Haus", mode="text") == []
        assert [entry.op for entry in store.audit()].count("settings") == 2
        check_exact(store, 16)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"hnsw_m": 1}, "m=1"),
        ({"hnsw_m": "16"}, "m='16'"),
        ({"hnsw_m": True}, "m=True"),
        ({"hnsw_ef": 0}, "ef=0"),
        ({"hnsw_ef_construction": 1}, "ef_construction=1"),
        ({"language": "xx"}, "language='xx'"),
        ({"language": 5}, "language=5"),
        ({"within": {"nope": 1}}, "'nope'"),
        ({"within": ANA, "hnsw_m": 8}, "hnsw_m.*within="),
    ],
)
def test_what_is_refused_changes_nothing(hashed: kiromi.Store, settings: Any, says: str) -> None:
    seq = hashed.seq
    with pytest.raises(kiromi.InvalidInput, match=says):
        hashed.reindex(**settings)
    assert hashed.seq == seq
    check_exact(hashed, 16)


def test_it_is_refused_within_a_transaction(hashed: kiromi.Store) -> None:
    with hashed.transaction(), pytest.raises(kiromi.InvalidInput, match="transaction"):
        hashed.reindex()


def test_an_interrupted_one_is_made_again(hashed: kiromi.Store, root: Path) -> None:
    for stop in range(6):
        steps = 0

        def interrupt(what: str, done: int, total: int, stop: int = stop) -> None:
            nonlocal steps
            steps += 1
            if steps > stop:
                raise KeyboardInterrupt

        try:
            hashed.reindex(on_progress=interrupt)
        except KeyboardInterrupt:
            check_exact(hashed, 16, words=["zebra"])
            hashed.append(f"zebra after {stop}", ANA)
            check_exact(hashed, 16, words=["zebra", "after"])
    assert hashed.reindex().passages == hashed.count()
    hashed.close()
    assert len(list((root / "default" / "index" / "vectors-1").glob("slab-*"))) == 1, "nothing is left behind"
    assert list((root / "default" / "index" / "scratch").iterdir()) == []
    with kiromi.open(root) as store:
        check_exact(store, 16, words=["zebra", "after"])


def clustered(count: int, dimension: int, seed: int) -> np.ndarray:
    """Return vectors in clusters, as embeddings are."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((60, dimension))
    rows = centres[rng.integers(0, len(centres), count)] + 0.5 * rng.standard_normal((count, dimension))
    return np.asarray(rows, np.float32)


@pytest.mark.torture
def test_a_graph_is_built_above_a_size_and_recall_stays(root: Path) -> None:
    matrix = clustered(21_000, 24, 3)
    with kiromi.open(root, scheme=SCHEME, durability="relaxed") as store:
        store.append_many(
            {"content": str(i), "attributes": {"user": f"u{i % 7}", "n": i}, "vector": row}
            for i, row in enumerate(matrix)
        )
        assert store.reindex(hnsw_ef=100).has_graph
        rng = random.Random(5)
        dead = set(rng.sample(range(21_000), 300))
        by_number = {int(m.text): m.id for m in store.get_many(store.list_ids())}
        for number in dead:
            store.delete(by_number[number])
        vectors = {by_number[i]: matrix[i] for i in range(21_000) if i not in dead}
        for share in (1.0, 0.9, 0.5, 0.1, 0.01, 0.001):
            below = int(21_000 * share)
            kept = {by_number[i]: matrix[i] for i in range(below) if i not in dead}
            where = None if share == 1 else {"n": {"$lt": below}}
            recalled = 0.0
            for query in clustered(20, 24, 3):
                hits = store.search(vector=query, k=10, where=where)
                best = {key for key, _ in ranked("cosine", kept, query, 10)}
                assert len(hits) == min(10, len(kept))
                assert {hit.id for hit in hits} <= vectors.keys()
                recalled += len(best & {hit.id for hit in hits}) / len(best)
            assert recalled / 20 >= 0.95, f"keeping {share}"
    with kiromi.open(root) as store:
        assert store.search(vector=matrix[5], k=1)
