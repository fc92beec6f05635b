"""``diff``: what differs between two moments, told as git tells it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from kiromi.cli import moments, options, shown
from kiromi.cli.command import command
from kiromi.cli.invocation import Invocation
from kiromi.cli.look import PANEL
from kiromi.cli.values import KEY_PREFIX, selection
from kiromi.model import Link, MemoryInfo
from kiromi.reports.diff import Diff, Difference, LinkDifference

commands = typer.Typer()

_STYLES = {"A": "green", "D": "red", "M": "yellow", "R": "cyan"}


@command(
    commands,
    "diff",
    panel=PANEL,
    examples=[
        "kiromi diff before-import",
        "kiromi diff before-import --stat",
        "kiromi diff 2026-01-31T12:00 live --within user=ana --content",
        "kiromi diff 120 135 --json",
    ],
)
def diff(
    cli: Invocation,
    a: Annotated[str, typer.Argument(metavar="A", help=moments.HELP)],
    b: Annotated[str, typer.Argument(metavar="[B]", help="The other moment; what is now if not said.")] = "live",
    within: options.Within = None,
    is_stat: Annotated[bool, typer.Option("--stat", help="Only how many, of what size, and which fields.")] = False,
    has_content: Annotated[
        bool, typer.Option("--content", help="Also the changes of contents that are text, line by line.")
    ] = False,
) -> None:
    """Show what differs between two moments: A added, D removed, M changed, R moved; with --quiet ids only.

    Expired memories count like others. What was changed and changed back is no difference.
    """
    with cli.open(read_only=True) as store:
        found = store.diff(
            moments.ref_of(store, a),
            moments.ref_of(store, b),
            selection(within or [], None)["within"],
            content=has_content and not is_stat,
        )
    if is_stat:
        _show_stat(cli, found)
    elif cli.is_json:
        cli.document(found)
    else:
        for letter, one in _in_order(found):
            show_difference(cli, letter, one)
        for link in found.links:
            if not cli.is_quiet:
                cli.styled(*_link_parts(link))
        cli.note(_summary(found))


def _in_order(found: Diff) -> Iterator[tuple[str, Difference]]:
    """Yield all memories that differ by where they lie, as git does by path, each with its letter."""
    lists = (("A", found.added), ("D", found.removed), ("M", found.changed), ("R", found.moved))
    rows = [(letter, one) for letter, part in lists for one in part]
    yield from sorted(rows, key=lambda row: (_place(row[1].last), row[1].id))


def show_difference(cli: Invocation, letter: str, one: Difference) -> None:
    """Print a memory that differs as ``diff`` does: A added, D removed, M changed, R moved; with --quiet its id."""
    if cli.is_quiet:
        cli.line(one.id)
        return
    style = _STYLES[letter]
    info = one.last
    parts = [(f"{letter}  ", style), (f"{one.id}  ", ""), (_places(one), "")]
    if info.key is not None:
        parts.append((f"  {KEY_PREFIX}{info.key}", ""))
    if info.title is not None:
        parts.append((f"  {info.title}", "bold"))
    fields = [name for name in one.fields if name != "partition"]
    if fields:
        parts.append((f"  ({', '.join(fields)})", style))
    cli.styled(*parts)
    if one.text is not None:
        for line in one.text.removesuffix("\n").split("\n"):
            cli.styled((line, _line_style(line)), indent=4)


def _line_style(line: str) -> str:
    if line.startswith(("--- ", "+++ ")):
        return "bold"
    return {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")


def _places(one: Difference) -> str:
    """Return the partition, or how it changed."""
    sides = [_place(info) for info in (one.before, one.after) if info is not None]
    return " -> ".join(dict.fromkeys(sides))


def _place(info: MemoryInfo) -> str:
    return info.path.removeprefix("data/").rpartition("/")[0]


def _link_parts(link: LinkDifference) -> list[tuple[str, str]]:
    letter = "A" if link.before is None else "D" if link.after is None else "M"
    end = link.last
    parts = [(f"{letter}  ", _STYLES[letter]), (f"link {end.kind}: {end.src} -> {end.dst}", "")]
    changed = _changed(link.before, link.after)
    return [*parts, (f"  ({', '.join(changed)})", _STYLES[letter])] if changed else parts


def _changed(before: Link | None, after: Link | None) -> list[str]:
    names = ("weight", "note", "valid_from", "valid_until")
    if before is None or after is None:
        return []
    return [name for name in names if getattr(before, name) != getattr(after, name)]


def _summary(found: Diff) -> str:
    lists = (("added", found.added), ("removed", found.removed), ("changed", found.changed), ("moved", found.moved))
    counts = [f"{len(part):,} {word}" for word, part in lists if part]
    if found.links:
        counts.append(shown.count_text(len(found.links), "link"))
    where = f"between seq {found.before_seq} and seq {found.after_seq}"
    return f"{', '.join(counts)} {where}" if counts else f"no difference {where}"


def _show_stat(cli: Invocation, found: Diff) -> None:
    stat = _stat(found)
    if cli.is_json:
        cli.document(stat)
        return
    rows = [
        (name, f"{stat[name]['count']:,}", shown.size_text(stat[name]["size_bytes"]), "")
        for name in ("added", "removed")
    ]
    fields = ", ".join(f"{name} {count}" for name, count in stat["changed"]["fields"].items())
    rows.append(("changed", f"{stat['changed']['count']:,}", "", fields))
    rows.append(("moved", f"{stat['moved']['count']:,}", "", ""))
    links = stat["links"]
    rows.append(("links", f"{sum(links.values()):,}", "", ", ".join(f"{n} {c}" for n, c in links.items() if c)))
    for line in shown.columns(rows, right=(1, 2)):
        cli.line(line)


def _stat(found: Diff) -> dict[str, Any]:
    fields = Counter(name for one in found.changed for name in one.fields)
    return {
        "before_seq": found.before_seq,
        "after_seq": found.after_seq,
        "added": {"count": len(found.added), "size_bytes": _bytes(found.added)},
        "removed": {"count": len(found.removed), "size_bytes": _bytes(found.removed)},
        "changed": {"count": len(found.changed), "fields": dict(sorted(fields.items()))},
        "moved": {"count": len(found.moved)},
        "links": {
            "added": sum(link.before is None for link in found.links),
            "removed": sum(link.after is None for link in found.links),
            "changed": sum(link.before is not None and link.after is not None for link in found.links),
        },
    }


def _bytes(part: Sequence[Difference]) -> int:
    return sum(one.last.size for one in part)
