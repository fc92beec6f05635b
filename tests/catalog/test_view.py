"""The published view against a plain dict, over random commits small and large."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiromi.catalog import columns as columns_module
from kiromi.catalog import view as view_module
from kiromi.catalog.changes import Changes, Head
from kiromi.catalog.columns import Columns
from kiromi.catalog.moves import Moves
from kiromi.catalog.rows import ROW_SCHEMA, Row, integer_times, to_rows, to_table
from kiromi.catalog.view import View
from kiromi.ids import format_id


def _row(memory_id: str, seq: int) -> Row:
    # A column of one value, of none, and of several look different inside.
    odd = seq % 2
    return Row(
        memory_id, seq, 1, 1, seq, 1, f"user={'ab'[odd]}", None, "k", "", "episodic", None, ("t", "u")[odd:],
        '{"user":"a"}', 0.5 if odd else None, None, 1, None, 2, None, 3, 4, "run", None, None, "md", "text/markdown", 5,
        b"x" * 32,
    )  # fmt: skip


def _moved(model: dict[str, Row], numbers: set[int], seq: int, *, every: int = 3) -> Moves | None:
    """Return the moves of what is live of those, with other attributes for some, and change the model."""
    former = [model[memory_id] for memory_id in sorted(map(format_id, numbers)) if memory_id in model]
    if not former:
        return None
    # Each row goes its own way, so that one which got another's values is noticed.
    partitions = [f"moved={row.id[-2:]}.{seq % 3}" for row in former]
    texts = [f'{{"user":"{row.id[-2:]}.{seq}"}}' if (n + seq) % every == 0 else None for n, row in enumerate(former)]
    table = integer_times(to_table(former, ROW_SCHEMA))
    schemes = pa.array([seq] * len(former))
    moves = Moves.of(table, schemes, pa.array(partitions), pa.array(texts, pa.string()), seq)
    for row, partition, text in zip(former, partitions, texts, strict=True):
        now = row._replace(begin_seq=seq, scheme=seq, partition=partition)
        model[row.id] = now if text is None else now._replace(attributes=text)
    return moves


_numbers = st.integers(0, 60)
_commits = st.lists(
    st.dictionaries(_numbers, st.booleans(), min_size=1, max_size=40)
    | st.sets(_numbers, min_size=1)  # moves
    | st.builds(lambda first, count: set(range(first, first + count)), _numbers, st.integers(1, 20)),
    max_size=25,
)


@settings(max_examples=150)
@given(
    start=st.sets(_numbers),
    commits=_commits,
    bulk=st.sampled_from([2, 10, 1000]),
    delta=st.sampled_from([1, 15, 1000]),
    page=st.sampled_from([1, 4, 16, 8192]),
    few=st.integers(0, 2),
    copied=st.sampled_from([0, 4]),
)
def test_every_view_shows_what_was_live_at_its_seq(
    start: set[int], commits: list[dict[int, bool] | set[int]], bulk: int, delta: int, page: int, few: int, copied: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(view_module, "_BULK_ROWS", bulk)
        patch.setattr(view_module, "_DELTA_ROWS", delta)
        patch.setattr(view_module, "_FEW_PAGES", few)
        patch.setattr(view_module, "_COPIED", copied)
        for module in (columns_module, view_module):
            patch.setattr(module, "PAGE_ROWS", page)
        model: dict[str, Row] = {format_id(number): _row(format_id(number), 1) for number in start}
        view = View.of(1, to_table(list(model.values()), ROW_SCHEMA))
        seen = [(view, dict(model))]
        for seq, commit in enumerate(commits, 2):
            changes = Changes(Head(seq, 0, b"", 0))
            if isinstance(commit, set):
                changes.moves = _moved(model, commit, seq)
            else:
                for number, is_live in commit.items():
                    memory_id = format_id(number)
                    before = model.pop(memory_id, None)
                    if before is not None:
                        changes.closed.append((before, seq))
                    if is_live:
                        model[memory_id] = _row(memory_id, seq)
                    changes.live[memory_id] = model.get(memory_id)
            view = view.advance(changes)
            seen.append((view, dict(model)))
        # Views share what did not change, so all of them are looked at only now.
        for old, expected in seen:
            _compare(old, expected)


def _compare(view: View, expected: dict[str, Row]) -> None:
    assert view.count == len(expected)
    for number in range(62):
        assert view.get(format_id(number)) == expected.get(format_id(number))
    assert list(view.rows(expected)) == list(expected.values())
    assert view.ids().tolist() == [memory_id.encode() for memory_id in sorted(expected)]
    for step in (1, 3):
        wanted = np.array([format_id(number).encode() for number in range(0, 62, step)])
        found = {row.id: row for row in to_rows(view.table(wanted))}
        assert found == {
            memory_id: expected[memory_id] for memory_id in sorted(expected) if memory_id.encode() in wanted
        }
        assert list(found) == sorted(found)


def test_moving_neighbours_copies_their_pages_only() -> None:
    page = columns_module.PAGE_ROWS
    model = {format_id(number): _row(format_id(number), number) for number in range(4 * page)}
    view = View.of(1, to_table(list(model.values()), ROW_SCHEMA))
    moves = _moved(model, set(range(page + 5, page + 1_000)), 2, every=page)
    (before,), (after,) = view._segments, view.advance(Changes(Head(2, 0, b"", 0), moves=moves))._segments
    shared = [old is new for old, new in zip(before.columns._pages, after.columns._pages, strict=True)]
    assert shared == [True, False, True, True]
    changed = {
        name
        for name, old, new in zip(
            ROW_SCHEMA.names, before.columns._pages[1].columns, after.columns._pages[1].columns, strict=True
        )
        if old is not new
    }
    assert changed == {"begin_seq", "scheme", "partition"}


def test_columns_made_of_a_table_keep_nothing_of_it_alive() -> None:
    table = integer_times(to_table([_row(format_id(number), number) for number in range(10)], ROW_SCHEMA))
    (page,) = Columns.of(table)._pages
    theirs = {
        buffer.address for column in table.columns for chunk in column.chunks for buffer in chunk.buffers() if buffer
    }
    ours = {
        buffer.address
        for column in page.columns
        if isinstance(column, pa.Array)
        for buffer in column.buffers()
        if buffer
    }
    assert ours
    assert not ours & theirs


def test_a_page_without_tags_keeps_no_other_pages_tags_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns_module, "PAGE_ROWS", 4)
    rows = [_row(format_id(number), 2)._replace(tags=() if number < 4 else ("a tag",)) for number in range(8)]
    page, _ = Columns.of(to_table(rows, ROW_SCHEMA))._pages
    tags = page.columns[Row._fields.index("tags")]
    assert isinstance(tags, pa.ListScalar)
    assert sum(buffer.size for buffer in tags.values.buffers() if buffer) <= 4
    assert page.row(0, format_id(0)).tags == ()


def test_a_memory_that_is_updated_over_and_over_does_not_fill_the_view() -> None:
    memory_id = format_id(1)
    row = _row(memory_id, 1)
    view = View.of(1, to_table([row], ROW_SCHEMA))
    for seq in range(2, 3 * view_module._DELTA_ROWS):
        row = _row(memory_id, seq)
        view = view.advance(
            Changes(Head(seq, 0, b"", 0), live={memory_id: row}, closed=[(_row(memory_id, seq - 1), seq)])
        )
    assert view.get(memory_id) == row
    assert sum(len(entries) for entries in view._delta.values()) < view_module._DELTA_ROWS
