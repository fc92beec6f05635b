"""What goes on while a migration runs: every read finds every memory, and no change is lost, undone or left behind."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

import kiromi
from tests.operations.migrating import SECOND, after_batches, check, contents, fill, migrate, running
from tests.protocol.processes import python


def test_changes_under_way_go_where_their_present_attributes_say(store: kiromi.Store) -> None:
    ids = fill(store, 8)

    def meanwhile() -> None:
        store.update(ids[5], attributes={"topic": "late"})
        store.update(ids[6], content="other")
        store.update(ids[0], attributes={"topic": "moved before"})
        store.delete(ids[7])
        store.delete(ids[4])
        store.undelete(ids[4])
        store.append("new", {"user": "N"})

    report = migrate(store, SECOND, set={"x": "{topic}"}, batch_size=3, on_progress=after_batches(1, meanwhile))
    assert (report.moved, report.changed, report.deleted) == (7, 3, 1)
    assert store.get(ids[5]).partition == {"topic": "late", "who": "u2"}
    assert store.get(ids[5]).attributes["x"] == "late"
    assert store.get(ids[6]).path == f"data/topic=t0/who=u0/{ids[6]}.2.md"
    assert store.get(ids[0]).partition == {"topic": "moved before", "who": "u0"}
    assert {info.scheme for info in store.list().items} == {2}
    back = store.undelete(ids[7])
    assert (back.scheme, back.partition) == (1, {"user": "U1", "topic": "t1"})
    check(store)


def test_what_a_mapper_said_holds_for_what_the_caller_left_alone(store: kiromi.Store) -> None:
    ids = fill(store, 6)
    calls: list[str] = []

    def mapper(info: kiromi.MemoryInfo) -> dict[str, object]:
        calls.append(info.id)
        return {"a": f"for {info.attributes['n']}", "topic": "mapped", "n": None}

    def meanwhile() -> None:
        store.update(ids[4], attributes={"a": "own"})
        store.update(ids[5], attributes={"topic": "own"})

    migrate(store, "{a}/{topic}", mapper=mapper, batch_size=2, on_progress=after_batches(1, meanwhile))
    assert len(calls) == 6
    assert store.get(ids[4]).attributes == {"user": "U1", "topic": "mapped", "a": "own"}
    assert store.get(ids[5]).attributes == {"user": "U2", "topic": "own", "a": "for 5"}
    check(store)


def test_what_a_caller_says_under_way_goes_over_set(store: kiromi.Store) -> None:
    ids = fill(store, 8)

    def meanwhile() -> None:
        store.update(ids[0], attributes={"topic": "own"})
        store.update(ids[4], attributes={"topic": "own"})
        store.update(ids[5], attributes={"topic": "own", "user": "V"})
        store.update(ids[6], attributes={"user": "V"})
        store.update(ids[7], attributes={"topic": None})

    migrate(store, SECOND, set={"topic": "{user}"}, batch_size=3, on_progress=after_batches(1, meanwhile))
    topics = [store.get(memory_id).attributes["topic"] for memory_id in (ids[0], *ids[3:])]
    assert topics == ["own", "U0", "own", "own", "V", "U1"]
    check(store)


@pytest.mark.parametrize("given", ["mapped", "t0", None])
def test_what_a_mapper_said_over_set_holds_too(store: kiromi.Store, given: str | None) -> None:
    ids = fill(store, 4)

    def meanwhile() -> None:
        store.update(ids[2], attributes={"n": 70})
        store.update(ids[3], attributes={"user": "V"}, event_at=datetime(2020, 1, 1, tzinfo=UTC))

    sets = {"topic": "{user}", "year": "{event_at:year}"}
    report = migrate(
        store,
        "{topic|none}/{year}",
        set=sets,
        mapper=lambda info: {"topic": given} if info.attributes["n"] in (0, 2) else None,
        batch_size=2,
        on_progress=after_batches(1, meanwhile),
    )
    assert report.changed == 2
    assert store.get(ids[2]).attributes.get("topic") == given
    assert (store.get(ids[3]).attributes["topic"], store.get(ids[3]).attributes["year"]) == ("V", "2020")
    check(store)


def test_what_can_no_longer_be_mapped_is_left_and_told(store: kiromi.Store) -> None:
    ids = fill(store, 4)
    report = migrate(
        store,
        "n={n}",
        batch_size=2,
        on_progress=after_batches(1, lambda: store.update(ids[3], attributes={"n": None})),
    )
    assert report.moved == 3
    assert [(each.id, each.path) for each in report.left] == [(ids[3], "user=U0/topic=t1")]
    check(store)


def test_an_optimistic_writer_is_not_disturbed(store: kiromi.Store) -> None:
    ids = fill(store, 4)
    versions = {memory_id: store.get(memory_id).version for memory_id in ids}
    migrate(store, SECOND, batch_size=2)
    for memory_id in ids:
        assert store.update(memory_id, content="new", expected_version=versions[memory_id]).version == 2
    check(store)


def test_a_reader_a_searcher_and_writers_go_on(store: kiromi.Store) -> None:
    _go_on(store, 1_500, 200)


@pytest.mark.torture
def test_a_reader_a_searcher_and_writers_go_on_with_twenty_thousand(store: kiromi.Store) -> None:
    _go_on(store, 20_000, 1_000)


def _go_on(store: kiromi.Store, count: int, batch_size: int) -> None:
    """Migrate and roll back while others read every memory, search and write."""
    ids = fill(store, count)
    expected = contents(store)
    mine = ids[::500]
    assert len(store.search("text", k=5, mode="text")) == 5
    numbers = itertools.count()

    def read() -> None:
        found = store.get_many(ids)
        assert [memory.id for memory in found] == ids
        for memory in found:
            if memory.id not in mine:
                assert (memory.version, memory.data) == expected[memory.id]

    def read_one_by_one() -> None:
        for memory_id in ids[::37]:
            assert store.get(memory_id).data.startswith(b"text")

    def search() -> None:
        hits = store.search("text", k=10, mode="text", within={"user": "U1"})
        assert len(hits) == 10
        assert {hit.attributes["user"] for hit in hits} == {"U1"}
        assert store.count(within={"topic": "t1"}) >= count // 2

    def write() -> None:
        for memory_id in mine:
            store.update(memory_id, content=f"text again {next(numbers)}")
        store.append("text new", {"user": "U1", "topic": "t1"})

    with running(read, read_one_by_one, search, write):
        report = migrate(store, SECOND, batch_size=batch_size, pause_s=0.01)
        assert report.moved >= count  # and what was appended before it began
        back = store.rollback_migration(batch_size=2 * batch_size)
    assert back.moved == report.moved
    assert set(ids) <= set(store.list_ids())
    check(store)


def test_writers_of_other_threads_get_their_turn(store: kiromi.Store) -> None:
    ids = fill(store, 400)
    done: list[int] = []
    with ThreadPoolExecutor(1) as pool:

        def write() -> None:
            done.extend(store.update(each, content="own").seq for each in ids[:5])

        future = pool.submit(write)
        migrate(store, SECOND, batch_size=20, on_progress=after_batches(1, future.result))
    assert len(done) == 5
    assert {info.scheme for info in store.list(limit=1_000).items} == {2}
    check(store)


OTHER = """
    with kiromi.open(root, wait=60) as store:
        say("ready")
        while hear() == "go":
            ids = store.list_ids()
            assert [memory.id for memory in store.get_many(ids)] == ids
            store.update(ids[-1], content=f"by the other, at {store.seq}")
            store.append("by the other", {"user": "O"})
            assert store.migration_status().status == "running"
            say("done")
    say("closed")
