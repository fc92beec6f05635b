"""link, unlink, links and neighbours: what they hold, what they refuse, and that they say nothing beyond a scope."""

import contextlib
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kiromi

ANA = {"user": "ana"}
BOB = {"user": "bob"}
MAY = datetime(2026, 5, 1, tzinfo=UTC)
NOBODY = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
WEB = "https://example.org/a?b=c#d"
INBOX = "kiromi://partition/user=ana/topic=inbox"


def made(store: kiromi.Store, count: int = 3) -> list[str]:
    return [store.append(f"memory {number}", ANA).id for number in range(count)]


def uri(memory_id: str) -> str:
    return f"kiromi://memory/{memory_id}"


def arrows(links: list[kiromi.Link]) -> list[tuple[str, str, str]]:
    return [
        (link.src.removeprefix("kiromi://memory/"), link.dst.removeprefix("kiromi://memory/"), link.kind)
        for link in links
    ]


def reached(found: list[kiromi.Neighbour]) -> list[tuple[str, int, str]]:
    return [(neighbour.info.id, neighbour.depth, neighbour.direction) for neighbour in found]


def stored(root: Path) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(root / "default" / "catalog.duckdb"), read_only=True) as catalog:
        return catalog.execute(
            "SELECT kind, weight, note, begin_seq, end_seq FROM links ORDER BY begin_seq, kind"
        ).fetchall()


# -- making and ending -------------------------------------------------------------------------------------------------


def test_a_link_has_what_was_given(store: kiromi.Store) -> None:
    a, b, _ = made(store)
    with store.context(actor="agent", reason="saw it"):
        link = store.link(a, b, "derived", weight=2, note="why", valid_from=MAY, valid_until=MAY + timedelta(days=1))
    assert link == kiromi.Link(uri(a), uri(b), "derived", 2.0, "why", MAY, MAY + timedelta(days=1), store.seq, "agent")
    assert type(link.weight) is float
    assert store.links() == [link]
    plain = store.link(uri(b), a)
    assert (plain.kind, plain.weight, plain.note, plain.valid_from, plain.actor) == (
        "explicit",
        None,
        None,
        None,
        "tester",
    )
    entry = store.audit()[-2]
    assert (entry.op, entry.memory_id, entry.actor, entry.reason) == ("link", a, "agent", "saw it")
    assert entry.detail == {"src": uri(a), "dst": uri(b), "kind": "derived"}
    assert store.get(a).seq == 1, "the memories themselves are untouched"
    assert store.verify().is_clean


def test_the_same_again_changes_nothing_and_other_facts_replace_it(store: kiromi.Store, root: Path) -> None:
    a, b, _ = made(store)
    first = store.link(a, b, weight=1, note="n")
    with store.context(actor="another"):
        assert store.link(uri(a), b, weight=1.0, note="n") == first
    assert store.seq == 4
    second = store.link(a, b, weight=2, note="n")
    third = store.link(a, b)
    fourth = store.link(a, b, valid_from=MAY)
    other = store.link(a, b, "related", weight=1)
    back = store.link(b, a)
    assert store.links() == [fourth, other, back]
    assert [first.seq, second.seq, third.seq, fourth.seq, other.seq] == [4, 5, 6, 7, 8]
    assert [entry.detail.get("changed") for entry in store.audit(since=3)] == [
        None,
        ["weight"],
        ["weight", "note"],
        ["valid_from"],
        None,
        None,
    ]
    store.close()
    assert stored(root)[:4] == [
        ("explicit", 1.0, "n", 4, 5),
        ("explicit", 2.0, "n", 5, 6),
        ("explicit", None, None, 6, 7),
        ("explicit", None, None, 7, None),
    ]


def test_unlink_ends_one_kind_or_all(store: kiromi.Store, root: Path) -> None:
    a, b, c = made(store)
    for kind in ("explicit", "related", "part_of"):
        store.link(a, b, kind)
    store.link(b, a)
    store.link(a, c)
    assert store.unlink(a, b, "related") == 1
    assert store.unlink(a, b, "related") == 0
    assert store.unlink(c, a) == 0
    assert store.unlink(a, NOBODY) == 0
    assert store.seq == 9, "nothing to end is no operation"
    assert store.unlink(a, uri(b)) == 2
    assert [(entry.i, entry.op, entry.memory_id, entry.detail["kind"]) for entry in store.audit(since=9)] == [
        (0, "unlink", a, "explicit"),
        (1, "unlink", a, "part_of"),
    ]
    assert arrows(store.links()) == [(b, a, "explicit"), (a, c, "explicit")]
    again = store.link(a, b, "related")
    assert again.seq == store.seq == 11
    store.close()
    assert [(kind, *seqs) for kind, _, _, *seqs in stored(root) if kind == "related"] == [
        ("related", 5, 9),
        ("related", 11, None),
    ]


