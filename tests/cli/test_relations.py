"""supersede and link: what replaced what, links, and looking at both, now and then."""

import pytest

import kiromi
from tests.cli.running import Program

IDS = [f"ID{number:024d}" for number in range(1, 5)]
"""As ``stable`` numbers them."""


@pytest.fixture
def homes(kiromi: Program) -> Program:
    """The program on a store with three memories, whose keys are a, b and c."""
    for key in ("a", "b", "c"):
        kiromi.add(f"home {key}", "--partition=user=ana", f"--key={key}", f"--title=Home {key.upper()}")
    return kiromi


def id_of(program: Program, key: str) -> str:
    return str(program("get", f"key:{key}", "--info", "--json").document["id"])


def found(program: Program) -> list[str]:
    return sorted(item["key"] for item in program("search", "home", "--json").document["items"])


# -- supersede ---------------------------------------------------------------------------------------------------------


def test_supersede_hides_from_searches_and_can_be_undone(homes: Program) -> None:
    said = homes("supersede", "key:a", "key:b")
    assert said.stable == f"superseded  {IDS[0]}  by {IDS[1]}  TIME\n"
    assert found(homes) == ["b", "c"]
    back = homes("supersede", "key:a", "--undo")
    assert back.stable.startswith(f"stands  {IDS[0]}  version 1  data/user=ana/")
    assert found(homes) == ["a", "b", "c"]
    assert homes("supersede", "key:a", "--undo", "--json").document["superseded_by"] is None
    assert homes("supersede", "key:a", "key:b", "--quiet").text.strip() == id_of(homes, "a")


def test_supersede_from_a_moment_on(homes: Program) -> None:
    later = homes("supersede", id_of(homes, "a"), "key:b", "--at", "2999-01-01", "--json").document
    assert (later["superseded_by"], later["superseded_at"]) == (id_of(homes, "b"), "2999-01-01T00:00:00.000000Z")
    assert found(homes) == ["a", "b", "c"]
    homes("supersede", "key:a", "key:b", "--at", "2020-01-01T12:00")
    assert found(homes) == ["b", "c"]


def test_the_chain_and_all_that_was_said(homes: Program) -> None:
    homes("supersede", "key:a", "key:b", "--at=2026-05-01")
    homes("supersede", "key:b", "key:c", "--at=2026-06-01")
    assert homes("supersede", "key:b", "--list").stable.splitlines() == [
        "   ID                          SUPERSEDED BY               SINCE                 KEY  TITLE",
        f"   {IDS[0]}  {IDS[1]}  TIME  a    Home A",
        f"*  {IDS[1]}  {IDS[2]}  TIME  b    Home B",
        f"   {IDS[2]}                                                    c    Home C",
    ]
    ids = [id_of(homes, key) for key in "abc"]
    assert homes("supersede", "key:c", "--list", "--quiet").text.split() == ids
    assert [item["id"] for item in homes("supersede", "key:a", "--list", "--json").document["items"]] == ids
    homes("supersede", "key:a", "--undo")
    lines = homes("supersede", "key:a", "--log").text.splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [["6", ids[0], "(stands)"], ["4", ids[0], ids[1]]]
    log = homes("supersede", "key:a", "--log", "--json").document["items"]
    assert [(event["winner"], event["actor"]) for event in log] == [(None, "cli"), (ids[1], "cli")]
    assert homes("supersede", homes.add("new", "--partition=user=ana"), "--log").notes == "nothing was said about it\n"


def test_what_supersede_refuses(homes: Program) -> None:
    homes("supersede", "key:a", "key:b")
    assert homes("supersede", "key:b", "key:a", "--json", code=2).error["kind"] == "invalid_input"
    assert homes("supersede", "key:a", "key:none", "--json", code=3).error["kind"] == "memory_not_found"
    assert "give one of NEW, --undo" in homes("supersede", "key:a", code=2).notes
    for more in (["key:b", "--undo"], ["--undo", "--list"], ["--undo", "--at=2026-01-01"]):
        homes("supersede", "key:a", *more, code=2)
    homes("rm", "key:b")
    homes("supersede", "key:c", "key:b", code=4)


# -- link --------------------------------------------------------------------------------------------------------------


