"""The published view against a plain dict, over random commits small and large."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiromi.catalog import view as view_module
from kiromi.catalog.changes import Changes, Head
from kiromi.catalog.rows import ROW_SCHEMA, Row, to_rows, to_table
from kiromi.catalog.view import View
from kiromi.ids import format_id


def _row(memory_id: str, seq: int) -> Row:
    return Row(
        memory_id, seq, 1, 1, seq, 1, "user=a", None, "k", "", "episodic", None, ("t", "u"), '{"user":"a"}', 0.5, None,
        1, None, 2, None, 3, 4, "run", None, None, "md", "text/markdown", 5, b"x" * 32,
    )  # fmt: skip


_commits = st.lists(st.dictionaries(st.integers(0, 60), st.booleans(), min_size=1, max_size=40), max_size=25)


@settings(max_examples=150)
@given(
    start=st.sets(st.integers(0, 60)),
    commits=_commits,
    bulk=st.sampled_from([2, 10, 1000]),
    delta=st.sampled_from([1, 15, 1000]),
)
def test_every_view_shows_what_was_live_at_its_seq(
    start: set[int], commits: list[dict[int, bool]], bulk: int, delta: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(view_module, "_BULK_ROWS", bulk)
        patch.setattr(view_module, "_DELTA_ROWS", delta)
        model: dict[str, Row] = {format_id(number): _row(format_id(number), 1) for number in start}
        view = View.of(1, to_table(list(model.values()), ROW_SCHEMA))
        seen = [(view, dict(model))]
        for seq, commit in enumerate(commits, 2):
            changes = Changes(Head(seq, 0, b"", 0))
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
        assert old.count == len(expected)
        for number in range(62):
            assert old.get(format_id(number)) == expected.get(format_id(number))
        assert list(old.rows(expected)) == list(expected.values())
        assert old.ids().tolist() == [memory_id.encode() for memory_id in sorted(expected)]
        wanted = np.array([format_id(number).encode() for number in range(0, 62, 3)])
        found = {row.id: row for row in to_rows(old.table(wanted))}
        assert found == {
            memory_id: expected[memory_id] for memory_id in sorted(expected) if memory_id.encode() in wanted
        }
        assert list(found) == sorted(found)


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
