"""What was measured, as a JSON document and as a table for people. Pure formatting."""

from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from tools.bench.figures import Bound, Check, Result, Series, Unmeasured


@dataclass(frozen=True, slots=True)
class Measured:
    """A benchmark that was run."""

    name: str
    seconds: float
    """How long all of it took, preparations included."""
    result: Result


@dataclass(frozen=True, slots=True)
class Report:
    """A whole run."""

    machine: dict[str, str]
    is_quick: bool
    """Whether the sizes were smaller than those of the budget, so that its bounds say little."""
    measured: tuple[Measured, ...]


def as_json(report: Report) -> dict[str, Any]:
    """Return a report as JSON values."""
    return {
        "machine": report.machine,
        "is_quick": report.is_quick,
        "benchmarks": [
            {
                "name": measured.name,
                "seconds": round(measured.seconds, 1),
                "series": [_series_json(series) for series in measured.result.series],
                "checks": [_check_json(check) for check in measured.result.checks],
                "unmeasured": [_unmeasured_json(line) for line in measured.result.unmeasured],
            }
            for measured in report.measured
        ],
    }


def as_table(report: Report) -> Table:
    """Return a report as a table: a section for each benchmark, with its series, then its checks and their bounds."""
    title = "kiromi benchmarks" + (" (quick: smaller than the budget's sizes)" if report.is_quick else "")
    caption = ", ".join(f"{name} {value}" for name, value in report.machine.items())
    table = Table("figure", title=title, caption=caption, box=box.SIMPLE_HEAD)
    for column in ("median", "min - max"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("budget", no_wrap=True)
    for measured in report.measured:
        table.add_row(Text(measured.name, style="bold"))
        for series in measured.result.series:
            table.add_row(*_cells(series))
        for check in measured.result.checks:
            table.add_row(*_cells(check.series), _verdict(check))
        for line in measured.result.unmeasured:
            table.add_row(f"  {line.name}", "", "", f"{_limit_text(line)}: {line.reason}")
        table.add_section()
    return table


def number_text(value: float) -> str:
    """Return a figure with about three digits: ``17,204``, ``203``, ``1.52``, ``0.0931``."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _cells(series: Series) -> tuple[str, str, str]:
    spread = f"{number_text(series.low)} - {number_text(series.high)}"
    return f"  {series.name}", f"{number_text(series.median)} {series.unit}".rstrip(), spread


def _verdict(check: Check) -> Text:
    return Text.assemble(f"{_limit_text(check)}: ", ("ok", "green") if check.is_met else ("over", "bold red"))


def _limit_text(line: Check | Unmeasured) -> str:
    sign = ">=" if line.bound is Bound.AT_LEAST else "<="
    return f"{sign} {line.limit:g}"


def _series_json(series: Series) -> dict[str, Any]:
    return {
        "name": series.name,
        "unit": series.unit,
        "median": series.median,
        "min": series.low,
        "max": series.high,
        "values": len(series.values),
    }


def _check_json(check: Check) -> dict[str, Any]:
    return {**_series_json(check.series), "bound": check.bound.value, "limit": check.limit, "is_met": check.is_met}


def _unmeasured_json(line: Unmeasured) -> dict[str, Any]:
    return {"name": line.name, "bound": line.bound.value, "limit": line.limit, "reason": line.reason}
