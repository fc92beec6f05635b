"""``sql``: ask the catalog a question."""

from typing import Annotated

import typer

from kiromi.cli import shown
from kiromi.cli.command import command
from kiromi.cli.invocation import Invocation
from kiromi.errors import InvalidInput

PANEL = "Look around"
commands = typer.Typer()


@command(
    commands,
    "sql",
    panel=PANEL,
    examples=[
        "kiromi sql 'SELECT kind, count(*) AS memories FROM memories GROUP BY kind'",
        'kiromi sql "SELECT at, actor, op FROM audit_log ORDER BY seq DESC LIMIT 5" --json',
    ],
)
def sql(
    cli: Invocation,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="One SELECT in DuckDB's SQL.")],
) -> None:
    """Run one SELECT over the documented views: memories, history, contents, audit_log, schemes, partitions.

    Nothing else can be read, no files and no network, and nothing can be written.
    """
    with cli.open(read_only=True) as store:
        found = store.sql(query)
    rows = zip(*(column.to_pylist() for column in found.columns), strict=True)
    if cli.is_json:
        if len(set(found.column_names)) < len(found.column_names):
            raise InvalidInput(f"two columns have one name: {', '.join(found.column_names)}; rename one with AS")
        cli.items(dict(zip(found.column_names, row, strict=True)) for row in rows)
        return
    is_number = [str(kind).startswith(("int", "uint", "float", "double", "decimal")) for kind in found.schema.types]
    right = [i for i, is_right in enumerate(is_number) if is_right]
    cli.table(found.column_names, [tuple(map(shown.cell, row)) for row in rows], right)
