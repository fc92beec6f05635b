"""gc: what nothing needs goes, all else stays and answers as before (P4, P6, P10, P11)."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kiromi
from kiromi import InvalidInput, MemoryDeleted, MemoryNotFound, SnapshotNotFound
from kiromi.operations.orphans import find_orphans
from kiromi.session.session import Session
from tests.operations.collecting import (
    begin_job,
    check_what_is_left,
    end_job,
    intervals,
    surviving,
)
from tests.operations.conftest import SCHEME
from tests.operations.remembering import IDS, answer, answers, hits, live_on, lives
from tests.operations.tree import attic_files, data_files

ANA, BOB = {"user": "ana"}, {"user": "bob"}
X, Y = IDS[0], IDS[1]


@pytest.fixture
def quick(root: Path) -> Iterator[kiromi.Store]:
    with kiromi.open(root, scheme=SCHEME, durability="relaxed") as opened:
        yield opened


@pytest.fixture
def meant(root: Path) -> Iterator[kiromi.Store]:
    """A store with a model, whose registration is operation 1."""
    with kiromi.open(root, scheme=SCHEME, embedder="hash:8", durability="relaxed") as opened:
        yield opened


def attic(root: Path) -> list[str]:
    return sorted(path.partition("/")[2] for path in attic_files(root))


# -- what goes, and what stays -----------------------------------------------------------------------------------------


def test_a_plan_changes_nothing_and_says_what_would_go(quick: kiromi.Store, root: Path) -> None:
    quick.append("one", ANA, id=X)
    quick.update(X, content="two!")
    quick.update(X, tags=["a"])
    quick.append("gone", BOB, id=Y)
    quick.delete(Y)
    before = (quick.seq, intervals(quick), attic(root))
    plan = quick.gc("0")
    assert plan == kiromi.GcReport(False, 5, versions=3, memories=1, contents=2, size_bytes=7)
    assert (quick.seq, intervals(quick), attic(root)) == before
    assert quick.gc() == kiromi.GcReport(False, 0), "all of it is younger than 30 days"
    report = quick.gc("0", dry_run=False)
    assert report == kiromi.GcReport(True, 5, versions=3, memories=1, contents=2, size_bytes=7)
    assert attic(root) == []
    assert len(data_files(root)) == 1
    assert (quick.get(X).text, quick.get(X).version) == ("two!", 3)
    seq = quick.seq
    assert quick.gc("0", dry_run=False) == kiromi.GcReport(True, 5)
    assert quick.seq == seq, "nothing to do is no operation"
    assert [entry.op for entry in quick.audit()][-3:] == ["gc"] * 3
    assert quick.verify(read_data=True).problems == ()


def test_a_snapshot_keeps_what_it_shows_and_nothing_else(meant: kiromi.Store, root: Path) -> None:
    meant.append("one", ANA, id=X)
    meant.update(X, content="two")
    meant.snapshot("kept")
    meant.update(X, content="three")
    meant.update(X, content="four")
    view = meant.at("kept")
    then = answers(view), hits(view)
    assert meant.gc("0").kept_versions == 1
    meant.gc("0", dry_run=False)
    assert attic(root) == [f"{X}.2.md"]
    found = answers(meant.at("kept"))
    versions = found[X][2]
    assert [(one.begin_seq, one.end_seq) for one in versions] == [(3, None)], "what came before it is not shown by it"
    then[0][X][2] = versions
    assert (found, hits(meant.at("kept"))) == then
    assert [version.info.version for version in meant.history(X)] == [4, 2]
    meant.delete_snapshot("kept")
    assert meant.gc("0", dry_run=False).versions == 1
    assert attic(root) == []


def test_the_window_keeps_every_moment(quick: kiromi.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    start = time.time_ns()
    clock = [0]
    monkeypatch.setattr("kiromi.times.time.time_ns", lambda: start + clock[0] * 10**9)
    for day in range(10):
        clock[0] = day * 86_400
        quick.put(f"day {day}", ANA, key="k")
    report = quick.gc("3d", dry_run=False)
    assert (report.floor, report.versions) == (7, 6)  # the seventh operation was three days ago
    assert [quick.at(seq).get(key="k").text for seq in (7, 8, 9, 10)] == [f"day {day}" for day in (6, 7, 8, 9)]
    with pytest.raises(SnapshotNotFound, match="from seq 7 on"):
        quick.at(6)
    assert quick.at(datetime.fromtimestamp(start / 1e9, UTC) + timedelta(days=6, hours=1)).get(key="k").text == "day 6"
    assert quick.gc(timedelta(days=8), dry_run=False).floor == 7, "the floor never moves down"
    quick.delete(quick.get(key="k").id)
    clock[0] += 86_400
    quick.gc("2d", dry_run=False)
    assert quick.undelete(quick.audit()[-4].memory_id or "").version == 11


def test_a_job_keeps_its_moments_until_it_ends(quick: kiromi.Store, root: Path) -> None:
    for text in ("one", "two", "three", "four"):
        quick.put(text, ANA, key="k")
    job = begin_job(quick, 2)
    report = quick.gc("0", dry_run=False)
    assert (report.floor, report.versions, report.plans) == (2, 1, 0)
    assert quick.at(2).get(key="k").text == "two"
    quick.put("five", ANA, key="k")
    end_job(quick, job)
    assert (quick.gc("0").versions, quick.gc("0").plans) == (3, 1)
    assert quick.gc("0", dry_run=False).plans == 1
    assert attic(root) == []


def test_a_job_keeps_a_moment_below_the_floor_when_its_snapshot_is_deleted(quick: kiromi.Store) -> None:
    for text in ("one", "two", "nothing", "three"):
        quick.put(text, ANA, key="k")
        if text != "nothing":
            quick.snapshot(text)
    assert quick.gc("0", dry_run=False).floor == quick.snapshot_info("three").seq + 1
    begin_job(quick, quick.snapshot_info("one").seq)
    quick.delete_snapshot("one")
    quick.delete_snapshot("two")
    assert quick.gc("0", dry_run=False).versions == 1
    assert [version.info.version for version in quick.history(quick.get(key="k").id)] == [4, 1]


def test_ended_links_go_when_nothing_shows_them(quick: kiromi.Store) -> None:
    quick.append("one", ANA, id=X)
    quick.append("two", ANA, id=Y)
    for weight in (0.1, 0.2, 0.3):
        quick.link(X, Y, weight=weight)
        quick.snapshot(str(weight)) if weight == 0.2 else None
    report = quick.gc("0", dry_run=False)
    assert (report.links, report.versions) == (1, 0)
    assert [link.weight for link in quick.links(X)] == [0.3]
    assert [link.weight for link in quick.at("0.2").links(X)] == [0.2]
    with pytest.raises(SnapshotNotFound):
        quick.at(3)


def test_what_is_said_of_a_memory_whose_versions_went(quick: kiromi.Store) -> None:
    quick.append("one", ANA, id=X, key="k")
    quick.snapshot("first")
    quick.update(X, content="two")
    quick.delete(X)
    quick.append("other", ANA, id=Y)
    quick.delete(Y)
    quick.gc("0", dry_run=False)
    with pytest.raises(MemoryDeleted, match="deleted at seq 4: gc has removed its last version"):
        quick.get(X)
    with pytest.raises(MemoryNotFound, match="older versions are in snapshots"):
        quick.undelete(X)
    assert [version.info.version for version in quick.history(X)] == [1]
    assert quick.at("first").get(X).text == "one"
    assert [one.id for one in quick.diff("first").removed] == [X]
    with pytest.raises(SnapshotNotFound):
        quick.diff(3)
    for gone in (quick.get, quick.undelete, quick.history):
        with pytest.raises(MemoryNotFound) as caught:
            gone(Y)
        assert caught.type is MemoryNotFound
    assert not quick.exists(Y)
    assert quick.audit(id=Y)[-1].op == "delete", "the audit log stays"
    assert quick.audit_verify().is_clean


def test_what_was_undeleted_meanwhile_stays(quick: kiromi.Store, root: Path) -> None:
    quick.append("one", ANA, id=X)
    quick.delete(X)
    quick.undelete(X)
    assert quick.gc("0", dry_run=False).contents == 0
    assert quick.get(X).text == "one"
    check_what_is_left(quick, root, surviving(intervals(quick), (), quick.seq))


def test_a_number_is_never_used_again(quick: kiromi.Store, root: Path) -> None:
    """(id, n) names the same bytes for ever: whichever way an id comes back (docs/write-protocol.md, I4)."""
    quick.append("one", ANA, id=X)
    quick.update(X, content="two")
    with pytest.raises(kiromi.AlreadyExists):
        quick.append("again", ANA, id=X)
    quick.delete(X)
    with pytest.raises(kiromi.AlreadyExists):
        quick.append("again", ANA, id=X)
    quick.gc("0", dry_run=False)
    again = quick.append("again", ANA, id=X)
    assert (again.version, again.path[-5:], quick.get(X).text) == (1, ".3.md", "again")
    assert quick.verify(read_data=True).problems == ()
    for made in (
        lambda: quick.append_many([{"content": "many", "id": X, "partition": ANA}]),
        lambda: quick.put("put", ANA, id=X, key="k"),
        lambda: import_one(quick, root.parent / "one.jsonl"),
    ):
        n = int(quick.get(X).path.split(".")[-2])
        quick.delete(X)
        quick.gc("0", dry_run=False)
        made()
        assert int(quick.get(X).path.split(".")[-2]) == n + 1
        assert quick.verify(read_data=True).problems == ()
    with kiromi.open(root.parent / "other", scheme=SCHEME) as other:
        assert other.append("free there", ANA, id=X).path.endswith(".1.md")


def import_one(store: kiromi.Store, path: Path) -> None:
    path.write_text(f'{{"id": "{X}", "content": "imported", "attributes": {{"user": "ana"}}}}\n')
    store.import_from(path)


def test_older_versions_remember_the_number_of_newer_ones_that_went(quick: kiromi.Store) -> None:
    quick.append("one", ANA, id=X)
    quick.snapshot("first")
    quick.update(X, content="two")
    quick.delete(X)
    quick.gc("0", dry_run=False)
    quick.delete_snapshot("first")
    quick.gc("0", dry_run=False)
    assert quick.append("new", ANA, id=X).path.endswith(".3.md")


# -- expiry ------------------------------------------------------------------------------------------------------------


def test_expired_memories_are_deleted_only_on_request(quick: kiromi.Store) -> None:
    now = datetime.now(UTC)
    quick.append("long ago", ANA, id=X, expires_at=now - timedelta(days=40))
    quick.append("of late", ANA, id=Y, expires_at=now - timedelta(days=2))
    quick.append("still", ANA, expires_at=now + timedelta(days=2))
    quick.gc("0", dry_run=False)
    assert quick.stats().memories == 3
    assert quick.gc(expired=True).expired == 1
    assert quick.stats().memories == 3
    assert quick.gc(expired=True, dry_run=False).expired == 1
    assert [version.end_seq is None for version in quick.history(X)] == [False]
    assert quick.stats().memories == 2
    report = quick.gc("0", expired=True, dry_run=False)
    assert (report.expired, report.versions, report.memories) == (1, 2, 2)


def test_no_read_shows_what_has_expired(meant: kiromi.Store) -> None:
    meant.append("zebra alive", ANA, id=X, key="x")
    meant.append("zebra expired", ANA, id=Y, key="y", expires_at=datetime.now(UTC) + timedelta(hours=1))
    meant.link(X, Y)
    meant.supersede(Y, X)
    moment = meant.at("live")
    assert [len(hits) for hits in every_read(moment)] == [2] * 12, "all of them show it before"
    meant.update(Y, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    for store in (meant, meant.scoped(ANA), meant.at("live"), meant.scoped(ANA).at("live")):
        assert [len(hits) for hits in every_read(store)] == [1] * 12
        assert [one.id for one in store.list().items] == [X]
        assert answer(store.get, Y) == answer(store.get, key="y") == "memory_expired"
        assert not store.exists(Y)
        assert not store.exists(key="y")
        assert store.neighbours(X) == []
        assert answer(store.supersession_chain, Y) == answer(store.neighbours, Y) == "memory_expired"
    assert [hit.id for hit in meant.related(X, include_superseded=True)] == []
    assert len(every_read(moment)[0]) == 2, "then it had not expired"
    assert meant.sql("SELECT id FROM memories").num_rows == 2, "SQL shows what is stored, as documented"


def every_read(store: Any) -> list[list[Any]]:
    """Return what each read shows, one item for each memory."""
    return [
        store.list_ids(),
        list(range(store.count())),
        list(store.list().items),
        store.list_ids(ANA),
        store.list_ids(where={"key": {"$in": ["x", "y"]}}),
        store.get_many([X, Y], missing="skip"),
        store.to_arrow().to_pylist(),
        store.to_arrow(with_content=True).to_pylist(),
        *(store.search("zebra", mode=mode, include_superseded=True) for mode in ("text", "vector", "hybrid")),
        store.supersession_chain(X),
    ]


# -- orphans -----------------------------------------------------------------------------------------------------------


def test_blobs_that_nobody_knows_go_when_they_are_old(quick: kiromi.Store, root: Path) -> None:
    quick.append("one", ANA, id=X)
    tenant = root / "default"
    (orphan := tenant / f"data/user=ana/topic=inbox/{Y}.7.md").write_bytes(b"nobody's")
    (in_attic := tenant / f"attic/{X[-2:]}/{X}.9.md").parent.mkdir(parents=True)
    in_attic.write_bytes(b"12")
    (stranger := tenant / "data/README.txt").write_bytes(b"somebody's")
    [blob] = list((tenant / "data").rglob(f"{X}.1.md"))
    (copy := tenant / f"attic/{X[-2:]}/{X}.1.md").write_bytes(b"one")
    assert quick.gc("0") == kiromi.GcReport(False, 0, kept_orphans=2)
    assert quick.gc("0", grace="0", dry_run=False) == kiromi.GcReport(True, 0, orphans=2, orphan_bytes=10)
    assert [path.exists() for path in (orphan, in_attic, stranger, copy, blob)] == [False, False, True, True, True]
    assert {problem.kind for problem in quick.verify().problems} == {"orphan", "duplicate"}
    assert quick.at(1).count() == 1, "the floor stays where it was"


def test_an_orphan_whose_place_is_taken_meanwhile_stays(
    quick: kiromi.Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = root / "default/data/user=ana/topic=inbox" / f"{X}.1.md"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"old")
    found = find_orphans

    def then_written(session: Session, grace: int) -> Any:
        orphans = found(session, grace)
        assert len(orphans.old) == 1
        quick.append("new", ANA, id=X)
        return orphans

    monkeypatch.setattr("kiromi.operations.gc.find_orphans", then_written)
    assert quick.gc("0", grace="0", dry_run=False).orphans == 0
    assert quick.get(X).text == "new"


def test_where_the_storage_tells_no_time_orphans_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kiromi.blobs.objects import ObjectBlobs

    with kiromi.open("memory://gc-orphans", scheme=SCHEME, catalog=tmp_path) as store:
        store.append("one", ANA, id=X)
        store.update(X, content="two")
        blobs = store._base.session.blobs
        assert isinstance(blobs, ObjectBlobs)
        blobs.filesystem.pipe_file(f"{blobs.root}/attic/01/{Y}.1.md", b"123")
        with monkeypatch.context() as patch:
            patch.setattr(type(blobs.filesystem), "modified", lambda *_: (_ for _ in ()).throw(NotImplementedError()))
            report = store.gc("0", grace="0", dry_run=False)
            assert (report.contents, report.orphans, report.kept_orphans) == (1, 0, 1)
        assert store.gc("0", grace="0", dry_run=False).orphans == 1
        assert store.verify(read_data=True).problems == ()
        assert [path for path, _ in blobs.walk("")] == [path for path, _ in blobs.walk("data")] + [
            path for path, _ in blobs.walk("epoch")
        ]


# -- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["30", "3 d", "-1d", "1.5h", "1y", "", 30, True, None, timedelta(seconds=-1)])
def test_lengths_of_time_that_are_refused(store: kiromi.Store, value: Any) -> None:
    with pytest.raises(InvalidInput, match=r"retain=.* accepted: .* 12h, 30d"):
        store.gc(value)
    with pytest.raises(InvalidInput, match="grace="):
        store.gc(grace=value)


@pytest.mark.parametrize("value", ["0", "90s", "15m", "12h", "30d", "8w", "999999w", timedelta(0), timedelta(hours=3)])
def test_lengths_of_time(store: kiromi.Store, value: Any) -> None:
    assert store.gc(value, grace=value).is_empty


def test_who_may(store: kiromi.Store, root: Path) -> None:
    with pytest.raises(InvalidInput, match="whole tenant"):
        store.scoped(ANA).gc("0")
    with pytest.raises(InvalidInput, match="a transaction is open"), store.transaction():
        store.gc("0", dry_run=False)
    store.close()
    with kiromi.open(root, read_only=True) as reader:
        assert reader.gc("0").is_empty
        with pytest.raises(InvalidInput, match="read-only"):
            reader.gc("0", dry_run=False)


# -- any life ----------------------------------------------------------------------------------------------------------


@settings(max_examples=8)
@given(lives(10), st.data())
def test_any_life_leaves_exactly_what_is_needed(
    tmp_path_factory: pytest.TempPathFactory, life: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    check_life(tmp_path_factory.mktemp("gc") / "store", life, data)


@pytest.mark.torture
@settings(max_examples=300)
@given(lives(40), st.data())
def test_many_lives_leave_exactly_what_is_needed(
    tmp_path_factory: pytest.TempPathFactory, life: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    check_life(tmp_path_factory.mktemp("gc") / "store", life, data)


def check_life(root: Path, life: list[tuple[Any, ...]], data: st.DataObject) -> None:
    """Live, collect, and live on, twice; compare with plain loops over what there was."""
    with kiromi.open(root, scheme=SCHEME, embedder="hash:4", durability="relaxed") as store:
        for _ in range(2):
            for step in life:
                live_on(store, step)
            versions = intervals(store)
            shown = [snapshot.seq for snapshot in store.snapshots()]
            pin = data.draw(st.none() | st.integers(store._base.session.gc_floor, store.seq), label="pin")
            moments = sorted({*shown, *([] if pin is None else [pin])})
            before = {seq: now(store.at(seq)) for seq in moments}
            floor = store.seq if pin is None else pin
            job = None if pin is None else begin_job(store, pin)
            plan = store.gc("0")
            report = store.gc("0", dry_run=False)
            expected = surviving(versions, moments, max(floor, report.floor))
            assert report.versions == plan.versions == len(versions - expected)
            check_what_is_left(store, root, expected)
            assert {seq: now(store.at(seq)) for seq in moments} == before
            if job is not None:
                end_job(store, job)


def now(view: kiromi.StoreView) -> Any:
    """Return what a view shows as live then; the past of that past goes with gc."""
    found = [answer(view.get, memory_id) for memory_id in IDS]
    there = [None if isinstance(one, str) else one for one in found]
    return there, view.to_arrow(with_content=True).to_pylist(), view.links(), view.scheme
