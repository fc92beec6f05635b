"""at: a view answers as the store did at that moment, whatever was written since (P11)."""

import inspect
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings

import kiromi
from kiromi.embed.hashing import HashingEmbedder
from kiromi.errors import IndexCorrupt
from kiromi.index.text.index import TextIndex
from kiromi.operations import caller as caller_module
from kiromi.operations.asof import resolve
from kiromi.operations.past_indices import forget_past, indices_for
from kiromi.session import commit as commit_module
from tests.operations.conftest import SCHEME
from tests.operations.finding import Watched
from tests.operations.remembering import IDS, OTHER, answers, evolve, hits, live_on, lives, move

ANA = {"user": "ana"}
BOB = {"user": "bob"}


@pytest.fixture
def minded(tmp_path: Path) -> Iterator[kiromi.Store]:
    """A store with a model."""
    with kiromi.open(tmp_path / "minded", scheme=SCHEME, embedder=HashingEmbedder(16)) as opened:
        yield opened


def texts(found: list[Any]) -> list[str]:
    return [hit.text for hit in found]


def check_answers(life: list[tuple[Any, ...]]) -> None:
    with TemporaryDirectory() as root, kiromi.open(Path(root) / "s", scheme=SCHEME, durability="relaxed") as store:
        ana = store.scoped(ANA)
        remembered: dict[int, Any] = {}
        for step in life:
            live_on(store, step)
            if store.seq not in remembered:
                remembered[store.seq] = (answers(store), answers(ana))
        for seq, (of_all, of_ana) in remembered.items():
            assert answers(store.at(seq)) == of_all, seq
            assert answers(ana.at(seq)) == of_ana, seq


def check_hits(life: list[tuple[Any, ...]]) -> None:
    with (
        TemporaryDirectory() as root,
        kiromi.open(Path(root) / "s", scheme=SCHEME, durability="relaxed", embedder=HashingEmbedder(16)) as store,
    ):
        ana = store.scoped(ANA)
        remembered: dict[int, Any] = {}
        for step in life:
            live_on(store, step)
            if store.seq not in remembered:
                remembered[store.seq] = (hits(store), hits(ana))
        for seq, (of_all, of_ana) in remembered.items():
            assert hits(store.at(seq)) == of_all, seq
            assert hits(ana.at(seq)) == of_ana, seq


@settings(max_examples=6)
@given(life=lives(8))
def test_a_view_answers_as_the_store_did(life: list[tuple[Any, ...]]) -> None:
    check_answers(life)


@settings(max_examples=4)
@given(life=lives(6))
def test_a_view_finds_what_the_store_found(life: list[tuple[Any, ...]]) -> None:
    check_hits(life)


@pytest.mark.torture
@settings(max_examples=60)
@given(life=lives(30))
def test_views_of_long_lives(life: list[tuple[Any, ...]]) -> None:
    check_answers(life)
    check_hits(life)


def test_every_way_to_name_a_moment(store: kiromi.Store) -> None:
    one = store.append("one", ANA)
    taken = store.snapshot("first")
    store.append("two", ANA)
    for ref in (taken, taken.id, "first", 1, "seq:1", one.created_at, taken.created_at):
        view = store.at(ref)
        assert (view.seq, view.count()) == ((2, 1) if ref == taken.created_at else (1, 1)), ref
    assert store.at("live").count() == 2
    assert store.at(0).count() == 0
    assert store.at(1).at == one.created_at
    assert store.at(taken).at == taken.created_at
    assert store.at(taken.created_at.astimezone(tz=None)).seq == 2
    assert repr(store.at(1)) == f"<kiromi.StoreView seq=1 at={one.created_at.isoformat()}>"


def test_a_view_takes_what_the_store_takes() -> None:
    calls = {name: call for name, call in inspect.getmembers(kiromi.StoreView, inspect.isfunction) if name[0] != "_"}
    differing = {name for name, call in calls.items() if call is not getattr(kiromi.Store, name)}
    assert differing == {"search"}  # a store's also takes a moment
    own, given = (inspect.signature(cls.search) for cls in (kiromi.StoreView, kiromi.Store))
    assert [*own.parameters.values()] == [one for one in given.parameters.values() if one.name != "at"]
    assert own.return_annotation == given.return_annotation