"""


def test_another_process_takes_its_turn_between_batches(store: kiromi.Store, root: Path) -> None:
    ids = fill(store, 9)
    store.append("x", {"user": "a"})
    with python(OTHER, root) as other:
        assert other.hear() == "ready"

        def turn(what: str, done: int, total: int) -> None:
            if what == "move" and done < total:
                other.say("go")
                assert other.hear() == "done"

        report = migrate(store, SECOND, batch_size=3, on_progress=turn)
        other.say("end")
        assert other.hear() == "closed"
    assert report.moved == 10
    assert set(ids) <= set(store.list_ids())
    assert store.count(where={"user": "O"}) == 3
    assert {info.scheme for info in store.list().items} == {2}
    check(store)


PAUSES = """
    with kiromi.open(root, wait=60) as store:
        hear()
        print(store.pause_migration().status, flush=True)
"""


def test_another_process_can_pause_it(store: kiromi.Store, root: Path) -> None:
    fill(store, 9)
    with python(PAUSES, root) as other:

        def pause() -> None:
            other.say()
            assert other.hear() == "paused"

        report = migrate(store, SECOND, batch_size=3, on_progress=after_batches(1, pause))
    assert (report.status, report.moved) == ("paused", 3)
    assert store.resume_migration().moved == 9


MIGRATES = """
    with kiromi.open(root, wait=60) as store:
        def progress(what, done, total):
            if what == "move":
                say(str(done))
                hear()
        store.migrate_scheme("n={n}", batch_size=3, on_progress=progress)
"""


def test_a_killed_migration_goes_on_elsewhere(store: kiromi.Store, root: Path) -> None:
    fill(store, 9)
    before = contents(store)
    with python(MIGRATES, root) as other:
        assert other.hear() == "3"
        other.say()
        assert other.hear() == "6"
        other.kill()
    check(store)
    assert contents(store) == before
    report = store.resume_migration()
    assert (report.moved, report.status) == (9, "done")
    check(store)
