"""``import`` and ``export``: files to memories and back."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kiromi.cli import options
from kiromi.cli.command import command
from kiromi.cli.invocation import Invocation
from kiromi.cli.progress import progress, stops_between_batches
from kiromi.cli.shown import count_text, safe, size_text
from kiromi.cli.values import given, pairs, selection
from kiromi.errors import InvalidInput

if TYPE_CHECKING:
    from kiromi.reports.transfer import ImportReport
    from kiromi.reports.writing import BatchReport

PANEL = "Files"
commands = typer.Typer()

_RESUME = "stopped; what is committed stays. Run the same command again to go on: it touches only what is not there yet"

_Format = Annotated[
    Literal["markdown", "jsonl", "parquet", "csv"] | None,
    typer.Option(
        "--format", help="The format; the name of the file or folder says it if not given.", show_default=False
    ),
]
_Source = Annotated[Path, typer.Argument(metavar="PATH", help="A folder of Markdown, or a JSONL, Parquet or CSV file.")]
_SourceName = Annotated[
    str | None,
    typer.Option(
        "--source", metavar="NAME", help="The namespace of the keys; the folder's or file's name if not said."
    ),
]
_Renamed = Annotated[
    list[str] | None,
    typer.Option(
        "--map", metavar="FIELD=NAME", help="Read a field from the front matter of that name. May be repeated."
    ),
]
_Types = Annotated[
    list[str] | None,
    typer.Option(
        "--type",
        metavar="NAME=TYPE",
        help="The type of a CSV column: str, int, float, decimal, bool, date or datetime. May be repeated.",
    ),
]
_Scheme = Annotated[
    str | None,
    typer.Option("--scheme", metavar="TEMPLATE", help="Make the store with this scheme if it is not there."),
]
_Pruning = Annotated[bool, typer.Option("--prune", help="Also delete the memories of this source whose file is gone.")]
_OnError = Annotated[
    Literal["abort", "skip"],
    typer.Option("--on-error", help="What a bad file does: stop before anything is written, or be left out."),
]
_BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size", metavar="N", min=1, help="At most so many memories per batch; each is all or nothing."
    ),
]


@command(
    commands,
    "import",
    panel=PANEL,
    examples=[
        "kiromi import peps --map event_at=created",
        "kiromi import peps --map event_at=created --prune --dry-run",
        "kiromi --store memories import notes.jsonl --scheme 'user={user}' --on-error skip",
        "kiromi import people.csv --type age=int --source people",
    ],
)
def import_(
    cli: Invocation,
    source: _Source,
    format_name: _Format = None,
    source_name: _SourceName = None,
    renamed: _Renamed = None,
    types: _Types = None,
    scheme: _Scheme = None,
    is_pruning: _Pruning = False,
    on_error: _OnError = "abort",
    batch_size: _BatchSize = None,
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Read and check everything, and change nothing.")] = False,
) -> None:
    """Import a folder or file. A second import touches only what changed.

    The content of a memory is the whole file, byte for byte; its key is its path in the folder. Front matter is read,
    not removed: title, tags, kind and times go to fields of their own, all else becomes attributes, where the scheme
    finds it.

    Everything is read and checked first; if a file is bad nothing is written (exit 2). Each line "committed …" on
    stderr says that a batch is durable.
    """
    with (
        cli.open(scheme=scheme) as store,
        progress(cli, "records") as advance,
        _acknowledging(cli) as acknowledge,
        _telling_bad(cli),
    ):
        report = store.import_from(
            source,
            format=format_name,
            source_name=source_name,
            rename=pairs(renamed or [], "--map"),
            types=pairs(types or [], "--type"),
            prune=is_pruning,
            on_error=on_error,
            dry_run=is_dry,
            on_batch=acknowledge,
            on_progress=advance,
            **given(batch_size=batch_size),
        )
    if cli.is_json:
        cli.document(report)
    else:
        _show_import(cli, report)


@contextlib.contextmanager
def _acknowledging(cli: Invocation) -> Iterator[Callable[["BatchReport"], None]]:
    """Give a callback that tells of each batch, and ends the import after one if Ctrl-C was pressed."""
    with stops_between_batches(cli, _RESUME) as check:

        def acknowledge(batch: "BatchReport") -> None:
            cli.acknowledge(f"committed batch {batch.number}: seq {batch.seq}, {count_text(len(batch.ids), 'memory')}")
            check()

        yield acknowledge


@contextlib.contextmanager
def _telling_bad(cli: Invocation) -> Iterator[None]:
    """Note each bad record before the error that names them."""
    try:
        yield
    except InvalidInput as error:
        for item in error.details.get("bad", ()):
            cli.note(f"bad {item['position']}: {item['reason']}")
        raise


def _show_import(cli: Invocation, report: "ImportReport") -> None:
    for position, reason in report.skipped:
        cli.note(f"skipped {position}: {reason}")
    if report.links_ignored:
        cli.note(f"left out {count_text(report.links_ignored, 'link')}: this version stores none")
    done = "imported" if report.applied else "would import"
    cli.line(
        f"{done} {safe(report.namespace)}: {report.read:,} read, {report.added:,} added, {report.changed:,} changed,"
        f" {report.unchanged:,} unchanged, {report.pruned:,} pruned, {len(report.skipped):,} skipped"
    )


@command(
    commands,
    "export",
    panel=PANEL,
    examples=[
        "kiromi export out --format markdown",
        "kiromi export memories.jsonl --within user=ana",
        "kiromi export out.parquet --partitioned --where 'kind = \"semantic\"'",
        "kiromi export - --format jsonl | gzip > memories.jsonl.gz",
    ],
)
def export(
    cli: Invocation,
    target: Annotated[
        str, typer.Argument(metavar="PATH", help="A file or folder that is not there yet, or - for stdout.")
    ],
    format_name: _Format = None,
    has_metadata: Annotated[
        bool, typer.Option("--metadata", help="With Markdown: add .kiromi.jsonl, so that nothing is lost.")
    ] = False,
    is_partitioned: Annotated[
        bool, typer.Option("--partitioned", help="With Parquet: one file per partition, in hive-style folders.")
    ] = False,
    within: options.Within = None,
    where: options.Where = None,
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Count what would be written, and write nothing.")] = False,
) -> None:
    """Write memories to files as they are at one moment; what a format cannot hold is told.

    Markdown writes the stored bytes at the path that the key says. JSONL, Parquet, and Markdown with --metadata come
    back whole into an empty store.
    """
    place = sys.stdout.buffer if target == "-" else Path(target)
    with cli.open(read_only=True) as store, progress(cli, "memories") as advance:
        report = store.export_to(
            place,
            format=format_name,
            metadata=has_metadata,
            partitioned=is_partitioned,
            **selection(within or [], where),
            dry_run=is_dry,
            on_progress=advance,
        )
    for item in report.renamed:
        cli.note(f"{item.key!r} is written as {item.file}: {item.reason}")
    for loss in report.lost if report.applied else ():
        cli.note(f"not in this format: {loss}")
    if target == "-" and report.applied:
        sys.stdout.buffer.flush()
    elif cli.is_json:
        cli.document(report)
    else:
        done = "exported" if report.applied else "would export"
        cli.line(f"{done} {count_text(report.count, 'memory')}, {size_text(report.size_bytes)}, to {target}")
