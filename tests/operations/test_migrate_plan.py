"""Plans of scheme migrations: numbers, what cannot be mapped, mappers, and what binds a plan."""

import copy
import dataclasses
import importlib
import json
import pickle
import sys
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import kiromi
from kiromi import InvalidInput, Memory, MemoryInfo, MigrationConflict
from kiromi.operations.migrate.mapping import load_mapper
from kiromi.reports.migration import MigrationPlan, Relocation
from tests.operations.erasing import places_of
from tests.operations.migrating import FIRST, SECOND, attributes, check, fill, migrate, plan, tree


def by_number(info: MemoryInfo) -> Mapping[str, Any]:
    return {"parity": ("even", "odd")[int(str(info.attributes["n"])) % 2]}


def with_words(memory: Memory) -> Mapping[str, Any]:
    return {"words": len(memory.text.split())}


def test_a_plan_counts_what_would_move(store: kiromi.Store) -> None:
    ids = fill(store, 6)
    store.append("alone", {"user": "zoe"})
    found = plan(store, "user={user}/parity={n:truncate(2)|none}")
    assert (found.moved, found.unmoved, found.unmapped) == (7, 0, ())
    assert (found.before.partitions, found.before.count, found.before.size_bytes) == (7, 7, 6 * 6 + 5)
    assert (found.after.partitions, found.after.count, found.after.size_bytes) == (7, 7, 41)
    assert found.samples[0] == Relocation(ids[0], "user=U0/topic=t0", "user=U0/parity=0")
    assert (found.cost.renames, found.cost.copies, found.cost.requests) == (7, 0, 0)
    assert found.size_bytes == 41


def test_layouts_name_the_largest_the_smallest_and_the_middle(store: kiromi.Store) -> None:
    fill(store, 6)
    store.append("more", {"user": "U0"})
    found = plan(store, "{user}")
    assert found.after.largest is not None
    assert (found.after.largest.path, found.after.largest.count) == ("U0", 3)
    assert found.after.smallest is not None
    assert found.after.smallest.count == 2
    assert found.after.median == 2
    assert [size.path for size in found.after.shown] == ["U0", "U1", "U2"]


def test_what_lies_right_already_is_not_counted_as_moved(store: kiromi.Store) -> None:
    fill(store, 4)
    found = plan(store, "user={user}/topic={topic}")
    assert (found.moved, found.unmoved) == (0, 4)
    report = migrate(store, "user={user}/topic={topic}")
    assert (report.moved, report.unmoved) == (0, 4)
    assert {info.scheme for info in store.list().items} == {2}
    check(store)


def test_a_dry_run_writes_nothing(store: kiromi.Store, root: Path) -> None:
    fill(store, 5)
    before = (store.seq, tree(root), store.scheme, store.stats(), store.snapshots())
    plan(store, SECOND, set={"x": "{user}"}, mapper=by_number)
    assert (store.seq, tree(root), store.scheme, store.stats(), store.snapshots()) == before
    assert store.migration_status() is None


def test_a_read_only_handle_can_plan_and_not_run(store: kiromi.Store, root: Path) -> None:
    fill(store, 3)
    store.close()
    with kiromi.open(root, read_only=True) as reader:
        assert plan(reader, SECOND).moved == 3
        for call in (reader.rollback_migration, reader.resume_migration, reader.pause_migration):
            with pytest.raises(InvalidInput, match="read-only"):
                call()
        with pytest.raises(InvalidInput, match="read-only"):
            reader.migrate_scheme(SECOND)
        with pytest.raises(InvalidInput, match="read-only"):
            reader.evolve_scheme(SECOND)