def test_a_view_of_now_stays_as_it_is(store: kiromi.Store) -> None:
    store.append("one", ANA)
    view = store.at("live")
    store.append("two", ANA)
    assert (view.seq, view.count()) == (1, 1)


def test_moments_that_are_not_there(store: kiromi.Store) -> None:
    store.append("one", ANA)
    begun = store.at(0).at
    for ref in (2, -1, 10**30, "seq:99", "nothing", "seq:" + "9" * 40, IDS[0], begun - timedelta(microseconds=1)):
        with pytest.raises(kiromi.SnapshotNotFound):
            store.at(ref)
    taken = store.snapshot("gone")
    store.delete_snapshot("gone")
    with pytest.raises(kiromi.SnapshotNotFound):
        store.at(taken)
    assert store.at(begun).count() == 0


@pytest.mark.parametrize(
    "ref",
    [None, True, 1.0, b"first", date(2026, 1, 1), datetime(2026, 1, 1), "seq:", "seq:-1", "seq:٣", "seq:1.5"],  # noqa: DTZ001
)
def test_what_is_no_moment_is_refused(store: kiromi.Store, ref: Any) -> None:
    with pytest.raises(kiromi.InvalidInput):
        store.at(ref)


def test_the_future_is_refused(store: kiromi.Store) -> None:
    with pytest.raises(kiromi.InvalidInput, match="in the future"):
        store.at(datetime.now(UTC) + timedelta(hours=1))


def test_below_the_gc_floor_only_snapshots_can_be_read(store: kiromi.Store) -> None:
    store.append("one", ANA)
    store.snapshot("kept")
    store.append("two", ANA)
    old = store.at(0)
    caller = store._caller()
    with caller.session.lease, caller.session.catalog.transaction() as cursor:
        cursor.execute("UPDATE meta SET gc_floor = 3")
    for ref in (0, 2):
        with pytest.raises(kiromi.SnapshotNotFound, match="from seq 3 on"):
            store.at(ref)
        with pytest.raises(kiromi.SnapshotNotFound):
            store.diff(ref)
    with pytest.raises(kiromi.SnapshotNotFound, match="seq 0 cannot be read any more"):
        old.count()
    assert store.at("kept").count() == 1
    assert store.at(1).count() == 1, "it is the seq of a snapshot"
    assert store.at(3).count() == 2
    assert len(store.diff("kept").added) == 1


# -- the clock ---------------------------------------------------------------------------------------------------------


