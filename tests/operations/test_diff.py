"""diff: exactly what differs between two moments, in either order, within any scope."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings

import kiromi
from kiromi.operations.diff import text_diff
from tests.operations.conftest import SCHEME
from tests.operations.remembering import evolve, live_on, lives, move

ANA = {"user": "ana"}
BOB = {"user": "bob"}


# -- against a model ---------------------------------------------------------------------------------------------------


def state(store: kiromi.Store) -> dict[str, Any]:
    """Return all memories and links of a store, by what names them."""
    memories = {memory.id: memory for memory in store.get_many(store.list_ids())}
    return {
        "memories": memories,
        "links": {(link.src, link.dst, link.kind): (link.weight, link.note) for link in store.links()},
    }


PLAIN = ("title", "tags", "kind", "key", "namespace", "superseded_by", "superseded_at", "expires_at", "media_type")


def fields_of(before: kiromi.Memory, after: kiromi.Memory) -> set[str]:
    found = {name for name in PLAIN if getattr(before, name) != getattr(after, name)}
    found |= {"content"} if before.data != after.data else set()
    found |= {"partition"} if Path(before.path).parent != Path(after.path).parent else set()
    found |= {"scheme"} if before.scheme != after.scheme else set()
    for name in before.attributes.keys() | after.attributes.keys():
        old, new = (
            (name in one.attributes, type(one.attributes.get(name)), one.attributes.get(name))
            for one in (before, after)
        )
        found |= {f"attributes.{name}"} if old != new else set()
    return found


def expected(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return what differs between two states, in plain Python."""
    old, new = before["memories"], after["memories"]
    fields = {i: fields_of(old[i], new[i]) for i in old.keys() & new.keys()}
    links = before["links"].keys() | after["links"].keys()
    return {
        "added": {i: new[i].info() for i in new.keys() - old.keys()},
        "removed": {i: old[i].info() for i in old.keys() - new.keys()},
        "changed": {i: names for i, names in fields.items() if names - {"partition", "scheme"}},
        "moved": {i: names for i, names in fields.items() if names and not names - {"partition", "scheme"}},
        "links": {key for key in links if before["links"].get(key) != after["links"].get(key)},
    }


def found(diff: kiromi.Diff) -> dict[str, Any]:
    return {
        "added": {one.id: one.after for one in diff.added},
        "removed": {one.id: one.before for one in diff.removed},
        "changed": {one.id: set(one.fields) for one in diff.changed},
        "moved": {one.id: set(one.fields) for one in diff.moved},
        "links": {(one.last.src, one.last.dst, one.last.kind) for one in diff.links},
    }


def check(life: list[tuple[Any, ...]]) -> None:
    with TemporaryDirectory() as root, kiromi.open(Path(root) / "s", scheme=SCHEME, durability="relaxed") as store:
        ana = store.scoped(ANA)
        states: dict[int, Any] = {0: (state(store), state(ana))}
        for step in life:
            live_on(store, step)
            states[store.seq] = (state(store), state(ana))
        for a, b in product(states, states):
            for handle, before, after in zip((store, ana), states[a], states[b], strict=True):
                diff = handle.diff(a, b, content=True)
                assert found(diff) == expected(before, after), (a, b)
                assert diff.is_empty == (not any(found(diff).values()))
                for one in (*diff.changed, *diff.moved):
                    assert (one.before, one.after) == tuple(
                        side["memories"][one.id].info() for side in (before, after)
                    ), (a, b)
                    assert (one.text is not None) == ("content" in one.fields)
            assert (
                found(store.diff(a, b, ANA)) == found(ana.diff(a, b)) or states[a][1]["links"] or states[b][1]["links"]
            )


@settings(max_examples=5)
@given(life=lives(6))
def test_a_diff_is_what_the_model_says(life: list[tuple[Any, ...]]) -> None:
    check(life)