def test_everything_that_cannot_be_mapped_is_named_before_anything_moves(store: kiromi.Store, root: Path) -> None:
    ids = fill(store, 4)
    odd = [store.append("x", {"user": "a"}, attributes={"n": "text"}).id, store.append("y", {"user": "b"}).id]
    before = tree(root), store.seq
    found = plan(store, "n={n:month|none}")
    assert [each.id for each in found.unmapped] == [*ids, odd[0]]
    with pytest.raises(InvalidInput, match="nothing was moved") as caught:
        store.migrate_scheme("n={n:truncate(10)}/{topic|none}")
    assert [each[0] for each in caught.value.details["unmapped"]] == [odd[1]]
    assert (tree(root), store.seq) == before


def test_skip_leaves_what_cannot_be_mapped_and_says_so(store: kiromi.Store) -> None:
    fill(store, 4)
    bad = store.append("y", {"user": "b"})
    report = migrate(store, "n={n}", on_error="skip")
    assert report.moved == 4
    assert [(each.id, each.path) for each in report.left] == [(bad.id, "user=b/topic=inbox")]
    assert "'n' is absent" in report.left[0].reason
    assert store.get(bad.id).path == bad.path
    status = store.migration_status()
    assert status is not None
    assert (status.left, status.done, status.total, status.status) == (1, 4, 4, "done")
    check(store)


def test_set_fills_attributes_in_the_grammar_of_schemes(store: kiromi.Store) -> None:
    fill(store, 4)
    store.append("none", {"user": "X"})
    report = migrate(store, "area={area}", set={"area": "{user:lower}", "label": "fixed", "t": "{topic|-}"})
    assert report.moved == 5
    found = attributes(store)
    assert {str(each["area"]) for each in found.values()} == {"u0", "u1", "u2", "x"}
    assert {each["label"] for each in found.values()} == {"fixed"}
    assert sorted({str(each["t"]) for each in found.values()}) == ["-", "t0", "t1"]
    check(store)


