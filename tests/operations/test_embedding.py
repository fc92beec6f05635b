"""Vectors go with their content: made before others wait, pending when the embedder fails, never of another model."""

import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import kiromi
from kiromi.embed.base import Embedder
from kiromi.embed.given import CallerVectors
from kiromi.embed.hashing import HashingEmbedder
from kiromi.errors import EmbedderWarning
from tests.operations.conftest import SCHEME
from tests.operations.finding import ANA, BOB, Gate, Watched, check_exact, fail, texts


@pytest.fixture
def embedder() -> Watched:
    return Watched()


@pytest.fixture
def watched(root: Path, embedder: Watched) -> Iterator[kiromi.Store]:
    with kiromi.open(root, scheme=SCHEME, embedder=embedder, durability="relaxed") as store:
        yield store


def counts(store: kiromi.Store) -> tuple[int, int]:
    """Return vectors and pending memories of the only model."""
    (model,) = store.models()
    return model.vectors, model.pending


# -- what is embedded, and when ----------------------------------------------------------------------------------------


def test_each_content_is_embedded_once(watched: kiromi.Store, embedder: Watched) -> None:
    m = watched.append("one", ANA)
    assert embedder.taken() == ["one"]
    watched.update(m.id, tags=["t"], attributes={"n": 1}, importance=0.5)
    watched.update(m.id, attributes={"user": "bob"})
    watched.update(m.id, content="one")
    watched.delete(m.id)
    watched.undelete(m.id)
    assert embedder.taken() == []
    watched.update(m.id, content="two")
    assert embedder.taken() == ["two"]
    check_exact(watched, 16)


def test_the_title_stands_in_front_of_what_is_embedded(watched: kiromi.Store, embedder: Watched) -> None:
    m = watched.append("one", ANA)
    embedder.taken()
    watched.update(m.id, title="A title")
    assert embedder.taken() == ["A title\n\none"]
    watched.update(m.id, title="A title", tags=["t"])
    assert embedder.taken() == []
    watched.update(m.id, title=None)
    assert embedder.taken() == ["one"]
    assert counts(watched) == (1, 0)
    check_exact(watched, 16)


def test_a_put_of_the_same_embeds_nothing(watched: kiromi.Store, embedder: Watched) -> None:
    first = watched.put("one", ANA, key="k", title="t")
    assert embedder.taken() == ["t\n\none"]
    assert watched.put("one", ANA, key="k", title="t").version == first.version
    watched.put("one", BOB, key="k", title="t", tags=["moved"])
    assert embedder.taken() == []
    watched.put("two", BOB, key="k", title="t")
    watched.put("two", BOB, key="k")
    assert embedder.taken() == ["t\n\ntwo", "two"]
    check_exact(watched, 16)


