"""restore, gc and erase upon each other: what one of them relies on and another takes away (P4, P6, P14)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kiromi
from kiromi.ids import ERASED_ID
from kiromi.operations import diff as diff_module
from kiromi.operations.restore import plan as plan_module
from tests.operations.erasing import places_of
from tests.operations.restoring import ANA, BOB, check_sound, reasons


class Stop(Exception):
    pass


def stop(what: str, done: int, total: int) -> None:
    raise Stop


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "BATCH", 1)


def once(act: Callable[[], Any]) -> Callable[[str, int, int], None]:
    """Return an ``on_progress`` that does something after the first batch."""
    left = iter([act])

    def on_progress(what: str, done: int, total: int) -> None:
        next(left, lambda: None)()

    return on_progress


def test_a_restore_brings_nothing_back_of_what_is_erased_meanwhile(store: kiromi.Store, root: Path) -> None:
    made = [store.append(f"{i}", ANA).id for i in range(4)]
    secret = store.append("secret", BOB).id
    store.link(made[3], secret, note="a note about the secret")
    store.supersede(made[2], secret)
    store.snapshot("then")
    store.unlink(made[3], secret)
    store.unsupersede(made[2])
    for memory_id in made:
        store.update(memory_id, tags=["x"])
    report = store.restore("then", on_progress=once(lambda: store.erase([secret], dry_run=False)))
    assert (report.batches, report.left, store.links()) == (4, (), [])
    assert store.get(made[2]).superseded_by == ERASED_ID
    assert secret not in str([store.audit(), store.supersessions(), store.list().items, report.sample])
    check_sound(store)
    store.close()
    assert places_of(root, secret) == set()


def test_a_stopped_restore_of_ids_goes_on_though_one_was_erased(store: kiromi.Store) -> None:
    made = [store.append(f"{i}", ANA).id for i in range(4)]
    store.snapshot("then")
    for memory_id in made:
        store.update(memory_id, content="changed")
    with pytest.raises(Stop):
        store.restore("then", ids=made, on_progress=stop)
    store.erase([made[3]], dry_run=False)
    report = store.restore("then", ids=made)
    assert (report.is_resumed, report.changed, report.left) == (True, 2, ())
    with pytest.raises(kiromi.MemoryNotFound, match=made[3]):
        store.restore("then", ids=made)
    with pytest.raises(kiromi.MemoryNotFound, match=made[3]):
        store.restore("then", ids=made, dry_run=True)


def test_a_stopped_restore_goes_on_though_its_snapshot_was_deleted(store: kiromi.Store) -> None:
    made = [store.append(f"{i}", ANA).id for i in range(3)]
    seq = store.snapshot("then").seq
    for memory_id in made:
        store.update(memory_id, content="changed")
    for memory_id in made:
        store.update(memory_id, content="changed again")
    assert store.gc("0", dry_run=False).floor > seq
    with pytest.raises(Stop):
        store.restore("then", on_progress=stop)
    store.delete_snapshot("then")
    for snapshot in store.snapshots():
        store.delete_snapshot(snapshot)
    store.gc("0", dry_run=False)
    report = store.restore(seq)
    assert (report.is_resumed, report.changed, report.left) == (True, 2, ())
    assert [store.get(memory_id).text for memory_id in made] == ["0", "1", "2"]
    with pytest.raises(kiromi.SnapshotNotFound):
        store.at(seq)
    check_sound(store)


def test_versions_count_on_though_gc_removed_the_last_ones(store: kiromi.Store) -> None:
    made = store.append("one", ANA)
    store.snapshot("then")
    store.update(made.id, content="two")
    store.update(made.id, content="three")
    store.delete(made.id)
    assert store.gc("0", dry_run=False).versions == 2
    store.restore("then")
    back = store.get(made.id)
    assert (back.text, back.version) == ("one", 4)
    with pytest.raises(kiromi.VersionConflict):
        store.update(made.id, content="of somebody who read the second", expected_version=2)
    assert store.update(made.id, content="four", expected_version=4).path.endswith(".4.md")


def test_an_older_version_is_not_undeleted_when_the_entry_of_the_deletion_was_scrubbed(store: kiromi.Store) -> None:
    other, made = store.append("other", ANA).id, store.append("one", ANA).id
    store.snapshot("then")
    store.update(made, content="two")
    with store.context(reason=f"the same as {other}"):
        store.delete(made)
    store.erase([other], dry_run=False)
    store.gc("0", dry_run=False)
    with pytest.raises(kiromi.MemoryNotFound, match="gc has removed"):
        store.undelete(made)
    assert store.at("then").get(made).text == "one"


def test_a_scoped_restore_makes_no_loop_through_what_lies_outside(store: kiromi.Store) -> None:
    mine, other = store.append("mine", ANA).id, store.append("other", BOB).id
    store.supersede(mine, other)
    store.snapshot("then")
    store.unsupersede(mine)
    store.supersede(other, mine)
    store.delete(other)
    report = store.scoped(ANA).restore("then")
    assert reasons(report) == {mine: "the memory that superseded it then is superseded by it now"}
    assert store.get(mine).superseded_by is None


def test_an_import_counts_versions_on_too(store: kiromi.Store, tmp_path: Path) -> None:
    made = store.append("one", ANA).id
    store.snapshot("then")
    store.update(made, content="two")
    store.delete(made)
    store.gc("0", dry_run=False)
    source = tmp_path / "source.jsonl"
    source.write_text(json.dumps({"id": made, "content": "three", "attributes": ANA}))
    assert store.import_from(source).added == 1
    assert [version.info.version for version in store.history(made)] == [3, 1]
    assert store.get(made).path.endswith(".3.md")


def test_a_diff_does_not_leave_out_links_that_gc_took(store: kiromi.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = store.append("one", ANA).id, store.append("two", ANA).id
    store.link(one, two)
    seq = store.seq
    store.unlink(one, two)
    assert len(store.diff(seq).links) == 1

    def compare(*arguments: Any) -> Any:
        found = diff_compare(*arguments)
        store.gc("0", dry_run=False)
        return found

    diff_compare = diff_module.compare
    monkeypatch.setattr(diff_module, "compare", compare)
    with pytest.raises(kiromi.SnapshotNotFound):
        store.diff(seq)


def test_reasons_of_supersessions_name_nothing_erased(store: kiromi.Store) -> None:
    other, old, new = (store.append(text, ANA).id for text in ("other", "old", "new"))
    with store.context(reason=f"as {other} says"):
        store.supersede(old, new)
    store.erase([other], dry_run=False)
    assert [(one.winner, one.reason) for one in store.supersessions()] == [(new, None)]


def test_no_memory_gets_the_id_that_stands_for_erased_ones(store: kiromi.Store) -> None:
    with pytest.raises(kiromi.InvalidInput, match="zeros"):
        store.append("one", ANA, id=ERASED_ID)
    with pytest.raises(kiromi.InvalidInput, match="zeros"):
        store.append_many([{"content": "one", "attributes": ANA, "id": ERASED_ID}])