@pytest.mark.parametrize(
    ("sets", "problem"),
    [
        ({"kind": "{user}"}, "none of id, key"),
        ({"a": "{user}/{topic}"}, "not one segment"),
        ({"a": "x={user}"}, "not one segment"),
        ({"a": "{user:nonsense}"}, "unknown"),
        (["a"], "not a mapping"),
    ],
)
def test_a_set_that_makes_no_sense_is_refused(store: kiromi.Store, sets: Any, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        store.migrate_scheme("{a}", set=sets)


def test_what_set_cannot_fill_is_unmapped(store: kiromi.Store) -> None:
    memory = store.append("x", {"user": "a"})
    found = plan(store, "{a|none}", set={"a": "{absent}"})
    assert [(each.id, each.reason) for each in found.unmapped] == [
        (memory.id, "set 'a': field 'absent' is absent and has no default; given: 'user'")
    ]


def test_a_mapper_is_called_once_for_each_memory_before_anything_moves(store: kiromi.Store, root: Path) -> None:
    ids = fill(store, 7)
    before = tree(root)
    seen: list[str] = []

    def mapper(info: MemoryInfo) -> Mapping[str, Any]:
        assert tree(root) == before
        assert not isinstance(info, Memory)
        seen.append(info.id)
        return by_number(info)

    report = migrate(store, "{parity}", mapper=mapper, batch_size=2)
    assert sorted(seen) == ids
    assert report.moved == 7
    assert {info.id: info.partition["parity"] for info in store.list().items} == {
        memory_id: ("even", "odd")[n % 2] for n, memory_id in enumerate(ids)
    }
    check(store)


def test_a_mapper_that_asks_for_it_gets_the_content(store: kiromi.Store) -> None:
    fill(store, 3)
    store.append("one two three four", {"user": "a"})
    migrate(store, "words={words}", mapper=with_words)
    assert sorted(str(info.partition["words"]) for info in store.list().items) == ["2", "2", "2", "4"]


def test_a_mapper_that_is_a_string_annotation_gets_the_content_too(store: kiromi.Store) -> None:
    fill(store, 1)
    seen = []

    def mapper(memory: "Memory") -> None:
        seen.append(memory.text)

    plan(store, SECOND, mapper=mapper)
    assert seen == ["text 0"]


def test_a_mapper_that_fails_is_told_for_each_memory(store: kiromi.Store) -> None:
    ids = fill(store, 6)

    def mapper(info: MemoryInfo) -> Any:
        number = ids.index(info.id)
        if number == 0:
            raise RuntimeError("no idea")
        return [None, {"x": object()}, {"kind": "y"}, ["z"], {"n": None}][number - 1]

    found = plan(store, SECOND, mapper=mapper)
    assert {each.id: each.reason for each in found.unmapped} == {
        ids[0]: "the mapper raised RuntimeError: no idea",
        ids[2]: next(each.reason for each in found.unmapped if each.id == ids[2]),
        ids[3]: "the mapper sets 'kind', which is no attribute",
        ids[4]: "the mapper returned a list; accepted: a mapping of attributes to set, or None",
    }
    assert "cannot be stored" in next(each.reason for each in found.unmapped if each.id == ids[2])
    migrate(store, SECOND, mapper=mapper, on_error="skip")
    assert "n" not in store.get(ids[5]).attributes  # None removes
    check(store)


def test_a_mapper_goes_over_set(store: kiromi.Store) -> None:
    fill(store, 2)
    migrate(store, "{a}/{b}", set={"a": "set", "b": "set"}, mapper=lambda info: {"b": "mapped"})
    assert {(str(each["a"]), str(each["b"])) for each in attributes(store).values()} == {("set", "mapped")}


def test_a_mapper_that_cannot_be_called_is_refused(store: kiromi.Store) -> None:
    with pytest.raises(InvalidInput, match="cannot be called"):
        store.migrate_scheme(SECOND, mapper="text")  # type: ignore[arg-type]


def test_a_plan_is_kept_as_json_and_bound_by_its_digest(store: kiromi.Store) -> None:
    fill(store, 4)
    made = plan(
        store, SECOND, set={"x": "{n}"}, mapper=by_number, within={"user": "U0", "topic": "t1"}, on_error="skip"
    )
    document = json.loads(json.dumps(made.to_json()))
    again = MigrationPlan.from_json(document)
    assert again == dataclasses.replace(made, targets=None)
    assert again.mapper == "tests.operations.test_migrate_plan:by_number"
    for name, value in (
        ("template", FIRST),
        ("set", {}),
        ("mapper", None),
        ("mapper_digest", None),
        ("within", {}),
        ("on_error", "abort"),
        ("store", "another"),
        ("seq", 0),
    ):
        with pytest.raises(InvalidInput, match="digest"):
            MigrationPlan.from_json({**document, name: value})
    others: dict[str, Any] = {"moved": 99, "former": SECOND, "samples": [], "cost": [0, 0, 0, 0]}
    for name, other in others.items():
        with pytest.raises(InvalidInput, match="checksum"):
            MigrationPlan.from_json({**document, name: other})
    with pytest.raises(InvalidInput, match="format"):
        MigrationPlan.from_json({**document, "format": 2})
    with pytest.raises(InvalidInput, match="no migration plan"):
        MigrationPlan.from_json({"template": "x"})


def test_a_scope_keeps_its_types_in_the_json(store: kiromi.Store) -> None:
    store.append("x", {"user": "a"})
    store.evolve_scheme("{user}/{day}/{price}/{ratio}")
    within = {"day": date(2026, 1, 2), "price": Decimal("1.50"), "ratio": 2.0}
    made = plan(store, SECOND, within=within)
    again = MigrationPlan.from_json(json.loads(json.dumps(made.to_json())))
    assert dict(again.within) == within
    assert [type(value) for value in again.within.values()] == [date, Decimal, float]


def test_a_plan_is_carried_out_with_what_changed_since(store: kiromi.Store) -> None:
    ids = fill(store, 5)
    calls: list[str] = []

    def mapper(info: MemoryInfo) -> Mapping[str, Any]:
        calls.append(info.id)
        return by_number(info)

    made = plan(store, "{parity}", mapper=mapper)
    store.update(ids[0], attributes={"n": 11})
    store.delete(ids[1])
    new = fill(store, 1, start=7)
    calls.clear()
    report = migrate(store, plan=made, mapper=mapper)
    assert sorted(calls) == sorted([ids[0], *new])  # only what changed
    assert (report.moved, report.deleted) == (5, 1)
    assert {info.id: info.partition["parity"] for info in store.list().items} == {
        ids[0]: "odd", ids[2]: "even", ids[3]: "odd", ids[4]: "even", new[0]: "odd",
    }  # fmt: skip
    check(store)


def test_a_plan_from_a_file_loads_its_mapper(store: kiromi.Store) -> None:
    fill(store, 3)
    made = MigrationPlan.from_json(plan(store, "{parity}", mapper=by_number).to_json())
    with pytest.raises(InvalidInput, match=r"not 'tests\.operations\.test_migrate_plan:with_words'"):
        store.migrate_scheme(plan=made, mapper=with_words)
    assert migrate(store, plan=made).moved == 3
    lost = plan(store, SECOND, mapper=lambda info: None)
    with pytest.raises(InvalidInput, match="give the function itself"):
        store.migrate_scheme(plan=MigrationPlan.from_json(lost.to_json()))


def test_a_mapper_that_was_edited_since_is_refused(
    store: kiromi.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 3)
    file = tmp_path / "edited_mapper.py"
    monkeypatch.syspath_prepend(tmp_path)

    def loaded(text: str) -> Any:
        sys.modules.pop("edited_mapper", None)
        file.write_text(f"SIGN = {text!r}\n\ndef sign(memory):\n    return {{'sign': SIGN}}\n")
        importlib.invalidate_caches()
        return load_mapper("edited_mapper:sign")

    made = MigrationPlan.from_json(plan(store, "{sign}", mapper=loaded("a")).to_json())
    with pytest.raises(InvalidInput, match="'edited_mapper:sign' is not what it was"):
        store.migrate_scheme(plan=made, mapper=loaded("other"))
    assert migrate(store, plan=made, mapper=loaded("a")).moved == 3


@pytest.mark.parametrize(
    ("text", "problem"),
    [("def sign(:", "SyntaxError"), ("1 / 0", "ZeroDivisionError"), ("sign = 5", "is a int and cannot be called")],
)
def test_a_mapper_that_cannot_be_loaded_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, problem: str
) -> None:
    (tmp_path / "broken_mapper.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_mapper", raising=False)
    with pytest.raises(InvalidInput, match=f"'broken_mapper:sign'.*{problem}"):
        load_mapper("broken_mapper:sign")


