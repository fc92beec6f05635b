"""``audit tail`` and ``audit verify``: read the log of every change, and check that it is whole."""

import contextlib
import json
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from kiromi.cli import options, shown
from kiromi.cli.command import command
from kiromi.cli.exits import PROBLEMS_FOUND
from kiromi.cli.invocation import Invocation
from kiromi.cli.values import id_of
from kiromi.cli.verify import show_problems
from kiromi.model import AuditEntry

if TYPE_CHECKING:
    from kiromi.store import Store

commands = typer.Typer(help="Read the log of every change, and check that it is whole.")

_POLL_S = 0.5


@command(
    commands,
    "tail",
    examples=[
        "kiromi audit tail -n 20",
        "kiromi audit tail --follow --json",
        "kiromi audit tail --since 120 --memory key:seat --namespace prefs",
    ],
)
def tail(
    cli: Invocation,
    count: Annotated[
        int,
        typer.Option(
            "--lines", "-n", metavar="N", min=0, help="Show the last N entries; with --since all that follow it."
        ),
    ] = 10,
    since: Annotated[
        int | None,
        typer.Option(
            "--since", metavar="SEQ", min=0, help="Show the entries after this operation instead.", show_default=False
        ),
    ] = None,
    reference: Annotated[
        str | None, typer.Option("--memory", metavar="ID", help="Only those of one memory: its id, or key:NAME.")
    ] = None,
    namespace: options.Namespace = None,
    is_following: Annotated[
        bool,
        typer.Option(
            "--follow", "-f", help="Wait for more and show it as it happens, until Ctrl-C; JSON Lines with --json."
        ),
    ] = False,
) -> None:
    """Show the last entries of the audit log: who changed what, when and why; facts, never content.

    Each begins with its operation's seq and its number within that, as in 12.0. A consumer that keeps the last seq it
    handled, and asks --since it, misses nothing.
    """
    with cli.open(read_only=True) as store:
        memory_id = None if reference is None else id_of(store, reference, namespace)
        seq = store.seq
        entries = _last(store, seq, count, memory_id) if since is None else store.audit(since, id=memory_id)
        if is_following:
            with contextlib.suppress(KeyboardInterrupt):
                _follow(cli, store, entries, seq, memory_id)
        elif cli.is_json:
            cli.items(entries)
        else:
            for entry in entries:
                _show(cli, entry)


@command(
    commands,
    "verify",
    examples=[
        "kiromi audit verify",
        "kiromi audit verify --expect 5f1e0c6b8f3d4a2b9c7e6d5f4a3b2c1d0e9f8a7b6c5d4e3f2a1b0c9d8e7f6a5b",
    ],
)
def verify(
    cli: Invocation,
    expect: Annotated[
        str | None,
        typer.Option("--expect", metavar="HEAD", help="A head that you kept; it must still be in the chain."),
    ] = None,
) -> int:
    """Check the audit chain from its first entry to its head. Exits with 8 if an entry was changed, removed or swapped.

    Keep the head that is printed somewhere else: with --expect a cut tail is found too.
    """
    with cli.open(read_only=True) as store:
        report = store.audit_verify(expect=expect)
    if cli.is_json:
        cli.document({**shown.plain(report), "is_clean": report.is_clean})
    else:
        show_problems(cli, report.problems)
        verdict = "the chain is whole" if report.is_clean else shown.count_text(len(report.problems), "problem")
        cli.line(f"{verdict}: {shown.count_text(report.entries, 'entry')}, head {report.head}")
    return 0 if report.is_clean else PROBLEMS_FOUND


def _follow(cli: Invocation, store: "Store", entries: list[AuditEntry], seq: int, memory_id: str | None) -> None:
    """Show entries, and for ever those that come after them."""
    while True:
        for entry in entries:
            _show(cli, entry)
        sys.stdout.flush()
        seq = max([seq, *(entry.seq for entry in entries)])
        time.sleep(_POLL_S)
        entries = store.audit(seq, id=memory_id)


def _last(store: "Store", seq: int, count: int, memory_id: str | None) -> list[AuditEntry]:
    """Return the last ``count`` entries up to a seq, going back further until there are enough."""
    reach = max(count, 1)
    while True:
        since = max(0, seq - reach)
        entries = store.audit(since, id=memory_id)
        if len(entries) >= count or since == 0:
            return entries[len(entries) - count :] if len(entries) > count else entries
        reach *= 4


def _show(cli: Invocation, entry: AuditEntry) -> None:
    if cli.is_json:
        cli.document(entry)
        return
    parts = [
        f"{entry.seq}.{entry.i}",
        shown.brief_moment(entry.at),
        shown.safe(entry.actor),
        entry.op,
        entry.memory_id or "-",
        json.dumps(shown.plain(entry.detail), ensure_ascii=False),
    ]
    extra = {"run": entry.run_id, "reason": entry.reason}
    cli.line("  ".join(parts + [f"{name}={value}" for name, value in extra.items() if value is not None]))