@pytest.mark.torture
@settings(max_examples=60)
@given(life=lives(20))
def test_diffs_of_long_lives(life: list[tuple[Any, ...]]) -> None:
    check(life)


# -- one by one --------------------------------------------------------------------------------------------------------


def test_what_was_added_removed_and_changed(store: kiromi.Store) -> None:
    kept, gone = store.append("kept", ANA, title="t"), store.append("gone", ANA)
    store.snapshot("then")
    store.update(kept.id, title="u", attributes={"n": 1})
    store.delete(gone.id)
    new = store.append("new", BOB)
    diff = store.diff("then")
    assert (diff.before_seq, diff.after_seq) == (2, store.seq)
    [added], [removed], [changed] = diff.added, diff.removed, diff.changed
    assert (added.id, added.before, added.after, added.fields, added.text) == (new.id, None, new.info(), (), None)
    assert (removed.before, removed.after, removed.last) == (gone.info(), None, gone.info())
    assert (changed.before, changed.fields) == (kept.info(), ("title", "attributes.n"))
    assert changed.last == changed.after == store.get(kept.id).info()
    assert (diff.moved, diff.links, diff.is_empty) == ((), (), False)
    back = store.diff("live", "then")
    assert (back.added[0].after, back.removed[0].before) == (gone.info(), new.info())
    assert (back.changed[0].after, back.changed[0].fields) == (kept.info(), ("title", "attributes.n"))


def test_what_was_changed_back_is_no_difference(store: kiromi.Store) -> None:
    memory, other = store.append("a", ANA), store.append("b", ANA)
    then = store.seq
    store.update(memory.id, content="b", tags=["x"])
    store.update(memory.id, content="a", tags=[])
    store.delete(memory.id)
    store.undelete(memory.id)
    store.link(memory.id, other.id)
    store.unlink(memory.id, other.id)
    store.delete(store.append("short-lived", ANA).id)
    assert store.diff(then).is_empty
    assert store.diff(then, then).is_empty
    assert [one.fields for one in store.diff(then + 1).changed] == [("content", "tags")]


def test_types_of_attributes_are_told_apart(store: kiromi.Store) -> None:
    memory = store.append("a", ANA, attributes={"n": 1, "d": Decimal("1.0"), "t": True, "topic": None})
    store.update(memory.id, attributes={"n": 1.0, "d": Decimal("1.00"), "t": True})
    store.update(memory.id, attributes={"n": True, "d": Decimal("1.00"), "topic": "inbox"})
    assert store.diff(1, 2).changed[0].fields == ("attributes.d", "attributes.n")
    assert store.diff(2, 3).changed[0].fields == ("partition", "attributes.n", "attributes.topic")


def test_a_memory_that_only_lies_elsewhere_has_moved(store: kiromi.Store) -> None:
    memory, edited = store.append("a", ANA), store.append("b", ANA)
    store.snapshot("then")
    evolve(store)
    move(store, memory.id)
    move(store, edited.id)
    store.update(edited.id, content="c")
    diff = store.diff("then")
    [moved], [changed] = diff.moved, diff.changed
    assert (moved.id, moved.fields) == (memory.id, ("partition", "scheme"))
    assert moved.before == memory.info()
    assert moved.after is not None
    assert moved.after.path == f"data/kind=episodic/user=ana/{memory.id}.1.md"
    assert changed.fields == ("content", "partition", "scheme")


def test_expired_memories_count_like_others(store: kiromi.Store) -> None:
    past = datetime(2020, 1, 1, tzinfo=UTC)
    memory = store.append("a", ANA, expires_at=past)
    assert store.diff(0).added[0].id == memory.id
    store.update(store.append("b", ANA).id, expires_at=past)
    assert store.diff(2).changed[0].fields == ("expires_at",)


