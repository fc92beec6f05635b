"""``sql``: ask the catalog a question."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from kiromi.cli import shown
from kiromi.cli.command import command
from kiromi.cli.invocation import Invocation
from kiromi.errors import InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa

PANEL = "Look around"
commands = typer.Typer()


@command(
    commands,
    "sql",
    panel=PANEL,
    examples=[
        "kiromi sql 'SELECT kind, count(*) AS memories FROM memories GROUP BY kind'",
        "kiromi sql 'SELECT audit_log.at, actor, op FROM audit_log ORDER BY seq DESC LIMIT 5' --json",
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
    rows = zip(*map(_values, found.columns), strict=True)
    if cli.is_json:
        if len(set(found.column_names)) < len(found.column_names):
            raise InvalidInput(f"two columns have one name: {', '.join(found.column_names)}; rename one with AS")
        cli.items(dict(zip(found.column_names, row, strict=True)) for row in rows)
        return
    is_number = [str(kind).startswith(("int", "uint", "float", "double", "decimal")) for kind in found.schema.types]
    right = [i for i, is_right in enumerate(is_number) if is_right]
    cli.table(found.column_names, [tuple(map(shown.cell, row)) for row in rows], right)


def _values(column: "pa.ChunkedArray") -> list[Any]:
    """Return the values of a column; those that Python has no type for, such as an infinite date, as DuckDB's text."""
    values: list[Any] = []
    try:
        values = column.to_pylist()
    except (OverflowError, ValueError):
        texts = _texts(column)
    else:
        return values
    for scalar, text in zip(column, texts, strict=True):
        try:
            values.append(scalar.as_py())
        except (OverflowError, ValueError):
            values.append(text)
    return values


def _texts(column: "pa.ChunkedArray") -> list[str | None]:
    import duckdb
    import pyarrow as pa

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        rows = connection.from_arrow(pa.table({"value": column})).project("value::VARCHAR").fetchall()
    return [text for (text,) in rows]
