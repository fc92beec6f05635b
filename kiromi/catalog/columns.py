"""Live rows by column, in pages: what the segments of a view are made of.

Columns do not change. What is made of them shares every page in which nothing is different, so moving a batch of
neighbours in a million rows copies a page or two, and appending copies nothing of what was there. The ids are not among
them: whoever looks up a row has its id, in a form that can be searched.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kiromi.catalog.rows import ROW_SCHEMA, Row, id_column, integer_times, integers

PAGE_ROWS = 8_192
Positions: TypeAlias = npt.NDArray[np.int64]
_ID, _TAGS = Row._fields.index("id"), Row._fields.index("tags")
_NO_ID = pa.scalar(None, pa.string())


class _Page:
    """A few thousand rows by column; a column of one value keeps it once.

    Most columns of most stores have one value, mostly none: keeping them once saves a quarter of the memory, and most
    of the time that it takes to read a row.
    """

    __slots__ = ("_blank", "_readers", "columns", "count")

    def __init__(self, columns: Sequence["pa.Array | pa.Scalar"], count: int) -> None:
        self.count = count
        self.columns = tuple(columns)
        self._blank = [column.as_py() if isinstance(column, pa.Scalar) else None for column in columns]
        self._blank[_TAGS] = tuple(self._blank[_TAGS] or ())
        self._readers = tuple((i, _reader(c)) for i, c in enumerate(columns) if not isinstance(c, pa.Scalar))

    def row(self, index: int, memory_id: str) -> Row:
        values = self._blank.copy()
        values[_ID] = memory_id
        for place, read in self._readers:
            values[place] = read(index)
        return Row._make(values)

    def take(self, positions: Positions) -> pa.Table:
        """Return the rows at ascending positions; a copy, as a slice would keep the whole page alive."""
        inside = pa.array(positions)
        arrays = [pa.repeat(c, len(inside)) if isinstance(c, pa.Scalar) else c.take(inside) for c in self.columns]
        return pa.Table.from_arrays(arrays, names=ROW_SCHEMA.names)


_Piece: TypeAlias = tuple[_Page, Positions]
"""A page, and ascending positions in it."""


class Columns:
    """Rows by column but for their ids, in the order of ``ROW_SCHEMA``, times as ``int64``.

    All pages but the last are full.
    """

    __slots__ = ("_pages",)

    def __init__(self, pages: Sequence[_Page]) -> None:
        self._pages = tuple(pages)

    @classmethod
    def of(cls, table: pa.Table, order: Positions | None = None) -> "Columns":
        """Return the rows of a table with the columns of ``ROW_SCHEMA``, copied; in an order, if they are in another.

        Column by column, so that a large table takes little more memory than the result.
        """
        indices = None if order is None else pa.array(order)
        starts = range(0, len(table), PAGE_ROWS)
        pages: list[list[pa.Array | pa.Scalar]] = [[_NO_ID] for _ in starts]
        for column in table.columns[_ID + 1 :]:
            column = integers(column) if indices is None else integers(column).take(indices)
            for page, start in zip(pages, starts, strict=True):
                page.append(_copied(_compact(column.slice(start, PAGE_ROWS))))
        return cls([_Page(page, min(PAGE_ROWS, len(table) - start)) for page, start in zip(pages, starts, strict=True)])

    def row(self, index: int, memory_id: str) -> Row:
        """Return one row, whose id is that."""
        page, place = divmod(index, PAGE_ROWS)
        return self._pages[page].row(place, memory_id)

    def take(self, positions: Positions, ids: npt.NDArray[np.bytes_]) -> pa.Table:
        """Return the rows at ascending positions, whose ids are those, as a table that shares nothing with these."""
        parts = [page.take(inside) for page, inside in self._pieces(positions)]
        if not parts:
            return integer_times(ROW_SCHEMA.empty_table())
        return pa.concat_tables(parts).set_column(_ID, "id", id_column(ids))

    def merged(self, newer: "Columns", kept: npt.NDArray[np.bool_], order: Positions) -> "Columns":
        """Return the kept rows of these and then those of others, taken in an order that keeps either's own."""
        positions = np.flatnonzero(kept)
        pages = []
        for start in range(0, len(order), PAGE_ROWS):
            part = order[start : start + PAGE_ROWS]
            is_old = part < len(positions)
            below, above = positions[part[is_old]], part[~is_old] - len(positions)
            places = np.empty(len(part), dtype=np.int64)
            places[is_old] = np.arange(len(below))
            places[~is_old] = len(below) + np.arange(len(above))
            pages.append(_assembled([*self._pieces(below), *newer._pieces(above)], places))
        return Columns(pages)

    def replaced(self, newer: "Columns", positions: Positions) -> "Columns":
        """Return these with the rows at ascending positions replaced; columns that say the same are shared."""
        pages = list(self._pages)
        numbers = positions // PAGE_ROWS
        for number in np.unique(numbers).tolist():
            first, end = np.searchsorted(numbers, [number, number + 1]).tolist()
            inside = positions[first:end] - number * PAGE_ROWS
            pages[number] = _replaced(pages[number], newer._pieces(np.arange(first, end)), inside)
        return Columns(pages)

    def pages_of(self, positions: Positions) -> int:
        """Return in how many pages the rows at those positions lie."""
        return len(np.unique(positions // PAGE_ROWS))

    def _pieces(self, positions: Positions) -> list[_Piece]:
        numbers = positions // PAGE_ROWS
        bounds = np.flatnonzero(np.diff(numbers)) + 1
        return [
            (self._pages[part[0] // PAGE_ROWS], part - part[0] // PAGE_ROWS * PAGE_ROWS)
            for part in np.split(positions, bounds)
            if len(part)
        ]


def _assembled(pieces: Sequence[_Piece], order: Positions) -> _Page:
    """Return the page of the rows of several others, taken in an order."""
    if len(pieces) == 1 and pieces[0][0].count == len(order):
        return pieces[0][0]  # all of its rows, and in their order
    indices = None if bool((np.diff(order) == 1).all()) else pa.array(order)  # from 0: these are all of the rows
    columns: list[pa.Array | pa.Scalar] = []
    for index in range(len(ROW_SCHEMA)):
        parts = [(page.columns[index], inside) for page, inside in pieces]
        value = _same(parts)
        if value is None:
            joined = _joined(parts)
            value = _compact(joined if indices is None else joined.take(indices))
        columns.append(value)
    return _Page(columns, len(order))


def _replaced(page: _Page, pieces: Sequence[_Piece], positions: Positions) -> _Page:
    order = np.arange(page.count)
    order[positions] = page.count + np.arange(len(positions))
    indices, at, everything = pa.array(order), pa.array(positions), np.arange(page.count)
    columns = []
    for index, former in enumerate(page.columns):
        parts = [(each.columns[index], inside) for each, inside in pieces]
        if isinstance(former, pa.Scalar):
            is_same = _same([(former, everything), *parts]) is not None
        else:
            is_same = former.take(at).equals(_joined(parts))
        columns.append(former if is_same else _compact(_joined([(former, everything), *parts]).take(indices)))
    return _Page(columns, page.count)


def _same(parts: Sequence[tuple["pa.Array | pa.Scalar", Positions]]) -> pa.Scalar | None:
    """Return the one value of all parts, if each has only that."""
    first = parts[0][0]
    if not all(isinstance(column, pa.Scalar) and column.equals(first) for column, _ in parts):
        return None
    return first


def _joined(parts: Sequence[tuple["pa.Array | pa.Scalar", Positions]]) -> pa.Array:
    arrays = []
    for column, inside in parts:
        if isinstance(column, pa.Scalar):
            arrays.append(pa.repeat(column, len(inside)))
        elif len(inside) == int(inside[-1]) - int(inside[0]) + 1:
            arrays.append(column.slice(int(inside[0]), len(inside)))
        else:
            arrays.append(column.take(pa.array(inside)))
    return pa.concat_arrays([*arrays, arrays[0][:0]])  # of a single array it would not be a copy


def _compact(column: "pa.Array | pa.ChunkedArray") -> "pa.Array | pa.ChunkedArray | pa.Scalar":
    """Return a column's value if it has only one, else the column."""
    if column.null_count == len(column):
        return pa.scalar(None, column.type)
    first = column[0]
    if column.null_count or first != column[-1]:
        return column
    if pa.types.is_list(column.type):
        # An empty list that is taken out of a column would keep all the values of that column alive.
        return column if pc.max(pc.list_value_length(column)).as_py() else pa.scalar([], column.type)
    return first if pc.all(pc.equal(column, first)).as_py() else column


def _copied(column: "pa.ChunkedArray | pa.Scalar") -> "pa.Array | pa.Scalar":
    if isinstance(column, pa.Scalar):
        return column
    return pa.concat_arrays([*column.chunks, column.chunk(0)[:0]])


def _reader(column: pa.Array) -> Callable[[int], Any]:
    if pa.types.is_list(column.type):
        return lambda index: tuple(column[index].as_py())
    if not column.null_count and pa.types.is_primitive(column.type):
        return column.to_numpy(zero_copy_only=True).item  # type: ignore[no-any-return]
    return lambda index: column[index].as_py()
