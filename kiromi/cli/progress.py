"""Progress bars on a terminal, and Ctrl-C that lets the running batch end.

Bars go to stderr, and only if that is a terminal; with ``--json`` and ``--quiet`` there are none.
"""

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType

from kiromi.cli.invocation import Invocation


@contextlib.contextmanager
def progress(cli: Invocation, what: str) -> Iterator[Callable[[int, int | None], None]]:
    """Give a function to call with (done, in all or None if that is not known), which moves a bar if there is one."""
    with staged_progress(cli) as advance:
        advance(what, 0, None)
        yield lambda done, total: advance(what, done, total)


@contextlib.contextmanager
def staged_progress(cli: Invocation) -> Iterator[Callable[[str, int, int | None], None]]:
    """Give a function like that of :func:`progress` which first takes what is being done."""
    if cli.is_json or cli.is_quiet or not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


@contextlib.contextmanager
def stops_between_batches(cli: Invocation, how_to_resume: str) -> Iterator[Callable[..., None]]:
    """Give a function to call after each batch: it ends the command if Ctrl-C was pressed. Twice ends it at once.

    Raises:
        KeyboardInterrupt: from that function, with the message ``how_to_resume``, or the one that it is given.
    """
    is_wanted = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal is_wanted
        is_wanted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        cli.note("stopping after this batch; Ctrl-C again stops at once")

    def check(message: str = how_to_resume) -> None:
        if is_wanted:
            raise KeyboardInterrupt(message)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
