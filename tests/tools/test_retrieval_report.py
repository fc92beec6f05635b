"""Comparisons are paired by query over all sets; tables, JSON and plots show what was measured."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from kiromi.errors import InvalidInput
from tools.retrieval.metrics import Interval, bootstrap
from tools.retrieval.plot import check_target, write_plot
from tools.retrieval.report import as_json, as_text
from tools.retrieval.run import SetResult, compare
from tools.retrieval.sets import Document, Part, Query, RetrievalSet

COLUMNS = ("nDCG@10", "MRR@10", "recall@1", "recall@10")
SESSION_COLUMNS = ("session recall@1", "session recall@10")


def result(
    name: str, systems: Mapping[str, list[list[float]]], *, parts: int = 1, has_sessions: bool = False
) -> SetResult:
    values = {system: np.array(rows) for system, rows in systems.items()}
    count = len(next(iter(values.values())))
    document = Document("d", "text", session="1" if has_sessions else None)
    queries = tuple(Query(str(number), "?", {"d": 1}) for number in range(count // parts))
    made = tuple(Part(f"p{number}", (document,), queries) for number in range(parts))
    intervals = {system: bootstrap(found, seed=1, resamples=500) for system, found in values.items()}
    columns = COLUMNS + (SESSION_COLUMNS if has_sessions else ())
    return SetResult(RetrievalSet(name, made, skipped=3, unknown=0), columns, values, intervals)


def results() -> list[SetResult]:
    generator = np.random.default_rng(1)
    found = []
    for name, parts in (("one", 1), ("two", 2)):
        base = generator.random((60, 4 if parts == 1 else 6)) / 2
        systems = {"bm25": base.tolist(), "text": (base + 0.01).tolist(), "hybrid": (base + 0.3).tolist()}
        found.append(result(name, systems, parts=parts, has_sessions=parts == 2))
    return found


def test_planted_gain_is_found_over_the_union_of_sets() -> None:
    ndcg, recall = compare(results(), "hybrid", "bm25", seed=1)
    assert (ndcg.column, recall.column) == ("nDCG@10", "recall@10")
    assert (ndcg.better, ndcg.worse, ndcg.sets, ndcg.queries) == ("hybrid", "bm25", ("one", "two"), 120)
    for found in (ndcg.difference, recall.difference):
        assert (found.mean, found.low, found.high) == pytest.approx((0.3, 0.3, 0.3))


def test_comparison_takes_the_columns_by_name_and_weighs_queries_alike() -> None:
    first = result("a", {"x": [[1, 0, 0, 0.5]], "y": [[0, 0, 0, 0]]})
    second = result("b", {"x": [[0, 1, 1, 0]] * 3, "y": [[0, 0, 0, 0]] * 3})
    ndcg, recall = compare([first, second], "x", "y", seed=1)
    assert ndcg.difference.mean == 0.25
    assert recall.difference.mean == 0.125
    assert ndcg.difference.low == 0 < ndcg.difference.high


def test_system_is_no_better_than_itself() -> None:
    for found in compare(results(), "text", "text", seed=1):
        assert found.difference == Interval(0, 0, 0)


def test_text_report_is_aligned_and_complete() -> None:
    found = results()
    text = as_text({"embedder": "hash", "seed": 1}, found, compare(found, "hybrid", "text", seed=1))
    lines = text.splitlines()
    assert lines[0] == "embedder hash, seed 1"
    assert "one: 1 documents, 60 queries; 3 queries without a relevant document left out" in lines
    assert any(line.startswith("two: 2 documents, 60 queries, in 2 parts searched each on its own;") for line in lines)
    assert "two: sessions touched by the first k turns" in lines
    heads = [line for line in lines if line.startswith("system ")]
    assert [head.split() for head in heads] == [
        ["system", *COLUMNS],
        ["system", *COLUMNS],
        ["system", "recall@1", "recall@10"],
    ]
    head = lines.index(heads[0])
    for column in COLUMNS:
        begin = heads[0].index(column)
        for row in lines[head + 1 : head + 4]:
            assert row[begin - 1] == " "
            assert row[begin : begin + 2] == "0."
    interval = found[0].intervals["hybrid"][0]
    assert f"{interval.mean:.3f} [{interval.low:.3f} {interval.high:.3f}]" in lines[head + 3]
    assert any(
        line.split() == ["hybrid", "-", "text", "nDCG@10", "+0.2900", "[+0.2900", "+0.2900]", "120", "one", "+", "two"]
        for line in lines
    )
    assert not any(line.endswith(" ") for line in lines)


def test_report_says_what_is_odd_about_a_set() -> None:
    plain = result("a", {"x": [[0, 0, 0, 0]]})
    document = Part("all", (Document("d", "x"),), (Query("q", "?", {"e": 1}),))
    odd = SetResult(RetrievalSet("a", (document,), 0, 1), plain.columns, plain.values, plain.intervals)
    text = as_text({}, [odd], [])
    assert "a: 1 documents, 1 queries; 1 relevant documents are not in the set and count as not found" in text
    assert "Differences" not in text


def test_json_report_holds_all_digits() -> None:
    found = results()
    document = json.loads(json.dumps(as_json({"seed": 1}, found, compare(found, "hybrid", "text", seed=1))))
    assert document["about"] == {"seed": 1}
    first, second = document["sets"]
    assert {key: first[key] for key in ("name", "documents", "queries", "skipped", "unknown")} == {
        "name": "one",
        "documents": 1,
        "queries": 60,
        "skipped": 3,
        "unknown": 0,
    }
    assert list(first["systems"]["bm25"]) == list(COLUMNS)
    assert list(second["systems"]["bm25"]) == [*COLUMNS, *SESSION_COLUMNS]
    interval = found[0].intervals["bm25"][1]
    assert first["systems"]["bm25"]["MRR@10"] == {"mean": interval.mean, "low": interval.low, "high": interval.high}
    assert [(each["column"], each["queries"], each["sets"]) for each in document["comparisons"]] == [
        ("nDCG@10", 120, ["one", "two"]),
        ("recall@10", 120, ["one", "two"]),
    ]


@pytest.mark.parametrize(("ending", "begin"), [(".svg", b"<?xml"), (".png", b"\x89PNG\r\n"), (".SVG", b"<?xml")])
def test_plot_is_written_in_the_format_of_its_ending(ending: str, begin: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"figures{ending}"
    write_plot(path, results())
    data = path.read_bytes()
    assert data.startswith(begin)
    assert len(data) > 5_000


def test_plot_shows_every_set_and_system(tmp_path: Path) -> None:
    write_plot(tmp_path / "figures.svg", results())
    drawn = (tmp_path / "figures.svg").read_text()
    for text in ("one", "two", "bm25", "text", "hybrid", "recall@k", "nDCG@10, 95 % intervals"):
        assert f"<!-- {text} -->" in drawn


@pytest.mark.parametrize(
    ("name", "message"), [("figures.pdf", "end in .svg or .png"), ("missing/figures.svg", "there is no folder")]
)
def test_plot_that_cannot_be_written_is_refused(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=message):
        check_target(tmp_path / name)
