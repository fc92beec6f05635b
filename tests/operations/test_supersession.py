"""supersede and unsupersede: what they leave in rows, history, events and audit, and what they refuse."""

import contextlib
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

import kiromi
from tests.operations.conftest import SCHEME

ANA = {"user": "ana"}
BOB = {"user": "bob"}
PAST = datetime(2020, 1, 2, 3, 4, 5, 678901, UTC)
FUTURE = datetime(2999, 1, 1, tzinfo=UTC)
STANDS = {"superseded_by": {"$exists": False}}
NOBODY = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def three(store: kiromi.Store) -> tuple[str, str, str]:
    a, b, c = (store.append(text, ANA).id for text in "abc")
    return a, b, c


def chain(store: kiromi.Store, memory_id: str) -> list[str]:
    return [info.id for info in store.supersession_chain(memory_id)]


def test_it_is_said_on_the_row_and_is_no_edit(store: kiromi.Store) -> None:
    old = store.append("old", ANA, title="t")
    new = store.append("new", ANA)
    with store.context(actor="agent", run_id="r1", reason="newer news"):
        said = store.supersede(old.id, new.id, PAST)
    assert (said.superseded_by, said.superseded_at) == (new.id, PAST)
    assert (said.version, said.updated_at, said.run_id, said.path) == (1, old.updated_at, None, old.path)
    assert said.seq == store.seq == 3
    assert store.get(old.id).info() == said
    assert store.get(new.id) == new
    [now, before] = store.history(old.id)
    assert (now.info, now.begin_seq, now.end_seq) == (said, 3, None)
    assert (before.info, before.begin_seq, before.end_seq) == (old.info(), 1, 3)
    assert store.supersessions() == [kiromi.Supersession(3, old.id, new.id, PAST, "agent", "newer news")]
    entry = store.audit()[-1]
    assert (entry.op, entry.memory_id, entry.actor, entry.reason) == ("supersede", old.id, "agent", "newer news")
    assert entry.detail == {"by": new.id, "at": PAST.isoformat()}
    assert store.verify(read_data=True).is_clean


def test_it_is_from_now_on_unless_a_moment_is_given(store: kiromi.Store) -> None:
    a, b, _ = three(store)
    moment = store.supersede(a, b).superseded_at
    assert moment == store.audit()[-1].at
    later = datetime(2026, 1, 1, 1, tzinfo=UTC).astimezone(tz=None)
    assert store.supersede(a, b, later).superseded_at == later
    assert store.supersede(a, b, at=FUTURE).superseded_at == FUTURE


def test_the_same_again_changes_nothing(store: kiromi.Store) -> None:
    a, b, _ = three(store)
    said = store.supersede(a, b, PAST)
    assert store.supersede(a, b, PAST) == said
    assert store.supersede(a, b) == said, "it is in force already"
    assert store.seq == 4
    assert store.supersede(a, b, FUTURE).seq == 5
    now = store.supersede(a, b)
    assert now.seq == 6, "it was not in force yet"
    assert now.superseded_at is not None
    assert now.superseded_at < FUTURE
    assert [event.at for event in store.supersessions(a)][1:] == [FUTURE, PAST]


def test_the_last_one_said_holds(store: kiromi.Store) -> None:
    a, b, c = three(store)
    store.supersede(a, b)
    assert store.supersede(a, c).superseded_by == c
    assert [event.winner for event in store.supersessions(a)] == [c, b]
    assert [event.winner for event in store.supersessions(limit=1)] == [c]
    assert [event.loser for event in store.supersessions(b)] == [a]
    assert store.supersessions(NOBODY) == store.supersessions(limit=0) == []


def test_it_can_be_taken_back(store: kiromi.Store) -> None:
    a, b, _ = three(store)
    before = store.get(a)
    assert store.unsupersede(a) == before.info()
    assert store.seq == 3
    store.supersede(a, b, PAST)
    back = store.unsupersede(a)
    assert (back.superseded_by, back.superseded_at, back.version, back.seq) == (None, None, 1, 5)
    assert store.unsupersede(a) == back
    [taken, said] = store.supersessions(a)
    assert (taken.seq, taken.winner, said.winner) == (5, None, b)
    assert taken.at == store.audit()[-1].at
    assert (store.audit()[-1].op, store.audit()[-1].detail) == ("unsupersede", {"by": b})
    assert [version.info.superseded_by for version in store.history(a)] == [None, b, None]
    assert store.supersede(b, a).superseded_by == a, "the other way round is free now"