def test_ends_are_memories_partitions_or_anything_with_a_uri(store: kiromi.Store) -> None:
    a, _, _ = made(store)
    strange = store.append("x", {"user": "a b/c%", "topic": "é"})
    partition = strange.path.removeprefix("data/").rpartition("/")[0]
    for end in (INBOX, "kiromi://partition/user=ana", f"kiromi://partition/{partition}", WEB, "mailto:x@y", "urn:a:b"):
        assert store.link(a, end).dst == end
        assert store.link(end, a).src == end
        assert {link.src for link in store.links(end, "in")} == {uri(a)}
    assert store.audit()[-1].memory_id == a
    store.link(INBOX, WEB)
    assert store.audit()[-1].memory_id is None


@pytest.mark.parametrize(
    "end",
    [
        *("", "x", "no such", NOBODY.lower(), 7, None, "\ud800"),
        *("kiromi://memory/x", "kiromi://memory/", "kiromi://other/x", "kiromi:x", "KIROMI://memory/" + NOBODY),
        *("kiromi://partition/", "kiromi://partition/user=", "kiromi://partition/nope=ana"),
        *("kiromi://partition/user=ana/topic=x/more=y", "kiromi://partition/user=a b%"),
        *("https://a b", "1http://x", "http:", "https://x\x00", "https://" + "x" * 2048),
    ],
)
def test_what_is_no_end_is_refused(store: kiromi.Store, end: Any) -> None:
    [a] = made(store, 1)
    for call in (store.link, store.unlink):
        with pytest.raises(kiromi.InvalidInput):
            call(a, end)
        with pytest.raises(kiromi.InvalidInput):
            call(end, a)
    with pytest.raises(kiromi.InvalidInput):
        store.neighbours(end)
    if end is not None:
        with pytest.raises(kiromi.InvalidInput):
            store.links(end)
    assert store.seq == 1


@pytest.mark.parametrize(
    "facts",
    [
        *({"kind": ""}, {"kind": "x" * 65}, {"kind": None}, {"kind": 5}, {"kind": "\ud800"}),
        *({"weight": True}, {"weight": "1"}, {"weight": math.nan}, {"weight": math.inf}),
        *({"note": 5}, {"note": "x" * 10_001}, {"note": "\ud800"}),
        *({"valid_from": "2026-01-01"}, {"valid_until": datetime(2026, 1, 1)}),  # noqa: DTZ001
        {"valid_from": MAY, "valid_until": MAY},
    ],
)
def test_facts_that_no_link_has_are_refused(store: kiromi.Store, facts: dict[str, Any]) -> None:
    a, b, _ = made(store)
    with pytest.raises(kiromi.InvalidInput, match=next(iter(facts))):
        store.link(a, b, **facts)
    assert store.seq == 3


def test_a_link_joins_two_things_of_which_one_is_in_the_store(store: kiromi.Store) -> None:
    a, b, gone = made(store)
    expired = store.append("x", ANA, expires_at=MAY - timedelta(days=3650)).id
    store.delete(gone)
    with pytest.raises(kiromi.InvalidInput, match="itself"):
        store.link(a, uri(a))
    with pytest.raises(kiromi.InvalidInput, match="both outside"):
        store.link(WEB, "urn:x:y")
    for end, error in (
        (gone, kiromi.MemoryDeleted),
        (expired, kiromi.MemoryExpired),
        (NOBODY, kiromi.MemoryNotFound),
    ):
        with pytest.raises(error):
            store.link(end, b)
        with pytest.raises(error):
            store.link(b, end)
    for direction in ("sideways", None, 5):
        with pytest.raises(kiromi.InvalidInput, match="direction"):
            store.links(a, direction)  # type: ignore[arg-type]
        with pytest.raises(kiromi.InvalidInput, match="direction"):
            store.neighbours(a, direction=direction)  # type: ignore[arg-type]
    with pytest.raises(kiromi.InvalidInput, match="valid_at"):
        store.links(valid_at=5)  # type: ignore[arg-type]
    with pytest.raises(kiromi.InvalidInput, match="kind"):
        store.links(kind="")
    with pytest.raises(kiromi.InvalidInput, match="kind"):
        store.unlink(a, b, "")
    assert store.seq == 5


