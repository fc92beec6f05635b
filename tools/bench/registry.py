"""The list of benchmarks, in the order in which they run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.bench import machine_limits, reading, starting, writing
from tools.bench.figures import Result
from tools.bench.sizes import Sizes


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One thing to measure, in an empty folder of its own."""

    name: str
    measure: Callable[[Path, Sizes], Result]


BENCHMARKS = (
    Benchmark("limits", machine_limits.measure_limits),
    Benchmark("append-many", writing.measure_append_many),
    Benchmark("append", writing.measure_append),
    Benchmark("threads", writing.measure_threads),
    Benchmark("get", reading.measure_get),
    Benchmark("open", reading.measure_open),
    Benchmark("help", starting.measure_help),
)
