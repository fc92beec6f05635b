"""Re-embedding: the old model is searched and written until the new one is whole, then the new one, once."""

import random
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

import kiromi
from kiromi.embed.base import Role
from kiromi.embed.given import CallerVectors
from kiromi.errors import EmbedderWarning
from tests.operations.conftest import SCHEME
from tests.operations.finding import ANA, BOB, Gate, Watched, check_exact, fail, texts

MODES: tuple[Literal["vector", "hybrid", "auto"], ...] = ("vector", "hybrid", "auto")


@pytest.fixture
def old(root: Path) -> Iterator[kiromi.Store]:
    with kiromi.open(root, scheme=SCHEME, embedder="hash:16", durability="relaxed") as store:
        store.append_many({"content": f"zebra {i}", "partition": ANA if i % 2 else BOB} for i in range(40))
        yield store


def active(store: kiromi.Store) -> str:
    return next(model.name for model in store.models() if model.is_active)


def test_all_vectors_are_those_of_the_new_model(old: kiromi.Store) -> None:
    progress: list[tuple[str, int, int]] = []
    report = old.reembed("hash:8", on_progress=lambda *step: progress.append(step))
    assert (report.embedded, report.model.name, report.model.pending, report.model.vectors) == (40, "hash-1-8", 0, 40)
    assert [(m.name, m.is_active, m.vectors) for m in old.models()] == [
        ("hash-1-16", False, 40),
        ("hash-1-8", True, 40),
    ]
    assert ("vectors", 40, 40) in progress
    check_exact(old, 8, words=["zebra"])
    old.append("zebra after", ANA)
    check_exact(old, 8, words=["zebra", "after"])
    again = old.reembed("hash:8")
    assert (again.embedded, again.model.number) == (0, report.model.number)
    assert [entry.op for entry in old.audit()].count("model") == 2


def test_it_outlives_closing(old: kiromi.Store, root: Path) -> None:
    old.reembed("hash:8")
    old.close()
    with kiromi.open(root) as store:
        check_exact(store, 8)
        store.append("zebra after", ANA)
        check_exact(store, 8)
    with pytest.raises(kiromi.EmbedderMismatch, match="hash-1-8"):
        kiromi.open(root, embedder="hash:16")
    with kiromi.open(root, embedder="hash:8") as store:
        check_exact(store, 8)


def test_search_and_writes_go_on_meanwhile(old: kiromi.Store) -> None:
    ids = old.list_ids()
    gate = Gate()
    new = Watched(8, before=gate)
    working = threading.Thread(target=old.reembed, args=(new,))
    working.start()
    try:
        assert gate.is_reached.wait(60)
        assert active(old) == "hash-1-16"
        check_exact(old, 16, words=["zebra"])
        old.append("zebra meanwhile", ANA)
        old.update(ids[0], content="zebra changed")
        old.update(ids[1], title="A title")
        old.delete(ids[2])
        old.delete(ids[3])
        check_exact(old, 16, words=["zebra", "meanwhile"])
    finally:
        gate.is_open.set()
        working.join()
    old.undelete(ids[3])
    assert active(old) == "watched-8"
    if any(model.pending for model in old.models() if model.is_active):
        assert old.reindex().embedded == 1, "it was deleted throughout"
    check_exact(old, 8, words=["zebra", "meanwhile"])
    assert next(model for model in old.models() if model.is_active).vectors == 40


def test_searches_fall_on_the_one_model_or_the_other(old: kiromi.Store, root: Path) -> None:
    """Vectors of one model are never compared with those of another, also at the moment of the switch."""
    is_over = threading.Event()
    failures: list[Any] = []
    count = 0

    def look() -> None:
        nonlocal count
        while not is_over.is_set():
            try:
                hits = watching.search("zebra 7", mode=MODES[count % 3], k=40)
                if len(hits) != 40 or hits[0].text != "zebra 7":
                    failures.append(texts(hits)[:3])
                if len(watching.related(hits[0].id, k=40)) != 39:
                    failures.append("related")
            except kiromi.KiromiError as error:
                failures.append(error)
            count += 1

    watching = kiromi.open(root, durability="relaxed")  # without an embedder: it follows the store's model
    thread = threading.Thread(target=look)
    thread.start()
    try:
        for name in ("hash:64", "hash:32", "hash:48", "hash:64"):
            old.reembed(name)
    finally:
        is_over.set()
        thread.join()
        watching.close()
    assert failures == []
    assert count > 0