def test_a_transaction_sees_its_own_links(store: kiromi.Store, root: Path) -> None:
    a, b, c = made(store)
    store.link(a, b, weight=1)
    store.link(a, b, "related")
    with store.transaction() as tx:
        new = tx.append("new", ANA)
        first = tx.link(a, new.id, weight=1)
        assert tx.link(a, new.id, weight=1) == first
        tx.link(a, new.id, weight=2)
        tx.link(new.id, c)
        assert tx.unlink(new.id, c) == 1
        assert tx.unlink(new.id, c) == 0
        tx.link(a, b, weight=2)
        tx.link(a, b, weight=3)
        assert tx.unlink(a, b, "related") == 1
        tx.link(a, b, "related", note="again")
        tx.link(a, c)
        assert tx.unlink(a, c) == 1
        tx.delete(c)
        with pytest.raises(kiromi.MemoryNotFound):
            tx.link(a, c)
        with pytest.raises(kiromi.InvalidInput, match="is open in this thread"):
            store.link(a, b)
        with pytest.raises(kiromi.InvalidInput, match="is open in this thread"):
            store.unlink(a, b)
        assert len(store.links()) == 2, "nobody sees it yet"
    assert store.seq == tx.seq == 6
    assert sorted((*arrow, link.weight) for arrow, link in zip(arrows(store.links()), store.links(), strict=True)) == [
        (a, b, "explicit", 3.0),
        (a, b, "related", None),
        (a, new.id, "explicit", 2.0),
    ]
    with contextlib.suppress(RuntimeError), store.transaction() as tx:
        tx.unlink(a, b)
        raise RuntimeError
    assert len(store.links()) == 3
    assert store.verify().is_clean
    store.close()
    assert all(begin < end for *_, begin, end in stored(root) if end is not None)
    assert len(stored(root)) == 5


def test_links_are_durable_and_read_only_handles_read_them(store: kiromi.Store, root: Path) -> None:
    a, b, _ = made(store)
    link = store.link(a, b)
    store.close()
    with kiromi.open(root, read_only=True) as reader:
        assert reader.links(a) == [link]
        assert reached(reader.neighbours(a)) == [(b, 1, "out")]
        for write in (lambda: reader.link(b, a), lambda: reader.unlink(a, b)):
            with pytest.raises(kiromi.InvalidInput, match="read-only"):
                write()


# -- looking -----------------------------------------------------------------------------------------------------------


def test_links_are_listed_by_end_direction_kind_and_validity(store: kiromi.Store) -> None:
    a, b, c = made(store)
    store.link(a, b)
    store.link(c, a, "related", valid_from=MAY)
    store.link(b, c, valid_until=MAY)
    assert arrows(store.links()) == [(a, b, "explicit"), (c, a, "related"), (b, c, "explicit")]
    assert arrows(store.links(a)) == arrows(store.links(uri(a), "both")) == [(a, b, "explicit"), (c, a, "related")]
    assert arrows(store.links(a, "out")) == [(a, b, "explicit")]
    assert arrows(store.links(a, direction="in")) == arrows(store.links(kind="related")) == [(c, a, "related")]
    before = MAY - timedelta(microseconds=1)
    assert arrows(store.links(valid_at=before)) == [(a, b, "explicit"), (b, c, "explicit")]
    assert arrows(store.links(c, valid_at=MAY)) == [(c, a, "related")]
    assert store.links(NOBODY) == []
    store.delete(b)
    assert len(store.links()) == len(store.links(b)) + 1 == 3, "links outlive their memories"
    assert store.unlink(a, b) == 1


def test_neighbours_are_what_links_lead_to(store: kiromi.Store) -> None:
    a, b, c, d, e = made(store, 5)
    ab = store.link(a, b, weight=1)
    ca = store.link(c, a, weight=2)
    bd = store.link(b, d)
    store.link(d, e)
    store.link(e, a, "contradicts")
    found = store.neighbours(a)
    assert reached(found) == [(c, 1, "in"), (b, 1, "out"), (e, 1, "in")]
    assert [neighbour.path for neighbour in found][:2] == [(ca,), (ab,)]
    assert found[0].info == store.get(c).info()
    assert reached(store.neighbours(a, depth=2, direction="out")) == [(b, 1, "out"), (d, 2, "out")]
    assert store.neighbours(a, depth=2, direction="out")[1].path == (ab, bd)
    assert reached(store.neighbours(a, depth=16, direction="out")) == [(b, 1, "out"), (d, 2, "out"), (e, 3, "out")]
    assert reached(store.neighbours(a, depth=2, direction="in")) == [(c, 1, "in"), (e, 1, "in"), (d, 2, "in")]
    assert reached(store.neighbours(a, kinds=["contradicts"])) == [(e, 1, "in")]
    assert reached(store.neighbours(a, kinds=("contradicts", "explicit"), limit=1)) == [(c, 1, "in")]
    assert store.neighbours(a, kinds=[]) == []
    assert reached(store.neighbours(a, depth=9, limit=4)) == [(c, 1, "in"), (b, 1, "out"), (e, 1, "in"), (d, 2, "out")]


