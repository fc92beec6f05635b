"""Exact search equals brute force: over random histories, scopes and k, through saves, reopenings and rebuilds."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kiromi.embed.base import Metric
from kiromi.index.items import Place
from kiromi.index.vectors import VectorIndex
from tests.index.vectors.model import (
    Model,
    Passage,
    as_passages,
    batch,
    build,
    clustered,
    memory_id,
    opened,
    scope_of,
)

DIMENSION = 3
PLACES: list[Place] = [(1, "user=a"), (1, "user=a/topic=x"), (1, "user=ä"), (2, "user=a"), (2, "user=b")]
numbers = st.integers(0, 11)
places = st.sampled_from(PLACES)
# Few whole numbers: many vectors are equal, parallel or zero.
vectors = st.tuples(*[st.integers(-2, 2).map(float)] * DIMENSION)
few_ids = st.none() | st.sets(numbers.map(memory_id))
few_places = st.none() | st.sets(places)


@st.composite
def memories(draw: st.DrawFn) -> list[Passage]:
    key, n, place = memory_id(draw(numbers)), draw(st.integers(1, 3)), draw(places)
    return [Passage(key, n, 7 * i, place, draw(vectors)) for i in range(draw(st.integers(1, 3)))]


changes = st.lists(memories(), max_size=6).map(
    lambda drawn: [one for passages in {group[0].id: group for group in drawn}.values() for one in passages]
)


class Histories(RuleBasedStateMachine):
    """An index and its model, changed together."""

    index: VectorIndex
    model: Model

    def __init__(self) -> None:
        super().__init__()
        self.scratch = tempfile.TemporaryDirectory()
        self.folder = Path(self.scratch.name) / "vectors"
        self.seq = 0

    def teardown(self) -> None:
        self.scratch.cleanup()

    @initialize(metric=st.sampled_from(["cosine", "dot", "l2"]), passages=changes)
    def start(self, metric: Metric, passages: list[Passage]) -> None:
        self.model = Model(DIMENSION, metric)
        self.model.put(passages)
        self.index = build(self.folder, passages, DIMENSION, metric, watermark=self.seq)
        assert self.index.save()

    @rule(gone=st.lists(numbers.map(memory_id), max_size=3), fresh=changes, moved=st.dictionaries(numbers, places))
    def change(self, gone: list[str], fresh: list[Passage], moved: dict[int, Place]) -> None:
        self.seq += 1
        moves = [(memory_id(number), place) for number, place in moved.items()]
        for _ in range(1 + self.seq % 2):  # to absorb a change twice is to absorb it once
            self.index.apply(self.seq, gone, batch(fresh, DIMENSION), moves)
        for key in gone:
            self.model.memories.pop(key, None)
        for key, place in moves:
            self.model.move(key, place)
        self.model.put(fresh)

    @rule()
    def save(self) -> None:
        assert self.index.save()
        assert self.index.save()

    @rule()
    def reopen(self) -> None:
        assert self.index.save()
        self.index.close()
        self.index = opened(self.folder, DIMENSION, self.model.metric)

    @rule()
    def rebuild(self) -> None:
        former = self.index
        self.index = build(self.folder, self.model.passages(), DIMENSION, self.model.metric, watermark=self.seq)
        assert self.index.save()
        assert former.generation != self.index.generation
        assert not former.save()

    @rule(query=vectors, k=st.integers(1, 40), places=few_places, ids=few_ids)
    def search(self, query: tuple[float, ...], k: int, places: set[Place] | None, ids: set[str] | None) -> None:
        scope = scope_of(self.index, places, ids)
        hits = self.index.search(np.array(query, np.float32), k, scope)
        self.model.check(hits, query, k, places, ids)
        more = self.index.search(np.array(query, np.float32), k + 5, scope)
        assert more[: len(hits)] == hits
        assert self.index.size(scope) == len(self.model.in_scope(places, ids))

    @rule(number=numbers)
    def look_up(self, number: int) -> None:
        passages = self.model.memories.get(memory_id(number), [])
        assert self.index.view.number_of(memory_id(number)) == (passages[0].n if passages else None)
        found = self.index.vectors_of(memory_id(number))
        assert found.shape == (len(passages), DIMENSION)
        given = batch(passages, DIMENSION).vectors
        if self.model.metric == "cosine":
            lengths = np.linalg.norm(given, axis=1, keepdims=True)
            given = np.divide(given, lengths, out=np.zeros_like(given), where=lengths > 0)
        np.testing.assert_allclose(np.sort(found, axis=0), np.sort(given, axis=0), rtol=1e-6)

    @precondition(lambda self: hasattr(self, "index"))
    @invariant()
    def knows_what_it_holds(self) -> None:
        assert len(self.index) == len(self.model.passages())
        assert self.index.watermark == self.seq
        assert {one.place for one in self.model.passages()} <= set(self.index.places())


TestHistories = Histories.TestCase
TestHistories.settings = settings(stateful_step_count=15)


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_thousands_of_passages_in_every_kind_of_scope(metric: Metric, tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    rows = clustered(4_000, 24, seed=1) * random.uniform(0.5, 3, (4_000, 1)).astype(np.float32)
    model = Model(24, metric)
    model.put(as_passages(rows[:2_500], 40))
    index = build(tmp_path, model.passages(), 24, metric)
    fresh, gone = as_passages(rows[2_400:], 50, first=2_400), [memory_id(i) for i in range(0, 2_500, 9)]
    moves = [(memory_id(i), (1, f"user=u{i % 37:03d}")) for i in range(1, 2_300, 5)]
    index.apply(1, gone, batch(fresh, 24), moves)
    for key in gone:
        model.memories.pop(key)
    for key, place in moves:
        model.move(key, place)
    model.put(fresh)
    everywhere = sorted({one.place for one in model.passages()})
    keys = sorted(model.memories)
    for count in (None, 1, 3, 25, 45):
        for share in (None, 0.0, 0.002, 0.05, 0.5, 0.99):
            places = None if count is None else random.permutation(len(everywhere))[:count]
            chosen = None if places is None else [everywhere[i] for i in places]
            ids = None if share is None else [key for key in keys if random.random() < share]
            query, k = rows[random.integers(len(rows))], int(random.choice([1, 10, 100, 5_000]))
            hits = index.search(query, k, scope_of(index, chosen, ids))
            model.check(hits, tuple(query.tolist()), k, chosen, ids)


def test_equal_vectors_come_in_the_order_of_ids_wherever_they_lie() -> None:
    vector = tuple(clustered(1, 48)[0].tolist())
    rows = [Passage(memory_id(i * 7 % 300), 1, 0, (1, f"p={i % 9}"), vector) for i in range(300)]
    index = build(None, rows[:171], 48)
    index.apply(1, (), batch(rows[171:], 48))
    for k in (1, 10, 99, 300):
        hits = index.search(np.array(vector, np.float32), k)
        assert [hit.id for hit in hits] == [memory_id(i) for i in range(k)]
        assert len({hit.score for hit in hits}) == 1


def test_many_small_places_are_searched_as_one() -> None:
    rows = as_passages(clustered(2_000, 16), 2_000)
    model = Model(16, "cosine")
    model.put(rows)
    index = build(None, rows, 16)
    chosen = [one.place for one in rows[::2]]
    for k in (1, 10, 3_000):
        model.check(index.search(np.array(rows[0].vector), k, scope_of(index, chosen, None)), rows[0].vector, k, chosen)


def test_strays_are_found_in_the_place_they_moved_to_and_nowhere_else() -> None:
    rows = as_passages(clustered(60, 8), 3)
    index = build(None, rows, 8)
    index.apply(1, (), batch([], 8), [(memory_id(4), (5, "new")), (memory_id(5), (1, "user=u000"))])
    query = np.array(rows[4].vector)
    for places, ids, found in (
        ([(5, "new")], None, [4]),
        ([(5, "new")], [5, 4], [4]),
        ([(5, "new")], [], []),
        ([(1, "user=u001")], [4, 7], [7]),
        ([(1, "user=u000"), (1, "user=u002")], [5], [5]),
    ):
        scope = scope_of(index, places, None if ids is None else map(memory_id, ids))
        assert [hit.id for hit in index.search(query, 3, scope)] == list(map(memory_id, found))
        assert index.size(scope) == len(found)


def test_the_background_is_a_low_score_of_the_scope() -> None:
    rows = as_passages(clustered(3_000, 16), 3)
    index = build(None, rows[:2_500], 16)
    index.apply(1, (), batch(rows[2_500:], 16))
    query = rows[0].vector
    for places, ids in (
        (None, None),
        ([rows[1].place], None),
        (None, {one.id for one in rows[1_000:2_900]}),
        ([rows[1].place], {one.id for one in rows[1_000:2_900]}),
    ):
        scope = scope_of(index, places, ids)
        scores = [hit.score for hit in index.search(query, 9_999, scope)]
        background = index.view.background(query, scope)
        assert background is not None
        assert np.quantile(scores, 0.001) <= background <= np.quantile(scores, 0.25)
    assert index.view.background(query, scope_of(index, [], None)) is None
    assert index.view.background(query, scope_of(index, None, [])) is None
    assert build(None, [], 16).view.background(query) is None


def test_a_place_that_a_view_does_not_know_yet_is_ignored() -> None:
    rows = as_passages(clustered(20, 8), 4)
    index = build(None, rows[:10], 8)
    view = index.view
    index.apply(1, (), batch([Passage(memory_id(99), 1, 0, (3, "new"), rows[0].vector)], 8))
    scope = scope_of(index, [(3, "new"), (1, "user=u000")], None)
    assert [hit.id for hit in index.search(rows[0].vector, 1, scope)] == [memory_id(0)]
    assert len(index.search(rows[0].vector, 9, scope)) == 4
    assert len(view.search(rows[0].vector, 9, scope)) == 3
    assert view.places() == index.places()[:4]
    assert index.places(4) == [(3, "new")]
    assert view.place_count == 4
