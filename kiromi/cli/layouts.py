"""What a migration plan looks like to people: the tree of partitions before and after, and what is in the way."""

from collections.abc import Iterator

from kiromi.cli import shown
from kiromi.reports.migration import Layout, MigrationPlan, MigrationReport

_FOLDERS = 12
"""The largest folders that are shown of a level."""
_NAMED = 20


def plan_lines(plan: MigrationPlan) -> Iterator[str]:
    """Yield a plan, line by line."""
    yield f"from    {plan.former}"
    yield f"to      {plan.template}"
    for name, segment in plan.set.items():
        yield f"set     {name} = {segment}"
    if plan.mapper is not None:
        yield f"mapper  {plan.mapper}"
    if plan.within:
        yield f"within  {', '.join(f'{name}={shown.cell(value)}' for name, value in plan.within.items())}"
    yield ""
    yield from picture_lines(plan)
    yield ""
    for sample in plan.samples[:3]:
        yield f"{sample.id}  {sample.source} -> {sample.target}"
    yield (
        f"{shown.count_text(plan.moved, 'memory')} to move ({shown.size_text(plan.size_bytes)}),"
        f" {plan.unmoved:,} lie where they should"
    )
    cost = plan.cost
    if cost.copies:
        copied = shown.size_text(cost.copied_bytes)
        yield f"costs {cost.requests:,} requests and copies {copied}, as the store lies on an object store"
    else:
        yield f"costs {shown.count_text(cost.renames, 'rename')}"
    if plan.unmapped:
        yield f"{shown.count_text(len(plan.unmapped), 'memory')} cannot be mapped:"
        for each in plan.unmapped[:_NAMED]:
            yield f"  {each.id}  {each.reason}"
        if len(plan.unmapped) > _NAMED:
            yield f"  and {len(plan.unmapped) - _NAMED:,} more"


def picture_lines(plan: MigrationPlan) -> Iterator[str]:
    """Yield the trees of partitions before and after a plan is carried out."""
    yield from _layout_lines("before", plan.before)
    yield ""
    yield from _layout_lines("after", plan.after)


def report_lines(report: MigrationReport) -> Iterator[str]:
    """Yield what a run did, line by line."""
    what = "back" if report.is_rollback else "moved"
    parts = [f"{what}: {shown.count_text(report.moved, 'memory')} ({shown.size_text(report.size_bytes)})"]
    if report.unmoved:
        parts.append(f"{report.unmoved:,} lie where they lay")
    if report.changed:
        parts.append(f"{report.changed:,} of them changed meanwhile")
    if report.deleted:
        parts.append(f"{report.deleted:,} deleted meanwhile")
    if report.kept:
        parts.append(f"{report.kept:,} written since stay where they are")
    yield ", ".join(parts)
    for each in report.left[:_NAMED]:
        yield f"left  {each.id}  {each.reason}"
    if len(report.left) > _NAMED:
        yield f"left  and {len(report.left) - _NAMED:,} more"
    if report.pending:
        yield f"{shown.count_text(report.pending, 'blob')} could not be moved yet: kiromi verify says why"
    if report.status == "paused":
        yield "paused: kiromi migrate resume goes on"
    else:
        undone = "rolled back meanwhile: " if report.status == "rolled_back" else ""
        yield f"{undone}the scheme is {report.template}"


def _layout_lines(title: str, layout: Layout) -> Iterator[str]:
    """Yield how memories are spread: figures, then the upper levels of the tree."""
    figures = f"{shown.count_text(layout.partitions, 'partition')}, {shown.count_text(layout.count, 'memory')}"
    if layout.largest is not None and layout.smallest is not None:
        figures += f"; {layout.smallest.count:,} to {layout.largest.count:,} in each, the middle one {layout.median:g}"
    yield f"{title}: {figures}"
    roots: dict[str, list[int]] = {}
    leaves: dict[str, dict[str, None]] = {}
    for size in layout.shown:
        root, _, rest = size.path.partition("/")
        found = roots.setdefault(root, [0, 0])
        found[0] += size.count
        found[1] += size.size_bytes
        leaves.setdefault(root, {})[rest.partition("/")[0]] = None
    largest = sorted(roots, key=lambda root: (-roots[root][0], root))[:_FOLDERS]
    rows = []
    for root in sorted(largest):
        count, size_bytes = roots[root]
        below = [leaf for leaf in leaves[root] if leaf]
        inside = "" if not below else f"{below[0]}" if len(below) == 1 else f"{below[0]} … {below[-1]} ({len(below)})"
        rows.append((f"  {shown.safe(root)}/", f"{count:,}", shown.size_text(size_bytes), shown.safe(inside)))
    yield from shown.columns(rows, right=(1, 2)) if rows else ()
    if len(roots) > _FOLDERS:
        yield f"  and {len(roots) - _FOLDERS:,} more folders"