def test_a_memory_that_crosses_the_border_of_a_scope_is_added_or_removed(store: kiromi.Store) -> None:
    leaves, comes = store.append("leaves", ANA), store.append("comes", BOB)
    store.append("stays with bob", BOB)
    store.update(leaves.id, attributes=BOB)
    store.update(comes.id, attributes=ANA)
    ana = store.scoped(ANA)
    for diff in (store.diff(3, within=ANA), ana.diff(3)):
        assert [one.before for one in diff.removed] == [leaves.info()]
        assert [one.last.id for one in diff.added] == [comes.id]
        assert diff.changed == diff.moved == ()
    assert ana.diff(3, within=BOB).is_empty
    assert [one.fields for one in store.diff(3).changed] == [("partition", "attributes.user")] * 2
    with pytest.raises(kiromi.InvalidInput, match="no scheme of this store has"):
        store.diff(3, within={"nothing": "x"})


def test_links(store: kiromi.Store) -> None:
    a, b, c = (store.append(text, {"user": user}) for text, user in (("a", "ana"), ("b", "ana"), ("c", "bob")))
    store.link(a.id, b.id, weight=1)
    store.link(a.id, c.id, "derived")
    then = store.seq
    store.link(a.id, b.id, weight=2)
    store.unlink(a.id, c.id)
    store.link(b.id, "https://example.org/x")
    diff = store.diff(then)
    told = {(one.last.kind, one.last.dst): one for one in diff.links}
    changed = told["explicit", f"kiromi://memory/{b.id}"]
    assert changed.before is not None
    assert changed.after is not None
    assert (changed.before.weight, changed.after.weight) == (1, 2)
    assert told["derived", f"kiromi://memory/{c.id}"].after is None
    assert told["explicit", "https://example.org/x"].before is None
    assert len(diff.links) == 3
    assert not diff.is_empty
    mine = store.scoped(ANA).diff(then).links
    assert {one.last.dst for one in mine} == {f"kiromi://memory/{b.id}", "https://example.org/x"}


# -- contents ----------------------------------------------------------------------------------------------------------


def test_contents_are_compared_line_by_line(store: kiromi.Store) -> None:
    memory = store.append("one\ntwo\nthree\n", ANA)
    picture = store.append(b"\xff", ANA, media_type="image/png")
    untouched = store.append("u", ANA)
    store.update(memory.id, content="one\n2\nthree\n")
    store.update(picture.id, content=b"\xfe")
    store.update(untouched.id, title="t")
    new = store.append("new", ANA)
    diff = store.diff(3, content=True)
    texts = {one.id: one.text for one in (*diff.changed, *diff.added)}
    place = "data/user=ana/topic=inbox"
    assert texts[memory.id] == (
        f"--- {place}/{memory.id}.1.md\n+++ {place}/{memory.id}.2.md\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n"
    )
    assert texts[new.id] == (
        f"--- /dev/null\n+++ {place}/{new.id}.1.md\n@@ -0,0 +1 @@\n+new\n\\ No newline at end of file\n"
    )
    assert texts[picture.id] is texts[untouched.id] is None
    assert store.diff(3).changed[0].text is None
    assert store.diff("live", 3, content=True).removed[0].text == (
        f"--- {place}/{new.id}.1.md\n+++ /dev/null\n@@ -1 +0,0 @@\n-new\n\\ No newline at end of file\n"
    )


def test_text_diffs_are_those_of_git() -> None:
    assert text_diff(b"same", b"same", "a", "b") == ""
    assert text_diff(b"", b"", "a", "b") == ""
    # Only a newline ends a line: what str.splitlines takes for ends stays within.
    assert text_diff("a\u2028b\x0cc\n".encode(), b"a\r\n", "a", "b") == (
        "--- a\n+++ b\n@@ -1 +1 @@\n-a\u2028b\x0cc\n+a\r\n"
    )
    assert text_diff(b"a\n", b"a", "a", "b") == "--- a\n+++ b\n@@ -1 +1 @@\n-a\n+a\n\\ No newline at end of file\n"
    assert "+\ufffd" in text_diff(b"", b"\xff\n", "a", "b")