def test_an_import_embeds_what_changed(watched: kiromi.Store, embedder: Watched, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    for name in ("a", "b", "c"):
        (notes / f"{name}.md").write_text(f"---\nuser: ana\n---\nnote {name}")
    watched.import_from(notes, dry_run=True)
    assert embedder.taken() == []
    watched.import_from(notes)
    assert sorted(text[-6:] for text in embedder.taken()) == ["note a", "note b", "note c"]
    watched.import_from(notes)
    assert embedder.taken() == []
    (notes / "b.md").write_text("---\nuser: ana\n---\nnote changed")
    (notes / "d.md").write_text("---\nuser: bob\n---\nnote d")
    watched.import_from(notes, dry_run=True)
    watched.import_from(notes)
    assert sorted(text.partition("note")[2] for text in embedder.taken()) == [" changed", " d"]
    assert counts(watched) == (4, 0)
    check_exact(watched, 16)


def test_bytes_have_no_vectors(watched: kiromi.Store, embedder: Watched) -> None:
    m = watched.append(b"\xff\x00", ANA, title="A photograph")
    watched.update(m.id, title="Another")
    assert embedder.taken() == []
    assert counts(watched) == (0, 0)
    watched.update(m.id, content="now a text")
    assert embedder.taken() == ["Another\n\nnow a text"]
    watched.update(m.id, content=b"\xff\x01")
    watched.update(m.id, content=b"ASCII, but bytes")
    assert embedder.taken() == []
    assert counts(watched) == (0, 0)
    assert watched.search("anything", mode="vector") == []
    watched.update(m.id, media_type="text/plain")
    assert embedder.taken() == ["Another\n\nASCII, but bytes"]
    assert counts(watched) == (1, 0)


def test_many_texts_come_in_the_embedders_batches(watched: kiromi.Store, embedder: Watched) -> None:
    sizes: list[int] = []
    embedder.before = lambda texts, role: sizes.append(len(texts))
    watched.append_many([{"content": f"note {i}", "partition": ANA} for i in range(20)])
    assert sizes == [8, 8, 4]
    assert counts(watched) == (20, 0)
    check_exact(watched, 16)


Write = Callable[[kiromi.Store, str, Path], Any]
WRITES: dict[str, Write] = {
    "append": lambda store, _, notes: store.append("slow", ANA),
    "append_many": lambda store, _, notes: store.append_many([{"content": "slow", "partition": ANA}]),
    "put new": lambda store, _, notes: store.put("slow", ANA, key="new"),
    "put again": lambda store, _, notes: store.put("slow", ANA, key="k"),
    "put title": lambda store, _, notes: store.put("there", ANA, key="k", title="slow"),
    "put type": lambda store, _, notes: store.put("there", ANA, key="k", media_type="text/plain"),
    "update": lambda store, there, notes: store.update(there, content="slow"),
    "update title": lambda store, there, notes: store.update(there, title="slow"),
    "update type": lambda store, there, notes: store.update(there, media_type="text/plain"),
    "import": lambda store, _, notes: store.import_from(notes),
    "guarded": lambda store, _, notes: store.append("slow", ANA),
}


@pytest.mark.parametrize("name", WRITES)
def test_others_write_while_a_text_is_embedded(root: Path, embedder: Watched, tmp_path: Path, name: str) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.md").write_text("---\nuser: ana\n---\nslow")

    def guard(draft: kiromi.Draft) -> kiromi.Draft:
        return draft

    guards = (guard,) if name == "guarded" else ()
    with kiromi.open(root, scheme=SCHEME, embedder=embedder, durability="relaxed", guards=guards) as store:
        there = store.append("there", ANA, key="k")
        gate = embedder.before = Gate()
        slow = threading.Thread(target=WRITES[name], args=(store, there.id, notes))
        slow.start()
        try:
            assert gate.is_reached.wait(60)
            with store.scoped(BOB).transaction() as tx:  # the writer is free
                tx.append(b"\xff", BOB)
            store.delete(store.append(b"\xfe", ANA).id)
            assert len(store.search("there", mode="text")) == 1
        finally:
            gate.is_open.set()
            slow.join()
        assert store.search("there slow", mode="vector")
        assert counts(store)[1] == 0


# -- failing -----------------------------------------------------------------------------------------------------------


def test_what_cannot_be_embedded_is_stored_and_pending(root: Path, embedder: Watched, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.md").write_text("---\nuser: ana\n---\n zebra imported")
    with kiromi.open(root, scheme=SCHEME, embedder=embedder, durability="relaxed") as store:
        m = store.append("zebra first", ANA)
        embedder.before = fail
        with pytest.warns(EmbedderWarning, match="a memory is stored without vectors.*the server is away"):
            store.append("zebra appended", ANA)
        with pytest.warns(EmbedderWarning, match="3 memories"):
            report = store.append_many([{"content": f"zebra many {i}", "partition": ANA} for i in range(3)])
        assert report.appended == 3
        with pytest.warns(EmbedderWarning), store.transaction() as tx:
            tx.append("zebra composed", ANA)
        for write in (
            lambda: store.put("zebra put", ANA, key="k"),
            lambda: store.update(m.id, content="zebra updated"),
            lambda: store.import_from(notes),
        ):
            with pytest.warns(EmbedderWarning):
                write()
        store.append(b"\xff", ANA)  # nothing to embed: nothing to warn about
        expected = {f"zebra many {i}" for i in range(3)}
        expected |= {f"zebra {name}" for name in ("appended", "put", "updated", "composed")}
        expected.add((notes / "a.md").read_text())
        assert counts(store) == (0, 8)
        assert {*texts(store.search("zebra", mode="text"))} == expected
        with pytest.warns(EmbedderWarning, match="text only"):
            assert {*texts(store.search("zebra"))} == expected
        with pytest.raises(kiromi.EmbedderError):
            store.search("zebra", mode="vector")
        assert store.search(vector=[1.0] * 16, mode="vector") == []
    with kiromi.open(root, embedder=embedder) as store:
        embedder.before = None
        assert store.search(vector=[1.0] * 16, mode="vector") == []
        report_ = store.reindex()
        assert (report_.embedded, report_.pending, report_.passages, report_.documents) == (8, 0, 8, 9)
        assert {*texts(store.search("zebra", mode="vector"))} == expected
        assert counts(store) == (8, 0)
        embedder.taken()
        store.reindex()
        assert embedder.taken() == [], "nothing is made twice"
        check_exact_texts(store)


def check_exact_texts(store: kiromi.Store) -> None:
    for memory_id in store.list_ids(where={"media_type": {"$ne": "text/markdown"}}):
        store.delete(memory_id)
    check_exact(store, 16, words=["zebra"])


def test_an_embedder_that_fails_at_times_loses_and_doubles_nothing(root: Path, embedder: Watched) -> None:
    """Every third call fails, in reindex too, which goes on where it was."""
    calls = 0

    def at_times(texts: Any, role: Any) -> None:
        nonlocal calls
        calls += 1
        if calls % 3 == 0:
            raise TimeoutError

    with kiromi.open(root, scheme=SCHEME, embedder=embedder, durability="relaxed") as store:
        embedder.before = at_times
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", EmbedderWarning)
            for i in range(12):
                store.append(f"zebra {i}", ANA)
            for start in range(0, 30, 10):
                store.append_many([{"content": f"zebra {start} {i}", "partition": BOB} for i in range(10)])
            pending = counts(store)[1]
            assert 0 < pending < 42
            assert len(store.search("zebra", mode="text", k=50)) == 42
            for _ in range(20):
                store.reindex()
                if counts(store)[1] == 0:
                    break
        embedder.before = None
        assert counts(store) == (42, 0)
        check_exact(store, 16, words=["zebra"])


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda texts: np.zeros((len(texts), 3)), "shape"),
        (lambda texts: np.full((len(texts), 16), np.nan), "not finite"),
        (lambda texts: np.full((len(texts), 16), 1e30), "longer than 1e\\+18"),
        (lambda texts: [["a"] * 16] * len(texts), "numbers"),
        (lambda texts: None, "shape"),
    ],
    ids=["shape", "nan", "long", "text", "none"],
)
def test_a_wrong_answer_is_a_failure(
    watched: kiromi.Store, embedder: Watched, monkeypatch: pytest.MonkeyPatch, answer: Any, says: str
) -> None:
    watched.append("one", ANA)
    monkeypatch.setattr(Watched, "embed", lambda self, texts, role: answer(texts))
    with pytest.warns(EmbedderWarning, match=says):
        watched.append("two zebras", ANA)
    with pytest.raises(kiromi.EmbedderError, match=says):
        watched.search("zebras", mode="vector")
    monkeypatch.undo()
    assert texts(watched.search("zebras", mode="text")) == ["two zebras"]
    assert watched.reindex().embedded == 1
    check_exact(watched, 16)


