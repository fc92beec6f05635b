"""What was found, as text for people and as JSON values. Pure formatting."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tools.retrieval.metrics import Interval
from tools.retrieval.run import SESSIONS, Comparison, SetResult

_GAP = "  "


def as_text(about: Mapping[str, object], results: Sequence[SetResult], comparisons: Sequence[Comparison]) -> str:
    """Return aligned tables: one for each set (another one for sessions, if it has them), then the comparisons.

    Args:
        about: how it was measured; its first line says so.
        results: one for each set.
        comparisons: may be empty.
    """
    lines = [", ".join(f"{name} {value}" for name, value in about.items())]
    lines.append("Means over queries, with 95 % bootstrap intervals in brackets. bm25 and dense are plain baselines.")
    for result in results:
        lines += ["", _title(result), *_aligned(_rows(result, is_of_sessions=False))]
        if result.retrieval_set.has_sessions:
            lines += ["", f"{result.retrieval_set.name}: sessions touched by the first k turns"]
            lines += _aligned(_rows(result, is_of_sessions=True))
    if comparisons:
        lines += ["", "Differences, paired by query; better beyond chance if the interval lies above 0"]
        lines += _aligned([["systems", "figure", "difference", "queries", "sets"], *map(_comparison, comparisons)])
    return "\n".join(lines)


def as_json(
    about: Mapping[str, object], results: Sequence[SetResult], comparisons: Sequence[Comparison]
) -> dict[str, Any]:
    """Return the same as JSON values, with all digits."""
    return {
        "about": dict(about),
        "sets": [_set_json(result) for result in results],
        "comparisons": [asdict(comparison) for comparison in comparisons],
    }


def _set_json(result: SetResult) -> dict[str, Any]:
    found = result.retrieval_set
    return {
        "name": found.name,
        "documents": found.document_count,
        "queries": found.query_count,
        "skipped": found.skipped,
        "unknown": found.unknown,
        "systems": {
            name: {column: asdict(each) for column, each in zip(result.columns, intervals, strict=True)}
            for name, intervals in result.intervals.items()
        },
    }


def _title(result: SetResult) -> str:
    found = result.retrieval_set
    title = f"{found.name}: {found.document_count:,} documents, {found.query_count:,} queries"
    if len(found.parts) > 1:
        title += f", in {len(found.parts)} parts searched each on its own"
    if found.skipped:
        title += f"; {found.skipped:,} queries without a relevant document left out"
    if found.unknown:
        title += f"; {found.unknown:,} relevant documents are not in the set and count as not found"
    return title


def _rows(result: SetResult, *, is_of_sessions: bool) -> Iterator[list[str]]:
    chosen = [index for index, name in enumerate(result.columns) if name.startswith(SESSIONS) == is_of_sessions]
    yield ["system", *(result.columns[index].removeprefix(SESSIONS) for index in chosen)]
    for name, intervals in result.intervals.items():
        yield [name, *(_mean(intervals[index]) for index in chosen)]


def _mean(interval: Interval) -> str:
    return f"{interval.mean:.3f} [{interval.low:.3f} {interval.high:.3f}]"


def _comparison(comparison: Comparison) -> list[str]:
    difference = comparison.difference
    bounds = f"{difference.mean:+.4f} [{difference.low:+.4f} {difference.high:+.4f}]"
    systems = f"{comparison.better} - {comparison.worse}"
    return [systems, comparison.column, bounds, f"{comparison.queries:,}", " + ".join(comparison.sets)]


def _aligned(rows: Sequence[Sequence[str]] | Iterator[Sequence[str]]) -> list[str]:
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [_GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
