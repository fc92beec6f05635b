"""Processes and threads that share a store: they take turns, or are told who holds it."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

import kiromi
from kiromi import InvalidInput, StoreLocked
from kiromi.session import following
from kiromi.session.lease import USED_AFTER_FORK
from kiromi.session.lock import StoreLock
from tests.protocol.expected import IDS, SCHEME
from tests.protocol.processes import python

X = IDS[0]

HOLD = """
    with kiromi.open(root, scheme=SCHEME) as store:
        with store.transaction() as tx:
            tx.append("held", {"topic": "held"})
            say("busy")
            hear()
        say("done")
        hear()
"""
# Each writes its name beside the number: an update to what the store already holds is forgiven whatever the version.
COUNT = """
    import os, threading
    from kiromi import VersionConflict
    store = kiromi.open(root, wait=60)

    def count():
        for _ in range(12):
            while True:
                memory = store.get(key="counter")
                try:
                    count = int(memory.text.split()[0]) + 1
                    who = f"{os.getpid()}.{threading.get_ident()}"
                    store.update(memory.id, content=f"{count} {who}", expected_version=memory.version)
                    break
                except VersionConflict:
                    continue

    threads = [threading.Thread(target=count) for _ in range(2)]
    say("ready")
    hear()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    say("done")
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


def test_an_idle_store_is_handed_over_and_back(root: Path) -> None:
    code = """
        store = kiromi.open(root)
        while hear():
            store.append("theirs", {"topic": "b"})
            say(store.count())
    """
    with kiromi.open(root, scheme=SCHEME) as store, python(code, root) as other:
        for turn in range(1, 4):
            store.append("ours", {"topic": "a"})
            assert store.count() == 2 * turn - 1
            other.say()
            assert other.hear() == str(2 * turn)
        assert len(store.list_ids({"topic": "b"})) == 3
        assert len(store.get_many(store.list_ids())) == 6


