"""``supersede`` and ``link``: what replaced what, and how memories belong together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

from kiromi.cli import moments, options, shown
from kiromi.cli.command import command
from kiromi.cli.invocation import Invocation
from kiromi.cli.memories import PANEL
from kiromi.cli.values import id_of, moment
from kiromi.errors import InvalidInput
from kiromi.model import Link, MemoryInfo, Neighbour, Supersession

commands = typer.Typer()

_MEMORY = "kiromi://memory/"
_MOST_NEIGHBOURS = 10_000  # as many as the store gives
_LINK = "The link"
_LISTING = "Look at them instead"


# -- supersede ---------------------------------------------------------------------------------------------------------


@command(
    commands,
    "supersede",
    panel=PANEL,
    examples=[
        "kiromi supersede key:home 01KAK9Z6B5M3V0QW8XN2RYT4HD",
        "kiromi supersede key:home key:new-home --at 2026-05-01",
        "kiromi supersede key:home --undo",
        "kiromi supersede key:home --list",
    ],
)
def supersede(
    cli: Invocation,
    old: Annotated[str, typer.Argument(metavar="OLD", help="The memory that was replaced: its id, or key:NAME.")],
    new: Annotated[
        str | None,
        typer.Argument(metavar="NEW", help="The memory that replaced it: its id, or key:NAME.", show_default=False),
    ] = None,
    namespace: options.Namespace = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="From when on, in ISO 8601, UTC without a zone; now if not said."),
    ] = None,
    is_undone: Annotated[bool, typer.Option("--undo", help="Take back that it was replaced, by whatever.")] = False,
    is_list: Annotated[
        bool, typer.Option("--list", help="Show what replaced what, from the oldest on.", rich_help_panel=_LISTING)
    ] = False,
    is_log: Annotated[
        bool,
        typer.Option("--log", help="Show all that was said and taken back, newest first.", rich_help_panel=_LISTING),
    ] = False,
) -> None:
    """Say that a memory was replaced by another: searches leave it out from then on.

    It is no edit: get and ls show the old memory, and its version stays. The last one said holds; what would make a
    circle is refused.
    """
    _check_one("NEW, --undo, --list or --log", new is not None, is_undone, is_list, is_log)
    if at is not None and new is None:
        raise InvalidInput("--at says from when on NEW is what holds: give NEW, or leave out --at")
    is_reading = is_list or is_log
    with cli.open(read_only=is_reading) as store:
        old_id = id_of(store, old, namespace)
        if is_list:
            _show_chain(cli, store.supersession_chain(old_id), old_id)
        elif is_log:
            _show_events(cli, store.supersessions(old_id))
        elif new is None:
            _show_state(cli, store.unsupersede(old_id))
        else:
            _show_state(cli, store.supersede(old_id, id_of(store, new, namespace), moment(at, "--at")))


def _show_state(cli: Invocation, info: MemoryInfo) -> None:
    if cli.is_json:
        cli.document(info)
    elif cli.is_quiet:
        cli.line(info.id)
    elif info.superseded_by is None:
        cli.line(f"stands  {info.id}  version {info.version}  {info.path}")
    else:
        cli.line(f"superseded  {info.id}  by {info.superseded_by}  {_since(info)}")


def _show_chain(cli: Invocation, chain: Sequence[MemoryInfo], asked: str) -> None:
    if cli.is_json:
        cli.items(chain)
    elif cli.is_quiet:
        for info in chain:
            cli.line(info.id)
    else:
        rows = [
            (
                "*" if info.id == asked else "",
                info.id,
                shown.cell(info.superseded_by),
                "" if info.superseded_by is None else _since(info),
                shown.cell(info.key),
                shown.cell(info.title),
            )
            for info in chain
        ]
        cli.table(("", "ID", "SUPERSEDED BY", "SINCE", "KEY", "TITLE"), rows)


def _show_events(cli: Invocation, events: Sequence[Supersession]) -> None:
    if cli.is_json:
        cli.items(events)
    elif events:
        rows = [
            (
                str(event.seq),
                event.loser,
                event.winner or "(stands)",
                shown.brief_moment(event.at),
                shown.cell(event.actor),
                shown.cell(event.reason),
            )
            for event in events
        ]
        cli.table(("SEQ", "ID", "SUPERSEDED BY", "SINCE", "ACTOR", "REASON"), rows, right=(0,))
    else:
        cli.note("nothing was said about it")


def _since(info: MemoryInfo) -> str:
    return "" if info.superseded_at is None else shown.brief_moment(info.superseded_at)


# -- link --------------------------------------------------------------------------------------------------------------


_Src = Annotated[
    str | None,
    typer.Argument(
        metavar="SRC",
        help="Where it begins: a memory (its id, or key:NAME), kiromi://partition/PATH, or any other URI.",
        show_default=False,
    ),
]
_Dst = Annotated[str | None, typer.Argument(metavar="DST", help="Where it leads, likewise.", show_default=False)]
_Kind = Annotated[
    str | None,
    typer.Option(
        "--kind",
        metavar="KIND",
        help="explicit (if not said), supersedes, contradicts, derived, part_of, related, or any short text;"
        " of links that are ended or listed: those of all kinds if not said.",
    ),
]


@dataclass(frozen=True, slots=True)
class _Facts:
    """What a link says."""

    weight: Annotated[
        float | None, typer.Option("--weight", metavar="X", help="Any number.", rich_help_panel=_LINK)
    ] = None
    note: Annotated[str | None, typer.Option("--note", metavar="TEXT", help="A note.", rich_help_panel=_LINK)] = None
    valid_from: Annotated[
        str | None,
        typer.Option("--valid-from", metavar="TIME", help="From when on what it says is true.", rich_help_panel=_LINK),
    ] = None
    valid_until: Annotated[
        str | None, typer.Option("--valid-until", metavar="TIME", help="Until when.", rich_help_panel=_LINK)
    ] = None

    def check_left_out(self, when: str) -> None:
        """Refuse them where they mean nothing."""
        _check_left_out(
            {
                "--weight": self.weight,
                "--note": self.note,
                "--valid-from": self.valid_from,
                "--valid-until": self.valid_until,
            },
            when,
        )


@dataclass(frozen=True, slots=True)
class _Looking:
    """Which links are shown, and how."""

    is_list: Annotated[
        bool, typer.Option("--list", help="Show the links of SRC; of all if not said.", rich_help_panel=_LISTING)
    ] = False
    depth: Annotated[
        int | None,
        typer.Option(
            "--depth",
            metavar="N",
            help="Show the memories that up to N links lead to from SRC, nearest first.",
            rich_help_panel=_LISTING,
        ),
    ] = None
    direction: Annotated[
        Literal["out", "in", "both"] | None,
        typer.Option(
            "--direction",
            metavar="WAY",
            help="out: links that begin at SRC, in: links that lead to it, both (if not said).",
            rich_help_panel=_LISTING,
        ),
    ] = None
    valid_at: Annotated[
        str | None,
        typer.Option(
            "--valid-at",
            metavar="TIME",
            help="Only links that say something about this moment.",
            rich_help_panel=_LISTING,
        ),
    ] = None
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="MOMENT", help=f"As the store was then. {moments.HELP}", rich_help_panel=_LISTING),
    ] = None

    def check_left_out(self, when: str) -> None:
        """Refuse what would narrow a listing where there is none."""
        _check_left_out({"--direction": self.direction, "--valid-at": self.valid_at, "--at": self.at}, when)


@command(
    commands,
    "link",
    panel=PANEL,
    examples=[
        "kiromi link key:seat 01KAK9Z6B5M3V0QW8XN2RYT4HD --kind derived --weight 0.8",
        "kiromi link key:seat https://example.org/rail --note 'where it was said' --valid-until 2026-12-31",
        "kiromi link key:seat 01KAK9Z6B5M3V0QW8XN2RYT4HD --end",
        "kiromi link key:seat --list --at before-import",
        "kiromi link key:seat --depth 2 --direction out",
    ],
)
def link(
    cli: Invocation,
    src: _Src = None,
    dst: _Dst = None,
    namespace: options.Namespace = None,
    kind: _Kind = None,
    *,
    facts: _Facts,
    is_end: Annotated[bool, typer.Option("--end", help="End the links from SRC to DST.")] = False,
    looking: _Looking,
) -> None:
    """Link two things, or end and list links. The same link again, with other facts, becomes what this call says.

    From one end to another there is at most one link of a kind. Links outlive the memories that they name.
    """
    _check_one("DST, --list or --depth", dst is not None, looking.is_list, looking.depth is not None)
    if dst is None:
        facts.check_left_out("without DST")
        _check_left_out({"--end": is_end or None}, "without DST")
        _look(cli, src, namespace, kind, looking)
        return
    looking.check_left_out("with --end" if is_end else "with DST")
    if is_end:
        facts.check_left_out("with --end")
    with cli.open() as store:
        begin, end = (id_of(store, word, namespace) for word in (src or "", dst))
        if is_end:
            _show_ended(cli, store.unlink(begin, end, kind))
            return
        made = store.link(
            begin,
            end,
            kind or "explicit",
            weight=facts.weight,
            note=facts.note,
            valid_from=moment(facts.valid_from, "--valid-from"),
            valid_until=moment(facts.valid_until, "--valid-until"),
        )
    if cli.is_json:
        cli.document(made)
    elif not cli.is_quiet:
        cli.line(f"linked  {made.kind}: {_short(made.src)} -> {_short(made.dst)}")


def _look(cli: Invocation, src: str | None, namespace: str | None, kind: str | None, how: _Looking) -> None:
    direction = how.direction or "both"
    if src is None and (how.depth is not None or direction != "both"):
        raise InvalidInput("from where? --depth and --direction need SRC")
    true_at = moment(how.valid_at, "--valid-at")
    with cli.open(read_only=True) as store:
        then = moments.looking(store, how.at)
        start = None if src is None else moments.id_then(store, then, src, namespace)
        if how.depth is None or start is None:
            _show_links(cli, then.links(start, direction, kind=kind, valid_at=true_at))
        else:
            kinds = None if kind is None else [kind]
            found = then.neighbours(
                start, depth=how.depth, direction=direction, kinds=kinds, limit=_MOST_NEIGHBOURS, valid_at=true_at
            )
            _show_neighbours(cli, found)


def _show_ended(cli: Invocation, count: int) -> None:
    if cli.is_json:
        cli.document({"ended": count})
    else:
        cli.line(f"ended {shown.count_text(count, 'link')}")


def _show_links(cli: Invocation, links: Sequence[Link]) -> None:
    if cli.is_json:
        cli.items(links)
    elif links:
        rows = [
            (
                shown.cell(found.kind),
                shown.safe(_short(found.src)),
                shown.safe(_short(found.dst)),
                shown.cell(found.weight),
                _interval(found),
                shown.cell(found.note),
            )
            for found in links
        ]
        cli.table(("KIND", "SRC", "DST", "WEIGHT", "VALID", "NOTE"), rows, right=(3,))
    else:
        cli.note("no link fits")


def _show_neighbours(cli: Invocation, found: Sequence[Neighbour]) -> None:
    if cli.is_json:
        cli.items(found)
    elif cli.is_quiet:
        for near in found:
            cli.line(near.info.id)
    elif found:
        rows = [
            (
                str(near.depth),
                "->" if near.direction == "out" else "<-",
                near.info.id,
                shown.cell(near.path[-1].kind),
                shown.cell(near.path[-1].weight),
                shown.cell(near.info.key),
                shown.cell(near.info.title),
            )
            for near in found
        ]
        cli.table(("DEPTH", "WAY", "ID", "KIND", "WEIGHT", "KEY", "TITLE"), rows, right=(0, 4))
    else:
        cli.note("no memory is linked")


def _short(uri: str) -> str:
    """Return an end for people: a memory is its id."""
    return uri.removeprefix(_MEMORY)


def _interval(link: Link) -> str:
    if link.valid_from is None and link.valid_until is None:
        return ""
    sides = ("…" if side is None else shown.brief_moment(side) for side in (link.valid_from, link.valid_until))
    return "[{}, {})".format(*sides)


# -- arguments ---------------------------------------------------------------------------------------------------------


def _check_one(what: str, *are_given: bool) -> None:
    """Refuse a call that asks for nothing, or for two things at once."""
    if sum(are_given) != 1:
        raise InvalidInput(f"{'what to do' if not any(are_given) else 'too much at once'}: give one of {what}")


def _check_left_out(given: Mapping[str, Any], when: str) -> None:
    for name, value in given.items():
        if value is not None:
            raise InvalidInput(f"{name} means nothing {when}")
