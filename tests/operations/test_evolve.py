"""Evolving the scheme: new memories follow another one, old ones stay, and both are found, pruned and read as one."""

from pathlib import Path
from typing import Any

import pytest

import kiromi
from kiromi import InvalidInput
from kiromi.operations.select import Selection
from tests.operations.migrating import FIRST, check, fill, migrate, tree

OTHER = "year={year}/user={user}"


@pytest.fixture
def mixed(store: kiromi.Store) -> kiromi.Store:
    fill(store, 6)
    store.evolve_scheme(OTHER)
    store.append_many({"content": f"new {n}", "attributes": {"user": f"U{n % 3}", "year": 2026}} for n in range(6))
    return store


def test_only_new_memories_follow_the_new_scheme(mixed: kiromi.Store, root: Path) -> None:
    assert mixed.scheme == OTHER
    assert {path.split("/")[0] for path in tree(root)} == {"user=U0", "user=U1", "user=U2", "year=2026"}
    assert mixed.append("x", attributes={"user": "a", "year": 1}).path.startswith("data/year=1/user=a/")
    check(mixed)


def test_an_update_keeps_the_scheme_that_a_memory_follows(mixed: kiromi.Store) -> None:
    first = mixed.list_ids()[0]
    assert mixed.update(first, attributes={"user": "Z"}).path == f"data/user=Z/topic=t0/{first}.1.md"
    mixed.delete(first)
    assert mixed.undelete(first).scheme == 1
    check(mixed)


def test_scopes_and_filters_reach_both_layouts(mixed: kiromi.Store) -> None:
    assert mixed.count(within={"user": "U1"}) == mixed.count(where={"user": "U1"}) == 4
    assert mixed.count(within={"year": 2026}) == mixed.count(where={"year": 2026}) == 6
    assert mixed.count(within={"topic": "t1"}) == 3
    assert mixed.count(within={"user": "u1"}) == 0
    assert {hit.attributes["user"] for hit in mixed.search("text new", within={"user": "U2"}, mode="text")} == {"U2"}
    scoped = mixed.scoped({"user": "U0"})
    assert scoped.count() == 4
    assert {part.path: part.count for part in mixed.partitions(depth=1)} == {
        "user=U0": 2, "user=U1": 2, "user=U2": 2, "year=2026": 6
    }  # fmt: skip


def test_filters_prune_each_layout_by_its_own_scheme(mixed: kiromi.Store) -> None:
    plan = mixed.sql("SELECT scheme, count(*) AS n FROM memories GROUP BY scheme ORDER BY scheme")
    assert plan is not None
    assert mixed.list_ids(where={"$and": [{"user": "U1"}, {"year": {"$exists": True}}]}) == [
        info.id for info in mixed.list(within={"user": "U1", "year": 2026}).items
    ]


def test_an_earlier_scheme_comes_back_under_its_number(mixed: kiromi.Store, root: Path) -> None:
    seq = mixed.seq
    mixed.evolve_scheme(FIRST)
    assert mixed.append("x", {"user": "a"}).scheme == 1
    mixed.evolve_scheme(FIRST)  # it is active already: nothing happens
    assert mixed.seq == seq + 2
    assert [entry.op for entry in mixed.audit(seq)] == ["evolve_scheme", "append"]
    mixed.close()
    with pytest.warns(UserWarning, match="earlier one"), kiromi.open(root, scheme=OTHER) as again:
        assert again.scheme == FIRST
    with pytest.raises(kiromi.SchemeMismatch):
        kiromi.open(root, scheme="never={never}")


def test_a_later_migration_moves_the_rest(mixed: kiromi.Store) -> None:
    report = migrate(mixed, OTHER, set={"year": "{n:truncate(10)|2026}"})
    assert report.moved == 6
    assert {info.scheme for info in mixed.list().items} == {2}
    check(mixed)


@pytest.mark.parametrize("template", ["", "{", "{user}/{user}", 5])
def test_a_template_that_makes_no_sense_is_refused(store: kiromi.Store, template: str) -> None:
    with pytest.raises(InvalidInput):
        store.evolve_scheme(template)
    assert store.scheme == FIRST


@pytest.mark.parametrize("arguments", [({"user": "ana"}, None), (None, {"user": "ana"})])
def test_a_call_sees_what_follows_a_scheme_that_came_after_it_began(store: kiromi.Store, arguments: Any) -> None:
    for user in ("ana", "bob"):
        store.append("before", {"user": user})
    with store._call() as caller:
        selection = Selection.of(caller, *arguments)
        store.evolve_scheme("who={user}")
        for user in ("ana", "bob"):
            store.append("after", {"user": user})
        with caller.reading() as (_, cursor):
            condition = selection.condition(cursor)
            query = f"SELECT m.id FROM memories m JOIN contents c USING (id, n) WHERE {condition.sql}"
            assert len(cursor.execute(query, condition.parameters).fetchall()) == 2