def test_what_cannot_be_is_refused(store: kiromi.Store) -> None:
    a, b, c = three(store)
    store.supersede(a, b)
    store.supersede(b, c)
    calls: list[tuple[str, str]] = [(a, a), (b, a), (c, a), (c, b)]
    for old, new in calls:
        with pytest.raises(kiromi.InvalidInput, match="supersede"):
            store.supersede(old, new)
    for wrong in ("x", None, 7):
        with pytest.raises(kiromi.InvalidInput, match="ULID"):
            store.supersede(a, wrong)  # type: ignore[arg-type]
        with pytest.raises(kiromi.InvalidInput, match="ULID"):
            store.supersessions(wrong or "")  # type: ignore[arg-type]
    for at in ("2026-01-01", datetime(2026, 1, 1), 5, PAST.date()):  # noqa: DTZ001
        with pytest.raises(kiromi.InvalidInput, match="at"):
            store.supersede(a, c, at)  # type: ignore[arg-type]
    for limit in (-1, True, "1", 2**80):
        with pytest.raises(kiromi.InvalidInput, match="limit"):
            store.supersessions(limit=limit)  # type: ignore[arg-type]
    assert store.seq == 5


def test_a_cycle_through_what_is_deleted_is_refused(store: kiromi.Store) -> None:
    a, b, c = three(store)
    store.supersede(a, b)
    store.supersede(b, c)
    store.delete(b)
    with pytest.raises(kiromi.InvalidInput, match="unsupersede it first"):
        store.supersede(c, a)
    store.undelete(b)
    assert chain(store, a) == [a, b, c]
    with store.transaction() as tx:
        tx.delete(b)
        with pytest.raises(kiromi.InvalidInput, match="unsupersede it first"):
            tx.supersede(c, a)


