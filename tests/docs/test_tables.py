"""The tables of the pages are true: what schemes render, what filters mean, what the catalog holds."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

import kiromi
from kiromi.filters import parse_where, parse_where_text
from kiromi.portable.frontmatter import COLUMNS
from tests.docs.pages import DOCS, code_spans, tables

_NAMES: dict[str, Any] = {"date": date, "datetime": datetime, "Decimal": Decimal, "UTC": UTC}


def _rows(page: str, *header: str) -> Iterator[list[str]]:
    """Yield the rows, cells out of their backticks, of the tables with a header."""
    found = [rows for _, columns, rows in tables(DOCS / page) if tuple(columns[: len(header)]) == header]
    assert found, f"no table {header} in {page}"
    for rows in found:
        for cells in rows:
            yield [code_spans(cell)[0] if cell.startswith("`") else cell for cell in cells]


def test_schemes_render_as_the_tables_say(tmp_path: Path) -> None:
    rows = [*_rows("schemes.md", "segment", "value", "path")]
    assert len(rows) >= 20
    for number, (segment, value, path, *_) in enumerate(rows):
        found = eval(value, dict(_NAMES))
        with kiromi.open(tmp_path / str(number), scheme=segment, durability="relaxed") as store:
            memory = store.append("x", attributes={"v": found})
        assert memory.path.removeprefix("data/").rpartition("/")[0] == path, segment


def test_what_is_refused_as_the_table_says(tmp_path: Path) -> None:
    rows = [*_rows("schemes.md", "value", "why it is refused")]
    assert len(rows) >= 3
    with kiromi.open(tmp_path, scheme="v={v}", durability="relaxed") as store:
        for value, _ in rows:
            with pytest.raises(kiromi.InvalidInput):
                store.append("x", attributes={"v": eval(value, dict(_NAMES))})


def test_both_forms_of_a_filter_mean_the_same() -> None:
    rows = [*_rows("filters.md", "text", "mapping")]
    assert len(rows) >= 15
    for text, mapping, *_ in rows:
        assert parse_where_text(text) == parse_where(eval(mapping, dict(_NAMES))), text


def test_the_columns_that_filters_know() -> None:
    from kiromi.filters import COLUMN_TYPES

    listed = {name: kind for names, kind, *_ in _cells("filters.md", "columns", "type") for name in code_spans(names)}
    assert listed == {name: kind.name.lower().replace("_", " ") for name, kind in COLUMN_TYPES.items()}


def test_the_tables_of_the_catalog_are_listed_with_their_columns(tmp_path: Path) -> None:
    with kiromi.open(tmp_path, scheme="v={v}", embedder="hash"):
        pass
    with duckdb.connect(str(tmp_path / "default" / "catalog.duckdb"), read_only=True) as catalog:
        there = catalog.execute(
            "SELECT table_name, column_name, data_type, is_nullable FROM duckdb_columns() WHERE NOT internal"
            " ORDER BY table_name, column_index"
        ).fetchall()
    wanted: dict[str, list[tuple[str, str]]] = {}
    for table, column, kind, is_nullable in there:
        short = kind.replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ")
        wanted.setdefault(table, []).append((column, f"{short}, null" if is_nullable else short))
    # Made from memories by a query, which drops what must not be null.
    memories = wanted["memories"]
    assert sorted(name for name, _ in wanted["history"]) == sorted([*(name for name, _ in memories), "end_seq"])
    del wanted["history"]
    listed = {
        code_spans(heading)[0]: [(code_spans(cells[0])[0], cells[1]) for cells in rows]
        for heading, header, rows in tables(DOCS / "format.md")
        if header[:2] == ["column", "type"] and heading.startswith("`")
    }
    assert listed == wanted


def test_the_views_of_sql_are_listed_with_their_columns(tmp_path: Path) -> None:
    rows = list(_cells("python.md", "view", "columns"))
    with kiromi.open(tmp_path, scheme="v={v}") as store:
        for view, columns in rows:
            found = store.sql(f"SELECT * FROM {code_spans(view)[0]}").column_names
            assert _expanded(code_spans(columns), rows) == found
        with pytest.raises(kiromi.InvalidInput) as refused:
            store.sql("SELECT * FROM pending")
    assert all(code_spans(view)[0] in str(refused.value) for view, _ in rows)


def _expanded(columns: list[str], rows: list[list[str]]) -> list[str]:
    """Return columns with the name of another view replaced by its columns."""
    others = {code_spans(view)[0]: code_spans(listed) for view, listed in rows}
    return [name for column in columns for name in (others.get(column, [column]))]


def _cells(page: str, *header: str) -> Iterator[list[str]]:
    for _, columns, rows in tables(DOCS / page):
        if tuple(columns[: len(header)]) == header:
            yield from rows


def test_the_front_matter_that_sets_fields_is_listed() -> None:
    [cells] = [cells for cells in _cells("import-export.md", "front matter", "becomes") if "title" in cells[0]]
    assert tuple(code_spans(cells[0])) == COLUMNS


def test_the_attributes_of_a_memory_are_listed() -> None:
    listed = [name for names, _ in _cells("python.md", "of a memory", "what it is") for name in code_spans(names)]
    assert sorted(listed) == sorted([*kiromi.MemoryInfo.__slots__, *kiromi.Memory.__slots__, "text", "info"])
