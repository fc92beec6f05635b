"""search and related: what is found, and how it is shown."""

import re
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

import kiromi as library
from kiromi.cli.hits import explained
from kiromi.operations.search import Mode
from kiromi.search.fusion import Method
from kiromi.search.ranking import PROFILES
from tests.cli.running import SCHEME, Program, stable

_ANSI = re.compile(r"\x1b\[[\d;]*m")
_SEAT = "Prefers aisle seats, close to the front."
_TRAIN = "The night train to Vienna leaves at 20:13."


@pytest.fixture
def travel(kiromi: Program) -> Program:
    """The program on a store without a model, and three memories."""
    return _fill(kiromi)


@pytest.fixture
def modelled(bare: Program) -> Program:
    """The program on a store with the same three memories, and a model."""
    bare("init", "--scheme", SCHEME, "--embedder", "hash")
    return _fill(bare)


def _fill(program: Program) -> Program:
    program.add(_SEAT, "--partition=user=ana", "--key=seat", "--title=Seat preference", "--tag=pref")
    program.add(_TRAIN, "--partition=user=ana", "--kind=semantic", "--valid-until=2020-01-01")
    program.add("Deploys on Tuesdays.", "--partition=user=bob", "--importance=0.9")
    return program


def _lines(text: str) -> list[str]:
    return stable(text).splitlines()


# -- what is shown -----------------------------------------------------------------------------------------------------


def test_a_hit_is_a_line_and_what_matched(travel: Program) -> None:
    one = "ID" + "1".zfill(24)
    assert _lines(travel("search", "seats").text) == [
        f"1. SCORE  {one}  data/user=ana/topic=inbox/{one}.1.md  key:seat  Seat preference",
        f"   {_SEAT}",
    ]
    assert _lines(travel("search", "train").text)[0].endswith(f"{one}.1.md")


