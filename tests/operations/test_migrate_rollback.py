"""Rollbacks: back to the very tree that was there, at any moment, with what others wrote since kept and told."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kiromi
from kiromi import MigrationConflict
from kiromi.partition import Scheme
from tests.operations.migrating import (
    FIRST,
    SECOND,
    Stopped,
    after_batches,
    attributes,
    check,
    contents,
    fill,
    migrate,
    tree,
)


@pytest.mark.parametrize("stop_after", [1, 2, 3, 4, None])
def test_the_tree_and_the_attributes_are_as_they_were(store: kiromi.Store, root: Path, stop_after: int | None) -> None:
    fill(store, 8)
    before = tree(root), attributes(store), contents(store)
    sets = {"area": "{user:lower}", "user": "{n}"}
    if stop_after is None:
        migrate(store, "{area}/{user}", set=sets, mapper=lambda info: {"n": None, "m": 1}, batch_size=2)
    else:
        with pytest.raises(Stopped):
            store.migrate_scheme("{area}/{user}", set=sets, batch_size=2, on_progress=after_batches(stop_after))
    report = store.rollback_migration(batch_size=3)
    assert report.is_rollback
    assert (report.moved, report.left, report.kept) == (8 if stop_after is None else 2 * stop_after, (), 0)
    assert (tree(root), attributes(store), contents(store)) == before
    assert store.scheme == FIRST
    assert {info.scheme for info in store.list().items} == {1}
    assert store.append("x", {"user": "a"}).partition == {"user": "a", "topic": "inbox"}
    check(store)


def test_the_digest_is_as_it_was_whatever_the_sign_of_a_zero(store: kiromi.Store) -> None:
    for zero in (0.0, -0.0):
        store.append("text", {"user": "a"}, importance=zero, confidence=zero)
    before = store.digest()
    migrate(store, SECOND)
    store.rollback_migration()
    assert store.digest() == before


def test_a_rollback_that_was_stopped_goes_on(store: kiromi.Store, root: Path) -> None:
    fill(store, 8)
    before = tree(root), attributes(store)
    migrate(store, SECOND, set={"x": "{n}"})
    with pytest.raises(Stopped):
        store.rollback_migration(batch_size=3, on_progress=after_batches(1))
    status = store.migration_status()
    assert status is not None
    assert (status.is_rollback, status.status, status.done, status.total) == (True, "running", 3, 8)
    with pytest.raises(MigrationConflict, match="a rollback to"):
        store.migrate_scheme("{n}")
    with pytest.raises(MigrationConflict, match="being rolled back"):
        store.rollback_migration()
    check(store)
    store.close()
    with kiromi.open(root) as again:
        assert again.resume_migration().moved == 8
        assert (tree(root), attributes(again)) == before
        check(again)
        with pytest.raises(MigrationConflict, match="rolled back already"):
            again.rollback_migration()
        assert migrate(again, SECOND).moved == 8


def test_nothing_to_roll_back(store: kiromi.Store) -> None:
    with pytest.raises(MigrationConflict, match="no migration"):
        store.rollback_migration()


def test_what_was_written_since_is_kept_and_told(store: kiromi.Store, root: Path) -> None:
    ids = fill(store, 8)
    migrate(store, SECOND, set={"x": "{n}", "y": "{user}"})
    store.update(ids[0], content="changed", attributes={"topic": "other"})
    store.update(ids[1], attributes={"x": "my own"})
    store.delete(ids[2])
    store.delete(ids[3])
    store.undelete(ids[3])
    new = store.append("new", {"user": "N"})
    report = store.rollback_migration(batch_size=3)
    assert (report.moved, report.kept, report.left) == (7, 1, ())
    changed, own = store.get(ids[0]), store.get(ids[1])
    assert changed.path == f"data/user=U0/topic=other/{ids[0]}.2.md"
    assert (changed.text, changed.attributes) == ("changed", {"user": "U0", "topic": "other", "n": 0})
    assert own.attributes == {"user": "U1", "topic": "t1", "n": 1, "x": "my own"}
    assert store.get(ids[3]).path == f"data/user=U0/topic=t1/{ids[3]}.1.md"
    assert store.get(new.id).path == new.path
    assert store.undelete(ids[2]).scheme == 2  # it comes back under the scheme that it had last
    check(store)


def test_folders_that_an_unfinished_run_left_empty_go_too(store: kiromi.Store, root: Path) -> None:
    ids = fill(store, 6)
    migrate(store, "{n}")
    with pytest.raises(Stopped):
        store.migrate_scheme(SECOND, batch_size=3, on_progress=after_batches(1))
    store.delete(ids[0])
    store.update(ids[1], attributes={"n": 70})
    assert store.rollback_migration().moved == 2
    assert {path for path in tree(root) if "/" not in path} == {"2", "3", "4", "5", "70"}
    check(store)


def test_what_cannot_go_back_stays_and_is_told(store: kiromi.Store) -> None:
    ids = fill(store, 4)
    migrate(store, "n={n}")
    lost = store.update(ids[1], attributes={"user": None})
    report = store.rollback_migration()
    assert report.moved == 3
    assert [(each.id, each.path) for each in report.left] == [(ids[1], "n=1")]
    assert "'user' is absent" in report.left[0].reason
    assert store.get(ids[1]).path == lost.path
    check(store)


def test_what_changes_while_it_goes_back_goes_back_all_the_same(store: kiromi.Store) -> None:
    ids = fill(store, 6)
    migrate(store, SECOND, set={"x": "{n}"})

    def meanwhile() -> None:
        store.update(ids[4], attributes={"topic": "late"})
        store.delete(ids[5])

    report = store.rollback_migration(batch_size=2, on_progress=after_batches(1, meanwhile))
    assert (report.moved, report.changed, report.deleted) == (5, 1, 1)
    assert store.get(ids[4]).attributes == {"user": "U1", "topic": "late", "n": 4}
    assert store.get(ids[4]).partition == {"user": "U1", "topic": "late"}
    check(store)


def test_mixed_layouts_go_back_to_what_they_were(store: kiromi.Store, root: Path) -> None:
    fill(store, 4)
    store.evolve_scheme("n={n}")
    fill(store, 4, start=4)
    before = tree(root), {info.id: info.scheme for info in store.list().items}
    assert migrate(store, SECOND).moved == 8
    store.rollback_migration()
    assert (tree(root), {info.id: info.scheme for info in store.list().items}) == before
    assert store.scheme == "n={n}"
    check(store)


def test_a_rollback_leaves_a_scheme_that_was_chosen_since(store: kiromi.Store) -> None:
    fill(store, 4)
    migrate(store, SECOND)
    store.evolve_scheme("n={n}")
    store.rollback_migration()
    assert store.scheme == "n={n}"
    check(store)


def test_the_set_before_holds_again(store: kiromi.Store) -> None:
    fill(store, 2)
    migrate(store, "{x}", set={"x": "{user:lower}"})
    migrate(store, "{y}", set={"y": "{user}"})
    store.rollback_migration()
    assert store.append("x", attributes={"user": "ANA"}).partition == {"x": "ana"}


def test_a_rollback_says_what_gc_took(store: kiromi.Store) -> None:
    ids = fill(store, 4)
    migrate(store, SECOND)
    caller = store._caller()
    with caller.session.lease, caller.session.catalog.transaction() as cursor:
        cursor.execute("DELETE FROM history WHERE id = ?", [ids[1]])
    report = store.rollback_migration()
    assert report.moved == 3
    assert [(each.id, each.reason) for each in report.left] == [(ids[1], "gc has removed what it was before")]
    check(store)


# -- any memories, any schemes -----------------------------------------------------------------------------------------

_values = st.sampled_from(["a", "B", "é %/", "a=b", "__HIVE_DEFAULT_PARTITION__", " x.", None, 7, 1.5, True])
_memories = st.lists(
    st.fixed_dictionaries({"p": _values}, optional={"q": _values, "r": _values}), min_size=1, max_size=12
)
_segments = st.sampled_from(
    [
        "x={p}",
        "{p:lower|z}",
        "{q|none}",
        "r={r|-}",
        "b={id:bucket(3)}",
        "fixed",
        "k={kind}",
        "{q:bucket(2)|0}",
        "{s|no}",
    ]
)


def _template(segments: list[str]) -> str:
    try:
        return Scheme.parse("/".join(segments)).template
    except kiromi.InvalidInput:  # two of them have one name
        return segments[0]


_templates = st.lists(_segments, min_size=1, max_size=3).map(_template)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(memories=_memories, first=_templates, second=_templates, size=st.integers(1, 5), stop=st.integers(0, 4))
def test_a_rollback_gives_the_same_tree(
    tmp_path_factory: pytest.TempPathFactory,
    memories: list[dict[str, object]],
    first: str,
    second: str,
    size: int,
    stop: int,
) -> None:
    root = tmp_path_factory.mktemp("store") / "s"
    with kiromi.open(root, scheme="{p}") as store:
        for memory in memories:
            store.append("x", attributes=memory)
        migrate(store, first, on_error="skip")
        before = tree(root), attributes(store), {info.id: (info.scheme, info.version) for info in store.list().items}
        with contextlib.suppress(Stopped):
            on_progress = after_batches(stop)
            store.migrate_scheme(
                second, set={"s": "{p:lower|-}"}, on_error="skip", batch_size=size, on_progress=on_progress
            )
        check(store)
        store.rollback_migration(batch_size=size)
        assert (tree(root), attributes(store)) == before[:2]
        assert {info.id: (info.scheme, info.version) for info in store.list().items} == before[2]
        check(store)