def test_a_handle_without_the_embedder_stores_pending_memories(root: Path, embedder: Watched) -> None:
    with kiromi.open(root, scheme=SCHEME, embedder=embedder) as store:
        store.append("one zebra", ANA)
    with kiromi.open(root) as store:
        with pytest.warns(EmbedderWarning, match="watched-16"):
            store.append("two zebras", ANA)
        with pytest.warns(EmbedderWarning, match="watched-16"):
            assert len(store.search("zebra")) == 2
        with pytest.raises(kiromi.EmbedderError, match="watched-16"):
            store.search("zebra", mode="vector")
        with pytest.warns(EmbedderWarning, match="watched-16"):
            assert store.reindex().pending == 1
    with kiromi.open(root, embedder=embedder) as store:
        assert store.reindex().embedded == 1
        check_exact(store, 16)


def test_a_store_makes_the_embedder_again_where_it_can(root: Path) -> None:
    with kiromi.open(root, scheme=SCHEME, embedder="hash:16") as store:
        store.append("one zebra", ANA)
    with kiromi.open(root) as store:
        store.append("two zebras", ANA)
        assert len(store.search("zebra", mode="vector")) == 2
        assert counts(store) == (2, 0)
        check_exact(store, 16)


# -- models ------------------------------------------------------------------------------------------------------------


