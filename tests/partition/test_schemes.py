"""Templates parse to schemes; schemes render values to paths and read paths back."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiromi.errors import InvalidInput
from kiromi.partition import Partition, Scheme, Transform

EVENT_AT = datetime(2017, 11, 16, 22, 31, 8, tzinfo=UTC)
VALUES = {"user": "ana", "topic": None, "trip": 7, "event_at": EVENT_AT, "id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}

NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="{}:|=/"), min_size=1, max_size=4)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("/.%=\u0301A"), min_size=1, max_size=6)
TRANSFORMS = st.sampled_from(["", ":lower", ":truncate(2)", ":bucket(8)"])


@st.composite
def schemes(draw: st.DrawFn) -> Scheme:
    parts = []
    for i, name in enumerate(draw(st.lists(NAMES, min_size=1, max_size=4))):
        default = draw(st.sampled_from(["", "|none", "|a/b.", "|{="]))
        body = f"{{{name}{i}{draw(TRANSFORMS)}{default}}}"
        parts.append(draw(st.sampled_from([f"{name}.{i}={body}", body, f"literal {i}"])))
    return Scheme.parse("/".join(parts))


@st.composite
def rendered(draw: st.DrawFn) -> tuple[Scheme, dict[str, str | None], bool]:
    scheme = draw(schemes())
    needed = [s.field for s in scheme.segments if s.field and s.default is None]
    values = {field: draw(st.none() | TEXTS) for field in needed}
    for field in scheme.fields:
        if field not in values and draw(st.booleans()):
            values[field] = draw(st.none() | TEXTS)
    return scheme, values, draw(st.booleans())


@given(rendered())
def test_paths_parse_back(case: tuple[Scheme, dict[str, str | None], bool]) -> None:
    scheme, values, fold_case = case
    partition = scheme.render(values, fold_case=fold_case)
    assert scheme.parse_path(partition.path) == partition


@given(rendered())
def test_paths_stay_inside(case: tuple[Scheme, dict[str, str | None], bool]) -> None:
    scheme, values, fold_case = case
    components = scheme.render(values, fold_case=fold_case).path.split("/")
    assert len(components) == len(scheme.segments)
    for component in components:
        assert component.strip(". ") == component != ""
        assert "\\" not in component
        assert ":" not in component


@given(st.lists(st.tuples(st.none() | TEXTS, st.none() | TEXTS), min_size=2, max_size=6, unique=True), st.booleans())
def test_distinct_values_have_distinct_paths(pairs: list[tuple[str | None, str | None]], fold_case: bool) -> None:
    scheme = Scheme.parse("a={a}/{b}")
    paths = [scheme.render({"a": a, "b": b}, fold_case=fold_case).path for a, b in pairs]
    assert len({path.casefold() if fold_case else path for path in paths}) == len(pairs)


@given(schemes())
def test_the_template_is_canonical(scheme: Scheme) -> None:
    assert Scheme.parse(scheme.template) == scheme


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        (
            "user={user}/topic={topic|inbox}",
            "user=ana/topic=__HIVE_DEFAULT_PARTITION__",
            {"user": "ana", "topic": None},
        ),
        ("{user}/notes/{lang|en/us}", "ana/notes/en%2Fus", {"user": "ana", "lang": "en/us"}),
        ("kind={type|a=b}/month={event_at:%Y-%m}", "kind=a%3Db/month=2017-11", {"kind": "a=b", "month": "2017-11"}),
        ("shard={id:bucket(64)}/t={trip:truncate(5)}", "shard=58/t=5", {"shard": "58", "t": "5"}),
        ("a b%={user:lower}", "a b%25=ana", {"a b%": "ana"}),
        ("at={event_at}", "at=2017-11-16T22%3A31%3A08.000000+00%3A00", {"at": "2017-11-16T22:31:08.000000+00:00"}),
        ("time={event_at:%H:%M|never}", "time=22%3A31", {"time": "22:31"}),
        ("all", "all", {}),
    ],
)
def test_render(template: str, path: str, values: Mapping[str, str | None]) -> None:
    scheme = Scheme.parse(template)
    assert scheme.render(VALUES) == Partition(values, path)
    assert scheme.parse_path(path) == Partition(values, path)


def test_names_and_literals_are_folded_too() -> None:
    scheme = Scheme.parse("User={user}/Notes")
    partition = scheme.render({"user": "Ana"}, fold_case=True)
    assert partition == Partition({"User": "Ana"}, "%55ser=%41na/%4Eotes")
    assert scheme.parse_path(partition.path) == partition


def test_a_default_is_for_absent_fields_only() -> None:
    scheme = Scheme.parse("topic={topic:lower|Inbox}")
    assert scheme.render({}).values == {"topic": "Inbox"}
    assert scheme.render({"topic": None}).values == {"topic": None}
    assert scheme.render({"topic": "Inbox"}).values == {"topic": "inbox"}


def test_what_a_scheme_knows() -> None:
    scheme = Scheme.parse("x/year={event_at:year}/{user}/month={event_at: bucket( 2 )}".replace(": b", ":b"))
    assert scheme.fields == ("event_at", "user")
    assert scheme.template == "x/year={event_at:year}/{user}/month={event_at:bucket(2)}"
    year = scheme.segment("year")
    assert year is not None
    assert (year.field, year.hive, year.transform, year.default) == ("event_at", True, Transform("year"), None)
    assert scheme.segment("event_at") is None
    assert scheme.segment("") is None
    assert scheme.segments[0].text({}) == "x"


@pytest.mark.parametrize(
    ("template", "where", "why"),
    [
        ("user={user}/", "segment 2 at position 12", "not a segment"),
        ("/user={user}", "segment 1 at position 0", "not a segment"),
        ("a//b", "segment 2 at position 2", "not a segment"),
        ("a/user={user", "segment 2 at position 2", "'user={user' is not a segment"),
        ("x{user}", "segment 1", "not a segment"),
        ("{user}x", "segment 1", "not a segment"),
        ("a/{}", "segment 2", "field '' is empty"),
        ("={user}", "segment 1", "segment name '' is empty"),
        ("{a=b}", "segment 1", "holds '='"),
        ("{a\nb}", "segment 1", "holds '\\\\n'"),
        ("a|b={user}", "segment 1", "holds '|'"),
        ("{user:}", "segment 1", "expected year"),
        ("{user:upper}", "segment 1", "expected year"),
        ("{user|}", "segment 1", "'' is empty"),
        ("{user|\ud800}", "segment 1", "lone surrogate"),
        ("a=b", "segment 1", "'a%3Db'"),
        ("..", "segment 1", "'%2E%2E'"),
        ("__HIVE_DEFAULT_PARTITION__", "segment 1", "no escapes"),
        ("{user}/user={owner}", "segment 2", "is taken by segment '{user}'"),
        ("User={a}/user={b}", "segment 2", "is taken"),
        ("{event_at:year}/{event_at:month}", "segment 2", "another name="),
        ("a={b}/b={c}", "segment 2", "'b' is ambiguous: it is also the field of segment 'a={b}'"),
        ("b={c}/a={b}", "segment 2", "'b' is ambiguous"),
        ("/".join(f"s{i}" for i in range(17)), "segment 17", "more than 16"),
        (f"{'n' * 255}={{user}}", "segment 1", "257 bytes"),
    ],
)
def test_templates_that_are_refused(template: str, where: str, why: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Scheme.parse(template)
    assert where in caught.value.message
    assert why.replace("\\\\", "\\") in caught.value.message


@pytest.mark.parametrize("template", ["", None, 7])
def test_a_template_is_text(template: Any) -> None:
    with pytest.raises(InvalidInput, match="not a template"):
        Scheme.parse(template)


def test_sixteen_segments_are_possible() -> None:
    assert len(Scheme.parse("/".join(f"{{f{i}}}" for i in range(16))).segments) == 16


def test_an_absent_field_is_named() -> None:
    scheme = Scheme.parse("user={user}/topic={topic}")
    with pytest.raises(InvalidInput) as caught:
        scheme.render({"user": "ana", "trip": 7})
    assert caught.value.details == {"field": "topic"}
    for fact in ("'user={user}/topic={topic}'", "segment 'topic={topic}'", "field 'topic' is absent", "'user', 'trip'"):
        assert fact in caught.value.message
    with pytest.raises(InvalidInput, match="given: nothing"):
        scheme.render({})


@pytest.mark.parametrize(
    ("value", "why"),
    [("", "empty"), ("\udc00", "lone surrogate"), ("x" * 251, "256 bytes"), (["a", "b"], "a list cannot fill")],
)
def test_a_value_that_cannot_be_a_component_names_its_segment(value: object, why: str) -> None:
    with pytest.raises(InvalidInput, match=why) as caught:
        Scheme.parse("user={user}").render({"user": value})
    assert "segment 'user={user}'" in caught.value.message


def test_the_longest_path_is_944_bytes() -> None:
    scheme = Scheme.parse("{a}/{b}/{c}/{d}")
    values = {"a": "a" * 250, "b": "é" * 125, "c": "c" * 250}
    assert len(scheme.render({**values, "d": "d" * 191}).path.encode()) == 944
    with pytest.raises(InvalidInput, match="945 bytes"):
        scheme.render({**values, "d": "d" * 192})


@pytest.mark.parametrize(
    "path",
    [
        "",
        "user=ana",
        "user=ana/x/notes/y",
        "user=ana//notes",
        "users=ana/x/notes",
        "ana/x/notes",
        "user=/x/notes",
        "=ana/x/notes",
        "User=ana/x/notes",
        "user=a=b/x/notes",
        "user=ana/t=x/notes",
        "user=ana/../notes",
        "user=ana/x/note",
        "user=ana/x/__HIVE_DEFAULT_PARTITION__",
        "user=ana/x%2fy/notes",
        "/user=ana/x/notes",
        "user=%41na/X/notes",
    ],
)
def test_paths_that_do_not_fit(path: str) -> None:
    with pytest.raises(InvalidInput):
        Scheme.parse("user={user}/{topic}/notes").parse_path(path)


@pytest.mark.parametrize("path", ["ana/x/notes", "user=ana/t=x/notes", "users=ana/x/notes"])
def test_a_component_that_does_not_fit_is_named_with_its_segment(path: str) -> None:
    with pytest.raises(InvalidInput, match="is not of the segment"):
        Scheme.parse("user={user}/{topic}/notes").parse_path(path)