def test_both_directions_are_told_apart(store: kiromi.Store) -> None:
    a, b, c = made(store)
    store.link(a, b)
    store.link(b, a, weight=1)
    store.link(a, b, "related")
    store.link(b, c)
    store.link(c, b)
    found = store.neighbours(a, depth=2)
    assert reached(found) == [(b, 1, "in"), (b, 1, "out"), (c, 2, "out"), (c, 2, "in")]
    assert all(len(neighbour.path) == neighbour.depth for neighbour in found)


def test_neighbours_pass_only_through_what_is_there(store: kiromi.Store) -> None:
    a, b, c, d = made(store, 4)
    store.link(a, b)
    store.link(b, c)
    store.link(a, WEB)
    store.link(d, WEB)
    store.link(a, INBOX, "part_of")
    store.link(d, INBOX, "part_of")
    assert reached(store.neighbours(a, depth=3)) == [(b, 1, "out"), (c, 2, "out")]
    assert reached(store.neighbours(WEB)) == [(a, 1, "in"), (d, 1, "in")]
    assert reached(store.neighbours(INBOX, depth=2)) == [(a, 1, "in"), (d, 1, "in"), (b, 2, "out")]
    store.update(b, expires_at=MAY - timedelta(days=3650))
    assert store.neighbours(a, depth=3) == []
    with pytest.raises(kiromi.MemoryExpired):
        store.neighbours(b)
    store.update(b, expires_at=None)
    store.supersede(b, c)
    assert reached(store.neighbours(a)) == [(b, 1, "out")], "what is superseded is there, and says so"
    store.delete(b)
    assert store.neighbours(a, depth=3) == []
    with pytest.raises(kiromi.MemoryDeleted):
        store.neighbours(b)
    store.undelete(b)
    assert len(store.neighbours(a, depth=3)) == 2


def test_neighbours_by_links_that_are_valid(store: kiromi.Store) -> None:
    a, b, c = made(store)
    store.link(a, b, valid_until=MAY)
    store.link(a, c, valid_from=MAY)
    assert reached(store.neighbours(a, valid_at=MAY)) == [(c, 1, "out")]
    assert reached(store.neighbours(a, valid_at=MAY - timedelta(seconds=1))) == [(b, 1, "out")]
    assert len(store.neighbours(a)) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        *({"depth": 0}, {"depth": 17}, {"depth": True}, {"depth": "1"}, {"limit": 0}, {"limit": 10_001}),
        *({"kinds": "explicit"}, {"kinds": 5}, {"kinds": [""]}, {"kinds": [5]}, {"valid_at": "now"}),
    ],
)
def test_bounds_of_neighbours_are_checked(store: kiromi.Store, arguments: dict[str, Any]) -> None:
    [a] = made(store, 1)
    with pytest.raises(kiromi.InvalidInput, match=next(iter(arguments)).removesuffix("s")):
        store.neighbours(a, **arguments)


numbers = st.integers(0, 5)
directions: st.SearchStrategy[Literal["out", "in", "both"]] = st.sampled_from(["out", "in", "both"])
pairs = st.permutations(range(6)).map(lambda order: (order[0], order[1]))


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[kiromi.Store, list[str]]]:
    """A store of its own: the examples of the next test link and unlink the same memories over and over."""
    root = tmp_path_factory.mktemp("graph") / "memories"
    with kiromi.open(root, scheme="user={user}", durability="relaxed") as store:
        yield store, made(store, 6)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_neighbours_are_those_of_a_plain_search(graph: tuple[kiromi.Store, list[str]], data: st.DataObject) -> None:
    store, ids = graph
    edges = data.draw(st.sets(pairs, max_size=12))
    with store.transaction() as tx:
        for link in store.links():
            tx.unlink(link.src, link.dst)
        for src, dst in sorted(edges):
            tx.link(ids[src], ids[dst])
    start, depth = data.draw(numbers), data.draw(st.integers(1, 4))
    direction = data.draw(directions)
    wanted = set()
    nearest, frontier = {start}, {start}
    for step in range(1, depth + 1):
        level = {
            (far, way)
            for src, dst in edges
            for near, far, way in ((src, dst, "out"), (dst, src, "in"))
            if near in frontier and far not in nearest and direction in (way, "both")
        }
        wanted |= {(ids[far], step, way) for far, way in level}
        frontier = {far for far, _ in level}
        nearest |= frontier
    found = store.neighbours(ids[start], depth=depth, direction=direction)
    assert len(found) == len(wanted)
    assert set(reached(found)) == wanted
    for neighbour in found:
        at = uri(ids[start])
        for link in neighbour.path:
            assert at in (link.src, link.dst)
            at = link.dst if at == link.src else link.src
        assert at == uri(neighbour.info.id)


