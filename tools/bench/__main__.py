"""The command: runs the benchmarks, prints a table, and writes JSON if asked. A figure over budget is no failure."""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tools.bench.chroma import INTERPRETER
from tools.bench.machine import machine_facts
from tools.bench.registry import BENCHMARKS, Benchmark
from tools.bench.report import Measured, Report, as_json, as_table
from tools.bench.sizes import FULL, QUICK, Sizes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks that the arguments name; return the exit code."""
    options = _parser().parse_args(arguments)
    chosen = [each for each in BENCHMARKS if (each.name in options.only if options.only else not each.is_long)]
    folder = Path(tempfile.mkdtemp(prefix="kiromi-bench-", dir=options.dir))
    try:
        kept = options.dir if options.keep else None
        report = run(chosen, folder, QUICK if options.quick else FULL, is_quick=options.quick, kept=kept)
        Console().print(as_table(report))
        if options.json is not None:
            options.json.write_text(json.dumps(as_json(report), indent=2) + "\n")
    finally:
        if not options.keep:
            shutil.rmtree(folder)
    return 0


def run(
    benchmarks: Sequence[Benchmark], folder: Path, sizes: Sizes, *, is_quick: bool = False, kept: Path | None = None
) -> Report:
    """Run benchmarks one after the other, each in its own folder below ``folder``; nothing is deleted.

    Long ones run below ``kept`` if that is given, and go on with what they find there.
    """
    measured = []
    for benchmark in benchmarks:
        print(f"{benchmark.name} ...", file=sys.stderr, flush=True)
        own = (kept if kept is not None and benchmark.is_long else folder) / benchmark.name
        own.mkdir(exist_ok=benchmark.is_long)
        started = time.perf_counter()
        result = benchmark.measure(own, sizes)
        measured.append(Measured(benchmark.name, time.perf_counter() - started, result))
    return Report(machine_facts(folder), is_quick, tuple(measured))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench",
        description="Measure kiromi beside the raw limits of this machine. Each benchmark takes a minute or two;"
        " million, which runs only if it is named, takes an hour.",
        epilog=f"Search is held against Chroma if this Python, or the one that {INTERPRETER} names, has chromadb.",
    )
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        choices=[each.name for each in BENCHMARKS],
        help="run only this one; may be repeated (%(choices)s)",
    )
    parser.add_argument("--quick", action="store_true", help="smaller sizes, to try things out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures there")
    parser.add_argument("--dir", type=Path, metavar="FOLDER", help="write below this folder (default: the temp folder)")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="leave what was written: on ext4 deleting it makes the next run slower, for up to 5 minutes; with --dir,"
        " million goes on with what an earlier run left there",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
