"""A call that has to be the only one: it waits for those in progress, and those that begin meanwhile wait for it."""

import threading
from pathlib import Path

import pytest

import kiromi
from kiromi import InvalidInput
from tests.protocol.expected import SCHEME
from tests.protocol.processes import python


@pytest.fixture
def store(tmp_path: Path) -> kiromi.Store:
    return kiromi.open(tmp_path / "store", scheme=SCHEME, wait=60)


def test_calls_before_are_waited_for_and_calls_after_wait(store: kiromi.Store) -> None:
    lease = store._caller().session.lease
    events: list[str] = []
    is_in, may_go, is_alone, may_end = (threading.Event() for _ in range(4))

    def call() -> None:
        with lease:
            is_in.set()
            may_go.wait(60)
            events.append("call ends")

    def alone() -> None:
        with lease.alone():
            events.append("alone")
            with lease:  # calls within it are its own
                is_alone.set()
            may_end.wait(60)
            events.append("alone ends")

    def late() -> None:
        with lease:
            events.append("late call")

    threads = [threading.Thread(target=work) for work in (call, alone, late)]
    threads[0].start()
    assert is_in.wait(60)
    threads[1].start()
    assert not is_alone.wait(0.1)
    may_go.set()
    assert is_alone.wait(60)
    threads[2].start()
    threads[2].join(0.5)  # longer than a call waits for who waits itself
    assert events == ["call ends", "alone"]
    may_end.set()
    for thread in threads:
        thread.join(60)
    assert events == ["call ends", "alone", "alone ends", "late call"]
    store.close()


def test_a_call_that_is_waited_for_may_wait_for_another_one(store: kiromi.Store) -> None:
    lease = store._caller().session.lease
    is_in, is_over = threading.Event(), threading.Event()

    def alone() -> None:
        is_in.wait(60)
        with lease.alone():
            is_over.set()

    waiting, helper = threading.Thread(target=alone), threading.Thread(target=store.count)
    waiting.start()
    with lease:
        is_in.set()
        waiting.join(0.05)
        helper.start()
        helper.join(60)
        assert not helper.is_alive()
        assert not is_over.is_set()
        with pytest.raises(InvalidInput, match="within a call"), lease.alone():
            pass
    waiting.join(60)
    assert is_over.is_set()
    store.close()


def test_another_process_waits_for_the_end(store: kiromi.Store, tmp_path: Path) -> None:
    lease = store._caller().session.lease
    with python("with kiromi.open(root, wait=60) as store: say('open')", tmp_path / "store") as other:
        heard: list[str] = []
        listener = threading.Thread(target=lambda: heard.append(other.hear()))
        with lease.alone():
            listener.start()
            listener.join(1.0)
            assert heard == []
        listener.join(60)
        assert heard == ["open"]
        assert other.end() == 0
    with lease.alone():  # and takes the lock back
        assert store.count() == 0
    store.close()