def test_a_plan_stops_if_something_new_cannot_be_mapped(store: kiromi.Store, root: Path) -> None:
    fill(store, 3)
    made = plan(store, "{n}")
    new = store.append("x", {"user": "a"})
    before = tree(root)
    with pytest.raises(InvalidInput, match=new.id):
        store.migrate_scheme(plan=made)
    assert tree(root) == before
    assert store.migration_status() is None


@pytest.mark.parametrize("deleted", [True, False])
def test_a_plan_can_be_carried_out_once_what_hindered_it_was_mended(store: kiromi.Store, *, deleted: bool) -> None:
    fill(store, 3)
    odd = store.append("x", {"user": "a"})
    made = plan(store, "{n}")
    with pytest.raises(InvalidInput, match=odd.id):
        store.migrate_scheme(plan=made)
    if deleted:
        store.delete(odd.id)
    else:
        store.update(odd.id, attributes={"user": "a", "n": 7})
    assert migrate(store, plan=made).moved == (3 if deleted else 4)
    check(store)


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("planned", [True, False])
def test_what_was_erased_since_it_was_planned_does_not_come_back(
    store: kiromi.Store, root: Path, count: int, *, planned: bool
) -> None:
    ids = [store.append("x", {"user": f"secret{n}"}).id for n in range(4)]
    gone = ids[:count]

    def erase(what: str, done: int, total: int) -> None:
        if what == "plan" and store.exists(gone[0]):
            store.erase(gone, dry_run=False)

    if planned:
        made = plan(store, "{more}", set={"more": "{user}"})
        erase("plan", 4, 4)
        report = migrate(store, plan=made)
    else:
        report = migrate(store, "{more}", set={"more": "{user}"}, on_progress=erase)
    assert (report.moved, report.deleted) == (4 - count, 0)
    check(store)
    store.close()
    assert places_of(root, *gone, *(f"secret{n}" for n in range(count))) == set()


