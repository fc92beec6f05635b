"""The planner picks what measures cheapest."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiromi.index.vectors.planner import Situation, Way, choose, over_fetch

MILLION = Situation(
    dimension=384,
    k=10,
    rows=1_000_000,
    range_rows=1_000_000,
    ranges=1,
    live=1_000_000,
    memories=900_000,
    ids=None,
    ef=200,
)
TWENTY = replace(MILLION, rows=20_000, range_rows=20_000, live=20_000, memories=20_000)


@pytest.mark.parametrize(
    ("situation", "way"),
    [
        (MILLION, Way.GRAPH),
        (replace(MILLION, ef=None), Way.SCAN),
        (TWENTY, Way.GRAPH),
        (replace(TWENTY, ef=None), Way.SCAN),
        (replace(TWENTY, range_rows=400), Way.SCAN),
        (replace(MILLION, range_rows=20_000, ranges=1), Way.SCAN),
        (replace(MILLION, range_rows=500_000, ranges=1), Way.GRAPH),
        (replace(MILLION, range_rows=2_000, ranges=2_000), Way.GATHER),
        (replace(MILLION, ids=100), Way.GATHER),
        (replace(MILLION, ids=450_000), Way.GRAPH),
        (replace(MILLION, ids=450_000, ef=None), Way.SCAN),
        (replace(TWENTY, ids=10), Way.GATHER),
        (replace(TWENTY, ids=18_000, ef=None), Way.SCAN),
        (replace(MILLION, ids=450_000, range_rows=300), Way.SCAN),
        (replace(MILLION, k=400_000), Way.SCAN),
        (replace(MILLION, live=0), Way.SCAN),
    ],
)
def test_what_is_chosen(situation: Situation, way: Way) -> None:
    assert choose(situation).way is way


def test_more_is_asked_for_the_less_is_kept() -> None:
    assert over_fetch(10, 1.0) == 10
    assert over_fetch(10, 0.5) == 39
    assert over_fetch(10, 0.1) == 195
    assert choose(MILLION).fetch == 10
    assert choose(replace(MILLION, live=500_000)).fetch == 39


@given(
    st.integers(1, 2_000),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.none() | st.integers(0, 10**7),
    st.booleans(),
)
def test_every_situation_has_a_plan(k: int, rows: int, in_range: int, ids: int | None, has_graph: bool) -> None:
    situation = Situation(384, k, rows, min(rows, in_range), 3, rows // 2, rows, ids, 200 if has_graph else None)
    plan = choose(situation)
    assert plan.fetch >= k
    assert has_graph or plan.way is not Way.GRAPH
