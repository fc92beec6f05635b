"""``reindex`` and ``reembed``: make vectors that are missing, build the indices anew, change the model."""

import contextlib
import shlex
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from kiromi.cli import options, shown
from kiromi.cli.command import command
from kiromi.cli.exits import EMBEDDER_FAILED
from kiromi.cli.invocation import Invocation
from kiromi.cli.progress import staged_progress, stops_between_batches
from kiromi.cli.search import PANEL
from kiromi.cli.values import selection
from kiromi.errors import MigrationConflict

if TYPE_CHECKING:
    from kiromi.reports.indexing import ReindexReport

commands = typer.Typer()


@command(
    commands,
    "reindex",
    panel=PANEL,
    examples=["kiromi reindex", "kiromi reindex --within user=ana", "kiromi reindex --language de --hnsw-ef 200"],
)
def reindex(
    cli: Invocation,
    within: options.Within = None,
    hnsw_m: Annotated[
        int | None, typer.Option("--hnsw-m", metavar="N", help="Links of each vector in the graph; stays a setting.")
    ] = None,
    hnsw_ef_construction: Annotated[
        int | None,
        typer.Option(
            "--hnsw-ef-construction",
            metavar="N",
            help="Candidates looked at while the graph is built; stays a setting.",
        ),
    ] = None,
    hnsw_ef: Annotated[
        int | None,
        typer.Option("--hnsw-ef", metavar="N", help="Candidates that a search looks at; stays a setting."),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(
            "--language",
            metavar="TAG",
            help="The language of memories that name none, or auto to detect it; stays a setting.",
        ),
    ] = None,
) -> int:
    """Make the vectors that are missing, and build the indices of text and vectors anew.

    Searches are right without it, and quicker after it. Exits with 6 if vectors are still missing at the end.
    """
    with cli.open() as store, _stoppable_progress(cli, "kiromi reindex") as advance:
        report = store.reindex(
            within=selection(within or [], None)["within"],
            hnsw_m=hnsw_m,
            hnsw_ef_construction=hnsw_ef_construction,
            hnsw_ef=hnsw_ef,
            language=language,
            on_progress=advance,
        )
    if cli.is_json:
        cli.document(report)
    else:
        cli.line(_told(report))
    return EMBEDDER_FAILED if report.pending else 0


def _told(report: "ReindexReport") -> str:
    parts = [f"indexed {shown.count_text(report.documents, 'memory')} by words"]
    if report.passages:
        graph = " (with a graph)" if report.has_graph else ""
        parts.append(f"{shown.count_text(report.passages, 'passage')} by meaning{graph}")
    if report.embedded:
        parts.append(f"made the vectors of {shown.count_text(report.embedded, 'memory')}")
    if report.pending:
        parts.append(f"{shown.count_text(report.pending, 'memory')} without vectors")
    return ", ".join(parts)


@command(
    commands,
    "reembed",
    panel=PANEL,
    examples=[
        "kiromi reembed minilm",
        "kiromi reembed 'openai:text-embedding-3-small#1536'",
        "kiromi reembed hash --abandon",
    ],
)
def reembed(
    cli: Invocation,
    embedder: Annotated[
        str,
        typer.Argument(
            metavar="EMBEDDER", help="The new model: minilm, hash, hash:DIMENSION, openai:MODEL@BASE_URL#DIMENSION."
        ),
    ],
    is_abandoning: Annotated[
        bool, typer.Option("--abandon", help="Drop what a reembed with another model began and did not end.")
    ] = False,
) -> None:
    """Make the vectors of all memories with another model, then search with that one.

    Until all are made, searches use the former model, whose vectors are kept. A store without a model gets this one.
    """
    again = f"kiromi reembed {shlex.quote(embedder)}"
    with cli.open() as store, _stoppable_progress(cli, again) as advance:
        try:
            report = store.reembed(embedder, abandon=is_abandoning, on_progress=advance)
        except MigrationConflict as error:
            raise MigrationConflict(
                f"a reembed with {error.details['name']!r} was begun and not ended: name that model to go on, or add"
                " --abandon to drop what it did",
                **error.details,
            ) from error
    if cli.is_json:
        cli.document(report)
    else:
        made = shown.count_text(report.embedded, "memory")
        cli.line(f"searches use {report.model.name} now; made the vectors of {made}")


@contextlib.contextmanager
def _stoppable_progress(cli: Invocation, again: str) -> Iterator[Callable[[str, int, int], None]]:
    """Give a function to call after each batch, which shows how far it is, and ends the command after Ctrl-C.

    Raises:
        KeyboardInterrupt: from that function; the message says that ``again`` goes on.
    """
    resume = f"stopped; vectors that were made stay. To go on: {again}"
    with staged_progress(cli) as advance, stops_between_batches(cli, resume) as check:

        def note(what: str, done: int, total: int) -> None:
            advance(what, done, total)
            check()

        yield note
