"""The figures as a picture: for each set the curves of recall@k, and nDCG@10 with its intervals beside them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kiromi.errors import InvalidInput
from tools.retrieval.run import NDCG, SetResult, recall_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENDINGS = (".svg", ".png")
_WIDTH, _HEIGHT = 10, 3.6  # inches, for each set


def check_target(path: Path) -> None:
    """Find out before a long run whether a plot can be written.

    Raises:
        InvalidInput: the ending says another format, the folder is missing, or matplotlib is not installed.
    """
    if path.suffix.lower() not in ENDINGS:
        raise InvalidInput(f"--plot {path}: accepted are files that end in {' or '.join(ENDINGS)}")
    if not path.parent.is_dir():
        raise InvalidInput(f"--plot {path}: there is no folder {path.parent}")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise InvalidInput("--plot needs matplotlib: pip install 'kiromi[dev]'") from error


def write_plot(path: Path, results: Sequence[SetResult]) -> None:
    """Draw the results into a file, SVG or PNG by its ending.

    Raises:
        InvalidInput: as :func:`check_target`.
    """
    check_target(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, _HEIGHT * len(results)), layout="constrained")
    rows = figure.subplots(len(results), 2, squeeze=False)
    for (curves, points), result in zip(rows, results, strict=True):
        _draw_recall(curves, result)
        _draw_ndcg(points, result)
    figure.savefig(path, dpi=150)


def _draw_recall(axes: "Axes", result: SetResult) -> None:
    names = [name for name in result.columns if name.startswith(recall_name(0)[:-1])]
    cuts = [int(name.partition("@")[2]) for name in names]
    columns = [result.columns.index(name) for name in names]
    for number, (system, intervals) in enumerate(result.intervals.items()):
        chosen = [intervals[column] for column in columns]
        colour = f"C{number}"
        axes.plot(cuts, [each.mean for each in chosen], color=colour, marker="o", label=system)
        axes.fill_between(
            cuts, [each.low for each in chosen], [each.high for each in chosen], color=colour, alpha=0.12, linewidth=0
        )
    axes.set(title=result.retrieval_set.name, xlabel="k", ylabel="recall@k", xticks=cuts)
    axes.legend()


def _draw_ndcg(axes: "Axes", result: SetResult) -> None:
    column = result.columns.index(NDCG)
    for number, intervals in enumerate(result.intervals.values()):
        found = intervals[column]
        bars = [[found.mean - found.low], [found.high - found.mean]]
        axes.errorbar([found.mean], [number], xerr=bars, fmt="o", capsize=4, color=f"C{number}")
        axes.annotate(f"{found.mean:.3f}", (found.mean, number), textcoords="offset points", xytext=(0, 7), ha="center")
    axes.set(title=f"{NDCG}, 95 % intervals", yticks=range(len(result.intervals)), yticklabels=list(result.intervals))
    axes.margins(y=0.2)
    axes.invert_yaxis()
