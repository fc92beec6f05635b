"""A search sees every acknowledged write and nothing that is gone: in any thread, in any process, meanwhile (P10)."""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest

import kiromi
from tests.operations.conftest import SCHEME
from tests.operations.finding import ANA, BOB, check_exact, texts
from tests.protocol.processes import python

MODES: tuple[Literal["text", "vector", "hybrid"], ...] = ("text", "vector", "hybrid")


@pytest.fixture
def quick(root: Path) -> Iterator[kiromi.Store]:
    with kiromi.open(root, scheme=SCHEME, embedder="hash:16", durability="relaxed") as opened:
        yield opened


def seen(store: kiromi.Store, query: str = "zebra") -> list[set[str]]:
    return [set(texts(store.search(query, mode=mode, k=1_000))) for mode in MODES]


def test_each_write_is_seen_by_the_next_search(quick: kiromi.Store) -> None:
    assert seen(quick) == [set()] * 3
    one = quick.append("zebra one", ANA)
    assert seen(quick) == [{"zebra one"}] * 3
    quick.update(one.id, content="zebra two")
    assert seen(quick) == [{"zebra two"}] * 3
    quick.update(one.id, tags=["tagged"])
    assert texts(quick.search("tagged", mode="text")) == ["zebra two"]
    quick.update(one.id, tags=[])
    assert quick.search("tagged", mode="text") == []
    quick.delete(one.id)
    assert seen(quick) == [set()] * 3
    quick.undelete(one.id)
    assert seen(quick) == [{"zebra two"}] * 3
    quick.put("zebra three", BOB, key="k")
    quick.put("zebra four", BOB, key="k")
    assert seen(quick) == [{"zebra two", "zebra four"}] * 3
    quick.append_many([{"content": f"zebra {i}", "partition": ANA} for i in range(300)])
    assert [len(found) for found in seen(quick)] == [302] * 3
    quick.delete_where(within=ANA, dry_run=False)
    assert seen(quick) == [{"zebra four"}] * 3


def test_a_transaction_is_seen_as_one(quick: kiromi.Store) -> None:
    one = quick.append("zebra one", ANA)
    with quick.transaction() as tx:
        two = tx.append("first words", ANA)
        tx.update(two.id, content="zebra two")
        three = tx.append("zebra three", ANA)
        tx.delete(three.id)
        tx.update(one.id, content="zebra 1b")
        tx.update(one.id, content="zebra 1c")
        tx.delete(one.id)
        tx.undelete(one.id)
    assert seen(quick) == [{"zebra two", "zebra 1c"}] * 3
    assert quick.search("first", mode="text") == []
    assert [(model.vectors, model.pending) for model in quick.models()] == [(2, 0)]
    check_exact(quick, 16, words=["zebra", "1b"])


def test_a_write_that_was_refused_within_a_transaction_leaves_nothing(quick: kiromi.Store) -> None:
    with quick.transaction() as tx:
        tx.append("zebra kept", ANA)
        with pytest.raises(kiromi.EmbedderMismatch, match="3 dimensions"):
            tx.append("zebra refused", ANA, vector=[1, 2, 3])
    assert seen(quick) == [{"zebra kept"}] * 3
    assert quick.count() == 1


def test_a_content_made_and_dropped_within_a_transaction_leaves_no_vectors(quick: kiromi.Store) -> None:
    one = quick.append("zebra one", ANA)
    with quick.transaction() as tx:
        tx.update(one.id, content="words that are dropped")
        tx.delete(one.id)
    quick.undelete(one.id)
    quick.update(one.id, content="zebra two")
    assert [(model.vectors, model.pending) for model in quick.models()] == [(1, 0)]
    check_exact(quick, 16, words=["zebra", "words"])


def test_what_expires_is_gone_at_that_moment(quick: kiromi.Store) -> None:
    soon = datetime.now(UTC) + timedelta(milliseconds=300)
    quick.append("zebra late", ANA, expires_at=soon)
    quick.append("zebra stays", ANA, expires_at=soon + timedelta(days=1))
    early = seen(quick)
    if datetime.now(UTC) < soon:
        assert early == [{"zebra late", "zebra stays"}] * 3
    threading.Event().wait(max(0.0, (soon - datetime.now(UTC)).total_seconds()) + 0.001)
    assert seen(quick) == [{"zebra stays"}] * 3
    assert len(quick.search("zebra", k=1)) == 1


