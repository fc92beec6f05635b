"""One run of a command: the global options, the store that they name, and the way out to stdout and stderr.

Promises that every command takes the global options before and after its name, that stdout holds only the answer, and
that notes for people go to stderr and are silenced by ``--quiet``.
"""

import contextlib
import copy
import inspect
import itertools
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Literal, ParamSpec, TypeAlias, get_args

import typer

from kiromi.cli import shown
from kiromi.errors import InvalidInput

if TYPE_CHECKING:
    from kiromi.store import Store

P = ParamSpec("P")
_PANEL = "Global options"
_DEFAULT_WAIT_S = 10.0

StoreOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="KIROMI_STORE",
        metavar="ROOT",
        help="The store: a folder or a URL such as s3://bucket/prefix.",
        rich_help_panel=_PANEL,
    ),
]
TenantOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--tenant",
        envvar="KIROMI_TENANT",
        metavar="NAME",
        help="The isolated space within the store; 'default' if not said.",
        rich_help_panel=_PANEL,
    ),
]
CatalogOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--catalog",
        envvar="KIROMI_CATALOG",
        metavar="FOLDER",
        help="A local folder for catalogs and locks; object stores need it.",
        rich_help_panel=_PANEL,
    ),
]
ActorOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--actor",
        envvar="KIROMI_ACTOR",
        metavar="NAME",
        help="Who the audit log says did it; 'cli' if not said.",
        rich_help_panel=_PANEL,
    ),
]
WaitOption: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--wait",
        metavar="SECONDS",
        help="How long to wait for another process to hand the store over; 10 if not said.",
        rich_help_panel=_PANEL,
    ),
]
JsonOption: TypeAlias = Annotated[
    bool,
    typer.Option("--json", help="Print JSON: one document, or one per line for a stream.", rich_help_panel=_PANEL),
]
QuietOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", help="Print ids and answers only: no headers, notes or progress.", rich_help_panel=_PANEL
    ),
]


@dataclass(frozen=True, slots=True)
class Settings:
    """The global options as they were given; None and False mean: not given."""

    store: StoreOption = None
    tenant: TenantOption = None
    catalog: CatalogOption = None
    actor: ActorOption = None
    wait: WaitOption = None
    is_json: JsonOption = False
    is_quiet: QuietOption = False

    def over(self, before: "Settings") -> "Settings":
        """Return these where given, else those that stood before the command."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(
            before, **{name: value for name, value in own.items() if value is not None and value is not False}
        )


class Ended(Exception):
    """Carries Ctrl-C and a broken pipe past typer, which would exit on its own terms."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


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

    @contextlib.contextmanager
    def open(self, *, scheme: str | None = None, read_only: bool = False) -> Iterator["Store"]:
        """Open the store for a block, and close it; warnings of opening become notes."""
        import kiromi

        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            store = kiromi.open(
                self.root,
                scheme=scheme,
                tenant=self.tenant,
                actor=self.settings.actor or "cli",
                catalog=self.settings.catalog,
                read_only=read_only,
                wait=_DEFAULT_WAIT_S if self.settings.wait is None else self.settings.wait,
            )
        for warning in found:
            self.note(f"warning: {warning.message}")
        with store:
            yield store

    def document(self, value: Any) -> None:
        """Print one JSON document, or one line of a stream of them."""
        sys.stdout.write(shown.json_text(value) + "\n")

    def items(self, items: Iterable[Any], next_cursor: Callable[[], str | None] = lambda: None) -> None:
        """Print ``{"items": [...], "next_cursor": ...}``, one item a line, as the items come."""
        sys.stdout.write('{"items": [')
        for i, item in enumerate(items):
            sys.stdout.write((",\n" if i else "\n") + shown.json_text(item))
        sys.stdout.write(f'\n], "next_cursor": {shown.json_text(next_cursor())}}}\n')

    def line(self, text: str = "") -> None:
        """Print a line for people, or for programs that read lines."""
        sys.stdout.write("\n".join(map(shown.safe, text.split("\n"))) + "\n")

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


def command(
    app: typer.Typer, name: str, *, examples: Sequence[str], panel: str | None = None
) -> Callable[[Callable[Concatenate[Invocation, P], int | None]], Callable[Concatenate[Invocation, P], int | None]]:
    """Register a function as a command that also takes the global options.

    Args:
        app: the group that the command belongs to.
        name: what the caller types.
        examples: whole command lines, shown at the end of the command's help.
        panel: the heading under which the group's help lists it.

    The function's first parameter is the :class:`Invocation`; it returns an exit code, None for 0.
    """

    def register(
        function: Callable[Concatenate[Invocation, P], int | None],
    ) -> Callable[Concatenate[Invocation, P], int | None]:
        body: Callable[..., int | None] = function

        def run(ctx: typer.Context, **arguments: Any) -> None:
            settings = take_settings(arguments).over(ctx.obj)
            try:
                code = body(Invocation(settings), **arguments)
                sys.stdout.flush()
            except (KeyboardInterrupt, OSError) as error:
                raise Ended(error) from error
            if code:
                raise typer.Exit(code)

        own = itertools.islice(inspect.signature(function).parameters.values(), 1, None)
        take_signature(run, [*own, *global_parameters(with_environment=False)])
        run.__doc__ = unwrapped(function.__doc__ or "")
        app.command(name, epilog=epilog(examples), rich_help_panel=panel)(run)
        return function

    return register


def global_parameters(*, with_environment: bool) -> Iterator[inspect.Parameter]:
    """Yield the global options as parameters; the environment must be read in one place only, before the command."""
    annotations = inspect.get_annotations(Settings)
    for field in fields(Settings):
        kind, option = get_args(annotations[field.name])
        if not with_environment:
            option = copy.copy(option)
            option.envvar = None
        yield inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=Annotated[kind, option]
        )


def take_signature(run: Callable[..., None], parameters: Iterable[inspect.Parameter]) -> None:
    """Make ``run(ctx, **arguments)`` show these parameters to typer, after the context."""
    context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    keywords = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=_without_metavar(parameter.annotation))
        for parameter in (context, *parameters)
    ]
    run.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in keywords}


def _without_metavar(annotation: Any) -> Any:
    """Return a flag's annotation so that its help does not ask for a <bool>; any other as it is."""
    if get_args(annotation)[:1] != (bool,):
        return annotation
    option = copy.copy(get_args(annotation)[1])
    option.metavar = ""
    return Annotated[bool, option]


def take_settings(arguments: dict[str, Any]) -> Settings:
    """Take the global options out of a call's arguments."""
    return Settings(**{field.name: arguments.pop(field.name) for field in fields(Settings)})


def unwrapped(text: str) -> str:
    """Return a docstring with each paragraph on one line, for the terminal to wrap."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in inspect.cleandoc(text).split("\n\n"))


def epilog(examples: Sequence[str]) -> str:
    """Return the examples as the end of a help page."""
    # Rich takes [ for markup.
    lines = [example.replace("[", "\\[") for example in examples]
    return "\n".join(["[bold]Examples[/bold]", *(f"[cyan]$[/cyan] {line}" for line in lines)])