def test_writes_meanwhile_get_into_the_new_model(old: kiromi.Store) -> None:
    new = Watched(8)
    done: list[str] = []

    def write(batch: Sequence[str], role: Role) -> None:
        if role == "document" and len(done) < 300:
            done.extend(old.append(f"zebra meanwhile {len(done) + i}", ANA).id for i in range(9))

    # Written from within the embedder: more comes with every batch, until it ends.
    new.before = write
    report = old.reembed(new)
    assert report.model.pending == 0
    assert report.model.vectors == 40 + len(done)
    check_exact(old, 8, words=["zebra", "meanwhile"])


def test_a_failing_embedder_is_resumed(old: kiromi.Store) -> None:
    old.append_many({"content": f"many {i}", "partition": ANA} for i in range(600))
    new = Watched(8, batch_size=64)
    calls = 0

    def break_down(batch: Sequence[str], role: Role) -> None:
        nonlocal calls
        calls += 1
        if calls % 6 == 0:
            raise ConnectionError("the server is away")

    new.before = break_down
    for _ in range(10):
        try:
            old.reembed(new)
            break
        except kiromi.EmbedderError:
            assert active(old) == "hash-1-16"
            check_exact(old, 16)
    assert active(old) == "watched-8"
    assert len(new.texts) < 640 + 10 * 256, "what was made was not made again"
    check_exact(old, 8, words=["zebra", "many"])
    assert [entry.op for entry in old.audit()].count("model") == 2


def begin(store: kiromi.Store, embedder: Watched) -> None:
    """Leave a call that was begun and not ended."""
    calls = iter((False, True))
    embedder.before = lambda batch, role: fail(batch, role) if next(calls) else None
    with pytest.raises(kiromi.EmbedderError):
        store.reembed(embedder)
    embedder.before = None


def test_an_embedder_that_is_not_there_begins_nothing(old: kiromi.Store) -> None:
    with pytest.raises(kiromi.EmbedderError, match="the server is away"):
        old.reembed(Watched(8, before=fail))
    assert len(old.models()) == 1
    assert old.reembed("hash:8").embedded == 40


def test_two_calls_at_a_time_switch_once(old: kiromi.Store) -> None:
    gate = Gate()
    slow = threading.Thread(target=old.reembed, args=(Watched(8, before=gate),))
    slow.start()
    assert gate.is_reached.wait(60)
    old.reembed(Watched(8))
    gate.is_open.set()
    slow.join()
    assert [entry.op for entry in old.audit()].count("model") == 2
    assert {m.name: m.vectors for m in old.models()} == {"hash-1-16": 40, "watched-8": 40}
    check_exact(old, 8)


def test_a_call_that_another_abandons_is_told(old: kiromi.Store) -> None:
    told: list[BaseException] = []

    class Second(Gate):
        def __call__(self, batch: Sequence[str], role: Role) -> None:
            if batch != ["Is it there?"]:
                super().__call__(batch, role)

    gate = Second()

    def work() -> None:
        try:
            old.reembed(Watched(8, before=gate))
        except kiromi.MigrationConflict as error:
            told.append(error)

    slow = threading.Thread(target=work)
    slow.start()
    assert gate.is_reached.wait(60)
    old.reembed("hash:4", abandon=True)
    gate.is_open.set()
    slow.join()
    assert [str(error) for error in told] == ["re-embedding with 'watched-8' was abandoned by another call"]
    assert active(old) == "hash-1-4"
    check_exact(old, 4)


def test_another_embedder_has_to_wait_or_the_first_is_abandoned(old: kiromi.Store) -> None:
    begin(old, Watched(8))
    with pytest.raises(kiromi.MigrationConflict, match="watched-8"):
        old.reembed("hash:4")
    with pytest.raises(kiromi.MigrationConflict, match="watched-8"):
        old.reembed("hash:16")
    assert active(old) == "hash-1-16"
    report = old.reembed("hash:4", abandon=True)
    assert (report.embedded, active(old)) == (40, "hash-1-4")
    check_exact(old, 4)
    assert {m.name: m.vectors for m in old.models()} == {"hash-1-16": 40, "watched-8": 0, "hash-1-4": 40}
    begin(old, Watched(8))
    old.reembed("hash:4", abandon=True)
    check_exact(old, 4)
    assert old.reembed("hash:16").embedded == 40