def test_the_first_embedder_becomes_the_stores_model(root: Path) -> None:
    with kiromi.open(root, scheme=SCHEME) as store:
        store.append("before there was a model", ANA)
        assert store.models() == []
    with kiromi.open(root, embedder="hash:16") as store:
        (model,) = store.models()
        assert (model.name, model.dimension, model.metric, model.is_active) == ("hash-1-16", 16, "cosine", True)
        assert (model.vectors, model.pending, model.is_caller) == (0, 1, False)
        assert store.reindex().embedded == 1
        check_exact(store, 16)


@pytest.mark.parametrize(
    "other",
    [
        HashingEmbedder(8),
        CallerVectors(16),
        Watched(16),
        Watched(16, name="hash-1", metric="dot"),
        Watched(16, name="hash-1", window=9),
    ],
    ids=["dimension", "caller", "name", "metric", "window"],
)
def test_another_embedder_is_refused(root: Path, other: Embedder) -> None:
    with kiromi.open(root, scheme=SCHEME, embedder="hash:16") as store:
        store.append("one", ANA)
    for read_only in (False, True):
        with pytest.raises(kiromi.EmbedderMismatch, match="hash-1-16"):
            kiromi.open(root, embedder=other, read_only=read_only)
    with kiromi.open(root) as store:
        assert len(store.models()) == 1
        check_exact(store, 16)


def test_an_embedder_of_the_same_kind_is_the_same_model(root: Path) -> None:
    with kiromi.open(root, scheme=SCHEME, embedder=Watched(16, name="hash-1")) as store:
        store.append("one", ANA)
    with kiromi.open(root, embedder="hash:16") as store:
        assert texts(store.search("one", mode="vector")) == ["one"]


@pytest.mark.parametrize("embedder", ["nope", "hash:0", "caller:x:y", 5, object()])
def test_what_is_no_embedder_is_refused(root: Path, embedder: Any) -> None:
    with pytest.raises(kiromi.InvalidInput):
        kiromi.open(root, scheme=SCHEME, embedder=embedder)


@pytest.mark.parametrize("via", ["append", "append_many", "put"])
def test_the_first_vector_decides_the_model(root: Path, via: str) -> None:
    with kiromi.open(root, scheme=SCHEME) as store:
        store.append("without", ANA)
        match via:
            case "append":
                store.append("with", ANA, vector=[1, 0])
            case "append_many":
                store.append_many([{"content": "no", "partition": ANA}, {"content": "with", "vector": [1, 0], **PART}])
            case _:
                store.put("with", ANA, key="k", vector=np.array([1, 0]))
        (model,) = store.models()
        assert (model.name, model.dimension, model.is_caller, model.pending) == ("caller", 2, True, 0)
        assert texts(store.search(vector=[1, 0])) == ["with"]
        with pytest.raises(kiromi.EmbedderMismatch, match="3 dimensions"):
            store.append("other", ANA, vector=[1, 2, 3])
        with pytest.raises(kiromi.EmbedderMismatch, match="3 dimensions"):
            store.append_many(
                [{"content": "good", "vector": [1, 2], **PART}, {"content": "bad", "vector": [1, 2, 3], **PART}]
            )
        with pytest.raises(kiromi.EmbedderMismatch, match="3 dimensions"):
            store.update(store.list_ids()[0], vector=[1, 2, 3])
        with pytest.raises(kiromi.EmbedderMismatch, match="3 dimensions"):
            store.search(vector=[1, 2, 3])
        assert {"good", "bad", "other"}.isdisjoint(texts(store.get_many(store.list_ids())))
    with kiromi.open(root) as store:
        assert texts(store.search(vector=[1, 0])) == ["with"]


