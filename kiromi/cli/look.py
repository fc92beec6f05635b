"""``ls``, ``tree``, ``history`` and ``stats``: look around without changing anything."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kiromi.cli import moments, options, shown
from kiromi.cli.command import command
from kiromi.cli.invocation import Invocation
from kiromi.cli.values import selection
from kiromi.model import MemoryInfo, PartitionInfo, Version

if TYPE_CHECKING:
    from kiromi.store import Store
    from kiromi.store.view import StoreView

PANEL = "Look around"
commands = typer.Typer()

_PAGE = 1_000
_HEADER = ("ID", "VERSION", "SIZE", "PARTITION", "KEY", "TITLE")


@command(
    commands,
    "ls",
    panel=PANEL,
    examples=[
        "kiromi ls --within user=ana",
        "kiromi ls --where 'trip >= 5 and tags contains \"pref\"' --order-by -event_at --limit 10",
        "kiromi ls --within type=Process --json",
        "kiromi ls --at before-import --where 'trip >= 5'",
        "kiromi ls --within user=ana --quiet | xargs kiromi rm",
    ],
)
def ls(
    cli: Invocation,
    within: options.Within = None,
    where: options.Where = None,
    at: moments.At = None,
    order_by: Annotated[
        str,
        typer.Option("--order-by", metavar="COLUMN", help="A column, with - in front for descending; ties go by id."),
    ] = "id",
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", metavar="N", help="At most so many, up to 10,000; all of them if not said.", show_default=False
        ),
    ] = None,
    cursor: Annotated[
        str | None,
        typer.Option("--cursor", metavar="TEXT", help="Go on where a listing with --limit ended (next_cursor)."),
    ] = None,
) -> None:
    """List live memories, or with --at those of a moment; with --quiet their ids only."""
    with cli.open(read_only=True) as store:
        query = {**selection(within or [], where), "order_by": order_by}
        listing = _Listing(moments.looking(store, at), query, limit, cursor)
        if cli.is_json:
            cli.items((info for page in listing.pages() for info in page), lambda: listing.next_cursor)
            return
        for number, page in enumerate(listing.pages()):
            if cli.is_quiet:
                for info in page:
                    cli.line(info.id)
            elif page:
                cli.table(_HEADER if number == 0 else (), [_row(info) for info in page], right=(1, 2))
            else:
                cli.note("no memory fits")
    if listing.next_cursor is not None:
        cli.note(f"there is more; go on with --cursor {listing.next_cursor}")


@dataclass(slots=True)
class _Listing:
    """A listing that is read page by page; ``next_cursor`` is known once its pages were read."""

    store: "Store | StoreView"
    query: Mapping[str, Any]
    limit: int | None
    next_cursor: str | None

    def pages(self) -> Iterator[Sequence[MemoryInfo]]:
        """Yield one page of ``limit`` items, or page after page to the end."""
        while True:
            page = self.store.list(
                **self.query, limit=_PAGE if self.limit is None else self.limit, cursor=self.next_cursor
            )
            self.next_cursor = page.next_cursor
            yield page.items
            if self.limit is not None or page.next_cursor is None:
                return


def _row(info: MemoryInfo) -> tuple[str, ...]:
    partition = info.path.removeprefix("data/").rpartition("/")[0]
    return (
        info.id,
        str(info.version),
        shown.size_text(info.size),
        shown.cell(partition),
        shown.cell(info.key),
        shown.cell(info.title),
    )


@dataclass(slots=True)
class _Node:
    """One level of the partition tree, with what lies at or below it."""

    count: int = 0
    size: int = 0
    children: dict[str, "_Node"] = field(default_factory=dict)

    def lines(self, guide: str = "") -> Iterator[tuple[str, str, "_Node"]]:
        """Yield the guide, name and node of everything below, top to bottom."""
        for i, (name, child) in enumerate(self.children.items(), start=1):
            is_last = i == len(self.children)
            yield guide + ("└── " if is_last else "├── "), name, child
            yield from child.lines(guide + ("    " if is_last else "│   "))


@command(
    commands,
    "tree",
    panel=PANEL,
    examples=["kiromi tree", "kiromi tree --depth 1 --at before-import", "kiromi tree --within user=ana --json"],
)
def tree(
    cli: Invocation,
    within: options.Within = None,
    at: moments.At = None,
    depth: Annotated[
        int | None,
        typer.Option("--depth", metavar="N", help="Only so many levels; all of them if not said.", show_default=False),
    ] = None,
) -> None:
    """Show the tree of partitions with counts and sizes of the live memories in them.

    Values read as they are; their paths on disk may be percent-encoded (--json has both).
    """
    with cli.open(read_only=True) as store:
        found = moments.looking(store, at).partitions(selection(within or [], None)["within"], depth=depth)
    if cli.is_json:
        cli.items(found)
        return
    root = _Node()
    for partition in found:
        nodes = [root]
        for label in _labels(partition):
            nodes.append(nodes[-1].children.setdefault(label, _Node()))
        for node in nodes:
            node.count += partition.count
            node.size += partition.size_bytes
    cli.styled(("", "dim"), (cli.tenant, "bold"), (_amount(root), "cyan"))
    for guide, name, node in root.lines():
        cli.styled((guide, "dim"), (name, ""), (_amount(node), "cyan"))


def _amount(node: _Node) -> str:
    return f" {node.count} ({shown.size_text(node.size)})"


def _labels(partition: PartitionInfo) -> Iterator[str]:
    """Yield what each level of a path says, decoded: ``user=ana``, ``ana`` for a nameless segment, or a literal."""
    from kiromi.partition.encoding import encode

    values = list(partition.values.items())
    for component in partition.path.split("/"):
        written_name, equals, _ = component.partition("=")
        if values and equals and written_name in (encode(values[0][0]), encode(values[0][0], fold_case=True)):
            name, text = values.pop(0)
            yield f"{name}={'(none)' if text is None else text}"
        elif values and component in (encode(values[0][1]), encode(values[0][1], fold_case=True)):
            text = values.pop(0)[1]
            yield "(none)" if text is None else text
        else:
            yield component


@command(
    commands,
    "history",
    panel=PANEL,
    examples=["kiromi history 01KAK9Z6B5M3V0QW8XN2RYT4HD", "kiromi history key:pep-0008.md --json"],
)
def history(
    cli: Invocation, reference: options.Reference, namespace: options.Namespace = None, at: moments.At = None
) -> None:
    """Show every version of a memory, newest first, deleted or not: when it held, where it lies, what changed."""
    with cli.open(read_only=True) as store:
        seen = moments.looking(store, at)
        versions = seen.history(moments.id_then(store, seen, reference, namespace))
    if cli.is_json:
        cli.items({**shown.plain(v.info), "begin_seq": v.begin_seq, "end_seq": v.end_seq} for v in versions)
        return
    rows = [_version_row(version, before) for version, before in zip(versions, [*versions[1:], None], strict=True)]
    cli.table(("VERSION", "SEQS", "UPDATED", "SIZE", "PATH", "CHANGED"), rows, right=(0, 3))


def _version_row(version: Version, before: Version | None) -> tuple[str, ...]:
    info = version.info
    end = "…" if version.end_seq is None else str(version.end_seq)
    return (
        str(info.version),
        f"[{version.begin_seq}, {end})",
        shown.brief_moment(info.updated_at),
        shown.size_text(info.size),
        shown.cell(info.path),
        "first" if before is None else ", ".join(map(shown.safe, _changes(before, version))) or "-",
    )


# Where a blob rests says nothing about the version: its content may be another's too.
_UNCOMPARED = frozenset({"version", "seq", "path", "updated_at", "run_id", "attributes", "size", "sha256"})


def _changes(before: Version, after: Version) -> Iterator[str]:
    """Yield the names of what a version changed, attributes one by one."""
    if before.end_seq is not None and before.end_seq < after.begin_seq:
        yield "undeleted"
    if before.info.sha256 != after.info.sha256:
        yield "content"
    for item in fields(MemoryInfo):
        if item.name not in _UNCOMPARED and getattr(before.info, item.name) != getattr(after.info, item.name):
            yield item.name
    for name in sorted(before.info.attributes.keys() | after.info.attributes.keys()):
        if before.info.attributes.get(name) != after.info.attributes.get(name):
            yield f"attributes.{name}"


@command(commands, "stats", panel=PANEL, examples=["kiromi stats", "kiromi --tenant acme stats --json"])
def stats(cli: Invocation) -> None:
    """Show the tenant's counts and sizes. "pending" is 0 when every blob lies where it belongs."""
    with cli.open(read_only=True) as store:
        found = store.stats()
    if cli.is_json:
        cli.document(found)
        return
    rows = []
    for item in fields(found):
        value = getattr(found, item.name)
        if value is None:
            continue
        is_size = item.name == "size_bytes" or item.name.endswith("_bytes")
        rows.append(
            (
                item.name.removesuffix("_bytes"),
                shown.size_text(value) if is_size else f"{value:,}" if isinstance(value, int) else shown.cell(value),
            )
        )
    for line in shown.columns(rows):
        cli.line(line)