def test_other_handles_of_the_process_go_with_it(old: kiromi.Store, root: Path) -> None:
    relaxed: Any = {"durability": "relaxed"}
    with kiromi.open(root, embedder="hash:16", **relaxed) as other, kiromi.open(root, **relaxed) as plain:
        scoped = other.scoped(ANA)
        old.reembed(Watched(8))
        for handle in (other, scoped, plain):
            m = handle.append("zebra after", ANA)
            handle.update(m.id, content="zebra again")
            assert handle.search("zebra again", mode="vector", k=1)[0].text == "zebra again"
        check_exact(plain, 8, words=["zebra", "again"])


def test_handles_with_the_former_embedder_go_on_with_the_new_one(old: kiromi.Store, root: Path) -> None:
    relaxed: Any = {"durability": "relaxed"}
    with kiromi.open(root, embedder="hash:16", **relaxed) as other, kiromi.open(root, **relaxed) as plain:
        scoped = other.scoped({"user": "ana"})
        m = other.append("zebra of the other", ANA)
        old.reembed("hash:8")
        other.append("zebra after", ANA)
        other.put("zebra by key", ANA, key="k")
        scoped.update(m.id, content="zebra of the scope")
        plain.append("zebra plain", ANA)
        for store in (other, scoped, plain):
            assert store.search("zebra", mode="vector")
        assert [model.pending for model in old.models() if model.is_active] == [0]
        check_exact(old, 8)
        check_exact(plain, 8)
    old.close()
    with pytest.raises(kiromi.EmbedderMismatch, match=r"hash-1-8.*not of 'hash-1-16'"):
        kiromi.open(root, embedder="hash:16", **relaxed)


def test_contents_that_cannot_be_read_stay_pending(old: kiromi.Store, root: Path) -> None:
    """However many they are, it ends."""
    old.append_many({"content": f"lost {i}", "partition": {"user": "lost"}} for i in range(300))
    for path in (root / "default" / "data" / "user=lost").rglob("*.md"):
        path.unlink()
    report = old.reembed("hash:8")
    assert (report.embedded, report.model.pending) == (40, 300)
    assert len(old.search("zebra 7", mode="vector", within=ANA, k=50)) == 20


def test_embedders_that_cannot_be_asked_are_refused(old: kiromi.Store) -> None:
    for embedder, says in (
        (CallerVectors(4), "makes vectors"),
        ("caller:4", "makes vectors"),
        (None, "None"),
        ("nope", "'nope'"),
        (5, "5"),
    ):
        with pytest.raises(kiromi.InvalidInput, match=says):
            old.reembed(embedder)  # type: ignore[arg-type]
    with old.transaction(), pytest.raises(kiromi.InvalidInput, match="transaction"):
        old.reembed("hash:8")
    assert len(old.models()) == 1


def test_the_callers_vectors_can_be_replaced_by_a_model(root: Path) -> None:
    with kiromi.open(root, scheme=SCHEME, embedder=CallerVectors(2)) as store:
        store.append("zebra one", ANA, vector=[1, 0])
        store.append("zebra two", ANA)
        store.append(b"\xff", ANA)
        assert store.reembed("hash:16").embedded == 2
        assert len(store.search("zebra", mode="vector")) == 2


def test_a_store_without_a_model_gets_one(store: kiromi.Store) -> None:
    store.append("zebra one", ANA)
    report = store.reembed("hash:16")
    assert (report.embedded, report.model.is_active) == (1, True)
    check_exact(store, 16)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(6))
def test_writers_in_many_threads_meanwhile(old: kiromi.Store, seed: int, root: Path) -> None:
    is_over = threading.Event()

    def write(number: int) -> None:
        rng = random.Random(seed * 10 + number)
        mine: list[str] = []
        with kiromi.open(root, durability="relaxed") as store:
            while not is_over.is_set():
                if not mine or rng.random() < 0.6:
                    mine.append(store.append(f"zebra w{number} {rng.random()}", ANA).id)
                elif rng.random() < 0.5:
                    store.update(rng.choice(mine), content=f"zebra again {rng.random()}")
                else:
                    store.delete(mine.pop(rng.randrange(len(mine))))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        for dimension in (8, 12, 24, 16):
            report = old.reembed(f"hash:{dimension}")
            assert report.model.is_active
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert [model.pending for model in old.models() if model.is_active] == [0]
    check_exact(old, 16, words=["zebra"])


def test_a_model_that_is_gone_leaves_memories_pending(old: kiromi.Store, root: Path) -> None:
    old.reembed(Watched(8))
    old.close()
    with kiromi.open(root) as store:
        with pytest.warns(EmbedderWarning, match="watched-8"):
            store.append("zebra new", ANA)
        assert len(store.search(vector=[1.0] * 8, k=50)) == 40
        store.reembed("hash:16")
        check_exact(store, 16, words=["new"])
