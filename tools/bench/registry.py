"""The list of benchmarks, in the order in which they run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.bench import (
    archiving,
    indices,
    machine_limits,
    migrating,
    million,
    reading,
    restoring,
    searching,
    starting,
    writing,
)
from tools.bench.figures import Result
from tools.bench.sizes import Sizes


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One thing to measure, in an empty folder of its own."""

    name: str
    measure: Callable[[Path, Sizes], Result]
    is_long: bool = False
    """Whether it runs only when it is named, and goes on with what an earlier run left in its folder."""


BENCHMARKS = (
    Benchmark("limits", machine_limits.measure_limits),
    Benchmark("append-many", writing.measure_append_many),
    Benchmark("append", writing.measure_append),
    Benchmark("threads", writing.measure_threads),
    Benchmark("get", reading.measure_get),
    Benchmark("open", reading.measure_open),
    Benchmark("restore", restoring.measure_restore),
    Benchmark("archive", archiving.measure_archives),
    Benchmark("help", starting.measure_help),
    Benchmark("append-vectors", searching.measure_append_vectors),
    Benchmark("search", searching.measure_search),
    Benchmark("append-search", indices.measure_append_search),
    Benchmark("open-indexed", indices.measure_open_indexed),
    Benchmark("migrate", migrating.measure_migration),
    Benchmark("million", million.measure_million, is_long=True),
)