def test_a_memory_had_expired_by_the_clock_of_the_moment(store: kiromi.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    short = store.append("short", ANA, expires_at=soon)
    assert store.at(1).exists(short.id)
    micros = int(soon.timestamp() * 1_000_000) + 5_000_000
    for module in (caller_module, kiromi.operations.asof, commit_module):
        monkeypatch.setattr(module, "now_micros", lambda: micros)
    taken = store.snapshot()
    assert not store.exists(short.id)
    assert store.at(1).get(short.id).text == "short", "by the clock of the operation"
    assert store.at(1).count() == len(store.at(1).search("short")) == len(store.at(1).to_arrow()) == 1
    assert store.at(soon - timedelta(seconds=1)).count() == 1
    for ref in (taken, soon, soon + timedelta(seconds=1)):
        view = store.at(ref)
        assert view.seq == 1
        assert view.count() == len(view.search("short")) == len(view.to_arrow()) == 0
        with pytest.raises(kiromi.MemoryExpired):
            view.get(short.id)


def test_supersession_takes_effect_by_the_clock_of_the_moment(
    store: kiromi.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = store.append("old seat", ANA), store.append("new seat", ANA)
    soon = datetime.now(UTC) + timedelta(hours=1)
    store.supersede(old.id, new.id, soon)
    micros = int(soon.timestamp() * 1_000_000) + 5_000_000
    for module in (caller_module, kiromi.operations.asof):
        monkeypatch.setattr(module, "now_micros", lambda: micros)
    assert texts(store.search("seat")) == ["new seat"]
    assert sorted(texts(store.search("seat", at=3))) == ["new seat", "old seat"]
    assert texts(store.search("seat", at=soon)) == ["new seat"]


# -- what was believed then --------------------------------------------------------------------------------------------


def test_what_was_believed_then(minded: kiromi.Store) -> None:
    store = minded
    seat = store.append("Prefers aisle seats.", ANA)
    city = store.append("Lives in Lisbon.", ANA)
    then = store.snapshot("then")
    store.update(seat.id, content="Prefers window seats.")
    newer = store.append("Lives in Porto.", ANA)
    store.supersede(city.id, newer.id, datetime(2020, 1, 1, tzinfo=UTC))
    store.delete(seat.id)
    view = store.at("then")
    for mode in ("text", "vector", "hybrid", "auto"):
        assert texts(view.search("aisle seats", k=1, mode=mode)) == ["Prefers aisle seats."], mode
        assert texts(view.search("Lives", k=1, mode=mode)) == ["Lives in Lisbon."], mode
    assert view.search("window", mode="text") == view.search("Porto", mode="text") == []
    assert texts(store.search("Lisbon", mode="text", at=then)) == ["Lives in Lisbon."], "said to be replaced only later"
    assert store.search("Lisbon", mode="text") == []
    before = store.at(then).search("Lives", explain=True)[0]
    assert (before.path, before.seq) == (city.path, city.seq)
    assert before.explanation is not None
    assert before.snippet == "Lives in Lisbon."


def test_valid_at_asks_what_was_true_and_combines_with_what_was_believed(store: kiromi.Store) -> None:
    year = [datetime(2020 + i, 1, 1, tzinfo=UTC) for i in range(4)]
    first = store.append("Works for Acme.", ANA, valid_from=year[0])
    store.update(first.id, valid_until=year[2])
    store.append("Works for Initech.", ANA, valid_from=year[2])
    assert texts(store.search("works", valid_at=year[3])) == ["Works for Initech."]
    assert texts(store.search("works", valid_at=year[3], at=1)) == ["Works for Acme."]
    assert texts(store.search("works", valid_at=year[1], at=3)) == ["Works for Acme."]
    assert store.search("works", valid_at=year[3], at=2) == []


def test_the_vectors_are_those_of_the_model_that_was_active(tmp_path: Path) -> None:
    with kiromi.open(tmp_path / "s", scheme=SCHEME, embedder="hash") as store:
        store.append("Prefers aisle seats.", ANA)
        store.append("Lives in Lisbon.", ANA)
        then = store.seq
        found = store.search("aisle", mode="vector")
        store.reembed(Watched())
        store.append("An aisle of trees.", ANA)
        assert store.at(then).search("aisle", mode="vector") == found
        vector = HashingEmbedder(16).embed(["aisle"], "query")[0]
        assert len(store.search(vector=vector)) == 3
        with pytest.raises(kiromi.EmbedderMismatch, match="16 dimensions"):
            store.at(then).search(vector=vector)


def test_vectors_that_came_later_were_not_there(tmp_path: Path) -> None:
    embedder = Watched()
    with kiromi.open(tmp_path / "s", scheme=SCHEME, embedder=embedder) as store:
        store.append("seat", ANA)
        embedder.before = _fail
        with pytest.warns(UserWarning, match="stored without vectors"):
            late = store.append("late seat", ANA)
        then = store.seq
        embedder.before = None
        store.reindex()
        assert len(store.search("seat", mode="vector")) == 2
        assert texts(store.at(then).search("seat", mode="vector")) == ["seat"]
        assert len(store.at("live").search("seat", mode="vector")) == 2
        assert store.at(then).search("late", mode="text")[0].id == late.id


def _fail(texts: Any, role: Any) -> None:
    raise ConnectionError("the server is away")


def test_before_the_first_model_there_is_text_only(tmp_path: Path) -> None:
    with kiromi.open(tmp_path / "s", scheme=SCHEME) as store:
        store.append("seat", ANA)
    with kiromi.open(tmp_path / "s", embedder="hash") as store:
        view = store.at(1)
        assert texts(view.search("seat")) == ["seat"]
        with pytest.raises(kiromi.InvalidInput, match="needs a model"):
            view.search("seat", mode="vector")
        with pytest.raises(kiromi.InvalidInput, match="no model"):
            view.search(vector=[1.0])


def test_the_indices_of_a_moment_are_made_anew_when_rows_of_it_were_erased(minded: kiromi.Store) -> None:
    kept, gone = minded.append("seat", ANA), minded.append("seat too", ANA)
    then = minded.seq
    view = minded.at(then)
    assert len(view.search("seat")) == 2
    minded.delete(gone.id)
    caller = minded._caller()
    with caller.session.lease:
        caller.session.fold()
        with caller.session.catalog.transaction() as cursor:
            cursor.execute("DELETE FROM history WHERE id = ?", [gone.id])
    for mode in ("text", "vector", "hybrid"):
        assert [hit.id for hit in view.search("seat", mode=mode)] == [kept.id]


def test_indices_of_the_last_moments_are_kept_and_removed_in_the_end(minded: kiromi.Store, tmp_path: Path) -> None:
    scratch = tmp_path / "minded/default/index/scratch"
    for i in range(4):
        minded.append(f"seat {i}", ANA)
    views = [minded.at(seq) for seq in range(2, 6)]
    for view in (*views, *views):
        assert len(view.search("seat", k=20)) == view.seq - 1
    assert sum(folder.is_dir() for folder in scratch.iterdir()) == 2
    minded.close()
    assert list(scratch.iterdir()) == []


def test_damage_to_the_index_of_a_moment_is_noticed_and_made_good(
    minded: kiromi.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    minded.append("seat", ANA)
    view = minded.at("live")
    found = view.search("seat")
    whole = TextIndex.search
    damaged: list[TextIndex] = []

    def search(index: TextIndex, *arguments: Any) -> Any:
        if not damaged:
            damaged.append(index)
        if index in damaged:
            raise IndexCorrupt("flipped")
        return whole(index, *arguments)

    monkeypatch.setattr(TextIndex, "search", search)
    assert view.search("seat") == found


def test_indices_of_the_past_can_be_forgotten_at_once(minded: kiromi.Store, tmp_path: Path) -> None:
    scratch = tmp_path / "minded/default/index/scratch"
    minded.append("seat", ANA)
    view = minded.at("live")
    session = minded._caller().session
    with session.lease:
        forget_past(session)
        found = view.search("seat")
        assert any(scratch.iterdir())
        forget_past(session)
        assert list(scratch.iterdir()) == []
        assert view.search("seat") == found


def test_a_moment_without_a_model_has_no_vectors(store: kiromi.Store) -> None:
    caller = store._caller()
    with caller.session.lease, indices_for(replace(caller, moment=resolve(caller, 0))) as indices:
        with pytest.raises(IndexCorrupt, match="no embedding model"):
            indices.vectors()
        assert indices.live(IDS[0]) is None


def test_many_threads_look_at_many_moments(minded: kiromi.Store) -> None:
    for i in range(4):
        minded.append(f"seat {i}", ANA)
    counts: dict[int, list[int]] = {seq: [] for seq in range(2, 6)}

    def look(seq: int) -> None:
        for _ in range(5):
            counts[seq].append(len(minded.at(seq).search("seat", k=20)))

    threads = [threading.Thread(target=look, args=(seq,)) for seq in counts for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == {seq: [seq - 1] * 10 for seq in counts}


def test_a_view_within_a_transaction_shows_what_is_committed(minded: kiromi.Store) -> None:
    minded.append("seat", ANA)
    with minded.transaction() as tx:
        tx.append("seat too", ANA)
        view = minded.at("live")
        assert len(view.search("seat")) == view.count() == 1


# -- schemes, scopes, handles ------------------------------------------------------------------------------------------


def test_scheme_and_paths_are_those_of_the_moment(store: kiromi.Store) -> None:
    memory = store.append("seat", ANA, attributes={"topic": "travel"})
    evolve(store)
    move(store, memory.id)
    assert (store.scheme, store.at(1).scheme, store.at(2).scheme) == (OTHER, SCHEME, OTHER)
    assert store.at(1).get(memory.id) == memory
    assert store.get(memory.id).partition == {"kind": "episodic", "user": "ana"}
    assert [partition.path for partition in store.at(2).partitions()] == ["user=ana/topic=travel"]
    assert store.at(2).list_ids({"topic": "travel"}) == store.list_ids({"topic": "travel"}) == [memory.id]
    assert store.at(1).search("seat", within={"topic": "travel"})[0].path == memory.path


def test_names_of_a_scope_mean_what_they_meant_then(store: kiromi.Store) -> None:
    evolve(store, "owner={user}")
    memory = store.append("seat", ANA)
    then = store.seq
    assert store.list_ids({"topic": "inbox"}) == [memory.id]
    evolve(store, "kind={kind}/topic={topic|none}")
    assert store.list_ids({"topic": "inbox"}) == []
    view = store.at(then)
    assert view.list_ids({"topic": "inbox"}) == [memory.id]
    assert view.list_ids({"topic": "none"}) == []
    evolve(store, "shard={id:bucket(2)}")
    assert store.list_ids({"shard": "7"}) == []
    with pytest.raises(kiromi.InvalidInput, match="no scheme"):
        view.list_ids({"shard": "7"})


def test_a_scoped_handle_sees_what_lay_within_its_scope_then(store: kiromi.Store) -> None:
    mine, theirs = store.append("seat of ana", ANA), store.append("seat of bob", BOB)
    store.snapshot("then")
    store.update(mine.id, attributes=BOB)
    store.update(theirs.id, attributes=ANA)
    ana = store.scoped(ANA)
    assert ana.list_ids() == [theirs.id]
    view = ana.at("then")
    assert view.list_ids() == view.to_arrow()["id"].to_pylist() == [mine.id]
    assert [hit.id for hit in view.search("seat")] == [mine.id]
    assert [hit.id for hit in ana.search("seat", at="then")] == [mine.id]
    assert [version.end_seq for version in view.history(mine.id)] == [None]
    for ask in (view.get, view.history, view.neighbours, view.supersession_chain):
        with pytest.raises(kiromi.MemoryNotFound):
            ask(theirs.id)
    assert view.get_many([theirs.id, mine.id], missing="skip")[0].text == "seat of ana"
    with pytest.raises(kiromi.MemoryNotFound):
        view.get_many([theirs.id])
    assert view.count({"user": "bob"}) == 0


def test_a_view_ends_with_its_store(store: kiromi.Store) -> None:
    view = store.at(0)
    ana = store.scoped(ANA)
    scoped = ana.at(0)
    ana.close()
    with pytest.raises(kiromi.InvalidInput, match="closed"):
        scoped.count()
    store.close()
    with pytest.raises(kiromi.InvalidInput, match="closed"):
        view.count()


def test_a_read_only_handle_looks_back(root: Path) -> None:
    with kiromi.open(root, scheme=SCHEME, embedder="hash") as store:
        memory = store.append("seat", ANA)
        store.snapshot("then")
        store.update(memory.id, content="window")
    with kiromi.open(root, read_only=True) as store:
        view = store.at("then")
        assert view.get(memory.id).text == "seat"
        assert texts(view.search("seat", k=1)) == ["seat"]
        assert [one.fields for one in store.diff("then").changed] == [("content",)]
        with pytest.raises(kiromi.InvalidInput, match="read-only"):
            store.snapshot()


# -- to_arrow ----------------------------------------------------------------------------------------------------------


def test_to_arrow_has_the_columns_that_were_asked_for(store: kiromi.Store) -> None:
    one = store.append(b"\xff\x00", ANA, media_type="image/png", attributes={"n": 1}, tags=["x"])
    two = store.append("two", BOB)
    table = store.to_arrow()
    assert table["id"].to_pylist() == [one.id, two.id]
    assert table["path"].to_pylist() == [one.path, two.path]
    assert table["partition"].to_pylist() == ["user=ana/topic=inbox", "user=bob/topic=inbox"]
    assert table["attributes"].to_pylist() == ['{"n":1,"user":"ana"}', '{"user":"bob"}']
    assert table["seq"].to_pylist() == [1, 2]
    assert table["sha256"].to_pylist() == [one.sha256, two.sha256]
    assert "content" not in table.column_names
    few = store.to_arrow(ANA, "n >= 1", columns=["size", "id"], with_content=True)
    assert few.to_pylist() == [{"size": 2, "id": one.id, "content": b"\xff\x00"}]
    assert store.to_arrow({"user": "nobody"}, with_content=True).num_rows == 0
    for columns in ([], ["id", "id"], ["nothing"], "id", 3):
        with pytest.raises(kiromi.InvalidInput, match="columns"):
            store.to_arrow(columns=columns)  # type: ignore[arg-type]
