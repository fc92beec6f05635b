"""How a function becomes a command: its help and examples, and the global options that every command takes.

Typer reads a function's signature; so that no command has to repeat the global options, they are added to it here.
"""

import copy
import inspect
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any, Concatenate, ParamSpec, get_args

import typer

from kiromi.cli.groups import groups_among, parameters_of, take
from kiromi.cli.invocation import Invocation
from kiromi.cli.settings import Settings

P = ParamSpec("P")


class Ended(Exception):
    """Carries Ctrl-C and a broken pipe past typer, which would exit on its own terms."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


def command(
    app: typer.Typer, name: str, *, examples: Sequence[str], panel: str | None = None
) -> Callable[[Callable[Concatenate[Invocation, P], int | None]], Callable[Concatenate[Invocation, P], int | None]]:
    """Register a function as a command that also takes the global options.

    Args:
        app: the group that the command belongs to.
        name: what the caller types.
        examples: whole command lines, shown at the end of the command's help.
        panel: the heading under which the group's help lists it.

    The function's first parameter is the :class:`Invocation`; it returns an exit code, None for 0. A parameter that is
    a dataclass stands for its fields (:mod:`kiromi.cli.groups`). Where the function has an option of the name of a
    global one, the global one stands before the command only.
    """

    def register(
        function: Callable[Concatenate[Invocation, P], int | None],
    ) -> Callable[Concatenate[Invocation, P], int | None]:
        body: Callable[..., int | None] = function

        def run(ctx: typer.Context, **arguments: Any) -> None:
            settings = take(Settings, arguments).over(ctx.obj)
            arguments |= {name: take(group, arguments) for name, group in groups.items()}
            try:
                code = body(Invocation(settings), **arguments)
                sys.stdout.flush()
            except (KeyboardInterrupt, OSError) as error:
                raise Ended(error) from error
            if code:
                raise typer.Exit(code)

        taken = list(itertools.islice(inspect.signature(function).parameters.values(), 1, None))
        groups = groups_among(taken)
        own = [
            option
            for parameter in taken
            for option in (parameters_of(groups[parameter.name]) if parameter.name in groups else (parameter,))
        ]
        names = {name for parameter in own for name in _option_names(parameter.annotation)}
        shared = (one for one in global_parameters(with_environment=False) if not names & _option_names(one.annotation))
        take_signature(run, [*own, *shared])
        run.__doc__ = unwrapped(function.__doc__ or "")
        app.command(name, epilog=epilog(examples), rich_help_panel=panel)(run)
        return function

    return register


def global_parameters(*, with_environment: bool) -> Iterator[inspect.Parameter]:
    """Yield the global options as parameters; the environment must be read in one place only, before the command."""
    for parameter in parameters_of(Settings):
        kind, option = get_args(parameter.annotation)
        if not with_environment:
            option = copy.copy(option)
            option.envvar = None
        yield parameter.replace(annotation=Annotated[kind, option])


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


def _option_names(annotation: Any) -> set[str]:
    """Return the names of an option, as ``--quiet`` and ``-q``; typer keeps the first one as its default."""
    option = get_args(annotation)[-1]
    names = (getattr(option, "default", None), *(getattr(option, "param_decls", None) or ()))
    return {name for name in names if isinstance(name, str) and name.startswith("-")}


def unwrapped(text: str) -> str:
    """Return a docstring with each paragraph on one line, for the terminal to wrap."""
    return _literal("\n\n".join(" ".join(paragraph.split()) for paragraph in inspect.cleandoc(text).split("\n\n")))


def epilog(examples: Sequence[str]) -> str:
    """Return the examples as the end of a help page."""
    return "\n".join(["[bold]Examples[/bold]", *(f"[cyan]$[/cyan] {_literal(line)}" for line in examples)])


def _literal(text: str) -> str:
    # Rich takes [ for markup, and shows nothing of a style that it does not know.
    return text.replace("[", "\\[")
