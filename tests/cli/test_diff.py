"""diff: what differs between two moments, told as git tells it."""

import pytest

from tests.cli.running import Program

IDS = [f"ID{number:024d}" for number in range(1, 5)]
"""As ``stable`` numbers them."""


@pytest.fixture
def changed(filled: Program) -> Program:
    """The program on a store in which much changed after the snapshot ``before``."""
    ids = filled("ls", "--quiet").text.split()
    filled("snapshot", "create", "--tag", "before")
    filled("update", ids[0], "Prefers window seats.", "--attr=trip:=8")
    filled("update", "key:call", "--namespace=todo", "--title=Painter", "--attr=topic=home")
    filled("rm", ids[3])
    filled.add("New.", "--partition=user=cy")
    return filled


def test_memories_are_listed_by_where_they_lie(changed: Program) -> None:
    told = changed("diff", "before")
    assert told.stable.splitlines() == [
        f"M  {IDS[0]}  user=ana/topic=inbox -> user=ana/topic=home  key:call  Painter  (title, attributes.topic)",
        f"M  {IDS[1]}  user=ana/topic=travel  (content, attributes.trip)",
        f"D  {IDS[2]}  user=bob/topic=inbox",
        f"A  {IDS[3]}  user=cy/topic=inbox",
    ]
    assert told.notes == "1 added, 1 removed, 2 changed between seq 4 and seq 9\n"
    assert len(changed("diff", "before", "--quiet").text.split()) == 4
    assert changed("diff", "before", "--within", "user=cy").stable == (f"A  {IDS[0]}  user=cy/topic=inbox\n")
    assert changed("diff", "9", "live").notes == "no difference between seq 9 and seq 9\n"
    assert changed("diff", "live", "before").stable.splitlines()[3].startswith("D  ")


def test_contents_line_by_line(changed: Program) -> None:
    lines = changed("diff", "before", "--content", "--within", "topic=travel").stable.splitlines()
    place = "data/user=ana/topic=travel/" + IDS[0]
    assert lines[1:] == [
        f"    --- {place}.1.md",
        f"    +++ {place}.2.md",
        "    @@ -1 +1 @@",
        "    -Prefers aisle seats.",
        "    \\ No newline at end of file",
        "    +Prefers window seats.",
        "    \\ No newline at end of file",
    ]


def test_stat(changed: Program) -> None:
    assert changed("diff", "before", "--stat").text.splitlines() == [
        "added    1   4 B",
        "removed  1  10 B",
        "changed  2        attributes.topic 1, attributes.trip 1, content 1, partition 1, title 1",
        "moved    0",
        "links    0",
    ]
    assert changed("diff", "before", "--stat", "--json").document == {
        "before_seq": 4,
        "after_seq": 9,
        "added": {"count": 1, "size_bytes": 4},
        "removed": {"count": 1, "size_bytes": 10},
        "changed": {
            "count": 2,
            "fields": {"attributes.topic": 1, "attributes.trip": 1, "content": 1, "partition": 1, "title": 1},
        },
        "moved": {"count": 0},
        "links": {"added": 0, "removed": 0, "changed": 0},
    }


def test_json(changed: Program) -> None:
    found = changed("diff", "before", "--content", "--json").document
    assert (found["before_seq"], found["after_seq"]) == (4, 9)
    assert [len(found[name]) for name in ("added", "removed", "changed", "moved", "links")] == [1, 1, 2, 0, 0]
    [added] = found["added"]
    assert added["before"] is None
    assert added["after"]["attributes"] == {"user": "cy"}
    assert added["text"].startswith("--- /dev/null\n")


def test_links(filled: Program) -> None:
    import kiromi

    with kiromi.open(filled.root) as store:
        a, b = store.list_ids()[:2]
        store.link(a, b, weight=1)
        store.link(a, b, "derived")
        seq = store.seq
        store.link(a, b, weight=2)
        store.unlink(a, b, "derived")
        store.link(b, a)
    lines = filled("diff", str(seq)).text.splitlines()
    assert sorted(lines) == [
        f"A  link explicit: kiromi://memory/{b} -> kiromi://memory/{a}",
        f"D  link derived: kiromi://memory/{a} -> kiromi://memory/{b}",
        f"M  link explicit: kiromi://memory/{a} -> kiromi://memory/{b}  (weight)",
    ]
    told = filled("diff", str(seq), "--stat")
    assert told.text.splitlines()[-1] == "links    3       added 1, removed 1, changed 1"
    assert filled("diff", str(seq)).notes == f"3 links between seq {seq} and seq {seq + 3}\n"
    assert filled("diff", str(seq), "--quiet").text == ""


def test_moments_in_every_form(filled: Program) -> None:
    made = filled("snapshot", "create", "--tag", "2026-01-31", "--json").document
    filled.add("New.", "--partition=user=cy")
    for moment in ("2026-01-31", made["id"], "4", "seq:4", made["created_at"], made["created_at"].rstrip("Z")):
        told = filled("diff", moment, "live").text.splitlines()
        assert len(told) == 1, moment


@pytest.mark.parametrize(
    ("moment", "code"), [("nothing", 3), ("99", 3), ("2001-01-01", 3), ("2999-01-01", 2), ("seq:x", 2)]
)
def test_moments_that_are_not_there(filled: Program, moment: str, code: int) -> None:
    filled("diff", moment, code=code)