def test_superseded_from_a_moment_on(quick: kiromi.Store) -> None:
    old, new = quick.append("zebra old", ANA), quick.append("zebra new", ANA)
    quick.supersede(old.id, new.id, datetime.now(UTC) + timedelta(days=1))
    assert seen(quick) == [{"zebra old", "zebra new"}] * 3
    quick.supersede(old.id, new.id, datetime.now(UTC) - timedelta(days=1))
    assert seen(quick) == [{"zebra new"}] * 3
    assert len(quick.search("zebra", include_superseded=True)) == 2
    quick.unsupersede(old.id)
    assert seen(quick) == [{"zebra old", "zebra new"}] * 3


def test_another_thread_sees_it(quick: kiromi.Store) -> None:
    with ThreadPoolExecutor(1) as other:
        for i in range(20):
            m = quick.append(f"zebra {i}", ANA)
            assert [f"zebra {i}" in found for found in other.submit(seen, quick).result()] == [True] * 3
            quick.delete(m.id)
            assert other.submit(seen, quick).result() == [set()] * 3


def test_another_process_sees_it(quick: kiromi.Store, root: Path) -> None:
    code = """
        store = kiromi.open(root, wait=60)
        while (word := hear()):
            verb, _, rest = word.partition(" ")
            if verb == "add":
                store.append(rest, {"user": "ana"})
            elif verb == "delete":
                store.delete(rest)
            hits = store.search("zebra", mode=verb) if verb in ("text", "vector") else []
            say("; ".join(sorted(hit.text for hit in hits)))
    """
    with python(code, root) as other:

        def theirs(word: str) -> str:
            other.say(word)
            return other.hear()

        first = quick.append("zebra one", ANA)
        assert [theirs(mode) for mode in ("text", "vector")] == ["zebra one"] * 2
        for i in range(3):
            theirs(f"add zebra theirs {i}")
            assert [len(found) for found in seen(quick)] == [2 + 2 * i] * 3
            quick.append(f"zebra ours {i}", ANA)
            assert [theirs(mode).count("zebra") for mode in ("vector", "text")] == [3 + 2 * i] * 2
        theirs(f"delete {first.id}")
        assert ["zebra one" in found for found in seen(quick)] == [False] * 3
        quick.undelete(first.id)
        assert ["zebra one" in theirs(mode) for mode in ("text", "vector")] == [True, True]
        check_exact(quick, 16, words=["zebra", "ours"])
        other.end()
    check_exact(quick, 16, words=["theirs"])