def test_link_list_and_end(homes: Program) -> None:
    made = homes("link", "key:a", "key:b", "--weight=0.5", "--note=moved", "--valid-from=2026-01-01")
    assert made.stable == f"linked  explicit: {IDS[0]} -> {IDS[1]}\n"
    homes("link", "key:b", "https://example.org/x", "--kind=derived")
    assert homes("link", "--list").stable.splitlines() == [
        "KIND      SRC                         DST                         WEIGHT  VALID                      NOTE",
        f"explicit  {IDS[0]}  {IDS[1]}     0.5  [TIME, …)  moved",
        f"derived   {IDS[1]}  https://example.org/x",
    ]
    assert homes("link", "key:b", "--list", "--direction=in", "--json").document["items"] == [
        {
            "src": f"kiromi://memory/{id_of(homes, 'a')}",
            "dst": f"kiromi://memory/{id_of(homes, 'b')}",
            "kind": "explicit",
            "weight": 0.5,
            "note": "moved",
            "valid_from": "2026-01-01T00:00:00.000000Z",
            "valid_until": None,
            "seq": 4,
            "actor": "cli",
        }
    ]
    assert len(homes("link", "key:b", "--list", "--kind=derived", "--quiet").text.splitlines()) == 1
    assert homes("link", "key:a", "--list", "--valid-at=2025-01-01").notes == "no link fits\n"
    assert homes("link", "key:a", "key:b", "--kind=derived", "--end").text == "ended 0 links\n"
    assert homes("link", "key:a", "key:b", "--end").text == "ended 1 link\n"
    assert homes("link", "key:b", "https://example.org/x", "--end", "--json").document == {"ended": 1}
    assert homes("link", "--list", "--json").document["items"] == []
    assert len(homes("link", "--list", "--at=5").text.splitlines()) == 3, "as it was then"


def test_link_says_what_holds(homes: Program) -> None:
    homes("link", "key:a", "key:b", "--kind=part_of")
    again = homes("link", "key:a", "key:b", "--kind=part_of", "--json").document
    assert (again["kind"], again["seq"]) == ("part_of", 4)
    assert homes("link", "key:a", "key:b", "--kind=part_of", "--valid-until=2026-01-01", "--json").document["seq"] == 5
    assert homes("link", "key:a", "key:c", "--quiet").text == ""


def test_neighbours(homes: Program) -> None:
    homes("link", "key:a", "key:b", "--weight=2")
    homes("link", "key:c", "key:b", "--kind=derived")
    homes("snapshot", "create", "--tag=then")
    homes("link", "key:a", "key:b", "--end")
    homes("rm", "key:c")
    assert homes("link", "key:a", "--depth=2", "--at=then").stable.splitlines() == [
        "DEPTH  WAY  ID                          KIND      WEIGHT  KEY  TITLE",
        f"    1  ->   {IDS[0]}  explicit     2.0  b    Home B",
        f"    2  <-   {IDS[1]}  derived           c    Home C",
    ]
    assert len(homes("link", "key:a", "--depth=2", "--at=then", "--direction=out", "--quiet").text.split()) == 1
    assert homes("link", "key:a", "--depth=2", "--at=then", "--kind=derived", "--json").document["items"] == []
    near = homes("link", "key:a", "--depth=1", "--at=then", "--json").document["items"]
    assert [(item["info"]["key"], item["depth"], item["direction"], len(item["path"])) for item in near] == [
        ("b", 1, "out", 1)
    ]
    assert homes("link", "key:a", "--depth=1").notes == "no memory is linked\n"


def test_keys_are_looked_up_in_their_namespace(homes: Program) -> None:
    homes.add("todo", "--partition=user=ana", "--key=a", "--namespace=todo")
    assert homes("link", "key:a", "key:b", "--json", code=2).error["namespaces"] == ["", "todo"]
    homes("link", "key:a", "kiromi://partition/user=ana", "--namespace=todo")
    with kiromi.open(homes.root) as store:
        [made] = store.links()
        assert made.src == f"kiromi://memory/{store.get(key='a', namespace='todo').id}"
    assert "kiromi://partition/user=ana" in homes("link", "--list").text


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 2),
        (["key:a"], 2),
        (["key:a", "key:b", "--list"], 2),
        (["key:a", "key:b", "--depth=1"], 2),
        (["key:a", "key:b", "--at=1"], 2),
        (["key:a", "key:b", "--end", "--weight=1"], 2),
        (["key:a", "--list", "--note=x"], 2),
        (["key:a", "--list", "--end"], 2),
        (["--depth=1"], 2),
        (["--list", "--direction=in"], 2),
        (["key:a", "key:a"], 2),
        (["key:a", "key:b", "--weight=nan"], 2),
        (["key:a", "key:b", "--valid-from=soon"], 2),
        (["key:a", "--depth=99"], 2),
        (["key:a", "key:none"], 3),
        (["key:a", "--list", "--at=nothing"], 3),
    ],
)
def test_what_link_refuses(homes: Program, arguments: list[str], code: int) -> None:
    homes("link", *arguments, code=code)
    assert homes("link", "--list", "--json").document["items"] == []