# -- scopes ------------------------------------------------------------------------------------------------------------


def test_a_scoped_handle_sees_and_makes_only_links_within(store: kiromi.Store) -> None:
    a, b, c = made(store)
    theirs = store.append("secret", BOB).id
    inside = store.link(a, b)
    store.link(a, theirs, "leads out")
    store.link(theirs, b, "leads in")
    store.link(theirs, "urn:x:y", "theirs")
    store.link("kiromi://partition/user=bob", a, "partition")
    store.link("kiromi://partition/user=bob/topic=inbox", a, "partition")
    outward = store.link(c, WEB)
    of_mine = store.link("kiromi://partition/user=ana", WEB)
    ana = store.scoped(ANA)
    assert ana.links() == [inside, outward, of_mine]
    assert ana.links(a) == [inside]
    assert ana.links(theirs) == ana.links(theirs, "in") == ana.links("urn:x:y") == []
    assert ana.links("kiromi://partition/user=bob") == []
    assert reached(ana.neighbours(a, depth=5)) == [(b, 1, "out")]
    assert ana.neighbours("kiromi://partition/user=bob") == ana.neighbours("urn:x:y") == []
    assert reached(ana.neighbours(WEB)) == [(c, 1, "in")]
    seq = store.seq
    for src, dst in ((a, theirs), (theirs, a), (theirs, WEB)):
        with pytest.raises(kiromi.MemoryNotFound) as refused:
            ana.link(src, dst)
        assert str(refused.value) == str(kiromi.MemoryNotFound(f"no memory {theirs} here"))
        assert ana.unlink(src, dst) == 0
    with pytest.raises(kiromi.MemoryNotFound):
        ana.neighbours(theirs)
    for partition in ("user=bob", "user=bob/topic=inbox"):
        with pytest.raises(kiromi.InvalidInput, match="outside the scope"):
            ana.link(a, f"kiromi://partition/{partition}")
        assert ana.unlink(f"kiromi://partition/{partition}", a) == 0
    assert store.seq == seq
    assert ana.link(a, INBOX).dst == INBOX
    assert ana.unlink(a, b) == 1
    assert ana.audit(since=4) == [], "entries about links may name what lies outside"
    with store.transaction() as tx:
        tx.update(a, title="t")
        tx.link(a, theirs, "again")
    assert [entry.op for entry in ana.audit(since=4)] == ["update"]
    assert theirs not in str(ana.sql("SELECT detail FROM audit_log").to_pylist())


def test_a_deleted_memory_is_linked_within_the_scope_where_it_was(store: kiromi.Store) -> None:
    a, b, _ = made(store)
    theirs = store.append("secret", BOB).id
    kept = store.link(a, b)
    store.link(a, theirs)
    store.delete(b)
    store.delete(theirs)
    ana = store.scoped(ANA)
    assert ana.links() == ana.links(b) == [kept]
    assert ana.unlink(a, theirs) == 0
    assert ana.unlink(a, b) == 1
    assert len(store.links()) == 1


def test_a_partition_is_within_a_scope_only_as_a_whole(store: kiromi.Store) -> None:
    [a] = made(store, 1)
    inbox = store.scoped({"user": "ana", "topic": "inbox"})
    for path, is_within in (("user=ana/topic=inbox", True), ("user=ana", False), ("user=ana/topic=x", False)):
        end = f"kiromi://partition/{path}"
        link = store.link(a, end, "part_of")
        assert inbox.links(end) == ([link] if is_within else [])
        if not is_within:
            with pytest.raises(kiromi.InvalidInput, match="outside the scope"):
                inbox.link(a, end)
