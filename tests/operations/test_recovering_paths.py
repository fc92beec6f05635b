"""From paths back to attributes: whatever comes out renders the very path."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kiromi import InvalidInput
from kiromi.operations.recovering_paths import as_it_lies, read_path
from kiromi.partition import Scheme

ID = "01J00000000000000000000000"
BUILT_INS = {
    "id": ID,
    "kind": "episodic",
    "created_at": datetime(2026, 3, 4, 5, tzinfo=UTC),
    "event_at": datetime(2026, 3, 4, 5, tzinfo=UTC),
}
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("template", "path", "attributes", "built_ins"),
    [
        ("user={user}/topic={topic|inbox}", "user=ana/topic=inbox", {"user": "ana"}, {}),
        ("user={user}/topic={topic|inbox}", "user=a%2Fb/topic=x", {"user": "a/b", "topic": "x"}, {}),
        ("user={user}", "user=__HIVE_DEFAULT_PARTITION__", {"user": None}, {}),
        ("y={day:year}/m={day:month}", "y=2025/m=2025-07", {"day": datetime(2025, 7, 1, tzinfo=UTC)}, {}),
        ("k={kind}/m={event_at:%Y-%m}", "k=semantic/m=2026-03", {}, {"kind": "semantic"}),
        ("m={event_at:month}", "m=2020-01", {}, {"event_at": datetime(2020, 1, 1, tzinfo=UTC)}),
        ("n={trip:truncate(10)}", "n=20", {"trip": "20"}, {}),
        ("n={trip:truncate(1)}", "n=20", {"trip": 20}, {}),
        ("v1/{user}", "v1/ana", {"user": "ana"}, {}),
    ],
)
def test_values_are_read(template: str, path: str, attributes: dict[str, Any], built_ins: dict[str, Any]) -> None:
    found = read_path(Scheme.parse(template), path, {}, BUILT_INS, fold_case=False)
    assert found is not None
    assert found.attributes == attributes
    assert found.built_ins == {**BUILT_INS, **built_ins}


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("user={user}", "user=a/topic=b"),
        ("b={user:bucket(4)}", "b=2"),
        ("s={id}", "s=01J00000000000000000000001"),
        ("m={event_at:month}", "m=never"),
        ("user={user}", "user=a%2f"),
    ],
)
def test_what_no_value_gives_is_not_read(template: str, path: str) -> None:
    assert read_path(Scheme.parse(template), path, {}, BUILT_INS, fold_case=False) is None


def test_what_is_known_is_kept_where_the_path_agrees() -> None:
    scheme = Scheme.parse("b={user:bucket(4)}/t={trip:truncate(10)}")
    known = {"user": "ana", "trip": 27, "other": True}
    path = scheme.render(known).path
    found = read_path(scheme, path, known, BUILT_INS, fold_case=False)
    assert found is not None
    assert found.attributes == known


@given(st.lists(_TEXT, min_size=1, max_size=3), st.booleans())
def test_any_path_of_plain_values_is_read_back(values: list[str], fold_case: bool) -> None:
    scheme = Scheme.parse("/".join(f"s{i}={{f{i}}}" for i in range(len(values))))
    given_values = {f"f{i}": value for i, value in enumerate(values)}
    try:
        path = scheme.render(given_values, fold_case=fold_case).path
    except InvalidInput:
        assume(False)
        raise
    found = read_path(scheme, path, {}, BUILT_INS, fold_case=fold_case)
    assert found is not None
    assert found.attributes == given_values
    lying = as_it_lies(path)
    assert lying is not None
    template, attributes = lying
    assert Scheme.parse(template).render(attributes, fold_case=fold_case).path == path


def test_folders_that_are_no_values_are_not_taken() -> None:
    assert as_it_lies("a%zz") is None
    assert as_it_lies("id=a/ana") == ("id={id_1}/{level_2}", {"id_1": "a", "level_2": "ana"})
