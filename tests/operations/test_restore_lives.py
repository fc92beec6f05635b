"""Restore against random lives: what is restored equals what was, in every answer, and so does what is undone (P11)."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kiromi
from kiromi.embed.hashing import HashingEmbedder
from kiromi.operations.restore import plan as plan_module
from tests.operations.conftest import SCHEME
from tests.operations.remembering import IDS, hits, live_on, lives, steps
from tests.operations.restoring import state

ANA = {"user": "ana"}
Life = list[tuple[Any, ...]]
_more = st.lists(steps, min_size=1, max_size=8)


def check_whole(root: Path, before: Life, after: Life) -> None:
    with kiromi.open(root, scheme=SCHEME, durability="relaxed", embedder=HashingEmbedder(16)) as store:
        for step in before:
            live_on(store, step)
        snapshot = store.snapshot()
        then, found = state(store), hits(store)
        for step in after:
            live_on(store, step)
        now, found_now, seq = state(store), hits(store), store.seq
        planned = store.restore(snapshot, dry_run=True)
        report = store.restore(snapshot)
        assert report.left == ()
        assert store.diff(snapshot).is_empty
        assert (state(store), hits(store)) == (then, found)
        assert {name: getattr(planned, name) for name in _COUNTS} == {name: getattr(report, name) for name in _COUNTS}
        assert store.restore(snapshot).snapshot is None
        if report.snapshot is None:
            assert store.seq == seq
        else:
            assert store.restore(report.snapshot).left == ()
        assert store.diff(seq).is_empty
        assert (state(store), hits(store)) == (now, found_now)
        assert not store.verify(read_data=True).problems
        assert store.audit_verify().is_clean


_COUNTS = ("removed", "back", "changed", "moved", "links", "size_bytes", "scheme")


def check_part(root: Path, before: Life, after: Life) -> None:
    """Restore a partition: it is what it was, and what lies in it neither now nor then is not touched."""
    with kiromi.open(root, scheme=SCHEME, durability="relaxed") as store:
        for step in before:
            live_on(store, step)
        snapshot = store.snapshot()
        meant = set(store.list_ids(ANA))
        for step in after:
            live_on(store, step)
        meant |= set(store.list_ids(ANA))
        scheme = store.scheme
        others = {memory.id: memory for memory in store.get_many(store.list_ids()) if memory.id not in meant}
        report = store.restore(snapshot, within=ANA)
        left = {one.id for one in report.left}
        diff = store.diff(snapshot, within=ANA)
        assert {one.id for one in (*diff.added, *diff.removed, *diff.changed, *diff.moved)} <= left
        assert all("superseded" in one.reason for one in report.left)
        assert {memory.id: memory for memory in store.get_many(store.list_ids()) if memory.id not in meant} == others
        assert store.scheme == scheme
        assert not store.verify(read_data=True).problems


@settings(max_examples=12)
@given(before=lives(6), after=_more)
def test_a_restored_store_answers_as_it_did(before: Life, after: Life) -> None:
    with TemporaryDirectory() as root:
        check_whole(Path(root) / "s", before, after)


@settings(max_examples=12)
@given(before=lives(6), after=_more)
def test_a_restored_partition_is_what_it_was(before: Life, after: Life) -> None:
    with TemporaryDirectory() as root:
        check_part(Path(root) / "s", before, after)


@pytest.mark.torture
@settings(max_examples=300)
@given(before=lives(20), after=st.lists(steps, min_size=1, max_size=25))
def test_long_lives(before: Life, after: Life) -> None:
    with TemporaryDirectory() as root:
        check_whole(Path(root) / "s", before, after)
        check_part(Path(root) / "t", before, after)


# -- keys that change hands --------------------------------------------------------------------------------------------

_keyed = st.lists(
    st.tuples(st.sampled_from(IDS), st.sampled_from(["a", "b", "c", None, "delete", "undelete"])), max_size=12
)


def take(store: kiromi.Store, steps: list[tuple[str, str | None]]) -> None:
    for memory_id, key in steps:
        try:
            if key in ("delete", "undelete"):
                getattr(store, key)(memory_id)
            elif store.exists(memory_id):
                store.update(memory_id, key=key)
            else:
                store.append("text", ANA, id=memory_id, key=key)
        except (kiromi.NotFound, kiromi.AlreadyExists):
            continue


@settings(max_examples=15)
@given(before=_keyed, after=_keyed, size=st.integers(1, 3))
def test_keys_come_back_to_their_memories(
    before: list[tuple[str, str | None]], after: list[tuple[str, str | None]], size: int
) -> None:
    with TemporaryDirectory() as root, pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_module, "BATCH", size)
        with kiromi.open(Path(root) / "s", scheme=SCHEME, durability="relaxed") as store:
            take(store, before)
            snapshot = store.snapshot()
            take(store, after)

            def check(what: str, done: int, total: int) -> None:
                keys = store.to_arrow(columns=["key"]).column("key").drop_null().to_pylist()
                assert len(keys) == len(set(keys))

            assert store.restore(snapshot, on_progress=check).left == ()
            assert store.diff(snapshot).is_empty
            for memory in store.get_many(store.list_ids()):
                assert memory.key is None or store.get(key=memory.key).id == memory.id
