"""One run of a command: the store that the global options name, and the way out to stdout and stderr.

Promises that stdout holds only the answer, and that notes for people go to stderr and are silenced by ``--quiet``.
"""

import contextlib
import itertools
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from kiromi.cli import shown
from kiromi.cli.settings import Settings
from kiromi.errors import InvalidInput, StorageError

if TYPE_CHECKING:
    from kiromi.store import Store

_DEFAULT_WAIT_S = 10.0


class Invocation:
    """What a command works with."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.is_json = settings.is_json
        self.is_quiet = settings.is_quiet

    @property
    def root(self) -> str:
        """The store's root.

        Raises:
            InvalidInput: none was given.
        """
        if self.settings.store is None:
            raise InvalidInput("which store? Give --store ROOT or set KIROMI_STORE")
        return self.settings.store

    @property
    def tenant(self) -> str:
        """The tenant's name."""
        return self.settings.tenant or "default"

    @property
    def wait_s(self) -> float:
        """How long to wait for another process."""
        return _DEFAULT_WAIT_S if self.settings.wait is None else self.settings.wait

    @contextlib.contextmanager
    def open(
        self,
        *,
        scheme: str | None = None,
        embedder: str | None = None,
        read_only: bool = False,
        or_read_only: bool = False,
    ) -> Iterator["Store"]:
        """Open the store for a block, and close it; the library's warnings become notes as they come.

        Args:
            scheme: makes the store if it is not there.
            embedder: becomes the store's model if it has none.
            read_only: open it only for reading.
            or_read_only: open it only for reading if it cannot be written.
        """
        with self._noting_warnings():
            try:
                store = self._open_store(scheme=scheme, embedder=embedder, read_only=read_only)
            except StorageError:
                if not or_read_only:
                    raise
                store = self._open_store(read_only=True)
            with store:
                yield store

    def _open_store(self, **how: Any) -> "Store":
        import kiromi

        return kiromi.open(
            self.root,
            tenant=self.tenant,
            actor=self.settings.actor or "cli",
            catalog=self.settings.catalog,
            archive=self.settings.archive,
            wait=self.wait_s,
            **how,
        )

    @contextlib.contextmanager
    def _noting_warnings(self) -> Iterator[None]:
        def tell(message: Warning | str, *where: Any, **more: Any) -> None:
            self.acknowledge(f"warning: {message}")

        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)  # all that kiromi gives are
            warnings.showwarning = tell
            yield

    def document(self, value: Any) -> None:
        """Print one JSON document, or one line of a stream of them."""
        sys.stdout.write(shown.json_text(value) + "\n")

    def items(self, items: Iterable[Any], next_cursor: Callable[[], str | None] = lambda: None) -> None:
        """Print ``{"items": [...], "next_cursor": ...}``, one item a line, as the items come."""
        rest = iter(items)
        first = list(itertools.islice(rest, 1))  # before anything is printed: what is refused is refused here
        sys.stdout.write('{"items": [')
        for i, item in enumerate(itertools.chain(first, rest)):
            sys.stdout.write((",\n" if i else "\n") + shown.json_text(item))
        sys.stdout.write(f'\n], "next_cursor": {shown.json_text(next_cursor())}}}\n')

    def line(self, text: str = "") -> None:
        """Print a line for people, or for programs that read lines."""
        sys.stdout.write("\n".join(map(shown.safe, text.split("\n"))) + "\n")

    def styled(self, *parts: tuple[str, str], indent: int = 0) -> None:
        """Print a line of (text, style) parts, which only a terminal shows in its style; there a line is folded."""
        if not sys.stdout.isatty():
            self.line(" " * indent + "".join(shown.safe(text) for text, _ in parts))
            return
        from rich.console import Console
        from rich.padding import Padding
        from rich.text import Text

        line = Text.assemble(*((shown.safe(text), style) for text, style in parts))
        console = Console(file=sys.stdout)
        if indent:
            console.print(Padding(line, (0, 0, 0, indent), expand=False))
        else:
            console.print(line, soft_wrap=True)

    def note(self, text: str) -> None:
        """Tell people something that is not the answer, on stderr."""
        if not self.is_json:
            self.acknowledge(text)

    def acknowledge(self, text: str) -> None:
        """Tell on stderr, also beside JSON, that something is durable."""
        if not self.is_quiet:
            sys.stderr.write("\n".join(map(shown.safe, text.split("\n"))) + "\n")
            sys.stderr.flush()

    def table(self, header: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> None:
        """Print rows of cells under a header, if there is one and no ``--quiet``; columns in ``right`` are numbers."""
        found = list(rows)
        shown_header = () if self.is_quiet else header
        if sys.stdout.isatty():
            _print_rich_table(shown_header, found, right)
            return
        for line in shown.columns([shown_header, *found] if shown_header else found, right):
            sys.stdout.write(line + "\n")


def _print_rich_table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=bool(header), header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for i in range(len((header, *rows)[-1])):
        justify: Literal["left", "right"] = "right" if i in right else "left"
        table.add_column(Text(header[i]) if header else "", justify=justify, overflow="fold", no_wrap=i == 0)
    for row in rows:
        table.add_row(*map(Text, row))
    Console(file=sys.stdout).print(table)