PART = {"partition": ANA}


def test_vectors_come_as_an_arrow_column(root: Path) -> None:
    rng = np.random.default_rng(7)
    matrix = rng.standard_normal((2_500, 8), np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), 8)
    table = pa.table({"content": [f"note {i}" for i in range(2_500)], "user": ["ana"] * 2_500, "vector": column})
    table = table.append_column("partition", pa.array([{"user": "ana"}] * 2_500)).drop_columns(["user"])
    with kiromi.open(root, scheme=SCHEME, durability="relaxed") as store:
        store.append_many(table.slice(3), batch_size=700)
        store.append_many(table.slice(0, 3).to_reader())
        for i in (0, 3, 1_234, 2_499):
            (hit,) = store.search(vector=matrix[i], k=1)
            assert hit.text == f"note {i}"
            assert hit.score == pytest.approx(1)
        listed = table.slice(0, 2).set_column(1, "vector", pa.array([[0.0] * 7 + [9.0], None], pa.list_(pa.float64())))
        store.append_many(listed)
        assert store.count() == 2_502
        assert store.search(vector=[0.0] * 7 + [1.0], k=1)[0].text == "note 0"
        assert counts(store) == (2_501, 0)


@pytest.mark.parametrize("vector", ["1,2", [], [[1.0]], [1.0, float("nan")], [1e19, 0], {"a": 1}, 5, [True, False]])
def test_a_vector_is_a_list_of_finite_numbers(store: kiromi.Store, vector: Any) -> None:
    with pytest.raises(kiromi.InvalidInput, match="vector"):
        store.append("x", ANA, vector=vector)
    assert store.count() == 0
    assert store.models() == []


def test_a_new_vector_is_a_new_content(root: Path) -> None:
    with kiromi.open(root, scheme=SCHEME, embedder=CallerVectors(2)) as store:
        m = store.append("one", ANA, vector=[1, 0])
        assert store.update(m.id, vector=[1, 0]).version == 1, "the same changes nothing"
        assert store.update(m.id, vector=[0, 1]).version == 2
        assert store.search(vector=[0, 1])[0].score == 1
        assert store.update(m.id, content="two").version == 3
        assert store.search(vector=[0, 1]) == [], "its vector was that of another content"
        store.update(m.id, content="three", vector=[0.6, 0.8])
        assert store.search(vector=[0.6, 0.8])[0].score == pytest.approx(1)
        assert counts(store) == (1, 0)


def test_a_vector_of_the_callers_goes_before_the_embedder(watched: kiromi.Store, embedder: Watched) -> None:
    vector = [1.0] + [0.0] * 15
    m = watched.append("one", ANA, vector=vector)
    watched.update(m.id, content="two", vector=vector)
    watched.put("three", ANA, key="k", vector=vector)
    assert embedder.taken() == []
    assert [hit.score for hit in watched.search(vector=vector)] == [1, 1]
    assert watched.update(m.id, content="two", vector=vector).version == 2


def test_a_guard_that_changes_a_text_changes_its_vector(root: Path, embedder: Watched) -> None:
    def censor(draft: kiromi.Draft) -> kiromi.Draft:
        from dataclasses import replace

        return replace(draft, content=draft.content.replace(b"secret", b"[...]"))

    with kiromi.open(root, scheme=SCHEME, embedder=embedder, guards=[censor]) as store:
        m = store.append("a secret one", ANA)
        store.put("a secret put", ANA, key="k")
        store.append_many([{"content": "a secret many", **PART}])
        assert not [text for text in embedder.taken() if "secret" in text]
        store.update(m.id, content="a secret two")
        check_exact(store, 16)
