"""The benchmarks: each reports what it promises to; bounds are judged and printed right. No time is asserted."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import kiromi
from tools.bench import indices, million, raw
from tools.bench.__main__ import main, run
from tools.bench.chroma import INTERPRETER, interpreter, peer
from tools.bench.corpus import TEXT_BYTES, records
from tools.bench.figures import Bound, Check, Result, Series, Unmeasured, rates, ratios
from tools.bench.machine import filesystem_of
from tools.bench.process import run_python
from tools.bench.registry import BENCHMARKS, Benchmark
from tools.bench.report import Measured, Report, as_json, as_table, number_text
from tools.bench.sizes import Sizes
from tools.bench.vectors import Space, nearest, recall

TINY = Sizes(
    rounds=2,
    bulk=30,
    singles=4,
    per_thread=1,
    warm=20,
    reads=5,
    opened=20,
    scanned=50,
    searched=60,
    searches=5,
    followed=2,
    migrated=9,
    million=70,
)
CHECKS: dict[str, dict[str, tuple[Bound, float]]] = {
    "limits": {},
    "append-many": {"append_many / bare files": (Bound.AT_LEAST, 0.4)},
    "migrate": {"migrate_scheme / bare renames": (Bound.AT_LEAST, 0.25)},
    "append": {"append / (file + commit)": (Bound.AT_MOST, 1.5)},
    "threads": {"8 threads / one thread": (Bound.AT_LEAST, 3)},
    "get": {"get, p50": (Bound.AT_MOST, 0.15)},
    "open": {"open at 20 memories": (Bound.AT_MOST, 200)},
    "restore": {
        "snapshot of 2 memories": (Bound.AT_MOST, 10),
        "snapshot of 20 memories": (Bound.AT_MOST, 10),
        "restore of 1 % of 20 memories": (Bound.AT_MOST, 2_000),
    },
    "archive": {
        "export of 20 memories with 384-d vectors": (Bound.AT_LEAST, 5_000),
        "import of them": (Bound.AT_LEAST, 5_000),
    },
    "help": {"kiromi --help": (Bound.AT_MOST, 400)},
    "append-vectors": {"append_many / Chroma's add": (Bound.AT_LEAST, 2)},
    "search": {
        "search, recall@10": (Bound.AT_LEAST, 0.999),
        "search / Chroma's query": (Bound.AT_MOST, 1),
        "Chroma's filtered query / search of 1 of 50 users": (Bound.AT_LEAST, 10),
    },
    "append-search": {
        f"append, then search by {mode}, p50": (Bound.AT_MOST, 20) for mode in ("text", "vector", "hybrid")
    },
    "open-indexed": {"open at 20 memories with indices": (Bound.AT_MOST, 200)},
    "million": {
        "search of 70, p50": (Bound.AT_MOST, 3),
        "recall@10": (Bound.AT_LEAST, 0.95),
        "private memory / (1.3 x vectors + 200 bytes a memory)": (Bound.AT_MOST, 1),
    },
}
# Enough of chromadb for the worker: exact, in memory.
CHROMA = """
import sys, types
import numpy as np
settings = types.ModuleType("chromadb.config")
settings.Settings = dict
sys.modules["chromadb.config"] = settings
class PersistentClient(dict):
    def __init__(self, folder, settings):
        assert settings == {"anonymized_telemetry": False}
    def get_max_batch_size(self):
        return 25
    def create_collection(self, name, configuration, embedding_function):
        assert name not in self and configuration == {"hnsw": {"space": "cosine"}} and embedding_function is None
        self[name] = Collection()
        return self[name]
    def get_collection(self, name, embedding_function):
        return self[name]
class Collection:
    def __init__(self):
        self.rows = []
    def add(self, ids, embeddings, documents, metadatas):
        assert len(ids) == len(embeddings) <= 25
        self.rows += zip(ids, embeddings, documents, metadatas, strict=True)
    def query(self, query_embeddings, n_results, where, include):
        own = [row for row in self.rows if where is None or row[3]["user"] == where["user"]]
        scores = np.array([row[1] for row in own]) @ query_embeddings[0]
        return {"ids": [[own[i][0] for i in np.argsort(-scores)[:n_results]]]}