def test_a_terminal_shows_what_matched(travel: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = travel("search", "close seat").text
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("NO_COLOR", raising=False)
    styled = travel("search", "close seat").text
    assert re.findall(r"\x1b\[1;31m([^\x1b]*)\x1b\[0m", styled) == ["seats", "close"]
    assert [line.rstrip() for line in _ANSI.sub("", styled).splitlines()] == plain.splitlines()
    monkeypatch.setenv("COLUMNS", "30")
    folded = _ANSI.sub("", travel("search", "close seat").text).splitlines()[-2:]
    assert [line.rstrip() for line in folded] == ["   Prefers aisle seats, close", "   to the front."]


def test_a_long_content_is_shown_where_it_matched(travel: Program) -> None:
    text = "Opening words. " * 40 + "\n\nHere lies\n a  zebra. " + "Closing words. " * 40
    travel.add(text, "--partition=user=ana")
    [_, excerpt] = travel("search", "zebra").text.splitlines()
    assert excerpt.startswith("   … ")
    assert excerpt.endswith(" …")
    assert "Here lies a zebra. Closing" in excerpt


def test_where_only_the_vector_matched_its_passage_begins(modelled: Program) -> None:
    [_, excerpt] = modelled("search", "night train to Wien", "--mode", "vector", "-k", "1").text.splitlines()
    assert excerpt == f"   {_TRAIN}"
    modelled.add("\n\nwords " * 200, "--partition=user=ana")
    [_, excerpt] = modelled("search", "words", "--mode", "vector", "-k", "1").text.splitlines()
    assert excerpt.startswith("   words words")
    assert excerpt.endswith(" words …")
    assert len(excerpt) < 250


def test_where_only_the_title_matched_the_content_begins(travel: Program, tmp_path: Path) -> None:
    assert travel("search", "title:preference").text.splitlines()[1] == f"   {_SEAT}"
    (tmp_path / "map.bin").write_bytes(b"\x00\xff")
    travel("add", "--file", tmp_path / "map.bin", "--partition", "user=ana", "--title", "Underground")
    assert travel("search", "underground").text.splitlines()[1] == "   application/octet-stream, 2 B"


def test_front_matter_is_shown_only_if_nothing_else_matched(travel: Program) -> None:
    text = b"---\ntitle: A zebra\nvehicle: a bus\n---\n\nThe zebra crossing.\nIt is\n striped.\n"
    travel("add", "-", "--partition=user=ana", stdin=text)
    assert travel("search", "zebra").text.splitlines()[1] == "   The zebra crossing. It is striped."
    whole = "   --- title: A zebra vehicle: a bus --- The zebra crossing. It is striped."
    assert travel("search", "bus").text.splitlines()[1] == whole
    assert travel("search", "title:seat OR tags:pref", "-k", "1").text.splitlines()[1] == f"   {_SEAT}"


def test_what_would_command_a_terminal_is_escaped(travel: Program) -> None:
    travel.add("a zebra \x1b[2J in stripes", "--partition=user=ana", "--title=\x1b[1m")
    found = travel("search", "zebra").text
    assert "\x1b" not in found
    assert "a zebra \\x1b[2J in stripes" in found


def test_explain_adds_the_components(modelled: Program) -> None:
    factors = "(recency 1.00, importance 0.50, confidence 0.50)"
    by_words = _lines(modelled("search", "aisle", "--mode", "text", "--explain").text)
    assert by_words[2] == f"   text rank 1, score SCORE; relevance SCORE x SCORE {factors}"
    by_both = _lines(modelled("search", "aisle", "--explain", "-k", "1").text)
    assert by_both[2] == (
        f"   text rank 1, score SCORE, adds SCORE; vector rank 1, score SCORE, adds SCORE; relevance SCORE x SCORE"
        f" {factors}"
    )
    assert "importance 0.90" in modelled("search", "deploys", "--explain", "-k", "1").text
    assert _lines(modelled("related", "key:seat", "--explain", "-k", "1").text)[2].startswith("   vector rank 1, ")


def test_a_memory_that_one_list_lacks_is_explained_by_the_other() -> None:
    rest = {"relevance": 0.0161, "factor": 1.0, "recency": 1.0, "importance": 0.5, "confidence": 0.5}
    vector = {"rank": 2, "score": 0.43, "contribution": 0.0161}
    assert explained({"vector": vector, **rest}).startswith(
        "vector rank 2, score 0.4300, adds 0.0161; relevance 0.0161"
    )


def test_json_has_all_of_a_memory_and_of_its_hit(travel: Program) -> None:
    found = travel("search", "seats", "--explain", "--json").document
    [item] = found["items"]
    assert found["next_cursor"] is None
    memory = travel("get", "key:seat", "--json").document
    assert {name: item[name] for name in memory} == memory
    assert set(item) - set(memory) == {"score", "span", "snippet", "highlights", "explanation"}
    begin, end = item["highlights"][-1]
    assert item["snippet"][begin:end] == "seats"
    assert item["explanation"]["text"]["rank"] == 1
    assert travel("search", "seats", "--json").document["items"][0]["explanation"] is None


def test_quiet_prints_ids_alone(travel: Program) -> None:
    listed = travel("ls", "-q").text.split()
    assert travel("search", "seats", "-q").text.split() == listed[:1]
    assert sorted(travel("search", "seats OR train OR deploys", "-q").text.split()) == sorted(listed)


def test_nothing_found_is_a_note_and_no_error(travel: Program) -> None:
    found = travel("search", "zebra")
    assert (found.out, found.notes) == (b"", "no memory fits\n")
    assert travel("search", "zebra", "--json").document == {"items": [], "next_cursor": None}
    assert travel("search", "zebra", "-q").notes == ""


# -- what is found -----------------------------------------------------------------------------------------------------


def test_scopes_and_filters_hold(travel: Program) -> None:
    everyone = "seats OR train OR deploys"
    seat, train, deploys = travel("ls", "-q").text.split()

    def found(*arguments: str) -> set[str]:
        return set(travel("search", everyone, "-q", *arguments).text.split())

    assert found() == {seat, train, deploys}
    assert found("--within", "user=bob") == {deploys}
    assert found("--where", 'tags contains "pref"') == {seat}
    assert found("--kind", "semantic") == {train}
    assert found("--valid-at", "2026-01-01") == {seat, deploys}
    assert len(found("-k", "2")) == 2
    assert found("--min-score", "1000") == set()
    with library.open(travel.root) as store:
        store.supersede(seat, deploys)
    assert found() == {train, deploys}
    assert found("--include-superseded") == {seat, train, deploys}


def test_modes_and_weights(modelled: Program) -> None:
    seat, train, deploys = modelled("ls", "-q").text.split()
    assert modelled("search", "zebra", "-q", "--mode", "text").text == ""
    assert set(modelled("search", "zebra", "-q", "--mode", "vector").text.split()) == {seat, train, deploys}
    assert len(modelled("search", "aisle", "-q").text.split()) == 3
    assert len(modelled("search", "aisle", "-q", "--mode", "hybrid", "--weight", "vector=0").text.split()) == 1
    weighted = modelled("search", "aisle", "--explain", "--json", "--weight", "text=2", "--weight", "vector:=1")
    parts = weighted.document["items"][0]["explanation"]
    assert parts["text"]["contribution"] == pytest.approx(2 * parts["vector"]["contribution"])


def test_a_profile_orders_anew(travel: Program) -> None:
    travel.add("Deploys on Tuesdays.", "--partition=user=ana", "--importance=0.1")
    first, second = travel("search", "deploys tuesdays", "--profile", "trusted", "--json").document["items"]
    assert (first["importance"], second["importance"]) == (0.9, 0.1)
    assert first["score"] > second["score"]


def test_a_query_may_begin_with_a_sign(travel: Program) -> None:
    assert "Vienna" in travel("search", "--", "-aisle seats OR train").text


def test_what_is_wrong_is_told_in_the_words_of_the_command_line(modelled: Program) -> None:
    for arguments, words in {
        ("--weight", "text=much"): "--weight text='much': expected a number, as in text=2",
        ("--weight", "text:=[1]"): "--weight text=(1,): expected a number",
        ("--weight", "sound=1"): "'sound'",
        ("-k", "0"): "k=0",
        ("--valid-at", "soon"): "--valid-at",
    }.items():
        assert words in modelled("search", "x", *arguments, code=2).notes, arguments


def test_the_choices_are_those_of_the_library(travel: Program) -> None:
    for option, accepted in (("--mode", get_args(Mode)), ("--profile", PROFILES), ("--fusion", reversed(Method))):
        told = travel("search", "x", option, "loud", code=2).notes
        assert f"is not one of {', '.join(repr(str(name)) for name in accepted)}." in told


# -- related -----------------------------------------------------------------------------------------------------------


def test_related_takes_an_id_or_a_key(modelled: Program) -> None:
    near = modelled.add("Prefers aisle seats on trains.", "--partition=user=bob", "--key=other", "--namespace=n")
    [first, *_] = modelled("related", "key:seat", "-q").text.split()
    assert first == near
    seat, _, _, _ = modelled("ls", "-q").text.split()
    assert modelled("related", near, "-q", "-k", "1").text.split() == [seat]
    assert modelled("related", "key:other", "--namespace", "n", "-q", "--within", "user=ana").text.split()[0] == seat
    assert near not in modelled("related", "key:seat", "-q", "--where", 'namespace != "n"').text
    assert modelled("related", "key:none", code=3).notes.startswith("error: no memory has the key 'none'")


def test_related_works_without_a_model(travel: Program) -> None:
    near = travel.add("Aisle seats are at the front.", "--partition=user=bob")
    assert travel("related", "key:seat", "-q").text.split() == [near]
    assert travel("related", "key:seat", "--json").document["items"][0]["id"] == near


# -- around the library ------------------------------------------------------------------------------------------------


def test_a_store_that_cannot_be_written_is_searched_all_the_same(
    travel: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = library.open
    asked = []

    def refusing(root: Any, *, read_only: bool = False, **how: Any) -> library.Store:
        asked.append(read_only)
        if not read_only:
            raise library.StorageError("read-only file system")
        return opened(root, read_only=True, **how)

    monkeypatch.setattr(library, "open", refusing)
    assert "aisle" in travel("search", "seats").text
    assert asked == [False, True]
    assert travel("add", "x", "--partition", "user=ana", code=5).notes == "error: read-only file system\n"


def test_a_search_leaves_its_index_behind(travel: Program) -> None:
    assert not (travel.root / "default" / "index").exists()
    travel("search", "seats")
    assert (travel.root / "default" / "index" / "text" / "manifest.json").is_file()


def test_warnings_of_the_library_become_notes(travel: Program) -> None:
    travel("search", "seats")
    manifest = travel.root / "default" / "index" / "text" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:-9])
    found = travel("search", "seats", "--json")
    assert re.fullmatch(r"warning: .*manifest.*; it is built anew\n", found.notes)
    assert len(found.document["items"]) == 1
    assert travel("search", "seats").notes == ""
