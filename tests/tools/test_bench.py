"""The benchmarks: each reports what it promises to; bounds are judged and printed right. No time is asserted."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from tools.bench import raw
from tools.bench.__main__ import main, run
from tools.bench.corpus import TEXT_BYTES, records
from tools.bench.figures import Bound, Check, Result, Series, rates, ratios
from tools.bench.machine import filesystem_of
from tools.bench.registry import BENCHMARKS, Benchmark
from tools.bench.report import Measured, Report, as_json, as_table, number_text
from tools.bench.sizes import Sizes

TINY = Sizes(rounds=2, bulk=30, singles=4, per_thread=1, warm=20, reads=5, opened=20, scanned=50)
CHECKS = {
    "limits": {},
    "append-many": {"append_many / bare files": (Bound.AT_LEAST, 0.4)},
    "append": {"append / (file + commit)": (Bound.AT_MOST, 1.5)},
    "threads": {"8 threads / one thread": (Bound.AT_LEAST, 3)},
    "get": {"get, p50": (Bound.AT_MOST, 0.15)},
    "open": {"open at 20 memories": (Bound.AT_MOST, 200)},
    "help": {"kiromi --help": (Bound.AT_MOST, 400)},
}


def test_every_line_of_the_budget_has_a_case_here() -> None:
    assert {benchmark.name for benchmark in BENCHMARKS} == CHECKS.keys()


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda benchmark: benchmark.name)
def test_benchmark_reports_positive_figures_and_its_budget(benchmark: Benchmark, tmp_path: Path) -> None:
    result = run([benchmark], tmp_path, TINY).measured[0].result
    assert {check.series.name: (check.bound, check.limit) for check in result.checks} == CHECKS[benchmark.name]
    for series in (*result.series, *(check.series for check in result.checks)):
        assert len(series.values) >= TINY.rounds
        assert 0 < series.low <= series.median <= series.high


@pytest.mark.parametrize(
    ("bound", "limit", "is_met"),
    [
        (Bound.AT_LEAST, 2, True),
        (Bound.AT_LEAST, 2.1, False),
        (Bound.AT_MOST, 2, True),
        (Bound.AT_MOST, 1.9, False),
    ],
)
def test_check_judges_the_median(bound: Bound, limit: float, is_met: bool) -> None:
    assert Check(Series("a", "x", (9, 1, 2)), bound, limit).is_met is is_met


def test_rates_and_ratios_are_taken_round_by_round() -> None:
    assert rates(6, [2, 3]) == (3, 2)
    assert ratios([6, 1], [3, 2]) == (2, 0.5)
    with pytest.raises(ValueError, match="shorter"):
        ratios([1, 2], [1])


def test_report_as_json_and_table() -> None:
    check = Check(Series("append / bare", "x", (0.5, 0.25, 0.3)), Bound.AT_LEAST, 0.4)
    result = Result((Series("bare", "/s", (17_204.4, 3.0)),), (check,))
    report = Report({"cores": "2"}, True, (Measured("append", 1.26, result),))
    assert as_json(report) == {
        "machine": {"cores": "2"},
        "is_quick": True,
        "benchmarks": [
            {
                "name": "append",
                "seconds": 1.3,
                "series": [{"name": "bare", "unit": "/s", "median": 8603.7, "min": 3, "max": 17204.4, "values": 2}],
                "checks": [
                    {
                        "name": "append / bare",
                        "unit": "x",
                        "median": 0.3,
                        "min": 0.25,
                        "max": 0.5,
                        "values": 3,
                        "bound": "at least",
                        "limit": 0.4,
                        "is_met": False,
                    }
                ],
            }
        ],
    }
    console = Console(width=100)
    with console.capture() as capture:
        console.print(as_table(report))
    lines = [" ".join(line.split()) for line in capture.get().splitlines()]
    assert "bare 8,604 /s 3 - 17,204" in lines
    assert "append / bare 0.3 x 0.25 - 0.5 >= 0.4: over" in lines
    assert any("quick" in line for line in lines)


@pytest.mark.parametrize(
    ("value", "text"), [(114_067.9, "114,068"), (100, "100"), (16.52, "16.5"), (0.15, "0.15"), (0.00592, "0.00592")]
)
def test_number_text_keeps_three_digits(value: float, text: str) -> None:
    assert number_text(value) == text


def test_command_runs_one_benchmark_writes_json_and_leaves_no_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, document = tmp_path / "work", tmp_path / "figures.json"
    folder.mkdir()
    assert main(["--only", "append", "--quick", "--dir", str(folder), "--json", str(document)]) == 0
    assert "append, durable, p50" in capsys.readouterr().out
    written = json.loads(document.read_text())
    assert [measured["name"] for measured in written["benchmarks"]] == ["append"]
    assert written["is_quick"] is True
    assert {"cores", "kernel", "filesystem", "python", "duckdb"} <= written["machine"].keys()
    assert list(folder.iterdir()) == []


def test_files_are_kept_if_asked(tmp_path: Path) -> None:
    assert main(["--only", "append", "--quick", "--keep", "--dir", str(tmp_path)]) == 0
    assert len(list(tmp_path.glob("kiromi-bench-*/append/store/default/data/*/*/*.md"))) > 0


def test_command_refuses_an_unknown_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["--only", "nonsense"])
    assert exit_info.value.code == 2
    assert "append-many" in capsys.readouterr().err


def test_filesystem_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    inner = tmp_path / "a b" / "c"
    inner.mkdir(parents=True)
    mounts = tmp_path / "mounts"
    point = str(tmp_path / "a b").replace(" ", "\\040")
    mounts.write_text(f"/dev/root / ext4 rw 0 0\ntmpfs {point} tmpfs rw 0 0\n")
    assert filesystem_of(inner, mounts) == "tmpfs"
    assert filesystem_of(tmp_path, mounts) == "ext4"
    assert filesystem_of(tmp_path, tmp_path / "none") == "unknown"


def test_records_are_the_same_each_time_and_spread_over_fifty_partitions() -> None:
    sample = records(1_000)
    assert sample[:10] == records(10)
    assert {len(record.content.encode()) for record in sample} == {TEXT_BYTES}
    assert len({record.path for record in sample}) == 50


def test_bare_loop_leaves_each_content_in_its_partition(tmp_path: Path) -> None:
    sample = records(raw.BATCH + 1)  # a second batch of one
    contents = [record.content.encode() for record in sample]
    raw.write_batches(tmp_path / "bare", contents, [record.path for record in sample])
    for number, (record, content) in enumerate(zip(sample, contents, strict=True)):
        assert (tmp_path / "bare" / record.path / f"{number}.md").read_bytes() == content
    assert list((tmp_path / "bare" / "staging").iterdir()) == []