"""


@pytest.fixture
def fake_chroma(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("modules")
    (folder / "chromadb.py").write_text(CHROMA)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv(INTERPRETER, sys.executable)


def test_every_line_of_the_budget_has_a_case_here() -> None:
    assert {benchmark.name for benchmark in BENCHMARKS} == CHECKS.keys()


@pytest.mark.usefixtures("fake_chroma")
@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda benchmark: benchmark.name)
def test_benchmark_reports_positive_figures_and_its_budget(benchmark: Benchmark, tmp_path: Path) -> None:
    result = run([benchmark], tmp_path, TINY).measured[0].result
    assert {check.series.name: (check.bound, check.limit) for check in result.checks} == CHECKS[benchmark.name]
    for series in (*result.series, *(check.series for check in result.checks)):
        assert len(series.values) >= (1 if benchmark.is_long else TINY.rounds)
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


@pytest.mark.parametrize("name", ["append-vectors", "search"])
def test_without_chroma_its_lines_are_not_measured(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(INTERPRETER, "")
    result = run([one for one in BENCHMARKS if one.name == name], tmp_path, TINY).measured[0].result
    lines = {line.name: (line.bound, line.limit) for line in result.unmeasured}
    assert all("Chroma" in line for line in lines)
    assert lines | {check.series.name: (check.bound, check.limit) for check in result.checks} == CHECKS[name]
    assert {line.reason for line in result.unmeasured} == {"not measured (install chromadb)"}


def test_chroma_is_looked_for_in_this_interpreter_unless_another_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(INTERPRETER, "/opt/python")
    assert interpreter() == "/opt/python"
    monkeypatch.delenv(INTERPRETER)
    for spec, found in ((object(), sys.executable), (None, None)):
        monkeypatch.setattr("importlib.util.find_spec", lambda name, spec=spec: spec)
        assert interpreter() == found


def test_a_chroma_that_fails_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "chromadb.py").write_text("raise ImportError('no such luck')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv(INTERPRETER, sys.executable)
    queries = np.zeros((1, 4), np.float32)
    with peer(tmp_path / "peer") as found, pytest.raises((RuntimeError, BrokenPipeError)):
        found.query("memories", queries)  # type: ignore[union-attr]
    assert "no such luck" in capfd.readouterr().err


def test_million_goes_on_with_what_a_run_left(tmp_path: Path) -> None:
    (benchmark,) = [one for one in BENCHMARKS if one.name == "million"]
    own = tmp_path / "kept" / "million"
    own.mkdir(parents=True)
    vectors, _ = million.prepare(own, TINY.million)
    million.load(own, vectors[:20])  # as if it had been killed
    took, seqs = [], []
    for _ in range(2):
        result = run([benchmark], tmp_path, TINY, kept=tmp_path / "kept").measured[0].result
        took.append({series.name: series.values for series in result.series})
        with kiromi.open(own / "store") as store:
            assert store.count() == TINY.million
            seqs.append(store.seq)
    assert seqs[0] == seqs[1]
    assert {name for name in took[0] if took[0][name] == took[1][name]} >= {"append_many", "reindex"}


def test_private_memory_is_what_is_anonymous(tmp_path: Path) -> None:
    rollup = tmp_path / "smaps_rollup"
    assert million.anonymous_bytes(rollup) is None
    rollup.write_text("7f-80 ---p 00 00:00 0  [rollup]\nRss:  9 kB\nPrivate_Clean:  5 kB\nAnonymous:   3 kB\n")
    assert million.anonymous_bytes(rollup) == 3_072


def test_memory_is_not_measured_where_the_system_does_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(million, "run_python", _without_memory)
    (line,) = million.measure_million(tmp_path, TINY).unmeasured
    assert line.name in CHECKS["million"]
    assert "smaps_rollup" in line.reason


def _without_memory(code: str, *arguments: str) -> str:
    return json.dumps(json.loads(run_python(code, *arguments)) | {"memory": None})


def test_vectors_are_normalised_clustered_and_the_same_each_time() -> None:
    space = Space.of(12_000)
    first, second = space.chunks(12_000)
    assert (len(first), len(second)) == (10_000, 2_000)
    np.testing.assert_array_equal(next(Space.of(12_000).chunks(500)), first[:500])
    np.testing.assert_allclose(np.linalg.norm(second, axis=1), 1, rtol=1e-5)
    scores = second @ second[:100].T
    best = np.sort(scores, axis=0)[-2]  # the last is the vector itself
    assert best.mean() > scores.mean() + 0.2


def test_nearest_are_those_of_a_plain_sort() -> None:
    space = Space.of(10_300)
    vectors = np.concatenate(list(space.chunks(10_300)))
    queries = space.queries(vectors, 4)
    plain = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    truth = nearest(vectors, queries)
    assert [set(row) for row in truth.tolist()] == [set(row) for row in plain.tolist()]
    assert nearest(vectors[:3], queries).shape == (4, 3)
    found = truth.tolist()
    assert recall(found, truth) == 1
    found[0] = [*found[0][:5], -1, -2, -3, -4, -5]
    assert recall(found, truth) == pytest.approx(35 / 40)


def test_search_after_append_that_finds_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kiromi.Store, "search", lambda *_, **__: [])
    with pytest.raises(RuntimeError, match="by text did not find"):
        indices.measure_append_search(tmp_path, TINY)


def test_rates_and_ratios_are_taken_round_by_round() -> None:
    assert rates(6, [2, 3]) == (3, 2)
    assert ratios([6, 1], [3, 2]) == (2, 0.5)
    with pytest.raises(ValueError, match="shorter"):
        ratios([1, 2], [1])


def test_report_as_json_and_table() -> None:
    check = Check(Series("append / bare", "x", (0.5, 0.25, 0.3)), Bound.AT_LEAST, 0.4)
    unmeasured = Unmeasured("append / peer", Bound.AT_MOST, 2, "not measured (no peer)")
    result = Result((Series("bare", "/s", (17_204.4, 3.0)), Series("recall", "", (0.5,))), (check,), (unmeasured,))
    report = Report({"cores": "2"}, True, (Measured("append", 1.26, result),))
    assert as_json(report) == {
        "machine": {"cores": "2"},
        "is_quick": True,
        "benchmarks": [
            {
                "name": "append",
                "seconds": 1.3,
                "series": [
                    {"name": "bare", "unit": "/s", "median": 8603.7, "min": 3, "max": 17204.4, "values": 2},
                    {"name": "recall", "unit": "", "median": 0.5, "min": 0.5, "max": 0.5, "values": 1},
                ],
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
                "unmeasured": [
                    {"name": "append / peer", "bound": "at most", "limit": 2, "reason": "not measured (no peer)"}
                ],
            }
        ],
    }
    console = Console(width=100)
    with console.capture() as capture:
        console.print(as_table(report))
    lines = [" ".join(line.split()) for line in capture.get().splitlines()]
    assert "bare 8,604 /s 3 - 17,204" in lines
    assert "recall 0.5 0.5 - 0.5" in lines
    assert "append / bare 0.3 x 0.25 - 0.5 >= 0.4: over" in lines
    assert "append / peer <= 2: not measured (no peer)" in lines
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


def test_long_benchmarks_run_only_if_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def remember(benchmarks: Sequence[Benchmark], folder: Path, sizes: Sizes, **_: object) -> Report:
        seen.extend(benchmark.name for benchmark in benchmarks)
        return Report({}, False, ())

    monkeypatch.setattr("tools.bench.__main__.run", remember)
    assert main(["--dir", str(tmp_path)]) == 0
    assert set(seen) == CHECKS.keys() - {"million"}
    seen.clear()
    assert main(["--dir", str(tmp_path), "--only", "million"]) == 0
    assert seen == ["million"]


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