def test_two_threads_cannot_make_a_cycle(store: kiromi.Store) -> None:
    for _ in range(5):
        a, b, _ = three(store)
        refused: list[kiromi.InvalidInput] = []
        start = threading.Barrier(2)

        def say(old: str, new: str, start: threading.Barrier = start, refused: list[Any] = refused) -> None:
            start.wait()
            try:
                store.supersede(old, new)
            except kiromi.InvalidInput as error:
                refused.append(error)

        threads = [threading.Thread(target=say, args=pair) for pair in ((a, b), (b, a))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(refused) == 1
        assert sum(store.get(i).superseded_by is not None for i in (a, b)) == 1


def test_both_must_be_there(store: kiromi.Store) -> None:
    a, gone, _ = three(store)
    store.delete(gone)
    expired = store.append("x", ANA, expires_at=PAST).id
    for old, new, error in (
        (a, gone, kiromi.MemoryDeleted),
        (gone, a, kiromi.MemoryDeleted),
        (a, NOBODY, kiromi.MemoryNotFound),
        (NOBODY, a, kiromi.MemoryNotFound),
        (a, expired, kiromi.MemoryExpired),
    ):
        with pytest.raises(error):
            store.supersede(old, new)
    with pytest.raises(kiromi.MemoryDeleted):
        store.unsupersede(gone)
    with pytest.raises(kiromi.MemoryNotFound):
        store.supersession_chain(NOBODY)
    assert store.supersede(expired, a).superseded_by == a
    assert store.supersessions()[0].seq == store.seq


def test_every_way_of_changing_a_memory_keeps_the_state(store: kiromi.Store) -> None:
    a, b, _ = three(store)
    keyed = store.put("1", ANA, key="k")
    store.supersede(keyed.id, b, PAST)
    states = [
        store.update(keyed.id, content="2", attributes={"user": "bob"}),
        store.put("3", BOB, key="k"),
        store.delete(keyed.id),
        store.undelete(keyed.id),
        store.update(keyed.id, title="t"),
    ]
    assert {(state.superseded_by, state.superseded_at) for state in states} == {(b, PAST)}
    assert [state.version for state in states] == [2, 3, 3, 4, 5]
    store.delete(b)
    assert store.get(keyed.id).superseded_by == b, "deleting what replaced it does not bring it back"
    store.supersede(a, keyed.id)
    store.unsupersede(keyed.id)
    assert store.verify(read_data=True).is_clean


def test_it_can_be_listed_filtered_and_ordered(store: kiromi.Store) -> None:
    a, b, c = three(store)
    store.supersede(a, b, PAST)
    store.supersede(b, c, FUTURE)
    assert store.list_ids() == [a, b, c], "a listing shows what is there"
    assert store.list_ids(where=STANDS) == [c]
    assert store.list_ids(where="superseded_by not exists") == [c]
    assert store.list_ids(where={"superseded_by": b}) == [a]
    assert store.list_ids(where={"superseded_at": {"$lte": datetime.now(UTC)}}) == [a]
    assert [info.id for info in store.list(order_by="-superseded_at").items] == [b, a, c]
    assert [info.id for info in store.list(order_by="superseded_by", limit=2).items] == [a, b]
    assert store.delete_where(where={"superseded_at": {"$lt": datetime.now(UTC)}}).ids == (a,)
    found = store.sql("SELECT superseded_by, superseded_at FROM memories WHERE superseded_by IS NOT NULL ORDER BY id")
    assert [tuple(row.values()) for row in found.to_pylist()] == [(b, PAST), (c, FUTURE)]
    assert store.sql("SELECT count(*) AS n FROM history WHERE superseded_by IS NULL").to_pylist() == [{"n": 2}]


def test_validity_can_be_listed(store: kiromi.Store) -> None:
    always = store.append("always", ANA).id
    once = store.append("once", ANA, valid_from=PAST, valid_until=PAST + timedelta(days=1)).id
    since = store.append("since", ANA, valid_from=PAST).id

    def valid_at(moment: datetime) -> list[str]:
        return store.list_ids(
            where={
                "$and": [
                    {"$or": [{"valid_from": {"$exists": False}}, {"valid_from": {"$lte": moment}}]},
                    {"$or": [{"valid_until": {"$exists": False}}, {"valid_until": {"$gt": moment}}]},
                ]
            }
        )

    assert valid_at(PAST - timedelta(microseconds=1)) == [always]
    assert valid_at(PAST) == [always, once, since]
    assert valid_at(PAST + timedelta(days=1)) == [always, since]


def test_a_chain_is_told_from_every_place_in_it(store: kiromi.Store) -> None:
    a, b, c = three(store)
    d, e, f = three(store)
    assert chain(store, a) == [a]
    store.supersede(b, c, FUTURE)
    store.supersede(a, c, PAST)
    store.supersede(c, d)
    store.supersede(e, a)
    assert chain(store, d) == [e, a, b, c, d]
    assert chain(store, c) == [e, a, b, c, d]
    assert chain(store, a) == [e, a, c, d]
    assert chain(store, b) == [b, c, d]
    assert chain(store, f) == [f]
    assert store.supersession_chain(e)[0] == store.get(e).info()
    store.delete(c)
    assert chain(store, a) == [e, a]
    assert chain(store, d) == [d]


def test_a_chain_with_a_cycle_ends(store: kiromi.Store, tmp_path: Path) -> None:
    # No call makes one; a restore of one memory alone may.
    a, b, c = three(store)
    store.supersede(a, b)
    store.supersede(b, c)
    store.close()
    with duckdb.connect(str(tmp_path / "memories" / "default" / "catalog.duckdb")) as catalog:
        catalog.execute("UPDATE memories SET superseded_by = ?, superseded_at = now() WHERE id = ?", [a, c])
    with kiromi.open(tmp_path / "memories") as again:
        assert sorted(chain(again, a)) == [a, b, c]
        fresh = again.append("fresh", ANA).id
        assert again.supersede(a, fresh).superseded_by == fresh
        assert again.supersede(fresh, again.append("x", ANA).id).superseded_by is not None


def test_in_a_transaction(store: kiromi.Store) -> None:
    old = store.append("old", ANA)
    with store.transaction() as tx:
        new = tx.append("new", ANA)
        newer = tx.append("newer", ANA)
        assert tx.supersede(old.id, new.id).superseded_by == new.id
        assert tx.supersede(new.id, newer.id, PAST).superseded_at == PAST
        with pytest.raises(kiromi.InvalidInput, match="unsupersede it first"):
            tx.supersede(newer.id, old.id)
        assert tx.get(old.id).superseded_by == new.id
        assert store.get(old.id) == old
        edited = tx.update(old.id, title="t")
        assert (edited.version, edited.superseded_by) == (2, new.id), "the supersession was no edit, this is one"
        assert tx.update(old.id, title="u").version == 2
        assert tx.unsupersede(new.id).superseded_by is None
        with pytest.raises(kiromi.InvalidInput, match="is open in this thread"):
            store.supersede(new.id, newer.id)
    assert store.seq == 2
    assert [(event.seq, event.loser, event.winner) for event in store.supersessions()] == [
        (2, new.id, None),
        (2, new.id, newer.id),
        (2, old.id, new.id),
    ]
    assert store.get(new.id).superseded_by is None
    assert [version.info.version for version in store.history(old.id)] == [2, 1]
    with contextlib.suppress(RuntimeError), store.transaction() as tx:
        tx.supersede(new.id, newer.id)
        raise RuntimeError
    assert store.seq == 2
    assert len(store.supersessions()) == 3


def test_nobody_goes_beyond_a_scope(store: kiromi.Store) -> None:
    mine, mine_too = (store.append(text, ANA).id for text in "ab")
    theirs, theirs_too = (store.append(text, BOB).id for text in "cd")
    ana = store.scoped(ANA)
    for old, new in ((mine, theirs), (theirs, mine), (theirs, theirs_too)):
        with pytest.raises(kiromi.MemoryNotFound):
            ana.supersede(old, new)
    store.supersede(theirs, mine)
    with pytest.raises(kiromi.MemoryNotFound):
        ana.unsupersede(theirs)
    with pytest.raises(kiromi.MemoryNotFound):
        ana.supersede(mine, theirs)
    with pytest.raises(kiromi.MemoryNotFound):
        ana.supersession_chain(theirs)
    assert ana.supersessions() == ana.supersessions(mine) == ana.supersessions(theirs) == []
    assert chain(ana, mine) == [mine]
    assert chain(store, mine) == [theirs, mine]
    ana.supersede(mine, mine_too)
    assert chain(ana, mine_too) == [mine, mine_too]
    assert [event.loser for event in ana.supersessions()] == [mine]
    store.supersede(mine_too, theirs_too)
    assert chain(ana, mine) == [mine, mine_too], "the chain ends where the scope does"


def test_it_is_durable_and_read_only_handles_read_it(store: kiromi.Store, root: Path) -> None:
    a, b, _ = three(store)
    store.supersede(a, b, PAST)
    store.close()
    with kiromi.open(root, read_only=True) as reader:
        assert reader.get(a).superseded_by == b
        assert chain(reader, b) == [a, b]
        assert len(reader.supersessions()) == 1
        writes: list[Callable[[], Any]] = [lambda: reader.supersede(b, a), lambda: reader.unsupersede(a)]
        for write in writes:
            with pytest.raises(kiromi.InvalidInput, match="read-only"):
                write()


def test_half_a_supersession_is_found(store: kiromi.Store, root: Path) -> None:
    a, b, c = three(store)
    store.supersede(a, b)
    store.supersede(b, c)
    store.close()
    with duckdb.connect(str(root / "default" / "catalog.duckdb")) as catalog:
        catalog.execute("UPDATE memories SET superseded_at = NULL WHERE id = ?", [a])
        catalog.execute("UPDATE memories SET superseded_by = NULL WHERE id = ?", [b])
    with kiromi.open(root) as again:
        found = {problem.subject: problem for problem in again.verify().problems}
    assert {problem.kind for problem in found.values()} == {"supersession_incomplete"}
    assert f"superseded by {b}" in found[a].message
    assert "by what" in found[b].message


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet", "out.csv", "folder"])
def test_export_and_import_keep_it(store: kiromi.Store, tmp_path: Path, name: str) -> None:
    a, b, c = three(store)
    store.supersede(a, b, PAST)
    store.supersede(b, c, FUTURE)
    store.export_to(tmp_path / name, metadata=name == "folder")
    with kiromi.open(tmp_path / "copy", scheme=SCHEME) as copy:
        assert copy.import_from(tmp_path / name).added == 3
        assert [(copy.get(i).superseded_by, copy.get(i).superseded_at) for i in (a, b, c)] == [
            (b, PAST),
            (c, FUTURE),
            (None, None),
        ]
        assert {copy.get(i).version for i in (a, b, c)} == {1}
        assert chain(copy, a) == [a, b, c]
        assert copy.import_from(tmp_path / name).unchanged == 3
        copy.unsupersede(b)
        copy.supersede(c, b)
        report = copy.import_from(tmp_path / name, on_error="skip")
        assert (report.unchanged, len(report.skipped)) == (2, 1), "b cannot be superseded by what it replaced"
        copy.unsupersede(c)
        assert copy.import_from(tmp_path / name).changed == 1
        assert copy.get(b).superseded_by == c
        copy.delete(a)
        assert copy.import_from(tmp_path / name).added == 1
        assert copy.get(a).superseded_by == b
        assert copy.verify(read_data=True).is_clean


@pytest.mark.parametrize(
    "said",
    [
        '"superseded_by": "01ARZ3NDEKTSV4RRFFQ69G5FAV"',
        '"superseded_at": "2026-01-01"',
        '"superseded_by": "x", "superseded_at": "2026-01-01"',
        '"superseded_by": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "superseded_at": 5',
        '"superseded_by": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "superseded_at": "soon"',
        f'"id": "{NOBODY}", "superseded_by": "{NOBODY}", "superseded_at": "2026-01-01"',
    ],
)
def test_an_import_refuses_what_is_no_supersession(store: kiromi.Store, tmp_path: Path, said: str) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(f'{{"content": "x", "attributes": {{"user": "ana"}}, {said}}}\n')
    with pytest.raises(kiromi.InvalidInput, match="superse"):
        store.import_from(source)
    assert store.seq == 0