def test_a_plan_that_was_altered_is_worked_out_anew(store: kiromi.Store) -> None:
    fill(store, 4)
    made = plan(store, SECOND)
    migrate(store, plan=dataclasses.replace(made, template="{user}"))
    assert {each.path for each in store.partitions()} == {"U0", "U1", "U2"}
    check(store)


def test_a_plan_can_be_copied_and_sent(store: kiromi.Store) -> None:
    fill(store, 4)
    made = plan(store, SECOND)
    document = dataclasses.asdict(made)
    assert (document["template"], document["moved"]) == (SECOND, 4)
    assert copy.deepcopy(made) == made
    sent = pickle.loads(pickle.dumps(made))
    assert sent == made
    assert sent.targets is None
    assert migrate(store, plan=sent).moved == 4
    check(store)


@pytest.mark.parametrize("mapper", [None, by_number])
def test_a_plan_of_another_time_or_store_is_refused(store: kiromi.Store, tmp_path: Path, mapper: Any) -> None:
    fill(store, 3)
    made = plan(store, SECOND, mapper=mapper)
    with kiromi.open(tmp_path / "other", scheme=FIRST) as other:
        fill(other, 9)
        for each in (made, MigrationPlan.from_json(made.to_json())):
            with pytest.raises(InvalidInput, match="another store's"):
                other.migrate_scheme(plan=each)
    with pytest.raises(InvalidInput, match="of another copy"):
        store.migrate_scheme(plan=dataclasses.replace(made, seq=99, targets=None))
    store.evolve_scheme("{user}")
    with pytest.raises(MigrationConflict, match="plan anew"):
        store.migrate_scheme(plan=made)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "needs a template"),
        ({"new": "{"}, "segment"),
        ({"new": SECOND, "on_error": "ignore"}, "on_error"),
        ({"new": SECOND, "batch_size": 0}, "batch_size"),
        ({"new": SECOND, "pause_s": -1}, "pause_s"),
        ({"new": SECOND, "pause_s": float("inf")}, "pause_s"),
        ({"plan": {}}, "accepted: the MigrationPlan of a dry run"),
        ({"new": SECOND, "within": "user"}, "not a mapping"),
        ({"new": SECOND, "within": {"nobody": 1}}, "nobody"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(store: kiromi.Store, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        store.migrate_scheme(**options)


def test_plan_leaves_no_room_for_other_arguments(store: kiromi.Store) -> None:
    made = plan(store, SECOND)
    with pytest.raises(InvalidInput, match="leave them out"):
        store.migrate_scheme(SECOND, plan=made)


def test_schemes_are_not_for_scoped_handles(store: kiromi.Store) -> None:
    fill(store, 2)
    scoped = store.scoped({"user": "U0"})
    migrate(store, SECOND)
    lay = store.get_many(store.list_ids())
    for call in (
        lambda: scoped.migrate_scheme(FIRST),
        lambda: scoped.migrate_scheme(FIRST, dry_run=True),
        lambda: scoped.evolve_scheme(FIRST),
        scoped.migration_status,
        scoped.pause_migration,
        scoped.resume_migration,
        scoped.rollback_migration,
    ):
        with pytest.raises(InvalidInput, match="whole tenant"):
            call()
    assert store.get_many(store.list_ids()) == lay