def test_nothing_is_forgotten_when_the_tail_is_built_in(quick: kiromi.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that finds the tail too long builds the index anew, from tables that lack the last commits."""
    from kiromi.index.vectors import index

    for name, value in (("_TAIL_ROWS", 5), ("_TAIL_SHARE", 10_000), ("_CHANGED_SHARE", 10_000)):
        monkeypatch.setattr(index, name, value)
    ids: list[str] = []
    for i in range(60):
        if i % 6 == 0:
            assert quick.list().items is not None, "it reads the tables, so all of the journal goes there"
        ids.append(quick.append(f"zebra {i}", {"user": f"u{i % 3}"}).id)
        if i % 5 == 4:
            quick.delete(ids.pop(0))
        if i % 7 == 6:
            quick.update(ids[0], content=f"zebra again {i}")
        if i % 2:
            assert sorted(hit.id for hit in quick.search("zebra", mode="vector", k=100)) == sorted(ids)
    check_exact(quick, 16)


# -- while others write ------------------------------------------------------------------------------------------------


class Churn:
    """Threads that write and others that search.

    Each writer owns its memories and says what it did before and after it (``leaving``, ``there``, ``gone``): so every
    search knows what it must find, and what it must not.
    """

    def __init__(self, store: kiromi.Store, seed: int, steps: int) -> None:
        self.store = store
        self.seed = seed
        self.steps = steps
        self.there: dict[str, str] = {}
        self.leaving: set[str] = set()
        self.gone: set[str] = set()
        self.failures: list[str] = []
        self.is_over = threading.Event()

    def run(self, searchers: int = 2, writers: int = 3) -> int:
        """Return how many searches were checked."""
        with ThreadPoolExecutor(searchers + writers) as threads:
            looking = [threads.submit(self.look, number) for number in range(searchers)]
            try:
                for future in [threads.submit(self.write, number) for number in range(writers)]:
                    future.result()
            finally:
                self.is_over.set()
            checked = sum(future.result() for future in looking)
        assert self.failures == []
        assert seen(self.store) == [set(self.there.values())] * 3
        return checked

    def write(self, number: int) -> None:
        rng = random.Random(self.seed * 100 + number)
        mine: list[str] = []
        for step in range(self.steps):
            text = f"zebra {number}.{step}"
            if not mine or rng.random() < 0.5:
                m = self.store.append(text, {"user": f"u{number}"}, attributes={"odd": step % 2})
                mine.append(m.id)
                self.there[m.id] = text
                continue
            memory_id = rng.choice(mine)
            self.there.pop(memory_id)
            if rng.random() < 0.5:
                self.store.update(memory_id, content=text, tags=["t"])
                self.there[memory_id] = text
            else:
                self.leaving.add(memory_id)
                self.store.delete(memory_id)
                self.gone.add(memory_id)
                mine.remove(memory_id)

    def look(self, number: int) -> int:
        rng = random.Random(self.seed * 100 + 50 + number)
        checked = 0
        while not self.is_over.is_set():
            before, absent = dict(self.there), set(self.gone)
            mode, where = rng.choice(MODES), rng.choice((None, {"odd": 0}))
            hits = {hit.id: hit.text for hit in self.store.search("zebra", k=10_000, mode=mode, where=where)}
            if shown := absent & hits.keys():
                self.failures.append(f"{mode}: deleted memories are shown: {shown}")
            # What was changed since is no failure.
            steady = {key for key, text in before.items() if self.there.get(key) == text} - self.leaving
            if where is None and (missing := steady - hits.keys()):
                self.failures.append(f"{mode}: acknowledged memories are missing: {missing}")
            checked += 1
        return checked


def test_nothing_is_missed_while_others_write(quick: kiromi.Store) -> None:
    assert Churn(quick, seed=1, steps=30).run() > 0
    check_exact(quick, 16, words=["zebra"])


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(8))
def test_nothing_is_missed_while_many_others_write(root: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from kiromi.index.vectors import index

    monkeypatch.setattr(index, "_TAIL_ROWS", 40)
    with kiromi.open(root, scheme=SCHEME, embedder="hash:16", durability="relaxed") as store:
        is_over = threading.Event()

        def rebuild() -> None:
            while not is_over.wait(0.05):
                store.reindex()

        thread = threading.Thread(target=rebuild)
        thread.start()
        try:
            assert Churn(store, seed, steps=300).run(searchers=3, writers=4) > 0
        finally:
            is_over.set()
            thread.join()
        check_exact(store, 16, words=["zebra"])


@pytest.mark.parametrize("mode", MODES)
def test_a_search_that_fails_forgets_nothing(
    quick: kiromi.Store, monkeypatch: pytest.MonkeyPatch, mode: Literal["text", "vector", "hybrid"]
) -> None:
    """What it was about to take into an index is taken in by the next."""
    from kiromi.index.text.index import TextIndex
    from kiromi.index.vectors import VectorIndex

    quick.append("zebra one", ANA)
    assert seen(quick) == [{"zebra one"}] * 3
    quick.append("zebra two", ANA)

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(TextIndex, "apply", interrupt)
        broken.setattr(VectorIndex, "apply", interrupt)
        with pytest.raises(KeyboardInterrupt):
            quick.search("zebra", mode=mode)
    assert seen(quick) == [{"zebra one", "zebra two"}] * 3