@pytest.mark.parametrize("many", [0, 1_000], ids=["anew", "advanced"])
def test_a_process_follows_a_migration_by_another(root: Path, monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    monkeypatch.setattr(following, "_MANY", many)
    code = """
        with kiromi.open(root) as store:
            store.migrate_scheme("by={topic}", batch_size=2)
            store.delete(store.list_ids()[0])
            store.append("theirs", {"topic": "c"})
            say("done")
    """
    with kiromi.open(root, scheme=SCHEME) as store:
        for number in range(5):
            store.append(f"number {number}", {"topic": f"t{number}"})
        with python(code, root) as other:
            assert other.hear() == "done"
        assert {info.path.split("/")[1] for info in store.list().items} == {"by=t1", "by=t2", "by=t3", "by=t4", "by=c"}
        assert len(store.get_many(store.list_ids())) == store.count() == 5
        assert store.verify(read_data=True).problems == ()


def test_no_update_is_lost_between_two_processes_of_two_threads(root: Path) -> None:
    with kiromi.open(root, scheme=SCHEME) as store:
        store.put("0", {"topic": "a"}, key="counter")
    with python(COUNT, root) as one, python(COUNT, root) as other:
        for process in (one, other):
            assert process.hear() == "ready"
        for process in (one, other):
            process.say()
        assert [process.hear() for process in (one, other)] == ["done", "done"]
    with kiromi.open(root) as store:
        memory = store.get(key="counter")
        assert (memory.text.split()[0], memory.version) == ("48", 49)
        assert store.verify(read_data=True).problems == ()
        assert store.audit_verify().problems == ()


def test_who_waits_in_vain_is_told_who_holds_the_store(root: Path) -> None:
    with python(HOLD, root) as holder:
        assert holder.hear() == "busy"
        with pytest.raises(StoreLocked, match=rf"process {holder.pid} on .* within 0 s") as caught:
            kiromi.open(root, wait=0)
        assert str(holder.pid) in caught.value.details["holder"]
        with pytest.raises(StoreLocked):
            kiromi.open(root, wait=0.05, read_only=True)
        holder.say()
        assert holder.hear() == "done"
        with kiromi.open(root, wait=30) as store:
            assert store.count() == 1


def test_a_killed_holder_frees_the_store_and_leaves_nothing_of_its_transaction(root: Path) -> None:
    with kiromi.open(root, scheme=SCHEME) as store:
        store.append("before", {"topic": "a"})
    with python(HOLD, root) as holder:
        assert holder.hear() == "busy"
        holder.kill()
    with kiromi.open(root, wait=5) as store:
        assert (store.count(), store.seq) == (1, 1)


def test_a_process_that_waits_gets_the_store_when_the_holder_is_done(root: Path) -> None:
    code = """
        say("asking")
        with kiromi.open(root, wait=60) as store:
            say(store.count())
    """
    with kiromi.open(root, scheme=SCHEME) as store:
        with store.transaction() as tx, python(code, root) as other:
            tx.append("one", {"topic": "a"})
            assert other.hear() == "asking"
            tx.append("two", {"topic": "a"})
        with python(code, root) as other:
            assert [other.hear(), other.hear()] == ["asking", "2"]


def test_readers_share_the_store_and_keep_writers_out_while_they_read(root: Path) -> None:
    code = """
        store = kiromi.open(root, read_only=True)
        say(store.get(key="k").text)
        hear()
        say(store.count())
    """
    with kiromi.open(root, scheme=SCHEME) as store:
        store.put("text", {"topic": "a"}, key="k")
    with python(code, root) as one, python(code, root) as other:
        assert [one.hear(), other.hear()] == ["text", "text"]
        lock = StoreLock(root / "default" / "lock", shared=True)
        lock.acquire(5)  # shared with them: they need not let go
        lock.close()
        one.say()
        other.say()
        assert [one.hear(), other.hear()] == ["1", "1"]


def test_a_reader_lets_a_writer_in_and_sees_what_it_wrote(root: Path) -> None:
    with kiromi.open(root, scheme=SCHEME) as store:
        store.append("one", {"topic": "a"})
    code = """
        with kiromi.open(root, wait=30) as store:
            store.append("two", {"topic": "a"})
        say("done")
    """
    with kiromi.open(root, read_only=True, wait=30) as reader, python(code, root) as other:
        assert other.hear() == "done"
        assert reader.count() == 2
        with pytest.raises(InvalidInput, match="read-only"):
            reader.append("three", {"topic": "a"})


def test_two_handles_of_one_process_share_a_session(root: Path) -> None:
    with kiromi.open(root, scheme=SCHEME, actor="one") as one:
        with kiromi.open(root, actor="two", wait=0) as two, kiromi.open(root, read_only=True, wait=0) as reader:
            memory = one.append("one", {"topic": "a"})
            assert two.update(memory.id, title="t").version == 2
            assert reader.get(memory.id).title == "t"
        assert [entry.actor for entry in one.audit()] == ["one", "two"]
        with pytest.raises(InvalidInput, match="closed"):
            two.count()
        with pytest.raises(InvalidInput, match="durability"):
            kiromi.open(root, durability="relaxed")


def test_closing_waits_for_calls_in_progress_and_refuses_later_ones(root: Path) -> None:
    store = kiromi.open(root, scheme=SCHEME)
    done: list[str] = []
    refused: list[BaseException] = []

    def write(number: int) -> None:
        try:
            done.extend(store.append(f"{number}.{i}", {"topic": "a"}).id for i in range(100_000))
        except InvalidInput as error:
            refused.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    while len(done) < 20:
        time.sleep(0.001)
    store.close()
    for thread in threads:
        thread.join()
    assert [str(error) for error in refused] == ["the store is closed"] * 3
    with kiromi.open(root) as again:
        assert set(again.list_ids()) == set(done)


def test_closing_within_a_call_of_the_same_thread_is_refused(root: Path) -> None:
    with kiromi.open(root, scheme=SCHEME) as store:
        with store.transaction() as tx:
            tx.append("one", {"topic": "a"})
            with pytest.raises(InvalidInput, match="within"):
                store.close()
        assert store.count() == 1


@pytest.mark.parametrize("ending", ["os._exit(0)", "sys.exit(0)"])
def test_a_forked_child_cannot_use_or_harm_the_store_nor_keep_its_lock(root: Path, ending: str) -> None:
    code = f"""
        import os
        from kiromi import InvalidInput
        store = kiromi.open(root, scheme=SCHEME)
        memory = store.append("before", {{"topic": "a"}})
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                store.get(memory.id)
            except InvalidInput as error:
                os.write(1, f"{{error}}\\n".encode())
            store.close()
            os.read(read, 1)
            {ending}
        store.append("after the fork", {{"topic": "a"}})
        say(store.count())
        os.write(write, b"x")
        say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        store.append("after the child", {{"topic": "a"}})
        say(store.count())
        hear()
    """
    with python(code, root) as parent:
        assert sorted([parent.hear(), parent.hear()]) == [
            "2",
            USED_AFTER_FORK,
        ]
        assert [parent.hear(), parent.hear()] == ["0", "3"]
        parent.kill()
    with kiromi.open(root, wait=5) as store:
        assert store.count() == 3
        assert store.verify(read_data=True).problems == ()


def test_the_lock_outlives_neither_its_holder_nor_is_it_kept_by_a_child(root: Path) -> None:
    code = """
        import os, time
        store = kiromi.open(root, scheme=SCHEME)
        if os.fork() == 0:
            say(os.getpid())
            time.sleep(60)
            os._exit(0)
        hear()
    """
    with python(code, root) as parent:
        child = int(parent.hear())
        parent.kill()
        try:
            with kiromi.open(root, scheme=SCHEME, wait=5) as store:
                assert store.count() == 0
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_child_may_open_the_store_anew(root: Path) -> None:
    with kiromi.open(root, scheme=SCHEME) as store:
        store.append("parent's", {"topic": "a"})
        with python(
            'with kiromi.open(root, wait=30) as s: s.append("child\'s", {"topic": "a"}); say(s.count())', root
        ) as p:
            assert p.hear() == "2"
        assert store.count() == 2


LONG = """
    store = kiromi.open(root, scheme=SCHEME)

    def records():
        for number in range(10):
            yield {"content": str(number), "partition": {"topic": "a"}}
        say("reading")
        hear()
        for number in range(5):
            yield {"content": str(number), "partition": {"topic": "a"}}

    store.append_many(records(), batch_size=5)
    say(store.count())
"""


def test_another_process_has_its_turn_between_the_batches_of_a_bulk_append(root: Path) -> None:
    with python(LONG, root) as bulk:
        assert bulk.hear() == "reading"
        with kiromi.open(root, wait=30) as store:
            assert store.count() in (5, 10)
            store.append("in between", {"topic": "b"})
        bulk.say("go on")
        assert bulk.hear() == "16"


def test_a_hand_over_does_not_keep_a_call_from_the_call_that_it_waits_for(root: Path) -> None:
    asker = """
        try:
            kiromi.open(root, wait=WAIT)
            say("had its turn")
        except kiromi.StoreLocked:
            say("gave up")
    """
    with kiromi.open(root, scheme=SCHEME) as store:
        memory = store.append("x", {"topic": "a"})
        with store.transaction() as tx:
            tx.append("y", {"topic": "a"})
            for wait in ("0.5", "30"):
                with python(asker.replace("WAIT", wait), root) as other:
                    texts: list[str] = []
                    deadline = time.monotonic() + 10
                    while not store._base.session.lease._is_giving and time.monotonic() < deadline:
                        time.sleep(0.005)
                    reader = threading.Thread(target=lambda found=texts: found.append(store.get(memory.id).text))
                    reader.start()
                    reader.join(20)
                    assert texts == ["x"]
                    if wait == "0.5":
                        assert other.hear() == "gave up"
        assert store.count() == 2


def test_a_lock_that_readers_hold_is_not_said_to_be_the_last_writers(root: Path) -> None:
    kiromi.open(root, scheme=SCHEME).close()
    path = root / "default" / "lock"
    assert path.read_bytes() == b""
    reader, writer = StoreLock(path, shared=True), StoreLock(path, shared=False)
    reader.acquire(5)
    with pytest.raises(StoreLocked, match="in use by read-only processes or a process that is closing and"):
        writer.acquire(0)
    reader.close()
    writer.acquire(5)
    reader = StoreLock(path, shared=True)
    with pytest.raises(StoreLocked, match=f"in use by process {os.getpid()} on "):
        reader.acquire(0)
    reader.close()
    writer.close()
    assert path.read_bytes() == b""


def test_a_later_handle_does_not_shorten_the_wait_of_an_earlier_one(root: Path) -> None:
    with (
        kiromi.open(root, scheme=SCHEME, wait=60) as patient,
        kiromi.open(root, wait=0),
        python(HOLD, root) as holder,
    ):
        assert holder.hear() == "busy"
        release = threading.Timer(0.3, holder.say)
        release.start()
        assert patient.count() == 1
        release.join()
